// SPDX-License-Identifier: Apache-2.0
// What the decoder tells the later stages about an instruction.
package controller_decode_pkg;

  typedef struct packed {
    logic illegal;
    logic load;
    logic store;
    logic branch;
    logic jal;
    logic jalr;
    logic csr;
    logic ecall;
    logic ebreak;
    logic mret;
    logic wfi;
    logic multiply;
    logic divide;
    // Writes rd, which may still be x0.
    logic writes;
    // First operand of the adder: pc or else rs1, which is x0 for lui; second: rs2 or else the immediate.
    logic from_pc;
    logic second_rs2;
    // As in OP: which result, with the second form of add and srl.
    logic [2:0] funct;
    logic other;
    // 0 where the instruction has no such operand.
    logic [4:0] rs1;
    logic [4:0] rs2;
  } decoded_t;

endpackage : controller_decode_pkg
