// SPDX-License-Identifier: Apache-2.0
// Bench top of the MVU: every port of the device behind a burst adapter, so that Python wakes once for a
// burst of beats. Beat layouts are those of docs/mvu.md.
`include "burst_ports.svh"

module mvu_tb
  import mvu_pkg::*;
#(
  parameter int Lanes = DefaultLanes,
  parameter int AccWidth = DefaultAccWidth,
  parameter int Beats = 64,
  parameter int ParamWidth = Lanes > 32 ? Lanes : 32
) (
  input  logic        rst_ni,

  `BURST_SOURCE_PORTS(reg_req, 41, Beats),
  `BURST_SINK_PORTS(reg_rsp, 32, Beats),
  `BURST_SOURCE_PORTS(mem_req, Lanes + 17, Beats),
  `BURST_SINK_PORTS(mem_rsp, Lanes, Beats),
  `BURST_SOURCE_PORTS(xbi, Lanes + 16, Beats),
  `BURST_SINK_PORTS(xbo, Lanes + 24, Beats),
  `BURST_SOURCE_PORTS(prm, ParamWidth + 26, Beats),
  `BURST_SINK_PORTS(trc, Lanes + 24, Beats),
  `BURST_SINK_PORTS(job, 32, Beats),

  // Clocks in which a request at the data memory waited for another one, or an output word for the crossbar
  output logic [31:0] input_waits_o,
  output logic [31:0] residual_waits_o,
  output logic [31:0] host_read_waits_o,
  output logic [31:0] output_waits_o,
  output logic [31:0] crossbar_waits_o,
  output logic [31:0] host_write_waits_o,
  output logic [31:0] crossbar_out_waits_o,

  output logic [31:0] cycle_o,
  output logic        irq_o
);

  `BENCH_CLOCK(5)

  logic [31:0] cycle;

  `BURST_SOURCE(reg_req, 41, Beats)
  `BURST_SINK(reg_rsp, 32, Beats, 1'b0)
  `BURST_SOURCE(mem_req, Lanes + 17, Beats)
  `BURST_SINK(mem_rsp, Lanes, Beats, 1'b0)
  `BURST_SOURCE(xbi, Lanes + 16, Beats)
  `BURST_SINK(xbo, Lanes + 24, Beats, 1'b0)
  `BURST_SOURCE(prm, ParamWidth + 26, Beats)
  `BURST_SINK(trc, Lanes + 24, Beats, 1'b1)
  `BURST_SINK(job, 32, Beats, 1'b1)

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) cycle <= '0;
    else cycle <= cycle + 32'd1;
  end

  assign cycle_o = cycle;

  logic busy, busy_q, pending;
  logic [31:0] busy_clocks_q;

  mvu #(
    .Lanes   (Lanes),
    .AccWidth(AccWidth)
  ) dut (
    .clk_i,
    .rst_ni,
    .reg_req_valid_i(reg_req_valid),
    .reg_req_ready_o(reg_req_ready),
    .reg_req_write_i(reg_req_data[40]),
    .reg_req_addr_i (reg_req_data[32+:8]),
    .reg_req_wdata_i(reg_req_data[31:0]),
    .reg_rsp_valid_o(reg_rsp_valid),
    .reg_rsp_ready_i(reg_rsp_ready),
    .reg_rsp_rdata_o(reg_rsp_data),
    .mem_req_valid_i(mem_req_valid),
    .mem_req_ready_o(mem_req_ready),
    .mem_req_write_i(mem_req_data[Lanes+16]),
    .mem_req_addr_i (mem_req_data[Lanes+:16]),
    .mem_req_wdata_i(mem_req_data[Lanes-1:0]),
    .mem_rsp_valid_o(mem_rsp_valid),
    .mem_rsp_ready_i(mem_rsp_ready),
    .mem_rsp_rdata_o(mem_rsp_data),
    .xbi_valid_i    (xbi_valid),
    .xbi_ready_o    (xbi_ready),
    .xbi_addr_i     (xbi_data[Lanes+:16]),
    .xbi_data_i     (xbi_data[Lanes-1:0]),
    .xbo_valid_o    (xbo_valid),
    .xbo_ready_i    (xbo_ready),
    .xbo_dest_o     (xbo_data[Lanes+16+:8]),
    .xbo_addr_o     (xbo_data[Lanes+:16]),
    .xbo_data_o     (xbo_data[Lanes-1:0]),
    .prm_valid_i    (prm_valid),
    .prm_ready_o    (prm_ready),
    .prm_select_i   (prm_data[ParamWidth+24+:2]),
    .prm_word_i     (prm_data[ParamWidth+8+:16]),
    .prm_lane_i     (prm_data[ParamWidth+:8]),
    .prm_data_i     (prm_data[ParamWidth-1:0]),
    .trc_valid_o    (trc_valid),
    .trc_dest_o     (trc_data[Lanes+16+:8]),
    .trc_addr_o     (trc_data[Lanes+:16]),
    .trc_data_o     (trc_data[Lanes-1:0]),
    .pending_o      (pending),
    .busy_o         (busy),
    .irq_o
  );

  // One beat for each job when it ends: the clocks it was busy.
  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      busy_q        <= 1'b0;
      busy_clocks_q <= '0;
    end else begin
      busy_q        <= busy;
      busy_clocks_q <= busy ? (busy_q ? busy_clocks_q + 32'd1 : 32'd1) : busy_clocks_q;
    end
  end

  assign job_valid = busy_q && !busy;
  assign job_data  = busy_clocks_q;

  // Collisions at the data memory, for coverage and for the bound on a job's clocks.
  logic [2:0] read_waits, write_waits;
  assign read_waits  = dut.read_req & ~dut.read_gnt;
  assign write_waits = dut.write_req & ~dut.write_gnt;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      input_waits_o      <= '0;
      residual_waits_o   <= '0;
      host_read_waits_o  <= '0;
      output_waits_o     <= '0;
      crossbar_waits_o   <= '0;
      host_write_waits_o <= '0;
      crossbar_out_waits_o <= '0;
    end else begin
      input_waits_o      <= input_waits_o + 32'(read_waits[0]);
      residual_waits_o   <= residual_waits_o + 32'(read_waits[1]);
      host_read_waits_o  <= host_read_waits_o + 32'(read_waits[2]);
      output_waits_o     <= output_waits_o + 32'(write_waits[0]);
      crossbar_waits_o   <= crossbar_waits_o + 32'(write_waits[1]);
      host_write_waits_o <= host_write_waits_o + 32'(write_waits[2]);
      crossbar_out_waits_o <= crossbar_out_waits_o + 32'(xbo_valid && !xbo_ready);
    end
  end

  // Passive taps are always taken; mvustatus tells what is pending.
  logic unused_ready;
  assign unused_ready = trc_ready ^ job_ready ^ pending;
endmodule : mvu_tb
