// SPDX-License-Identifier: Apache-2.0
// Turns elements as the host has them into bit planes, and back. See docs/accelerator.md.
//
//   writing   beats of a block -> buffer -> its words, most significant plane first -> data memories
//   reading   words of a block -> buffer -> beats
//
// A block is the elements of a position's Lanes channels (the last one's: what is left). Two buffers of a block each
// let one fill while the other empties, in either direction. A stream begins with start_i at the first word; its
// direction is that of its first burst. A burst opens the transposer and closes it; open is answered in the same clock:
// not ok without a legal start, in the other direction, or while the other direction's burst is open. A start waits
// until no burst is open, then the configuration is taken over: what follows it does not disturb the stream.
//
// For a read burst only the blocks are read from memory of which it wants beats (read_beats_i); when it closes, nothing
// is under way. write_idle_o: all complete blocks are in the memories.
`include "assert.svh"

module accelerator_transposer
  import accelerator_pkg::*;
#(
  parameter int Mvus = DefaultMvus,
  parameter int Lanes = mvu_pkg::DefaultLanes
) (
  input  logic             clk_i,
  input  logic             rst_ni,
  // Configuration
  input  logic             start_i,
  input  logic [      4:0] element_i,
  input  logic [      4:0] precision_i,
  input  logic             signed_i,
  input  logic [     15:0] channels_i,
  input  logic [     15:0] first_i,
  input  logic [ Mvus-1:0] write_mvus_i,
  input  logic [      2:0] read_mvu_i,
  output logic             started_o,
  output logic             writing_o,
  output logic             reading_o,
  // Beats written
  input  logic             write_open_i,
  output logic             write_ok_o,
  input  logic             write_close_i,
  output logic             write_idle_o,
  input  logic             write_valid_i,
  output logic             write_ready_o,
  input  logic [     63:0] write_data_i,
  // Beats read
  input  logic             read_open_i,
  input  logic [      8:0] read_beats_i,
  output logic             read_ok_o,
  input  logic             read_close_i,
  output logic             read_valid_o,
  input  logic             read_ready_i,
  output logic [     63:0] read_data_o,
  // Words to a set of data memories
  output logic             word_valid_o,
  input  logic             word_ready_i,
  output logic [ Mvus-1:0] word_mvus_o,
  output logic [     15:0] word_addr_o,
  output logic [Lanes-1:0] word_data_o,
  // Words from one data memory; the answers come in order, and answers outside a read burst are not for us
  output logic             fetch_valid_o,
  input  logic             fetch_ready_i,
  output logic [ Mvus-1:0] fetch_mvu_o,
  output logic [     15:0] fetch_addr_o,
  input  logic             fetched_valid_i,
  input  logic [Lanes-1:0] fetched_data_i
);

  localparam int LaneWidth = $clog2(Lanes);
  localparam int BlockWidth = 16 - LaneWidth;
  // Lanes of a buffer as beats see it: a beat of 2-bit elements has room for 32.
  localparam int BeatLanes = Lanes < 32 ? 32 : Lanes;

  // ---------------------------------------------------------------------------------------------
  // Start and configuration
  // ---------------------------------------------------------------------------------------------
  logic start, pending_q, started_q, writing_q, reading_q, write_open_q, read_open_q, signed_q, legal;
  logic [2:0] log_q, log;  // log2 of the element size
  logic [3:0] planes_q;  // precision - 1
  logic [BlockWidth-1:0] last_block_q;  // blocks of a position - 1
  logic [LaneWidth-1:0] last_lane_q;  // channels of the last block - 1
  logic [Mvus-1:0] write_mvus_q, read_mvu_q, read_mvu;
  logic [15:0] channels;

  always_comb begin
    log = '0;
    for (int l = 1; l <= 4; l++) if (element_i == 5'(1 << l)) log = 3'(l);
  end

  for (genvar m = 0; m < Mvus; m++) begin : gen_read_mvu
    assign read_mvu[m] = read_mvu_i == 3'(m);
  end

  assign channels = channels_i - 16'd1;
  assign legal    = log != '0 && precision_i != '0 && precision_i <= element_i && channels_i != '0;
  assign start    = pending_q && !write_open_q && !read_open_q;

  assign write_ok_o = started_q && !pending_q && !reading_q && write_mvus_q != '0;
  assign read_ok_o  = started_q && !pending_q && !writing_q && read_mvu_q != '0 && !(write_open_i && write_ok_o);

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      pending_q    <= 1'b0;
      started_q    <= 1'b0;
      writing_q    <= 1'b0;
      reading_q    <= 1'b0;
      write_open_q <= 1'b0;
      read_open_q  <= 1'b0;
      log_q        <= '0;
      planes_q     <= '0;
      signed_q     <= 1'b0;
      last_block_q <= '0;
      last_lane_q  <= '0;
      write_mvus_q <= '0;
      read_mvu_q   <= '0;
    end else begin
      pending_q <= start_i || (pending_q && !start);
      if (start) begin
        started_q    <= legal;
        writing_q    <= 1'b0;
        reading_q    <= 1'b0;
        log_q        <= log;
        planes_q     <= 4'(precision_i - 5'd1);
        signed_q     <= signed_i;
        last_block_q <= channels[15:LaneWidth];
        last_lane_q  <= channels[LaneWidth-1:0];
        write_mvus_q <= write_mvus_i;
        read_mvu_q   <= read_mvu;
      end else begin
        if (write_open_i && write_ok_o) writing_q <= 1'b1;
        if (read_open_i && read_ok_o) reading_q <= 1'b1;
      end
      write_open_q <= (write_open_i && write_ok_o) || (write_open_q && !write_close_i);
      read_open_q  <= (read_open_i && read_ok_o) || (read_open_q && !read_close_i);
    end
  end

  assign started_o = started_q;
  assign writing_o = writing_q;
  assign reading_o = reading_q;

  // Beats of a block - 1: (channels * element size - 1) / 64.
  logic [3:0] full_beats, last_beats;

  assign full_beats = 4'(((11'(Lanes) << log_q) - 11'd1) >> 6);
  assign last_beats = 4'((((11'(last_lane_q) + 11'd1) << log_q) - 11'd1) >> 6);

  // ---------------------------------------------------------------------------------------------
  // Buffers. The in side counts a block's beats (writing) or words asked for (reading), the out side its words
  // (writing) or beats (reading).
  // ---------------------------------------------------------------------------------------------
  logic [Lanes*MaxPrecision-1:0] buffer_q [2];
  logic [1:0] taken_q, full_q, last_q;  // buffer is promised to a block; has it all; it is a position's last
  logic in_q, out_q, got_q;  // buffer of each side; got: of the words that come from memory
  logic [3:0] in_count_q, out_count_q, got_count_q, in_end, out_end;
  logic [BlockWidth-1:0] block_q;
  logic [15:0] addr_q;
  logic in_step, in_done, in_last, out_step, out_done, got, got_done, allot;
  // Beats wanted of which the blocks have not been asked for; negative: beats of the last block beyond those wanted.
  logic signed [9:0] want_q;

  assign in_last = block_q == last_block_q;

  assign write_ready_o = writing_q && !full_q[in_q];
  assign word_valid_o  = writing_q && full_q[out_q];
  assign fetch_valid_o = reading_q && (in_count_q != '0 || (want_q > 10'sd0 && !taken_q[in_q]));
  assign read_valid_o  = reading_q && full_q[out_q];

  assign in_step  = (write_valid_i && write_ready_o) || (fetch_valid_o && fetch_ready_i);
  assign in_end   = reading_q ? planes_q : in_last ? last_beats : full_beats;
  assign in_done  = in_step && in_count_q == in_end;
  assign out_step = (word_valid_o && word_ready_i) || (read_valid_o && read_ready_i);
  assign out_end  = writing_q ? planes_q : last_q[out_q] ? last_beats : full_beats;
  assign out_done = out_step && out_count_q == out_end;
  assign got      = fetched_valid_i && read_open_q;
  assign got_done = got && got_count_q == planes_q;
  assign allot    = in_step && in_count_q == '0;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      taken_q     <= '0;
      full_q      <= '0;
      last_q      <= '0;
      in_q        <= 1'b0;
      out_q       <= 1'b0;
      got_q       <= 1'b0;
      in_count_q  <= '0;
      out_count_q <= '0;
      got_count_q <= '0;
      block_q     <= '0;
      addr_q      <= '0;
      want_q      <= '0;
    end else if (start) begin
      taken_q     <= '0;
      full_q      <= '0;
      in_q        <= 1'b0;
      out_q       <= 1'b0;
      got_q       <= 1'b0;
      in_count_q  <= '0;
      out_count_q <= '0;
      got_count_q <= '0;
      block_q     <= '0;
      addr_q      <= first_i;
      want_q      <= '0;
    end else begin
      if (allot) begin
        taken_q[in_q] <= 1'b1;
        last_q[in_q]  <= in_last;
      end
      if (in_step) in_count_q <= in_done ? '0 : in_count_q + 4'd1;
      if (in_done) begin
        in_q    <= !in_q;
        block_q <= in_last ? '0 : block_q + 1'b1;
        if (writing_q) full_q[in_q] <= 1'b1;
      end
      if (got) got_count_q <= got_done ? '0 : got_count_q + 4'd1;
      if (got_done) begin
        got_q         <= !got_q;
        full_q[got_q] <= 1'b1;
      end
      if (out_step) out_count_q <= out_done ? '0 : out_count_q + 4'd1;
      if (out_done) begin
        out_q          <= !out_q;
        full_q[out_q]  <= 1'b0;
        taken_q[out_q] <= 1'b0;
      end
      if ((word_valid_o && word_ready_i) || (fetch_valid_o && fetch_ready_i)) addr_q <= addr_q + 16'd1;
      if (read_open_i && read_ok_o) want_q <= want_q + $signed({1'b0, read_beats_i});
      else if (reading_q && allot) want_q <= want_q - $signed(10'({1'b0, in_last ? last_beats : full_beats}) + 10'd1);
    end
  end

  assign write_idle_o = !writing_q || full_q == '0;

  // Lanes that a block has channels for.
  function automatic logic [Lanes-1:0] lanes_of(logic last, logic [LaneWidth-1:0] last_lane);
    logic [Lanes-1:0] lanes;
    for (int i = 0; i < Lanes; i++) lanes[i] = !last || LaneWidth'(i) <= last_lane;
    return lanes;
  endfunction

  // Into a buffer.
  logic [3:0] got_plane;
  logic [Lanes-1:0] got_word;

  assign got_plane = planes_q - got_count_q;
  assign got_word  = fetched_data_i & lanes_of(last_q[got_q], last_lane_q);

  always_ff @(posedge clk_i) begin
    if (writing_q && in_step) begin
      /* verilator unroll_disable */
      for (int i = 0; i < Lanes; i++) begin
        case (log_q)
          3'd1:
          if (in_count_q == 4'(i / 32)) buffer_q[in_q][i*16+:2] <= write_data_i[i%32*2+:2];
          3'd2:
          if (in_count_q == 4'(i / 16)) buffer_q[in_q][i*16+:4] <= write_data_i[i%16*4+:4];
          3'd3:
          if (in_count_q == 4'(i / 8)) buffer_q[in_q][i*16+:8] <= write_data_i[i%8*8+:8];
          default:
          if (in_count_q == 4'(i / 4)) buffer_q[in_q][i*16+:16] <= write_data_i[i%4*16+:16];
        endcase
      end
    end
    if (got) begin
      /* verilator unroll_disable */
      for (int i = 0; i < Lanes; i++) begin
        // The first word sets all bits of an element from its own on, the sign's copies above it.
        if (got_count_q == '0) begin
          buffer_q[got_q][i*16+:16] <= signed_q ? {16{got_word[i]}} << got_plane : 16'(got_word[i]) << got_plane;
        end else begin
          buffer_q[got_q][i*16+int'(got_plane)] <= got_word[i];
        end
      end
    end
  end

  // Out of a buffer.
  logic [Lanes*MaxPrecision-1:0] out_buffer;
  logic [BeatLanes*MaxPrecision-1:0] beat_buffer;
  logic [3:0] out_plane;
  logic [Lanes-1:0] word;
  logic [63:0] beat;

  assign out_buffer  = buffer_q[out_q];
  assign beat_buffer = (BeatLanes * MaxPrecision)'(out_buffer);
  assign out_plane   = planes_q - out_count_q;

  always_comb begin
    word = '0;
    /* verilator unroll_disable */
    if (word_valid_o) for (int i = 0; i < Lanes; i++) word[i] = out_buffer[i*16+int'(out_plane)];
  end

  always_comb begin
    beat = '0;
    if (read_valid_o) begin
      case (log_q)
        3'd1: for (int j = 0; j < 32; j++) beat[j*2+:2] = beat_buffer[(int'(out_count_q[0])*32+j)%BeatLanes*16+:2];
        3'd2: for (int j = 0; j < 16; j++) beat[j*4+:4] = beat_buffer[(int'(out_count_q[1:0])*16+j)%BeatLanes*16+:4];
        3'd3: for (int j = 0; j < 8; j++) beat[j*8+:8] = beat_buffer[(int'(out_count_q[2:0])*8+j)%BeatLanes*16+:8];
        default: for (int j = 0; j < 4; j++) beat[j*16+:16] = beat_buffer[(int'(out_count_q)*4+j)%BeatLanes*16+:16];
      endcase
    end
  end

  assign word_mvus_o  = write_mvus_q;
  assign word_addr_o  = addr_q;
  assign word_data_o  = word & lanes_of(last_q[out_q], last_lane_q);
  assign fetch_mvu_o  = read_mvu_q;
  assign fetch_addr_o = addr_q;
  assign read_data_o  = beat;

  `ASSERT_STREAM(write, 64, write_valid_i, write_ready_o, write_data_i)
  `ASSERT_STREAM(word, Lanes + 16, word_valid_o, word_ready_i, {word_addr_o, word_data_o})
  `ASSERT_STREAM(fetch, 16, fetch_valid_o, fetch_ready_i, fetch_addr_o)
  // A start drops the beats of a block that nobody has read.
  `ASSERT_STREAM(read, 64, read_valid_o, read_ready_i || start, read_data_o)
  `ASSERT(one_direction, !(writing_q && reading_q))
  `ASSERT(bursts_are_open, (!write_valid_i || write_open_q) && (!read_ready_i || !read_valid_o || read_open_q))
  `ASSERT(fetched_is_promised, !got || (taken_q[got_q] && !full_q[got_q]))
  `ASSERT(closes_with_nothing_under_way, !(read_close_i && read_open_q) ||
          (in_count_q == '0 && got_count_q == '0 && want_q <= 10'sd0 && (taken_q & ~full_q) == '0))

endmodule : accelerator_transposer
