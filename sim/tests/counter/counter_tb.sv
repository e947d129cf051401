// SPDX-License-Identifier: Apache-2.0
// A design of the runner's own tests: a counter with an enable, and one error that a plusarg-free input provokes.
module counter_tb #(
    parameter int Width = 8
) (
    input  logic             clk_i,
    input  logic             rst_ni,
    input  logic             enable_i,
    input  logic             error_i,
    input  logic             finish_i,
    input  logic             fatal_i,
    input  logic             stop_i,
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

  // What a wave file may leave out: more lanes than 32, in an array, in a structure and in one vector.
  logic [7:0] lanes_q[200];
  logic [199:0][63:0] vector_q;
  always_ff @(posedge clk_i) begin
    for (int i = 0; i < 200; i++) begin
      lanes_q[i]  <= 8'(count_o) + 8'(i);
      vector_q[i] <= 64'(count_o) + 64'(i);
    end
  end
`ifdef VERILATOR  // Icarus has no unpacked structures, and dumps no arrays
  struct {logic [7:0] lane[200];} structure_q;
  always_ff @(posedge clk_i) begin
    for (int i = 0; i < 200; i++) structure_q.lane[i] <= 8'(count_o) + 8'(i);
  end
`endif

  always_ff @(posedge clk_i) begin
    if (finish_i) $finish;
    if (fatal_i) $fatal(1, "ran over at count %0d", count_o);
    if (stop_i) $stop;
  end

  always_ff @(posedge clk_i) begin
    if (rst_ni && error_i) $error("error_i is high at count %0d", count_o);
  end

endmodule
