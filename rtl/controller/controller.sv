// SPDX-License-Identifier: Apache-2.0
// Barrel processor: Harts hardware threads of RV32I + Zicsr + Zifencei (+ M) in one pipeline. See docs/controller.md.
//
//   F  scheduler picks a hart, its pc goes to the instruction memory, an interrupt is decided
//   D  the word is decoded, its registers are read
//   X  result, address or target; branch decision
//   M  memory and CSR access, traps: everything but rd is committed at the end of this clock
//   W  rd is written, the retirement is shown
//
// A hart has one instruction in the pipeline, which moves every clock; nothing is forwarded and nothing stalls. What
// takes longer (MVU bus, division) leaves the pipeline in M without an effect and comes again when its answer is there.
`include "assert.svh"

module controller
  import controller_pkg::*;
  import controller_decode_pkg::*;
  import rvfi_pkg::*;
#(
  parameter int Harts = DefaultHarts,
  parameter int ImemWords = DefaultImemWords,
  parameter int DmemWords = DefaultDmemWords,
  parameter int Skip = DefaultSkip,
  parameter int MulDiv = DefaultMulDiv
) (
  input  logic             clk_i,
  input  logic             rst_ni,
  // Host
  input  logic             host_req_valid_i,
  output logic             host_req_ready_o,
  input  logic             host_req_write_i,
  input  logic [     31:0] host_req_addr_i,
  input  logic [     31:0] host_req_wdata_i,
  output logic             host_rsp_valid_o,
  input  logic             host_rsp_ready_i,
  output logic [     31:0] host_rsp_rdata_o,
  output logic             host_rsp_error_o,
  // Bus to the MVUs
  output logic             bus_req_valid_o,
  input  logic             bus_req_ready_i,
  output logic             bus_req_write_o,
  output logic [      3:0] bus_req_mvu_o,
  output logic [      7:0] bus_req_addr_o,
  output logic [     31:0] bus_req_wdata_o,
  output logic [      3:0] bus_req_hart_o,
  input  logic             bus_rsp_valid_i,
  output logic             bus_rsp_ready_o,
  input  logic [     31:0] bus_rsp_rdata_i,
  input  logic             bus_rsp_error_i,
  input  logic [      3:0] bus_rsp_hart_i,
  // Interrupts
  input  logic [Harts-1:0] mvu_irq_i,
  input  logic [Harts-1:0] ext_irq_i,
  // Retirements, in the names of riscv-formal
  output rvfi_t            rvfi_o
);

  localparam int HartWidth = Harts > 1 ? $clog2(Harts) : 1;

  // --- F: the scheduler's slot ---

  logic f_valid, f_interrupt;
  logic [HartWidth-1:0] f_hart;
  logic [31:0] f_pc;
  logic [1:0] f_phase;
  logic [4:0] f_number;
  logic [Harts-1:0] hold, idle, wake, take, msip, mtip;
  logic [63:0] mtime;
  logic slot_free;

  // --- D ---

  logic d_valid, d_interrupt, d_fault;
  logic [HartWidth-1:0] d_hart;
  logic [31:0] d_pc, d_insn, d_imm, fetched, parked_insn;
  logic [1:0] d_phase;
  logic [4:0] d_number;
  decoded_t d_decoded, decoded;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      d_valid     <= 1'b0;
      d_interrupt <= 1'b0;
      d_hart      <= '0;
      d_pc        <= ResetPc;
      d_phase     <= '0;
      d_number    <= '0;
    end else begin
      d_valid     <= f_valid;
      d_interrupt <= f_valid && f_interrupt;
      if (f_valid) begin
        d_hart   <= f_hart;
        d_pc     <= f_pc;
        d_phase  <= f_phase;
        d_number <= f_number;
      end
    end
  end

  assign d_insn = d_fault ? '0 : d_phase != 2'd0 ? parked_insn : fetched;

  controller_decode #(
    .MulDiv(MulDiv)
  ) u_decode (
    .insn_i   (d_insn),
    .decoded_o(decoded),
    .imm_o    (d_imm)
  );

  // A slot without an instruction decodes to nothing.
  assign d_decoded = d_valid && !d_interrupt && !d_fault ? decoded : '0;

  // --- X ---

  logic x_valid, x_interrupt, x_fault, x_taken;
  logic [HartWidth-1:0] x_hart;
  logic [31:0] x_pc, x_insn, x_imm, x_rs1, x_rs2, x_result, rs1_rdata, rs2_rdata;
  logic [1:0] x_phase;
  logic [4:0] x_number;
  decoded_t x_decoded;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      x_valid     <= 1'b0;
      x_interrupt <= 1'b0;
      x_fault     <= 1'b0;
      x_hart      <= '0;
      x_pc        <= '0;
      x_insn      <= '0;
      x_imm       <= '0;
      x_phase     <= '0;
      x_number    <= '0;
      x_decoded   <= '0;
    end else begin
      x_valid     <= d_valid;
      x_interrupt <= d_interrupt;
      x_fault     <= d_valid && !d_interrupt && d_fault;
      x_decoded   <= d_decoded;
      if (d_valid) begin
        x_hart   <= d_hart;
        x_pc     <= d_pc;
        x_insn   <= d_insn;
        x_imm    <= d_imm;
        x_phase  <= d_phase;
        x_number <= d_number;
      end
    end
  end

  assign x_rs1 = x_decoded.rs1 == '0 ? '0 : rs1_rdata;
  assign x_rs2 = x_decoded.rs2 == '0 ? '0 : rs2_rdata;

  controller_alu u_alu (
    .decoded_i(x_decoded),
    .funct3_i (x_insn[14:12]),
    .pc_i     (x_pc),
    .rs1_i    (x_rs1),
    .rs2_i    (x_rs2),
    .imm_i    (x_imm),
    .result_o (x_result),
    .taken_o  (x_taken)
  );

  // --- M ---

  logic m_valid, m_interrupt, m_fault, m_jump;
  logic [HartWidth-1:0] m_hart;
  logic [31:0] m_pc, m_insn, m_rs1, m_rs2, m_result;
  logic [1:0] m_phase;
  logic [4:0] m_number;
  decoded_t m_decoded;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      m_valid     <= 1'b0;
      m_interrupt <= 1'b0;
      m_fault     <= 1'b0;
      m_jump      <= 1'b0;
      m_hart      <= '0;
      m_pc        <= '0;
      m_insn      <= '0;
      m_rs1       <= '0;
      m_rs2       <= '0;
      m_result    <= '0;
      m_phase     <= '0;
      m_number    <= '0;
      m_decoded   <= '0;
    end else begin
      m_valid     <= x_valid;
      m_interrupt <= x_interrupt;
      m_fault     <= x_fault;
      m_decoded   <= x_decoded;
      m_jump      <= x_decoded.jal || x_decoded.jalr || x_taken;
      if (x_valid) begin
        m_hart   <= x_hart;
        m_pc     <= x_pc;
        m_insn   <= x_insn;
        m_rs1    <= x_rs1;
        m_rs2    <= x_rs2;
        m_result <= x_result;
        m_phase  <= x_phase;
        m_number <= x_number;
      end
    end
  end

  logic m_access, m_misaligned, m_memory_fault, m_mvu_word;
  logic m_csr_legal, m_csr_mvu, m_csr_reads, m_csr_writes, m_bus, m_bus_more, m_bus_write, m_park, m_answer_error;
  logic m_illegal, m_trap, m_retire;
  logic [4:0] m_cause;
  logic [31:0] m_trap_value, m_pc_next, m_sequential, m_handler, m_mepc, m_mcause, m_answer;
  logic [31:0] m_csr_own, m_csr_old, m_csr_operand, m_csr_new, m_bus_wdata, m_value;

  assign m_access = m_decoded.load || m_decoded.store;

  // CSRs. 0x7c0 to 0x7ff and 0xbc0 to 0xbff are registers 0 to 127 of the hart's MVU.
  assign m_csr_mvu     = m_decoded.csr && (m_insn[31:26] == CsrMvu[11:6] || m_insn[31:26] == CsrMvuHigh[11:6]);
  assign m_csr_reads   = m_insn[13] || m_insn[11:7] != '0;
  assign m_csr_writes  = !m_insn[13] || m_insn[19:15] != '0;
  assign m_csr_operand = m_insn[14] ? {27'b0, m_insn[19:15]} : m_rs1;
  assign m_csr_old     = m_csr_mvu ? m_answer : m_csr_own;

  always_comb begin
    case (m_insn[13:12])
      2'd2:    m_csr_new = m_csr_old | m_csr_operand;
      2'd3:    m_csr_new = m_csr_old & ~m_csr_operand;
      default: m_csr_new = m_csr_operand;
    endcase
  end

  // What waits: an access of the bus, of which one that reads and writes a CSR has a second, and a division.
  assign m_bus       = m_csr_mvu || (m_access && m_mvu_word && !m_misaligned);
  assign m_bus_more  = m_bus && (m_phase == 2'd0 ||
      (m_phase == 2'd1 && m_csr_mvu && m_csr_reads && m_csr_writes && !m_answer_error));
  assign m_bus_write = m_csr_mvu ? m_phase != 2'd0 || !m_csr_reads : m_decoded.store;
  // A read carries 0.
  assign m_bus_wdata = !m_bus_write ? '0 : m_csr_mvu ? m_csr_new : m_rs2;
  assign m_park      = m_bus_more || (m_decoded.divide && m_phase == 2'd0);

  // Traps. Of several reasons the first one counts; those of one instruction that can meet are in this order.
  assign m_illegal = m_decoded.illegal || (m_decoded.csr && (m_csr_mvu ? m_answer_error : !m_csr_legal));

  always_comb begin
    m_trap       = 1'b1;
    m_cause      = '0;
    m_trap_value = '0;
    if (m_fault) begin
      m_cause      = CauseFetchFault;
      m_trap_value = m_pc;
    end else if (m_illegal) begin
      m_cause      = CauseIllegal;
      m_trap_value = m_insn;
    end else if (m_decoded.ebreak) begin
      m_cause      = CauseBreakpoint;
      m_trap_value = m_pc;
    end else if (m_decoded.ecall) begin
      m_cause = CauseEcall;
    end else if (m_jump && m_result[1]) begin
      m_cause      = CauseFetchMisaligned;
      m_trap_value = m_result;
    end else if (m_access && m_misaligned) begin
      m_cause      = m_decoded.store ? CauseStoreMisaligned : CauseLoadMisaligned;
      m_trap_value = m_result;
    end else if (m_access && (m_memory_fault || (m_mvu_word && m_answer_error))) begin
      m_cause      = m_decoded.store ? CauseStoreFault : CauseLoadFault;
      m_trap_value = m_result;
    end else begin
      m_trap = 1'b0;
    end
    // The answer's error is the last access's, and an interrupt has no instruction.
    if (!m_valid || m_park || m_interrupt) m_trap = 1'b0;
  end

  assign m_retire     = m_valid && !m_park && !m_interrupt && !m_trap;
  assign m_sequential = m_pc + 32'd4;

  always_comb begin
    m_pc_next = m_sequential;
    if (m_trap || m_interrupt) m_pc_next = m_handler;
    else if (m_decoded.mret) m_pc_next = m_mepc;
    else if (m_jump) m_pc_next = m_result;
  end

  always_comb begin
    m_value = m_result;
    if (m_decoded.csr) m_value = m_csr_old;
    else if (m_decoded.jal || m_decoded.jalr) m_value = m_sequential;
    else if (m_decoded.divide || m_mvu_word) m_value = m_answer;
  end

  // --- W and around ---

  logic w_valid, w_we, host_access, host_done, host_error, restart, clear, yield, rf_we;
  logic [HartWidth-1:0] w_hart, host_hart, answer_hart, rf_hart;
  logic [4:0] w_rd, clear_register, rf_rd;
  logic [31:0] w_wdata, memory_rdata, host_pc, retired, clocks, rf_wdata;
  logic answer_valid, divider_valid, divider_ready;
  logic [HartWidth-1:0] divider_hart;
  logic [31:0] divider_result;

  controller_scheduler #(
    .Harts(Harts),
    .Skip (Skip)
  ) u_scheduler (
    .clk_i,
    .rst_ni,
    .hold_i        (hold),
    .yield_i       (yield),
    .wake_i        (wake),
    .take_i        (take),
    .issue_o       (f_valid),
    .hart_o        (f_hart),
    .pc_o          (f_pc),
    .phase_o       (f_phase),
    .interrupt_o   (f_interrupt),
    .m_valid_i     (m_valid),
    .m_hart_i      (m_hart),
    .m_park_i      (m_park),
    .m_phase_i     (m_phase + 2'd1),
    .m_wfi_i       (m_retire && m_decoded.wfi),
    .m_pc_i        (m_pc_next),
    .answer_valid_i(answer_valid),
    .answer_hart_i (answer_hart),
    .w_valid_i     (w_valid),
    .w_hart_i      (w_hart),
    .restart_i     (restart),
    .host_hart_i   (host_hart),
    .restart_pc_i  (host_req_wdata_i),
    .host_pc_o     (host_pc),
    .idle_o        (idle)
  );

  controller_memory #(
    .Harts    (Harts),
    .ImemWords(ImemWords),
    .DmemWords(DmemWords)
  ) u_memory (
    .clk_i,
    .rst_ni,
    .fetch_i      (f_valid),
    .fetch_pc_i   (f_pc),
    .fetch_rdata_o(fetched),
    .fault_pc_i   (d_pc),
    .fetch_fault_o(d_fault),
    .access_i     (m_access),
    .write_i      (m_decoded.store),
    .size_i       (m_insn[13:12]),
    .addr_i       (m_result),
    .wdata_i      (m_rs2),
    .misaligned_o (m_misaligned),
    .fault_o      (m_memory_fault),
    .mvu_o        (m_mvu_word),
    .host_access_i(host_access),
    .host_write_i (host_req_write_i),
    .host_addr_i  (host_req_addr_i),
    .host_wdata_i (host_req_wdata_i),
    .host_done_o  (host_done),
    .host_error_o (host_error),
    .rdata_o      (memory_rdata),
    .mtime_o      (mtime),
    .msip_o       (msip),
    .mtip_o       (mtip)
  );

  controller_csr #(
    .Harts (Harts),
    .MulDiv(MulDiv)
  ) u_csr (
    .clk_i,
    .rst_ni,
    .msip_i          (msip),
    .mtip_i          (mtip),
    .ext_irq_i,
    .mvu_irq_i,
    .mtime_i         (mtime),
    .wake_o          (wake),
    .take_o          (take),
    .irq_hart_i      (f_hart),
    .irq_number_o    (f_number),
    .hart_i          (m_hart),
    .addr_i          (m_insn[31:20]),
    .writes_i        (m_csr_writes),
    .legal_o         (m_csr_legal),
    .rdata_o         (m_csr_own),
    .we_i            (m_retire && m_decoded.csr && m_csr_writes),
    .wdata_i         (m_csr_new),
    .retire_i        (m_retire),
    .mret_i          (m_retire && m_decoded.mret),
    .trap_i          (m_trap || m_interrupt),
    .trap_interrupt_i(m_interrupt),
    .trap_cause_i    (m_interrupt ? m_number : m_cause),
    .trap_value_i    (m_interrupt ? 32'b0 : m_trap_value),
    .pc_i            (m_pc),
    .handler_o       (m_handler),
    .mepc_o          (m_mepc),
    .mcause_o        (m_mcause),
    .restart_i       (restart),
    .restart_hart_i  (host_hart),
    .clocks_o        (clocks)
  );

  controller_bus #(
    .Harts(Harts)
  ) u_bus (
    .clk_i,
    .rst_ni,
    .park_i          (m_park),
    .request_i       (m_bus_more),
    .hart_i          (m_hart),
    .insn_i          (m_insn),
    .write_i         (m_bus_write),
    .mvu_i           (m_csr_mvu ? 4'(m_hart) : m_result[13:10]),
    .addr_i          (m_csr_mvu ? {1'b0, m_insn[31], m_insn[25:20]} : m_result[9:2]),
    .wdata_i         (m_bus_wdata),
    .keep_i          (m_phase != 2'd0),
    .rdata_o         (m_answer),
    .error_o         (m_answer_error),
    .insn_hart_i     (d_hart),
    .insn_o          (parked_insn),
    .answer_valid_o  (answer_valid),
    .answer_hart_o   (answer_hart),
    .divider_valid_i (divider_valid),
    .divider_ready_o (divider_ready),
    .divider_hart_i  (divider_hart),
    .divider_result_i(divider_result),
    .bus_req_valid_o,
    .bus_req_ready_i,
    .bus_req_write_o,
    .bus_req_mvu_o,
    .bus_req_addr_o,
    .bus_req_wdata_o,
    .bus_req_hart_o,
    .bus_rsp_valid_i,
    .bus_rsp_ready_o,
    .bus_rsp_rdata_i,
    .bus_rsp_error_i,
    .bus_rsp_hart_i
  );

  if (MulDiv != 0) begin : gen_divider
    controller_divider #(
      .Harts(Harts)
    ) u_divider (
      .clk_i,
      .rst_ni,
      .request_i (m_decoded.divide && m_phase == 2'd0),
      .hart_i    (m_hart),
      .funct_i   (m_insn[13:12]),
      .dividend_i(m_rs1),
      .divisor_i (m_rs2),
      .valid_o   (divider_valid),
      .ready_i   (divider_ready),
      .hart_o    (divider_hart),
      .result_o  (divider_result)
    );
  end else begin : gen_no_divider
    logic unused_ready;
    assign divider_valid  = 1'b0;
    assign divider_hart   = '0;
    assign divider_result = '0;
    assign unused_ready   = divider_ready;
  end

  controller_host #(
    .Harts(Harts)
  ) u_host (
    .clk_i,
    .rst_ni,
    .req_valid_i     (host_req_valid_i),
    .req_ready_o     (host_req_ready_o),
    .req_write_i     (host_req_write_i),
    .req_addr_i      (host_req_addr_i),
    .req_wdata_i     (host_req_wdata_i),
    .rsp_valid_o     (host_rsp_valid_o),
    .rsp_ready_i     (host_rsp_ready_i),
    .rsp_rdata_o     (host_rsp_rdata_o),
    .rsp_error_o     (host_rsp_error_o),
    .access_o        (host_access),
    .done_i          (host_done),
    .error_i         (host_error),
    .rdata_i         (memory_rdata),
    .hold_o          (hold),
    .idle_i          (idle),
    .hart_o          (host_hart),
    .restart_o       (restart),
    .pc_i            (host_pc),
    .retired_i       (retired),
    .clocks_i        (clocks),
    .clear_o         (clear),
    .clear_register_o(clear_register),
    .clear_done_i    (slot_free),
    .yield_o         (yield)
  );

  controller_retire #(
    .Harts (Harts),
    .MulDiv(MulDiv)
  ) u_retire (
    .clk_i,
    .rst_ni,
    .valid_i       (m_valid),
    .hart_i        (m_hart),
    .interrupt_i   (m_interrupt),
    .retire_i      (m_retire),
    .trap_i        (m_trap),
    .cause_i       (m_cause),
    .mcause_i      (m_mcause),
    .illegal_i     (m_illegal),
    .insn_i        (m_insn),
    .decoded_i     (m_decoded),
    .rs1_i         (m_rs1),
    .rs2_i         (m_rs2),
    .pc_i          (m_pc),
    .pc_next_i     (m_pc_next),
    .addr_i        (m_result),
    .value_i       (m_value),
    .mvu_i         (m_mvu_word),
    .csr_i         (m_decoded.csr && m_csr_reads ? m_csr_old : 32'b0),
    .w_valid_o     (w_valid),
    .w_hart_o      (w_hart),
    .rdata_i       (memory_rdata),
    .we_o          (w_we),
    .rd_o          (w_rd),
    .wdata_o       (w_wdata),
    .restart_i     (restart),
    .restart_hart_i(host_hart),
    .retired_o     (retired),
    .rvfi_o
  );

  // The host clears a hart's registers in slots of W that write nothing.
  assign slot_free = !w_we;
  assign rf_we     = w_we || clear;
  assign rf_hart   = w_we ? w_hart : host_hart;
  assign rf_rd     = w_we ? w_rd : clear_register;
  assign rf_wdata  = w_we ? w_wdata : '0;

  controller_regfile #(
    .Harts(Harts)
  ) u_regfile (
    .clk_i,
    .rhart_i    (d_hart),
    .rs1_i      (d_decoded.rs1),
    .rs2_i      (d_decoded.rs2),
    .rs1_rdata_o(rs1_rdata),
    .rs2_rdata_o(rs2_rdata),
    .we_i       (rf_we),
    .whart_i    (rf_hart),
    .rd_i       (rf_rd),
    .wdata_i    (rf_wdata)
  );

  `include "controller_parameters.svh"
  `ASSERT(one_in_flight, !(d_valid && x_valid && d_hart == x_hart) && !(x_valid && m_valid && x_hart == m_hart) &&
      !(m_valid && w_valid && m_hart == w_hart))

endmodule : controller
