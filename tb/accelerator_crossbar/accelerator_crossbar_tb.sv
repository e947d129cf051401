// SPDX-License-Identifier: Apache-2.0
// Bench top of the crossbar alone: each source and each destination behind a burst adapter with stalls of its own, and
// a record of each clock in which a word is offered (tb/accelerator_crossbar/scoreboard.py).
`include "burst_ports.svh"

`define UNIT_PORTS(M) \
  `BURST_SOURCE_PORTS(xbo``M, Lanes + 24, Beats), \
  `BURST_SINK_PORTS(xbi``M, Lanes + 16, Beats)

`define UNIT(M) \
  `BURST_SOURCE(xbo``M, Lanes + 24, Beats) \
  `BURST_SINK(xbi``M, Lanes + 16, Beats, 1'b0) \
  assign xbo_valid[M] = xbo``M``_valid; \
  assign xbo``M``_ready = xbo_ready[M]; \
  assign xbo_dest[8*M+:8] = xbo``M``_data[Lanes+16+:8]; \
  assign xbo_addr[16*M+:16] = xbo``M``_data[Lanes+:16]; \
  assign xbo_data[Lanes*M+:Lanes] = xbo``M``_data[Lanes-1:0]; \
  assign xbi``M``_valid = xbi_valid[M]; \
  assign xbi_ready[M] = xbi``M``_ready; \
  assign xbi``M``_data = {xbi_addr[16*M+:16], xbi_data[Lanes*M+:Lanes]}; \
  assign dest[8*M+:8] = xbo``M``_valid ? xbo_dest[8*M+:8] : 8'd0;

module accelerator_crossbar_tb #(
  parameter int Mvus = 5,
  parameter int Lanes = 8,
  parameter int Beats = 64,
  parameter int RecordWidth = 4 * 8 + 8 * 8 + 8 * 16 + 8 * Lanes
) (
  input  logic        rst_ni,

  `UNIT_PORTS(0),
  `UNIT_PORTS(1),
  `UNIT_PORTS(2),
  `UNIT_PORTS(3),
  `UNIT_PORTS(4),
  `UNIT_PORTS(5),
  `UNIT_PORTS(6),
  `UNIT_PORTS(7),
  `BURST_SINK_PORTS(record, RecordWidth, 256),

  output logic [31:0] cycle_o
);

  `BENCH_CLOCK(5)

  logic [31:0] cycle;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) cycle <= '0;
    else cycle <= cycle + 32'd1;
  end

  assign cycle_o = cycle;

  // Of all eight units, whatever exists of them.
  wire [7:0] xbo_valid, xbo_ready, xbi_valid, xbi_ready;
  wire [8*8-1:0] xbo_dest, dest;
  wire [8*16-1:0] xbo_addr, xbi_addr;
  wire [8*Lanes-1:0] xbo_data, xbi_data;

  `UNIT(0)
  `UNIT(1)
  `UNIT(2)
  `UNIT(3)
  `UNIT(4)
  `UNIT(5)
  `UNIT(6)
  `UNIT(7)
  `BURST_SINK(record, RecordWidth, 256, 1'b1)

  accelerator_crossbar #(
    .Mvus (Mvus),
    .Lanes(Lanes)
  ) dut (
    .clk_i,
    .rst_ni,
    .xbo_valid_i(xbo_valid[Mvus-1:0]),
    .xbo_ready_o(xbo_ready[Mvus-1:0]),
    .xbo_dest_i (xbo_dest[Mvus*8-1:0]),
    .xbo_addr_i (xbo_addr[Mvus*16-1:0]),
    .xbo_data_i (xbo_data[Mvus*Lanes-1:0]),
    .xbi_valid_o(xbi_valid[Mvus-1:0]),
    .xbi_ready_i(xbi_ready[Mvus-1:0]),
    .xbi_addr_o (xbi_addr[Mvus*16-1:0]),
    .xbi_data_o (xbi_data[Mvus*Lanes-1:0])
  );

  for (genvar m = Mvus; m < 8; m++) begin : gen_missing
    assign xbo_ready[m]             = 1'b0;
    assign xbi_valid[m]             = 1'b0;
    assign xbi_addr[16*m+:16]       = '0;
    assign xbi_data[Lanes*m+:Lanes] = '0;
  end

  // Nobody drives the sources of units that do not exist.
  wire [7:0] offered = 8'(xbo_valid[Mvus-1:0]);

  assign record_valid = (offered | xbo_ready | xbi_valid) != '0;
  assign record_data  = {
    xbi_data, xbi_addr, dest, 8'(xbi_ready[Mvus-1:0]), xbi_valid, xbo_ready, offered
  };

  // Passive taps are always taken.
  logic unused_ready;
  assign unused_ready = record_ready;
endmodule : accelerator_crossbar_tb
