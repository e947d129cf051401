// SPDX-License-Identifier: Apache-2.0
// Bit-serial matrix-vector unit. What it computes, its ports and its timing: docs/mvu.md.
//
// A step issued in clock 0 passes
//   1 words   2 counts   3 accumulators   4 scaled   5 biased   6 sum   7 pooled   8 quantised   9 first word out
// The sequencer alone can hold a step back; behind it everything flows.
`include "assert.svh"

module mvu
  import mvu_pkg::*;
#(
  parameter int Lanes = DefaultLanes,
  parameter int DataBanks = DefaultDataBanks,
  parameter int BankDepth = DefaultBankDepth,
  parameter int WeightDepth = DefaultWeightDepth,
  parameter int ChannelDepth = DefaultChannelDepth,
  parameter int AccWidth = DefaultAccWidth,
  parameter int BiasWidth = DefaultBiasWidth,
  parameter int ParamWidth = Lanes > 32 ? Lanes : 32
) (
  input  logic                    clk_i,
  input  logic                    rst_ni,
  // Registers
  input  logic                    reg_req_valid_i,
  output logic                    reg_req_ready_o,
  input  logic                    reg_req_write_i,
  input  logic [RegAddrWidth-1:0] reg_req_addr_i,
  input  logic [            31:0] reg_req_wdata_i,
  output logic                    reg_rsp_valid_o,
  input  logic                    reg_rsp_ready_i,
  output logic [            31:0] reg_rsp_rdata_o,
  // Data memory, for controller or host
  input  logic                    mem_req_valid_i,
  output logic                    mem_req_ready_o,
  input  logic                    mem_req_write_i,
  input  logic [            15:0] mem_req_addr_i,
  input  logic [       Lanes-1:0] mem_req_wdata_i,
  output logic                    mem_rsp_valid_o,
  input  logic                    mem_rsp_ready_i,
  output logic [       Lanes-1:0] mem_rsp_rdata_o,
  // Crossbar
  input  logic                    xbi_valid_i,
  output logic                    xbi_ready_o,
  input  logic [            15:0] xbi_addr_i,
  input  logic [       Lanes-1:0] xbi_data_i,
  output logic                    xbo_valid_o,
  input  logic                    xbo_ready_i,
  output logic [             7:0] xbo_dest_o,
  output logic [            15:0] xbo_addr_o,
  output logic [       Lanes-1:0] xbo_data_o,
  // Weights, scalers and biases
  input  logic                    prm_valid_i,
  output logic                    prm_ready_o,
  input  logic [             1:0] prm_select_i,
  input  logic [            15:0] prm_word_i,
  input  logic [             7:0] prm_lane_i,
  input  logic [  ParamWidth-1:0] prm_data_i,
  // Trace: every output word when its destination takes it
  output logic                    trc_valid_o,
  output logic [             7:0] trc_dest_o,
  output logic [            15:0] trc_addr_o,
  output logic [       Lanes-1:0] trc_data_o,
  // Jobs: one waits, so that configuration writes wait; one runs; interrupt
  output logic                    pending_o,
  output logic                    busy_o,
  output logic                    irq_o
);

  localparam int DataAddrWidth = $clog2(DataBanks * BankDepth);
  localparam int WeightAddrWidth = $clog2(WeightDepth);
  localparam int ChannelAddrWidth = $clog2(ChannelDepth);
  localparam int LaneWidth = $clog2(Lanes);

  // ---------------------------------------------------------------------------------------------
  // Registers and sequencer
  // ---------------------------------------------------------------------------------------------
  mvu_cfg_t cfg;
  logic pending, load, start, busy, ended, pipe_busy;
  logic [7:0] causes;

  mvu_regs u_regs (
    .clk_i,
    .rst_ni,
    .req_valid_i(reg_req_valid_i),
    .req_ready_o(reg_req_ready_o),
    .req_write_i(reg_req_write_i),
    .req_addr_i (reg_req_addr_i),
    .req_wdata_i(reg_req_wdata_i),
    .rsp_valid_o(reg_rsp_valid_o),
    .rsp_ready_i(reg_rsp_ready_i),
    .rsp_rdata_o(reg_rsp_rdata_o),
    .pending_o  (pending),
    .load_i     (load),
    .cfg_o      (cfg),
    .busy_i     (busy),
    .ended_i    (ended),
    .causes_i   (causes),
    .irq_o
  );

  logic input_req, input_gnt, issue, load_acc, shift_acc, subtract, output_end, group_end, group_first;
  logic residual_ready, freed;
  logic [DataAddrWidth-1:0] input_addr;
  logic [WeightAddrWidth-1:0] weight_addr;

  mvu_sequencer #(
    .DataAddrWidth  (DataAddrWidth),
    .WeightAddrWidth(WeightAddrWidth)
  ) u_sequencer (
    .clk_i,
    .rst_ni,
    .cfg_i           (cfg),
    .pending_i       (pending),
    .load_o          (load),
    .start_o         (start),
    .busy_o          (busy),
    .ended_o         (ended),
    .causes_o        (causes),
    .read_req_o      (input_req),
    .read_gnt_i      (input_gnt),
    .read_addr_o     (input_addr),
    .weight_addr_o   (weight_addr),
    .issue_o         (issue),
    .load_acc_o      (load_acc),
    .shift_acc_o     (shift_acc),
    .subtract_o      (subtract),
    .output_end_o    (output_end),
    .group_end_o     (group_end),
    .group_first_o   (group_first),
    .residual_ready_i(residual_ready),
    .slot_freed_i    (freed),
    .pipe_busy_i     (pipe_busy)
  );

  assign pending_o = pending;
  assign busy_o    = busy;

  // ---------------------------------------------------------------------------------------------
  // Memories
  // ---------------------------------------------------------------------------------------------
  localparam int PortOwn = 0;       // input reads, output writes
  localparam int PortResidual = 1;  // residual reads
  localparam int PortCrossbar = 1;  // crossbar writes
  localparam int PortHost = 2;      // controller or host

  logic [2:0] read_req, read_gnt, write_req, write_gnt;
  logic [2:0][DataAddrWidth-1:0] read_addr, write_addr;
  logic [2:0][Lanes-1:0] read_data, write_data;
  logic residual_req;
  logic [DataAddrWidth-1:0] residual_addr;
  logic word_valid, word_taken, word_own;
  logic [15:0] word_addr;
  logic [Lanes-1:0] word_data;
  logic host_read_room, host_read;

  assign read_req[PortOwn]        = input_req;
  assign read_req[PortResidual]   = residual_req;
  assign read_req[PortHost]       = mem_req_valid_i && !mem_req_write_i && host_read_room;
  assign read_addr[PortOwn]       = input_addr;
  assign read_addr[PortResidual]  = residual_addr;
  assign read_addr[PortHost]      = mem_req_addr_i[DataAddrWidth-1:0];
  assign input_gnt                = read_gnt[PortOwn];
  assign write_req[PortOwn]       = word_valid && word_own;
  assign write_req[PortCrossbar]  = xbi_valid_i;
  assign write_req[PortHost]      = mem_req_valid_i && mem_req_write_i;
  assign write_addr[PortOwn]      = word_addr[DataAddrWidth-1:0];
  assign write_addr[PortCrossbar] = xbi_addr_i[DataAddrWidth-1:0];
  assign write_addr[PortHost]     = mem_req_addr_i[DataAddrWidth-1:0];
  assign write_data[PortOwn]      = word_data;
  assign write_data[PortCrossbar] = xbi_data_i;
  assign write_data[PortHost]     = mem_req_wdata_i;
  assign xbi_ready_o              = write_gnt[PortCrossbar];
  assign mem_req_ready_o          = mem_req_write_i ? write_gnt[PortHost] : read_gnt[PortHost];
  assign host_read                = read_gnt[PortHost];

  mvu_data_memory #(
    .Lanes    (Lanes),
    .Banks    (DataBanks),
    .BankDepth(BankDepth)
  ) u_data_memory (
    .clk_i,
    .rst_ni,
    .read_req_i  (read_req),
    .read_gnt_o  (read_gnt),
    .read_addr_i (read_addr),
    .read_data_o (read_data),
    .write_req_i (write_req),
    .write_gnt_o (write_gnt),
    .write_addr_i(write_addr),
    .write_data_i(write_data)
  );

  // Host reads: the word comes one clock after the grant and may have to wait for mem_rsp_ready_i, so a read is
  // only requested when its word has a place.
  logic host_data_valid_q, unused_host_ready;
  logic [1:0] host_count;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) host_data_valid_q <= 1'b0;
    else host_data_valid_q <= host_read;
  end

  assign host_read_room = 3'(host_count) + 3'(host_data_valid_q) < 3'd3;

  fifo #(
    .Width(Lanes),
    .Depth(3)
  ) u_host_words (
    .clk_i,
    .rst_ni,
    .clear_i (1'b0),
    .wvalid_i(host_data_valid_q),
    .wready_o(unused_host_ready),
    .wdata_i (read_data[PortHost]),
    .rvalid_o(mem_rsp_valid_o),
    .rready_i(mem_rsp_ready_i),
    .rdata_o (mem_rsp_rdata_o),
    .count_o (host_count)
  );

  // Weights, scalers and biases have a write port of their own: a load never waits.
  logic [Lanes*Lanes-1:0] weights;
  logic [Lanes*ScalerWidth-1:0] scalers;
  logic [Lanes*BiasWidth-1:0] biases;
  logic [ChannelAddrWidth-1:0] scaler_addr, bias_addr;
  logic read_scaler, read_bias;

  assign prm_ready_o = 1'b1;

  ram_1r1w #(
    .Width     (Lanes * Lanes),
    .Depth     (WeightDepth),
    .WriteWidth(Lanes)
  ) u_weight_memory (
    .clk_i,
    .re_i   (issue),
    .raddr_i(weight_addr),
    .rdata_o(weights),
    .we_i   (prm_valid_i && prm_select_i == 2'd0),
    .waddr_i(prm_word_i[WeightAddrWidth-1:0]),
    .wpart_i(prm_lane_i[LaneWidth-1:0]),
    .wdata_i(prm_data_i[Lanes-1:0])
  );

  ram_1r1w #(
    .Width     (Lanes * ScalerWidth),
    .Depth     (ChannelDepth),
    .WriteWidth(ScalerWidth)
  ) u_scaler_memory (
    .clk_i,
    .re_i   (read_scaler),
    .raddr_i(scaler_addr),
    .rdata_o(scalers),
    .we_i   (prm_valid_i && prm_select_i == 2'd1),
    .waddr_i(prm_word_i[ChannelAddrWidth-1:0]),
    .wpart_i(prm_lane_i[LaneWidth-1:0]),
    .wdata_i(prm_data_i[ScalerWidth-1:0])
  );

  ram_1r1w #(
    .Width     (Lanes * BiasWidth),
    .Depth     (ChannelDepth),
    .WriteWidth(BiasWidth)
  ) u_bias_memory (
    .clk_i,
    .re_i   (read_bias),
    .raddr_i(bias_addr),
    .rdata_o(biases),
    .we_i   (prm_valid_i && prm_select_i == 2'd2),
    .waddr_i(prm_word_i[ChannelAddrWidth-1:0]),
    .wpart_i(prm_lane_i[LaneWidth-1:0]),
    .wdata_i(prm_data_i[BiasWidth-1:0])
  );

  // ---------------------------------------------------------------------------------------------
  // Flags that travel with a step: index = stage
  // ---------------------------------------------------------------------------------------------
  logic s1_valid_q, s2_valid_q;
  logic s1_load_q, s1_shift_q, s1_negate_q, s2_load_q, s2_shift_q, s2_negate_q;
  logic [8:1] output_q;  // the step ends an output
  logic [8:1] group_q;   // ... and a pool group
  logic [6:1] first_q;   // ... which is the first of its group

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      s1_valid_q <= 1'b0;
      s2_valid_q <= 1'b0;
      output_q   <= '0;
      group_q    <= '0;
    end else begin
      s1_valid_q <= issue;
      s2_valid_q <= s1_valid_q;
      output_q   <= {output_q[7:1], issue && output_end};
      group_q    <= {group_q[7:1], issue && output_end && group_end};
    end
  end

  always_ff @(posedge clk_i) begin
    s1_load_q   <= load_acc;
    s1_shift_q  <= shift_acc;
    s1_negate_q <= subtract ^ (cfg.command_multiply_mode == 2'd3);
    s2_load_q   <= s1_load_q;
    s2_shift_q  <= s1_shift_q;
    s2_negate_q <= s1_negate_q;
    first_q     <= {first_q[5:1], group_first};
  end

  assign pipe_busy = s1_valid_q || s2_valid_q || output_q != '0;

  // ---------------------------------------------------------------------------------------------
  // Scaler and bias entries: read a clock before they are used, one entry for a pool group
  // ---------------------------------------------------------------------------------------------
  logic unused_scaler_jump, unused_bias_jump;

  assign read_scaler = output_q[2] && cfg.config1_scaler_memory;
  assign read_bias   = output_q[3] && cfg.config1_bias_memory;

  mvu_agu #(
    .Loops    (ChannelLoops),
    .AddrWidth(ChannelAddrWidth)
  ) u_scaler_agu (
    .clk_i,
    .rst_ni,
    .init_i        (start),
    .step_i        (group_q[2]),
    .base_i        (cfg.sbaseptr[ChannelAddrWidth-1:0]),
    .jump_i        ({cfg.sjump[1][15:0], cfg.sjump[0][15:0]}),
    .length_i      ({cfg.slength[1][15:0], 16'd0}),
    .skip_rows_i   (16'd0),
    .skip_columns_i(16'd0),
    .enter_i       (ChannelAddrWidth'(0)),
    .again_i       (ChannelAddrWidth'(0)),
    .gap_i         (ChannelAddrWidth'(0)),
    .addr_o        (scaler_addr),
    .jump_o        (unused_scaler_jump)
  );

  mvu_agu #(
    .Loops    (ChannelLoops),
    .AddrWidth(ChannelAddrWidth)
  ) u_bias_agu (
    .clk_i,
    .rst_ni,
    .init_i        (start),
    .step_i        (group_q[3]),
    .base_i        (cfg.bbaseptr[ChannelAddrWidth-1:0]),
    .jump_i        ({cfg.bjump[1][15:0], cfg.bjump[0][15:0]}),
    .length_i      ({cfg.blength[1][15:0], 16'd0}),
    .skip_rows_i   (16'd0),
    .skip_columns_i(16'd0),
    .enter_i       (ChannelAddrWidth'(0)),
    .again_i       (ChannelAddrWidth'(0)),
    .gap_i         (ChannelAddrWidth'(0)),
    .addr_o        (bias_addr),
    .jump_o        (unused_bias_jump)
  );

  // ---------------------------------------------------------------------------------------------
  // Residual input
  // ---------------------------------------------------------------------------------------------
  logic [ResidualLoops*16-1:0] rjump, rlength;
  logic [Lanes*17-1:0] residuals;

  for (genvar k = 0; k < ResidualLoops; k++) begin : gen_residual_loops
    assign rjump[k*16+:16] = cfg.rjump[k][15:0];
    if (k == 0) begin : gen_endless
      assign rlength[15:0] = '0;
    end else begin : gen_counted
      assign rlength[k*16+:16] = cfg.rlength[k][15:0];
    end
  end

  mvu_residual #(
    .Lanes    (Lanes),
    .AddrWidth(DataAddrWidth)
  ) u_residual (
    .clk_i,
    .rst_ni,
    .start_i    (start),
    .stop_i     (ended),
    .enable_i   (cfg.config1_residual),
    .precision_i(cfg.precision_residual[4:0]),
    .signed_i   (cfg.precision_residual_signed),
    .base_i     (cfg.rbaseptr[DataAddrWidth-1:0]),
    .jump_i     (rjump),
    .length_i   (rlength),
    .read_req_o (residual_req),
    .read_gnt_i (read_gnt[PortResidual]),
    .read_addr_o(residual_addr),
    .read_data_i(read_data[PortResidual]),
    .ready_o    (residual_ready),
    .claim_i    (issue && output_end && cfg.config1_residual),
    .take_i     (output_q[3] && cfg.config1_residual),
    .value_o    (residuals)
  );

  // ---------------------------------------------------------------------------------------------
  // Lanes
  // ---------------------------------------------------------------------------------------------
  logic [Lanes*AccWidth-1:0] acc;
  logic [Lanes*MaxPrecision-1:0] block;
  logic [5:0] shift;

  mvu_mac #(
    .Lanes   (Lanes),
    .AccWidth(AccWidth)
  ) u_mac (
    .clk_i,
    .data_valid_i (s1_valid_q),
    .activation_i (read_data[PortOwn]),
    .weights_i    (weights),
    .equal_mode_i (cfg.command_multiply_mode == 2'd2),
    .count_valid_i(s2_valid_q),
    .load_i       (s2_load_q),
    .shift_i      (s2_shift_q),
    .negate_i     (s2_negate_q),
    .zero_mode_i  (cfg.command_multiply_mode == 2'd0),
    .acc_o        (acc)
  );

  // The configuration check guarantees 0 <= shift <= 47.
  assign shift = cfg.quant_msb + 6'd1 - cfg.precision_output;

  mvu_post #(
    .Lanes    (Lanes),
    .AccWidth (AccWidth),
    .BiasWidth(BiasWidth)
  ) u_post (
    .clk_i,
    .scaler_i         (cfg.scaler),
    .scaler_memory_i  (cfg.config1_scaler_memory),
    .bias_memory_i    (cfg.config1_bias_memory),
    .bias_shift_i     (cfg.scaler_bias_shift),
    .residual_enable_i(cfg.config1_residual),
    .residual_scaler_i(cfg.rscaler),
    .residual_shift_i (cfg.rscaler_shift),
    .relu_i           (cfg.config1_relu),
    .shift_i          (shift),
    .precision_i      (cfg.precision_output[4:0]),
    .signed_i         (cfg.precision_output_signed),
    .round_i          (cfg.quant_round_half_up),
    .saturate_i       (cfg.quant_saturate),
    .acc_valid_i      (output_q[3]),
    .acc_i            (acc),
    .scalers_i        (scalers),
    .residuals_i      (residuals),
    .scaled_valid_i   (output_q[4]),
    .biases_i         (biases),
    .biased_valid_i   (output_q[5]),
    .sum_valid_i      (output_q[6]),
    .pool_first_i     (first_q[6]),
    .pooled_valid_i   (group_q[7]),
    .block_o          (block)
  );

  // ---------------------------------------------------------------------------------------------
  // Output words
  // ---------------------------------------------------------------------------------------------
  logic [OutputLoops*16-1:0] ojump, olength;

  for (genvar k = 0; k < OutputLoops; k++) begin : gen_output_loops
    assign ojump[k*16+:16] = cfg.ojump[k][15:0];
    if (k == 0) begin : gen_endless
      assign olength[15:0] = '0;
    end else begin : gen_counted
      assign olength[k*16+:16] = cfg.olength[k][15:0];
    end
  end

  mvu_serialiser #(
    .Lanes    (Lanes),
    .AddrWidth(16)
  ) u_serialiser (
    .clk_i,
    .rst_ni,
    .start_i      (start),
    .precision_i  (cfg.precision_output[4:0]),
    .base_i       (cfg.obaseptr),
    .jump_i       (ojump),
    .length_i     (olength),
    .block_valid_i(group_q[8]),
    .block_i      (block),
    .freed_o      (freed),
    .valid_o      (word_valid),
    .taken_i      (word_taken),
    .addr_o       (word_addr),
    .data_o       (word_data)
  );

  assign word_own    = cfg.obaseptr_dest == '0;
  assign word_taken  = word_own ? write_gnt[PortOwn] : xbo_ready_i;
  assign xbo_valid_o = word_valid && !word_own;
  assign xbo_dest_o  = cfg.obaseptr_dest;
  assign xbo_addr_o  = word_addr;
  assign xbo_data_o  = word_data;
  assign trc_valid_o = word_valid && word_taken;
  assign trc_dest_o  = cfg.obaseptr_dest;
  assign trc_addr_o  = word_addr;
  assign trc_data_o  = word_data;

  // Apart, as cfg is wide and seldom changes.
  logic unused_bits, unused_cfg;
  assign unused_bits = ^{prm_word_i, prm_lane_i, prm_data_i, xbi_addr_i, mem_req_addr_i};
  assign unused_cfg  = ^cfg;

  `ASSERT_STREAM(reg_req, RegAddrWidth + 33, reg_req_valid_i, reg_req_ready_o,
                 {reg_req_write_i, reg_req_addr_i, reg_req_wdata_i})
  `ASSERT_STREAM(reg_rsp, 32, reg_rsp_valid_o, reg_rsp_ready_i, reg_rsp_rdata_o)
  `ASSERT_STREAM(mem_req, Lanes + 17, mem_req_valid_i, mem_req_ready_o,
                 {mem_req_write_i, mem_req_addr_i, mem_req_wdata_i})
  `ASSERT_STREAM(mem_rsp, Lanes, mem_rsp_valid_o, mem_rsp_ready_i, mem_rsp_rdata_o)
  `ASSERT_STREAM(xbi, Lanes + 16, xbi_valid_i, xbi_ready_o, {xbi_addr_i, xbi_data_i})
  `ASSERT_STREAM(xbo, Lanes + 24, xbo_valid_o, xbo_ready_i, {xbo_dest_o, xbo_addr_o, xbo_data_o})
  // Sizes the addresses, the proof of the sums' width and the registers rest on.
  `include "mvu_parameters.svh"
  `ASSERT(at_rest_no_reads, busy || !(input_req || residual_req))
  `ASSERT(host_words_have_room, !host_data_valid_q || unused_host_ready)

endmodule : mvu
