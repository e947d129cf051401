// SPDX-License-Identifier: Apache-2.0
// What the controller promises: each record of RVFI is right by itself (controller_record), and with State also after
// all records and events before it. The architecture state of one hart, which the solver marks, is followed here as
// docs/controller.md defines it, from records, interrupts and the host's writes alone; since the hart, its register and
// the word of the memories may be any, what holds for them holds for all.
//
// A record comes in the clock after its instruction was in M. So the state here is that of the clock before (`_q`), and
// with the events of that clock it is the present one (`_d`).
`include "assert.svh"

module controller_proof
  import controller_pkg::*;
  import controller_decode_pkg::*;
  import controller_instruction_pkg::*;
  import rvfi_pkg::*;
#(
  parameter int Harts = 2,
  parameter int ImemWords = 256,
  parameter int DmemWords = 256,
  parameter int Skip = 1,
  parameter int MulDiv = 0,
  // Prove what records say of each other, too
  parameter int State = 0
) (
  input logic             clk_i,
  input logic             rst_ni,
  input logic             host_req_valid_i,
  input logic             host_req_write_i,
  input logic [     31:0] host_req_addr_i,
  input logic [     31:0] host_req_wdata_i,
  input logic             host_rsp_ready_i,
  input logic             bus_req_ready_i,
  input logic             bus_rsp_valid_i,
  input logic [     31:0] bus_rsp_rdata_i,
  input logic             bus_rsp_error_i,
  input logic [      3:0] bus_rsp_hart_i,
  input logic [Harts-1:0] mvu_irq_i,
  input logic [Harts-1:0] ext_irq_i,
  // What is looked at, chosen by the solver: a hart, one of its registers, a word of the memories
  input logic [      3:0] mark_hart_i,
  input logic [      4:0] mark_register_i,
  input logic [     29:0] mark_word_i
);

  localparam int HartWidth = Harts > 1 ? $clog2(Harts) : 1;

  rvfi_t rvfi;
  logic host_req_ready;

  controller #(
    .Harts    (Harts),
    .ImemWords(ImemWords),
    .DmemWords(DmemWords),
    .Skip     (Skip),
    .MulDiv   (MulDiv)
  ) u_dut (
    .clk_i,
    .rst_ni,
    .host_req_valid_i,
    .host_req_ready_o(host_req_ready),
    .host_req_write_i,
    .host_req_addr_i,
    .host_req_wdata_i,
    .host_rsp_valid_o(),
    .host_rsp_ready_i,
    .host_rsp_rdata_o(),
    .host_rsp_error_o(),
    .bus_req_valid_o(),
    .bus_req_ready_i,
    .bus_req_write_o(),
    .bus_req_mvu_o(),
    .bus_req_addr_o(),
    .bus_req_wdata_o(),
    .bus_req_hart_o(),
    .bus_rsp_valid_i,
    .bus_rsp_ready_o(),
    .bus_rsp_rdata_i,
    .bus_rsp_error_i,
    .bus_rsp_hart_i,
    .mvu_irq_i,
    .ext_irq_i,
    .rvfi_o(rvfi)
  );

  // Whether the last answer of the bus to a hart was an error.
  logic [Harts-1:0] error_q, error_in_m_q;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      error_q      <= '0;
      error_in_m_q <= '0;
    end else begin
      error_in_m_q <= error_q;
      if (bus_rsp_valid_i) error_q[bus_rsp_hart_i[HartWidth-1:0]] <= bus_rsp_error_i;
    end
  end

  `ASSERT(errors_kept, u_dut.u_bus.error_q == error_q)

  instruction_t insn;
  logic trap;
  logic [31:0] cause, value;

  controller_record #(
    .Harts    (Harts),
    .ImemWords(ImemWords),
    .DmemWords(DmemWords),
    .MulDiv   (MulDiv)
  ) u_record (
    .clk_i,
    .rst_ni,
    .rvfi_i     (rvfi),
    .error_i    (error_in_m_q[rvfi.hart[HartWidth-1:0]]),
    .product_i  ('0),
    .quotient_i ('0),
    .remainder_i('0),
    .insn_o     (insn),
    .trap_o     (trap),
    .cause_o    (cause),
    .value_o    (value)
  );

  if (State != 0) begin : gen_state
    logic [HartWidth-1:0] marked;
    logic [3:0] mark_hart_q;
    logic [4:0] mark_register_q;
    logic [29:0] mark_word_q;

    assign marked = mark_hart_i[HartWidth-1:0];

    always_ff @(posedge clk_i) begin
      mark_hart_q     <= mark_hart_i;
      mark_register_q <= mark_register_i;
      mark_word_q     <= mark_word_i;
    end

    `ASSERT(mark_stays, mark_hart_i == mark_hart_q && mark_register_i == mark_register_q &&
            mark_word_i == mark_word_q && int'(mark_hart_i) < Harts && mark_register_i != '0 &&
            {mark_word_i, 2'b00} - ImemBase < 32'(4 * (ImemWords + DmemWords)))
    `ASSERT_STREAM(host_req, 65, host_req_valid_i, host_req_ready, {host_req_write_i, host_req_addr_i, host_req_wdata_i})

    // --- events of the clock before, that of M ---

    logic host_write, hold_write, restart;
    logic host_write_q, restart_q, entry_q;
    logic [31:0] host_addr_q, host_wdata_q;
    logic [Harts-1:0] hold_q, irq_q, ext_q;
    logic record, done;

    assign host_write = host_req_valid_i && host_req_ready && host_req_write_i && host_req_addr_i[1:0] == 2'd0;
    assign hold_write = host_write && host_req_addr_i == HostBase + 32'(HostHold);
    assign restart    = host_write && host_req_addr_i == HostBase + 32'(HostPc) + {26'b0, mark_hart_i, 2'b00} &&
        hold_q[marked];

    always_ff @(posedge clk_i or negedge rst_ni) begin
      if (!rst_ni) begin
        host_write_q <= 1'b0;
        restart_q    <= 1'b0;
        entry_q      <= 1'b0;
        hold_q       <= '1;
        irq_q        <= '0;
        ext_q        <= '0;
        host_addr_q  <= '0;
        host_wdata_q <= '0;
      end else begin
        // A write to the host's own registers shares its clock with an access of M; another one does not.
        host_write_q <= host_write && host_req_addr_i[31:8] != HostBase[31:8];
        restart_q    <= restart;
        // The slot of an interrupt, which leaves no record
        entry_q      <= u_dut.m_valid && u_dut.m_interrupt && u_dut.m_hart == marked;
        if (hold_write) hold_q <= host_req_wdata_i[Harts-1:0];
        irq_q        <= mvu_irq_i;
        ext_q        <= ext_irq_i;
        host_addr_q  <= host_req_addr_i;
        host_wdata_q <= host_req_wdata_i;
      end
    end

    assign record = rvfi.valid && rvfi.hart == mark_hart_i;
    assign done   = record && !trap;

    // --- memories and timer, of all harts ---

    logic store;
    logic [31:0] store_addr, store_wdata, word_d, word_q;
    logic [3:0] store_lanes;
    logic word_known_d, word_known_q, in_word;
    logic [63:0] mtime_d, mtime_q;
    logic [Harts-1:0] msip_d, msip_q;
    logic [63:0] mtimecmp_d [Harts];
    logic [63:0] mtimecmp_q [Harts];

    // One store a clock: of a record, or of the host.
    assign store       = host_write_q || (rvfi.valid && rvfi.mem_wmask != '0);
    assign store_addr  = host_write_q ? host_addr_q : rvfi.mem_addr;
    assign store_wdata = (host_write_q ? host_wdata_q : rvfi.mem_wdata) << {store_addr[1:0], 3'b000};
    assign store_lanes = (host_write_q ? 4'hf : rvfi.mem_wmask) << store_addr[1:0];
    assign in_word     = store && store_addr[31:2] == mark_word_i;

    always_comb begin
      word_d       = word_q;
      word_known_d = word_known_q || (in_word && store_lanes == 4'hf);
      for (int i = 0; i < 4; i++) begin
        if (in_word && store_lanes[i]) word_d[8*i+:8] = store_wdata[8*i+:8];
      end
      mtime_d = mtime_q + 64'd1;
      if (store && store_addr == MtimeBase) mtime_d = {mtime_q[63:32], store_wdata};
      if (store && store_addr == MtimeBase + 32'd4) mtime_d = {store_wdata, mtime_q[31:0]};
      msip_d     = msip_q;
      mtimecmp_d = mtimecmp_q;
      for (int h = 0; h < Harts; h++) begin
        if (store && store_addr == MsipBase + 32'(4 * h)) msip_d[h] = store_wdata[0];
        if (store && store_addr == MtimecmpBase + 32'(8 * h)) mtimecmp_d[h][31:0] = store_wdata;
        if (store && store_addr == MtimecmpBase + 32'(8 * h + 4)) mtimecmp_d[h][63:32] = store_wdata;
      end
    end

    always_ff @(posedge clk_i or negedge rst_ni) begin
      if (!rst_ni) begin
        word_known_q <= 1'b0;
        word_q       <= '0;
        mtime_q      <= '1;
        msip_q       <= '0;
        for (int h = 0; h < Harts; h++) mtimecmp_q[h] <= '1;
      end else begin
        word_known_q <= word_known_d;
        word_q       <= word_d;
        mtime_q      <= mtime_d;
        msip_q       <= msip_d;
        mtimecmp_q   <= mtimecmp_d;
      end
    end

    // What a load of a device gives, or of the marked word.
    logic [31:0] device;
    logic is_device;

    always_comb begin
      device    = '0;
      is_device = 1'b0;
      for (int h = 0; h < Harts; h++) begin
        if (rvfi.mem_addr == MsipBase + 32'(4 * h)) {is_device, device} = {1'b1, 31'b0, msip_q[h]};
        if (rvfi.mem_addr == MtimecmpBase + 32'(8 * h)) {is_device, device} = {1'b1, mtimecmp_q[h][31:0]};
        if (rvfi.mem_addr == MtimecmpBase + 32'(8 * h + 4)) {is_device, device} = {1'b1, mtimecmp_q[h][63:32]};
      end
      if (rvfi.mem_addr == MtimeBase) {is_device, device} = {1'b1, mtime_q[31:0]};
      if (rvfi.mem_addr == MtimeBase + 32'd4) {is_device, device} = {1'b1, mtime_q[63:32]};
    end

    logic [31:0] load_bytes;
    assign load_bytes = {{8{rvfi.mem_rmask[3]}}, {8{rvfi.mem_rmask[2]}}, {8{rvfi.mem_rmask[1]}}, {8{rvfi.mem_rmask[0]}}};

    `ASSERT(load_gives_last_store, !(rvfi.valid && rvfi.mem_rmask != '0 && rvfi.mem_addr[31:2] == mark_word_i &&
            word_known_q) || rvfi.mem_rdata == ((word_q >> {rvfi.mem_addr[1:0], 3'b000}) & load_bytes))
    `ASSERT(device_as_defined, !(rvfi.valid && rvfi.mem_rmask != '0 && is_device) || rvfi.mem_rdata == device)

    // --- the marked hart ---

    typedef struct packed {
      logic [31:0] pc;
      logic        intr;
      logic        wfi;
      logic [31:0] mstatus;
      logic [31:0] mie;
      logic [31:0] mtvec;
      logic [31:0] mcountinhibit;
      logic [31:0] mscratch;
      logic [31:0] mepc;
      logic [31:0] mcause;
      logic [31:0] mtval;
      logic        pending;
      logic [63:0] mcycle;
      logic [63:0] minstret;
    } state_t;

    state_t s_q, s_d, s_reset;
    logic [31:0] mip_q, mip_d, csr, handler, number_q;
    logic due, due_q, number_known;
    logic [31:0] number;

    always_comb begin
      s_reset         = '0;
      s_reset.mstatus = ResetMstatus;
    end

    // Pending interrupts: when the record's instruction was in M, and now.
    always_comb begin
      mip_q              = '0;
      mip_q[IrqSoftware] = msip_q[marked];
      mip_q[IrqTimer]    = mtime_q >= mtimecmp_q[marked];
      mip_q[IrqExternal] = ext_q[marked];
      mip_q[IrqMvu]      = s_q.pending;
      mip_d              = '0;
      mip_d[IrqSoftware] = msip_d[marked];
      mip_d[IrqTimer]    = mtime_d >= mtimecmp_d[marked];
      mip_d[IrqExternal] = ext_irq_i[marked];
      mip_d[IrqMvu]      = s_d.pending;
    end

    // What the CSR of the record holds.
    always_comb begin
      case (rvfi.insn[31:20])
        CsrMstatus:                csr = s_q.mstatus;
        CsrMisa:                   csr = ResetMisa | (MulDiv != 0 ? MisaM : '0);
        CsrMie:                    csr = s_q.mie;
        CsrMtvec:                  csr = s_q.mtvec;
        CsrMcountinhibit:          csr = s_q.mcountinhibit;
        CsrMscratch:               csr = s_q.mscratch;
        CsrMepc:                   csr = s_q.mepc;
        CsrMcause:                 csr = s_q.mcause;
        CsrMtval:                  csr = s_q.mtval;
        CsrMip:                    csr = mip_q;
        CsrMcycle, CsrCycle:       csr = s_q.mcycle[31:0];
        CsrMcycleh, CsrCycleh:     csr = s_q.mcycle[63:32];
        CsrMinstret, CsrInstret:   csr = s_q.minstret[31:0];
        CsrMinstreth, CsrInstreth: csr = s_q.minstret[63:32];
        CsrTime:                   csr = mtime_q[31:0];
        CsrTimeh:                  csr = mtime_q[63:32];
        CsrMimpid:                 csr = ResetMimpid;
        CsrMhartid:                csr = 32'(mark_hart_i);
        default:                   csr = '0;
      endcase
    end

    // mcause of an interrupt has bit 31. Vectored mode is for interrupts only.
    assign handler = {s_q.mtvec[31:2], 2'b00} + (s_q.mtvec[0] && entry_q ? {number_q[29:0], 2'b00} : '0);

    always_comb begin
      s_d = s_q;
      if (!s_q.mcountinhibit[0]) s_d.mcycle = s_q.mcycle + 64'd1;
      if ((s_q.mie & mip_q) != '0) s_d.wfi = 1'b0;
      if (entry_q || (record && trap)) begin
        s_d.mepc                 = entry_q ? s_q.pc : rvfi.pc_rdata;
        s_d.mcause               = entry_q ? 32'h8000_0000 | number_q : cause;
        s_d.mtval                = entry_q ? '0 : value;
        s_d.mstatus[MstatusMpie] = s_q.mstatus[MstatusMie];
        s_d.mstatus[MstatusMie]  = 1'b0;
        s_d.pc                   = handler;
      end
      if (entry_q) s_d.intr = 1'b1;
      else if (record) s_d.intr = 1'b0;
      if (done) begin
        s_d.pc  = insn.mret ? s_q.mepc : rvfi.pc_wdata;
        s_d.wfi = insn.wfi;
        if (!s_q.mcountinhibit[2]) s_d.minstret = s_q.minstret + 64'd1;
        if (insn.mret) begin
          s_d.mstatus[MstatusMie]  = s_q.mstatus[MstatusMpie];
          s_d.mstatus[MstatusMpie] = 1'b1;
        end
        if (insn.csr && insn.csr_writes) begin
          case (rvfi.insn[31:20])
            CsrMstatus:       s_d.mstatus = (s_q.mstatus & ~MaskMstatus) | (insn.csr_new & MaskMstatus);
            CsrMie:           s_d.mie = insn.csr_new & MaskMie;
            CsrMtvec:         s_d.mtvec = insn.csr_new & MaskMtvec;
            CsrMcountinhibit: s_d.mcountinhibit = insn.csr_new & MaskMcountinhibit;
            CsrMscratch:      s_d.mscratch = insn.csr_new & MaskMscratch;
            CsrMepc:          s_d.mepc = insn.csr_new & MaskMepc;
            CsrMcause:        s_d.mcause = insn.csr_new & MaskMcause;
            CsrMtval:         s_d.mtval = insn.csr_new & MaskMtval;
            CsrMip:           s_d.pending = insn.csr_new[IrqMvu];
            CsrMcycle:        s_d.mcycle = {s_q.mcycle[63:32], insn.csr_new};
            CsrMcycleh:       s_d.mcycle = {insn.csr_new, s_q.mcycle[31:0]};
            CsrMinstret:      s_d.minstret = {s_q.minstret[63:32], insn.csr_new};
            CsrMinstreth:     s_d.minstret = {insn.csr_new, s_q.minstret[31:0]};
            default: ;
          endcase
        end
      end
      if (restart_q) begin
        s_d    = s_reset;
        s_d.pc = {host_wdata_q[31:2], 2'b00};
      end
      if (irq_q[marked]) s_d.pending = 1'b1;
    end

    always_ff @(posedge clk_i or negedge rst_ni) begin
      if (!rst_ni) begin
        s_q        <= s_reset;
        s_q.pc     <= ResetPc;
        // The first clock is the first that counts.
        s_q.mcycle <= '1;
      end else begin
        s_q <= s_d;
      end
    end

    // Which interrupt is due where the hart issues an instruction, and takes it.
    logic issues, begins;
    assign issues = u_dut.f_valid && u_dut.f_hart == marked;
    assign begins = issues && u_dut.f_phase == 2'd0;
    assign due    = s_d.mstatus[MstatusMie] && (s_d.mie & mip_d) != '0;

    always_comb begin
      number = 32'(IrqMvu);
      if (s_d.mie[IrqTimer] && mip_d[IrqTimer]) number = 32'(IrqTimer);
      if (s_d.mie[IrqSoftware] && mip_d[IrqSoftware]) number = 32'(IrqSoftware);
      if (s_d.mie[IrqExternal] && mip_d[IrqExternal]) number = 32'(IrqExternal);
    end

    // Instruction that the marked word holds where it is fetched.
    logic fetched, fetched_known_q;
    logic [31:0] fetched_q;
    assign fetched = u_dut.d_valid && u_dut.d_hart == marked && u_dut.d_phase == 2'd0;

    always_ff @(posedge clk_i or negedge rst_ni) begin
      if (!rst_ni) begin
        due_q           <= 1'b0;
        number_q        <= '0;
        fetched_known_q <= 1'b0;
        fetched_q       <= '0;
      end else begin
        if (begins) begin
          due_q    <= due;
          number_q <= number;
        end
        if (fetched) begin
          fetched_known_q <= word_known_q && u_dut.d_pc[31:2] == mark_word_i &&
              u_dut.d_pc - ImemBase < 32'(4 * ImemWords);
          fetched_q       <= word_q;
        end
      end
    end

    // The marked register.
    logic register_known_q;
    logic [31:0] register_q;

    always_ff @(posedge clk_i or negedge rst_ni) begin
      if (!rst_ni) begin
        register_known_q <= 1'b0;
        register_q       <= '0;
      end else if (restart_q || (record && rvfi.rd_addr == mark_register_i)) begin
        register_known_q <= 1'b1;
        register_q       <= restart_q ? '0 : rvfi.rd_wdata;
      end
    end

    logic [63:0] order_q;
    always_ff @(posedge clk_i or negedge rst_ni) begin
      if (!rst_ni) order_q <= '0;
      else if (record) order_q <= order_q + 64'd1;
    end

    `ASSERT(register_gives_last_write, !(record && register_known_q) ||
            ((rvfi.rs1_addr != mark_register_i || rvfi.rs1_rdata == register_q) &&
            (rvfi.rs2_addr != mark_register_i || rvfi.rs2_rdata == register_q)))
    `ASSERT(pc_follows, !record || (rvfi.pc_rdata == s_q.pc && rvfi.pc_wdata == s_d.pc))
    `ASSERT(interrupt_is_shown, !record || (rvfi.intr == s_q.intr && (!rvfi.intr || rvfi.cause == s_q.mcause)))
    `ASSERT(csr_as_defined, !(done && insn.csr && insn.csr_reads && !insn.csr_mvu) || rvfi.csr == csr)
    `ASSERT(word_is_what_memory_holds, !(record && fetched_known_q) || rvfi.insn == fetched_q)
    `ASSERT(order_counts, !record || rvfi.order == order_q)
    `ASSERT(interrupt_when_due, !(u_dut.m_valid && u_dut.m_hart == marked && u_dut.m_phase == 2'd0) ||
            (u_dut.m_interrupt == due_q && (!due_q || 32'(u_dut.m_number) == number_q)))
    `ASSERT(issues_only_if_free, !issues || (!hold_q[marked] && !(s_d.wfi && (s_d.mie & mip_d) == '0)))

    // --- what the induction needs to know of the inside ---

    logic [Harts-1:0] in_d, in_x, in_m, in_w, in_flight;
    assign in_d      = u_dut.d_valid ? Harts'(1) << u_dut.d_hart : '0;
    assign in_x      = u_dut.x_valid ? Harts'(1) << u_dut.x_hart : '0;
    assign in_m      = u_dut.m_valid ? Harts'(1) << u_dut.m_hart : '0;
    assign in_w      = u_dut.w_valid ? Harts'(1) << u_dut.w_hart : '0;
    assign in_flight = in_d | in_x | in_m | in_w;

    `ASSERT(flight_is_one_slot, u_dut.u_scheduler.flight_q == in_flight && (in_d & (in_x | in_m | in_w)) == '0 &&
            (in_x & (in_m | in_w)) == '0 && (in_m & in_w) == '0)
    `ASSERT(parked_is_out, (u_dut.u_scheduler.parked_q & (in_d | in_x | in_m | u_dut.u_scheduler.unphased_q)) == '0)
    `ASSERT(waits_is_parked, (u_dut.u_bus.waits_q & ~u_dut.u_scheduler.parked_q) == '0)
    `ASSERT(record_has_slot, (!rvfi.valid || u_dut.w_valid) && (!entry_q || (in_w[marked] && !rvfi.valid)))
    `ASSERT(restart_is_idle, !restart_q || !in_flight[marked])

    // Stages X and M hold what their words decode to.
    decoded_t x_decoded, m_decoded;
    logic [31:0] m_imm, m_result, x_imm;
    logic m_taken;

    controller_decode #(
      .MulDiv(MulDiv)
    ) u_x_decode (
      .insn_i   (u_dut.x_insn),
      .decoded_o(x_decoded),
      .imm_o    (x_imm)
    );

    controller_decode #(
      .MulDiv(MulDiv)
    ) u_m_decode (
      .insn_i   (u_dut.m_insn),
      .decoded_o(m_decoded),
      .imm_o    (m_imm)
    );

    controller_alu u_m_alu (
      .decoded_i(u_dut.m_decoded),
      .funct3_i (u_dut.m_insn[14:12]),
      .pc_i     (u_dut.m_pc),
      .rs1_i    (u_dut.m_rs1),
      .rs2_i    (u_dut.m_rs2),
      .imm_i    (m_imm),
      .result_o (m_result),
      .taken_o  (m_taken)
    );

    `ASSERT(x_is_its_word, u_dut.x_fault == (u_dut.x_valid && !u_dut.x_interrupt &&
            u_dut.x_pc - ImemBase >= 32'(4 * ImemWords)) && (!u_dut.x_interrupt || u_dut.x_valid) &&
            u_dut.x_decoded == (u_dut.x_valid && !u_dut.x_interrupt && !u_dut.x_fault ? x_decoded : '0) &&
            (!u_dut.x_valid || u_dut.x_imm == x_imm))
    `ASSERT(m_is_its_word, u_dut.m_fault == (u_dut.m_valid && !u_dut.m_interrupt &&
            u_dut.m_pc - ImemBase >= 32'(4 * ImemWords)) && (!u_dut.m_interrupt || u_dut.m_valid) &&
            u_dut.m_decoded == (u_dut.m_valid && !u_dut.m_interrupt && !u_dut.m_fault ? m_decoded : '0))
    `ASSERT(m_is_its_result, !u_dut.m_valid || (u_dut.m_result == m_result &&
            u_dut.m_jump == (u_dut.m_decoded.jal || u_dut.m_decoded.jalr || m_taken)))
    `ASSERT(interrupt_has_first_phase, !(u_dut.d_interrupt && (u_dut.d_phase != 2'd0 || !u_dut.d_valid)) &&
            !(u_dut.x_interrupt && u_dut.x_phase != 2'd0) && !(u_dut.m_interrupt && u_dut.m_phase != 2'd0))

    // Slots of the marked hart.
    logic first;
    assign first = u_dut.u_scheduler.unphased_q[marked];

    `ASSERT(slots_have_its_pc, (!in_d[marked] || u_dut.d_pc == s_d.pc) && (!in_x[marked] || u_dut.x_pc == s_d.pc) &&
            (!in_m[marked] || u_dut.m_pc == s_d.pc))
    `ASSERT(slots_have_its_phase, (!in_d[marked] || (u_dut.d_phase == 2'd0) == first) &&
            (!in_x[marked] || (u_dut.x_phase == 2'd0) == first) && (!in_m[marked] || (u_dut.m_phase == 2'd0) == first))
    `ASSERT(slots_have_its_interrupt, !first ||
            ((!in_d[marked] || (u_dut.d_interrupt == due_q && (!due_q || 32'(u_dut.d_number) == number_q))) &&
            (!in_x[marked] || (u_dut.x_interrupt == due_q && (!due_q || 32'(u_dut.x_number) == number_q))) &&
            (!in_m[marked] || (u_dut.m_interrupt == due_q && (!due_q || 32'(u_dut.m_number) == number_q)))))
    `ASSERT(slots_have_its_word, (!(fetched && word_known_q && u_dut.d_pc[31:2] == mark_word_i &&
            u_dut.d_pc - ImemBase < 32'(4 * ImemWords)) || u_dut.fetched == word_q) && (!fetched_known_q ||
            ((!in_x[marked] || u_dut.x_insn == fetched_q) && (!in_m[marked] || u_dut.m_insn == fetched_q) &&
            (first || u_dut.u_bus.insn_q[marked] == fetched_q) && ((first && !in_x[marked] && !in_m[marked]) ||
            (s_d.pc[31:2] == mark_word_i && s_d.pc - ImemBase < 32'(4 * ImemWords))))))
    `ASSERT(slots_have_its_register, !register_known_q ||
            ((!in_x[marked] || ((u_dut.x_decoded.rs1 != mark_register_i || u_dut.rs1_rdata == register_q) &&
            (u_dut.x_decoded.rs2 != mark_register_i || u_dut.rs2_rdata == register_q))) &&
            (!in_m[marked] || ((u_dut.m_decoded.rs1 != mark_register_i || u_dut.m_rs1 == register_q) &&
            (u_dut.m_decoded.rs2 != mark_register_i || u_dut.m_rs2 == register_q)))))

    // Its state. While the host clears its registers it is idle, and they are 0 up to the last one cleared.
    logic clearing;
    logic [31:0] held;
    assign clearing = u_dut.u_host.clear_q != 5'd1;
    assign held     = u_dut.u_regfile.mem[{marked, mark_register_i}];

    `ASSERT(clears_an_idle_hart, u_dut.u_host.clear_q != '0 && (!clearing || u_dut.u_host.clear_o))
    `ASSERT(register_kept, clearing && u_dut.host_hart == marked && mark_register_i < u_dut.u_host.clear_q ?
            held == '0 : !register_known_q || held == (restart_q ? '0 : register_q) )
    `ASSERT(register_is_cleared, !restart_q || held == '0)
    `ASSERT(hold_kept, u_dut.u_host.hold_q == hold_q)
    `ASSERT(pc_kept, {u_dut.u_scheduler.pc_q[marked], 2'b00} == s_d.pc && s_d.mepc[1:0] == 2'd0)
    `ASSERT(flags_kept, u_dut.u_retire.intr_q[marked] == s_d.intr && u_dut.u_scheduler.wfi_q[marked] == s_d.wfi &&
            !(s_d.wfi && (in_d[marked] || in_x[marked] || in_m[marked])))
    `ASSERT(order_kept, u_dut.u_retire.order_q[marked] == order_q)

    logic [31:0] mstatus, mie, mcountinhibit;
    logic [63:0] mcycle;

    always_comb begin
      mstatus              = ResetMstatus;
      mstatus[MstatusMie]  = u_dut.u_csr.status_mie_q[marked];
      mstatus[MstatusMpie] = u_dut.u_csr.status_mpie_q[marked];
      mie                  = '0;
      mie[IrqSoftware]     = u_dut.u_csr.software_q[marked];
      mie[IrqTimer]        = u_dut.u_csr.timer_q[marked];
      mie[IrqExternal]     = u_dut.u_csr.external_q[marked];
      mie[IrqMvu]          = u_dut.u_csr.mvu_q[marked];
      mcountinhibit        = '0;
      mcountinhibit[0]     = u_dut.u_csr.inhibit_cycles_q[marked];
      mcountinhibit[2]     = u_dut.u_csr.inhibit_retired_q[marked];
      mcycle               = u_dut.u_csr.base_q[marked] + (mcountinhibit[0] ? '0 : u_dut.u_csr.clock_q);
    end

    `ASSERT(csrs_kept, mstatus == s_d.mstatus && mie == s_d.mie && u_dut.u_csr.mtvec_q[marked] == s_d.mtvec &&
            mcountinhibit == s_d.mcountinhibit && u_dut.u_csr.mscratch_q[marked] == s_d.mscratch &&
            u_dut.u_csr.mepc_q[marked] == s_d.mepc && u_dut.u_csr.mcause_q[marked] == s_d.mcause &&
            u_dut.u_csr.mtval_q[marked] == s_d.mtval && u_dut.u_csr.pending_q[marked] == s_d.pending)
    `ASSERT(counters_kept, mcycle == s_d.mcycle && u_dut.u_csr.retired_q[marked] == s_d.minstret)

    // Memories and timer.
    logic [29:0] place;
    logic [31:0] stored;
    assign place  = mark_word_i - ImemBase[31:2];
    assign stored = place < 30'(ImemWords) ? u_dut.u_memory.u_imem.mem[place[$clog2(ImemWords)-1:0]] :
        u_dut.u_memory.u_dmem.mem[$clog2(DmemWords)'(place - 30'(ImemWords))];
    `ASSERT(word_kept, !word_known_d || stored == word_d)

    logic timer_kept;
    always_comb begin
      timer_kept = u_dut.u_memory.u_timer.mtime_q == mtime_d && u_dut.u_memory.u_timer.msip_q == msip_d;
      for (int h = 0; h < Harts; h++) begin
        timer_kept = timer_kept && u_dut.u_memory.u_timer.mtimecmp_q[h] == mtimecmp_d[h] &&
            u_dut.u_memory.u_timer.mtip_q[h] == (mtime_d >= mtimecmp_d[h]);
      end
    end
    `ASSERT(devices_kept, timer_kept)

    // Requests wait for the bus in its queue, one of each hart.
    logic [Harts-1:0] queued, taken_q;
    logic queue_kept;

    always_ff @(posedge clk_i or negedge rst_ni) begin
      if (!rst_ni) begin
        taken_q <= '0;
      end else begin
        if (u_dut.bus_req_valid_o && bus_req_ready_i) taken_q[u_dut.bus_req_hart_o[HartWidth-1:0]] <= 1'b1;
        if (bus_rsp_valid_i) taken_q[bus_rsp_hart_i[HartWidth-1:0]] <= 1'b0;
      end
    end

    always_comb begin
      queued     = '0;
      queue_kept = 1'b1;
      for (int i = 0; i < Harts; i++) begin
        logic [3:0] who;
        who = u_dut.u_bus.u_requests.mem[(int'(u_dut.u_bus.u_requests.rptr_q) + i) % Harts][3:0];
        if (i < int'(u_dut.u_bus.u_requests.count_q)) begin
          queue_kept = queue_kept && int'(who) < Harts && !queued[who[HartWidth-1:0]];
          queued[who[HartWidth-1:0]] = 1'b1;
        end
      end
    end

    `ASSERT(answered_after_taken, !bus_rsp_valid_i || (taken_q[bus_rsp_hart_i[HartWidth-1:0]] &&
            int'(bus_rsp_hart_i) < Harts))
    `ASSERT(queue_is_who_waits, queue_kept && (queued & taken_q) == '0 && u_dut.u_bus.waits_q == (queued | taken_q))
    `ASSERT(later_is_behind_last, Skip == 0 || u_dut.u_scheduler.gen_skip.later_q ==
            Harts'(~((Harts'(2) << u_dut.u_scheduler.gen_skip.last_q) - 1'b1)))
  end

endmodule : controller_proof
