// SPDX-License-Identifier: Apache-2.0
// What users of `rescale` need beside it: reciprocals of divisors, and shifts by direction.
package rescale_pkg;

  localparam int RescaleLatency = 4;  // clocks from x_i to y_o of `rescale`

  // Reciprocal of a divisor a in 1 to 255: {l, M} with l the bits of a - 1 and M = ceil(2^(31+l) / a), which has 32 bits.
  // For 0 <= t < 2^31, floor(t * M / 2^(31+l)) is floor(t / a): with e = M * a - 2^(31+l) < a <= 2^l it is
  // t / a + t * e / (a * 2^(31+l)), and what is added is less than 1 / a. The table is indexed by a; 0 counts as 1.
  localparam int ReciprocalWidth = 36;
  typedef logic [ReciprocalWidth-1:0] reciprocal_t;

  function automatic logic [256*ReciprocalWidth-1:0] reciprocal_table();
    logic [63:0] power;
    int l;
    for (int a = 0; a < 256; a++) begin
      l = 0;
      for (int i = 1; i < 9; i++) if (a > (1 << (i - 1))) l = i;
      power = 64'd1 << (31 + l);
      reciprocal_table[a*ReciprocalWidth+:ReciprocalWidth] =
          {4'(l), a == 0 ? 32'(power) : 32'((power + 64'(a) - 64'd1) / 64'(a))};
    end
  endfunction

  localparam logic [256*ReciprocalWidth-1:0] Reciprocals = reciprocal_table();

  function automatic reciprocal_t reciprocal(logic [7:0] divisor);
    return Reciprocals[int'(divisor)*ReciprocalWidth+:ReciprocalWidth];
  endfunction

  // A signed shift as {left, right}. What is limited changes nothing: 32 bits shifted left by 32 have gone, or saturate.
  function automatic logic [12:0] shift_amounts(logic signed [7:0] shift);
    logic [7:0] magnitude;
    magnitude = shift < 0 ? -shift : shift;
    if (shift < 0) return {6'd0, magnitude > 8'd127 ? 7'd127 : magnitude[6:0]};
    return {magnitude > 8'd32 ? 6'd32 : magnitude[5:0], 7'd0};
  endfunction

endpackage : rescale_pkg
