// SPDX-License-Identifier: Apache-2.0
// The PE array: tiles in, rescaled outputs out. Definition of dataflow, packets and arithmetic: docs/pe_array.md.
//
//   wgt -> weights ---------------.------------------.
//                                 v                  v
//   pix -> pixels -> sequencer -> core -> drain -> post -> softmax -> fifo -> out
`include "assert.svh"

module pe_array
  import pe_array_pkg::*;
#(
  parameter int Rows = DefaultRows,
  parameter int Columns = DefaultColumns,
  parameter int DataWidth = DefaultDataWidth,
  parameter int Vectors = DefaultVectors,
  parameter int Lanes = DefaultLanes,
  parameter int WeightDepth = DefaultWeightDepth,
  parameter int PixelDepth = DefaultPixelDepth,
  parameter int WgtWidth = Columns * DataWidth,
  parameter int PixWidth = Vectors * Rows * DataWidth,
  parameter int OutWidth = Lanes * Rows * DataWidth,
  parameter int KeepWidth = Lanes * Rows
) (
  input  logic                    clk_i,
  input  logic                    rst_ni,
  // Weight packets
  input  logic                    wgt_tvalid_i,
  output logic                    wgt_tready_o,
  input  logic [    WgtWidth-1:0] wgt_tdata_i,
  input  logic                    wgt_tlast_i,
  // Pixel packets
  input  logic                    pix_tvalid_i,
  output logic                    pix_tready_o,
  input  logic [    PixWidth-1:0] pix_tdata_i,
  input  logic                    pix_tlast_i,
  // Results; tkeep has one bit for each word
  output logic                    out_tvalid_o,
  input  logic                    out_tready_i,
  output logic [    OutWidth-1:0] out_tdata_o,
  output logic [   KeepWidth-1:0] out_tkeep_o,
  output logic                    out_tlast_o,
  // Registers
  input  logic                    reg_req_valid_i,
  output logic                    reg_req_ready_o,
  input  logic                    reg_req_write_i,
  input  logic [RegAddrWidth-1:0] reg_req_addr_i,
  input  logic [            31:0] reg_req_wdata_i,
  output logic                    reg_rsp_valid_o,
  input  logic                    reg_rsp_ready_i,
  output logic [            31:0] reg_rsp_rdata_o,
  output logic                    irq_o
);

  localparam int OperandWidth = DataWidth + 1;
  localparam int VectorWidth = Vectors > 1 ? $clog2(Vectors) : 1;
  localparam int WeightAddrWidth = $clog2(WeightDepth);
  localparam int GroupWidth = Columns > Lanes ? $clog2((Columns + Lanes - 1) / Lanes) : 1;
  localparam int AccsWidth = Columns * Rows * AccWidth;
  localparam int ValuesWidth = Lanes * Rows * AccWidth;

  logic clear, busy, tile_done, starved, blocked;
  logic [NumErrors-1:0] errors;
  logic header_error, weight_length_error, pixel_length_error;

  // --- Tiles ----------------------------------------------------------------------------------------------------

  logic [1:0] loaded, done_q;
  logic [2*HeaderWidth-1:0] headers;
  logic [2*Columns-1:0] starts;
  logic [2*Columns*VectorWidth-1:0] vectors;
  logic weights_busy;
  logic weight_re, weight_bank;
  logic [WeightAddrWidth-1:0] weight_addr;
  logic [WgtWidth-1:0] weights;
  logic entry_re, entry_bank;
  logic [GroupWidth-1:0] entry_group;
  logic [Lanes*EntryWidth-1:0] entries;
  logic table_we, exponential_we, table_bank;
  logic [8:0] table_beat;
  logic [WgtWidth-1:0] table_data;

  pe_array_weights #(
    .Rows       (Rows),
    .Columns    (Columns),
    .DataWidth  (DataWidth),
    .Vectors    (Vectors),
    .Lanes      (Lanes),
    .WeightDepth(WeightDepth),
    .PixelDepth (PixelDepth)
  ) u_weights (
    .clk_i,
    .rst_ni,
    .clear_i       (clear),
    .tvalid_i      (wgt_tvalid_i),
    .tready_o      (wgt_tready_o),
    .tdata_i       (wgt_tdata_i),
    .tlast_i       (wgt_tlast_i),
    .loaded_o      (loaded),
    .done_i        (done_q),
    .headers_o     (headers),
    .starts_o      (starts),
    .vectors_o     (vectors),
    .weight_re_i   (weight_re),
    .weight_bank_i (weight_bank),
    .weight_addr_i (weight_addr),
    .weight_o      (weights),
    .entry_re_i    (entry_re),
    .entry_bank_i  (entry_bank),
    .entry_group_i (entry_group),
    .entries_o     (entries),
    .table_we_o    (table_we),
    .exponential_we_o(exponential_we),
    .table_bank_o  (table_bank),
    .table_beat_o  (table_beat),
    .table_data_o  (table_data),
    .header_error_o(header_error),
    .length_error_o(weight_length_error),
    .busy_o        (weights_busy)
  );

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) done_q <= '0;
    else if (clear) done_q <= '0;
    else if (tile_done) done_q <= done_q + 2'd1;
  end

  // --- Pixels, and the walk through them ------------------------------------------------------------------------

  logic channel_valid, channel_bank, step, pop, pixels_busy;
  logic first_column, last_column, last_channel, last_block;
  logic [15:0] first_row;
  logic [18:0] first_map_row;
  logic [PixWidth-1:0] pixels;
  logic [Rows-1:0] in_map;

  pe_array_pixels #(
    .Rows      (Rows),
    .DataWidth (DataWidth),
    .Vectors   (Vectors),
    .PixelDepth(PixelDepth)
  ) u_pixels (
    .clk_i,
    .rst_ni,
    .clear_i        (clear),
    .tvalid_i       (pix_tvalid_i),
    .tready_o       (pix_tready_o),
    .tdata_i        (pix_tdata_i),
    .tlast_i        (pix_tlast_i),
    .loaded_i       (loaded),
    .headers_i      (headers),
    .valid_o        (channel_valid),
    .step_i         (step),
    .pop_i          (pop),
    .pixels_o       (pixels),
    .in_map_o       (in_map),
    .bank_o         (channel_bank),
    .first_column_o (first_column),
    .last_column_o  (last_column),
    .last_channel_o (last_channel),
    .last_block_o   (last_block),
    .first_row_o    (first_row),
    .first_map_row_o(first_map_row),
    .length_error_o (pixel_length_error),
    .busy_o         (pixels_busy)
  );

  logic advance, operands, operands_bank, weights_valid, weights_bank, accumulate, accumulate_bank, active;
  logic first, empty, shift, capture, capture_ready, capture_bank, capture_last;
  logic [Rows-1:0] capture_keep;
  logic [Rows*8-1:0] capture_counts;

  pe_array_sequencer #(
    .Rows       (Rows),
    .WeightDepth(WeightDepth)
  ) u_sequencer (
    .clk_i,
    .rst_ni,
    .clear_i          (clear),
    .headers_i        (headers),
    .valid_i          (channel_valid),
    .step_o           (step),
    .pop_o            (pop),
    .bank_i           (channel_bank),
    .first_column_i   (first_column),
    .last_column_i    (last_column),
    .last_channel_i   (last_channel),
    .last_block_i     (last_block),
    .first_row_i      (first_row),
    .first_map_row_i  (first_map_row),
    .advance_o        (advance),
    .operands_o       (operands),
    .bank_o           (operands_bank),
    .weight_addr_o    (weight_addr),
    .weights_o        (weights_valid),
    .weights_bank_o   (weights_bank),
    .accumulate_o     (accumulate),
    .accumulate_bank_o(accumulate_bank),
    .first_o          (first),
    .empty_o          (empty),
    .shift_o          (shift),
    .capture_o        (capture),
    .capture_ready_i  (capture_ready),
    .capture_bank_o   (capture_bank),
    .capture_last_o   (capture_last),
    .capture_keep_o   (capture_keep),
    .capture_counts_o (capture_counts),
    .blocked_o        (blocked),
    .active_o         (active)
  );

  // --- The array ------------------------------------------------------------------------------------------------

  header_t operands_header, weights_header, accumulate_header;
  logic [AccsWidth-1:0] accs;
  logic maximum;

  assign operands_header   = operands_bank ? headers[HeaderWidth+:HeaderWidth] : headers[0+:HeaderWidth];
  assign weights_header    = weights_bank ? headers[HeaderWidth+:HeaderWidth] : headers[0+:HeaderWidth];
  assign accumulate_header = accumulate_bank ? headers[HeaderWidth+:HeaderWidth] : headers[0+:HeaderWidth];
  assign maximum           = accumulate_header.mode_array_op == ArrayMax;
  assign weight_re         = operands;
  assign weight_bank       = operands_bank;

  pe_array_core #(
    .Rows     (Rows),
    .Columns  (Columns),
    .DataWidth(DataWidth),
    .Vectors  (Vectors)
  ) u_core (
    .clk_i,
    .en_i           (advance),
    .valid_i        (operands),
    .pixels_i       (pixels),
    .in_map_i       (in_map),
    .signed_i       (operands_header.mode_input_signed),
    .zero_i         (operands_header.input_zero[OperandWidth-1:0]),
    .weight_valid_i (weights_valid),
    .weights_i      (weights),
    .weight_signed_i(weights_header.mode_weight_signed),
    .weight_zero_i  (weights_header.weight_zero[OperandWidth-1:0]),
    .acc_valid_i    (accumulate),
    .maximum_i      (maximum),
    .first_i        (first),
    .empty_i        (empty),
    .shift_i        (shift),
    .starts_i       (accumulate_bank ? starts[Columns+:Columns] : starts[0+:Columns]),
    .vectors_i      (accumulate_bank ? vectors[Columns*VectorWidth+:Columns*VectorWidth]
                                     : vectors[0+:Columns*VectorWidth]),
    .accs_o         (accs)
  );

  // --- Completed columns ----------------------------------------------------------------------------------------

  logic group_valid, group_ready, group_bank, group_last;
  logic [KeepWidth-1:0] group_keep;
  logic [ValuesWidth-1:0] group_first, group_second;
  logic [Rows*8-1:0] group_counts;

  pe_array_drain #(
    .Rows   (Rows),
    .Columns(Columns),
    .Lanes  (Lanes)
  ) u_drain (
    .clk_i,
    .rst_ni,
    .clear_i      (clear),
    .capture_i    (capture),
    .ready_o      (capture_ready),
    .accs_i       (accs),
    .bank_i       (capture_bank),
    .last_i       (capture_last),
    .keep_i       (capture_keep),
    .counts_i     (capture_counts),
    .headers_i    (headers),
    .entry_re_o   (entry_re),
    .entry_bank_o (entry_bank),
    .entry_group_o(entry_group),
    .entries_i    (entries),
    .valid_o      (group_valid),
    .ready_i      (group_ready),
    .bank_o       (group_bank),
    .last_o       (group_last),
    .keep_o       (group_keep),
    .first_o      (group_first),
    .second_o     (group_second),
    .counts_o     (group_counts)
  );

  header_t group_header;
  logic result_valid, result_ready, result_last;
  logic [OutWidth-1:0] result;
  logic [KeepWidth-1:0] result_keep;

  assign group_header = group_bank ? headers[HeaderWidth+:HeaderWidth] : headers[0+:HeaderWidth];
  assign group_ready  = !result_valid || result_ready;

  pe_array_post #(
    .Rows     (Rows),
    .Columns  (Columns),
    .DataWidth(DataWidth),
    .Lanes    (Lanes)
  ) u_post (
    .clk_i,
    .rst_ni,
    .clear_i     (clear),
    .en_i        (group_ready),
    .valid_i     (group_valid),
    .header_i    (group_header),
    .bank_i      (group_bank),
    .entries_i   (entries),
    .a_i         (group_first),
    .b_i         (group_second),
    .counts_i    (group_counts),
    .keep_i      (group_keep),
    .last_i      (group_last),
    .table_we_i  (table_we),
    .table_bank_i(table_bank),
    .table_beat_i(table_beat[7:0]),
    .table_data_i(table_data),
    .valid_o     (result_valid),
    .data_o      (result),
    .keep_o      (result_keep),
    .last_o      (result_last)
  );

  // --- Softmax, and the way out ---------------------------------------------------------------------------------

  header_t softmax_header;
  logic beat_valid, beat_ready, beat_last, softmax_busy;
  logic [OutWidth-1:0] beat;
  logic [KeepWidth-1:0] beat_keep;

  // Results come in the order of the tiles.
  assign softmax_header = done_q[0] ? headers[HeaderWidth+:HeaderWidth] : headers[0+:HeaderWidth];

  pe_array_softmax #(
    .Rows     (Rows),
    .Columns  (Columns),
    .DataWidth(DataWidth),
    .Lanes    (Lanes)
  ) u_softmax (
    .clk_i,
    .rst_ni,
    .clear_i     (clear),
    .header_i    (softmax_header),
    .bank_i      (done_q[0]),
    .table_we_i  (exponential_we),
    .table_bank_i(table_bank),
    .table_beat_i(table_beat),
    .table_data_i(table_data),
    .valid_i     (result_valid),
    .ready_o     (result_ready),
    .data_i      (result),
    .keep_i      (result_keep),
    .last_i      (result_last),
    .valid_o     (beat_valid),
    .ready_i     (beat_ready),
    .data_o      (beat),
    .keep_o      (beat_keep),
    .last_o      (beat_last),
    .busy_o      (softmax_busy)
  );

  // The tile's bank is free once its last results have left the pipeline.
  assign tile_done = beat_valid && beat_ready && beat_last;

  logic [1:0] unused_count;

  fifo #(
    .Width(OutWidth + KeepWidth + 1),
    .Depth(2)
  ) u_out (
    .clk_i,
    .rst_ni,
    .clear_i (clear),
    .wvalid_i(beat_valid),
    .wready_o(beat_ready),
    .wdata_i ({beat_last, beat_keep, beat}),
    .rvalid_o(out_tvalid_o),
    .rready_i(out_tready_i),
    .rdata_o ({out_tlast_o, out_tkeep_o, out_tdata_o}),
    .count_o (unused_count)
  );

  // --- Registers ------------------------------------------------------------------------------------------------

  logic held;
  assign errors[ErrorHeader]       = header_error;
  assign errors[ErrorWeightLength] = weight_length_error;
  assign errors[ErrorPixelLength]  = pixel_length_error;
  assign held    = loaded != done_q;
  assign busy    = held || weights_busy || pixels_busy || out_tvalid_o;
  assign starved = held && !active && !softmax_busy;

  pe_array_regs #(
    .Rows     (Rows),
    .Columns  (Columns),
    .DataWidth(DataWidth),
    .Vectors  (Vectors),
    .Lanes    (Lanes)
  ) u_regs (
    .clk_i,
    .rst_ni,
    .req_valid_i(reg_req_valid_i),
    .req_ready_o(reg_req_ready_o),
    .req_write_i(reg_req_write_i),
    .req_addr_i (reg_req_addr_i),
    .req_wdata_i(reg_req_wdata_i),
    .rsp_valid_o(reg_rsp_valid_o),
    .rsp_ready_i(reg_rsp_ready_i),
    .rsp_rdata_o(reg_rsp_rdata_o),
    .busy_i     (busy),
    .tile_done_i(tile_done && !clear),
    .errors_i   (errors),
    .starved_i  (starved),
    .blocked_i  (blocked),
    .clear_o    (clear),
    .irq_o
  );

  `include "pe_array_parameters.svh"

  `ASSERT_STREAM(output_stream, OutWidth + KeepWidth + 1, out_tvalid_o, out_tready_i || clear,
                 {out_tlast_o, out_tkeep_o, out_tdata_o})

endmodule : pe_array
