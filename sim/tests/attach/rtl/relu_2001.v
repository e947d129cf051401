// SPDX-License-Identifier: Apache-2.0
// Verilog-2001 with the ports' directions in the body: max(din, 0), one register.
module relu_2001 (clk, rst, din, din_vld, din_rdy, dout, dout_vld, dout_rdy);
  parameter WIDTH = 12;
  input              clk;
  input              rst;
  input  [WIDTH-1:0] din;
  input              din_vld;
  output             din_rdy;
  output [WIDTH-1:0] dout;
  output             dout_vld;
  input              dout_rdy;

  reg [WIDTH-1:0] dout;
  reg             dout_vld;
  assign din_rdy = ~dout_vld | dout_rdy;

  always @(posedge clk or posedge rst)
    if (rst) dout_vld <= 1'b0;
    else if (din_rdy) dout_vld <= din_vld;

  always @(posedge clk) if (din_vld & din_rdy) dout <= din[WIDTH-1] ? {WIDTH{1'b0}} : din;
endmodule
