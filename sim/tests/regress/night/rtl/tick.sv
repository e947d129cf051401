// SPDX-License-Identifier: Apache-2.0
// The design of the tests of regressions: it counts.
module tick (
    input  logic        clk_i,
    input  logic        rst_ni,
    output logic [15:0] count_o
);
  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) count_o <= '0;
    else count_o <= count_o + 1'b1;
  end
endmodule
