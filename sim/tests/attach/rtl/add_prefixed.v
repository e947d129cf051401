// SPDX-License-Identifier: Apache-2.0
// Directions as prefixes, several fields, no back-pressure: a + b + bias, two clocks later. The bias is a plain pin.
module add_prefixed (
    input  wire        i_clk,
    input  wire        i_rst_n,
    input  wire        i_valid,
    input  wire [ 7:0] i_a,
    input  wire [ 7:0] i_b,
    input  wire [ 3:0] i_cfg_bias,
    output reg         o_valid,
    output reg  [ 8:0] o_sum,
    output wire        o_busy
);
  reg       valid_q;
  reg [8:0] sum_q;
  assign o_busy = valid_q;
  always @(posedge i_clk or negedge i_rst_n)
    if (!i_rst_n) {o_valid, valid_q} <= 2'b00;
    else {o_valid, valid_q} <= {valid_q, i_valid};
  always @(posedge i_clk) begin
    sum_q <= {1'b0, i_a} + {1'b0, i_b};
    o_sum <= sum_q + {5'd0, i_cfg_bias};
  end
endmodule
