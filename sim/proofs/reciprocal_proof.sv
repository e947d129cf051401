// SPDX-License-Identifier: Apache-2.0
// What rescale_pkg says of its reciprocals {l, M} of a divisor a: M * a is at least 2**(31 + l), and less than that plus a,
// which is 2**l at most. From this follows floor(t * M / 2**(31 + l)) = floor(t / a) for every t below 2**31.
`include "assert.svh"

module reciprocal_proof
  import rescale_pkg::*;
(
  input logic       clk_i,
  input logic       rst_ni,
  input logic [7:0] divisor_i
);

  logic [43:0] product, power;
  reciprocal_t pair;

  assign pair    = reciprocal(divisor_i);
  assign power   = 44'd1 << (6'd31 + 6'(pair[35:32]));
  assign product = 44'(pair[31:0]) * 44'(divisor_i);

  `ASSERT(reciprocal_as_defined, divisor_i == '0 || (product >= power && product - power < 44'(divisor_i) &&
          9'(divisor_i) <= 9'd1 << pair[35:32]))

  logic unused_clk;
  assign unused_clk = clk_i;

endmodule : reciprocal_proof
