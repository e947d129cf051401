// SPDX-License-Identifier: Apache-2.0
// What the controller promises of one instruction: what its record (RVFI) reports follows from the word, the pc and the
// operands that it reports, as golden's instruction table says (controller_instruction, generated from it). What else a
// record depends on is here, too: the memory map, and whether the bus answered with an error.
`include "assert.svh"

module controller_record
  import controller_pkg::*;
  import controller_instruction_pkg::*;
  import rvfi_pkg::*;
#(
  parameter int Harts = 2,
  parameter int ImemWords = 256,
  parameter int DmemWords = 256,
  parameter int MulDiv = 0
) (
  input  logic                clk_i,
  input  logic                rst_ni,
  input  rvfi_t               rvfi_i,
  // The last answer of the bus to the record's hart, when its instruction was in M, was an error
  input  logic                error_i,
  // Of *, and of the division
  input  wide_t               product_i,
  input  logic         [31:0] quotient_i,
  input  logic         [31:0] remainder_i,
  // The instruction, whether it traps, and what mcause and mtval become
  output instruction_t        insn_o,
  output logic                trap_o,
  output logic         [31:0] cause_o,
  output logic         [31:0] value_o
);

  instruction_t insn;

  controller_instruction #(
    .MulDiv(MulDiv)
  ) u_table (
    .insn_i       (rvfi_i.insn),
    .pc_i         (rvfi_i.pc_rdata),
    .rs1_i        (rvfi_i.rs1_rdata),
    .rs2_i        (rvfi_i.rs2_rdata),
    .csr_i        (rvfi_i.csr),
    .product_i    (product_i),
    .quotient_i   (quotient_i),
    .remainder_i  (remainder_i),
    .instruction_o(insn)
  );

  // The memory map of docs/controller.md: bytes from the start of a region.
  logic [31:0] address;
  logic in_memories, in_devices, in_mvus;

  assign address     = insn.address;
  assign in_memories = address - ImemBase < 32'(4 * (ImemWords + DmemWords));
  assign in_devices  = address - MsipBase < 32'(4 * Harts) || address - MtimecmpBase < 32'(8 * Harts) ||
      address - MtimeBase < 32'd8;
  assign in_mvus     = address - MvuBase < 32'(4 * Mvus * MvuRegisters);

  // The first of these that holds is the trap.
  logic fetch_fault, illegal, misaligned_target, access, misaligned, fault, trap;
  logic [31:0] cause, value;

  assign fetch_fault       = rvfi_i.pc_rdata - ImemBase >= 32'(4 * ImemWords);
  assign illegal           = !insn.legal || (insn.csr && (insn.csr_mvu ? error_i :
      !insn.csr_exists || (insn.csr_writes && insn.csr_read_only)));
  assign misaligned_target = insn.jump && insn.target[1:0] != 2'd0;
  assign access            = insn.load || insn.store;
  assign misaligned        = access && (address[1:0] & {insn.mask[3], insn.mask[1]}) != 2'd0;
  assign fault             = access && !in_memories && !(insn.mask == 4'hf && (in_devices || (in_mvus && !error_i)));

  always_comb begin
    trap  = 1'b1;
    cause = '0;
    value = '0;
    if (fetch_fault) begin
      cause = 32'(CauseFetchFault);
      value = rvfi_i.pc_rdata;
    end else if (illegal) begin
      cause = 32'(CauseIllegal);
      value = rvfi_i.insn;
    end else if (insn.ebreak) begin
      cause = 32'(CauseBreakpoint);
      value = rvfi_i.pc_rdata;
    end else if (insn.ecall) begin
      cause = 32'(CauseEcall);
    end else if (misaligned_target) begin
      cause = 32'(CauseFetchMisaligned);
      value = insn.target;
    end else if (misaligned) begin
      cause = insn.store ? 32'(CauseStoreMisaligned) : 32'(CauseLoadMisaligned);
      value = address;
    end else if (fault) begin
      cause = insn.store ? 32'(CauseStoreFault) : 32'(CauseLoadFault);
      value = address;
    end else begin
      trap = 1'b0;
    end
  end

  // A record, of which nothing is shown but what is said to be there.
  logic record, shows, done, loads, stores;
  logic [31:0] bytes, loaded;
  logic [4:0] rd;

  assign record = rvfi_i.valid;
  assign shows  = !fetch_fault && !illegal;
  assign done   = record && !trap;
  assign loads  = done && insn.load;
  assign stores = done && insn.store;
  assign bytes  = {{16{insn.mask[3]}}, {8{insn.mask[1]}}, 8'hff};
  assign rd     = done && !(insn.csr && !insn.csr_reads) ? insn.rd : '0;

  always_comb begin
    case (insn.mask)
      4'b0001: loaded = {{24{!insn.zero_extends && rvfi_i.mem_rdata[7]}}, rvfi_i.mem_rdata[7:0]};
      4'b0011: loaded = {{16{!insn.zero_extends && rvfi_i.mem_rdata[15]}}, rvfi_i.mem_rdata[15:0]};
      default: loaded = rvfi_i.mem_rdata;
    endcase
  end

  `ASSERT(trap_as_defined, !record || rvfi_i.trap == trap)
  `ASSERT(cause_as_defined, !record || rvfi_i.intr || rvfi_i.cause == (trap ? cause : '0))
  `ASSERT(fetch_fault_has_no_word, !(record && fetch_fault) || rvfi_i.insn == '0)
  `ASSERT(operands_as_defined, !record || (rvfi_i.rs1_addr == (shows ? insn.rs1 : '0) &&
          rvfi_i.rs2_addr == (shows ? insn.rs2 : '0) && (rvfi_i.rs1_addr != '0 || rvfi_i.rs1_rdata == '0) &&
          (rvfi_i.rs2_addr != '0 || rvfi_i.rs2_rdata == '0)))
  `ASSERT(rd_as_defined, !record || rvfi_i.rd_addr == rd)
  `ASSERT(result_as_defined, !record || rvfi_i.rd_wdata == (rd == '0 ? '0 : insn.load ? loaded :
          insn.csr ? rvfi_i.csr : insn.value))
  `ASSERT(pc_as_defined, !done || insn.mret || rvfi_i.pc_wdata == (insn.jump ? insn.target : rvfi_i.pc_rdata + 32'd4))
  `ASSERT(access_as_defined, !record || (rvfi_i.mem_addr == (loads || stores ? address : '0) &&
          rvfi_i.mem_rmask == (loads ? insn.mask : '0) && rvfi_i.mem_wmask == (stores ? insn.mask : '0) &&
          rvfi_i.mem_wdata == (stores ? rvfi_i.rs2_rdata & bytes : '0)))
  `ASSERT(nothing_else_is_read, !record || ((rvfi_i.mem_rdata & ~(loads ? bytes : '0)) == '0 &&
          ((done && insn.csr && insn.csr_reads) || rvfi_i.csr == '0)))
  `ASSERT(constants_of_a_record, !record || (rvfi_i.mode == 2'd3 && rvfi_i.ixl == 2'd1 && !rvfi_i.halt &&
          int'(rvfi_i.hart) < Harts && rvfi_i.pc_rdata[1:0] == 2'd0))

  assign insn_o  = insn;
  assign trap_o  = trap;
  assign cause_o = cause;
  assign value_o = value;

endmodule : controller_record
