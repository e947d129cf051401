// SPDX-License-Identifier: Apache-2.0
// What a bench top does with RVFI: signals for the ports of the device, and their record for the tap `trace`. Fields lie
// at whole bytes: see tb/controller/trace.py.
  logic [63:0] order;
  logic [3:0]  hart, rmask, wmask;
  logic [31:0] insn, rs1_rdata, rs2_rdata, rd_wdata, pc_rdata, pc_wdata;
  logic [31:0] mem_addr, mem_rdata, mem_wdata, cause, csr;
  logic [4:0]  rs1_addr, rs2_addr, rd_addr;
  logic [1:0]  mode, ixl;
  logic        trap, halt, intr;

  // From the highest byte down; the first field of trace.py is the lowest.
  assign trace_data = {
    2'b0, ixl, mode, 1'b0, halt, order, csr, mem_wdata, mem_rdata, 4'b0, wmask, 4'b0, rmask, mem_addr, pc_wdata,
    rd_wdata, 3'b0, rd_addr, rs2_rdata, 3'b0, rs2_addr, rs1_rdata, 3'b0, rs1_addr, cause, 7'b0, intr, 7'b0, trap,
    insn, pc_rdata, 4'b0, hart
  };
