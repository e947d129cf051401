// SPDX-License-Identifier: Apache-2.0
// Which hart issues, and from which pc: hold, wfi, wait for an answer and in flight are states of each hart.
//
// A hart issues when it is released, has nothing in the pipeline (it leaves in stage W) and waits for nothing. With Skip
// the next ready hart in circular order after the last one issues; without, each has its slot of max(Harts, 5).
// phase says what the slot is: 0 an instruction's first pass, 1 after its first answer (bus, divider), 2 after its second.
`include "assert.svh"

module controller_scheduler
  import controller_pkg::*;
#(
  parameter int Harts = DefaultHarts,
  parameter int Skip = DefaultSkip,
  parameter int HartWidth = Harts > 1 ? $clog2(Harts) : 1
) (
  input  logic                 clk_i,
  input  logic                 rst_ni,
  input  logic [    Harts-1:0] hold_i,
  // Leave the next slot free.
  input  logic                 yield_i,
  // Interrupts of each hart: pending and enabled in mie; and also in mstatus.
  input  logic [    Harts-1:0] wake_i,
  input  logic [    Harts-1:0] take_i,
  // Stage F
  output logic                 issue_o,
  output logic [HartWidth-1:0] hart_o,
  output logic [         31:0] pc_o,
  output logic [          1:0] phase_o,
  output logic                 interrupt_o,
  // Stage M: the slot's outcome; it waits for an answer, or its pc is written
  input  logic                 m_valid_i,
  input  logic [HartWidth-1:0] m_hart_i,
  input  logic                 m_park_i,
  input  logic [          1:0] m_phase_i,
  input  logic                 m_wfi_i,
  input  logic [         31:0] m_pc_i,
  input  logic                 answer_valid_i,
  input  logic [HartWidth-1:0] answer_hart_i,
  // Stage W: the slot leaves
  input  logic                 w_valid_i,
  input  logic [HartWidth-1:0] w_hart_i,
  // Host: a held hart that is idle starts anew; pc of any hart
  input  logic                 restart_i,
  input  logic [HartWidth-1:0] host_hart_i,
  input  logic [         31:0] restart_pc_i,
  output logic [         31:0] host_pc_o,
  output logic [    Harts-1:0] idle_o
);

  logic [Harts-1:0] flight_q, wfi_q, parked_q, ready, one_f, one_m, one_w, one_answer, one_restart;
  logic [Harts-1:0] unphased_q, phase2_q;
  logic [29:0] pc_q [Harts];
  logic any_ready, unused_pc;

  // A number may be unknown while its valid is low.
  assign one_f       = issue_o ? Harts'(1) << hart_o : '0;
  assign one_m       = m_valid_i ? Harts'(1) << m_hart_i : '0;
  assign one_w       = w_valid_i ? Harts'(1) << w_hart_i : '0;
  assign one_answer  = answer_valid_i ? Harts'(1) << answer_hart_i : '0;
  assign one_restart = restart_i ? Harts'(1) << host_hart_i : '0;

  assign ready  = ~(hold_i | flight_q | parked_q | (wfi_q & ~wake_i));
  assign idle_o = ~(flight_q | parked_q);

  if (Skip != 0) begin : gen_skip
    logic [HartWidth-1:0] last_q, chosen;
    logic [Harts-1:0] later_q;

    // later_q: the harts behind the last one, which go first.
    always_comb begin
      chosen = '0;
      for (int h = Harts - 1; h >= 0; h--) if (ready[h]) chosen = HartWidth'(h);
      for (int h = Harts - 1; h >= 0; h--) if (ready[h] && later_q[h]) chosen = HartWidth'(h);
    end

    always_ff @(posedge clk_i or negedge rst_ni) begin
      if (!rst_ni) begin
        last_q  <= HartWidth'(Harts - 1);
        later_q <= '0;
      end else if (issue_o) begin
        last_q  <= hart_o;
        later_q <= ~((one_f << 1) - 1'b1);
      end
    end

    assign any_ready = ready != '0;
    assign hart_o    = any_ready ? chosen : last_q;

    // Nobody who is ready stands between the last hart and the next one, in the order of their numbers.
    for (genvar h = 0; h < Harts; h++) begin : gen_turn
      `ASSERT(next_in_turn, !(issue_o && ready[h]) ||
              (6'(Harts) + 6'(hart_o) - 6'(last_q) - 6'd1) % 6'(Harts) <=
              (6'(Harts) + 6'(h) - 6'(last_q) - 6'd1) % 6'(Harts))
    end
  end else begin : gen_strict
    localparam int Slots = Harts > PipelineStages ? Harts : PipelineStages;
    logic [3:0] slot_q;

    always_ff @(posedge clk_i or negedge rst_ni) begin
      if (!rst_ni) slot_q <= '0;
      else slot_q <= slot_q == 4'(Slots - 1) ? '0 : slot_q + 4'd1;
    end

    assign hart_o    = {1'b0, slot_q} < 5'(Harts) ? slot_q[HartWidth-1:0] : '0;
    assign any_ready = {1'b0, slot_q} < 5'(Harts) && ready[hart_o];
  end

  assign issue_o     = any_ready && !yield_i;
  assign pc_o        = {pc_q[hart_o], 2'b00};
  assign phase_o     = unphased_q[hart_o] ? 2'd0 : phase2_q[hart_o] ? 2'd2 : 2'd1;
  assign interrupt_o = take_i[hart_o] && unphased_q[hart_o];
  assign host_pc_o   = {pc_q[host_hart_i], 2'b00};
  assign unused_pc   = ^{m_pc_i[1:0], restart_pc_i[1:0], m_phase_i[0]};

  // wfi ends with the first clock in which there is something to wake for, even if the hart cannot issue in it.
  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      flight_q   <= '0;
      wfi_q      <= '0;
      parked_q   <= '0;
      unphased_q <= '1;
      phase2_q   <= '0;
    end else begin
      flight_q   <= (flight_q & ~one_w) | one_f;
      wfi_q      <= ((wfi_q & ~wake_i) | (one_m & {Harts{m_wfi_i}})) & ~one_restart;
      parked_q   <= (parked_q & ~one_answer) | (one_m & {Harts{m_park_i}});
      unphased_q <= (unphased_q & ~(one_m & {Harts{m_park_i}})) | (one_m & {Harts{!m_park_i}}) | one_restart;
      phase2_q   <= (phase2_q & ~one_m) | (one_m & {Harts{m_phase_i[1]}});
    end
  end

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      for (int h = 0; h < Harts; h++) pc_q[h] <= ResetPc[31:2];
    end else begin
      if (m_valid_i && !m_park_i) pc_q[m_hart_i] <= m_pc_i[31:2];
      if (restart_i) pc_q[host_hart_i] <= restart_pc_i[31:2];
    end
  end

endmodule : controller_scheduler
