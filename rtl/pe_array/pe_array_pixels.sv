// SPDX-License-Identifier: Apache-2.0
// Pixel packets: takes and checks them, and gives the array the rows that a kernel row after kernel row meets.
//
// A packet is kept until all of it is there (or dropped whole). Then each channel's beats are put together into one
// column of rows for every vector; step_i moves the rows up by one, which is the next kernel row, pop_i takes the next
// channel. row_stride picks every n-th row for the array's rows. Rows outside the map are marked.
`include "assert.svh"

module pe_array_pixels
  import pe_array_pkg::*;
#(
  parameter int Rows = 8,
  parameter int DataWidth = 8,
  parameter int Vectors = 8,
  parameter int PixelDepth = 4096,
  parameter int BeatWidth = Vectors * Rows * DataWidth
) (
  input  logic                     clk_i,
  input  logic                     rst_ni,
  input  logic                     clear_i,
  // Stream
  input  logic                     tvalid_i,
  output logic                     tready_o,
  input  logic [    BeatWidth-1:0] tdata_i,
  input  logic                     tlast_i,
  // Tiles that are loaded, and their headers
  input  logic [              1:0] loaded_i,
  input  logic [2*HeaderWidth-1:0] headers_i,
  // The present channel
  output logic                     valid_o,
  input  logic                     step_i,
  input  logic                     pop_i,
  output logic [    BeatWidth-1:0] pixels_o,         // vector p, row r at (p*Rows + r)*DataWidth
  output logic [         Rows-1:0] in_map_o,
  output logic                     bank_o,
  output logic                     first_column_o,
  output logic                     last_column_o,
  output logic                     last_channel_o,
  output logic                     last_block_o,
  output logic [             15:0] first_row_o,      // output row of array row 0
  output logic [             18:0] first_map_row_o,  // row of the padded map that array row 0 reads first
  // Pulse
  output logic                     length_error_o,
  output logic                     busy_o
);

  localparam int MaxRows = (Rows - 1) * MaxStride + MaxKernel;
  localparam int MaxBeats = (MaxRows + Rows - 1) / Rows;
  localparam int StageBeats = MaxBeats > 1 ? MaxBeats - 1 : 1;
  localparam int BeatIndexWidth = 5;

  // --- Receiving ------------------------------------------------------------------------------------------------

  // The tile whose packets come in, and where in it: beat, channel, column, block, image count up to the header's.
  logic [1:0] rx_tile_q;
  logic [BeatIndexWidth-1:0] rx_beat_q;
  logic [15:0] rx_channel_q, rx_column_q, rx_block_q, rx_image_q;
  logic rx_active, rx_skip_q, rx_accept, rx_whole, rx_ends, rx_wrong, wready;
  logic rx_last_beat, rx_last_channel, rx_last_column, rx_last_block, rx_last_image;
  header_t rx_header;

  assign rx_header       = rx_tile_q[0] ? headers_i[HeaderWidth+:HeaderWidth] : headers_i[0+:HeaderWidth];
  assign rx_active       = rx_tile_q != loaded_i;
  assign rx_last_beat    = rx_beat_q == rx_header.window_beats - 5'd1;
  assign rx_last_channel = rx_channel_q == rx_header.packet_channels - 16'd1;
  assign rx_last_column  = rx_column_q == rx_header.packet_columns - 16'd1;
  assign rx_last_block   = rx_block_q == rx_header.repeat_row_blocks - 16'd1;
  assign rx_last_image   = rx_image_q == rx_header.repeat_images - 16'd1;
  assign rx_ends         = rx_last_beat && rx_last_channel;

  assign tready_o       = rx_active && (rx_skip_q || wready);
  assign rx_accept      = tvalid_i && tready_o;
  assign rx_whole       = rx_accept && !rx_skip_q && rx_ends && tlast_i;
  assign rx_wrong       = rx_accept && !rx_skip_q && rx_ends != tlast_i;
  assign length_error_o = rx_wrong;
  assign busy_o         = rx_skip_q || rx_beat_q != '0 || rx_channel_q != '0;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      rx_tile_q    <= '0;
      rx_skip_q    <= 1'b0;
      rx_beat_q    <= '0;
      rx_channel_q <= '0;
      rx_column_q  <= '0;
      rx_block_q   <= '0;
      rx_image_q   <= '0;
    end else if (clear_i) begin
      rx_tile_q    <= '0;
      rx_skip_q    <= 1'b0;
      rx_beat_q    <= '0;
      rx_channel_q <= '0;
      rx_column_q  <= '0;
      rx_block_q   <= '0;
      rx_image_q   <= '0;
    end else if (rx_accept) begin
      rx_skip_q <= (rx_skip_q || rx_wrong) && !tlast_i;
      if (rx_skip_q || rx_wrong || rx_ends) begin
        rx_beat_q    <= '0;
        rx_channel_q <= '0;
      end else begin
        rx_beat_q <= rx_last_beat ? '0 : rx_beat_q + 1'b1;
        if (rx_last_beat) rx_channel_q <= rx_channel_q + 16'd1;
      end
      if (rx_whole) begin
        rx_column_q <= rx_last_column ? '0 : rx_column_q + 16'd1;
        if (rx_last_column) rx_block_q <= rx_last_block ? '0 : rx_block_q + 16'd1;
        if (rx_last_column && rx_last_block) rx_image_q <= rx_last_image ? '0 : rx_image_q + 16'd1;
        if (rx_last_column && rx_last_block && rx_last_image) rx_tile_q <= rx_tile_q + 2'd1;
      end
    end
  end

  logic rvalid, rready;
  logic [BeatWidth-1:0] rdata;

  packet_fifo #(
    .Width(BeatWidth),
    .Depth(PixelDepth)
  ) u_packets (
    .clk_i,
    .rst_ni,
    .clear_i,
    .wvalid_i (tvalid_i && rx_active && !rx_skip_q),
    .wready_o (wready),
    .wcommit_i(rx_whole),
    .wdrop_i  (rx_wrong),
    .wdata_i  (tdata_i),
    .rvalid_o (rvalid),
    .rready_i (rready),
    .rdata_o  (rdata)
  );

  // --- Putting a channel's rows together ------------------------------------------------------------------------

  // As above, for the beats that leave the buffer.
  logic [1:0] tile_q;
  logic [BeatIndexWidth-1:0] beat_q;
  logic [15:0] channel_q, column_q, block_q, image_q, first_row_q;
  logic [18:0] first_map_row_q;
  logic last_beat, last_channel, last_column, last_block, last_image, take, load;
  header_t header;

  assign header       = tile_q[0] ? headers_i[HeaderWidth+:HeaderWidth] : headers_i[0+:HeaderWidth];
  assign last_beat    = beat_q == header.window_beats - 5'd1;
  assign last_channel = channel_q == header.packet_channels - 16'd1;
  assign last_column  = column_q == header.packet_columns - 16'd1;
  assign last_block   = block_q == header.repeat_row_blocks - 16'd1;
  assign last_image   = image_q == header.repeat_images - 16'd1;

  logic valid_q;

  assign rready = !last_beat || !valid_q || pop_i;
  assign take   = rvalid && rready;
  assign load   = take && last_beat;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      tile_q          <= '0;
      beat_q          <= '0;
      channel_q       <= '0;
      column_q        <= '0;
      block_q         <= '0;
      image_q         <= '0;
      first_row_q     <= '0;
      first_map_row_q <= '0;
    end else if (clear_i) begin
      tile_q          <= '0;
      beat_q          <= '0;
      channel_q       <= '0;
      column_q        <= '0;
      block_q         <= '0;
      image_q         <= '0;
      first_row_q     <= '0;
      first_map_row_q <= '0;
    end else if (take) begin
      beat_q <= last_beat ? '0 : beat_q + 1'b1;
      if (last_beat) channel_q <= last_channel ? '0 : channel_q + 16'd1;
      if (last_beat && last_channel) column_q <= last_column ? '0 : column_q + 16'd1;
      if (last_beat && last_channel && last_column) begin
        block_q         <= last_block ? '0 : block_q + 16'd1;
        first_row_q     <= last_block ? '0 : first_row_q + 16'(Rows);
        first_map_row_q <= last_block ? '0 : first_map_row_q + 19'(Rows) * 19'(header.window_row_stride);
        if (last_block) image_q <= last_image ? '0 : image_q + 16'd1;
        if (last_block && last_image) tile_q <= tile_q + 2'd1;
      end
    end
  end

  logic [StageBeats*BeatWidth-1:0] stage_q;
  logic [Vectors*MaxRows*DataWidth-1:0] rows_q, rows_d;
  logic [MaxRows-1:0] in_map_q, in_map_d;

  always_ff @(posedge clk_i) begin
    if (take && !last_beat) stage_q[int'(beat_q)*BeatWidth+:BeatWidth] <= rdata;
  end

  // Row i of a vector is in beat i / Rows: in the last beat it comes from the buffer, in an earlier one it was staged.
  for (genvar p = 0; p < Vectors; p++) begin : gen_vector
    for (genvar i = 0; i < MaxRows; i++) begin : gen_row
      localparam int Place = (p * Rows + i % Rows) * DataWidth;
      logic [DataWidth-1:0] staged;
      if (i / Rows < StageBeats) begin : gen_staged
        assign staged = stage_q[(i/Rows)*BeatWidth+Place+:DataWidth];
      end else begin : gen_last
        assign staged = rdata[Place+:DataWidth];
      end
      assign rows_d[(p*MaxRows+i)*DataWidth+:DataWidth] =
          beat_q == BeatIndexWidth'(i / Rows) ? rdata[Place+:DataWidth] : staged;
    end
  end

  for (genvar i = 0; i < MaxRows; i++) begin : gen_map
    assign in_map_d[i] = first_map_row_q + 19'(i) >= 19'(header.window_pad_top) &&
                         first_map_row_q + 19'(i) < 19'(header.window_pad_top) + 19'(header.rows_map);
  end

  always_ff @(posedge clk_i) begin
    if (load) begin
      rows_q   <= rows_d;
      in_map_q <= in_map_d;
    end else if (step_i) begin
      for (int p = 0; p < Vectors; p++) begin
        rows_q[p*MaxRows*DataWidth+:(MaxRows-1)*DataWidth] <=
            rows_q[(p*MaxRows+1)*DataWidth+:(MaxRows-1)*DataWidth];
      end
      in_map_q <= in_map_q >> 1;
    end
  end

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) valid_q <= 1'b0;
    else if (clear_i) valid_q <= 1'b0;
    else valid_q <= load || (valid_q && !pop_i);
  end

  logic bank_q, first_column_q, last_column_q, last_channel_q, last_block_q;
  logic [15:0] out_first_row_q;
  logic [18:0] out_first_map_row_q;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      bank_q              <= 1'b0;
      first_column_q      <= 1'b0;
      last_column_q       <= 1'b0;
      last_channel_q      <= 1'b0;
      last_block_q        <= 1'b0;
      out_first_row_q     <= '0;
      out_first_map_row_q <= '0;
    end else if (load) begin
      bank_q              <= tile_q[0];
      first_column_q      <= column_q == '0;
      last_column_q       <= last_column;
      last_channel_q      <= last_channel;
      last_block_q        <= last_block && last_image;
      out_first_row_q     <= first_row_q;
      out_first_map_row_q <= first_map_row_q;
    end
  end

  assign valid_o         = valid_q;
  assign bank_o          = bank_q;
  assign first_column_o  = first_column_q;
  assign last_column_o   = last_column_q;
  assign last_channel_o  = last_channel_q;
  assign last_block_o    = last_block_q;
  assign first_row_o     = out_first_row_q;
  assign first_map_row_o = out_first_map_row_q;

  // --- The rows that the array's rows read now ------------------------------------------------------------------

  header_t present_header;
  logic [2:0] stride;
  assign present_header = bank_q ? headers_i[HeaderWidth+:HeaderWidth] : headers_i[0+:HeaderWidth];
  assign stride         = present_header.window_row_stride;

  always_comb begin
    for (int r = 0; r < Rows; r++) begin
      case (stride)
        3'd1:    in_map_o[r] = in_map_q[r];
        3'd2:    in_map_o[r] = in_map_q[2*r];
        3'd3:    in_map_o[r] = in_map_q[3*r];
        default: in_map_o[r] = in_map_q[4*r];
      endcase
      for (int p = 0; p < Vectors; p++) begin
        case (stride)
          3'd1:    pixels_o[(p*Rows+r)*DataWidth+:DataWidth] = rows_q[(p*MaxRows+r)*DataWidth+:DataWidth];
          3'd2:    pixels_o[(p*Rows+r)*DataWidth+:DataWidth] = rows_q[(p*MaxRows+2*r)*DataWidth+:DataWidth];
          3'd3:    pixels_o[(p*Rows+r)*DataWidth+:DataWidth] = rows_q[(p*MaxRows+3*r)*DataWidth+:DataWidth];
          default: pixels_o[(p*Rows+r)*DataWidth+:DataWidth] = rows_q[(p*MaxRows+4*r)*DataWidth+:DataWidth];
        endcase
      end
    end
  end

  `ASSERT(pops_only_what_is_there, !pop_i || valid_q)
  `ASSERT(one_of_step_and_pop, !(step_i && pop_i))

endmodule : pe_array_pixels
