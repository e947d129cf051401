// SPDX-License-Identifier: Apache-2.0
// MVUs, crossbar, controller and the host's side. See docs/accelerator.md.
//
//   s_axi ----> host's side --+--> controller's host port --> controller --> bus --+
//                    ^        +--> registers, parameters, data memories of the MVUs |
//                    +-------------------------------------------------------------+
`include "assert.svh"

module accelerator
  import rvfi_pkg::*;
#(
  parameter int Mvus = accelerator_pkg::DefaultMvus,
  parameter int Lanes = mvu_pkg::DefaultLanes,
  parameter int DataBanks = mvu_pkg::DefaultDataBanks,
  parameter int BankDepth = mvu_pkg::DefaultBankDepth,
  parameter int WeightDepth = mvu_pkg::DefaultWeightDepth,
  parameter int ChannelDepth = mvu_pkg::DefaultChannelDepth,
  parameter int AccWidth = mvu_pkg::DefaultAccWidth,
  parameter int BiasWidth = mvu_pkg::DefaultBiasWidth,
  parameter int ImemWords = controller_pkg::DefaultImemWords,
  parameter int DmemWords = controller_pkg::DefaultDmemWords,
  parameter int Skip = controller_pkg::DefaultSkip,
  parameter int MulDiv = controller_pkg::DefaultMulDiv
) (
  input  logic                  clk_i,
  input  logic                  rst_ni,
  // Host: AXI4 subordinate
  input  logic [           3:0] s_axi_awid_i,
  input  logic [          31:0] s_axi_awaddr_i,
  input  logic [           7:0] s_axi_awlen_i,
  input  logic [           2:0] s_axi_awsize_i,
  input  logic [           1:0] s_axi_awburst_i,
  input  logic                  s_axi_awvalid_i,
  output logic                  s_axi_awready_o,
  input  logic [          63:0] s_axi_wdata_i,
  input  logic [           7:0] s_axi_wstrb_i,
  input  logic                  s_axi_wlast_i,
  input  logic                  s_axi_wvalid_i,
  output logic                  s_axi_wready_o,
  output logic [           3:0] s_axi_bid_o,
  output logic [           1:0] s_axi_bresp_o,
  output logic                  s_axi_bvalid_o,
  input  logic                  s_axi_bready_i,
  input  logic [           3:0] s_axi_arid_i,
  input  logic [          31:0] s_axi_araddr_i,
  input  logic [           7:0] s_axi_arlen_i,
  input  logic [           2:0] s_axi_arsize_i,
  input  logic [           1:0] s_axi_arburst_i,
  input  logic                  s_axi_arvalid_i,
  output logic                  s_axi_arready_o,
  output logic [           3:0] s_axi_rid_o,
  output logic [          63:0] s_axi_rdata_o,
  output logic [           1:0] s_axi_rresp_o,
  output logic                  s_axi_rlast_o,
  output logic                  s_axi_rvalid_o,
  input  logic                  s_axi_rready_i,
  // Interrupt to the host, and external ones to the harts, synchronous
  output logic                  host_irq_o,
  input  logic [      Mvus-1:0] ext_irq_i,
  // To be observed: the MVUs' output words, jobs and interrupts
  output logic [      Mvus-1:0] trc_valid_o,
  output logic [    Mvus*8-1:0] trc_dest_o,
  output logic [   Mvus*16-1:0] trc_addr_o,
  output logic [Mvus*Lanes-1:0] trc_data_o,
  output logic [      Mvus-1:0] busy_o,
  output logic [      Mvus-1:0] irq_o,
  // To be observed: accesses of the harts to registers
  output logic                  bus_req_valid_o,
  output logic                  bus_req_ready_o,
  output logic                  bus_req_write_o,
  output logic [           3:0] bus_req_mvu_o,
  output logic [           7:0] bus_req_addr_o,
  output logic [          31:0] bus_req_wdata_o,
  output logic [           3:0] bus_req_hart_o,
  output logic                  bus_rsp_valid_o,
  output logic                  bus_rsp_ready_o,
  output logic [          31:0] bus_rsp_rdata_o,
  output logic                  bus_rsp_error_o,
  output logic [           3:0] bus_rsp_hart_o,
  // To be observed: retirements, in the names of riscv-formal
  output rvfi_t                 rvfi_o
);

  localparam int ParamWidth = Lanes > 32 ? Lanes : 32;

  // ---------------------------------------------------------------------------------------------
  // Controller
  // ---------------------------------------------------------------------------------------------
  logic host_req_valid, host_req_ready, host_req_write, host_rsp_valid, host_rsp_ready, host_rsp_error;
  logic [31:0] host_req_addr, host_req_wdata, host_rsp_rdata;
  logic [Mvus-1:0] irq;

  logic bus_req_valid, bus_req_ready, bus_req_write, bus_rsp_valid, bus_rsp_ready, bus_rsp_error;
  logic [3:0] bus_req_mvu, bus_req_hart, bus_rsp_hart;
  logic [7:0] bus_req_addr;
  logic [31:0] bus_req_wdata, bus_rsp_rdata;

  controller #(
    .Harts    (Mvus),
    .ImemWords(ImemWords),
    .DmemWords(DmemWords),
    .Skip     (Skip),
    .MulDiv   (MulDiv)
  ) u_controller (
    .clk_i,
    .rst_ni,
    .host_req_valid_i(host_req_valid),
    .host_req_ready_o(host_req_ready),
    .host_req_write_i(host_req_write),
    .host_req_addr_i (host_req_addr),
    .host_req_wdata_i(host_req_wdata),
    .host_rsp_valid_o(host_rsp_valid),
    .host_rsp_ready_i(host_rsp_ready),
    .host_rsp_rdata_o(host_rsp_rdata),
    .host_rsp_error_o(host_rsp_error),
    .bus_req_valid_o (bus_req_valid),
    .bus_req_ready_i (bus_req_ready),
    .bus_req_write_o (bus_req_write),
    .bus_req_mvu_o   (bus_req_mvu),
    .bus_req_addr_o  (bus_req_addr),
    .bus_req_wdata_o (bus_req_wdata),
    .bus_req_hart_o  (bus_req_hart),
    .bus_rsp_valid_i (bus_rsp_valid),
    .bus_rsp_ready_o (bus_rsp_ready),
    .bus_rsp_rdata_i (bus_rsp_rdata),
    .bus_rsp_error_i (bus_rsp_error),
    .bus_rsp_hart_i  (bus_rsp_hart),
    .mvu_irq_i       (irq),
    .ext_irq_i,
    .rvfi_o
  );

  assign bus_req_valid_o = bus_req_valid;
  assign bus_req_ready_o = bus_req_ready;
  assign bus_req_write_o = bus_req_write;
  assign bus_req_mvu_o   = bus_req_mvu;
  assign bus_req_addr_o  = bus_req_addr;
  assign bus_req_wdata_o = bus_req_wdata;
  assign bus_req_hart_o  = bus_req_hart;
  assign bus_rsp_valid_o = bus_rsp_valid;
  assign bus_rsp_ready_o = bus_rsp_ready;
  assign bus_rsp_rdata_o = bus_rsp_rdata;
  assign bus_rsp_error_o = bus_rsp_error;
  assign bus_rsp_hart_o  = bus_rsp_hart;

  // ---------------------------------------------------------------------------------------------
  // MVUs and crossbar
  // ---------------------------------------------------------------------------------------------
  logic [Mvus-1:0] reg_req_valid, reg_req_ready, reg_req_write, reg_rsp_valid, reg_rsp_ready;
  logic [Mvus-1:0] mem_req_valid, mem_req_ready, mem_req_write, mem_rsp_valid, mem_rsp_ready;
  logic [Mvus-1:0] prm_valid, prm_ready, pending;
  logic [Mvus*8-1:0] reg_req_addr;
  logic [Mvus*32-1:0] reg_req_wdata, reg_rsp_rdata;
  logic [Mvus*16-1:0] mem_req_addr;
  logic [Mvus*Lanes-1:0] mem_req_wdata, mem_rsp_rdata;
  logic [1:0] prm_select;
  logic [15:0] prm_word;
  logic [7:0] prm_lane;
  logic [ParamWidth-1:0] prm_data;

  mvu_array #(
    .Mvus        (Mvus),
    .Lanes       (Lanes),
    .DataBanks   (DataBanks),
    .BankDepth   (BankDepth),
    .WeightDepth (WeightDepth),
    .ChannelDepth(ChannelDepth),
    .AccWidth    (AccWidth),
    .BiasWidth   (BiasWidth)
  ) u_array (
    .clk_i,
    .rst_ni,
    .reg_req_valid_i(reg_req_valid),
    .reg_req_ready_o(reg_req_ready),
    .reg_req_write_i(reg_req_write),
    .reg_req_addr_i (reg_req_addr),
    .reg_req_wdata_i(reg_req_wdata),
    .reg_rsp_valid_o(reg_rsp_valid),
    .reg_rsp_ready_i(reg_rsp_ready),
    .reg_rsp_rdata_o(reg_rsp_rdata),
    .mem_req_valid_i(mem_req_valid),
    .mem_req_ready_o(mem_req_ready),
    .mem_req_write_i(mem_req_write),
    .mem_req_addr_i (mem_req_addr),
    .mem_req_wdata_i(mem_req_wdata),
    .mem_rsp_valid_o(mem_rsp_valid),
    .mem_rsp_ready_i(mem_rsp_ready),
    .mem_rsp_rdata_o(mem_rsp_rdata),
    .prm_valid_i    (prm_valid),
    .prm_ready_o    (prm_ready),
    .prm_select_i   ({Mvus{prm_select}}),
    .prm_word_i     ({Mvus{prm_word}}),
    .prm_lane_i     ({Mvus{prm_lane}}),
    .prm_data_i     ({Mvus{prm_data}}),
    .trc_valid_o,
    .trc_dest_o,
    .trc_addr_o,
    .trc_data_o,
    .pending_o      (pending),
    .busy_o,
    .irq_o          (irq)
  );

  assign irq_o = irq;

  // ---------------------------------------------------------------------------------------------
  // Host
  // ---------------------------------------------------------------------------------------------
  accelerator_host #(
    .Mvus        (Mvus),
    .Lanes       (Lanes),
    .DataBanks   (DataBanks),
    .BankDepth   (BankDepth),
    .WeightDepth (WeightDepth),
    .ChannelDepth(ChannelDepth),
    .AccWidth    (AccWidth),
    .BiasWidth   (BiasWidth),
    .ImemWords   (ImemWords),
    .DmemWords   (DmemWords),
    .Skip        (Skip),
    .MulDiv      (MulDiv)
  ) u_host (
    .clk_i,
    .rst_ni,
    .s_axi_awid_i,
    .s_axi_awaddr_i,
    .s_axi_awlen_i,
    .s_axi_awsize_i,
    .s_axi_awburst_i,
    .s_axi_awvalid_i,
    .s_axi_awready_o,
    .s_axi_wdata_i,
    .s_axi_wstrb_i,
    .s_axi_wlast_i,
    .s_axi_wvalid_i,
    .s_axi_wready_o,
    .s_axi_bid_o,
    .s_axi_bresp_o,
    .s_axi_bvalid_o,
    .s_axi_bready_i,
    .s_axi_arid_i,
    .s_axi_araddr_i,
    .s_axi_arlen_i,
    .s_axi_arsize_i,
    .s_axi_arburst_i,
    .s_axi_arvalid_i,
    .s_axi_arready_o,
    .s_axi_rid_o,
    .s_axi_rdata_o,
    .s_axi_rresp_o,
    .s_axi_rlast_o,
    .s_axi_rvalid_o,
    .s_axi_rready_i,
    .host_irq_o,
    .bus_req_valid_i (bus_req_valid),
    .bus_req_ready_o (bus_req_ready),
    .bus_req_write_i (bus_req_write),
    .bus_req_mvu_i   (bus_req_mvu),
    .bus_req_addr_i  (bus_req_addr),
    .bus_req_wdata_i (bus_req_wdata),
    .bus_req_hart_i  (bus_req_hart),
    .bus_rsp_valid_o (bus_rsp_valid),
    .bus_rsp_ready_i (bus_rsp_ready),
    .bus_rsp_rdata_o (bus_rsp_rdata),
    .bus_rsp_error_o (bus_rsp_error),
    .bus_rsp_hart_o  (bus_rsp_hart),
    .host_req_valid_o(host_req_valid),
    .host_req_ready_i(host_req_ready),
    .host_req_write_o(host_req_write),
    .host_req_addr_o (host_req_addr),
    .host_req_wdata_o(host_req_wdata),
    .host_rsp_valid_i(host_rsp_valid),
    .host_rsp_ready_o(host_rsp_ready),
    .host_rsp_rdata_i(host_rsp_rdata),
    .host_rsp_error_i(host_rsp_error),
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

  `include "accelerator_parameters.svh"

endmodule : accelerator
