// One lane after the accumulator: scaler, bias, residual, ReLU, max-pool, quantiser (formulas in docs/mvu.md).
//
// Five register stages, each with its own valid; a value enters with acc_valid_i and its quantised form is in
// output_o five clocks after, if it ends a pool group. Nothing here can stall.
module mvu_post_lane
  import mvu_pkg::*;
#(
  parameter int AccWidth = 27,
  parameter int BiasWidth = 27
) (
  input  logic                           clk_i,
  // Job
  input  logic        [             3:0] bias_shift_i,
  input  logic signed [ScalerWidth-1:0]  residual_scaler_i,
  input  logic        [             3:0] residual_shift_i,
  input  logic                           relu_i,
  input  logic        [             5:0] shift_i,          // bits the quantiser drops
  input  logic        [             4:0] precision_i,
  input  logic                           signed_i,
  input  logic                           round_i,
  input  logic                           saturate_i,
  // Stage 3: accumulator, scaler and residual
  input  logic                           acc_valid_i,
  input  logic signed [    AccWidth-1:0] acc_i,
  input  logic signed [ScalerWidth-1:0]  scaler_i,
  input  logic signed [            16:0] residual_i,
  // Stage 4: bias
  input  logic                           scaled_valid_i,
  input  logic signed [   BiasWidth-1:0] bias_i,
  // Stage 5
  input  logic                           biased_valid_i,
  // Stage 6
  input  logic                           sum_valid_i,
  input  logic                           pool_first_i,
  // Stage 7
  input  logic                           pooled_valid_i,
  output logic        [MaxPrecision-1:0] output_o
);

  localparam int ProductWidth = AccWidth + ScalerWidth;
  localparam int ResidualWidth = 17 + ScalerWidth;

  logic signed [ProductWidth-1:0] scaled_q;
  logic signed [ResidualWidth-1:0] residual_q;
  logic signed [PostWidth-1:0] biased_q, aligned_q, sum_q, pooled_q, sum;
  logic [MaxPrecision-1:0] output_q;

  always_ff @(posedge clk_i) begin
    if (acc_valid_i) begin
      scaled_q   <= acc_i * scaler_i;
      residual_q <= residual_i * residual_scaler_i;
    end
  end

  always_ff @(posedge clk_i) begin
    if (scaled_valid_i) begin
      biased_q  <= PostWidth'(scaled_q) + (PostWidth'(bias_i) <<< bias_shift_i);
      aligned_q <= PostWidth'(residual_q) <<< residual_shift_i;
    end
  end

  assign sum = biased_q + aligned_q;

  always_ff @(posedge clk_i) begin
    if (biased_valid_i) sum_q <= relu_i && sum[PostWidth-1] ? '0 : sum;
  end

  always_ff @(posedge clk_i) begin
    if (sum_valid_i && (pool_first_i || sum_q > pooled_q)) pooled_q <= sum_q;
  end

  // One bit more than the sum, for the rounding carry.
  logic signed [PostWidth:0] half, rounded, low, high;

  always_comb begin
    half    = '0;
    rounded = '0;
    low     = '0;
    high    = '0;
    if (pooled_valid_i) begin
      if (round_i && shift_i != '0) half[shift_i-6'd1] = 1'b1;
      rounded = ((PostWidth + 1)'(pooled_q) + half) >>> shift_i;
      high    = signed_i ? ((PostWidth + 1)'(1) << (precision_i - 5'd1)) - 1 : ((PostWidth + 1)'(1) << precision_i) - 1;
      low     = signed_i ? -high - 1 : '0;
      if (saturate_i) begin
        if (rounded > high) rounded = high;
        if (rounded < low) rounded = low;
      end
    end
  end

  always_ff @(posedge clk_i) begin
    if (pooled_valid_i) output_q <= rounded[MaxPrecision-1:0];
  end

  assign output_o = output_q;

endmodule : mvu_post_lane
