// SPDX-License-Identifier: Apache-2.0
// Structures with the handshake inside, and an enumeration: op(a, b) in one register.
package alu_struct_pkg;
  typedef enum logic [1:0] {
    Add,
    Sub,
    Min,
    Max
  } op_e;
  typedef struct packed {
    logic       valid;
    op_e        op;
    logic [7:0] a;
    logic [7:0] b;
  } req_t;
  typedef struct packed {
    logic       valid;
    logic [7:0] result;
  } rsp_t;
endpackage

module alu_struct
  import alu_struct_pkg::*;
(
    input  logic clk_i,
    input  logic rst_ni,
    input  req_t req_i,
    output logic req_ready_o,
    output rsp_t rsp_o,
    input  logic rsp_ready_i,
    input  op_e  mode_i
);
  logic       valid_q;
  logic [7:0] result_q;
  assign rsp_o       = '{valid: valid_q, result: result_q};
  assign req_ready_o = ~valid_q | rsp_ready_i;
  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) valid_q <= 1'b0;
    else if (req_ready_o) valid_q <= req_i.valid;
  end
  op_e op;
  assign op = op_e'(req_i.op ^ mode_i);
  always_ff @(posedge clk_i) begin
    if (req_i.valid && req_ready_o) begin
      case (op)
        Add: result_q <= req_i.a + req_i.b;
        Sub: result_q <= req_i.a - req_i.b;
        Min: result_q <= req_i.a < req_i.b ? req_i.a : req_i.b;
        default: result_q <= req_i.a > req_i.b ? req_i.a : req_i.b;
      endcase
    end
  end
endmodule
