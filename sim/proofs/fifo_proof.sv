// SPDX-License-Identifier: Apache-2.0
// What fifo promises: the words come out in the order in which they went in, none is lost, none comes twice, and it
// never holds more than Depth.
//
// The solver marks any word with mark_i. Its place in the queue is counted at the ports; since the word may be any,
// what holds for it holds for all.
`include "assert.svh"

module fifo_proof #(
  parameter int Width = 4,
  parameter int Depth = 5
) (
  input logic             clk_i,
  input logic             rst_ni,
  input logic             clear_i,
  input logic             wvalid_i,
  input logic [Width-1:0] wdata_i,
  input logic             rready_i,
  input logic             mark_i
);

  logic wready, rvalid, push, pop;
  logic [Width-1:0] rdata;
  logic [$clog2(Depth+1)-1:0] count;

  fifo #(
    .Width(Width),
    .Depth(Depth)
  ) u_dut (
    .clk_i,
    .rst_ni,
    .clear_i,
    .wvalid_i,
    .wready_o(wready),
    .wdata_i,
    .rvalid_o(rvalid),
    .rready_i,
    .rdata_o (rdata),
    .count_o (count)
  );

  int held_q, ahead_q;  // words in the queue; those before the marked one
  logic marked_q;
  logic [Width-1:0] data_q;

  assign push = wvalid_i && wready;
  assign pop  = rvalid && rready_i;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      held_q   <= 0;
      ahead_q  <= 0;
      marked_q <= 1'b0;
      data_q   <= '0;
    end else if (clear_i) begin
      held_q   <= 0;
      marked_q <= 1'b0;
    end else begin
      held_q <= held_q + int'(push) - int'(pop);
      if (marked_q) begin
        ahead_q <= ahead_q - int'(pop);
        if (pop && ahead_q == 0) marked_q <= 1'b0;
      end else if (push && mark_i) begin
        marked_q <= 1'b1;
        ahead_q  <= held_q - int'(pop);
        data_q   <= wdata_i;
      end
    end
  end

  `ASSERT(never_overflows, held_q >= 0 && held_q <= Depth)
  `ASSERT(ready_while_room, wready == (held_q < Depth))
  `ASSERT(valid_while_word, rvalid == (held_q > 0))
  `ASSERT(counts, int'(count) == held_q)
  `ASSERT(marked_word_in_order, !(marked_q && rvalid && ahead_q == 0) || rdata == data_q)

  // What the induction needs to know of the inside.
  int place;
  assign place = int'(u_dut.rptr_q) + ahead_q;
  `ASSERT(marked_word_inside, !marked_q || (ahead_q >= 0 && ahead_q < held_q))
  `ASSERT(marked_word_kept, !marked_q || u_dut.mem[place >= Depth ? place - Depth : place] == data_q)

endmodule : fifo_proof
