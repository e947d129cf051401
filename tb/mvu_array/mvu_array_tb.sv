// SPDX-License-Identifier: Apache-2.0
// Bench top of the MVUs and their crossbar: every port of every unit behind a burst adapter, and taps on the crossbar.
// Beat layouts are those of docs/mvu.md; streams of unit m are called um_..., what unit m takes from the crossbar xm.
// Streams of units that do not exist never move.
`include "burst_ports.svh"

`define UNIT_PORTS(M) \
  `BURST_SOURCE_PORTS(u``M``_reg_req, 41, Beats), \
  `BURST_SINK_PORTS(u``M``_reg_rsp, 32, Beats), \
  `BURST_SOURCE_PORTS(u``M``_mem_req, Lanes + 17, Beats), \
  `BURST_SINK_PORTS(u``M``_mem_rsp, Lanes, Beats), \
  `BURST_SOURCE_PORTS(u``M``_prm, ParamWidth + 26, Beats), \
  `BURST_SINK_PORTS(u``M``_trc, Lanes + 24, Beats), \
  `BURST_SINK_PORTS(u``M``_job, 32, Beats), \
  `BURST_SINK_PORTS(x``M, Lanes + 20, Beats), \
  output logic [31:0] u``M``_input_waits_o, \
  output logic [31:0] u``M``_residual_waits_o, \
  output logic [31:0] u``M``_host_read_waits_o, \
  output logic [31:0] u``M``_output_waits_o, \
  output logic [31:0] u``M``_crossbar_waits_o, \
  output logic [31:0] u``M``_host_write_waits_o, \
  output logic [31:0] u``M``_crossbar_out_waits_o, \
  output logic u``M``_irq_o

`define UNIT(M) \
  `BURST_SOURCE(u``M``_reg_req, 41, Beats) \
  `BURST_SINK(u``M``_reg_rsp, 32, Beats, 1'b0) \
  `BURST_SOURCE(u``M``_mem_req, Lanes + 17, Beats) \
  `BURST_SINK(u``M``_mem_rsp, Lanes, Beats, 1'b0) \
  `BURST_SOURCE(u``M``_prm, ParamWidth + 26, Beats) \
  `BURST_SINK(u``M``_trc, Lanes + 24, Beats, 1'b1) \
  `BURST_SINK(u``M``_job, 32, Beats, 1'b1) \
  `BURST_SINK(x``M, Lanes + 20, Beats, 1'b1) \
  assign reg_req_valid[M] = u``M``_reg_req_valid; \
  assign u``M``_reg_req_ready = reg_req_ready[M]; \
  assign reg_req_write[M] = u``M``_reg_req_data[40]; \
  assign reg_req_addr[8*M+:8] = u``M``_reg_req_data[32+:8]; \
  assign reg_req_wdata[32*M+:32] = u``M``_reg_req_data[31:0]; \
  assign u``M``_reg_rsp_valid = reg_rsp_valid[M]; \
  assign reg_rsp_ready[M] = u``M``_reg_rsp_ready; \
  assign u``M``_reg_rsp_data = reg_rsp_rdata[32*M+:32]; \
  assign mem_req_valid[M] = u``M``_mem_req_valid; \
  assign u``M``_mem_req_ready = mem_req_ready[M]; \
  assign mem_req_write[M] = u``M``_mem_req_data[Lanes+16]; \
  assign mem_req_addr[16*M+:16] = u``M``_mem_req_data[Lanes+:16]; \
  assign mem_req_wdata[Lanes*M+:Lanes] = u``M``_mem_req_data[Lanes-1:0]; \
  assign u``M``_mem_rsp_valid = mem_rsp_valid[M]; \
  assign mem_rsp_ready[M] = u``M``_mem_rsp_ready; \
  assign u``M``_mem_rsp_data = mem_rsp_rdata[Lanes*M+:Lanes]; \
  assign prm_valid[M] = u``M``_prm_valid; \
  assign u``M``_prm_ready = prm_ready[M]; \
  assign prm_select[2*M+:2] = u``M``_prm_data[ParamWidth+24+:2]; \
  assign prm_word[16*M+:16] = u``M``_prm_data[ParamWidth+8+:16]; \
  assign prm_lane[8*M+:8] = u``M``_prm_data[ParamWidth+:8]; \
  assign prm_data[ParamWidth*M+:ParamWidth] = u``M``_prm_data[ParamWidth-1:0]; \
  assign u``M``_trc_valid = trc_valid[M]; \
  assign u``M``_trc_data = {trc_dest[8*M+:8], trc_addr[16*M+:16], trc_data[Lanes*M+:Lanes]}; \
  assign u``M``_job_valid = job_valid[M]; \
  assign u``M``_job_data = job_clocks[32*M+:32]; \
  assign x``M``_valid = xbi_valid[M] && xbi_ready[M]; \
  assign x``M``_data = {xbi_source[4*M+:4], xbi_addr[16*M+:16], xbi_data[Lanes*M+:Lanes]}; \
  assign u``M``_input_waits_o = waits[224*M+:32]; \
  assign u``M``_residual_waits_o = waits[224*M+32+:32]; \
  assign u``M``_host_read_waits_o = waits[224*M+64+:32]; \
  assign u``M``_output_waits_o = waits[224*M+96+:32]; \
  assign u``M``_crossbar_waits_o = waits[224*M+128+:32]; \
  assign u``M``_host_write_waits_o = waits[224*M+160+:32]; \
  assign u``M``_crossbar_out_waits_o = waits[224*M+192+:32]; \
  assign u``M``_irq_o = irq[M];

