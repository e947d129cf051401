// SPDX-License-Identifier: Apache-2.0
// A design of the runner's own tests: a counter with an enable, and one error that a plusarg-free input provokes.
module counter_tb #(
    parameter int Width = 8
) (
    input  logic             clk_i,
    input  logic             rst_ni,
    input  logic             enable_i,
    input  logic             error_i,
    output logic [Width-1:0] count_o,
    output logic [Width-1:0] never_reset_o
);
  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) count_o <= '0;
    else if (enable_i) count_o <= count_o + 1'b1;
  end

  // Holds its initial value, so that a test sees where that came from.
  always_ff @(posedge clk_i) begin
    if (error_i) never_reset_o <= '0;
  end

  always_ff @(posedge clk_i) begin
    if (rst_ni && error_i) $error("error_i is high at count %0d", count_o);
  end

  `include "waves.svh"
endmodule
