// SPDX-License-Identifier: Apache-2.0
// What rescale promises, for one value and all clocks enabled: the operand of the product, and what becomes of the
// product, are those of the definition. The solver takes the multiplication's result as any number in its range, so that
// everything around it is proved at full width.
`include "assert.svh"

module rescale_proof
  import rescale_pkg::*;
(
  input logic        clk_i,
  input logic        rst_ni,
  input logic [31:0] x_i,
  input logic        float_i,
  input logic        rational_i,
  input logic [52:0] multiplier_i,
  input logic [ 5:0] left_i,
  input logic [ 6:0] right_i,
  input logic [ 7:0] divisor_i,
  input logic [ 3:0] log_i
);

  logic [31:0] y;

  rescale u_dut (
    .clk_i,
    .en_i   (1'b1),
    .stage_i('1),
    .x_i,
    .float_i,
    .rational_i,
    .multiplier_i,
    .left_i,
    .right_i,
    .divisor_i,
    .log_i,
    .y_o    (y)
  );

  typedef struct packed {
    logic        valid;
    logic [31:0] x;
    logic        is_float;
    logic        is_rational;
    logic [52:0] multiplier;
    logic [ 5:0] left;
    logic [ 6:0] right;
    logic [ 7:0] divisor;
    logic [ 3:0] log;
  } job_t;

  // What is in each stage, and the product of the last two.
  job_t job1_q, job2_q, job3_q, job4_q;
  logic [84:0] product3_q, product4_q;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      job1_q <= '0;
      job2_q <= '0;
      job3_q <= '0;
      job4_q <= '0;
    end else begin
      job1_q <= {1'b1, x_i, float_i, rational_i, multiplier_i, left_i, right_i, divisor_i, log_i};
      job2_q <= job1_q;
      job3_q <= job2_q;
      job4_q <= job3_q;
    end
  end

  always_ff @(posedge clk_i) begin
    product3_q <= u_dut.product_q[0];
    product4_q <= product3_q;
  end

  `ASSERT(one_mode, !(float_i && rational_i))
  `ASSERT(shifts_are_limited, left_i <= 6'd32 && (!rational_i || left_i == '0 || right_i == '0))

  // --- into the product ---

  // |x| of what is multiplied; of the rational mode floor(|x| * 2**shift + divisor / 2), 2**31 - 1 at most.
  logic [31:0] shifted, operand;
  logic [159:0] numerator;
  logic negative;

  assign shifted  = job1_q.is_float || job1_q.is_rational ? job1_q.x : job1_q.x << job1_q.left;
  assign negative = $signed(shifted) < 0;

  always_comb begin
    operand   = negative ? -shifted : shifted;
    numerator = job1_q.left != '0 ? (160'(operand) << job1_q.left) + 160'(job1_q.divisor >> 1) :
        (160'(operand) + ((160'(job1_q.divisor) << job1_q.right) >> 1)) >> job1_q.right;
    if (job1_q.is_rational) operand = numerator > 160'h7fff_ffff ? 32'h7fff_ffff : numerator[31:0];
  end

  `ASSERT(operand_as_defined, !job1_q.valid || (u_dut.operand_q[0] == operand && u_dut.negative_q[0] == negative))
  `ASSERT(multiplier_as_defined, !job1_q.valid || u_dut.multiplier_q[0] == (job1_q.is_float ? job1_q.multiplier :
          53'(job1_q.is_rational ? job1_q.multiplier[31:0] : 32'(job1_q.multiplier[30:0]))))

  // The most that the product can be.
  localparam logic [84:0] MostTwice    = 85'h8000_0000 * 85'h7fff_ffff;
  localparam logic [84:0] MostRational = 85'h7fff_ffff * 85'hffff_ffff;
  localparam logic [84:0] MostFloat    = 85'h8000_0000 * 85'h1f_ffff_ffff_ffff;
  `ASSERT(product_in_range, u_dut.product_q[0] <= (job2_q.is_float ? MostFloat : job2_q.is_rational ? MostRational :
          MostTwice))

  // --- out of the product ---

  // Sign of the last stage's value, and the two factors' signed product.
  logic [31:0] shifted4;
  logic negative4;
  assign shifted4  = job4_q.is_float || job4_q.is_rational ? job4_q.x : job4_q.x << job4_q.left;
  assign negative4 = $signed(shifted4) < 0;

  // Twice rounded: floor((S + 2**30) / 2**31), then half away from zero.
  logic signed [87:0] signed_product, first, half;
  logic [31:0] twice;
  always_comb begin
    signed_product = negative4 ? -$signed({3'b0, product4_q}) : $signed({3'b0, product4_q});
    first          = (signed_product + 88'sd1073741824) >>> 31;
    half           = ((88'sd1 <<< job4_q.right) - (first < 0 ? 88'sd1 : 88'sd0)) >>> 1;
    twice          = 32'((first + half) >>> job4_q.right);
    // Less than half remains.
    if (job4_q.right > 7'd40) twice = '0;
  end

  // float64: to 53 bits, half to even; then half away from zero, and saturated.
  logic [86:0] kept, dropped, last_place, rounded, whole;
  logic [31:0] once;
  logic more, tie, up;
  always_comb begin
    last_place = 87'd1;
    for (int i = 53; i < 85; i++) if (product4_q[i]) last_place = 87'd1 << (i - 52);
    dropped = 87'(product4_q) & (last_place - 87'd1);
    kept    = 87'(product4_q) - dropped;
    more    = 88'(dropped) << 1 > 88'(last_place);
    tie     = 88'(dropped) << 1 == 88'(last_place);
    rounded = more || (tie && (kept & last_place) != '0) ? kept + last_place : kept;
    up      = job4_q.right != '0 && job4_q.right <= 7'd87 && (rounded >> (job4_q.right - 7'd1) & 87'd1) != '0;
    whole   = (rounded >> job4_q.right) + 87'(up);
    if (whole >= 87'h8000_0000) once = negative4 ? 32'h8000_0000 : 32'h7fff_ffff;
    else once = negative4 ? -whole[31:0] : whole[31:0];
  end

  logic [31:0] quotient, rational;
  assign quotient = 32'(product4_q >> (6'd31 + 6'(job4_q.log)));
  assign rational = negative4 ? -quotient : quotient;

  `ASSERT(double_rounding_as_defined, !job4_q.valid || job4_q.is_float || job4_q.is_rational || y == twice)
  `ASSERT(float64_as_defined, !job4_q.valid || !job4_q.is_float || y == once)
  `ASSERT(rational_as_defined, !job4_q.valid || !job4_q.is_rational || y == rational)

endmodule : rescale_proof
