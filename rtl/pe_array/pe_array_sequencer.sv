// SPDX-License-Identifier: Apache-2.0
// Walks through a tile: kernel rows of each channel, steps, flush steps, completed columns.
//
// Stage 0 looks at the present channel's rows and decides; its decision travels with the operands: weights arrive in
// stage 1, stage 2 accumulates, and in stage 3 a completed column is captured. Nothing moves while it cannot be.
`include "assert.svh"

module pe_array_sequencer
  import pe_array_pkg::*;
#(
  parameter int Rows = 8,
  parameter int WeightDepth = 2048,
  parameter int WeightAddrWidth = $clog2(WeightDepth)
) (
  input  logic                       clk_i,
  input  logic                       rst_ni,
  input  logic                       clear_i,
  input  logic [  2*HeaderWidth-1:0] headers_i,
  // The present channel
  input  logic                       valid_i,
  output logic                       step_o,
  output logic                       pop_o,
  input  logic                       bank_i,
  input  logic                       first_column_i,
  input  logic                       last_column_i,
  input  logic                       last_channel_i,
  input  logic                       last_block_i,
  input  logic [               15:0] first_row_i,
  input  logic [               18:0] first_map_row_i,
  // Stage 0
  output logic                       advance_o,
  output logic                       operands_o,
  output logic                       bank_o,
  output logic [WeightAddrWidth-1:0] weight_addr_o,
  // Stage 1
  output logic                       weights_o,
  output logic                       weights_bank_o,
  // Stage 2
  output logic                       accumulate_o,
  output logic                       accumulate_bank_o,
  output logic                       first_o,
  output logic                       empty_o,
  output logic                       shift_o,
  // Stage 3
  output logic                       capture_o,
  input  logic                       capture_ready_i,
  output logic                       capture_bank_o,
  output logic                       capture_last_o,
  output logic [           Rows-1:0] capture_keep_o,
  output logic [         Rows*8-1:0] capture_counts_o,
  // For the statistics
  output logic                       blocked_o,
  output logic                       active_o
);

  // --- Stage 0 --------------------------------------------------------------------------------------------------

  logic flush_q, flush_bank_q, flush_last_block_q;
  logic [15:0] flush_first_row_q;
  logic [18:0] flush_first_map_row_q;
  logic [3:0] kernel_row_q;
  logic step_begins_q;             // the next clock is the first one of a step
  logic [3:0] wait_q, waits;       // steps until the next completed column
  logic [15:0] output_column_q, output_column;
  logic [18:0] map_column_q, map_column;  // of the padded map, where the output column's window begins
  logic [WeightAddrWidth-1:0] weight_addr_q, weight_addr;
  logic advance, issue, begins_block, last_kernel_row, step_ends, completes, ends_block, bank, last_block;
  logic [15:0] first_row;
  logic [18:0] first_map_row;
  header_t header;

  assign bank            = flush_q ? flush_bank_q : bank_i;
  assign header          = bank ? headers_i[HeaderWidth+:HeaderWidth] : headers_i[0+:HeaderWidth];
  assign first_row       = flush_q ? flush_first_row_q : first_row_i;
  assign first_map_row   = flush_q ? flush_first_map_row_q : first_map_row_i;
  assign last_block      = flush_q ? flush_last_block_q : last_block_i;
  assign issue           = advance && (flush_q || valid_i);
  assign begins_block    = !flush_q && first_column_i;
  assign last_kernel_row = kernel_row_q == header.window_kernel_rows - 4'd1;
  assign step_ends       = flush_q || (last_channel_i && last_kernel_row);

  // Through the first column these registers still hold what the row block before left.
  assign waits         = begins_block ? header.window_first_output : wait_q;
  assign output_column = begins_block ? '0 : output_column_q;
  assign map_column    = begins_block ? '0 : map_column_q;
  assign weight_addr   = begins_block && step_begins_q ? '0 : weight_addr_q;
  assign completes     = step_ends && waits == '0;
  assign ends_block    = completes && output_column == header.extent_output_columns - 16'd1;

  assign operands_o    = issue && !flush_q;
  assign bank_o        = bank;
  assign weight_addr_o = weight_addr;
  assign pop_o         = operands_o && last_kernel_row;
  assign step_o        = operands_o && !last_kernel_row;
  assign advance_o     = advance;
  assign active_o      = flush_q || valid_i;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      flush_q               <= 1'b0;
      flush_bank_q          <= 1'b0;
      flush_last_block_q    <= 1'b0;
      flush_first_row_q     <= '0;
      flush_first_map_row_q <= '0;
      kernel_row_q          <= '0;
      step_begins_q         <= 1'b1;
      wait_q                <= '0;
      output_column_q       <= '0;
      map_column_q          <= '0;
      weight_addr_q         <= '0;
    end else if (clear_i) begin
      flush_q       <= 1'b0;
      kernel_row_q  <= '0;
      step_begins_q <= 1'b1;
    end else if (issue) begin
      step_begins_q <= step_ends;
      if (!flush_q) begin
        kernel_row_q  <= last_kernel_row ? '0 : kernel_row_q + 4'd1;
        weight_addr_q <= 16'(weight_addr) == header.extent_weight_beats - 16'd1 ? '0 : weight_addr + 1'b1;
      end
      if (step_ends) begin
        wait_q          <= completes ? 4'(header.window_column_stride) - 4'd1 : waits - 4'd1;
        output_column_q <= completes ? output_column + 16'd1 : output_column;
        map_column_q    <= completes ? map_column + 19'(header.window_column_stride) : map_column;
        flush_q         <= (flush_q || last_column_i) && !ends_block;
        if (!flush_q) begin
          flush_bank_q          <= bank_i;
          flush_last_block_q    <= last_block_i;
          flush_first_row_q     <= first_row_i;
          flush_first_map_row_q <= first_map_row_i;
        end
      end
    end
  end

  // Rows that the output has, and the places of each row's window that lie in the map.
  logic [Rows-1:0] keep;
  logic [Rows*8-1:0] counts;
  logic [3:0] columns_in_map;
  logic [19:0] pad_left;  // negative where the map's first columns meet no window

  assign pad_left = 20'(header.window_kernel_columns) - 20'd1 - 20'(header.window_first_output);

  // Places of a window from `first` with `size` places that lie in a map from `low` with `extent` places.
  function automatic logic [3:0] in_map(logic signed [19:0] first, logic [3:0] size, logic signed [19:0] low,
                                        logic [15:0] extent);
    logic signed [19:0] from, to, ends, map_ends;
    ends     = first + $signed(20'(size));
    map_ends = low + $signed(20'(extent));
    from     = first > low ? first : low;
    to       = ends < map_ends ? ends : map_ends;
    in_map   = to > from ? 4'(to - from) : '0;
  endfunction

  assign columns_in_map = in_map(20'(map_column), header.window_kernel_columns, pad_left, header.packet_columns);

  for (genvar r = 0; r < Rows; r++) begin : gen_row
    assign keep[r] = 17'(first_row) + 17'(r) < 17'(header.rows_output);
    assign counts[r*8+:8] = 8'(columns_in_map) * 8'(in_map(
        20'(first_map_row) + 20'(r) * 20'(header.window_row_stride), header.window_kernel_rows,
        20'(header.window_pad_top), header.rows_map));
  end

  // --- Stages 1 to 3 --------------------------------------------------------------------------------------------

  logic valid1_q, bank1_q, first1_q, empty1_q, shift1_q, complete1_q, last1_q;
  logic valid2_q, bank2_q, first2_q, empty2_q, shift2_q, complete2_q, last2_q;
  logic bank3_q, complete3_q, last3_q;
  logic [Rows-1:0] keep1_q, keep2_q, keep3_q;
  logic [Rows*8-1:0] counts1_q, counts2_q, counts3_q;

  assign advance = !complete3_q || capture_ready_i;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      valid1_q    <= 1'b0;
      valid2_q    <= 1'b0;
      complete1_q <= 1'b0;
      complete2_q <= 1'b0;
      complete3_q <= 1'b0;
      bank1_q     <= 1'b0;
      bank2_q     <= 1'b0;
      bank3_q     <= 1'b0;
      shift1_q    <= 1'b0;
      shift2_q    <= 1'b0;
      first1_q    <= 1'b0;
      first2_q    <= 1'b0;
      empty1_q    <= 1'b0;
      empty2_q    <= 1'b0;
      last1_q     <= 1'b0;
      last2_q     <= 1'b0;
      last3_q     <= 1'b0;
      keep1_q     <= '0;
      keep2_q     <= '0;
      keep3_q     <= '0;
    end else if (clear_i) begin
      valid1_q    <= 1'b0;
      valid2_q    <= 1'b0;
      complete1_q <= 1'b0;
      complete2_q <= 1'b0;
      complete3_q <= 1'b0;
    end else if (advance) begin
      valid1_q    <= issue;
      complete1_q <= issue && completes;
      bank1_q     <= bank;
      shift1_q    <= flush_q;
      first1_q    <= step_begins_q || flush_q;
      empty1_q    <= begins_block;
      last1_q     <= ends_block && last_block;
      keep1_q     <= keep;
      valid2_q    <= valid1_q;
      complete2_q <= complete1_q;
      bank2_q     <= bank1_q;
      shift2_q    <= shift1_q;
      first2_q    <= first1_q;
      empty2_q    <= empty1_q;
      last2_q     <= last1_q;
      keep2_q     <= keep1_q;
      complete3_q <= complete2_q;
      bank3_q     <= bank2_q;
      last3_q     <= last2_q;
      keep3_q     <= keep2_q;
    end
  end

  always_ff @(posedge clk_i) begin
    if (advance) begin
      if (issue && completes) counts1_q <= counts;
      if (complete1_q) counts2_q <= counts1_q;
      if (complete2_q) counts3_q <= counts2_q;
    end
  end

  assign weights_o         = valid1_q && !shift1_q;
  assign weights_bank_o    = bank1_q;
  assign accumulate_o      = valid2_q;
  assign accumulate_bank_o = bank2_q;
  assign first_o           = first2_q;
  assign empty_o           = empty2_q;
  assign shift_o           = shift2_q;
  assign capture_o         = complete3_q;
  assign capture_bank_o    = bank3_q;
  assign capture_last_o    = last3_q;
  assign capture_keep_o    = keep3_q;
  assign capture_counts_o  = counts3_q;
  assign blocked_o         = !advance;

  `ASSERT_STREAM(columns, Rows + 2, capture_o, capture_ready_i || clear_i, {keep3_q, last3_q, bank3_q})
  `ASSERT(step_ends_by_the_last_column, !(ends_block && issue && !flush_q) || last_column_i)

endmodule : pe_array_sequencer