module mvu_array_tb
  import mvu_pkg::*;
#(
  parameter int Mvus = 8,
  parameter int Lanes = DefaultLanes,
  parameter int WeightDepth = DefaultWeightDepth,
  parameter int Beats = 64,
  parameter int ParamWidth = Lanes > 32 ? Lanes : 32
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
  `BURST_SINK_PORTS(xbar, 128, 256),

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
  wire [7:0] reg_req_valid, reg_req_ready, reg_req_write, reg_rsp_valid, reg_rsp_ready;
  wire [7:0] mem_req_valid, mem_req_ready, mem_req_write, mem_rsp_valid, mem_rsp_ready;
  wire [7:0] prm_valid, prm_ready, trc_valid, irq, busy, job_valid, xbi_valid, xbi_ready;
  wire [8*8-1:0] reg_req_addr, prm_lane, trc_dest;
  wire [8*32-1:0] reg_req_wdata, reg_rsp_rdata, job_clocks;
  wire [8*16-1:0] mem_req_addr, prm_word, trc_addr, xbi_addr;
  wire [8*Lanes-1:0] mem_req_wdata, mem_rsp_rdata, trc_data, xbi_data;
  wire [8*2-1:0] prm_select;
  wire [8*ParamWidth-1:0] prm_data;
  wire [8*4-1:0] xbi_source;
  wire [8*224-1:0] waits;

  `UNIT(0)
  `UNIT(1)
  `UNIT(2)
  `UNIT(3)
  `UNIT(4)
  `UNIT(5)
  `UNIT(6)
  `UNIT(7)
  `BURST_SINK(xbar, 128, 256, 1'b1)

  mvu_array #(
    .Mvus       (Mvus),
    .Lanes      (Lanes),
    .WeightDepth(WeightDepth)
  ) dut (
    .clk_i,
    .rst_ni,
    .reg_req_valid_i(reg_req_valid[Mvus-1:0]),
    .reg_req_ready_o(reg_req_ready[Mvus-1:0]),
    .reg_req_write_i(reg_req_write[Mvus-1:0]),
    .reg_req_addr_i (reg_req_addr[Mvus*8-1:0]),
    .reg_req_wdata_i(reg_req_wdata[Mvus*32-1:0]),
    .reg_rsp_valid_o(reg_rsp_valid[Mvus-1:0]),
    .reg_rsp_ready_i(reg_rsp_ready[Mvus-1:0]),
    .reg_rsp_rdata_o(reg_rsp_rdata[Mvus*32-1:0]),
    .mem_req_valid_i(mem_req_valid[Mvus-1:0]),
    .mem_req_ready_o(mem_req_ready[Mvus-1:0]),
    .mem_req_write_i(mem_req_write[Mvus-1:0]),
    .mem_req_addr_i (mem_req_addr[Mvus*16-1:0]),
    .mem_req_wdata_i(mem_req_wdata[Mvus*Lanes-1:0]),
    .mem_rsp_valid_o(mem_rsp_valid[Mvus-1:0]),
    .mem_rsp_ready_i(mem_rsp_ready[Mvus-1:0]),
    .mem_rsp_rdata_o(mem_rsp_rdata[Mvus*Lanes-1:0]),
    .prm_valid_i    (prm_valid[Mvus-1:0]),
    .prm_ready_o    (prm_ready[Mvus-1:0]),
    .prm_select_i   (prm_select[Mvus*2-1:0]),
    .prm_word_i     (prm_word[Mvus*16-1:0]),
    .prm_lane_i     (prm_lane[Mvus*8-1:0]),
    .prm_data_i     (prm_data[Mvus*ParamWidth-1:0]),
    .trc_valid_o    (trc_valid[Mvus-1:0]),
    .trc_dest_o     (trc_dest[Mvus*8-1:0]),
    .trc_addr_o     (trc_addr[Mvus*16-1:0]),
    .trc_data_o     (trc_data[Mvus*Lanes-1:0]),
    .pending_o      (),
    .busy_o         (busy[Mvus-1:0]),
    .irq_o          (irq[Mvus-1:0])
  );

  wire [7:0] xbo_valid, xbo_ready;
  wire [63:0] xbo_dest;

  for (genvar m = 0; m < 8; m++) begin : gen_unit
    if (m < Mvus) begin : gen_there
      // One beat for each job when it ends: the clocks it was busy.
      logic busy_q;
      logic [31:0] busy_clocks_q;

      always_ff @(posedge clk_i or negedge rst_ni) begin
        if (!rst_ni) begin
          busy_q        <= 1'b0;
          busy_clocks_q <= '0;
        end else begin
          busy_q        <= busy[m];
          busy_clocks_q <= busy[m] ? (busy_q ? busy_clocks_q + 32'd1 : 32'd1) : busy_clocks_q;
        end
      end

      assign job_valid[m]          = busy_q && !busy[m];
      assign job_clocks[32*m+:32]  = busy_clocks_q;
      assign xbi_valid[m]          = dut.xbi_valid[m];
      assign xbi_ready[m]          = dut.xbi_ready[m];
      assign xbi_addr[16*m+:16]    = dut.xbi_addr[16*m+:16];
      assign xbi_data[Lanes*m+:Lanes] = dut.xbi_data[Lanes*m+:Lanes];
      assign xbo_valid[m]          = dut.xbo_valid[m];
      assign xbo_ready[m]          = dut.xbo_ready[m];
      // Not known while nothing is offered.
      assign xbo_dest[8*m+:8]      = dut.xbo_dest[8*m+:8] & {8{dut.xbo_valid[m]}};

      wire [Mvus-1:0] grant;
      assign grant = dut.u_crossbar.gen_destination[m].grant;

      logic [3:0] source;
      always_comb begin
        source = '0;
        for (int s = 0; s < Mvus; s++) source = source | (4'(s) & {4{grant[s]}});
      end
      assign xbi_source[4*m+:4] = source;

      // Collisions at the data memory and at the crossbar, for the bound on a job's clocks.
      wire [6:0] waited;
      assign waited[0] = dut.gen_mvu[m].u_mvu.read_req[0] && !dut.gen_mvu[m].u_mvu.read_gnt[0];
      assign waited[1] = dut.gen_mvu[m].u_mvu.read_req[1] && !dut.gen_mvu[m].u_mvu.read_gnt[1];
      assign waited[2] = dut.gen_mvu[m].u_mvu.read_req[2] && !dut.gen_mvu[m].u_mvu.read_gnt[2];
      assign waited[3] = dut.gen_mvu[m].u_mvu.write_req[0] && !dut.gen_mvu[m].u_mvu.write_gnt[0];
      assign waited[4] = dut.gen_mvu[m].u_mvu.write_req[1] && !dut.gen_mvu[m].u_mvu.write_gnt[1];
      assign waited[5] = dut.gen_mvu[m].u_mvu.write_req[2] && !dut.gen_mvu[m].u_mvu.write_gnt[2];
      assign waited[6] = xbo_valid[m] && !xbo_ready[m];

      for (genvar w = 0; w < 7; w++) begin : gen_waits
        logic [31:0] waits_q;
        always_ff @(posedge clk_i or negedge rst_ni) begin
          if (!rst_ni) waits_q <= '0;
          else waits_q <= waits_q + 32'(waited[w]);
        end
        assign waits[224*m+32*w+:32] = waits_q;
      end
    end else begin : gen_missing
      assign reg_req_ready[m]         = 1'b0;
      assign reg_rsp_valid[m]         = 1'b0;
      assign reg_rsp_rdata[32*m+:32]  = '0;
      assign mem_req_ready[m]         = 1'b0;
      assign mem_rsp_valid[m]         = 1'b0;
      assign mem_rsp_rdata[Lanes*m+:Lanes] = '0;
      assign prm_ready[m]             = 1'b0;
      assign trc_valid[m]             = 1'b0;
      assign trc_dest[8*m+:8]         = '0;
      assign trc_addr[16*m+:16]       = '0;
      assign trc_data[Lanes*m+:Lanes] = '0;
      assign irq[m]                   = 1'b0;
      assign busy[m]                  = 1'b0;
      assign job_valid[m]             = 1'b0;
      assign job_clocks[32*m+:32]     = '0;
      assign xbi_valid[m]             = 1'b0;
      assign xbi_ready[m]             = 1'b0;
      assign xbi_addr[16*m+:16]       = '0;
      assign xbi_data[Lanes*m+:Lanes] = '0;
      assign xbi_source[4*m+:4]       = '0;
      assign xbo_valid[m]             = 1'b0;
      assign xbo_ready[m]             = 1'b0;
      assign xbo_dest[8*m+:8]         = '0;
      assign waits[224*m+:224]        = '0;
    end
  end

  // A clock in which a word is offered: see tb/mvu_array/crossbar.py.
  assign xbar_valid = xbo_valid != '0;
  assign xbar_data  = {xbi_source, xbi_ready, xbi_valid, xbo_dest, xbo_ready & xbo_valid, xbo_valid};

  // Passive taps are always taken.
  logic unused_ready;
  assign unused_ready = xbar_ready;
endmodule : mvu_array_tb
