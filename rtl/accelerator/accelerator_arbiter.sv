// SPDX-License-Identifier: Apache-2.0
// Fair arbitration for one destination with a valid/ready handshake.
//
// gnt_o is one-hot, or 0 without a request: of those that ask, the requester that was served longest ago. It depends on
// the requests alone, never on ready_i. A requester that has been granted stays granted until ready_i, so that what the
// destination sees is stable; until then it must keep its request.
`include "assert.svh"

module accelerator_arbiter #(
  parameter int NumReq = 2
) (
  input  logic              clk_i,
  input  logic              rst_ni,
  input  logic [NumReq-1:0] req_i,
  output logic [NumReq-1:0] gnt_o,
  input  logic              ready_i
);

  logic [NumReq-1:0] held_q, req;

  assign req = held_q != '0 ? held_q : req_i;

  // Its order changes with the first clock of a grant; as the grant stays, that is as good as the last.
  bank_arbiter #(
    .NumReq   (NumReq),
    .BankWidth(1)
  ) u_order (
    .clk_i,
    .rst_ni,
    .req_i (req),
    .bank_i({NumReq{1'b0}}),
    .gnt_o
  );

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) held_q <= '0;
    else held_q <= ready_i ? '0 : gnt_o;
  end

  `ASSERT_KNOWN(requests_known, req_i)
  `ASSERT(request_stays, (held_q & ~req_i) == '0)
  `ASSERT(one_at_a_time, (gnt_o & (gnt_o - 1'b1)) == '0)

endmodule : accelerator_arbiter
