// SPDX-License-Identifier: Apache-2.0
// Write side of the host's AXI4 port: one burst at a time, a beat a clock where its destination takes it.
//
// An illegal beat is taken and does nothing but to set the burst's response. B comes when everything written has
// taken effect. All of the port's outputs come from registers.
`include "assert.svh"

module accelerator_axi_write
  import accelerator_pkg::*;
#(
  parameter int Mvus = DefaultMvus,
  parameter int Lanes = mvu_pkg::DefaultLanes,
  parameter int DataDepth = 32768,
  parameter int WeightDepth = mvu_pkg::DefaultWeightDepth,
  parameter int ChannelDepth = mvu_pkg::DefaultChannelDepth,
  parameter int ParamWidth = Lanes > 32 ? Lanes : 32
) (
  input  logic                  clk_i,
  input  logic                  rst_ni,
  // AXI4
  input  logic [           3:0] awid_i,
  input  logic [          31:0] awaddr_i,
  input  logic [           7:0] awlen_i,
  input  logic [           2:0] awsize_i,
  input  logic [           1:0] awburst_i,
  input  logic                  awvalid_i,
  output logic                  awready_o,
  input  logic [          63:0] wdata_i,
  input  logic [           7:0] wstrb_i,
  input  logic                  wlast_i,
  input  logic                  wvalid_i,
  output logic                  wready_o,
  output logic [           3:0] bid_o,
  output logic [           1:0] bresp_o,
  output logic                  bvalid_o,
  input  logic                  bready_i,
  // Registers: the fabric's slot
  output logic                  reg_req_valid_o,
  input  logic                  reg_req_ready_i,
  output logic [           3:0] reg_req_unit_o,
  output logic [           7:0] reg_req_addr_o,
  input  logic                  reg_rsp_valid_i,
  output logic                  reg_rsp_ready_o,
  input  logic                  reg_rsp_error_i,
  // Controller
  output logic                  ctl_req_valid_o,
  input  logic                  ctl_req_ready_i,
  output logic [          31:0] ctl_req_addr_o,
  input  logic                  ctl_rsp_valid_i,
  output logic                  ctl_rsp_ready_o,
  input  logic                  ctl_rsp_error_i,
  // The 32 bits of either
  output logic [          31:0] req_wdata_o,
  // Data memories
  output logic                  mem_valid_o,
  input  logic                  mem_ready_i,
  output logic [      Mvus-1:0] mem_mvu_o,
  output logic [          15:0] mem_addr_o,
  output logic [     Lanes-1:0] mem_data_o,
  // Weights, scalers and biases of the units load_mvus_i
  input  logic [      Mvus-1:0] load_mvus_i,
  output logic [      Mvus-1:0] prm_valid_o,
  input  logic [      Mvus-1:0] prm_ready_i,
  output logic [           1:0] prm_select_o,
  output logic [          15:0] prm_word_o,
  output logic [           7:0] prm_lane_o,
  output logic [ParamWidth-1:0] prm_data_o,
  // Transposer
  output logic                  tr_open_o,
  input  logic                  tr_ok_i,
  output logic                  tr_close_o,
  input  logic                  tr_idle_i,
  output logic                  tr_valid_o,
  input  logic                  tr_ready_i,
  output logic [          63:0] tr_data_o
);

  typedef enum logic [2:0] {
    StIdle,   // takes an address
    StOpen,   // looks at it
    StData,   // takes beats
    StDrain,  // waits for the transposer's words
    StResp    // answers
  } state_e;

  state_e state_q, state_d;
  logic [3:0] id_q, window_q;
  logic [31:0] addr_q;
  logic [7:0] left_q;  // beats after the present one
  logic [2:0] size_q;
  logic [1:0] burst_q, resp_q;
  logic [Mvus-1:0] load_q;
  logic ok_q, start, step;

  // Beats come through a buffer, so that wready_o does not depend on what becomes of them.
  logic beat_valid, beat_last, beat_done, unused_count;
  logic [1:0] beat_count;
  logic [63:0] data;
  logic [7:0] strobe;

  fifo #(
    .Width(73),
    .Depth(2)
  ) u_beats (
    .clk_i,
    .rst_ni,
    .clear_i (1'b0),
    .wvalid_i(wvalid_i),
    .wready_o(wready_o),
    .wdata_i ({wlast_i, wstrb_i, wdata_i}),
    .rvalid_o(beat_valid),
    .rready_i(beat_done),
    .rdata_o ({beat_last, strobe, data}),
    .count_o (beat_count)
  );

  assign unused_count = ^beat_count;

  // ---------------------------------------------------------------------------------------------
  // Where the present beat goes, and whether it may
  // ---------------------------------------------------------------------------------------------
  logic [3:0] window;
  logic to_registers, to_controller, to_data, to_params, to_transposer, to_words, exists;
  logic aligned, legal, nothing, here;
  logic [1:0] error;

  accelerator_decode #(
    .Mvus        (Mvus),
    .Lanes       (Lanes),
    .DataDepth   (DataDepth),
    .WeightDepth (WeightDepth),
    .ChannelDepth(ChannelDepth)
  ) u_decode (
    .addr_i      (addr_q),
    .window_o    (window),
    .registers_o (to_registers),
    .controller_o(to_controller),
    .data_o      (to_data),
    .params_o    (to_params),
    .transposer_o(to_transposer),
    .exists_o    (exists),
    .unit_o      (reg_req_unit_o),
    .mvu_o       (mem_mvu_o),
    .word_o      (mem_addr_o),
    .select_o    (prm_select_o),
    .lane_o      (prm_lane_o)
  );

  // 32-bit words of the beat that its strobes cover.
  logic [1:0] covered, halves;
  logic whole_words;

  assign covered     = {strobe[7:4] == 4'hf, strobe[3:0] == 4'hf};
  assign whole_words = (covered[1] || strobe[7:4] == 4'h0) && (covered[0] || strobe[3:0] == 4'h0);
  assign to_words    = to_registers || to_controller;
  assign aligned     = size_q == 3'd3 ? addr_q[2:0] == 3'd0 : size_q == 3'd2 && to_words && addr_q[1:0] == 2'd0;
  assign nothing     = window == 4'd0 || window != window_q;

  always_comb begin
    halves = 2'b00;
    if (to_words) halves = covered;
    // Of a beat of 4 bytes the other half has no strobes.
    legal = ok_q && aligned && !burst_q[1] && exists && whole_words;
    if (size_q == 3'd2 && covered[!addr_q[2]]) legal = 1'b0;
    if (!to_words && covered != 2'b00 && covered != 2'b11) legal = 1'b0;
  end

  assign error = nothing ? RespDecerr : legal ? RespOkay : RespSlverr;
  // The beat has something to do.
  assign here  = state_q == StData && beat_valid && !nothing && legal && covered != 2'b00;

  // ---------------------------------------------------------------------------------------------
  // Registers and controller: the lower half first, each with its answer
  // ---------------------------------------------------------------------------------------------
  logic half, sent_q, low_q, words_done, rsp_valid, rsp_error, req_taken, last_half;

  assign half            = !halves[0] || low_q;
  assign last_half       = half || !halves[1];
  assign reg_req_valid_o = here && to_registers && !sent_q;
  assign ctl_req_valid_o = here && to_controller && !sent_q;
  assign reg_req_addr_o  = {addr_q[9:3], half};
  assign ctl_req_addr_o  = {addr_q[31:3], half, 2'b00};
  assign req_wdata_o     = half ? data[63:32] : data[31:0];
  assign req_taken       = (reg_req_valid_o && reg_req_ready_i) || (ctl_req_valid_o && ctl_req_ready_i);
  assign reg_rsp_ready_o = 1'b1;
  assign ctl_rsp_ready_o = 1'b1;
  assign rsp_valid       = reg_rsp_valid_i || ctl_rsp_valid_i;
  assign rsp_error       = (reg_rsp_valid_i && reg_rsp_error_i) || (ctl_rsp_valid_i && ctl_rsp_error_i);
  assign words_done      = rsp_valid && last_half;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      sent_q <= 1'b0;
      low_q  <= 1'b0;
    end else begin
      sent_q <= req_taken || (sent_q && !rsp_valid);
      if (rsp_valid) low_q <= !last_half;
    end
  end

  // ---------------------------------------------------------------------------------------------
  // The other destinations
  // ---------------------------------------------------------------------------------------------
  logic [Mvus-1:0] loaded_q, loading;

  assign loading     = load_q & {Mvus{here && to_params}} & ~loaded_q;
  assign mem_valid_o = here && to_data;
  assign mem_data_o  = data[Lanes-1:0];
  assign prm_valid_o = loading;
  assign prm_word_o  = mem_addr_o;
  assign prm_data_o  = data[ParamWidth-1:0];
  assign tr_valid_o  = here && to_transposer;
  assign tr_data_o   = data;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) loaded_q <= '0;
    else if (beat_done) loaded_q <= '0;
    else loaded_q <= loaded_q | (loading & prm_ready_i);
  end

  always_comb begin
    beat_done = state_q == StData && beat_valid;
    if (here) begin
      if (to_words) beat_done = words_done;
      if (to_data) beat_done = mem_ready_i;
      if (to_params) beat_done = (loading & ~prm_ready_i) == '0;
      if (to_transposer) beat_done = tr_ready_i;
    end
  end

  // ---------------------------------------------------------------------------------------------
  // Burst
  // ---------------------------------------------------------------------------------------------
  assign awready_o  = state_q == StIdle;
  assign bvalid_o   = state_q == StResp;
  assign bid_o      = id_q;
  assign bresp_o    = resp_q;
  assign tr_open_o  = state_q == StOpen && to_transposer && aligned && !burst_q[1];
  assign tr_close_o = state_q == StDrain && tr_idle_i;
  assign start      = state_q == StIdle && awvalid_i;
  assign step       = beat_done;

  // Errors add up to the burst's response. wlast must be with the beat that the length says; the first of the two
  // ends the burst.
  logic [1:0] beat_error, word_error;

  assign word_error = rsp_valid && rsp_error ? RespSlverr : RespOkay;
  assign beat_error = !step ? RespOkay : beat_last != (left_q == '0) ? error | RespSlverr : error;

  always_comb begin
    state_d = state_q;
    case (state_q)
      StIdle:  if (awvalid_i) state_d = StOpen;
      StOpen:  state_d = StData;
      StData:  if (step && (beat_last || left_q == '0)) state_d = StDrain;
      StDrain: if (tr_idle_i) state_d = StResp;
      StResp:  if (bready_i) state_d = StIdle;
      default: state_d = StIdle;
    endcase
  end

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      state_q  <= StIdle;
      id_q     <= '0;
      addr_q   <= '0;
      left_q   <= '0;
      size_q   <= '0;
      burst_q  <= '0;
      window_q <= '0;
      load_q   <= '0;
      ok_q     <= 1'b0;
      resp_q   <= RespOkay;
    end else begin
      state_q <= state_d;
      if (start) begin
        id_q    <= awid_i;
        addr_q  <= awaddr_i;
        left_q  <= awlen_i;
        size_q  <= awsize_i;
        burst_q <= awburst_i;
        resp_q  <= RespOkay;
      end
      if (state_q == StOpen) begin
        window_q <= window;
        load_q   <= load_mvus_i;
        ok_q     <= to_transposer ? tr_open_o && tr_ok_i : !to_params || load_mvus_i != '0;
      end
      if (step) begin
        left_q <= left_q - 8'd1;
        if (burst_q == 2'b01) addr_q <= addr_q + (32'd1 << size_q);
      end
      if (!start) resp_q <= resp_q | beat_error | word_error;
    end
  end

  `ASSERT_STREAM(aw, 49, awvalid_i, awready_o, {awid_i, awaddr_i, awlen_i, awsize_i, awburst_i})
  `ASSERT_STREAM(w, 73, wvalid_i, wready_o, {wlast_i, wstrb_i, wdata_i})
  `ASSERT_STREAM(b, 6, bvalid_o, bready_i, {bid_o, bresp_o})
  `ASSERT_STREAM(reg_req, 44, reg_req_valid_o, reg_req_ready_i, {reg_req_unit_o, reg_req_addr_o, req_wdata_o})
  `ASSERT_STREAM(ctl_req, 64, ctl_req_valid_o, ctl_req_ready_i, {ctl_req_addr_o, req_wdata_o})
  `ASSERT_STREAM(mem, Mvus + Lanes + 16, mem_valid_o, mem_ready_i, {mem_mvu_o, mem_addr_o, mem_data_o})
  `ASSERT_STREAM(tr, 64, tr_valid_o, tr_ready_i, tr_data_o)
  `ASSERT(answer_expected, !rsp_valid || sent_q)

endmodule : accelerator_axi_write
