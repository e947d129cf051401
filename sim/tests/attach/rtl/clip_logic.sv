// SPDX-License-Identifier: Apache-2.0
// Combinational: a signed 12-bit value clipped to 8 bits, and whether it was.
module clip_logic (
    input  logic signed [11:0] x_i,
    output logic signed [ 7:0] y_o,
    output logic               clipped_o
);
  assign clipped_o = x_i > 127 || x_i < -128;
  assign y_o = x_i > 127 ? 8'sd127 : x_i < -128 ? -8'sd128 : x_i[7:0];
endmodule
