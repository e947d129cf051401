// SPDX-License-Identifier: Apache-2.0
// Completed columns on their way to the output stage: a copy of the accumulators, and Lanes of its columns a clock.
//
// A completed column is offered with capture_i and taken when ready_o; then its groups of Lanes channels go to the
// output stage one after the other, each with its entries. The last group makes room for the next copy in the same clock.
`include "assert.svh"

module pe_array_drain
  import pe_array_pkg::*;
#(
  parameter int Rows = 8,
  parameter int Columns = 24,
  parameter int Lanes = 4,
  parameter int AccsWidth = Columns * Rows * AccWidth,
  parameter int GroupWidth = Columns > Lanes ? $clog2((Columns + Lanes - 1) / Lanes) : 1,
  parameter int ValuesWidth = Lanes * Rows * AccWidth
) (
  input  logic                        clk_i,
  input  logic                        rst_ni,
  input  logic                        clear_i,
  // A completed column
  input  logic                        capture_i,
  output logic                        ready_o,
  input  logic [       AccsWidth-1:0] accs_i,
  input  logic                        bank_i,
  input  logic                        last_i,     // of the tile
  input  logic [            Rows-1:0] keep_i,     // rows that the output has
  input  logic [          Rows*8-1:0] counts_i,   // places of each row's window in the map
  input  logic [     2*HeaderWidth-1:0] headers_i,
  // Entries, in the clock after the request
  output logic                        entry_re_o,
  output logic                        entry_bank_o,
  output logic [      GroupWidth-1:0] entry_group_o,
  input  logic [Lanes*EntryWidth-1:0] entries_i,
  // To the output stage
  output logic                        valid_o,
  input  logic                        ready_i,
  output logic                        bank_o,
  output logic                        last_o,
  output logic [      Lanes*Rows-1:0] keep_o,
  output logic [     ValuesWidth-1:0] first_o,
  output logic [     ValuesWidth-1:0] second_o,
  output logic [          Rows*8-1:0] counts_o
);

  localparam int ColumnBits = Rows * AccWidth;

  logic [AccsWidth-1:0] accs_q;
  logic [Rows*8-1:0] counts_q;
  logic [Rows-1:0] keep_q;
  logic valid_q, bank_q, last_q, loaded_q;  // loaded_q: entries_i are those of group_q
  logic [8:0] done_q;                       // channels of the groups before group_q
  logic [GroupWidth-1:0] group_q;
  logic capture, give, last_group;
  header_t header;

  assign header     = bank_q ? headers_i[HeaderWidth+:HeaderWidth] : headers_i[0+:HeaderWidth];
  assign last_group = header.entries - done_q <= 9'(Lanes);
  assign valid_o    = valid_q && loaded_q;
  assign give       = valid_o && ready_i;
  assign ready_o    = !valid_q || (give && last_group);
  assign capture    = capture_i && ready_o;

  // The next group's entries are read while the present one is given; after the tile's last column nothing is known
  // of the next tile yet.
  assign entry_re_o    = give || (valid_q && !loaded_q);
  assign entry_bank_o  = bank_q;
  assign entry_group_o = !give || last_group ? '0 : group_q + 1'b1;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      valid_q  <= 1'b0;
      bank_q   <= 1'b0;
      last_q   <= 1'b0;
      keep_q   <= '0;
      loaded_q <= 1'b0;
      group_q  <= '0;
      done_q   <= '0;
    end else if (clear_i) begin
      valid_q  <= 1'b0;
      loaded_q <= 1'b0;
      group_q  <= '0;
      done_q   <= '0;
    end else begin
      if (give) begin
        group_q <= last_group ? '0 : group_q + 1'b1;
        done_q  <= last_group ? '0 : done_q + 9'(Lanes);
      end
      if (give && last_group && last_q) loaded_q <= 1'b0;
      else if (entry_re_o) loaded_q <= 1'b1;
      if (capture) begin
        bank_q <= bank_i;
        last_q <= last_i;
        keep_q <= keep_i;
      end
      valid_q <= capture || (valid_q && !(give && last_group));
    end
  end

  always_ff @(posedge clk_i) begin
    if (capture) begin
      accs_q   <= accs_i;
      counts_q <= counts_i;
    end
  end

  // Both columns of each lane; in place of one that the array does not have, column 0 is taken.
  for (genvar q = 0; q < Lanes; q++) begin : gen_lane
    entry_t entry;
    logic [8:0] column, next;
    logic unused_entry;
    assign entry        = entries_i[q*EntryWidth+:EntryWidth];
    assign column       = 9'(entry.source_column) < 9'(Columns) ? 9'(entry.source_column) : '0;
    assign next         = 9'(entry.source_column) < 9'(Columns - 1) ? 9'(entry.source_column) + 9'd1 : '0;
    assign unused_entry = ^entry;
    assign first_o[q*ColumnBits+:ColumnBits]  = accs_q[int'(column)*ColumnBits+:ColumnBits];
    assign second_o[q*ColumnBits+:ColumnBits] = accs_q[int'(next)*ColumnBits+:ColumnBits];
    assign keep_o[q*Rows+:Rows] = done_q + 9'(q) < header.entries ? keep_q : '0;
  end

  assign bank_o   = bank_q;
  assign last_o   = last_q && last_group;
  assign counts_o = counts_q;

  `ASSERT_STREAM(groups, Lanes * Rows + 1, valid_o, ready_i || clear_i, {keep_o, last_o})

endmodule : pe_array_drain
