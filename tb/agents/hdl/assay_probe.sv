// SPDX-License-Identifier: Apache-2.0
// A place inside a design whose every value the golden model knows, for the waves of a failure.
//
// It numbers the values: in the clock in which valid_i is 1, data_i is value index_q of job job_q. A job begins with
// start_i (no value in that clock) or after the value with last_i. The reader of the waves finds probes by these names.
module assay_probe #(
  parameter int Width = 1
) (
  input logic             clk_i,
  input logic             rst_ni,
  input logic             start_i,
  input logic             valid_i,
  input logic             last_i,
  input logic [Width-1:0] data_i
);

  logic [31:0] job_q, index_q;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      job_q   <= '0;
      index_q <= '0;
    end else if (start_i) begin
      job_q   <= job_q + 32'd1;
      index_q <= '0;
    end else if (valid_i) begin
      job_q   <= job_q + 32'(last_i);
      index_q <= last_i ? '0 : index_q + 32'd1;
    end
  end

  // Only a viewer reads it.
  logic unused_data;
  assign unused_data = ^data_i;

endmodule : assay_probe
