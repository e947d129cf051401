// SPDX-License-Identifier: Apache-2.0
// What pe_array_drain promises: a completed column goes to the output stage as groups of Lanes channels, all of them, in
// order, each with the entries of its channels, and none changes while it waits. A column that has not gone is never
// overwritten, and its first group is there two clocks after the capture.
`include "assert.svh"

module pe_array_drain_proof
  import pe_array_pkg::*;
#(
  parameter int Columns = 3,
  parameter int Lanes = 2,
  parameter int AccsWidth = Columns * AccWidth,
  parameter int GroupWidth = Columns > Lanes ? $clog2((Columns + Lanes - 1) / Lanes) : 1
) (
  input logic                        clk_i,
  input logic                        rst_ni,
  input logic                        clear_i,
  input logic                        capture_i,
  input logic [       AccsWidth-1:0] accs_i,
  input logic                        bank_i,
  input logic                        last_i,
  input logic                        keep_i,
  input logic [                 7:0] counts_i,
  input logic [                17:0] channels_i,  // of both banks' tiles
  input logic [Lanes*EntryWidth-1:0] entries_i,
  input logic                        ready_i
);

  header_t low, high;
  logic ready, entry_re, entry_bank, valid, bank, last;
  logic [GroupWidth-1:0] entry_group;
  logic [Lanes-1:0] keep;
  logic [Lanes*AccWidth-1:0] first, second;
  logic [7:0] counts;

  always_comb begin
    low          = '0;
    high         = '0;
    low.entries  = channels_i[8:0];
    high.entries = channels_i[17:9];
  end

  pe_array_drain #(
    .Rows   (1),
    .Columns(Columns),
    .Lanes  (Lanes)
  ) u_dut (
    .clk_i,
    .rst_ni,
    .clear_i,
    .capture_i,
    .ready_o      (ready),
    .accs_i,
    .bank_i,
    .last_i,
    .keep_i,
    .counts_i,
    .headers_i    ({high, low}),
    .entry_re_o   (entry_re),
    .entry_bank_o (entry_bank),
    .entry_group_o(entry_group),
    .entries_i,
    .valid_o      (valid),
    .ready_i,
    .bank_o       (bank),
    .last_o       (last),
    .keep_o       (keep),
    .first_o      (first),
    .second_o     (second),
    .counts_o     (counts)
  );

  // The column inside, as it was captured; how many of its groups have gone; whether it waited for its first entries.
  logic held_q, waited_q, bank_q, last_q, keep_q;
  logic [AccsWidth-1:0] accs_q;
  logic [7:0] counts_q;
  logic [8:0] channels_q;
  int given_q;
  // The tile whose columns are to follow; the entries that are read; those of the clock before.
  logic open_q, read_q, read_bank_q, kept_q;
  int read_group_q;
  logic [Lanes*EntryWidth-1:0] entries_q;
  logic capture, give, ends;
  logic [8:0] channels;

  assign capture  = capture_i && ready;
  assign give     = valid && ready_i;
  assign ends     = (given_q + 1) * Lanes >= int'(channels_q);
  assign channels = bank_i ? high.entries : low.entries;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      held_q       <= 1'b0;
      waited_q     <= 1'b0;
      bank_q       <= 1'b0;
      last_q       <= 1'b0;
      keep_q       <= 1'b0;
      accs_q       <= '0;
      counts_q     <= '0;
      channels_q   <= '0;
      given_q      <= 0;
      open_q       <= 1'b0;
      read_q       <= 1'b0;
      read_bank_q  <= 1'b0;
      read_group_q <= 0;
      kept_q       <= 1'b0;
      entries_q    <= '0;
    end else begin
      entries_q <= entries_i;
      kept_q    <= !entry_re;
      if (entry_re) begin
        read_bank_q  <= entry_bank;
        read_group_q <= int'(entry_group);
      end
      if (clear_i) begin
        held_q   <= 1'b0;
        waited_q <= 1'b0;
        given_q  <= 0;
        open_q   <= 1'b0;
        read_q   <= 1'b0;
      end else begin
        // Entries that are read for a tile are of no use after it.
        read_q   <= (read_q || entry_re) && !(give && ends && last_q);
        waited_q <= held_q && !valid;
        held_q   <= capture || (held_q && !(give && ends));
        if (give) given_q <= ends ? 0 : given_q + 1;
        if (capture) begin
          bank_q     <= bank_i;
          last_q     <= last_i;
          keep_q     <= keep_i;
          accs_q     <= accs_i;
          counts_q   <= counts_i;
          channels_q <= channels;
          open_q     <= !last_i;
        end
      end
    end
  end

  `ASSERT(header_stays, !held_q || channels_q == (bank_q ? high.entries : low.entries))
  `ASSERT(channels_fit, !capture_i || (channels >= 9'd1 && channels <= 9'(Columns)))
  `ASSERT(columns_of_a_tile_follow, !(capture_i && open_q) || (bank_i == bank_q && channels == channels_q))
  `ASSERT(entries_stay, !kept_q || entries_i == entries_q)

  `ASSERT(valid_while_column, !valid || held_q)
  `ASSERT(never_overwritten, ready == (!held_q || (give && ends)))
  `ASSERT(starts_in_time, !(held_q && waited_q) || valid)
  `ASSERT(last_with_the_last_group, !valid || (last == (last_q && ends) && bank == bank_q && counts == counts_q))
  `ASSERT(entries_of_the_group, !valid || (read_q && read_bank_q == bank_q && read_group_q == given_q))
  `ASSERT_STREAM(values, 2 * Lanes * AccWidth + 9, valid, ready_i || clear_i, {first, second, counts, bank})

  for (genvar q = 0; q < Lanes; q++) begin : gen_lane
    entry_t entry;
    int column, next;
    assign entry  = entries_i[q*EntryWidth+:EntryWidth];
    assign column = int'(entry.source_column) < Columns ? int'(entry.source_column) : 0;
    assign next   = int'(entry.source_column) + 1 < Columns ? int'(entry.source_column) + 1 : 0;
    `ASSERT(columns_unchanged, !valid || (first[q*AccWidth+:AccWidth] == accs_q[column*AccWidth+:AccWidth] &&
            second[q*AccWidth+:AccWidth] == accs_q[next*AccWidth+:AccWidth]))
    `ASSERT(keeps_the_channels, !valid || keep[q] == (keep_q && given_q * Lanes + q < int'(channels_q)))
  end

  // What the induction needs to know of the inside.
  `ASSERT(column_inside, u_dut.valid_q == held_q && (!held_q || (u_dut.accs_q == accs_q && u_dut.bank_q == bank_q &&
          u_dut.last_q == last_q && u_dut.keep_q == keep_q && u_dut.counts_q == counts_q)))
  `ASSERT(groups_counted, given_q >= 0 && int'(u_dut.done_q) == given_q * Lanes && int'(u_dut.group_q) == given_q &&
          (held_q ? given_q * Lanes < int'(channels_q) && channels_q <= 9'(Columns) : given_q == 0))
  `ASSERT(entries_known, u_dut.loaded_q == read_q && (read_q || given_q == 0) && (!held_q || open_q == !last_q) &&
          (!read_q || ((held_q || open_q) && read_bank_q == bank_q && read_group_q == given_q)))

endmodule : pe_array_drain_proof
