// SPDX-License-Identifier: Apache-2.0
// Unpacked arrays as ports: the sum of four lanes, with valid and ready.
module sum_lanes #(
    parameter int Lanes = 4
) (
    input  logic       clk_i,
    input  logic       rst_ni,
    input  logic       in_valid_i,
    output logic       in_ready_o,
    input  logic [7:0] in_lanes_i [Lanes],
    output logic       out_valid_o,
    input  logic       out_ready_i,
    output logic [9:0] out_sum_o
);
  logic [9:0] sum;
  always_comb begin
    sum = '0;
    for (int i = 0; i < Lanes; i++) sum += 10'(in_lanes_i[i]);
  end
  assign in_ready_o = ~out_valid_o | out_ready_i;
  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) out_valid_o <= 1'b0;
    else if (in_ready_o) out_valid_o <= in_valid_i;
  end
  always_ff @(posedge clk_i) if (in_valid_i && in_ready_o) out_sum_o <= sum;
endmodule
