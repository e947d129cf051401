// SPDX-License-Identifier: Apache-2.0
// Camel case as generated Verilog has it: swaps the bytes, no register.
module camelSwap (
    input         clock,
    input         reset,
    input         io_input_valid,
    output        io_input_ready,
    input  [15:0] io_input_payload_pixelPair,
    input         io_input_payload_isLast,
    output        io_output_valid,
    input         io_output_ready,
    output [15:0] io_output_payload_pixelPair,
    output        io_output_payload_isLast
);
  assign io_output_valid = io_input_valid;
  assign io_input_ready = io_output_ready;
  assign io_output_payload_pixelPair = {io_input_payload_pixelPair[7:0], io_input_payload_pixelPair[15:8]};
  assign io_output_payload_isLast = io_input_payload_isLast;
  wire unused = clock ^ reset;
endmodule
