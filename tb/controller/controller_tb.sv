// SPDX-License-Identifier: Apache-2.0
// Bench top of the controller: host port and MVU bus behind burst adapters, and the retirement trace packed into records
// that a tap hands over many at a time, so that Python never wakes for one retirement.
`include "burst_ports.svh"

module controller_tb
  import controller_pkg::*;
#(
  parameter int Harts = DefaultHarts,
  parameter int ImemWords = DefaultImemWords,
  parameter int DmemWords = DefaultDmemWords,
  parameter int Skip = DefaultSkip,
  parameter int MulDiv = DefaultMulDiv,
  parameter int Beats = 16,
  parameter int Records = 512,
  // Fields of a record at whole bytes: see tb/controller/trace.py.
  parameter int RecordWidth = 8 * 61
) (
  input  logic             rst_ni,

  `BURST_SOURCE_PORTS(host_req, 65, 64),
  `BURST_SINK_PORTS(host_rsp, 33, 64),
  `BURST_SINK_PORTS(bus_req, 49, Beats),
  `BURST_SOURCE_PORTS(bus_rsp, 37, Beats),
  `BURST_SINK_PORTS(host_write, 65, Beats),
  `BURST_SINK_PORTS(trace, RecordWidth, Records),

  // A change is one clock of mvu_irq_i of the device.
  input  logic [Harts-1:0] mvu_pulse_i,
  input  logic [Harts-1:0] ext_irq_i,

  output logic [31:0]      cycle_o
);

  `BENCH_CLOCK(5)

  logic [31:0] cycle;

  `BURST_SOURCE(host_req, 65, 64)
  `BURST_SINK(host_rsp, 33, 64, 1'b0)
  `BURST_SINK(bus_req, 49, Beats, 1'b0)
  `BURST_SOURCE(bus_rsp, 37, Beats)
  `BURST_SINK(host_write, 65, Beats, 1'b1)
  `BURST_TAP_FILED(trace, RecordWidth, Records, 512)

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) cycle <= '0;
    else cycle <= cycle + 32'd1;
  end

  assign cycle_o = cycle;

  // Python writes somewhere inside a clock; the device sees it as from a register, in the whole next clock.
  logic [Harts-1:0] pulse_q, mvu_irq_q, ext_irq_q;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      pulse_q   <= '0;
      mvu_irq_q <= '0;
      ext_irq_q <= '0;
    end else begin
      pulse_q   <= mvu_pulse_i;
      mvu_irq_q <= mvu_pulse_i ^ pulse_q;
      ext_irq_q <= ext_irq_i;
    end
  end

  // The host's writes to its registers and to devices, which harts see at once.
  assign host_write_valid = host_req_valid && host_req_ready && host_req_data[64] && host_req_data[63:58] == '0;
  assign host_write_data  = host_req_data;

  `include "rvfi_record.svh"

  controller #(
    .Harts    (Harts),
    .ImemWords(ImemWords),
    .DmemWords(DmemWords),
    .Skip     (Skip),
    .MulDiv   (MulDiv)
  ) dut (
    .clk_i,
    .rst_ni,
    .host_req_valid_i(host_req_valid),
    .host_req_ready_o(host_req_ready),
    .host_req_write_i(host_req_data[64]),
    .host_req_addr_i (host_req_data[32+:32]),
    .host_req_wdata_i(host_req_data[31:0]),
    .host_rsp_valid_o(host_rsp_valid),
    .host_rsp_ready_i(host_rsp_ready),
    .host_rsp_rdata_o(host_rsp_data[31:0]),
    .host_rsp_error_o(host_rsp_data[32]),
    .bus_req_valid_o (bus_req_valid),
    .bus_req_ready_i (bus_req_ready),
    .bus_req_write_o (bus_req_data[48]),
    .bus_req_mvu_o   (bus_req_data[44+:4]),
    .bus_req_addr_o  (bus_req_data[36+:8]),
    .bus_req_hart_o  (bus_req_data[32+:4]),
    .bus_req_wdata_o (bus_req_data[31:0]),
    .bus_rsp_valid_i (bus_rsp_valid),
    .bus_rsp_ready_o (bus_rsp_ready),
    .bus_rsp_rdata_i (bus_rsp_data[31:0]),
    .bus_rsp_hart_i  (bus_rsp_data[32+:4]),
    .bus_rsp_error_i (bus_rsp_data[36]),
    .mvu_irq_i       (mvu_irq_q),
    .ext_irq_i       (ext_irq_q),
    .rvfi_o          (rvfi)
  );
endmodule : controller_tb
