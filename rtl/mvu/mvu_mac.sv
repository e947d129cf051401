// SPDX-License-Identifier: Apache-2.0
// Multiply lanes: each clock the dot product of one activation word with every lane's weight row, accumulated bit
// plane by bit plane. data_valid_i comes with the words read from the memories; two clocks later acc_o holds
// their sums, for one clock at least.
//
// The lanes share their control, so each stage is one process over all lanes: a simulator tests a condition once a
// clock and not once a lane.
module mvu_mac #(
  parameter int Lanes = 64,
  parameter int AccWidth = 27
) (
  input  logic                       clk_i,
  // Stage 1: words
  input  logic                       data_valid_i,
  input  logic [          Lanes-1:0] activation_i,
  input  logic [    Lanes*Lanes-1:0] weights_i,      // row l: weights of lane l
  input  logic                       equal_mode_i,   // product +1 where bits are equal, else -1
  // Stage 2: counts
  input  logic                       count_valid_i,
  input  logic                       load_i,
  input  logic                       shift_i,
  input  logic                       negate_i,
  input  logic                       zero_mode_i,
  output logic [Lanes*AccWidth-1:0]  acc_o             // lane l at l*AccWidth
);

  localparam int CountWidth = $clog2(Lanes + 1);
  // Icarus 11 now and then counts what lies above a vector of less than 32 bits.
  localparam int WordWidth = Lanes < 32 ? 32 : Lanes;

  logic [CountWidth-1:0] count_q [Lanes];
  logic [AccWidth-1:0] acc_q [Lanes];

  // Bits are equal where `not (a xor w)`.
  always_ff @(posedge clk_i) begin : p_count
    logic [Lanes-1:0] products;
    if (data_valid_i) begin
      if (equal_mode_i) begin
        /* verilator unroll_disable */
        for (int l = 0; l < Lanes; l++) begin
          products = ~(activation_i ^ weights_i[l*Lanes+:Lanes]);
          count_q[l] <= CountWidth'($countones(WordWidth'(products)));
        end
      end else begin
        /* verilator unroll_disable */
        for (int l = 0; l < Lanes; l++) begin
          products = activation_i & weights_i[l*Lanes+:Lanes];
          count_q[l] <= CountWidth'($countones(WordWidth'(products)));
        end
      end
    end
  end

  // acc := (0 | acc | 2 acc) +/- product. The product of a lane is its count, with equal_mode_i
  // count - (Lanes - count), with zero_mode_i 0. The masks select without a branch in the loop.
  logic [AccWidth-1:0] keep, negative, offset;
  logic [1:0] shift;

  assign keep     = {AccWidth{~load_i}};
  assign negative = {AccWidth{negate_i}};
  assign offset   = equal_mode_i ? AccWidth'(Lanes) : '0;
  assign shift    = {1'b0, shift_i};

  always_ff @(posedge clk_i) begin
    if (count_valid_i) begin
      for (int l = 0; l < Lanes; l++) begin
        acc_q[l] <= ((acc_q[l] & keep) << shift) +
                    (((zero_mode_i ? '0 : (AccWidth'(count_q[l]) << equal_mode_i) - offset) ^ negative) +
                     AccWidth'(negate_i));
      end
    end
  end

  for (genvar l = 0; l < Lanes; l++) begin : gen_acc
    assign acc_o[l*AccWidth+:AccWidth] = acc_q[l];
  end

endmodule : mvu_mac
