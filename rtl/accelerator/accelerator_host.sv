// SPDX-License-Identifier: Apache-2.0
// The host's side of the accelerator: its AXI4 port, the registers of the system, and the ways to everything that MVUs
// and controller offer it. See docs/accelerator.md.
//
//   s_axi ----> write, read side --+--> controller's host port
//                                  +--> fabric of registers <--- harts
//                                  |        +--> system registers, MVUs
//                                  +--> weights, scalers, biases of the MVUs
//                                  +--> (transposer) --> data memories of the MVUs
`include "assert.svh"

module accelerator_host #(
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
  parameter int MulDiv = controller_pkg::DefaultMulDiv,
  parameter int ParamWidth = Lanes > 32 ? Lanes : 32
) (
  input  logic                   clk_i,
  input  logic                   rst_ni,
  // Host: AXI4 subordinate
  input  logic [            3:0] s_axi_awid_i,
  input  logic [           31:0] s_axi_awaddr_i,
  input  logic [            7:0] s_axi_awlen_i,
  input  logic [            2:0] s_axi_awsize_i,
  input  logic [            1:0] s_axi_awburst_i,
  input  logic                   s_axi_awvalid_i,
  output logic                   s_axi_awready_o,
  input  logic [           63:0] s_axi_wdata_i,
  input  logic [            7:0] s_axi_wstrb_i,
  input  logic                   s_axi_wlast_i,
  input  logic                   s_axi_wvalid_i,
  output logic                   s_axi_wready_o,
  output logic [            3:0] s_axi_bid_o,
  output logic [            1:0] s_axi_bresp_o,
  output logic                   s_axi_bvalid_o,
  input  logic                   s_axi_bready_i,
  input  logic [            3:0] s_axi_arid_i,
  input  logic [           31:0] s_axi_araddr_i,
  input  logic [            7:0] s_axi_arlen_i,
  input  logic [            2:0] s_axi_arsize_i,
  input  logic [            1:0] s_axi_arburst_i,
  input  logic                   s_axi_arvalid_i,
  output logic                   s_axi_arready_o,
  output logic [            3:0] s_axi_rid_o,
  output logic [           63:0] s_axi_rdata_o,
  output logic [            1:0] s_axi_rresp_o,
  output logic                   s_axi_rlast_o,
  output logic                   s_axi_rvalid_o,
  input  logic                   s_axi_rready_i,
  // Interrupt to the host
  output logic                   host_irq_o,
  // Harts: the controller's bus
  input  logic                   bus_req_valid_i,
  output logic                   bus_req_ready_o,
  input  logic                   bus_req_write_i,
  input  logic [            3:0] bus_req_mvu_i,
  input  logic [            7:0] bus_req_addr_i,
  input  logic [           31:0] bus_req_wdata_i,
  input  logic [            3:0] bus_req_hart_i,
  output logic                   bus_rsp_valid_o,
  input  logic                   bus_rsp_ready_i,
  output logic [           31:0] bus_rsp_rdata_o,
  output logic                   bus_rsp_error_o,
  output logic [            3:0] bus_rsp_hart_o,
  // Controller's host port
  output logic                   host_req_valid_o,
  input  logic                   host_req_ready_i,
  output logic                   host_req_write_o,
  output logic [           31:0] host_req_addr_o,
  output logic [           31:0] host_req_wdata_o,
  input  logic                   host_rsp_valid_i,
  output logic                   host_rsp_ready_o,
  input  logic [           31:0] host_rsp_rdata_i,
  input  logic                   host_rsp_error_i,
  // Registers of the MVUs: unit m in bits m*Width +: Width
  output logic [       Mvus-1:0] reg_req_valid_o,
  input  logic [       Mvus-1:0] reg_req_ready_i,
  output logic [       Mvus-1:0] reg_req_write_o,
  output logic [     Mvus*8-1:0] reg_req_addr_o,
  output logic [    Mvus*32-1:0] reg_req_wdata_o,
  input  logic [       Mvus-1:0] reg_rsp_valid_i,
  output logic [       Mvus-1:0] reg_rsp_ready_o,
  input  logic [    Mvus*32-1:0] reg_rsp_rdata_i,
  // A job waits: the unit would hold a write of its configuration back
  input  logic [       Mvus-1:0] pending_i,
  // Data memories of the MVUs
  output logic [       Mvus-1:0] mem_req_valid_o,
  input  logic [       Mvus-1:0] mem_req_ready_i,
  output logic [       Mvus-1:0] mem_req_write_o,
  output logic [    Mvus*16-1:0] mem_req_addr_o,
  output logic [ Mvus*Lanes-1:0] mem_req_wdata_o,
  input  logic [       Mvus-1:0] mem_rsp_valid_i,
  output logic [       Mvus-1:0] mem_rsp_ready_o,
  input  logic [ Mvus*Lanes-1:0] mem_rsp_rdata_i,
  // Weights, scalers and biases: all units get the same beat, those with valid take it
  output logic [       Mvus-1:0] prm_valid_o,
  input  logic [       Mvus-1:0] prm_ready_i,
  output logic [            1:0] prm_select_o,
  output logic [           15:0] prm_word_o,
  output logic [            7:0] prm_lane_o,
  output logic [ ParamWidth-1:0] prm_data_o
);

  localparam int DataDepth = DataBanks * BankDepth;

  // ---------------------------------------------------------------------------------------------
  // Registers
  // ---------------------------------------------------------------------------------------------
  logic wreg_req_valid, wreg_req_ready, wreg_rsp_valid, wreg_rsp_ready, wreg_rsp_error;
  logic rreg_req_valid, rreg_req_ready, rreg_rsp_valid, rreg_rsp_ready, rreg_rsp_error;
  logic [3:0] wreg_req_unit, rreg_req_unit;
  logic [7:0] wreg_req_addr, rreg_req_addr, sys_req_addr;
  logic [31:0] write_wdata, rreg_rsp_rdata, sys_req_wdata, sys_rsp_rdata;
  logic sys_req_valid, sys_req_ready, sys_req_write, sys_req_host, sys_rsp_valid, sys_rsp_ready;

  accelerator_fabric #(
    .Mvus(Mvus)
  ) u_fabric (
    .clk_i,
    .rst_ni,
    .bus_req_valid_i  (bus_req_valid_i),
    .bus_req_ready_o  (bus_req_ready_o),
    .bus_req_write_i  (bus_req_write_i),
    .bus_req_mvu_i    (bus_req_mvu_i),
    .bus_req_addr_i   (bus_req_addr_i),
    .bus_req_wdata_i  (bus_req_wdata_i),
    .bus_req_hart_i   (bus_req_hart_i),
    .bus_rsp_valid_o  (bus_rsp_valid_o),
    .bus_rsp_ready_i  (bus_rsp_ready_i),
    .bus_rsp_rdata_o  (bus_rsp_rdata_o),
    .bus_rsp_error_o  (bus_rsp_error_o),
    .bus_rsp_hart_o   (bus_rsp_hart_o),
    .write_req_valid_i(wreg_req_valid),
    .write_req_ready_o(wreg_req_ready),
    .write_req_unit_i (wreg_req_unit),
    .write_req_addr_i (wreg_req_addr),
    .write_req_wdata_i(write_wdata),
    .write_rsp_valid_o(wreg_rsp_valid),
    .write_rsp_ready_i(wreg_rsp_ready),
    .write_rsp_error_o(wreg_rsp_error),
    .read_req_valid_i (rreg_req_valid),
    .read_req_ready_o (rreg_req_ready),
    .read_req_unit_i  (rreg_req_unit),
    .read_req_addr_i  (rreg_req_addr),
    .read_rsp_valid_o (rreg_rsp_valid),
    .read_rsp_ready_i (rreg_rsp_ready),
    .read_rsp_rdata_o (rreg_rsp_rdata),
    .read_rsp_error_o (rreg_rsp_error),
    .reg_req_valid_o  (reg_req_valid_o),
    .reg_req_ready_i  (reg_req_ready_i),
    .reg_req_write_o  (reg_req_write_o),
    .reg_req_addr_o   (reg_req_addr_o),
    .reg_req_wdata_o  (reg_req_wdata_o),
    .reg_rsp_valid_i  (reg_rsp_valid_i),
    .reg_rsp_ready_o  (reg_rsp_ready_o),
    .reg_rsp_rdata_i  (reg_rsp_rdata_i),
    .pending_i        (pending_i),
    .sys_req_valid_o  (sys_req_valid),
    .sys_req_ready_i  (sys_req_ready),
    .sys_req_write_o  (sys_req_write),
    .sys_req_host_o   (sys_req_host),
    .sys_req_addr_o   (sys_req_addr),
    .sys_req_wdata_o  (sys_req_wdata),
    .sys_rsp_valid_i  (sys_rsp_valid),
    .sys_rsp_ready_o  (sys_rsp_ready),
    .sys_rsp_rdata_i  (sys_rsp_rdata)
  );

  logic tr_start, tr_signed, tr_started, tr_writing, tr_reading;
  logic [4:0] tr_element, tr_precision;
  logic [15:0] tr_channels, tr_first;
  logic [Mvus-1:0] load_mvus, tr_write_mvus;
  logic [2:0] tr_read_mvu;

  accelerator_registers #(
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
  ) u_registers (
    .clk_i,
    .rst_ni,
    .req_valid_i    (sys_req_valid),
    .req_ready_o    (sys_req_ready),
    .req_write_i    (sys_req_write),
    .req_host_i     (sys_req_host),
    .req_addr_i     (sys_req_addr),
    .req_wdata_i    (sys_req_wdata),
    .rsp_valid_o    (sys_rsp_valid),
    .rsp_ready_i    (sys_rsp_ready),
    .rsp_rdata_o    (sys_rsp_rdata),
    .irq_o          (host_irq_o),
    .load_mvus_o    (load_mvus),
    .tr_start_o     (tr_start),
    .tr_element_o   (tr_element),
    .tr_precision_o (tr_precision),
    .tr_signed_o    (tr_signed),
    .tr_channels_o  (tr_channels),
    .tr_first_o     (tr_first),
    .tr_write_mvus_o(tr_write_mvus),
    .tr_read_mvu_o  (tr_read_mvu),
    .tr_started_i   (tr_started),
    .tr_writing_i   (tr_writing),
    .tr_reading_i   (tr_reading)
  );

  // ---------------------------------------------------------------------------------------------
  // Host's writes and reads
  // ---------------------------------------------------------------------------------------------
  logic wctl_req_valid, wctl_req_ready, wctl_rsp_valid, wctl_rsp_ready, wctl_rsp_error;
  logic rctl_req_valid, rctl_req_ready, rctl_rsp_valid, rctl_rsp_ready, rctl_rsp_error;
  logic [31:0] wctl_req_addr, rctl_req_addr, rctl_rsp_rdata;
  logic write_valid, read_valid, word_valid, fetch_valid, data_write_ready, data_read_ready, data_rsp_valid;
  logic [Mvus-1:0] write_mvu, read_mvu, word_mvus, fetch_mvu;
  logic [15:0] write_addr, read_addr, word_addr, fetch_addr;
  logic [Lanes-1:0] write_data, word_data, data_rsp_data;
  logic tw_open, tw_ok, tw_close, tw_idle, tw_valid, tw_ready, tr_open, tr_ok, tr_close, tr_valid, tr_ready;
  logic [63:0] tw_data, tr_data;
  logic [8:0] tr_beats;

  accelerator_axi_write #(
    .Mvus        (Mvus),
    .Lanes       (Lanes),
    .DataDepth   (DataDepth),
    .WeightDepth (WeightDepth),
    .ChannelDepth(ChannelDepth)
  ) u_write (
    .clk_i,
    .rst_ni,
    .awid_i         (s_axi_awid_i),
    .awaddr_i       (s_axi_awaddr_i),
    .awlen_i        (s_axi_awlen_i),
    .awsize_i       (s_axi_awsize_i),
    .awburst_i      (s_axi_awburst_i),
    .awvalid_i      (s_axi_awvalid_i),
    .awready_o      (s_axi_awready_o),
    .wdata_i        (s_axi_wdata_i),
    .wstrb_i        (s_axi_wstrb_i),
    .wlast_i        (s_axi_wlast_i),
    .wvalid_i       (s_axi_wvalid_i),
    .wready_o       (s_axi_wready_o),
    .bid_o          (s_axi_bid_o),
    .bresp_o        (s_axi_bresp_o),
    .bvalid_o       (s_axi_bvalid_o),
    .bready_i       (s_axi_bready_i),
    .reg_req_valid_o(wreg_req_valid),
    .reg_req_ready_i(wreg_req_ready),
    .reg_req_unit_o (wreg_req_unit),
    .reg_req_addr_o (wreg_req_addr),
    .reg_rsp_valid_i(wreg_rsp_valid),
    .reg_rsp_ready_o(wreg_rsp_ready),
    .reg_rsp_error_i(wreg_rsp_error),
    .ctl_req_valid_o(wctl_req_valid),
    .ctl_req_ready_i(wctl_req_ready),
    .ctl_req_addr_o (wctl_req_addr),
    .ctl_rsp_valid_i(wctl_rsp_valid),
    .ctl_rsp_ready_o(wctl_rsp_ready),
    .ctl_rsp_error_i(wctl_rsp_error),
    .req_wdata_o    (write_wdata),
    .mem_valid_o    (write_valid),
    .mem_ready_i    (data_write_ready),
    .mem_mvu_o      (write_mvu),
    .mem_addr_o     (write_addr),
    .mem_data_o     (write_data),
    .load_mvus_i    (load_mvus),
    .prm_valid_o    (prm_valid_o),
    .prm_ready_i    (prm_ready_i),
    .prm_select_o   (prm_select_o),
    .prm_word_o     (prm_word_o),
    .prm_lane_o     (prm_lane_o),
    .prm_data_o     (prm_data_o),
    .tr_open_o      (tw_open),
    .tr_ok_i        (tw_ok),
    .tr_close_o     (tw_close),
    .tr_idle_i      (tw_idle),
    .tr_valid_o     (tw_valid),
    .tr_ready_i     (tw_ready),
    .tr_data_o      (tw_data)
  );

  accelerator_axi_read #(
    .Mvus        (Mvus),
    .Lanes       (Lanes),
    .DataDepth   (DataDepth),
    .WeightDepth (WeightDepth),
    .ChannelDepth(ChannelDepth)
  ) u_read (
    .clk_i,
    .rst_ni,
    .arid_i         (s_axi_arid_i),
    .araddr_i       (s_axi_araddr_i),
    .arlen_i        (s_axi_arlen_i),
    .arsize_i       (s_axi_arsize_i),
    .arburst_i      (s_axi_arburst_i),
    .arvalid_i      (s_axi_arvalid_i),
    .arready_o      (s_axi_arready_o),
    .rid_o          (s_axi_rid_o),
    .rdata_o        (s_axi_rdata_o),
    .rresp_o        (s_axi_rresp_o),
    .rlast_o        (s_axi_rlast_o),
    .rvalid_o       (s_axi_rvalid_o),
    .rready_i       (s_axi_rready_i),
    .reg_req_valid_o(rreg_req_valid),
    .reg_req_ready_i(rreg_req_ready),
    .reg_req_unit_o (rreg_req_unit),
    .reg_req_addr_o (rreg_req_addr),
    .reg_rsp_valid_i(rreg_rsp_valid),
    .reg_rsp_ready_o(rreg_rsp_ready),
    .reg_rsp_rdata_i(rreg_rsp_rdata),
    .reg_rsp_error_i(rreg_rsp_error),
    .ctl_req_valid_o(rctl_req_valid),
    .ctl_req_ready_i(rctl_req_ready),
    .ctl_req_addr_o (rctl_req_addr),
    .ctl_rsp_valid_i(rctl_rsp_valid),
    .ctl_rsp_ready_o(rctl_rsp_ready),
    .ctl_rsp_rdata_i(rctl_rsp_rdata),
    .ctl_rsp_error_i(rctl_rsp_error),
    .mem_valid_o    (read_valid),
    .mem_ready_i    (data_read_ready),
    .mem_mvu_o      (read_mvu),
    .mem_addr_o     (read_addr),
    .mem_rsp_valid_i(data_rsp_valid),
    .mem_rsp_data_i (data_rsp_data),
    .tr_open_o      (tr_open),
    .tr_beats_o     (tr_beats),
    .tr_ok_i        (tr_ok),
    .tr_close_o     (tr_close),
    .tr_valid_i     (tr_valid),
    .tr_ready_o     (tr_ready),
    .tr_data_i      (tr_data)
  );

  accelerator_controller_port u_controller_port (
    .clk_i,
    .rst_ni,
    .write_req_valid_i(wctl_req_valid),
    .write_req_ready_o(wctl_req_ready),
    .write_req_addr_i (wctl_req_addr),
    .write_req_wdata_i(write_wdata),
    .write_rsp_valid_o(wctl_rsp_valid),
    .write_rsp_ready_i(wctl_rsp_ready),
    .write_rsp_error_o(wctl_rsp_error),
    .read_req_valid_i (rctl_req_valid),
    .read_req_ready_o (rctl_req_ready),
    .read_req_addr_i  (rctl_req_addr),
    .read_rsp_valid_o (rctl_rsp_valid),
    .read_rsp_ready_i (rctl_rsp_ready),
    .read_rsp_rdata_o (rctl_rsp_rdata),
    .read_rsp_error_o (rctl_rsp_error),
    .host_req_valid_o (host_req_valid_o),
    .host_req_ready_i (host_req_ready_i),
    .host_req_write_o (host_req_write_o),
    .host_req_addr_o  (host_req_addr_o),
    .host_req_wdata_o (host_req_wdata_o),
    .host_rsp_valid_i (host_rsp_valid_i),
    .host_rsp_ready_o (host_rsp_ready_o),
    .host_rsp_rdata_i (host_rsp_rdata_i),
    .host_rsp_error_i (host_rsp_error_i)
  );

  accelerator_transposer #(
    .Mvus (Mvus),
    .Lanes(Lanes)
  ) u_transposer (
    .clk_i,
    .rst_ni,
    .start_i        (tr_start),
    .element_i      (tr_element),
    .precision_i    (tr_precision),
    .signed_i       (tr_signed),
    .channels_i     (tr_channels),
    .first_i        (tr_first),
    .write_mvus_i   (tr_write_mvus),
    .read_mvu_i     (tr_read_mvu),
    .started_o      (tr_started),
    .writing_o      (tr_writing),
    .reading_o      (tr_reading),
    .write_open_i   (tw_open),
    .write_ok_o     (tw_ok),
    .write_close_i  (tw_close),
    .write_idle_o   (tw_idle),
    .write_valid_i  (tw_valid),
    .write_ready_o  (tw_ready),
    .write_data_i   (tw_data),
    .read_open_i    (tr_open),
    .read_beats_i   (tr_beats),
    .read_ok_o      (tr_ok),
    .read_close_i   (tr_close),
    .read_valid_o   (tr_valid),
    .read_ready_i   (tr_ready),
    .read_data_o    (tr_data),
    .word_valid_o   (word_valid),
    .word_ready_i   (data_write_ready),
    .word_mvus_o    (word_mvus),
    .word_addr_o    (word_addr),
    .word_data_o    (word_data),
    .fetch_valid_o  (fetch_valid),
    .fetch_ready_i  (data_read_ready),
    .fetch_mvu_o    (fetch_mvu),
    .fetch_addr_o   (fetch_addr),
    .fetched_valid_i(data_rsp_valid),
    .fetched_data_i (data_rsp_data)
  );

  // A burst to the transposer ends when its words are in the memories, so it never meets one that goes there directly.
  accelerator_data_port #(
    .Mvus (Mvus),
    .Lanes(Lanes)
  ) u_data_port (
    .clk_i,
    .rst_ni,
    .write_valid_i   (write_valid || word_valid),
    .write_ready_o   (data_write_ready),
    .write_mvus_i    (word_valid ? word_mvus : write_mvu),
    .write_addr_i    (word_valid ? word_addr : write_addr),
    .write_data_i    (word_valid ? word_data : write_data),
    .read_valid_i    (read_valid || fetch_valid),
    .read_ready_o    (data_read_ready),
    .read_mvu_i      (fetch_valid ? fetch_mvu : read_mvu),
    .read_addr_i     (fetch_valid ? fetch_addr : read_addr),
    .read_rsp_valid_o(data_rsp_valid),
    .read_rsp_data_o (data_rsp_data),
    .mem_req_valid_o (mem_req_valid_o),
    .mem_req_ready_i (mem_req_ready_i),
    .mem_req_write_o (mem_req_write_o),
    .mem_req_addr_o  (mem_req_addr_o),
    .mem_req_wdata_o (mem_req_wdata_o),
    .mem_rsp_valid_i (mem_rsp_valid_i),
    .mem_rsp_ready_o (mem_rsp_ready_o),
    .mem_rsp_rdata_i (mem_rsp_rdata_i)
  );

  `ASSERT(one_writer, !(write_valid && word_valid))
  `ASSERT(one_reader, !(read_valid && fetch_valid))

endmodule : accelerator_host
