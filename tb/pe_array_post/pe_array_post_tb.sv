// SPDX-License-Identifier: Apache-2.0
// Bench top of the PE array's output stage: values and tables come in one stream, in order; results leave in another.
// A beat of `in` is either a clock's values or a beat of a table. When no result is taken, everything stands still.
`include "burst_ports.svh"

module pe_array_post_tb
  import pe_array_pkg::*;
#(
  parameter int Rows = 8,
  parameter int Columns = 24,
  parameter int DataWidth = 8,
  parameter int Lanes = 4,
  parameter int Beats = 32,
  parameter int Values = Lanes * Rows,
  // header, entries, a, b, counts, keep, table, table beat; then last, bank, whether it is a table's beat
  parameter int TableAt = HeaderWidth + Lanes * EntryWidth + 2 * Values * AccWidth + Rows * 8 + Values,
  parameter int InWidth = TableAt + Columns * DataWidth + 8 + 3,
  parameter int OutWidth = Values * DataWidth + Values + 1
) (
  input  logic rst_ni,
  input  logic clear_i,
  `BURST_SOURCE_PORTS(in, InWidth, Beats),
  `BURST_SINK_PORTS(out, OutWidth, Beats),
  output logic [31:0] cycle_o
);

  `BENCH_CLOCK(5)

  logic [31:0] cycle;
  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) cycle <= '0;
    else cycle <= cycle + 32'd1;
  end
  assign cycle_o = cycle;

  `BURST_SOURCE(in, InWidth, Beats)
  `BURST_SINK(out, OutWidth, Beats, 1'b0)

  logic last, bank, is_table;
  logic en;

  assign {is_table, bank, last} = in_data[InWidth-1-:3];
  assign en       = !out_valid || out_ready;
  assign in_ready = en;

  pe_array_post #(
    .Rows     (Rows),
    .Columns  (Columns),
    .DataWidth(DataWidth),
    .Lanes    (Lanes)
  ) dut (
    .clk_i,
    .rst_ni,
    .clear_i,
    .en_i        (en),
    .valid_i     (in_valid && !is_table),
    .header_i    (in_data[0+:HeaderWidth]),
    .bank_i      (bank),
    .entries_i   (in_data[HeaderWidth+:Lanes*EntryWidth]),
    .a_i         (in_data[HeaderWidth+Lanes*EntryWidth+:Values*AccWidth]),
    .b_i         (in_data[HeaderWidth+Lanes*EntryWidth+Values*AccWidth+:Values*AccWidth]),
    .counts_i    (in_data[TableAt-Values-Rows*8+:Rows*8]),
    .keep_i      (in_data[TableAt-Values+:Values]),
    .last_i      (last),
    .table_we_i  (in_valid && in_ready && is_table),
    .table_bank_i(bank),
    .table_beat_i(in_data[TableAt+Columns*DataWidth+:8]),
    .table_data_i(in_data[TableAt+:Columns*DataWidth]),
    .valid_o     (out_valid),
    .data_o      (out_data[0+:Values*DataWidth]),
    .keep_o      (out_data[Values*DataWidth+:Values]),
    .last_o      (out_data[OutWidth-1])
  );

`ifndef SYNTHESIS
  // Nothing unknown leaves, whether a result is there or not.
  always @(posedge clk_i) begin
    if (rst_ni && (^{out_valid, out_data}) === 1'bx) begin
      $error("X on the outputs at %0d ns", $time);
      $finish;
    end
  end
`endif
endmodule : pe_array_post_tb
