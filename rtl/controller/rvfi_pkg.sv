// SPDX-License-Identifier: Apache-2.0
// The RISC-V formal interface (riscv-formal's names and meanings; see docs/controller.md for what those leave open): one
// retired instruction. The harts share the interface, so each record says whose it is; `order` counts per hart.
package rvfi_pkg;

  typedef struct packed {
    logic [63:0] order;
    logic [3:0]  hart;
    logic [31:0] insn;
    logic        trap;
    logic        halt;
    logic        intr;
    logic [1:0]  mode;
    logic [1:0]  ixl;
    logic [4:0]  rs1_addr;
    logic [4:0]  rs2_addr;
    logic [31:0] rs1_rdata;
    logic [31:0] rs2_rdata;
    logic [4:0]  rd_addr;
    logic [31:0] rd_wdata;
    logic [31:0] pc_rdata;
    logic [31:0] pc_wdata;
    // mcause of a trap or of an interrupt, else 0; and what a CSR instruction read, else 0.
    logic [31:0] cause;
    logic [31:0] csr;
    // tb/controller/harness.cpp reads what follows by its place: C++ sees a port of a struct as words.
    logic [31:0] mem_rdata;
    logic [3:0]  mem_rmask;
    logic        valid;
    logic [3:0]  mem_wmask;
    logic [31:0] mem_addr;
    logic [31:0] mem_wdata;
  } rvfi_t;

endpackage : rvfi_pkg
