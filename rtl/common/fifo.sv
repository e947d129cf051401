// SPDX-License-Identifier: Apache-2.0
// First-in first-out buffer of registers, any depth from 2.
//
// wready_o is high while there is room, rvalid_o while there is a word; both come from registers, so neither
// depends on the other side's signal of the same clock. rdata_o is the oldest word, in the clock after its write at
// the earliest. clear_i empties the buffer and wins over a write of the same clock.
`include "assert.svh"

module fifo #(
  parameter int Width = 8,
  parameter int Depth = 4,
  parameter int CountWidth = $clog2(Depth + 1)
) (
  input  logic                  clk_i,
  input  logic                  rst_ni,
  input  logic                  clear_i,
  input  logic                  wvalid_i,
  output logic                  wready_o,
  input  logic [     Width-1:0] wdata_i,
  output logic                  rvalid_o,
  input  logic                  rready_i,
  output logic [     Width-1:0] rdata_o,
  output logic [CountWidth-1:0] count_o
);

  localparam int PtrWidth = $clog2(Depth);

  logic [Width-1:0] mem [Depth];
  logic [PtrWidth-1:0] wptr_q, rptr_q;
  logic [CountWidth-1:0] count_q;
  logic push, pop;

  assign wready_o = count_q != CountWidth'(Depth);
  assign rvalid_o = count_q != '0;
  assign rdata_o  = mem[rptr_q];
  assign count_o  = count_q;
  assign push     = wvalid_i & wready_o;
  assign pop      = rvalid_o & rready_i;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      wptr_q  <= '0;
      rptr_q  <= '0;
      count_q <= '0;
    end else if (clear_i) begin
      wptr_q  <= '0;
      rptr_q  <= '0;
      count_q <= '0;
    end else begin
      if (push) wptr_q <= wptr_q == PtrWidth'(Depth - 1) ? '0 : wptr_q + 1'b1;
      if (pop) rptr_q <= rptr_q == PtrWidth'(Depth - 1) ? '0 : rptr_q + 1'b1;
      if (push != pop) count_q <= push ? count_q + 1'b1 : count_q - 1'b1;
    end
  end

  always_ff @(posedge clk_i) begin
    if (push) mem[wptr_q] <= wdata_i;
  end

`ifdef FORMAL
  // What an induction needs to know of every buffer.
  `ASSERT(pointers_in_range, int'(rptr_q) < Depth && int'(wptr_q) < Depth)
  `ASSERT(pointers_apart, int'(wptr_q) == (int'(rptr_q) + int'(count_q)) % Depth && int'(count_q) <= Depth)
`endif

endmodule : fifo
