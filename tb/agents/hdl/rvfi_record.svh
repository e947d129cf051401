// SPDX-License-Identifier: Apache-2.0
// What a bench top does with RVFI: the signal for the port of the device, and its record for the tap `trace`. Fields lie
// at whole bytes: see tb/controller/trace.py.
  import rvfi_pkg::*;
  rvfi_t rvfi;

  assign trace_valid = rvfi.valid;

  // From the highest byte down; the first field of trace.py is the lowest.
  assign trace_data = {
    2'b0, rvfi.ixl, rvfi.mode, 1'b0, rvfi.halt, rvfi.order, rvfi.csr, rvfi.mem_wdata, rvfi.mem_rdata,
    4'b0, rvfi.mem_wmask, 4'b0, rvfi.mem_rmask, rvfi.mem_addr, rvfi.pc_wdata, rvfi.rd_wdata,
    3'b0, rvfi.rd_addr, rvfi.rs2_rdata, 3'b0, rvfi.rs2_addr, rvfi.rs1_rdata, 3'b0, rvfi.rs1_addr, rvfi.cause,
    7'b0, rvfi.intr, 7'b0, rvfi.trap, rvfi.insn, rvfi.pc_rdata, 4'b0, rvfi.hart
  };
