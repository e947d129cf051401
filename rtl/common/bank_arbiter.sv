// SPDX-License-Identifier: Apache-2.0
// Fair arbitration of requesters for a banked memory port, combinational grant.
//
// Requesters that want different banks are all granted; of those that want the same bank the one that
// was served longest ago wins (a matrix arbiter), so a requester that holds its request waits at most
// NumReq - 1 grants of others. A request must be held until its grant.
`include "assert.svh"

module bank_arbiter #(
  parameter int NumReq = 3,
  parameter int BankWidth = 5
) (
  input  logic                             clk_i,
  input  logic                             rst_ni,
  input  logic [NumReq-1:0]                req_i,
  input  logic [NumReq-1:0][BankWidth-1:0] bank_i,
  output logic [NumReq-1:0]                gnt_o
);

  // before_q[i*NumReq+j]: i goes before j. Of the pair (i, j), (j, i) exactly one bit is set.
  logic [NumReq*NumReq-1:0] before_q, before_d;
  logic [NumReq*NumReq-1:0] same_bank;
  logic [NumReq-1:0] gnt;

  for (genvar i = 0; i < NumReq; i++) begin : gen_row
    for (genvar j = 0; j < NumReq; j++) begin : gen_column
      assign same_bank[i*NumReq+j] = bank_i[i] == bank_i[j];
    end
  end

  // Without requests there is nothing to look at, which makes simulation faster.
  always_comb begin
    gnt = req_i;
    if (req_i != '0) begin
      for (int i = 0; i < NumReq; i++) begin
        for (int j = 0; j < NumReq; j++) begin
          if (i != j && req_i[j] && same_bank[i*NumReq+j] && before_q[j*NumReq+i]) gnt[i] = 1'b0;
        end
      end
    end
  end

  // Whoever is served goes behind all who are not.
  always_comb begin
    before_d = before_q;
    if (req_i != '0) begin
      for (int i = 0; i < NumReq; i++) begin
        for (int j = 0; j < NumReq; j++) begin
          if (i != j && gnt[i] && !gnt[j]) begin
            before_d[i*NumReq+j] = 1'b0;
            before_d[j*NumReq+i] = 1'b1;
          end
        end
      end
    end
  end

  assign gnt_o = gnt;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      for (int i = 0; i < NumReq; i++) begin
        for (int j = 0; j < NumReq; j++) before_q[i*NumReq+j] <= i < j;
      end
    end else begin
      before_q <= before_d;
    end
  end

`ifndef SYNTHESIS
  // How often in a row each requester has lost, and clocks since its last grant, which stay at their end.
  logic [NumReq-1:0][31:0] lost_q;
  logic [NumReq-1:0][15:0] since_q;

  for (genvar i = 0; i < NumReq; i++) begin : gen_lost
    always_ff @(posedge clk_i or negedge rst_ni) begin
      if (!rst_ni) begin
        lost_q[i]  <= '0;
        since_q[i] <= '0;
      end else begin
        lost_q[i]  <= req_i[i] && !gnt[i] ? lost_q[i] + 32'd1 : '0;
        since_q[i] <= gnt[i] ? '0 : since_q[i] + 16'(since_q[i] != '1);
      end
    end
    for (genvar j = 0; j < NumReq; j++) begin : gen_longest_ago
      `ASSERT(longest_ago_wins, !(gnt[i] && req_i[j] && !gnt[j] && same_bank[i*NumReq+j]) || since_q[i] >= since_q[j])
    end
    `ASSERT(nobody_starves, !(req_i[i] && !gnt[i]) || lost_q[i] + 32'd1 < NumReq)

`ifdef FORMAL
    // Why that is so, for the proof by induction: with each loss, one of those before the requester goes behind it.
    logic [NumReq-1:0] others;
    for (genvar j = 0; j < NumReq; j++) begin : gen_before
      assign others[j] = i != j && before_q[j*NumReq+i];
      if (i != j) begin : gen_pair
        `ASSERT(one_goes_first, before_q[i*NumReq+j] != before_q[j*NumReq+i])
        `ASSERT(order_of_grants, !before_q[i*NumReq+j] || since_q[i] >= since_q[j])
      end
      for (genvar k = 0; k < NumReq; k++) begin : gen_third
        if (i != j && j != k && i != k) begin : gen_triple
          `ASSERT(no_circle, !(before_q[i*NumReq+j] && before_q[j*NumReq+k]) || before_q[i*NumReq+k])
        end
      end
    end
    `ASSERT(losses_bounded, lost_q[i] < NumReq && lost_q[i] + $countones(others) < NumReq)
`endif
  end
`endif

endmodule : bank_arbiter
