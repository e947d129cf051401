// SPDX-License-Identifier: Apache-2.0
// CSRs and trap state of all harts. Reads, writes, traps and counts happen in stage M, where an instruction reads the
// old value and writes the new one in one clock: mip loses no interrupt between them.
module controller_csr
  import controller_pkg::*;
#(
  parameter int Harts = DefaultHarts,
  parameter int MulDiv = DefaultMulDiv,
  parameter int HartWidth = Harts > 1 ? $clog2(Harts) : 1
) (
  input  logic                 clk_i,
  input  logic                 rst_ni,
  // Interrupt lines
  input  logic [    Harts-1:0] msip_i,
  input  logic [    Harts-1:0] mtip_i,
  input  logic [    Harts-1:0] ext_irq_i,
  input  logic [    Harts-1:0] mvu_irq_i,
  input  logic [         63:0] mtime_i,
  // Pending and enabled in mie; and also in mstatus; the number that hart irq_hart_i takes
  output logic [    Harts-1:0] wake_o,
  output logic [    Harts-1:0] take_o,
  input  logic [HartWidth-1:0] irq_hart_i,
  output logic [          4:0] irq_number_o,
  // Instruction in M: value before it; legal says whether the CSR exists and may be accessed
  input  logic [HartWidth-1:0] hart_i,
  input  logic [         11:0] addr_i,
  input  logic                 writes_i,
  output logic                 legal_o,
  output logic [         31:0] rdata_o,
  input  logic                 we_i,
  input  logic [         31:0] wdata_i,
  // It retires; it is mret, which retires, too; or it traps
  input  logic                 retire_i,
  input  logic                 mret_i,
  input  logic                 trap_i,
  input  logic                 trap_interrupt_i,
  input  logic [          4:0] trap_cause_i,
  input  logic [         31:0] trap_value_i,
  input  logic [         31:0] pc_i,
  output logic [         31:0] handler_o,
  output logic [         31:0] mepc_o,
  output logic [         31:0] mcause_o,
  // The host lets a hart start anew
  input  logic                 restart_i,
  input  logic [HartWidth-1:0] restart_hart_i,
  output logic [         31:0] clocks_o
);

  logic [Harts-1:0] status_mie_q, status_mpie_q, one, restart;
  logic [Harts-1:0] software_q, timer_q, external_q, mvu_q, pending_q;
  logic [Harts-1:0] inhibit_cycles_q, inhibit_retired_q;
  logic [31:0] mtvec_q [Harts];
  logic [31:0] mscratch_q [Harts];
  logic [31:0] mepc_q [Harts];
  logic [31:0] mcause_q [Harts];
  logic [31:0] mtval_q [Harts];
  // mcycle is the clock plus its base, when inhibited the base alone.
  logic [63:0] base_q [Harts];
  logic [63:0] retired_q [Harts];
  logic [63:0] clock_q, clock_next, base, base_d, cycles, cycles_new, retired, retired_d;
  logic [31:0] mstatus, mie, mip, mtvec;
  logic readable, inhibit, write_cycles, write_inhibit, write_retired, mvu_clear, mvu_set;

  assign one     = Harts'(1) << hart_i;
  // The number may be unknown while restart_i is low.
  assign restart = restart_i ? Harts'(1) << restart_hart_i : '0;

  // --- interrupts ---

  logic [Harts-1:0] on_software, on_timer, on_external, on_mvu;

  assign on_software = msip_i & software_q;
  assign on_timer    = mtip_i & timer_q;
  assign on_external = ext_irq_i & external_q;
  assign on_mvu      = pending_q & mvu_q;
  assign wake_o      = on_software | on_timer | on_external | on_mvu;
  assign take_o      = wake_o & status_mie_q;

  assign irq_number_o = on_external[irq_hart_i] ? 5'(IrqExternal) : on_software[irq_hart_i] ? 5'(IrqSoftware) :
      on_timer[irq_hart_i] ? 5'(IrqTimer) : 5'(IrqMvu);

  // --- reads ---

  always_comb begin
    mstatus              = ResetMstatus;
    mstatus[MstatusMie]  = status_mie_q[hart_i];
    mstatus[MstatusMpie] = status_mpie_q[hart_i];
    mie                  = '0;
    mie[IrqSoftware]     = software_q[hart_i];
    mie[IrqTimer]        = timer_q[hart_i];
    mie[IrqExternal]     = external_q[hart_i];
    mie[IrqMvu]          = mvu_q[hart_i];
    mip                  = '0;
    mip[IrqSoftware]     = msip_i[hart_i];
    mip[IrqTimer]        = mtip_i[hart_i];
    mip[IrqExternal]     = ext_irq_i[hart_i];
    mip[IrqMvu]          = pending_q[hart_i];
  end

  assign mtvec      = mtvec_q[hart_i];
  assign mepc_o     = mepc_q[hart_i];
  assign mcause_o   = mcause_q[hart_i];
  assign base       = base_q[hart_i];
  assign inhibit    = inhibit_cycles_q[hart_i];
  assign cycles     = inhibit ? base : base + clock_q;
  assign retired    = retired_q[hart_i];
  assign clock_next = clock_q + 64'd1;

  logic [31:0] mscratch, mtval;
  assign mscratch = mscratch_q[hart_i];
  assign mtval    = mtval_q[hart_i];

  always_comb begin
    readable = 1'b1;
    rdata_o  = '0;
    case (addr_i)
      CsrMstatus:       rdata_o = mstatus;
      CsrMisa:          rdata_o = ResetMisa | (MulDiv != 0 ? MisaM : '0);
      CsrMie:           rdata_o = mie;
      CsrMtvec:         rdata_o = mtvec;
      CsrMstatush:      rdata_o = '0;
      CsrMcountinhibit: rdata_o = {29'b0, inhibit_retired_q[hart_i], 1'b0, inhibit};
      CsrMscratch:      rdata_o = mscratch;
      CsrMepc:          rdata_o = mepc_o;
      CsrMcause:        rdata_o = mcause_o;
      CsrMtval:         rdata_o = mtval;
      CsrMip:           rdata_o = mip;
      CsrTselect, CsrTdata1, CsrTdata2, CsrTdata3: rdata_o = '0;
      CsrMcycle, CsrCycle:       rdata_o = cycles[31:0];
      CsrMcycleh, CsrCycleh:     rdata_o = cycles[63:32];
      CsrMinstret, CsrInstret:   rdata_o = retired[31:0];
      CsrMinstreth, CsrInstreth: rdata_o = retired[63:32];
      CsrTime:          rdata_o = mtime_i[31:0];
      CsrTimeh:         rdata_o = mtime_i[63:32];
      CsrMvendorid:     rdata_o = '0;
      CsrMarchid:       rdata_o = '0;
      CsrMimpid:        rdata_o = ResetMimpid;
      CsrMhartid:       rdata_o = 32'(hart_i);
      CsrMconfigptr:    rdata_o = '0;
      default: begin
        readable = (addr_i >= CsrMhpmevent3 && addr_i <= CsrMhpmevent31) ||
            (addr_i >= CsrMhpmcounter3 && addr_i <= CsrMhpmcounter31) ||
            (addr_i >= CsrMhpmcounter3h && addr_i <= CsrMhpmcounter31h);
      end
    endcase
  end

  assign legal_o = readable && !(writes_i && addr_i[11:10] == 2'b11);

  // Vectored mode is for interrupts only.
  assign handler_o = {mtvec[31:2], 2'b00} + (mtvec[0] && trap_interrupt_i ? {25'b0, trap_cause_i, 2'b00} : '0);

  // --- writes ---

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      status_mie_q  <= '0;
      status_mpie_q <= '0;
    end else begin
      if (trap_i) begin
        status_mie_q[hart_i]  <= 1'b0;
        status_mpie_q[hart_i] <= status_mie_q[hart_i];
      end else if (mret_i) begin
        status_mie_q[hart_i]  <= status_mpie_q[hart_i];
        status_mpie_q[hart_i] <= 1'b1;
      end else if (we_i && addr_i == CsrMstatus) begin
        status_mie_q[hart_i]  <= wdata_i[MstatusMie];
        status_mpie_q[hart_i] <= wdata_i[MstatusMpie];
      end
      if (restart_i) begin
        status_mie_q[restart_hart_i]  <= 1'b0;
        status_mpie_q[restart_hart_i] <= 1'b0;
      end
    end
  end

  assign mvu_clear = we_i && addr_i == CsrMip && !wdata_i[IrqMvu];
  assign mvu_set   = we_i && addr_i == CsrMip && wdata_i[IrqMvu];

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      software_q        <= '0;
      timer_q           <= '0;
      external_q        <= '0;
      mvu_q             <= '0;
      pending_q         <= '0;
      inhibit_cycles_q  <= '0;
      inhibit_retired_q <= '0;
    end else begin
      if (we_i && addr_i == CsrMie) begin
        software_q[hart_i] <= wdata_i[IrqSoftware];
        timer_q[hart_i]    <= wdata_i[IrqTimer];
        external_q[hart_i] <= wdata_i[IrqExternal];
        mvu_q[hart_i]      <= wdata_i[IrqMvu];
      end
      if (write_inhibit) begin
        inhibit_cycles_q[hart_i]  <= wdata_i[0];
        inhibit_retired_q[hart_i] <= wdata_i[2];
      end
      if (restart_i) begin
        software_q[restart_hart_i]        <= 1'b0;
        timer_q[restart_hart_i]           <= 1'b0;
        external_q[restart_hart_i]        <= 1'b0;
        mvu_q[restart_hart_i]             <= 1'b0;
        inhibit_cycles_q[restart_hart_i]  <= 1'b0;
        inhibit_retired_q[restart_hart_i] <= 1'b0;
      end
      pending_q <= (pending_q & ~restart & ~(one & {Harts{mvu_clear}})) | (one & {Harts{mvu_set}}) | mvu_irq_i;
    end
  end

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      for (int h = 0; h < Harts; h++) begin
        mtvec_q[h]    <= '0;
        mscratch_q[h] <= '0;
        mepc_q[h]     <= '0;
        mcause_q[h]   <= '0;
        mtval_q[h]    <= '0;
      end
    end else begin
      if (trap_i) begin
        mepc_q[hart_i]   <= pc_i & MaskMepc;
        mcause_q[hart_i] <= {trap_interrupt_i, 26'b0, trap_cause_i};
        mtval_q[hart_i]  <= trap_value_i;
      end else if (we_i) begin
        if (addr_i == CsrMtvec) mtvec_q[hart_i] <= wdata_i & MaskMtvec;
        if (addr_i == CsrMscratch) mscratch_q[hart_i] <= wdata_i;
        if (addr_i == CsrMepc) mepc_q[hart_i] <= wdata_i & MaskMepc;
        if (addr_i == CsrMcause) mcause_q[hart_i] <= wdata_i & MaskMcause;
        if (addr_i == CsrMtval) mtval_q[hart_i] <= wdata_i;
      end
      if (restart_i) begin
        mtvec_q[restart_hart_i]    <= '0;
        mscratch_q[restart_hart_i] <= '0;
        mepc_q[restart_hart_i]     <= '0;
        mcause_q[restart_hart_i]   <= '0;
        mtval_q[restart_hart_i]    <= '0;
      end
    end
  end

  // --- counters ---

  assign write_cycles  = we_i && (addr_i == CsrMcycle || addr_i == CsrMcycleh);
  assign write_inhibit = we_i && addr_i == CsrMcountinhibit;
  assign write_retired = we_i && (addr_i == CsrMinstret || addr_i == CsrMinstreth);
  assign cycles_new    = addr_i == CsrMcycle ? {cycles[63:32], wdata_i} : {wdata_i, cycles[31:0]};

  // The value of the next clock, less the clock that it will be added to. This clock counts by the old mcountinhibit.
  always_comb begin
    base_d = base;
    if (write_cycles) base_d = inhibit ? cycles_new : cycles_new - clock_next;
    else if (!inhibit && wdata_i[0]) base_d = base + clock_next;
    else if (inhibit && !wdata_i[0]) base_d = base - clock_next;
  end

  always_comb begin
    retired_d = retired + 64'd1;
    if (write_retired) retired_d = addr_i == CsrMinstret ? {retired[63:32], wdata_i} : {wdata_i, retired[31:0]};
  end

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      clock_q <= '0;
      for (int h = 0; h < Harts; h++) begin
        base_q[h]    <= '0;
        retired_q[h] <= '0;
      end
    end else begin
      clock_q <= clock_next;
      if (write_cycles || write_inhibit) base_q[hart_i] <= base_d;
      if (write_retired || (retire_i && !inhibit_retired_q[hart_i])) retired_q[hart_i] <= retired_d;
      if (restart_i) begin
        base_q[restart_hart_i]    <= -clock_next;
        retired_q[restart_hart_i] <= '0;
      end
    end
  end

  assign clocks_o = clock_q[31:0];

endmodule : controller_csr
