// SPDX-License-Identifier: Apache-2.0
// Host port: one request at a time, in order; each is answered, reads and writes.
//
// req_ready_o speaks of a valid request: it is high in the clock in which the request is done. A request for a memory or
// the timer waits for a slot of stage M without access, a write of a pc until the hart is idle and its registers are
// cleared; after Patience clocks of waiting the pipeline leaves a slot free.
`include "assert.svh"

module controller_host
  import controller_pkg::*;
#(
  parameter int Harts = DefaultHarts,
  parameter int HartWidth = Harts > 1 ? $clog2(Harts) : 1
) (
  input  logic                 clk_i,
  input  logic                 rst_ni,
  input  logic                 req_valid_i,
  output logic                 req_ready_o,
  input  logic                 req_write_i,
  input  logic [         31:0] req_addr_i,
  input  logic [         31:0] req_wdata_i,
  output logic                 rsp_valid_o,
  input  logic                 rsp_ready_i,
  output logic [         31:0] rsp_rdata_o,
  output logic                 rsp_error_o,
  // Memories and timer; the word comes in the clock after done
  output logic                 access_o,
  input  logic                 done_i,
  input  logic                 error_i,
  input  logic [         31:0] rdata_i,
  // Harts
  output logic [    Harts-1:0] hold_o,
  input  logic [    Harts-1:0] idle_i,
  output logic [HartWidth-1:0] hart_o,
  output logic                 restart_o,
  input  logic [         31:0] pc_i,
  input  logic [         31:0] retired_i,
  input  logic [         31:0] clocks_i,
  // Register file: write 0, when stage W writes nothing
  output logic                 clear_o,
  output logic [          4:0] clear_register_o,
  input  logic                 clear_done_i,
  output logic                 yield_o
);

  localparam int Patience = 32;
  localparam int Depth = 4;

  logic active, own, own_done, own_error, own_pc, held, write_pc, done;
  logic [Harts-1:0] hold_q;
  logic [31:0] own_rdata, own_rdata_q;
  logic [4:0] clear_q;
  logic [$clog2(Patience)-1:0] waited_q;
  logic answer_q, answer_memory_q, answer_error_q, rsp_valid, unused_room, error;
  logic [31:0] rdata;
  logic [2:0] count;
  logic [5:0] pc_word;

  // An answer that is on its way needs a place, too.
  assign active  = req_valid_i && count + {2'b0, answer_q} < 3'(Depth);
  assign own     = req_addr_i[31:8] == HostBase[31:8];
  assign pc_word = req_addr_i[7:2] - HostPc[7:2];
  assign own_pc  = req_addr_i[7:2] >= HostPc[7:2] && pc_word < 6'(Harts);
  assign hart_o  = pc_word[HartWidth-1:0];
  assign held    = own_pc && hold_q[hart_o];

  always_comb begin
    own_error = req_addr_i[1:0] != 2'b00;
    own_rdata = '0;
    case ({req_addr_i[7:2], 2'b00})
      HostHold:    own_rdata = 32'(hold_q);
      HostHarts:   own_rdata = Harts;
      HostRetired: own_rdata = retired_i;
      HostClocks:  own_rdata = clocks_i;
      default: begin
        own_rdata = own_pc ? pc_i : '0;
        if (!own_pc || (req_write_i && !held)) own_error = 1'b1;
      end
    endcase
  end

  assign write_pc         = active && own && own_pc && req_write_i && !own_error;
  assign clear_o          = write_pc && idle_i[hart_o];
  assign clear_register_o = clear_q;
  assign restart_o        = clear_o && clear_done_i && clear_q == '1;
  assign own_done         = active && own && (!write_pc || restart_o);
  assign access_o         = active && !own;
  assign done             = own_done || (access_o && done_i);
  assign req_ready_o      = done;
  assign yield_o          = waited_q == '1;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      hold_q         <= '1;
      clear_q        <= 5'd1;
      waited_q       <= '0;
      answer_q       <= 1'b0;
      answer_memory_q <= 1'b0;
      answer_error_q <= 1'b0;
      own_rdata_q    <= '0;
    end else begin
      waited_q <= active && !done ? waited_q + 1'b1 : '0;
      if (clear_o && clear_done_i) clear_q <= restart_o ? 5'd1 : clear_q + 5'd1;
      answer_q <= done;
      if (done) begin
        answer_memory_q <= !own && !error_i && !req_write_i;
        answer_error_q <= own ? own_error : error_i;
        own_rdata_q     <= own && !req_write_i && !own_error ? own_rdata : '0;
        if (own && req_write_i && req_addr_i[7:0] == HostHold) hold_q <= req_wdata_i[Harts-1:0];
      end
    end
  end

  fifo #(
    .Width(33),
    .Depth(Depth)
  ) u_answers (
    .clk_i,
    .rst_ni,
    .clear_i (1'b0),
    .wvalid_i(answer_q),
    .wready_o(unused_room),
    .wdata_i ({answer_error_q, answer_memory_q ? rdata_i : own_rdata_q}),
    .rvalid_o(rsp_valid),
    .rready_i(rsp_ready_i),
    .rdata_o ({error, rdata}),
    .count_o (count)
  );

  logic unused_wdata;
  assign unused_wdata = ^req_wdata_i[31:Harts];

  // Zero while there is no answer, as the queue's content is unknown at first.
  assign rsp_valid_o = rsp_valid;
  assign rsp_rdata_o = rdata & {32{rsp_valid}};
  assign rsp_error_o = error & rsp_valid;
  assign hold_o      = hold_q;

  `ASSERT_KNOWN(request_known, {req_valid_i, req_ready_o})
  `ASSERT(answers_have_room, count + {2'b0, answer_q} <= 3'(Depth))
  `ASSERT_STREAM(response, 33, rsp_valid_o, rsp_ready_i, {rsp_error_o, rsp_rdata_o})

endmodule : controller_host
