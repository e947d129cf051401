// SPDX-License-Identifier: Apache-2.0
// Softmax of the output stage's words (docs/pe_array.md, "Softmax"); beats of other tiles pass without a clock of its own.
//
// A row block's beats are taken in, a lane a clock: R vectors side by side, one for each array row. Then, one word of
// each vector a clock, its exponential is looked up and summed; the reciprocals of the sums are found; and the words
// are looked up again, multiplied and put out in the beats that they came in. Only then the next beat is taken.
//
//    StTake     words -> memory; greatest of each vector
//    StSum      memory -> greatest less word -> exponential -> sum
//    StInvert   sum shifted up to 2^31 -> 1 / (1 + x) by three Newton steps, x its low bits
//    StShare    memory -> greatest less word -> exponential -> product -> rounded -> shifted, 8 bits -> beat
//
// Each row has one multiplier of 32 x 32 bits, whose product is registered, and registered again rounded to its upper
// half: a step of the reciprocal is three clocks. Why nothing in it saturates but its last doubling: with H the shifted
// sum as a number from 1/2 to 1, the estimates of 1/H rise from 48/17 - 32/17 H to at most 2.
//
// header_i and bank_i are those of the tile whose beats come, or which is at work. Its exponentials are there before its
// first beat. clear_i drops all.
`include "assert.svh"

module pe_array_softmax
  import pe_array_pkg::*;
#(
  parameter int Rows = 8,
  parameter int Columns = 24,
  parameter int DataWidth = 8,
  parameter int Lanes = 4,
  parameter int BeatWidth = Columns * DataWidth,
  parameter int OutWidth = Lanes * Rows * DataWidth,
  parameter int KeepWidth = Lanes * Rows
) (
  input  logic                 clk_i,
  input  logic                 rst_ni,
  input  logic                 clear_i,
  input  header_t              header_i,
  input  logic                 bank_i,
  // Exponentials, in the beats of the weight packet
  input  logic                 table_we_i,
  input  logic                 table_bank_i,
  input  logic [          8:0] table_beat_i,
  input  logic [BeatWidth-1:0] table_data_i,
  // From the output stage
  input  logic                 valid_i,
  output logic                 ready_o,
  input  logic [ OutWidth-1:0] data_i,
  input  logic [KeepWidth-1:0] keep_i,
  input  logic                 last_i,
  // Results
  output logic                 valid_o,
  input  logic                 ready_i,
  output logic [ OutWidth-1:0] data_o,
  output logic [KeepWidth-1:0] keep_o,
  output logic                 last_o,
  // A row block's words are all there and their softmax is being made
  output logic                 busy_o
);

  // Outside of the generate block, where Icarus 11 fails on it.
  typedef enum logic [1:0] {
    StTake   = 2'd0,
    StSum    = 2'd1,
    StInvert = 2'd2,
    StShare  = 2'd3
  } state_e;

  if (DataWidth == 8) begin : gen_softmax
    localparam int AddrWidth = $clog2(SoftmaxDepth);
    localparam int LaneWidth = Lanes > 1 ? $clog2(Lanes) : 1;
    localparam int WordsWidth = Rows * 8;
    localparam int SumWidth = 19 + AddrWidth + 1;  // of SoftmaxDepth summands of at most 2^19
    localparam int WordBeats = (32 + BeatWidth - 1) / BeatWidth;
    localparam int Products = 7;

    // 48/17 and -32/17 with two integer bits, and 1.
    localparam logic signed [31:0] FirstEstimate = 32'sd1515870810;
    localparam logic signed [31:0] FirstSlope = -32'sd1010580540;
    localparam logic signed [31:0] One = 32'sd536870912;

    state_e state_q;
    logic taking, summing, inverting, sharing;

    assign taking    = state_q == StTake;
    assign summing   = state_q == StSum;
    assign inverting = state_q == StInvert;
    assign sharing   = state_q == StShare;

    // --- The walk through a row block's words ---------------------------------------------------------------------

    logic [LaneWidth-1:0] lane_q;
    logic [8:0] entry_q;
    logic [15:0] column_q;
    logic take, collect, step, last_entry, last_lane, last_word;

    assign take       = taking && valid_i && header_i.mode_softmax;
    assign step       = take || collect;
    assign last_entry = entry_q == header_i.entries - 9'd1;
    assign last_lane  = lane_q == LaneWidth'(Lanes - 1) || last_entry;
    assign last_word  = last_entry && column_q == header_i.extent_output_columns - 16'd1;

    always_ff @(posedge clk_i or negedge rst_ni) begin
      if (!rst_ni) begin
        lane_q   <= '0;
        entry_q  <= '0;
        column_q <= '0;
      end else if (clear_i) begin
        lane_q   <= '0;
        entry_q  <= '0;
        column_q <= '0;
      end else if (step) begin
        lane_q  <= last_lane ? '0 : lane_q + 1'b1;
        entry_q <= last_entry ? '0 : entry_q + 9'd1;
        if (last_entry) column_q <= last_word ? '0 : column_q + 16'd1;
      end
    end

    // --- States, and the words' addresses -------------------------------------------------------------------------

    logic [AddrWidth-1:0] address_q, final_q;
    logic issuing_q, issue, move;
    logic word_valid_q, exponential_valid_q, product_valid_q, rounded_valid_q;  // of what the memories and stages hold
    logic word_last_q, exponential_last_q;
    logic [2:0] count_q;  // StInvert: of the product at work
    logic shifted_q;  // StInvert: the sum has been shifted
    logic [1:0] phase_q;
    logic beat_valid_q, beat_final_q;
    logic summed, inverted, done;

    assign issue    = issuing_q && move;
    assign summed   = summing && exponential_valid_q && exponential_last_q;
    assign inverted = inverting && phase_q == 2'd2 && count_q == 3'(Products - 1);
    assign done     = beat_valid_q && ready_i && beat_final_q;
    assign move     = !beat_valid_q || ready_i;
    assign collect  = rounded_valid_q && move;

    always_ff @(posedge clk_i or negedge rst_ni) begin
      if (!rst_ni) begin
        state_q         <= StTake;
        address_q       <= '0;
        final_q         <= '0;
        issuing_q       <= 1'b0;
        shifted_q       <= 1'b0;
        phase_q         <= '0;
        count_q <= '0;
      end else if (clear_i) begin
        state_q         <= StTake;
        address_q       <= '0;
        issuing_q       <= 1'b0;
        shifted_q       <= 1'b0;
        phase_q         <= '0;
        count_q <= '0;
      end else begin
        case (state_q)
          StTake: begin
            if (take) address_q <= last_word ? '0 : address_q + 1'b1;
            if (take && last_word) begin
              state_q   <= StSum;
              final_q   <= address_q;
              issuing_q <= 1'b1;
            end
          end
          StSum: if (summed) state_q <= StInvert;
          StInvert: begin
            shifted_q <= !inverted;
            if (shifted_q) begin
              phase_q <= phase_q == 2'd2 ? '0 : phase_q + 2'd1;
              if (phase_q == 2'd2) count_q <= inverted ? '0 : count_q + 3'd1;
            end
            if (inverted) begin
              state_q   <= StShare;
              issuing_q <= 1'b1;
            end
          end
          default: if (done) state_q <= StTake;
        endcase
        if (issue) begin
          address_q <= address_q == final_q ? '0 : address_q + 1'b1;
          issuing_q <= address_q != final_q;
        end
      end
    end

    always_ff @(posedge clk_i or negedge rst_ni) begin
      if (!rst_ni) begin
        word_valid_q        <= 1'b0;
        exponential_valid_q <= 1'b0;
        product_valid_q     <= 1'b0;
        rounded_valid_q     <= 1'b0;
        word_last_q         <= 1'b0;
        exponential_last_q  <= 1'b0;
      end else if (clear_i) begin
        word_valid_q        <= 1'b0;
        exponential_valid_q <= 1'b0;
        product_valid_q     <= 1'b0;
        rounded_valid_q     <= 1'b0;
      end else if (move) begin
        word_valid_q        <= issue;
        word_last_q         <= address_q == final_q;
        exponential_valid_q <= word_valid_q;
        exponential_last_q  <= word_last_q;
        product_valid_q     <= exponential_valid_q && sharing;
        rounded_valid_q     <= product_valid_q;
      end
    end

    // --- Words and their exponentials -----------------------------------------------------------------------------

    logic [WordsWidth-1:0] words_in, words;
    logic [WordsWidth-1:0] greatest_q;
    logic [Rows*31-1:0] exponentials;
    logic table_write;
    logic [7:0] table_word;
    logic [30:0] table_exponential;

    assign words_in = data_i[int'(lane_q)*WordsWidth+:WordsWidth];

    ram_1r1w #(
      .Width(WordsWidth),
      .Depth(SoftmaxDepth)
    ) u_words (
      .clk_i,
      .re_i   (issue),
      .raddr_i(address_q),
      .rdata_o(words),
      .we_i   (take),
      .waddr_i(address_q),
      .wpart_i(1'b0),
      .wdata_i(words_in)
    );

    always_ff @(posedge clk_i) begin : p_greatest
      if (take) begin
        for (int r = 0; r < Rows; r++) begin
          if (address_q == '0 || $signed(words_in[r*8+:8]) > $signed(greatest_q[r*8+:8])) begin
            greatest_q[r*8+:8] <= words_in[r*8+:8];
          end
        end
      end
    end

    if (WordBeats == 1) begin : gen_whole
      logic unused_table;
      assign unused_table      = ^{table_beat_i, table_data_i};
      assign table_write       = table_we_i;
      assign table_word        = table_beat_i[7:0];
      assign table_exponential = table_data_i[30:0];
    end else begin : gen_halves
      logic [BeatWidth-1:0] first_q;
      logic [2*BeatWidth-1:0] both;
      logic unused_table;
      always_ff @(posedge clk_i) begin
        if (table_we_i) first_q <= table_data_i;
      end
      assign both              = {table_data_i, first_q};
      assign unused_table      = ^both;
      assign table_write       = table_we_i && table_beat_i[0];
      assign table_word        = table_beat_i[8:1];
      assign table_exponential = both[30:0];
    end

    for (genvar r = 0; r < Rows; r++) begin : gen_exponentials
      logic [7:0] difference;
      assign difference = greatest_q[r*8+:8] - words[r*8+:8];
      ram_1r1w #(
        .Width(31),
        .Depth(512)
      ) u_exponentials (
        .clk_i,
        .re_i   (word_valid_q && move),
        .raddr_i({bank_i, difference}),
        .rdata_o(exponentials[r*31+:31]),
        .we_i   (table_write),
        .waddr_i({table_bank_i, table_word}),
        .wpart_i(1'b0),
        .wdata_i(table_exponential)
      );
    end

    // --- Sums and their reciprocals -------------------------------------------------------------------------------

    logic [SumWidth-1:0] sum_q [Rows];
    logic signed [31:0] half_q [Rows];      // the shifted sum as a number from 1/2 to 1
    logic [4:0] shift_q [Rows];             // of a share: 35 less the sum's leading zeros
    logic signed [31:0] estimate_q [Rows];  // of 1 / half_q, two integer bits
    logic signed [31:0] error_q [Rows];
    logic signed [63:0] product_q [Rows];
    logic signed [31:0] rounded_q [Rows];

    always_ff @(posedge clk_i) begin : p_sum
      if (take || (summing && exponential_valid_q)) begin
        /* verilator unroll_disable */
        for (int r = 0; r < Rows; r++) begin
          if (take) sum_q[r] <= '0;
          else sum_q[r] <= sum_q[r] + SumWidth'((32'(exponentials[r*31+:31]) + 32'd2048) >> 12);
        end
      end
    end

    always_ff @(posedge clk_i) begin : p_shift_up
      logic [31:0] x;
      logic [4:0] zeros;
      if (inverting && !shifted_q) begin
        /* verilator unroll_disable */
        for (int r = 0; r < Rows; r++) begin
          x     = 32'(sum_q[r]);
          zeros = '0;
          if (x[31:16] == '0) begin
            x        = x << 16;
            zeros[4] = 1'b1;
          end
          if (x[31:24] == '0) begin
            x        = x << 8;
            zeros[3] = 1'b1;
          end
          if (x[31:28] == '0) begin
            x        = x << 4;
            zeros[2] = 1'b1;
          end
          if (x[31:30] == '0) begin
            x        = x << 2;
            zeros[1] = 1'b1;
          end
          if (!x[31]) begin
            x        = x << 1;
            zeros[0] = 1'b1;
          end
          half_q[r]  <= {2'b01, x[30:1]};
          shift_q[r] <= zeros > 5'd4 ? 5'd3 - zeros : 5'd31;  // modulo 32
        end
      end
    end

    always_ff @(posedge clk_i) begin : p_product
      logic signed [31:0] a, b;
      if ((inverting && phase_q == '0) || (sharing && exponential_valid_q && move)) begin
        /* verilator unroll_disable */
        for (int r = 0; r < Rows; r++) begin
          if (sharing) begin
            a = {1'b0, exponentials[r*31+:31]};
            b = estimate_q[r][30] ? 32'h7fff_ffff : estimate_q[r] <<< 1;
          end else if (count_q == '0) begin
            a = half_q[r];
            b = FirstSlope;
          end else if (count_q[0]) begin
            a = half_q[r];
            b = estimate_q[r];
          end else begin
            a = estimate_q[r];
            b = error_q[r];
          end
          product_q[r] <= 64'(a) * 64'(b);
        end
      end
    end

    always_ff @(posedge clk_i) begin : p_round
      if ((inverting && phase_q == 2'd1) || (product_valid_q && move)) begin
        /* verilator unroll_disable */
        for (int r = 0; r < Rows; r++) begin
          rounded_q[r] <= product_q[r][62:31] + 32'(product_q[r][30]);  // half upwards
        end
      end
    end

    always_ff @(posedge clk_i) begin : p_newton
      if (inverting && phase_q == 2'd2) begin
        /* verilator unroll_disable */
        for (int r = 0; r < Rows; r++) begin
          if (count_q == '0) estimate_q[r] <= FirstEstimate + rounded_q[r];
          else if (count_q[0]) error_q[r] <= One - rounded_q[r];
          else estimate_q[r] <= estimate_q[r] + (rounded_q[r] <<< 2);
        end
      end
    end

    // --- Shares, and their beats ----------------------------------------------------------------------------------

    logic [Rows-1:0] row_keep_q;
    logic tile_last_q;
    logic [OutWidth-1:0] beat_q;
    logic [Lanes-1:0] beat_lanes_q;

    always_ff @(posedge clk_i or negedge rst_ni) begin
      if (!rst_ni) begin
        row_keep_q  <= '0;
        tile_last_q <= 1'b0;
      end else if (take) begin
        row_keep_q  <= keep_i[Rows-1:0];  // lane 0 is always there
        tile_last_q <= last_i;
      end
    end

    always_ff @(posedge clk_i or negedge rst_ni) begin : p_beat
      logic [32:0] halved;
      logic [31:0] share;
      if (!rst_ni) begin
        beat_valid_q <= 1'b0;
        beat_final_q <= 1'b0;
        beat_lanes_q <= '0;
        beat_q       <= '0;
      end else if (clear_i) begin
        beat_valid_q <= 1'b0;
      end else begin
        if (move) beat_valid_q <= collect && last_lane;
        if (collect) begin
          beat_final_q <= last_word;
          if (lane_q == '0) begin
            beat_lanes_q <= '0;
            beat_q       <= '0;
          end
          beat_lanes_q[lane_q] <= 1'b1;
          for (int r = 0; r < Rows; r++) begin
            halved = {rounded_q[r], 1'b0} >> shift_q[r];
            share  = halved[32:1] + 32'(halved[0]);
            if (row_keep_q[r]) begin
              // Less 128.
              beat_q[int'(lane_q)*WordsWidth+r*8+:8] <= share[31:8] != '0 ? 8'h7f : {!share[7], share[6:0]};
            end
          end
        end
      end
    end

    logic [KeepWidth-1:0] beat_keep;
    for (genvar q = 0; q < Lanes; q++) begin : gen_keep
      assign beat_keep[q*Rows+:Rows] = beat_lanes_q[q] ? row_keep_q : '0;
    end

    assign busy_o  = !taking;
    assign ready_o = taking && (header_i.mode_softmax ? last_lane : ready_i);
    assign valid_o = beat_valid_q || (taking && valid_i && !header_i.mode_softmax);
    assign data_o  = beat_valid_q ? beat_q : data_i;
    assign keep_o  = beat_valid_q ? beat_keep : keep_i;
    assign last_o  = beat_valid_q ? tile_last_q && beat_final_q : last_i;

    `ASSERT(vector_fits, !take || 32'(address_q) + 32'd1 < SoftmaxDepth || last_word)
    `ASSERT(nothing_waits_behind_the_last, !done || !(word_valid_q || exponential_valid_q || rounded_valid_q))
    `ASSERT_STREAM(results, OutWidth + KeepWidth + 1, valid_o, ready_i || clear_i, {last_o, keep_o, data_o})
  end else begin : gen_pass
    logic unused;
    assign unused  = ^{clk_i, rst_ni, clear_i, header_i, bank_i, table_we_i, table_bank_i, table_beat_i, table_data_i};
    assign busy_o  = 1'b0;
    assign ready_o = ready_i;
    assign valid_o = valid_i;
    assign data_o  = data_i;
    assign keep_o  = keep_i;
    assign last_o  = last_i;
  end

endmodule : pe_array_softmax
