// SPDX-License-Identifier: Apache-2.0
// First-in first-out buffer in a memory for whole packets: a packet can be read once all of it is there.
//
// Every beat is written as it comes; wcommit_i with the last beat of a packet makes the packet readable, wdrop_i
// with a beat forgets that beat and all since the last commit. wready_o is low while the memory is full: a packet must
// not be longer than Depth, a power of two. rdata_o is valid while rvalid_o; it comes from the memory's output
// register, two clocks after the commit at the earliest, one beat a clock.
`include "assert.svh"

module packet_fifo #(
  parameter int Width = 64,
  parameter int Depth = 1024
) (
  input  logic             clk_i,
  input  logic             rst_ni,
  input  logic             clear_i,
  input  logic             wvalid_i,
  output logic             wready_o,
  input  logic             wcommit_i,
  input  logic             wdrop_i,
  input  logic [Width-1:0] wdata_i,
  output logic             rvalid_o,
  input  logic             rready_i,
  output logic [Width-1:0] rdata_o
);

  localparam int AddrWidth = $clog2(Depth);

  // One bit more than an address, so that full and empty differ.
  logic [AddrWidth:0] wptr_q, commit_q, rptr_q, used;
  logic push, read, rvalid_q;

  // A word counts as used until its successor is read from the memory, so the output register holds no extra one.
  assign used     = wptr_q - rptr_q;
  assign wready_o = used != (AddrWidth + 1)'(Depth);
  assign push     = wvalid_i & wready_o;
  assign read     = rptr_q != commit_q && (!rvalid_q || rready_i);
  assign rvalid_o = rvalid_q;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      wptr_q   <= '0;
      commit_q <= '0;
      rptr_q   <= '0;
      rvalid_q <= 1'b0;
    end else if (clear_i) begin
      wptr_q   <= '0;
      commit_q <= '0;
      rptr_q   <= '0;
      rvalid_q <= 1'b0;
    end else begin
      if (push) begin
        wptr_q <= wdrop_i ? commit_q : wptr_q + 1'b1;
        if (wcommit_i && !wdrop_i) commit_q <= wptr_q + 1'b1;
      end
      if (read) rptr_q <= rptr_q + 1'b1;
      rvalid_q <= read || (rvalid_q && !rready_i);
    end
  end

  ram_1r1w #(
    .Width(Width),
    .Depth(Depth)
  ) u_memory (
    .clk_i,
    .re_i   (read),
    .raddr_i(rptr_q[AddrWidth-1:0]),
    .rdata_o,
    .we_i   (push),
    .waddr_i(wptr_q[AddrWidth-1:0]),
    .wpart_i(1'b0),
    .wdata_i
  );

  `ASSERT(holds_no_more_than_depth, used <= (AddrWidth + 1)'(Depth))
  `ASSERT(reads_only_committed, commit_q - rptr_q <= used)

endmodule : packet_fifo
