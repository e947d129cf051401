// SPDX-License-Identifier: Apache-2.0
// Order of bit-plane pairs of a bit-serial product: diagonals of equal significance from the highest, in a
// diagonal the input plane goes down while the weight plane goes up (see docs/mvu.md).
//
// init_i starts at the pair of the most significant planes; step_i goes on, and from the last pair (0, 0) back to
// the first. The offsets count words from an element's most significant plane. shift_o: this pair opens a
// new diagonal (meaningless for the first pair of an output). subtract_o: exactly one plane of the pair is a sign plane.
module mvu_planes (
  input  logic       clk_i,
  input  logic       rst_ni,
  input  logic       init_i,
  input  logic       step_i,
  input  logic [4:0] input_precision_i,   // 1 to 16
  input  logic [4:0] weight_precision_i,  // 1 to 16
  input  logic       input_signed_i,
  input  logic       weight_signed_i,
  output logic [3:0] input_offset_o,
  output logic [3:0] weight_offset_o,
  output logic       shift_o,
  output logic       subtract_o
);

  logic [3:0] input_top, weight_top;
  logic [3:0] input_q, input_d, weight_q, weight_d;
  logic shift_q, shift_d;
  logic [4:0] diagonal, input_next;

  assign input_top  = 4'(input_precision_i - 5'd1);
  assign weight_top = 4'(weight_precision_i - 5'd1);
  assign diagonal   = 5'(input_q) + 5'(weight_q) - 5'd1;  // the next one
  assign input_next = diagonal < 5'(input_top) ? diagonal : 5'(input_top);

  always_comb begin
    if (input_q == '0 && weight_q == '0) begin
      input_d  = input_top;
      weight_d = weight_top;
      shift_d  = 1'b0;
    end else if (input_q == '0 || weight_q == weight_top) begin
      input_d  = input_next[3:0];
      weight_d = 4'(diagonal - input_next);
      shift_d  = 1'b1;
    end else begin
      input_d  = input_q - 4'd1;
      weight_d = weight_q + 4'd1;
      shift_d  = 1'b0;
    end
  end

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      input_q  <= '0;
      weight_q <= '0;
      shift_q  <= 1'b0;
    end else if (init_i) begin
      input_q  <= input_top;
      weight_q <= weight_top;
      shift_q  <= 1'b0;
    end else if (step_i) begin
      input_q  <= input_d;
      weight_q <= weight_d;
      shift_q  <= shift_d;
    end
  end

  assign input_offset_o  = input_top - input_q;
  assign weight_offset_o = weight_top - weight_q;
  assign shift_o         = shift_q;
  assign subtract_o      = (input_signed_i & (input_q == input_top)) ^
                           (weight_signed_i & (weight_q == weight_top));

endmodule : mvu_planes
