// SPDX-License-Identifier: Apache-2.0
// Arithmetic of stage X: combinational. The adder also makes addresses and targets, beside which the comparator
// decides a branch.
module controller_alu
  import controller_pkg::*;
  import controller_decode_pkg::*;
(
  input  decoded_t        decoded_i,
  input  logic     [ 2:0] funct3_i,
  input  logic     [31:0] pc_i,
  input  logic     [31:0] rs1_i,
  input  logic     [31:0] rs2_i,
  input  logic     [31:0] imm_i,
  // Result, or address of a load or store, or target of a jump or branch.
  output logic     [31:0] result_o,
  output logic            taken_o
);

  logic [31:0] first, second, sum, compared;
  logic [32:0] shifted;
  logic subtract, equal, less, is_unsigned;

  assign first    = decoded_i.from_pc ? pc_i : rs1_i;
  assign second   = decoded_i.second_rs2 ? rs2_i : imm_i;
  assign subtract = decoded_i.other && decoded_i.funct == FunctSub;
  assign sum      = first + (second ^ {32{subtract}}) + 32'(subtract);

  // slt and sltu compare with the adder's second operand, branches with rs2.
  assign compared    = decoded_i.branch ? rs2_i : second;
  assign is_unsigned = decoded_i.branch ? funct3_i[1] : decoded_i.funct == FunctSltu;
  assign equal       = rs1_i == compared;
  assign less        = {rs1_i[31] ^ !is_unsigned, rs1_i[30:0]} < {compared[31] ^ !is_unsigned, compared[30:0]};

  // Bit 0 of a branch's funct3 turns its condition round.
  assign taken_o = decoded_i.branch && ((funct3_i[2] ? less : equal) ^ funct3_i[0]);

  assign shifted = $unsigned($signed({decoded_i.other & rs1_i[31], rs1_i}) >>> second[4:0]);

  always_comb begin
    case (decoded_i.funct)
      FunctSll:             result_o = rs1_i << second[4:0];
      FunctSlt, FunctSltu:  result_o = {31'b0, less};
      FunctXor:             result_o = rs1_i ^ second;
      FunctSrl:             result_o = shifted[31:0];
      FunctOr:              result_o = rs1_i | second;
      FunctAnd:             result_o = rs1_i & second;
      default:              result_o = {sum[31:1], sum[0] & !decoded_i.jalr};
    endcase
  end

  logic unused_decoded;
  assign unused_decoded = ^{decoded_i, shifted[32]};

endmodule : controller_alu
