// SPDX-License-Identifier: Apache-2.0
// Bench top of the accelerator's host side alone: the five channels of its AXI4 port and the harts' bus behind burst
// adapters, models of units and controller that stall, and one record for each clock in which anything passes anywhere
// (tb/accelerator_host/record.py).
`include "burst_ports.svh"

module accelerator_host_tb #(
  parameter int Mvus = 3,
  parameter int Lanes = 8,
  parameter int DataBanks = 4,
  parameter int BankDepth = 64,
  parameter int WeightDepth = 16,
  parameter int ChannelDepth = 32,
  parameter int Beats = 64,
  parameter int ParamWidth = Lanes > 32 ? Lanes : 32,
  parameter int UnitWidth = 42 + 33 + 18 + Lanes + 1 + Lanes + 2,
  parameter int RecordWidth = 50 + 74 + 7 + 50 + 72 + 43 + Mvus * UnitWidth + 26 + ParamWidth + 66 + 34 + 50 + 38 + 3
) (
  input  logic        rst_ni,

  `BURST_SOURCE_PORTS(aw, 49, Beats),
  `BURST_SOURCE_PORTS(w, 73, Beats),
  `BURST_SINK_PORTS(b, 6, Beats),
  `BURST_SOURCE_PORTS(ar, 49, Beats),
  `BURST_SINK_PORTS(r, 71, Beats),
  `BURST_SOURCE_PORTS(hart, 49, Beats),
  `BURST_SINK_PORTS(back, 37, Beats),
  `BURST_SINK_PORTS(record, RecordWidth, 256),

  // Stalls of units and controller, as of the adapters
  input  logic [8:0]  units_stall_i,
  input  logic [31:0] units_seed_i,
  // The manager keeps AXI4's rules for requests
  input  logic        legal_i,

  output logic        host_irq_o,
  output logic [31:0] cycle_o
);

  `BENCH_CLOCK(5)

  logic [31:0] cycle;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) cycle <= '0;
    else cycle <= cycle + 32'd1;
  end

  assign cycle_o = cycle;

  `BURST_SOURCE(aw, 49, Beats)
  `BURST_SOURCE(w, 73, Beats)
  `BURST_SINK(b, 6, Beats, 1'b0)
  `BURST_SOURCE(ar, 49, Beats)
  `BURST_SINK(r, 71, Beats, 1'b0)
  `BURST_SOURCE(hart, 49, Beats)
  `BURST_SINK(back, 37, Beats, 1'b0)
  `BURST_SINK(record, RecordWidth, 256, 1'b1)

  logic [Mvus-1:0] reg_req_valid, reg_req_ready, reg_req_write, reg_rsp_valid, reg_rsp_ready, pending;
  logic [Mvus-1:0] mem_req_valid, mem_req_ready, mem_req_write, mem_rsp_valid, mem_rsp_ready;
  logic [Mvus-1:0] prm_valid, prm_ready;
  logic [Mvus*8-1:0] reg_req_addr;
  logic [Mvus*32-1:0] reg_req_wdata, reg_rsp_rdata;
  logic [Mvus*16-1:0] mem_req_addr;
  logic [Mvus*Lanes-1:0] mem_req_wdata, mem_rsp_rdata;
  logic [1:0] prm_select;
  logic [15:0] prm_word;
  logic [7:0] prm_lane;
  logic [ParamWidth-1:0] prm_data;
  logic ctl_req_valid, ctl_req_ready, ctl_req_write, ctl_rsp_valid, ctl_rsp_ready, ctl_rsp_error;
  logic [31:0] ctl_req_addr, ctl_req_wdata, ctl_rsp_rdata;

  // A hart has one access under way, as the controller sees to: its next one waits here, and those of others behind it.
  logic [15:0] under_way_q;
  logic bus_req_valid, bus_req_ready;
  logic [3:0] hart;

  assign hart          = hart_valid ? hart_data[32+:4] : 4'd0;
  assign bus_req_valid = hart_valid && !under_way_q[hart];
  assign hart_ready    = bus_req_valid && bus_req_ready;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      under_way_q <= '0;
    end else begin
      if (back_valid && back_ready) under_way_q[back_data[32+:4]] <= 1'b0;
      if (hart_ready) under_way_q[hart] <= 1'b1;
    end
  end

  accelerator_host #(
    .Mvus        (Mvus),
    .Lanes       (Lanes),
    .DataBanks   (DataBanks),
    .BankDepth   (BankDepth),
    .WeightDepth (WeightDepth),
    .ChannelDepth(ChannelDepth)
  ) dut (
    .clk_i,
    .rst_ni,
    .s_axi_awid_i    (aw_data[45+:4]),
    .s_axi_awaddr_i  (aw_data[31:0]),
    .s_axi_awlen_i   (aw_data[32+:8]),
    .s_axi_awsize_i  (aw_data[40+:3]),
    .s_axi_awburst_i (aw_data[43+:2]),
    .s_axi_awvalid_i (aw_valid),
    .s_axi_awready_o (aw_ready),
    .s_axi_wdata_i   (w_data[63:0]),
    .s_axi_wstrb_i   (w_data[64+:8]),
    .s_axi_wlast_i   (w_data[72]),
    .s_axi_wvalid_i  (w_valid),
    .s_axi_wready_o  (w_ready),
    .s_axi_bid_o     (b_data[2+:4]),
    .s_axi_bresp_o   (b_data[1:0]),
    .s_axi_bvalid_o  (b_valid),
    .s_axi_bready_i  (b_ready),
    .s_axi_arid_i    (ar_data[45+:4]),
    .s_axi_araddr_i  (ar_data[31:0]),
    .s_axi_arlen_i   (ar_data[32+:8]),
    .s_axi_arsize_i  (ar_data[40+:3]),
    .s_axi_arburst_i (ar_data[43+:2]),
    .s_axi_arvalid_i (ar_valid),
    .s_axi_arready_o (ar_ready),
    .s_axi_rid_o     (r_data[67+:4]),
    .s_axi_rdata_o   (r_data[63:0]),
    .s_axi_rresp_o   (r_data[64+:2]),
    .s_axi_rlast_o   (r_data[66]),
    .s_axi_rvalid_o  (r_valid),
    .s_axi_rready_i  (r_ready),
    .host_irq_o,
    .bus_req_valid_i (bus_req_valid),
    .bus_req_ready_o (bus_req_ready),
    .bus_req_write_i (hart_data[48]),
    .bus_req_mvu_i   (hart_data[44+:4]),
    .bus_req_addr_i  (hart_data[36+:8]),
    .bus_req_hart_i  (hart_data[32+:4]),
    .bus_req_wdata_i (hart_data[31:0]),
    .bus_rsp_valid_o (back_valid),
    .bus_rsp_ready_i (back_ready),
    .bus_rsp_rdata_o (back_data[31:0]),
    .bus_rsp_error_o (back_data[36]),
    .bus_rsp_hart_o  (back_data[32+:4]),
    .host_req_valid_o(ctl_req_valid),
    .host_req_ready_i(ctl_req_ready),
    .host_req_write_o(ctl_req_write),
    .host_req_addr_o (ctl_req_addr),
    .host_req_wdata_o(ctl_req_wdata),
    .host_rsp_valid_i(ctl_rsp_valid),
    .host_rsp_ready_o(ctl_rsp_ready),
    .host_rsp_rdata_i(ctl_rsp_rdata),
    .host_rsp_error_i(ctl_rsp_error),
    .reg_req_valid_o (reg_req_valid),
    .reg_req_ready_i (reg_req_ready),
    .reg_req_write_o (reg_req_write),
    .reg_req_addr_o  (reg_req_addr),
    .reg_req_wdata_o (reg_req_wdata),
    .reg_rsp_valid_i (reg_rsp_valid),
    .reg_rsp_ready_o (reg_rsp_ready),
    .reg_rsp_rdata_i (reg_rsp_rdata),
    .pending_i       (pending),
    .mem_req_valid_o (mem_req_valid),
    .mem_req_ready_i (mem_req_ready),
    .mem_req_write_o (mem_req_write),
    .mem_req_addr_o  (mem_req_addr),
    .mem_req_wdata_o (mem_req_wdata),
    .mem_rsp_valid_i (mem_rsp_valid),
    .mem_rsp_ready_o (mem_rsp_ready),
    .mem_rsp_rdata_i (mem_rsp_rdata),
    .prm_valid_o     (prm_valid),
    .prm_ready_i     (prm_ready),
    .prm_select_o    (prm_select),
    .prm_word_o      (prm_word),
    .prm_lane_o      (prm_lane),
    .prm_data_o      (prm_data)
  );

  accelerator_host_controller u_controller (
    .clk_i,
    .rst_ni,
    .stall_i    (units_stall_i),
    .seed_i     (units_seed_i),
    .req_valid_i(ctl_req_valid),
    .req_ready_o(ctl_req_ready),
    .req_write_i(ctl_req_write),
    .req_addr_i (ctl_req_addr),
    .req_wdata_i(ctl_req_wdata),
    .rsp_valid_o(ctl_rsp_valid),
    .rsp_ready_i(ctl_rsp_ready),
    .rsp_rdata_o(ctl_rsp_rdata),
    .rsp_error_o(ctl_rsp_error)
  );

  wire [Mvus*UnitWidth-1:0] units;
  wire [Mvus-1:0] unit_moves;

  for (genvar m = 0; m < Mvus; m++) begin : gen_unit
    accelerator_host_unit #(
      .Lanes    (Lanes),
      .DataDepth(DataBanks * BankDepth),
      .Number   (m)
    ) u_unit (
      .clk_i,
      .rst_ni,
      .stall_i        (units_stall_i),
      .seed_i         (units_seed_i),
      .reg_req_valid_i(reg_req_valid[m]),
      .reg_req_ready_o(reg_req_ready[m]),
      .reg_req_write_i(reg_req_write[m]),
      .reg_req_addr_i (reg_req_addr[8*m+:8]),
      .reg_req_wdata_i(reg_req_wdata[32*m+:32]),
      .reg_rsp_valid_o(reg_rsp_valid[m]),
      .reg_rsp_rdata_o(reg_rsp_rdata[32*m+:32]),
      .pending_o      (pending[m]),
      .mem_req_valid_i(mem_req_valid[m]),
      .mem_req_ready_o(mem_req_ready[m]),
      .mem_req_write_i(mem_req_write[m]),
      .mem_req_addr_i (mem_req_addr[16*m+:16]),
      .mem_req_wdata_i(mem_req_wdata[Lanes*m+:Lanes]),
      .mem_rsp_valid_o(mem_rsp_valid[m]),
      .mem_rsp_rdata_o(mem_rsp_rdata[Lanes*m+:Lanes]),
      .prm_ready_o    (prm_ready[m])
    );

    wire reg_pass, mem_pass, prm_pass, held_back;
    assign reg_pass = reg_req_valid[m] && reg_req_ready[m];
    assign mem_pass = mem_req_valid[m] && mem_req_ready[m];
    assign prm_pass = prm_valid[m] && prm_ready[m];
    // A write that the unit would hold back is offered to it.
    assign held_back = reg_req_valid[m] && reg_req_write[m] && pending[m] &&
        reg_req_addr[8*m+:8] < mvu_pkg::AddrMvustatus;

    assign units[UnitWidth*m+:UnitWidth] = {
      held_back,
      prm_pass,
      mem_rsp_valid[m], mem_rsp_rdata[Lanes*m+:Lanes],
      {mem_pass, mem_req_write[m], mem_req_addr[16*m+:16], mem_req_wdata[Lanes*m+:Lanes]} & {18 + Lanes{mem_pass}},
      reg_rsp_valid[m], reg_rsp_rdata[32*m+:32],
      {reg_pass, reg_req_write[m], reg_req_addr[8*m+:8], reg_req_wdata[32*m+:32]} & {42{reg_pass}}
    };
    assign unit_moves[m] = reg_pass || mem_pass || prm_pass || reg_rsp_valid[m] || mem_rsp_valid[m] || held_back;
  end

  logic aw_pass, w_pass, b_pass, ar_pass, r_pass, sys_pass, ctl_pass, ctl_back, back_pass, prm_pass;
  logic b_valid_q, b_ready_q, b_rises, irq_q, irq_changes;

  assign aw_pass     = aw_valid && aw_ready;
  assign w_pass      = w_valid && w_ready;
  assign b_pass      = b_valid && b_ready;
  assign ar_pass     = ar_valid && ar_ready;
  assign r_pass      = r_valid && r_ready;
  assign sys_pass    = dut.sys_req_valid && dut.sys_req_ready;
  assign ctl_pass    = ctl_req_valid && ctl_req_ready;
  assign ctl_back    = ctl_rsp_valid && ctl_rsp_ready;
  assign back_pass   = back_valid && back_ready;
  assign prm_pass    = (prm_valid & prm_ready) != '0;
  assign b_rises     = b_valid && (!b_valid_q || b_ready_q);
  assign irq_changes = host_irq_o != irq_q;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      b_valid_q <= 1'b0;
      b_ready_q <= 1'b0;
      irq_q     <= 1'b0;
    end else begin
      b_valid_q <= b_valid;
      b_ready_q <= b_ready;
      irq_q     <= host_irq_o;
    end
  end

  assign record_valid = aw_pass || w_pass || b_pass || ar_pass || r_pass || sys_pass || ctl_pass || ctl_back ||
      back_pass || hart_ready || b_rises || irq_changes || dut.u_transposer.start || unit_moves != '0;
  assign record_data = {
    host_irq_o, dut.u_transposer.start, b_rises,
    {back_pass, back_data} & {38{back_pass}},
    {hart_ready, hart_data} & {50{hart_ready}},
    {ctl_back, ctl_rsp_error, ctl_rsp_rdata} & {34{ctl_back}},
    {ctl_pass, ctl_req_write, ctl_req_addr, ctl_req_wdata} & {66{ctl_pass}},
    {prm_select, prm_word, prm_lane, prm_data} & {26 + ParamWidth{prm_pass}},
    units,
    {sys_pass, dut.sys_req_write, dut.sys_req_host, dut.sys_req_addr, dut.sys_req_wdata} & {43{sys_pass}},
    {r_pass, r_data} & {72{r_pass}},
    {ar_pass, ar_data} & {50{ar_pass}},
    {b_pass, b_data} & {7{b_pass}},
    {w_pass, w_data} & {74{w_pass}},
    {aw_pass, aw_data} & {50{aw_pass}}
  };

  axi_protocol #(
    .IdWidth  (4),
    .AddrWidth(32),
    .DataWidth(64),
    .MostOpen (4)
  ) u_protocol (
    .clk_i,
    .rst_ni,
    .legal_i  (legal_i),
    .awid_i   (aw_data[45+:4]),
    .awaddr_i (aw_data[31:0]),
    .awlen_i  (aw_data[32+:8]),
    .awsize_i (aw_data[40+:3]),
    .awburst_i(aw_data[43+:2]),
    .awvalid_i(aw_valid),
    .awready_i(aw_ready),
    .wdata_i  (w_data[63:0]),
    .wstrb_i  (w_data[64+:8]),
    .wlast_i  (w_data[72]),
    .wvalid_i (w_valid),
    .wready_i (w_ready),
    .bid_i    (b_data[2+:4]),
    .bresp_i  (b_data[1:0]),
    .bvalid_i (b_valid),
    .bready_i (b_ready),
    .arid_i   (ar_data[45+:4]),
    .araddr_i (ar_data[31:0]),
    .arlen_i  (ar_data[32+:8]),
    .arsize_i (ar_data[40+:3]),
    .arburst_i(ar_data[43+:2]),
    .arvalid_i(ar_valid),
    .arready_i(ar_ready),
    .rid_i    (r_data[67+:4]),
    .rdata_i  (r_data[63:0]),
    .rresp_i  (r_data[64+:2]),
    .rlast_i  (r_data[66]),
    .rvalid_i (r_valid),
    .rready_i (r_ready)
  );

  // What is always taken.
  logic unused_ready;
  assign unused_ready = ^{record_ready, reg_rsp_ready, mem_rsp_ready};
endmodule : accelerator_host_tb
