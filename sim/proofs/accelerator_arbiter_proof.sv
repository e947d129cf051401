// SPDX-License-Identifier: Apache-2.0
// What accelerator_arbiter promises: a destination that is asked for has exactly one user, which stays until the
// transfer, and a requester sees at most NumReq - 1 transfers of others before its own.
`include "assert.svh"

module accelerator_arbiter_proof #(
  parameter int NumReq = 4
) (
  input logic              clk_i,
  input logic              rst_ni,
  input logic [NumReq-1:0] req_i,
  input logic              ready_i
);

  logic [NumReq-1:0] gnt;

  accelerator_arbiter #(
    .NumReq(NumReq)
  ) u_dut (
    .clk_i,
    .rst_ni,
    .req_i,
    .gnt_o(gnt),
    .ready_i
  );

  logic [NumReq-1:0] waits_q;  // granted, but not yet taken

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) waits_q <= '0;
    else waits_q <= ready_i ? '0 : gnt;
  end

  `ASSERT(only_requests, (gnt & ~req_i) == '0)
  `ASSERT(work_conserving, req_i == '0 || gnt != '0)
  `ASSERT(granted_stays, waits_q == '0 || gnt == waits_q)

  for (genvar i = 0; i < NumReq; i++) begin : gen_requester
    int overtaken_q;  // transfers of others since it asks
    always_ff @(posedge clk_i or negedge rst_ni) begin
      if (!rst_ni) overtaken_q <= 0;
      else if (!req_i[i] || (gnt[i] && ready_i)) overtaken_q <= 0;
      else if (ready_i && gnt != '0) overtaken_q <= overtaken_q + 1;
    end
    `ASSERT(nobody_waits_longer, !req_i[i] || overtaken_q < NumReq)

    // What the induction needs to know of the inside: who is granted goes behind all others at once.
    logic [NumReq-1:0] others;
    for (genvar j = 0; j < NumReq; j++) begin : gen_other
      assign others[j] = i != j && u_dut.u_order.before_q[j*NumReq+i];
    end
    `ASSERT(granted_is_last, !waits_q[i] || $countones(others) == NumReq - 1)
    `ASSERT(waiting_bounded, overtaken_q >= 0 && overtaken_q < NumReq && (waits_q[i] || overtaken_q +
            $countones(others) + int'(waits_q != '0) < NumReq))
  end
  `ASSERT(waits_for_one, u_dut.held_q == waits_q && $countones(waits_q) <= 1)

endmodule : accelerator_arbiter_proof
