// SPDX-License-Identifier: Apache-2.0
// What the controller promises of one instruction: what its record (RVFI) reports follows from the word, the pc and the
// operands that it reports, as golden's instruction table says (controller_instruction, generated from it), whatever
// happened before. What else a record depends on is here, too: the memory map, and whether the bus answered with an error.
`include "assert.svh"

module controller_instruction_proof
  import controller_pkg::*;
  import controller_instruction_pkg::*;
  import rvfi_pkg::*;
#(
  parameter int Harts = 2,
  parameter int ImemWords = 256,
  parameter int DmemWords = 256,
  parameter int Skip = 1,
  parameter int MulDiv = 0
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
  input logic [Harts-1:0] ext_irq_i
);

  localparam int HartWidth = Harts > 1 ? $clog2(Harts) : 1;

  rvfi_t rvfi;

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
    .host_req_ready_o(),
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

  instruction_t insn;
  wide_t product;
  logic [31:0] quotient, rest;

  controller_instruction #(
    .MulDiv(MulDiv)
  ) u_table (
    .insn_i       (rvfi.insn),
    .pc_i         (rvfi.pc_rdata),
    .rs1_i        (rvfi.rs1_rdata),
    .rs2_i        (rvfi.rs2_rdata),
    .csr_i        (rvfi.csr),
    .product_i    (product),
    .quotient_i   (quotient),
    .remainder_i  (rest),
    .instruction_o(insn)
  );

  assign product  = '0;
  assign quotient = '0;
  assign rest     = '0;

  // Whether the last answer of the bus to a hart was an error, when an instruction is in M; a record comes a clock later.
  logic [Harts-1:0] error_q, error_in_m_q;
  logic [HartWidth-1:0] hart;
  logic error;

  assign hart  = rvfi.hart[HartWidth-1:0];
  assign error = error_in_m_q[hart];

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      error_q      <= '0;
      error_in_m_q <= '0;
    end else begin
      error_in_m_q <= error_q;
      if (bus_rsp_valid_i) error_q[bus_rsp_hart_i[HartWidth-1:0]] <= bus_rsp_error_i;
    end
  end

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
  logic [31:0] cause;

  assign fetch_fault       = rvfi.pc_rdata - ImemBase >= 32'(4 * ImemWords);
  assign illegal           = !insn.legal || (insn.csr && (insn.csr_mvu ? error :
      !insn.csr_exists || (insn.csr_writes && insn.csr_read_only)));
  assign misaligned_target = insn.jump && insn.target[1:0] != 2'd0;
  assign access            = insn.load || insn.store;
  assign misaligned        = access && (address[1:0] & {insn.mask[3], insn.mask[1]}) != 2'd0;
  assign fault             = access && !in_memories && !(insn.mask == 4'hf && (in_devices || (in_mvus && !error)));

  always_comb begin
    trap  = 1'b1;
    cause = '0;
    if (fetch_fault) cause = 32'(CauseFetchFault);
    else if (illegal) cause = 32'(CauseIllegal);
    else if (insn.ebreak) cause = 32'(CauseBreakpoint);
    else if (insn.ecall) cause = 32'(CauseEcall);
    else if (misaligned_target) cause = 32'(CauseFetchMisaligned);
    else if (misaligned) cause = insn.store ? 32'(CauseStoreMisaligned) : 32'(CauseLoadMisaligned);
    else if (fault) cause = insn.store ? 32'(CauseStoreFault) : 32'(CauseLoadFault);
    else trap = 1'b0;
  end

  // A record, of which nothing is shown but what is said to be there.
  logic record, shows, done, loads, stores;
  logic [31:0] bytes, loaded;
  logic [4:0] rd;

  assign record = rvfi.valid;
  assign shows  = !fetch_fault && !illegal;
  assign done   = record && !trap;
  assign loads  = done && insn.load;
  assign stores = done && insn.store;
  assign bytes  = {{16{insn.mask[3]}}, {8{insn.mask[1]}}, 8'hff};
  assign rd     = done && !(insn.csr && !insn.csr_reads) ? insn.rd : '0;

  always_comb begin
    case (insn.mask)
      4'b0001: loaded = {{24{!insn.zero_extends && rvfi.mem_rdata[7]}}, rvfi.mem_rdata[7:0]};
      4'b0011: loaded = {{16{!insn.zero_extends && rvfi.mem_rdata[15]}}, rvfi.mem_rdata[15:0]};
      default: loaded = rvfi.mem_rdata;
    endcase
  end

  `ASSERT(trap_as_defined, !record || rvfi.trap == trap)
  `ASSERT(cause_as_defined, !record || rvfi.intr || rvfi.cause == (trap ? cause : '0))
  `ASSERT(fetch_fault_has_no_word, !(record && fetch_fault) || rvfi.insn == '0)
  `ASSERT(operands_as_defined, !record || (rvfi.rs1_addr == (shows ? insn.rs1 : '0) &&
          rvfi.rs2_addr == (shows ? insn.rs2 : '0) && (rvfi.rs1_addr != '0 || rvfi.rs1_rdata == '0) &&
          (rvfi.rs2_addr != '0 || rvfi.rs2_rdata == '0)))
  `ASSERT(rd_as_defined, !record || rvfi.rd_addr == rd)
  `ASSERT(result_as_defined, !record || rvfi.rd_wdata == (rd == '0 ? '0 : insn.load ? loaded :
          insn.csr ? rvfi.csr : insn.value))
  `ASSERT(pc_as_defined, !done || insn.mret || rvfi.pc_wdata == (insn.jump ? insn.target : rvfi.pc_rdata + 32'd4))
  `ASSERT(access_as_defined, !record || (rvfi.mem_addr == (loads || stores ? address : '0) &&
          rvfi.mem_rmask == (loads ? insn.mask : '0) && rvfi.mem_wmask == (stores ? insn.mask : '0) &&
          rvfi.mem_wdata == (stores ? rvfi.rs2_rdata & bytes : '0)))
  `ASSERT(nothing_else_is_read, !record || ((rvfi.mem_rdata & ~(loads ? bytes : '0)) == '0 &&
          ((done && insn.csr && insn.csr_reads) || rvfi.csr == '0)))
  `ASSERT(constants_of_a_record, !record || (rvfi.mode == 2'd3 && rvfi.ixl == 2'd1 && !rvfi.halt &&
          int'(rvfi.hart) < Harts && rvfi.pc_rdata[1:0] == 2'd0))

  // What the induction needs to know of the inside.
  `ASSERT(errors_kept, u_dut.u_bus.error_q == error_q)

endmodule : controller_instruction_proof
