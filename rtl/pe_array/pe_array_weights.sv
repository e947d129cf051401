// SPDX-License-Identifier: Apache-2.0
// Weight packets: takes them beat by beat, checks them, and keeps two tiles' header, columns, entries and weights.
//
// Tile k lives in bank k mod 2. Tiles are counted modulo 4: loaded_o - done_i of them are held (0 to 2). Only a whole
// and right packet counts; anything else leaves the bank to the next packet. Layout: docs/pe_array.md.
`include "assert.svh"

module pe_array_weights
  import pe_array_pkg::*;
#(
  parameter int Rows = 8,
  parameter int Columns = 24,
  parameter int DataWidth = 8,
  parameter int Vectors = 8,
  parameter int Lanes = 4,
  parameter int WeightDepth = 2048,
  parameter int PixelDepth = 4096,
  parameter int BeatWidth = Columns * DataWidth,
  parameter int VectorWidth = Vectors > 1 ? $clog2(Vectors) : 1,
  parameter int WeightAddrWidth = $clog2(WeightDepth),
  parameter int GroupWidth = Columns > Lanes ? $clog2((Columns + Lanes - 1) / Lanes) : 1
) (
  input  logic                            clk_i,
  input  logic                            rst_ni,
  input  logic                            clear_i,
  // Stream
  input  logic                            tvalid_i,
  output logic                            tready_o,
  input  logic [           BeatWidth-1:0] tdata_i,
  input  logic                            tlast_i,
  // Tiles
  output logic [                     1:0] loaded_o,
  input  logic [                     1:0] done_i,
  output logic [       2*HeaderWidth-1:0] headers_o,
  output logic [           2*Columns-1:0] starts_o,
  output logic [2*Columns*VectorWidth-1:0] vectors_o,
  // A beat of weights, in the clock after the request
  input  logic                            weight_re_i,
  input  logic                            weight_bank_i,
  input  logic [     WeightAddrWidth-1:0] weight_addr_i,
  output logic [           BeatWidth-1:0] weight_o,
  // The entries of Lanes output channels, in the clock after the request
  input  logic                            entry_re_i,
  input  logic                            entry_bank_i,
  input  logic [          GroupWidth-1:0] entry_group_i,
  output logic [    Lanes*EntryWidth-1:0] entries_o,
  // Table words as they come: output words, or a softmax's exponentials
  output logic                            table_we_o,
  output logic                            exponential_we_o,
  output logic                            table_bank_o,
  output logic [                     8:0] table_beat_o,
  output logic [           BeatWidth-1:0] table_data_o,
  // Pulses
  output logic                            header_error_o,
  output logic                            length_error_o,
  output logic                            busy_o
);

  localparam int HeaderBeats = (HeaderWidth + BeatWidth - 1) / BeatWidth;
  localparam int EntryBeats = (EntryWidth + BeatWidth - 1) / BeatWidth;
  localparam int TableBeats = DataWidth <= 8 ? ((1 << DataWidth) + Columns - 1) / Columns : 1;
  localparam int ExponentialBeats = 256 * ((32 + BeatWidth - 1) / BeatWidth);
  localparam int HeaderRoom = HeaderBeats * BeatWidth;
  localparam int EntryRoom = EntryBeats * BeatWidth;
  localparam int LaneWidth = Lanes > 1 ? $clog2(Lanes) : 1;
  localparam int Groups = 1 << GroupWidth;

  typedef enum logic [2:0] {
    StHeader  = 3'd0,
    StColumns = 3'd1,
    StEntries = 3'd2,
    StTable   = 3'd3,
    StWeights = 3'd4,
    StSkip    = 3'd5
  } state_e;

  state_e state_q;
  logic [15:0] beat_q;  // beat of the header, entry, table or weights
  logic [8:0] entry_q;
  logic [LaneWidth-1:0] lane_q;
  logic [GroupWidth-1:0] group_q;
  logic [1:0] loaded_q, held;
  logic bank, room, accept;
  logic [2*HeaderRoom-1:0] headers_q;
  logic [EntryRoom-1:0] gathered;
  logic [2*Columns-1:0] starts_q;
  logic [2*Columns*VectorWidth-1:0] vectors_q;

  assign bank     = loaded_q[0];
  assign held     = loaded_q - done_i;
  assign room     = held < 2'd2;
  assign tready_o = state_q != StHeader || room;
  assign accept   = tvalid_i && tready_o;
  assign loaded_o = loaded_q;
  assign busy_o   = state_q != StHeader || beat_q != '0;

  for (genvar b = 0; b < 2; b++) begin : gen_header
    assign headers_o[b*HeaderWidth+:HeaderWidth] = headers_q[b*HeaderRoom+:HeaderWidth];
  end
  assign starts_o  = starts_q;
  assign vectors_o = vectors_q;

  // --- What a header may ask for --------------------------------------------------------------------------------

  header_t header;
  logic [7:0] need_rows;
  logic [31:0] packet_beats, set_beats, steps, vector;
  logic refused;

  assign header       = bank ? headers_o[HeaderWidth+:HeaderWidth] : headers_o[0+:HeaderWidth];
  assign need_rows    = 8'(Rows - 1) * 8'(header.window_row_stride) + 8'(header.window_kernel_rows);
  assign packet_beats = 32'(header.packet_channels) * 32'(header.window_beats);
  assign set_beats    = 32'(header.packet_channels) * 32'(header.window_kernel_rows);
  assign steps        = 32'(header.window_first_output) + 32'd1 +
                        (32'(header.extent_output_columns) - 32'd1) * 32'(header.window_column_stride);
  assign vector       = 32'(header.extent_output_columns) * 32'(header.entries);

  assign refused =
      header.mode_magic != Magic ||
      header.mode_rescaling == 2'd3 ||
      (header.mode_table && DataWidth > 8) ||
      (header.mode_softmax && (DataWidth != 8 || header.mode_table || vector > SoftmaxDepth)) ||
      header.repeat_images == '0 ||
      header.repeat_row_blocks == '0 ||
      header.packet_columns == '0 ||
      header.packet_channels == '0 ||
      header.window_kernel_rows == '0 ||
      header.window_kernel_rows > 4'(MaxKernel) ||
      header.window_row_stride == '0 ||
      header.window_row_stride > 3'(MaxStride) ||
      4'(header.window_row_stride) > header.window_kernel_rows ||
      header.window_column_stride == '0 ||
      header.window_column_stride > 3'(MaxStride) ||
      header.window_first_output >= 4'(MaxKernel) ||
      header.rows_map == '0 ||
      header.rows_output == '0 ||
      header.extent_output_columns == '0 ||
      header.entries == '0 ||
      header.entries > 9'(Columns) ||
      header.window_beats == '0 ||
      32'(header.window_beats) * Rows < 32'(need_rows) ||
      (32'(header.window_beats) - 32'd1) * Rows >= 32'(need_rows) ||
      packet_beats > PixelDepth ||
      32'(header.packet_columns) > steps ||
      (32'(header.repeat_row_blocks) - 32'd1) * Rows >= 32'(header.rows_output) ||
      32'(header.extent_weight_beats) > WeightDepth ||
      (32'(header.extent_weight_beats) != set_beats &&
       32'(header.extent_weight_beats) != set_beats * 32'd2 &&
       32'(header.extent_weight_beats) != set_beats * 32'd3 &&
       32'(header.extent_weight_beats) != set_beats * 32'd4);

  // --- The packet's sections ------------------------------------------------------------------------------------

  logic ends_section, last_entry, whole, write_entry, write_weight;
  logic [15:0] section_beats;

  assign section_beats = state_q == StHeader  ? 16'(HeaderBeats) :
                         state_q == StColumns ? 16'd1 :
                         state_q == StEntries ? 16'(EntryBeats) :
                         state_q == StTable   ? (header.mode_softmax ? 16'(ExponentialBeats) : 16'(TableBeats)) :
                                                header.extent_weight_beats;

  assign ends_section   = beat_q == section_beats - 16'd1;
  assign last_entry     = entry_q == header.entries - 9'd1;
  assign whole          = accept && state_q == StWeights && ends_section && tlast_i;
  assign header_error_o = accept && state_q == StColumns && refused;
  assign length_error_o = accept && !header_error_o && state_q != StSkip &&
                          tlast_i != (state_q == StWeights && ends_section) &&
                          (tlast_i || state_q == StWeights);

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      state_q  <= StHeader;
      beat_q   <= '0;
      entry_q  <= '0;
      lane_q   <= '0;
      group_q  <= '0;
      loaded_q <= '0;
    end else if (clear_i) begin
      state_q  <= StHeader;
      beat_q   <= '0;
      loaded_q <= '0;
    end else if (accept) begin
      beat_q <= ends_section ? '0 : beat_q + 16'd1;
      if (whole) loaded_q <= loaded_q + 2'd1;
      if (tlast_i) begin
        state_q <= StHeader;
        beat_q  <= '0;
      end else if (header_error_o || length_error_o) begin
        state_q <= StSkip;
        beat_q  <= '0;
      end else if (ends_section) begin
        case (state_q)
          StHeader: state_q <= StColumns;
          StColumns: begin
            state_q <= StEntries;
            entry_q <= '0;
            lane_q  <= '0;
            group_q <= '0;
          end
          StEntries: begin
            entry_q <= entry_q + 9'd1;
            lane_q  <= lane_q == LaneWidth'(Lanes - 1) ? '0 : lane_q + 1'b1;
            if (lane_q == LaneWidth'(Lanes - 1)) group_q <= group_q + 1'b1;
            if (last_entry) state_q <= header.mode_table || header.mode_softmax ? StTable : StWeights;
          end
          StTable: state_q <= StWeights;
          default: ;
        endcase
      end
    end
  end

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      headers_q <= '0;
    end else if (accept && state_q == StHeader) begin
      headers_q[(int'(bank)*HeaderBeats+int'(beat_q))*BeatWidth+:BeatWidth] <= tdata_i;
    end
  end

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      starts_q  <= '0;
      vectors_q <= '0;
    end else if (accept && state_q == StColumns) begin
      for (int c = 0; c < Columns; c++) begin
        starts_q[int'(bank)*Columns+c] <= tdata_i[c*DataWidth+DataWidth-1];
        vectors_q[(int'(bank)*Columns+c)*VectorWidth+:VectorWidth] <=
            Vectors > 1 ? tdata_i[c*DataWidth+:VectorWidth] : '0;
      end
    end
  end

  // In connections of their own, as Icarus 11 takes an enumeration's name there for a new net.
  assign write_entry  = accept && state_q == StEntries && ends_section;
  assign write_weight = accept && state_q == StWeights;

  // The entry as it is when its last beat is on the stream.
  if (EntryBeats == 1) begin : gen_one_beat
    assign gathered = tdata_i;
  end else begin : gen_gather
    logic [(EntryBeats-1)*BeatWidth-1:0] gather_q;
    always_ff @(posedge clk_i) begin
      if (accept && state_q == StEntries && !ends_section) gather_q[int'(beat_q)*BeatWidth+:BeatWidth] <= tdata_i;
    end
    assign gathered = {tdata_i, gather_q};
  end

  ram_1r1w #(
    .Width     (Lanes * EntryWidth),
    .Depth     (2 * Groups),
    .WriteWidth(EntryWidth)
  ) u_entries (
    .clk_i,
    .re_i   (entry_re_i),
    .raddr_i({entry_bank_i, entry_group_i}),
    .rdata_o(entries_o),
    .we_i   (write_entry),
    .waddr_i({bank, group_q}),
    .wpart_i(lane_q),
    .wdata_i(gathered[EntryWidth-1:0])
  );

  assign table_we_o       = accept && state_q == StTable && !header.mode_softmax;
  assign exponential_we_o = accept && state_q == StTable && header.mode_softmax;
  assign table_bank_o     = bank;
  assign table_beat_o     = beat_q[8:0];
  assign table_data_o     = tdata_i;

  ram_1r1w #(
    .Width(BeatWidth),
    .Depth(2 * WeightDepth)
  ) u_weights (
    .clk_i,
    .re_i   (weight_re_i),
    .raddr_i({weight_bank_i, weight_addr_i}),
    .rdata_o(weight_o),
    .we_i   (write_weight),
    .waddr_i({bank, beat_q[WeightAddrWidth-1:0]}),
    .wpart_i(1'b0),
    .wdata_i(tdata_i)
  );

  `ASSERT(holds_at_most_two, held <= 2'd2)

endmodule : pe_array_weights
