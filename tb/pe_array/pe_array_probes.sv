// SPDX-License-Identifier: Apache-2.0
// Probes along the data path of a PE array, in the order of docs/pe_array.md; `assay.tb.pe_array.debug` names them.
//
// Value of lane q and row r: at q*Rows + r, of a completed column that of column c and row r at c*Rows + r.
module pe_array_probes #(
  parameter int Rows = 8,
  parameter int Columns = 24,
  parameter int DataWidth = 8,
  parameter int Lanes = 4,
  parameter int OutWidth = Lanes * Rows * DataWidth
) (
  input logic                                           clk_i,
  input logic                                           rst_ni,
  input logic                                           clear,
  input logic                                           capture,
  input logic                                           capture_ready,
  input logic                                           capture_last,
  input logic [Columns*Rows*pe_array_pkg::AccWidth-1:0] accs,
  input logic                                           group_valid,
  input logic                                           group_ready,
  input logic                                           group_last,
  input logic [  Lanes*Rows*pe_array_pkg::AccWidth-1:0] group_first,
  input logic                                           out_tvalid_o,
  input logic                                           out_tready_i,
  input logic                                           out_tlast_o,
  input logic [                           OutWidth-1:0] out_tdata_o
);
  import pe_array_pkg::*;

  localparam int ValuesWidth = Lanes * Rows * AccWidth;

  assay_probe #(.Width(Columns * Rows * AccWidth)) u_column
    (.clk_i, .rst_ni, .start_i(clear), .valid_i(capture && capture_ready), .last_i(capture_last), .data_i(accs));
  assay_probe #(.Width(ValuesWidth)) u_accumulator
    (.clk_i, .rst_ni, .start_i(clear), .valid_i(group_valid && group_ready), .last_i(group_last), .data_i(group_first));
  assay_probe #(.Width(ValuesWidth)) u_biased
    (.clk_i, .rst_ni, .start_i(clear), .valid_i(group_ready && u_post.valid_q[2]), .last_i(u_post.last_q[2]),
     .data_i(u_post.first_q));
  assay_probe #(.Width(ValuesWidth)) u_sum
    (.clk_i, .rst_ni, .start_i(clear), .valid_i(group_ready && u_post.valid_q[7]), .last_i(u_post.last_q[7]),
     .data_i(u_post.x_q));
  assay_probe #(.Width(ValuesWidth)) u_rescaled
    (.clk_i, .rst_ni, .start_i(clear), .valid_i(group_ready && u_post.valid_q[11]), .last_i(u_post.last_q[11]),
     .data_i(u_post.y));
  assay_probe #(.Width(OutWidth)) u_clamped
    (.clk_i, .rst_ni, .start_i(clear), .valid_i(group_ready && u_post.valid_q[12]), .last_i(u_post.last_q[12]),
     .data_i(u_post.word_q));
  assay_probe #(.Width(OutWidth)) u_word
    (.clk_i, .rst_ni, .start_i(clear), .valid_i(group_ready && u_post.valid_o), .last_i(u_post.last_o),
     .data_i(u_post.data_o));
  assay_probe #(.Width(OutWidth)) u_output
    (.clk_i, .rst_ni, .start_i(clear), .valid_i(out_tvalid_o && out_tready_i), .last_i(out_tlast_o),
     .data_i(out_tdata_o));

endmodule : pe_array_probes

bind pe_array pe_array_probes #(
  .Rows(Rows), .Columns(Columns), .DataWidth(DataWidth), .Lanes(Lanes)
) u_probes (.*);
