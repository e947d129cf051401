// SPDX-License-Identifier: Apache-2.0
// Bench top of the PE array: every port of the device behind a burst adapter, so that Python wakes once for a
// burst of beats. Beat layouts are those of docs/pe_array.md; tlast is a beat's highest bit.
`include "burst_ports.svh"

module pe_array_tb
  import pe_array_pkg::*;
#(
  parameter int Rows = DefaultRows,
  parameter int Columns = DefaultColumns,
  parameter int DataWidth = DefaultDataWidth,
  parameter int Vectors = DefaultVectors,
  parameter int Lanes = DefaultLanes,
  parameter int WeightDepth = DefaultWeightDepth,
  parameter int PixelDepth = DefaultPixelDepth,
  parameter int Beats = 64,
  parameter int WgtWidth = Columns * DataWidth,
  parameter int PixWidth = Vectors * Rows * DataWidth,
  parameter int OutWords = Lanes * Rows,
  parameter int OutWidth = OutWords * DataWidth
) (
  input  logic        rst_ni,

  `BURST_SOURCE_PORTS(reg_req, 41, Beats),
  `BURST_SINK_PORTS(reg_rsp, 32, Beats),
  `BURST_SOURCE_PORTS(wgt, WgtWidth + 1, Beats),
  `BURST_SOURCE_PORTS(pix, PixWidth + 1, Beats),
  `BURST_SINK_PORTS(out, OutWidth + OutWords + 1, Beats),

  // Clocks in which a beat was offered and not taken, by stream
  output logic [31:0] wgt_waits_o,
  output logic [31:0] pix_waits_o,
  output logic [31:0] out_waits_o,
  // Clock of the first weight beat after the array was idle
  output logic [31:0] start_o,

  output logic [31:0] cycle_o,
  output logic        irq_o
);

  `BENCH_CLOCK(5)

  logic [31:0] cycle;

  `BURST_SOURCE(reg_req, 41, Beats)
  `BURST_SINK(reg_rsp, 32, Beats, 1'b0)
  `BURST_SOURCE(wgt, WgtWidth + 1, Beats)
  `BURST_SOURCE(pix, PixWidth + 1, Beats)
  `BURST_SINK_PATIENT(out, OutWidth + OutWords + 1, Beats, 1'b0, 512)

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) cycle <= '0;
    else cycle <= cycle + 32'd1;
  end

  assign cycle_o = cycle;

  pe_array #(
    .Rows       (Rows),
    .Columns    (Columns),
    .DataWidth  (DataWidth),
    .Vectors    (Vectors),
    .Lanes      (Lanes),
    .WeightDepth(WeightDepth),
    .PixelDepth (PixelDepth)
  ) dut (
    .clk_i,
    .rst_ni,
    .wgt_tvalid_i   (wgt_valid),
    .wgt_tready_o   (wgt_ready),
    .wgt_tdata_i    (wgt_data[WgtWidth-1:0]),
    .wgt_tlast_i    (wgt_data[WgtWidth]),
    .pix_tvalid_i   (pix_valid),
    .pix_tready_o   (pix_ready),
    .pix_tdata_i    (pix_data[PixWidth-1:0]),
    .pix_tlast_i    (pix_data[PixWidth]),
    .out_tvalid_o   (out_valid),
    .out_tready_i   (out_ready),
    .out_tdata_o    (out_data[OutWidth-1:0]),
    .out_tkeep_o    (out_data[OutWidth+:OutWords]),
    .out_tlast_o    (out_data[OutWidth+OutWords]),
    .reg_req_valid_i(reg_req_valid),
    .reg_req_ready_o(reg_req_ready),
    .reg_req_write_i(reg_req_data[40]),
    .reg_req_addr_i (reg_req_data[32+:8]),
    .reg_req_wdata_i(reg_req_data[31:0]),
    .reg_rsp_valid_o(reg_rsp_valid),
    .reg_rsp_ready_i(reg_rsp_ready),
    .reg_rsp_rdata_o(reg_rsp_data),
    .irq_o
  );

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      wgt_waits_o <= '0;
      pix_waits_o <= '0;
      out_waits_o <= '0;
      start_o     <= '0;
    end else begin
      wgt_waits_o <= wgt_waits_o + 32'(wgt_valid && !wgt_ready);
      pix_waits_o <= pix_waits_o + 32'(pix_valid && !pix_ready);
      out_waits_o <= out_waits_o + 32'(out_valid && !out_ready);
      if (wgt_valid && wgt_ready && !dut.busy) start_o <= cycle;
    end
  end
endmodule : pe_array_tb
