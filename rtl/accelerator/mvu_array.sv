// SPDX-License-Identifier: Apache-2.0
// MVUs and the crossbar between them. See docs/accelerator.md.
//
// All ports are those of `mvu` (docs/mvu.md), unit m in bits m*Width +: Width; the crossbar's side of the units is
// inside.
`include "assert.svh"

module mvu_array
  import mvu_pkg::*;
#(
  parameter int Mvus = accelerator_pkg::DefaultMvus,
  parameter int Lanes = DefaultLanes,
  parameter int DataBanks = DefaultDataBanks,
  parameter int BankDepth = DefaultBankDepth,
  parameter int WeightDepth = DefaultWeightDepth,
  parameter int ChannelDepth = DefaultChannelDepth,
  parameter int AccWidth = DefaultAccWidth,
  parameter int BiasWidth = DefaultBiasWidth,
  parameter int ParamWidth = Lanes > 32 ? Lanes : 32
) (
  input  logic                       clk_i,
  input  logic                       rst_ni,
  // Registers
  input  logic [           Mvus-1:0] reg_req_valid_i,
  output logic [           Mvus-1:0] reg_req_ready_o,
  input  logic [           Mvus-1:0] reg_req_write_i,
  input  logic [         Mvus*8-1:0] reg_req_addr_i,
  input  logic [        Mvus*32-1:0] reg_req_wdata_i,
  output logic [           Mvus-1:0] reg_rsp_valid_o,
  input  logic [           Mvus-1:0] reg_rsp_ready_i,
  output logic [        Mvus*32-1:0] reg_rsp_rdata_o,
  // Data memories, for controller or host
  input  logic [           Mvus-1:0] mem_req_valid_i,
  output logic [           Mvus-1:0] mem_req_ready_o,
  input  logic [           Mvus-1:0] mem_req_write_i,
  input  logic [        Mvus*16-1:0] mem_req_addr_i,
  input  logic [     Mvus*Lanes-1:0] mem_req_wdata_i,
  output logic [           Mvus-1:0] mem_rsp_valid_o,
  input  logic [           Mvus-1:0] mem_rsp_ready_i,
  output logic [     Mvus*Lanes-1:0] mem_rsp_rdata_o,
  // Weights, scalers and biases
  input  logic [           Mvus-1:0] prm_valid_i,
  output logic [           Mvus-1:0] prm_ready_o,
  input  logic [         Mvus*2-1:0] prm_select_i,
  input  logic [        Mvus*16-1:0] prm_word_i,
  input  logic [         Mvus*8-1:0] prm_lane_i,
  input  logic [Mvus*ParamWidth-1:0] prm_data_i,
  // Trace: every output word when its destination has taken it
  output logic [           Mvus-1:0] trc_valid_o,
  output logic [         Mvus*8-1:0] trc_dest_o,
  output logic [        Mvus*16-1:0] trc_addr_o,
  output logic [     Mvus*Lanes-1:0] trc_data_o,
  // Jobs: one waits, one runs, interrupt
  output logic [           Mvus-1:0] pending_o,
  output logic [           Mvus-1:0] busy_o,
  output logic [           Mvus-1:0] irq_o
);

  logic [Mvus-1:0] xbi_valid, xbi_ready, xbo_valid, xbo_ready;
  logic [Mvus*16-1:0] xbi_addr, xbo_addr;
  logic [Mvus*Lanes-1:0] xbi_data, xbo_data;
  logic [Mvus*8-1:0] xbo_dest;

  for (genvar m = 0; m < Mvus; m++) begin : gen_mvu
    mvu #(
      .Lanes       (Lanes),
      .DataBanks   (DataBanks),
      .BankDepth   (BankDepth),
      .WeightDepth (WeightDepth),
      .ChannelDepth(ChannelDepth),
      .AccWidth    (AccWidth),
      .BiasWidth   (BiasWidth)
    ) u_mvu (
      .clk_i,
      .rst_ni,
      .reg_req_valid_i(reg_req_valid_i[m]),
      .reg_req_ready_o(reg_req_ready_o[m]),
      .reg_req_write_i(reg_req_write_i[m]),
      .reg_req_addr_i (reg_req_addr_i[m*8+:8]),
      .reg_req_wdata_i(reg_req_wdata_i[m*32+:32]),
      .reg_rsp_valid_o(reg_rsp_valid_o[m]),
      .reg_rsp_ready_i(reg_rsp_ready_i[m]),
      .reg_rsp_rdata_o(reg_rsp_rdata_o[m*32+:32]),
      .mem_req_valid_i(mem_req_valid_i[m]),
      .mem_req_ready_o(mem_req_ready_o[m]),
      .mem_req_write_i(mem_req_write_i[m]),
      .mem_req_addr_i (mem_req_addr_i[m*16+:16]),
      .mem_req_wdata_i(mem_req_wdata_i[m*Lanes+:Lanes]),
      .mem_rsp_valid_o(mem_rsp_valid_o[m]),
      .mem_rsp_ready_i(mem_rsp_ready_i[m]),
      .mem_rsp_rdata_o(mem_rsp_rdata_o[m*Lanes+:Lanes]),
      .xbi_valid_i    (xbi_valid[m]),
      .xbi_ready_o    (xbi_ready[m]),
      .xbi_addr_i     (xbi_addr[m*16+:16]),
      .xbi_data_i     (xbi_data[m*Lanes+:Lanes]),
      .xbo_valid_o    (xbo_valid[m]),
      .xbo_ready_i    (xbo_ready[m]),
      .xbo_dest_o     (xbo_dest[m*8+:8]),
      .xbo_addr_o     (xbo_addr[m*16+:16]),
      .xbo_data_o     (xbo_data[m*Lanes+:Lanes]),
      .prm_valid_i    (prm_valid_i[m]),
      .prm_ready_o    (prm_ready_o[m]),
      .prm_select_i   (prm_select_i[m*2+:2]),
      .prm_word_i     (prm_word_i[m*16+:16]),
      .prm_lane_i     (prm_lane_i[m*8+:8]),
      .prm_data_i     (prm_data_i[m*ParamWidth+:ParamWidth]),
      .trc_valid_o    (trc_valid_o[m]),
      .trc_dest_o     (trc_dest_o[m*8+:8]),
      .trc_addr_o     (trc_addr_o[m*16+:16]),
      .trc_data_o     (trc_data_o[m*Lanes+:Lanes]),
      .pending_o      (pending_o[m]),
      .busy_o         (busy_o[m]),
      .irq_o          (irq_o[m])
    );
  end

  accelerator_crossbar #(
    .Mvus (Mvus),
    .Lanes(Lanes)
  ) u_crossbar (
    .clk_i,
    .rst_ni,
    .xbo_valid_i(xbo_valid),
    .xbo_ready_o(xbo_ready),
    .xbo_dest_i (xbo_dest),
    .xbo_addr_i (xbo_addr),
    .xbo_data_i (xbo_data),
    .xbi_valid_o(xbi_valid),
    .xbi_ready_i(xbi_ready),
    .xbi_addr_o (xbi_addr),
    .xbi_data_o (xbi_data)
  );

  `include "accelerator_parameters.svh"

endmodule : mvu_array
