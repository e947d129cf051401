// SPDX-License-Identifier: Apache-2.0
// Multiplies 32-bit numbers by factors and rounds them, as TFLite's int8 kernels and fixed-point ONNX do (definitions:
// golden/schemes/tflite.py and fixed_point.py; docs/pe_array.md, "rescale"). A factor applies in one of three ways:
//
//   double rounding   neither flag: x << left in 32 bits; (that * multiplier[30:0] + 2^30) >> 31; >> right, half away from 0
//   float64           float_i: x * multiplier rounded to 53 bits, half to even; >> right, half away from zero; saturated
//   rational          rational_i: x * 2^left / divisor or x / (2^right * divisor), half away from zero, where {log, multiplier}
//                     is rescale_pkg::reciprocal(divisor). Exact where the result is below 2^23 in magnitude; a larger one
//                     may come out smaller, but is never below 2^23: a caller that clamps to 24 bits sees no difference.
//
// All work on sign and magnitude. Four register stages: operand, product, first rounding, shift. Stage s takes its values
// in a clock with en_i and stage_i[s]: the caller moves that bit along with its values. Other stages hold still.
//
// One product of 32 x 53 bits serves all; only float64 needs its upper 21 columns. Why float64 may round once:
// adding u / 2, where u is the last place of the 53-bit product, and then half a step before the shift gives the
// doubly rounded result wherever that stays within 32 bits (golden.pe_array.lanes has the proof). Why the double rounding's
// tie is right for negative x: floor((-P + 2^30) / 2^31) = -floor((P + 2^30 - 1) / 2^31).
//
// The loops over values stay loops in Verilator, else they alone compile for minutes.
module rescale
  import rescale_pkg::*;
