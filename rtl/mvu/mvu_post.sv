// SPDX-License-Identifier: Apache-2.0
// After the accumulators: scaler, bias, residual, ReLU, max-pool, quantiser, for all lanes (formulas in docs/mvu.md).
//
// Five register stages, each with its own valid. Sums enter with acc_valid_i; five clocks after, if they end a pool
// group, their quantised form is in block_o. Nothing here can stall.
module mvu_post
  import mvu_pkg::*;
#(
  parameter int Lanes = 64,
  parameter int AccWidth = 27,
  parameter int BiasWidth = 27
) (
  input  logic                                 clk_i,
  // Job
  input  logic signed [       ScalerWidth-1:0] scaler_i,
  input  logic                                 scaler_memory_i,
  input  logic                                 bias_memory_i,
  input  logic        [                   3:0] bias_shift_i,
  input  logic                                 residual_enable_i,
  input  logic signed [       ScalerWidth-1:0] residual_scaler_i,
  input  logic        [                   3:0] residual_shift_i,
  input  logic                                 relu_i,
  input  logic        [                   5:0] shift_i,           // bits the quantiser drops
  input  logic        [                   4:0] precision_i,
  input  logic                                 signed_i,
  input  logic                                 round_i,
  input  logic                                 saturate_i,
  // Stage 3: accumulator, scaler and residual
  input  logic                                 acc_valid_i,
  input  logic        [    Lanes*AccWidth-1:0] acc_i,
  input  logic        [ Lanes*ScalerWidth-1:0] scalers_i,
  input  logic        [          Lanes*17-1:0] residuals_i,
  // Stage 4: bias
  input  logic                                 scaled_valid_i,
  input  logic        [   Lanes*BiasWidth-1:0] biases_i,
  // Stage 5
  input  logic                                 biased_valid_i,
  // Stage 6
  input  logic                                 sum_valid_i,
  input  logic                                 pool_first_i,
  // Stage 7
  input  logic                                 pooled_valid_i,
  // Stage 8: bit planes, plane p at p*Lanes
  output logic        [Lanes*MaxPrecision-1:0] block_o
);

  localparam int ProductWidth = AccWidth + ScalerWidth;
  localparam int ResidualWidth = 17 + ScalerWidth;

  logic signed [ProductWidth-1:0] scaled_q [Lanes];
  logic signed [ResidualWidth-1:0] residual_q [Lanes];
  logic signed [PostWidth-1:0] biased_q [Lanes];
  logic signed [PostWidth-1:0] aligned_q [Lanes];
  logic signed [PostWidth-1:0] sum_q [Lanes];
  logic signed [PostWidth-1:0] pooled_q [Lanes];
  logic [Lanes*MaxPrecision-1:0] block_q;

  always_ff @(posedge clk_i) begin : p_scale
    logic signed [ScalerWidth-1:0] scaler;
    logic signed [16:0] residual;
    if (acc_valid_i) begin
      /* verilator unroll_disable */
      for (int l = 0; l < Lanes; l++) begin
        scaler   = scaler_memory_i ? $signed(scalers_i[l*ScalerWidth+:ScalerWidth]) : scaler_i;
        residual = residual_enable_i ? $signed(residuals_i[l*17+:17]) : 17'sd0;
        scaled_q[l]   <= $signed(acc_i[l*AccWidth+:AccWidth]) * scaler;
        residual_q[l] <= residual * residual_scaler_i;
      end
    end
  end

  always_ff @(posedge clk_i) begin : p_bias
    logic signed [BiasWidth-1:0] bias;
    if (scaled_valid_i) begin
      /* verilator unroll_disable */
      for (int l = 0; l < Lanes; l++) begin
        bias = bias_memory_i ? $signed(biases_i[l*BiasWidth+:BiasWidth]) : $signed(BiasWidth'(0));
        biased_q[l]  <= PostWidth'(scaled_q[l]) + (PostWidth'(bias) <<< bias_shift_i);
        aligned_q[l] <= PostWidth'(residual_q[l]) <<< residual_shift_i;
      end
    end
  end

  always_ff @(posedge clk_i) begin : p_sum
    logic signed [PostWidth-1:0] sum;
    if (biased_valid_i) begin
      /* verilator unroll_disable */
      for (int l = 0; l < Lanes; l++) begin
        sum = biased_q[l] + aligned_q[l];
        sum_q[l] <= relu_i && sum[PostWidth-1] ? '0 : sum;
      end
    end
  end

  always_ff @(posedge clk_i) begin : p_pool
    if (sum_valid_i) begin
      /* verilator unroll_disable */
      for (int l = 0; l < Lanes; l++) begin
        if (pool_first_i || sum_q[l] > pooled_q[l]) pooled_q[l] <= sum_q[l];
      end
    end
  end

  // The quantiser's range and half an output step; one bit more than the sum, for the rounding carry.
  logic signed [PostWidth:0] half, low, high;

  always_comb begin
    half = '0;
    if (round_i && shift_i != '0) half[shift_i-6'd1] = 1'b1;
    high = (PostWidth + 1)'(1);
    high = (high <<< (signed_i ? precision_i - 5'd1 : precision_i)) - (PostWidth + 1)'(1);
    low  = signed_i ? ~high : '0;
  end

  always_ff @(posedge clk_i) begin : p_quantise
    logic signed [PostWidth:0] rounded;
    if (pooled_valid_i) begin
      /* verilator unroll_disable */
      for (int l = 0; l < Lanes; l++) begin
        rounded = ((PostWidth + 1)'(pooled_q[l]) + half) >>> shift_i;
        if (saturate_i && rounded > high) rounded = high;
        if (saturate_i && rounded < low) rounded = low;
        /* verilator unroll_disable */
        for (int p = 0; p < MaxPrecision; p++) block_q[p*Lanes+l] <= rounded[p];
      end
    end
  end

  assign block_o = block_q;

endmodule : mvu_post
