// SPDX-License-Identifier: Apache-2.0
// A design of the runner's own tests: the least value since the reset, and how many values there were.
module smallest (
    input  logic       clk_i,
    input  logic       rst_ni,
    input  logic       valid_i,
    input  logic [3:0] value_i,
    output logic [3:0] least_o,
    output logic [3:0] count_o
);
  logic [3:0] least_d, least_q, count_q;

  // With <= in place of < this is the same function.
  assign least_d = value_i < least_q ? value_i : least_q;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      least_q <= '1;
      count_q <= '0;
    end else if (valid_i) begin
      least_q <= least_d;
      // The bench never gives 15 values, so that it does not see the end of the count.
      if (count_q != 4'd15) count_q <= count_q + 4'd1;
    end
  end

  assign least_o = least_q;
  assign count_o = count_q;
endmodule
