// SPDX-License-Identifier: Apache-2.0
// The array: Rows x Columns elements. Rows share weights, columns share pixel vectors, partial sums move to the right.
//
// Two register stages: operands less their zero points, then the accumulators. en_i holds both. The weights come from
// the memory one clock after the control of the clock they belong to.
module pe_array_core
  import pe_array_pkg::*;
#(
  parameter int Rows = 8,
  parameter int Columns = 24,
  parameter int DataWidth = 8,
  parameter int Vectors = 8,
  parameter int VectorWidth = Vectors > 1 ? $clog2(Vectors) : 1,
  parameter int AccsWidth = Columns * Rows * AccWidth
) (
  input  logic                              clk_i,
  input  logic                              en_i,
  // Stage 1: pixels
  input  logic                              valid_i,
  input  logic [Vectors*Rows*DataWidth-1:0] pixels_i,
  input  logic [                  Rows-1:0] in_map_i,
  input  logic                              signed_i,
  input  logic signed [        DataWidth:0] zero_i,
  // Stage 2: weights, and the zero point and signedness that belong to them
  input  logic                              weight_valid_i,
  input  logic [     Columns*DataWidth-1:0] weights_i,
  input  logic                              weight_signed_i,
  input  logic signed [        DataWidth:0] weight_zero_i,
  // Stage 3: accumulate
  input  logic                              acc_valid_i,
  input  logic                              maximum_i,
  input  logic                              first_i,    // first clock of a step: start from the left neighbour
  input  logic                              empty_i,    // ... or from nothing, in the first step of a row block
  input  logic                              shift_i,    // flush: only move
  input  logic [               Columns-1:0] starts_i,
  input  logic [   Columns*VectorWidth-1:0] vectors_i,
  // After stage 3: column c, row r at (c*Rows + r)*AccWidth
  output logic [             AccsWidth-1:0] accs_o
);

  localparam int OperandWidth = DataWidth + 1;
  localparam int VectorBits = Rows * OperandWidth;
  localparam int ColumnWidth = Rows * AccWidth;
  localparam logic [AccWidth-1:0] Lowest = 32'h8000_0000;

  logic [Vectors*VectorBits-1:0] pixels_q, pixels2_q;
  logic [Rows-1:0] in_map_q, in_map2_q;
  logic [Columns*OperandWidth-1:0] weights_q;
  logic [AccsWidth-1:0] accs_q;

  always_ff @(posedge clk_i) begin : p_pixels
    logic [DataWidth-1:0] pixel;
    if (en_i && valid_i) begin
      for (int i = 0; i < Vectors * Rows; i++) begin
        pixel = pixels_i[i*DataWidth+:DataWidth];
        pixels_q[i*OperandWidth+:OperandWidth] <=
            in_map_i[i%Rows] ? {signed_i & pixel[DataWidth-1], pixel} - zero_i : '0;
      end
      in_map_q <= in_map_i;
    end
  end

  always_ff @(posedge clk_i) begin : p_weights
    logic [DataWidth-1:0] weight;
    if (en_i && weight_valid_i) begin
      for (int c = 0; c < Columns; c++) begin
        weight = weights_i[c*DataWidth+:DataWidth];
        weights_q[c*OperandWidth+:OperandWidth] <=
            {weight_signed_i & weight[DataWidth-1], weight} - weight_zero_i;
      end
      pixels2_q <= pixels_q;
      in_map2_q <= in_map_q;
    end
  end

  // A column at a time, and what the step does is asked once for all of its rows: simulators are quicker so.
  always_ff @(posedge clk_i) begin : p_accumulate
    logic [VectorBits-1:0] vector;
    logic signed [OperandWidth-1:0] weight, pixel;
    logic [ColumnWidth-1:0] accs;
    if (en_i && acc_valid_i) begin
      for (int c = 0; c < Columns; c++) begin
        vector = pixels2_q[int'(vectors_i[c*VectorWidth+:VectorWidth])*VectorBits+:VectorBits];
        weight = weights_q[c*OperandWidth+:OperandWidth];
        if (!first_i) accs = accs_q[c*ColumnWidth+:ColumnWidth];
        else if (empty_i || c == 0 || starts_i[c]) accs = maximum_i ? {Rows{Lowest}} : '0;
        else accs = accs_q[(c>0?c-1 : 0)*ColumnWidth+:ColumnWidth];
        if (!shift_i && !maximum_i) begin
          for (int r = 0; r < Rows; r++) begin
            pixel = vector[r*OperandWidth+:OperandWidth];
            accs[r*AccWidth+:AccWidth] = accs[r*AccWidth+:AccWidth] + AccWidth'(pixel) * AccWidth'(weight);
          end
        end else if (!shift_i && weight != '0) begin
          for (int r = 0; r < Rows; r++) begin
            pixel = vector[r*OperandWidth+:OperandWidth];
            if (in_map2_q[r] && AccWidth'(pixel) > $signed(accs[r*AccWidth+:AccWidth]))
              accs[r*AccWidth+:AccWidth] = AccWidth'(pixel);
          end
        end
        accs_q[c*ColumnWidth+:ColumnWidth] <= accs;
      end
    end
  end

  assign accs_o = accs_q;

endmodule : pe_array_core
