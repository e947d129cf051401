// SPDX-License-Identifier: Apache-2.0
// What bank_arbiter promises: a bank has one user at a time, a bank that is asked for has one, and a requester loses
// at most NumReq - 1 times in a row (nobody_starves of the module itself).
`include "assert.svh"

module bank_arbiter_proof #(
  parameter int NumReq = 4,
  parameter int BankWidth = 2
) (
  input logic                             clk_i,
  input logic                             rst_ni,
  input logic [NumReq-1:0]                req_i,
  input logic [NumReq-1:0][BankWidth-1:0] bank_i
);

  logic [NumReq-1:0] gnt;

  bank_arbiter #(
    .NumReq   (NumReq),
    .BankWidth(BankWidth)
  ) u_dut (
    .clk_i,
    .rst_ni,
    .req_i,
    .bank_i,
    .gnt_o(gnt)
  );

  logic alone, conserving;

  always_comb begin
    alone      = 1'b1;
    conserving = 1'b1;
    for (int i = 0; i < NumReq; i++) begin
      automatic logic served = 1'b0;
      for (int j = 0; j < NumReq; j++) begin
        if (i != j && gnt[i] && gnt[j] && bank_i[i] == bank_i[j]) alone = 1'b0;
        if (gnt[j] && bank_i[i] == bank_i[j]) served = 1'b1;
      end
      if (req_i[i] && !served) conserving = 1'b0;
    end
  end

  `ASSERT(only_requests, (gnt & ~req_i) == '0)
  `ASSERT(exclusive, alone)
  `ASSERT(work_conserving, conserving)

endmodule : bank_arbiter_proof
