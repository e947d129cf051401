// SPDX-License-Identifier: Apache-2.0
// Shifts of shifts, as a compiler may fold them into one: the sum of the amounts needs a bit more than either.
// One output for each form; shifts.cpp knows what each must be.
module shifts (
    input  logic        clk_i,
    input  logic [ 7:0] value_i,
    input  logic [ 2:0] first_i,
    input  logic [ 2:0] second_i,
    input  logic [ 1:0] narrow_i,
    output logic [ 7:0] left_o,
    output logic [ 7:0] right_o,
    output logic [ 7:0] arithmetic_o,
    output logic [ 7:0] left_in_steps_o,
    output logic [ 7:0] right_in_steps_o,
    output logic [ 7:0] arithmetic_in_steps_o,
    output logic [ 7:0] narrow_left_o,
    output logic [ 7:0] narrow_right_o,
    output logic [ 7:0] three_left_o,
    output logic [ 7:0] three_right_o,
    output logic [63:0] wide_left_o,
    output logic [63:0] wide_right_o,
    output logic [ 7:0] constant_left_o,
    output logic [ 7:0] constant_right_o,
    output logic [ 7:0] both_ways_o,
    output logic [ 7:0] procedural_o,
    output logic [ 7:0] clocked_o
);
  assign left_o = (value_i << first_i) << second_i;
  assign right_o = (value_i >> first_i) >> second_i;
  assign arithmetic_o = ($signed(value_i) >>> first_i) >>> second_i;

  // In statements of their own, which optimisation joins.
  logic [7:0] left, right;
  logic signed [7:0] arithmetic;
  assign left = value_i << first_i;
  assign left_in_steps_o = left << second_i;
  assign right = value_i >> first_i;
  assign right_in_steps_o = right >> second_i;
  assign arithmetic = $signed(value_i) >>> first_i;
  assign arithmetic_in_steps_o = arithmetic >>> second_i;

  // Amounts of unlike widths.
  assign narrow_left_o = (value_i << first_i) << narrow_i;
  assign narrow_right_o = (value_i >> narrow_i) >> second_i;

  assign three_left_o = ((value_i << first_i) << second_i) << narrow_i;
  assign three_right_o = ((value_i >> first_i) >> second_i) >> narrow_i;

  assign wide_left_o = ({56'd0, value_i} << {first_i, 3'd7}) << {second_i, 3'd7};
  assign wide_right_o = ({value_i, 56'd0} >> {first_i, 3'd7}) >> {second_i, 3'd7};

  assign constant_left_o = (value_i << first_i) << 3'd6;
  assign constant_right_o = (value_i >> 3'd6) >> second_i;

  assign both_ways_o = (value_i << first_i) >> second_i;

  always_comb begin
    procedural_o = value_i;
    procedural_o = procedural_o >> first_i;
    if (narrow_i != 0) procedural_o = procedural_o >> second_i;
  end

  always_ff @(posedge clk_i) clocked_o <= (value_i << first_i) << second_i;
endmodule