#(
  parameter int Values = 1,
  parameter int Factors = 1  // divides Values: value v takes factor v / (Values / Factors)
) (
  input  logic                      clk_i,
  input  logic                      en_i,
  input  logic [RescaleLatency-1:0] stage_i,
  // Into stage 0
  input  logic [     Values*32-1:0] x_i,
  input  logic [       Factors-1:0] float_i,
  input  logic [       Factors-1:0] rational_i,
  input  logic [    Factors*53-1:0] multiplier_i,
  input  logic [     Factors*6-1:0] left_i,
  input  logic [     Factors*7-1:0] right_i,
  input  logic [     Factors*8-1:0] divisor_i,
  input  logic [     Factors*4-1:0] log_i,
  // Out of stage 3
  output logic [     Values*32-1:0] y_o
);

  localparam int Share = Values / Factors;

  logic [Factors-1:0] float_q, float2_q, float3_q, rational_q, rational2_q, rational3_q;
  logic [52:0] multiplier_q [Factors];
  logic [6:0] down_q [Factors];
  logic [6:0] down2_q [Factors];
  logic [6:0] down3_q [Factors];
  logic [Values-1:0] negative_q, negative2_q, negative3_q;
  logic [31:0] operand_q [Values];
  logic [84:0] product_q [Values];
  logic [84:0] rounded_q [Values];
  logic [Values*32-1:0] y_q;

  // What goes with the factors.
  always_ff @(posedge clk_i) begin : p_factors
    if (en_i && stage_i[0]) begin
      float_q    <= float_i;
      rational_q <= rational_i;
      for (int f = 0; f < Factors; f++) begin
        // Double rounding has 31 bits of multiplier, a reciprocal 32.
        multiplier_q[f] <= float_i[f] ? multiplier_i[f*53+:53] :
            {21'd0, multiplier_i[f*53+31] & rational_i[f], multiplier_i[f*53+:31]};
        down_q[f] <= rational_i[f] ? 7'd31 + 7'(log_i[f*4+:4]) : right_i[f*7+:7];
      end
    end
    if (en_i && stage_i[1]) begin
      float2_q    <= float_q;
      rational2_q <= rational_q;
      for (int f = 0; f < Factors; f++) down2_q[f] <= down_q[f];
    end
    if (en_i && stage_i[2]) begin
      float3_q    <= float2_q;
      rational3_q <= rational2_q;
      for (int f = 0; f < Factors; f++) down3_q[f] <= down2_q[f];
    end
  end

  always_ff @(posedge clk_i) begin : p_operand
    logic [31:0] x, magnitude;
    logic [32:0] halved, numerator;
    logic [63:0] shifted;
    logic negative;
    if (en_i && stage_i[0]) begin
      /* verilator unroll_disable */
      for (int v = 0; v < Values; v++) begin
        x = x_i[v*32+:32];
        if (!float_i[v/Share] && !rational_i[v/Share]) x = x << left_i[v/Share*6+:6];
        negative  = x[31];
        magnitude = negative ? -x : x;
        if (rational_i[v/Share]) begin
          // floor(|x| * 2^shift + divisor / 2), at most 2^31 - 1. Half of an odd divisor goes to the bit below a right
          // shift's last: it carries if that is one.
          shifted   = 64'(magnitude) << left_i[v/Share*6+:6];
          halved    = {magnitude, 1'b0} >> right_i[v/Share*7+:7];
          numerator = left_i[v/Share*6+:6] != '0 ? 33'(shifted[31:0]) : 33'(halved[32:1]);
          numerator = numerator + 33'(divisor_i[v/Share*8+1+:7]) + 33'(halved[0] & divisor_i[v/Share*8]);
          if (left_i[v/Share*6+:6] != '0 && shifted[63:31] != '0) magnitude = 32'h7fff_ffff;
          else magnitude = numerator[32:31] != '0 ? 32'h7fff_ffff : numerator[31:0];
        end
        negative_q[v] <= negative;
        operand_q[v]  <= magnitude;
      end
    end
  end

  always_ff @(posedge clk_i) begin : p_product
    logic [63:0] low;
    logic [52:0] high;
    if (en_i && stage_i[1]) begin
      negative2_q <= negative_q;
      /* verilator unroll_disable */
      for (int v = 0; v < Values; v++) begin
        low = 64'(operand_q[v]) * 64'(multiplier_q[v/Share][31:0]);
        high = '0;
        if (float_q[v/Share]) high = 53'(operand_q[v]) * 53'(multiplier_q[v/Share][52:32]);
        product_q[v] <= {high + 53'(low[63:32]), low[31:0]};
      end
    end
  end

  always_ff @(posedge clk_i) begin : p_round
    logic [31:0] top, half_place;
    logic up;
    if (en_i && stage_i[2]) begin
      negative3_q <= negative2_q;
      /* verilator unroll_disable */
      for (int v = 0; v < Values; v++) begin
        if (float2_q[v/Share]) begin
          // The highest one of bits 84 to 53 alone, 53 places lower: u / 2.
          top = product_q[v][84:53];
          top = top | (top >> 1);
          top = top | (top >> 2);
          top = top | (top >> 4);
          top = top | (top >> 8);
          top = top | (top >> 16);
          half_place = top ^ (top >> 1);
          rounded_q[v] <= product_q[v] + 85'(half_place);
        end else if (rational2_q[v/Share]) begin
          rounded_q[v] <= product_q[v];
        end else begin
          up = product_q[v][30] && !(negative2_q[v] && product_q[v][29:0] == '0);
          rounded_q[v] <= 85'(product_q[v][62:31]) + 85'(up);
        end
      end
    end
  end

  always_ff @(posedge clk_i) begin : p_shift
    logic [85:0] wide;
    logic [32:0] halved, magnitude;
    logic huge;
    if (en_i && stage_i[3]) begin
      /* verilator unroll_disable */
      for (int v = 0; v < Values; v++) begin
        huge = 1'b0;
        if (float3_q[v/Share]) begin
          wide      = {rounded_q[v], 1'b0} >> down3_q[v/Share];
          magnitude = 33'(wide[32:1]) + 33'(wide[0]);
          huge      = wide[85:33] != '0 || magnitude[32:31] != '0;
        end else if (rational3_q[v/Share]) begin
          magnitude = 33'(rounded_q[v][63:0] >> down3_q[v/Share]);
        end else begin
          halved    = {rounded_q[v][31:0], 1'b0} >> down3_q[v/Share];
          magnitude = 33'(halved[32:1]) + 33'(halved[0]);
        end
        if (huge) y_q[v*32+:32] <= negative3_q[v] ? 32'h8000_0000 : 32'h7fff_ffff;
        else y_q[v*32+:32] <= negative3_q[v] ? -magnitude[31:0] : magnitude[31:0];
      end
    end
  end

  assign y_o = y_q;

endmodule : rescale
