// SPDX-License-Identifier: Apache-2.0
// Bench top of the accelerator with the host's port as it is, under the names that cocotbext-axi looks for.
module accelerator_axi_tb #(
  parameter int Mvus = 2,
  parameter int Lanes = 64
) (
  input  logic        rst_ni,
  input  logic [ 3:0] s_axi_awid,
  input  logic [31:0] s_axi_awaddr,
  input  logic [ 7:0] s_axi_awlen,
  input  logic [ 2:0] s_axi_awsize,
  input  logic [ 1:0] s_axi_awburst,
  input  logic        s_axi_awvalid,
  output logic        s_axi_awready,
  input  logic [63:0] s_axi_wdata,
  input  logic [ 7:0] s_axi_wstrb,
  input  logic        s_axi_wlast,
  input  logic        s_axi_wvalid,
  output logic        s_axi_wready,
  output logic [ 3:0] s_axi_bid,
  output logic [ 1:0] s_axi_bresp,
  output logic        s_axi_bvalid,
  input  logic        s_axi_bready,
  input  logic [ 3:0] s_axi_arid,
  input  logic [31:0] s_axi_araddr,
  input  logic [ 7:0] s_axi_arlen,
  input  logic [ 2:0] s_axi_arsize,
  input  logic [ 1:0] s_axi_arburst,
  input  logic        s_axi_arvalid,
  output logic        s_axi_arready,
  output logic [ 3:0] s_axi_rid,
  output logic [63:0] s_axi_rdata,
  output logic [ 1:0] s_axi_rresp,
  output logic        s_axi_rlast,
  output logic        s_axi_rvalid,
  input  logic        s_axi_rready
);

  // The manager lives on the values before a clock edge and changes its own after it, but Verilator shows a bench the
  // edge's effects at once. So its clock is a little early, and what it drives arrives after the edge.
  logic clk_i = 1'b0;
  logic manager_clk_i = 1'b0;
  always begin
    #4 manager_clk_i = ~manager_clk_i;
    #1 clk_i = ~clk_i;
  end

  logic s_axi_awvalid_late;
  logic s_axi_wlast_late;
  logic s_axi_wvalid_late;
  logic s_axi_bready_late;
  logic s_axi_arvalid_late;
  logic s_axi_rready_late;
  logic [ 3:0] s_axi_awid_late;
  logic [31:0] s_axi_awaddr_late;
  logic [ 7:0] s_axi_awlen_late;
  logic [ 2:0] s_axi_awsize_late;
  logic [ 1:0] s_axi_awburst_late;
  logic [63:0] s_axi_wdata_late;
  logic [ 7:0] s_axi_wstrb_late;
  logic [ 3:0] s_axi_arid_late;
  logic [31:0] s_axi_araddr_late;
  logic [ 7:0] s_axi_arlen_late;
  logic [ 2:0] s_axi_arsize_late;
  logic [ 1:0] s_axi_arburst_late;

  assign #2 s_axi_awvalid_late = s_axi_awvalid;
  assign #2 s_axi_wlast_late = s_axi_wlast;
  assign #2 s_axi_wvalid_late = s_axi_wvalid;
  assign #2 s_axi_bready_late = s_axi_bready;
  assign #2 s_axi_arvalid_late = s_axi_arvalid;
  assign #2 s_axi_rready_late = s_axi_rready;
  assign #2 s_axi_awid_late = s_axi_awid;
  assign #2 s_axi_awaddr_late = s_axi_awaddr;
  assign #2 s_axi_awlen_late = s_axi_awlen;
  assign #2 s_axi_awsize_late = s_axi_awsize;
  assign #2 s_axi_awburst_late = s_axi_awburst;
  assign #2 s_axi_wdata_late = s_axi_wdata;
  assign #2 s_axi_wstrb_late = s_axi_wstrb;
  assign #2 s_axi_arid_late = s_axi_arid;
  assign #2 s_axi_araddr_late = s_axi_araddr;
  assign #2 s_axi_arlen_late = s_axi_arlen;
  assign #2 s_axi_arsize_late = s_axi_arsize;
  assign #2 s_axi_arburst_late = s_axi_arburst;

  // What is only to be observed stays open.
  // verilator lint_off PINMISSING
  accelerator #(
    .Mvus       (Mvus),
    .Lanes      (Lanes),
    .WeightDepth(16),
    .ImemWords  (1024),
    .DmemWords  (1024)
  ) dut (
    .clk_i,
    .rst_ni,
    .s_axi_awid_i   (s_axi_awid_late),
    .s_axi_awaddr_i (s_axi_awaddr_late),
    .s_axi_awlen_i  (s_axi_awlen_late),
    .s_axi_awsize_i (s_axi_awsize_late),
    .s_axi_awburst_i(s_axi_awburst_late),
    .s_axi_awvalid_i(s_axi_awvalid_late),
    .s_axi_awready_o(s_axi_awready),
    .s_axi_wdata_i  (s_axi_wdata_late),
    .s_axi_wstrb_i  (s_axi_wstrb_late),
    .s_axi_wlast_i  (s_axi_wlast_late),
    .s_axi_wvalid_i (s_axi_wvalid_late),
    .s_axi_wready_o (s_axi_wready),
    .s_axi_bid_o    (s_axi_bid),
    .s_axi_bresp_o  (s_axi_bresp),
    .s_axi_bvalid_o (s_axi_bvalid),
    .s_axi_bready_i (s_axi_bready_late),
    .s_axi_arid_i   (s_axi_arid_late),
    .s_axi_araddr_i (s_axi_araddr_late),
    .s_axi_arlen_i  (s_axi_arlen_late),
    .s_axi_arsize_i (s_axi_arsize_late),
    .s_axi_arburst_i(s_axi_arburst_late),
    .s_axi_arvalid_i(s_axi_arvalid_late),
    .s_axi_arready_o(s_axi_arready),
    .s_axi_rid_o    (s_axi_rid),
    .s_axi_rdata_o  (s_axi_rdata),
    .s_axi_rresp_o  (s_axi_rresp),
    .s_axi_rlast_o  (s_axi_rlast),
    .s_axi_rvalid_o (s_axi_rvalid),
    .s_axi_rready_i (s_axi_rready_late),
    .ext_irq_i      ({Mvus{1'b0}})
  );
  // verilator lint_on PINMISSING

  // Both readings of AXI4 keep its rules.
  axi_protocol #(
    .IdWidth  (4),
    .AddrWidth(32),
    .DataWidth(64)
  ) u_protocol (
    .clk_i,
    .rst_ni,
    .legal_i  (1'b1),
    .awid_i   (s_axi_awid_late),
    .awaddr_i (s_axi_awaddr_late),
    .awlen_i  (s_axi_awlen_late),
    .awsize_i (s_axi_awsize_late),
    .awburst_i(s_axi_awburst_late),
    .awvalid_i(s_axi_awvalid_late),
    .awready_i(s_axi_awready),
    .wdata_i  (s_axi_wdata_late),
    .wstrb_i  (s_axi_wstrb_late),
    .wlast_i  (s_axi_wlast_late),
    .wvalid_i (s_axi_wvalid_late),
    .wready_i (s_axi_wready),
    .bid_i    (s_axi_bid),
    .bresp_i  (s_axi_bresp),
    .bvalid_i (s_axi_bvalid),
    .bready_i (s_axi_bready_late),
    .arid_i   (s_axi_arid_late),
    .araddr_i (s_axi_araddr_late),
    .arlen_i  (s_axi_arlen_late),
    .arsize_i (s_axi_arsize_late),
    .arburst_i(s_axi_arburst_late),
    .arvalid_i(s_axi_arvalid_late),
    .arready_i(s_axi_arready),
    .rid_i    (s_axi_rid),
    .rdata_i  (s_axi_rdata),
    .rresp_i  (s_axi_rresp),
    .rlast_i  (s_axi_rlast),
    .rvalid_i (s_axi_rvalid),
    .rready_i (s_axi_rready_late)
  );
endmodule : accelerator_axi_tb
