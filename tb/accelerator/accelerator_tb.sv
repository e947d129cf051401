// SPDX-License-Identifier: Apache-2.0
// Bench top of the accelerator: the five channels of the host's AXI port behind burst adapters, and taps, which never
// hold anything up: what the blocks' own scoreboards watch at the boundaries of MVUs and controller.
`include "burst_ports.svh"

`define UNIT_PORTS(M) \
  `BURST_SINK_PORTS(u``M``_trc, Lanes + 24, Beats), \
  `BURST_SINK_PORTS(u``M``_job, 128, Jobs)

`define UNIT(M) \
  `BURST_SINK(u``M``_trc, Lanes + 24, Beats, 1'b1) \
  `BURST_SINK(u``M``_job, 128, Jobs, 1'b1) \
  assign u``M``_trc_valid = trc_valid[M]; \
  assign u``M``_trc_data = {trc_dest[8*M+:8], trc_addr[16*M+:16], trc_data[Lanes*M+:Lanes]}; \
  assign u``M``_job_valid = job_valid[M]; \
  assign u``M``_job_data = job_data[128*M+:128];

module accelerator_tb #(
  parameter int Mvus = accelerator_pkg::DefaultMvus,
  parameter int Lanes = mvu_pkg::DefaultLanes,
  parameter int DataBanks = mvu_pkg::DefaultDataBanks,
  parameter int BankDepth = mvu_pkg::DefaultBankDepth,
  parameter int WeightDepth = mvu_pkg::DefaultWeightDepth,
  parameter int ChannelDepth = mvu_pkg::DefaultChannelDepth,
  parameter int ImemWords = controller_pkg::DefaultImemWords,
  parameter int DmemWords = controller_pkg::DefaultDmemWords,
  parameter int Skip = controller_pkg::DefaultSkip,
  parameter int Beats = 64,
  parameter int Jobs = 4,
  parameter int Records = 512,
  // Fields of a record at whole bytes: see tb/controller/trace.py.
  parameter int RecordWidth = 8 * 61
) (
  input  logic            rst_ni,

  `BURST_SOURCE_PORTS(aw, 49, Beats),
  `BURST_SOURCE_PORTS(w, 73, Beats),
  `BURST_SINK_PORTS(b, 6, Beats),
  `BURST_SOURCE_PORTS(ar, 49, Beats),
  `BURST_SINK_PORTS(r, 71, Beats),

  `UNIT_PORTS(0),
  `UNIT_PORTS(1),
  `UNIT_PORTS(2),
  `UNIT_PORTS(3),
  `UNIT_PORTS(4),
  `UNIT_PORTS(5),
  `UNIT_PORTS(6),
  `UNIT_PORTS(7),
  `BURST_SINK_PORTS(regs, 336, Beats),
  `BURST_SINK_PORTS(breq, 49, Beats),
  `BURST_SINK_PORTS(brsp, 37, Beats),
  `BURST_SINK_PORTS(hreq, 64, Beats),
  `BURST_SINK_PORTS(irqs, 16, Beats),
  `BURST_SINK_PORTS(trace, RecordWidth, Records),

  input  logic [Mvus-1:0] ext_irq_i,
  output logic            host_irq_o,
  // Clock of the last rise of host_irq_o, and of the last write of `hold` that the controller took
  output logic [31:0]     irq_clock_o,
  output logic [31:0]     release_clock_o,

  output logic [31:0]     cycle_o
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

  // Of all eight units, whatever exists of them.
  wire [7:0] trc_valid, busy, irq, job_valid;
  wire [8*8-1:0] trc_dest;
  wire [8*16-1:0] trc_addr;
  wire [8*Lanes-1:0] trc_data;
  wire [8*128-1:0] job_data;
  wire [8*42-1:0] accesses;
  wire [7:0] accessed;

  `UNIT(0)
  `UNIT(1)
  `UNIT(2)
  `UNIT(3)
  `UNIT(4)
  `UNIT(5)
  `UNIT(6)
  `UNIT(7)
  `BURST_SINK(regs, 336, Beats, 1'b1)
  `BURST_SINK(breq, 49, Beats, 1'b1)
  `BURST_SINK(brsp, 37, Beats, 1'b1)
  `BURST_SINK(hreq, 64, Beats, 1'b1)
  `BURST_SINK(irqs, 16, Beats, 1'b1)
  `BURST_SINK_PATIENT(trace, RecordWidth, Records, 1'b1, 512)

  // Python writes somewhere inside a clock; the device sees it as from a register, in the whole next clock.
  logic [Mvus-1:0] ext_irq_q;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) ext_irq_q <= '0;
    else ext_irq_q <= ext_irq_i;
  end

  `include "rvfi_record.svh"

  logic bus_req_valid, bus_req_ready, bus_rsp_valid, bus_rsp_ready;

  accelerator #(
    .Mvus        (Mvus),
    .Lanes       (Lanes),
    .DataBanks   (DataBanks),
    .BankDepth   (BankDepth),
    .WeightDepth (WeightDepth),
    .ChannelDepth(ChannelDepth),
    .ImemWords   (ImemWords),
    .DmemWords   (DmemWords),
    .Skip        (Skip)
  ) dut (
    .clk_i,
    .rst_ni,
    .s_axi_awid_i   (aw_data[45+:4]),
    .s_axi_awaddr_i (aw_data[31:0]),
    .s_axi_awlen_i  (aw_data[32+:8]),
    .s_axi_awsize_i (aw_data[40+:3]),
    .s_axi_awburst_i(aw_data[43+:2]),
    .s_axi_awvalid_i(aw_valid),
    .s_axi_awready_o(aw_ready),
    .s_axi_wdata_i  (w_data[63:0]),
    .s_axi_wstrb_i  (w_data[64+:8]),
    .s_axi_wlast_i  (w_data[72]),
    .s_axi_wvalid_i (w_valid),
    .s_axi_wready_o (w_ready),
    .s_axi_bid_o    (b_data[2+:4]),
    .s_axi_bresp_o  (b_data[1:0]),
    .s_axi_bvalid_o (b_valid),
    .s_axi_bready_i (b_ready),
    .s_axi_arid_i   (ar_data[45+:4]),
    .s_axi_araddr_i (ar_data[31:0]),
    .s_axi_arlen_i  (ar_data[32+:8]),
    .s_axi_arsize_i (ar_data[40+:3]),
    .s_axi_arburst_i(ar_data[43+:2]),
    .s_axi_arvalid_i(ar_valid),
    .s_axi_arready_o(ar_ready),
    .s_axi_rid_o    (r_data[67+:4]),
    .s_axi_rdata_o  (r_data[63:0]),
    .s_axi_rresp_o  (r_data[64+:2]),
    .s_axi_rlast_o  (r_data[66]),
    .s_axi_rvalid_o (r_valid),
    .s_axi_rready_i (r_ready),
    .host_irq_o,
    .ext_irq_i      (ext_irq_q),
    .trc_valid_o    (trc_valid[Mvus-1:0]),
    .trc_dest_o     (trc_dest[Mvus*8-1:0]),
    .trc_addr_o     (trc_addr[Mvus*16-1:0]),
    .trc_data_o     (trc_data[Mvus*Lanes-1:0]),
    .busy_o         (busy[Mvus-1:0]),
    .irq_o          (irq[Mvus-1:0]),
    .bus_req_valid_o(bus_req_valid),
    .bus_req_ready_o(bus_req_ready),
    .bus_req_write_o(breq_data[48]),
    .bus_req_mvu_o  (breq_data[44+:4]),
    .bus_req_addr_o (breq_data[36+:8]),
    .bus_req_hart_o (breq_data[32+:4]),
    .bus_req_wdata_o(breq_data[31:0]),
    .bus_rsp_valid_o(bus_rsp_valid),
    .bus_rsp_ready_o(bus_rsp_ready),
    .bus_rsp_rdata_o(brsp_data[31:0]),
    .bus_rsp_error_o(brsp_data[36]),
    .bus_rsp_hart_o (brsp_data[32+:4]),
    .rvfi_o         (rvfi)
  );

  assign breq_valid = bus_req_valid && bus_req_ready;
  assign brsp_valid = bus_rsp_valid && bus_rsp_ready;

  // Host's writes to the controller, in the clock in which they happen.
  assign hreq_valid = dut.host_req_valid && dut.host_req_ready && dut.host_req_write;
  assign hreq_data  = {dut.host_req_addr, dut.host_req_wdata};

  // Interrupt lines of the harts, when they change: MVUs' above, external below.
  logic [15:0] lines_q;
  wire [15:0] lines;
  assign lines = {irq, 8'(ext_irq_q)};

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) lines_q <= '0;
    else lines_q <= lines;
  end

  assign irqs_valid = lines != lines_q;
  assign irqs_data  = lines;

  logic host_irq_q;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      host_irq_q      <= 1'b0;
      irq_clock_o     <= '0;
      release_clock_o <= '0;
    end else begin
      host_irq_q <= host_irq_o;
      if (host_irq_o && !host_irq_q) irq_clock_o <= cycle;
      if (hreq_valid && dut.host_req_addr == 32'h0100_0000) release_clock_o <= cycle;
    end
  end

  for (genvar m = 0; m < 8; m++) begin : gen_unit
    if (m < Mvus) begin : gen_there
      // Every register access that the unit takes: wdata, addr, write, valid.
      assign accessed[m] = dut.reg_req_valid[m] && dut.reg_req_ready[m];
      assign accesses[42*m+:42] = {
        accessed[m], dut.reg_req_write[m], dut.reg_req_addr[8*m+:8], dut.reg_req_wdata[32*m+:32]
      } & {42{accessed[m]}};

      // One beat for each job when it ends: the clocks it was busy, those in which it multiplied, and those in which its
      // reads of the data memory, and its writes there and at the crossbar, waited.
      wire [1:0] reads, writes;
      assign reads  = 2'(dut.u_array.gen_mvu[m].u_mvu.read_req[0] && !dut.u_array.gen_mvu[m].u_mvu.read_gnt[0])
                    + 2'(dut.u_array.gen_mvu[m].u_mvu.read_req[1] && !dut.u_array.gen_mvu[m].u_mvu.read_gnt[1]);
      assign writes = 2'(dut.u_array.gen_mvu[m].u_mvu.write_req[0] && !dut.u_array.gen_mvu[m].u_mvu.write_gnt[0])
                    + 2'(dut.u_array.xbo_valid[m] && !dut.u_array.xbo_ready[m]);

      logic busy_q;
      logic [31:0] busy_clocks_q, multiplied_q, reads_q, writes_q;

      always_ff @(posedge clk_i or negedge rst_ni) begin
        if (!rst_ni) begin
          busy_q        <= 1'b0;
          busy_clocks_q <= '0;
          multiplied_q  <= '0;
          reads_q       <= '0;
          writes_q      <= '0;
        end else begin
          busy_q <= busy[m];
          if (busy[m]) begin
            busy_clocks_q <= (busy_q ? busy_clocks_q : 32'd0) + 32'd1;
            multiplied_q  <= (busy_q ? multiplied_q : 32'd0) + 32'(dut.u_array.gen_mvu[m].u_mvu.issue);
            reads_q       <= (busy_q ? reads_q : 32'd0) + 32'(reads);
            writes_q      <= (busy_q ? writes_q : 32'd0) + 32'(writes);
          end
        end
      end

      assign job_valid[m]        = busy_q && !busy[m];
      assign job_data[128*m+:128] = {writes_q, reads_q, multiplied_q, busy_clocks_q};
    end else begin : gen_missing
      assign trc_valid[m]             = 1'b0;
      assign trc_dest[8*m+:8]         = '0;
      assign trc_addr[16*m+:16]       = '0;
      assign trc_data[Lanes*m+:Lanes] = '0;
      assign irq[m]                   = 1'b0;
      assign busy[m]                  = 1'b0;
      assign job_valid[m]             = 1'b0;
      assign job_data[128*m+:128]     = '0;
      assign accessed[m]              = 1'b0;
      assign accesses[42*m+:42]       = '0;
    end
  end

  assign regs_valid = accessed != '0;
  assign regs_data  = accesses;
endmodule : accelerator_tb
