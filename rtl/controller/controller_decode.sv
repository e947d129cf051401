// SPDX-License-Identifier: Apache-2.0
// Decoder: combinational. Vol. I chapters 2, 3, 6, 12; Vol. II section 3.3. CSR addresses are checked where the CSRs
// are, in controller_csr.
module controller_decode
  import controller_pkg::*;
  import controller_decode_pkg::*;
#(
  parameter int MulDiv = DefaultMulDiv
) (
  input  logic     [31:0] insn_i,
  output decoded_t        decoded_o,
  output logic     [31:0] imm_o
);

  logic [6:0] opcode;
  logic [2:0] funct3;
  logic [6:0] funct7;
  logic shift_legal, op_legal, muldiv, system_legal;

  assign opcode = insn_i[6:0];
  assign funct3 = insn_i[14:12];
  assign funct7 = insn_i[31:25];

  assign muldiv = MulDiv != 0 && funct7 == MatchMul[31:25];

  // Of the seven upper bits, bit 30 alone may be set, where there is a second form.
  assign shift_legal = funct3 == FunctSlli ? funct7 == MatchSlli[31:25] :
      funct3 != FunctSrli || funct7 == MatchSrli[31:25] || funct7 == MatchSrai[31:25];
  assign op_legal = muldiv || funct7 == MatchAdd[31:25] ||
      (funct7 == MatchSub[31:25] && (funct3 == FunctSub || funct3 == FunctSra));
  assign system_legal = funct3 == FunctEcall ?
      insn_i == MatchEcall || insn_i == MatchEbreak || insn_i == MatchMret || insn_i == MatchWfi :
      funct3[1:0] != 2'b00;

  always_comb begin
    decoded_o = '0;
    case (opcode)
      OpcodeLui: begin
        decoded_o.writes = 1'b1;
      end
      OpcodeAuipc: begin
        decoded_o.writes  = 1'b1;
        decoded_o.from_pc = 1'b1;
      end
      OpcodeJal: begin
        decoded_o.writes  = 1'b1;
        decoded_o.jal     = 1'b1;
        decoded_o.from_pc = 1'b1;
      end
      OpcodeJalr: begin
        if (funct3 == FunctJalr) begin
          decoded_o.writes = 1'b1;
          decoded_o.jalr   = 1'b1;
          decoded_o.rs1    = insn_i[19:15];
        end else begin
          decoded_o.illegal = 1'b1;
        end
      end
      OpcodeBranch: begin
        if (funct3[2:1] != 2'b01) begin
          decoded_o.branch  = 1'b1;
          decoded_o.from_pc = 1'b1;
          decoded_o.rs1     = insn_i[19:15];
          decoded_o.rs2     = insn_i[24:20];
        end else begin
          decoded_o.illegal = 1'b1;
        end
      end
      OpcodeLoad: begin
        if (funct3 != 3'd3 && funct3 < 3'd6) begin
          decoded_o.writes = 1'b1;
          decoded_o.load   = 1'b1;
          decoded_o.rs1    = insn_i[19:15];
        end else begin
          decoded_o.illegal = 1'b1;
        end
      end
      OpcodeStore: begin
        if (funct3 < 3'd3) begin
          decoded_o.store = 1'b1;
          decoded_o.rs1   = insn_i[19:15];
          decoded_o.rs2   = insn_i[24:20];
        end else begin
          decoded_o.illegal = 1'b1;
        end
      end
      OpcodeOpImm: begin
        if ((funct3 != FunctSlli && funct3 != FunctSrli) || shift_legal) begin
          decoded_o.writes = 1'b1;
          decoded_o.funct  = funct3;
          decoded_o.other  = funct3 == FunctSrai && insn_i[30];
          decoded_o.rs1    = insn_i[19:15];
        end else begin
          decoded_o.illegal = 1'b1;
        end
      end
      OpcodeOp: begin
        if (op_legal) begin
          decoded_o.writes     = 1'b1;
          decoded_o.multiply   = muldiv && !funct3[2];
          decoded_o.divide     = muldiv && funct3[2];
          decoded_o.second_rs2 = 1'b1;
          decoded_o.funct      = funct3;
          decoded_o.other      = insn_i[30];
          decoded_o.rs1        = insn_i[19:15];
          decoded_o.rs2        = insn_i[24:20];
        end else begin
          decoded_o.illegal = 1'b1;
        end
      end
      OpcodeMiscMem: begin
        decoded_o.illegal = funct3 != FunctFence && funct3 != FunctFenceI;
      end
      OpcodeSystem: begin
        if (!system_legal) begin
          decoded_o.illegal = 1'b1;
        end else if (funct3 == FunctEcall) begin
          decoded_o.ecall  = insn_i == MatchEcall;
          decoded_o.ebreak = insn_i == MatchEbreak;
          decoded_o.mret   = insn_i == MatchMret;
          decoded_o.wfi    = insn_i == MatchWfi;
        end else begin
          decoded_o.writes = 1'b1;
          decoded_o.csr    = 1'b1;
          if (!funct3[2]) decoded_o.rs1 = insn_i[19:15];
        end
      end
      default: decoded_o.illegal = 1'b1;
    endcase
  end

  // Vol. I section 2.3.
  always_comb begin
    case (opcode)
      OpcodeLui, OpcodeAuipc: imm_o = {insn_i[31:12], 12'b0};
      OpcodeJal: imm_o = {{12{insn_i[31]}}, insn_i[19:12], insn_i[20], insn_i[30:21], 1'b0};
      OpcodeBranch: imm_o = {{20{insn_i[31]}}, insn_i[7], insn_i[30:25], insn_i[11:8], 1'b0};
      OpcodeStore: imm_o = {{21{insn_i[31]}}, insn_i[30:25], insn_i[11:7]};
      default: imm_o = {{21{insn_i[31]}}, insn_i[30:20]};
    endcase
  end

endmodule : controller_decode
