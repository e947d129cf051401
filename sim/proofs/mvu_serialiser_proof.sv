// SPDX-License-Identifier: Apache-2.0
// What mvu_serialiser promises: blocks come out in the order in which they went in, each as precision_i planes, the
// most significant first, none lost and none twice; a word stays until it is taken. Its addresses are those of mvu_agu.
//
// The solver marks any block with mark_i. Its place in the queue is counted at the ports; since the block may be any,
// what holds for it holds for all.
`include "assert.svh"

module mvu_serialiser_proof
  import mvu_pkg::*;
#(
  parameter int Lanes = 2,
  parameter int AddrWidth = 4
) (
  input logic                          clk_i,
  input logic                          rst_ni,
  input logic                          start_i,
  input logic [                   4:0] precision_i,
  input logic [         AddrWidth-1:0] base_i,
  input logic [   OutputLoops*16-1:0]  jump_i,
  input logic [   OutputLoops*16-1:0]  length_i,
  input logic                          block_valid_i,
  input logic [Lanes*MaxPrecision-1:0] block_i,
  input logic                          taken_i,
  input logic                          mark_i
);

  logic freed, valid;
  logic [AddrWidth-1:0] addr, addr_q;
  logic [Lanes-1:0] data;

  mvu_serialiser #(
    .Lanes    (Lanes),
    .AddrWidth(AddrWidth)
  ) u_dut (
    .clk_i,
    .rst_ni,
    .start_i,
    .precision_i,
    .base_i,
    .jump_i,
    .length_i,
    .block_valid_i,
    .block_i,
    .freed_o(freed),
    .valid_o(valid),
    .taken_i,
    .addr_o (addr),
    .data_o (data)
  );

  // Blocks inside; those before the marked one; planes of the first block that are taken.
  int held_q, ahead_q, planes_q;
  logic marked_q, moves_q;
  logic [4:0] precision_q;
  logic [Lanes*MaxPrecision-1:0] block_q;
  logic last;

  assign last = valid && taken_i && planes_q == int'(precision_i) - 1;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      held_q      <= 0;
      ahead_q     <= 0;
      planes_q    <= 0;
      marked_q    <= 1'b0;
      moves_q     <= 1'b1;
      precision_q <= '0;
      block_q     <= '0;
      addr_q      <= '0;
    end else begin
      held_q      <= held_q + int'(block_valid_i) - int'(last);
      moves_q     <= start_i || (valid && taken_i);
      precision_q <= precision_i;
      addr_q      <= addr;
      if (valid && taken_i) planes_q <= last ? 0 : planes_q + 1;
      if (marked_q) begin
        ahead_q <= ahead_q - int'(last);
        if (last && ahead_q == 0) marked_q <= 1'b0;
      end else if (block_valid_i && mark_i) begin
        marked_q <= 1'b1;
        ahead_q  <= held_q - int'(last);
        block_q  <= block_i;
      end
    end
  end

  `ASSERT(precision_is_legal, precision_i >= 5'd1 && precision_i <= 5'd16)
  `ASSERT(precision_stays, held_q == 0 || precision_i == precision_q)

  `ASSERT(begun_only_where_room, !block_valid_i || held_q < OutputFifoDepth)

  `ASSERT(valid_while_block, valid == (held_q > 0))
  `ASSERT(freed_with_last_plane, freed == last)
  `ASSERT(planes_in_order, !(marked_q && valid && ahead_q == 0) ||
          data == block_q[(int'(precision_i)-1-planes_q)*Lanes+:Lanes])
  `ASSERT(address_stays, moves_q || addr == addr_q)

  // What the induction needs to know of the inside.
  int place;
  assign place = int'(u_dut.u_blocks.rptr_q) + ahead_q;
  `ASSERT(planes_counted, int'(u_dut.plane_q) == planes_q && planes_q >= 0 && planes_q < 16 &&
          (held_q == 0 ? planes_q == 0 : planes_q < int'(precision_q)))
  `ASSERT(blocks_counted, int'(u_dut.u_blocks.count_q) == held_q && held_q >= 0 && held_q <= OutputFifoDepth)
  `ASSERT(marked_block_inside, !marked_q || (ahead_q >= 0 && ahead_q < held_q))
  `ASSERT(marked_block_kept, !marked_q ||
          u_dut.u_blocks.mem[place >= OutputFifoDepth ? place - OutputFifoDepth : place] == block_q)

endmodule : mvu_serialiser_proof
