// SPDX-License-Identifier: Apache-2.0
// What packet_fifo promises: committed words come out in order, none is lost or comes twice, a dropped word never comes
// out, and no word comes out before its commit.
//
// The solver marks any word with mark_i. Its place in the queue is counted at the ports; since the word may be any,
// what holds for it holds for all.
`include "assert.svh"

module packet_fifo_proof #(
  parameter int Width = 3,
  parameter int Depth = 4
) (
  input logic             clk_i,
  input logic             rst_ni,
  input logic             clear_i,
  input logic             wvalid_i,
  input logic             wcommit_i,
  input logic             wdrop_i,
  input logic [Width-1:0] wdata_i,
  input logic             rready_i,
  input logic             mark_i
);

  logic wready, rvalid, push, pop;
  logic [Width-1:0] rdata;

  packet_fifo #(
    .Width(Width),
    .Depth(Depth)
  ) u_dut (
    .clk_i,
    .rst_ni,
    .clear_i,
    .wvalid_i,
    .wready_o(wready),
    .wcommit_i,
    .wdrop_i,
    .wdata_i,
    .rvalid_o(rvalid),
    .rready_i,
    .rdata_o (rdata)
  );

  // Words that are committed, and those since the last commit; words before the marked one.
  int committed_q, open_q, ahead_q;
  logic marked_q, marked_open_q, waits_q;
  logic [Width-1:0] data_q;

  assign push = wvalid_i && wready;
  assign pop  = rvalid && rready_i;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      committed_q   <= 0;
      open_q        <= 0;
      ahead_q       <= 0;
      marked_q      <= 1'b0;
      marked_open_q <= 1'b0;
      waits_q       <= 1'b0;
      data_q        <= '0;
    end else if (clear_i) begin
      committed_q <= 0;
      open_q      <= 0;
      marked_q    <= 1'b0;
      waits_q     <= 1'b0;
    end else begin
      committed_q <= committed_q - int'(pop) + (push && wcommit_i && !wdrop_i ? open_q + 1 : 0);
      if (push) open_q <= wdrop_i || wcommit_i ? 0 : open_q + 1;
      waits_q <= committed_q - int'(pop) > 0;
      if (push && wcommit_i) marked_open_q <= 1'b0;
      if (marked_q) begin
        ahead_q <= ahead_q - int'(pop);
        if ((pop && ahead_q == 0) || (push && wdrop_i && marked_open_q)) marked_q <= 1'b0;
      end else if (push && !wdrop_i && mark_i) begin
        marked_q      <= 1'b1;
        marked_open_q <= !wcommit_i;
        ahead_q       <= committed_q + open_q - int'(pop);
        data_q        <= wdata_i;
      end
    end
  end

  `ASSERT(never_overflows, committed_q >= 0 && committed_q + open_q <= Depth + 1)
  `ASSERT(ready_while_room, wready || committed_q + open_q >= Depth)
  `ASSERT(only_committed_words, !rvalid || committed_q > 0)
  `ASSERT(word_is_shown_in_the_next_clock, !waits_q || rvalid)
  `ASSERT(marked_word_in_order, !(marked_q && rvalid && ahead_q == 0) || (rdata == data_q && !marked_open_q))

  // What the induction needs to know of the inside.
  localparam int AddrWidth = $clog2(Depth);
  logic [AddrWidth:0] stored, written;
  logic [AddrWidth-1:0] place;
  assign stored  = u_dut.commit_q - u_dut.rptr_q;
  assign written = u_dut.wptr_q - u_dut.commit_q;
  assign place   = AddrWidth'(int'(u_dut.rptr_q) + ahead_q - int'(rvalid));
  `ASSERT(committed_words_inside, int'(stored) + int'(rvalid) == committed_q && committed_q <= Depth + 1)
  `ASSERT(open_words_inside, int'(written) == open_q && open_q >= 0 && open_q <= Depth)
  `ASSERT(marked_word_inside, !marked_q || (ahead_q >= 0 && ahead_q < committed_q + open_q &&
          marked_open_q == (ahead_q >= committed_q)))
  `ASSERT(marked_word_kept, !marked_q || (rvalid && ahead_q == 0 ? rdata : u_dut.u_memory.mem[place]) == data_q)

endmodule : packet_fifo_proof
