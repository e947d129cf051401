// SPDX-License-Identifier: Apache-2.0
// Read side of the host's AXI4 port: one burst at a time. Words of data memories are asked for ahead, as far as the
// buffer of answers has room, so that they come one a clock; so do the transposer's beats.
//
// An illegal beat is answered with 0 and its error. All of the port's outputs come from registers.
`include "assert.svh"

module accelerator_axi_read
  import accelerator_pkg::*;
#(
  parameter int Mvus = DefaultMvus,
  parameter int Lanes = mvu_pkg::DefaultLanes,
  parameter int DataDepth = 32768,
  parameter int WeightDepth = mvu_pkg::DefaultWeightDepth,
  parameter int ChannelDepth = mvu_pkg::DefaultChannelDepth
) (
  input  logic             clk_i,
  input  logic             rst_ni,
  // AXI4
  input  logic [      3:0] arid_i,
  input  logic [     31:0] araddr_i,
  input  logic [      7:0] arlen_i,
  input  logic [      2:0] arsize_i,
  input  logic [      1:0] arburst_i,
  input  logic             arvalid_i,
  output logic             arready_o,
  output logic [      3:0] rid_o,
  output logic [     63:0] rdata_o,
  output logic [      1:0] rresp_o,
  output logic             rlast_o,
  output logic             rvalid_o,
  input  logic             rready_i,
  // Registers: the fabric's slot
  output logic             reg_req_valid_o,
  input  logic             reg_req_ready_i,
  output logic [      3:0] reg_req_unit_o,
  output logic [      7:0] reg_req_addr_o,
  input  logic             reg_rsp_valid_i,
  output logic             reg_rsp_ready_o,
  input  logic [     31:0] reg_rsp_rdata_i,
  input  logic             reg_rsp_error_i,
  // Controller
  output logic             ctl_req_valid_o,
  input  logic             ctl_req_ready_i,
  output logic [     31:0] ctl_req_addr_o,
  input  logic             ctl_rsp_valid_i,
  output logic             ctl_rsp_ready_o,
  input  logic [     31:0] ctl_rsp_rdata_i,
  input  logic             ctl_rsp_error_i,
  // Data memories: answers in order, taken at once
  output logic             mem_valid_o,
  input  logic             mem_ready_i,
  output logic [ Mvus-1:0] mem_mvu_o,
  output logic [     15:0] mem_addr_o,
  input  logic             mem_rsp_valid_i,
  input  logic [Lanes-1:0] mem_rsp_data_i,
  // Transposer
  output logic             tr_open_o,
  output logic [      8:0] tr_beats_o,
  input  logic             tr_ok_i,
  output logic             tr_close_o,
  input  logic             tr_valid_i,
  output logic             tr_ready_o,
  input  logic [     63:0] tr_data_i
);

  // From asking to the buffer's output it takes 3 clocks; with one more a burst does not pause.
  localparam int Depth = 8;
  localparam int CountWidth = $clog2(Depth + 1);

  typedef enum logic [1:0] {
    StIdle,  // takes an address
    StOpen,  // looks at it
    StData,  // asks for beats
    StEnd    // waits until the host has the last one
  } state_e;

  state_e state_q, state_d;
  logic [3:0] id_q, window_q;
  logic [31:0] addr_q;
  logic [7:0] left_q, push_left_q;  // beats after the present one, to be asked for and to be put into the buffer
  logic [2:0] size_q;
  logic [1:0] burst_q;
  logic ok_q, step;

  // ---------------------------------------------------------------------------------------------
  // Buffer of answers
  // ---------------------------------------------------------------------------------------------
  logic push, unused_room, room, out_valid, out_last;
  logic [CountWidth-1:0] count, asked_q;
  logic [63:0] push_data, out_data;
  logic [1:0] push_resp, out_resp;

  fifo #(
    .Width(67),
    .Depth(Depth)
  ) u_answers (
    .clk_i,
    .rst_ni,
    .clear_i (1'b0),
    .wvalid_i(push),
    .wready_o(unused_room),
    .wdata_i ({push_left_q == '0, push_resp, push_data}),
    .rvalid_o(out_valid),
    .rready_i(rready_i),
    .rdata_o ({out_last, out_resp, out_data}),
    .count_o (count)
  );

  // What has been asked for has a place.
  assign room = count + asked_q < CountWidth'(Depth);

  assign rvalid_o = out_valid;
  assign rid_o    = id_q;
  assign rdata_o  = out_data & {64{out_valid}};
  assign rresp_o  = out_resp & {2{out_valid}};
  assign rlast_o  = out_last && out_valid;

  // ---------------------------------------------------------------------------------------------
  // Where the present beat comes from, and whether it may
  // ---------------------------------------------------------------------------------------------
  logic [3:0] window;
  logic to_registers, to_controller, to_data, to_params, to_transposer, to_words, exists;
  logic aligned, legal, nothing, here;
  logic [15:0] word;
  logic [1:0] unused_select;
  logic [7:0] unused_lane;

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
    .word_o      (word),
    .select_o    (unused_select),
    .lane_o      (unused_lane)
  );

  assign to_words = to_registers || to_controller;
  assign aligned  = size_q == 3'd3 ? addr_q[2:0] == 3'd0 : size_q == 3'd2 && to_words && addr_q[1:0] == 2'd0;
  assign nothing  = window == 4'd0 || window != window_q;
  assign legal    = ok_q && aligned && !burst_q[1] && exists && !to_params;
  assign here     = state_q == StData && !nothing && legal;

  // ---------------------------------------------------------------------------------------------
  // Registers and controller: the lower half first, each with its answer
  // ---------------------------------------------------------------------------------------------
  logic half, sent_q, low_q, low_error_q, rsp_valid, rsp_error, req_taken, last_half;
  logic [31:0] low_data_q, rsp_data;

  // A beat of 4 bytes is one half.
  assign half            = size_q == 3'd3 ? low_q : addr_q[2];
  assign last_half       = half || size_q != 3'd3;
  assign reg_req_valid_o = here && to_registers && !sent_q && (room || low_q);
  assign ctl_req_valid_o = here && to_controller && !sent_q && (room || low_q);
  assign reg_req_addr_o  = {addr_q[9:3], half};
  assign ctl_req_addr_o  = {addr_q[31:3], half, 2'b00};
  assign req_taken       = (reg_req_valid_o && reg_req_ready_i) || (ctl_req_valid_o && ctl_req_ready_i);
  assign reg_rsp_ready_o = 1'b1;
  assign ctl_rsp_ready_o = 1'b1;
  assign rsp_valid       = reg_rsp_valid_i || ctl_rsp_valid_i;
  assign rsp_error       = reg_rsp_valid_i ? reg_rsp_error_i : ctl_rsp_error_i;
  assign rsp_data        = rsp_error ? 32'd0 : reg_rsp_valid_i ? reg_rsp_rdata_i : ctl_rsp_rdata_i;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      sent_q      <= 1'b0;
      low_q       <= 1'b0;
      low_error_q <= 1'b0;
      low_data_q  <= '0;
    end else begin
      sent_q <= req_taken || (sent_q && !rsp_valid);
      if (rsp_valid) begin
        low_q       <= !last_half;
        low_error_q <= !last_half && rsp_error;
        low_data_q  <= last_half ? 32'd0 : rsp_data;
      end
    end
  end

  // ---------------------------------------------------------------------------------------------
  // Data memories, transposer, errors; into the buffer
  // ---------------------------------------------------------------------------------------------
  logic mem_step, alone;
  logic [Mvus-1:0] asked_mvu_q;

  // Nothing of an earlier beat is under way: the beat may go into the buffer at once.
  assign alone       = asked_q == '0;
  assign mem_addr_o  = word;
  assign mem_valid_o = here && to_data && room && (alone || asked_mvu_q == mem_mvu_o);
  assign mem_step    = mem_valid_o && mem_ready_i;
  assign tr_ready_o  = here && to_transposer && room;

  always_comb begin
    step      = 1'b0;
    push      = 1'b0;
    push_resp = RespOkay;
    push_data = '0;
    if (mem_rsp_valid_i && !alone) begin
      push                 = 1'b1;
      push_data[Lanes-1:0] = mem_rsp_data_i;
    end
    if (here && to_data) begin
      step = mem_step;
    end else if (here && to_words) begin
      if (rsp_valid && last_half) begin
        step      = 1'b1;
        push      = 1'b1;
        push_resp = rsp_error || low_error_q ? RespSlverr : RespOkay;
        push_data = half ? {rsp_data, low_data_q} : {32'd0, rsp_data};
      end
    end else if (here && to_transposer) begin
      step      = tr_valid_i && room;
      push      = tr_valid_i && room;
      push_data = tr_data_i;
    end else if (state_q == StData && alone && room) begin
      step      = 1'b1;
      push      = 1'b1;
      push_resp = nothing ? RespDecerr : RespSlverr;
    end
  end

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      asked_q     <= '0;
      asked_mvu_q <= '0;
    end else begin
      asked_q <= asked_q + CountWidth'(mem_step) - CountWidth'(mem_rsp_valid_i && !alone);
      if (mem_step) asked_mvu_q <= mem_mvu_o;
    end
  end

  // ---------------------------------------------------------------------------------------------
  // Burst
  // ---------------------------------------------------------------------------------------------
  logic start, ended;
  logic [TransposerBits-3:0] window_left;

  assign arready_o  = state_q == StIdle;
  assign start      = state_q == StIdle && arvalid_i;
  assign ended      = out_valid && rready_i && out_last;
  assign tr_open_o  = state_q == StOpen && to_transposer && aligned && !burst_q[1];
  assign tr_close_o = state_q == StEnd;

  // Beats of the burst that lie in the transposer's window.
  assign window_left = (TransposerBits - 2)'(1 << (TransposerBits - 3)) - {1'b0, addr_q[TransposerBits-1:3]};
  assign tr_beats_o  = burst_q == 2'b01 && window_left <= (TransposerBits - 2)'(left_q) ?
      window_left[8:0] : {1'b0, left_q} + 9'd1;

  always_comb begin
    state_d = state_q;
    case (state_q)
      StIdle:  if (arvalid_i) state_d = StOpen;
      StOpen:  state_d = StData;
      StData:  if (step && left_q == '0) state_d = StEnd;
      default: if (ended) state_d = StIdle;
    endcase
  end

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      state_q     <= StIdle;
      id_q        <= '0;
      addr_q      <= '0;
      left_q      <= '0;
      push_left_q <= '0;
      size_q      <= '0;
      burst_q     <= '0;
      window_q    <= '0;
      ok_q        <= 1'b0;
    end else begin
      state_q <= state_d;
      if (start) begin
        id_q        <= arid_i;
        addr_q      <= araddr_i;
        left_q      <= arlen_i;
        push_left_q <= arlen_i;
        size_q      <= arsize_i;
        burst_q     <= arburst_i;
      end
      if (state_q == StOpen) begin
        window_q <= window;
        ok_q     <= !to_transposer || (tr_open_o && tr_ok_i);
      end
      if (step) begin
        left_q <= left_q - 8'd1;
        if (burst_q == 2'b01) addr_q <= addr_q + (32'd1 << size_q);
      end
      if (push) push_left_q <= push_left_q - 8'd1;
    end
  end

  `ASSERT_STREAM(ar, 49, arvalid_i, arready_o, {arid_i, araddr_i, arlen_i, arsize_i, arburst_i})
  `ASSERT_STREAM(r, 71, rvalid_o, rready_i, {rid_o, rdata_o, rresp_o, rlast_o})
  `ASSERT_STREAM(reg_req, 12, reg_req_valid_o, reg_req_ready_i, {reg_req_unit_o, reg_req_addr_o})
  `ASSERT_STREAM(ctl_req, 32, ctl_req_valid_o, ctl_req_ready_i, ctl_req_addr_o)
  `ASSERT_STREAM(mem, Mvus + 16, mem_valid_o, mem_ready_i, {mem_mvu_o, mem_addr_o})
  `ASSERT(answers_have_room, !push || unused_room)
  `ASSERT(answer_expected, !rsp_valid || sent_q)

endmodule : accelerator_axi_read
