// SPDX-License-Identifier: Apache-2.0
// Serialiser: writes output blocks as bit planes, most significant first, one word a clock.
//
// Blocks arrive without back-pressure (the sequencer only begins outputs that fit: OutputFifoDepth). A word is
// offered with valid_o until taken_i; then the output address generator steps. freed_o: a block's last word was taken.
`include "assert.svh"

module mvu_serialiser
  import mvu_pkg::*;
#(
  parameter int Lanes = 64,
  parameter int AddrWidth = 16
) (
  input  logic                          clk_i,
  input  logic                          rst_ni,
  input  logic                          start_i,      // loads the address generator for a new job
  input  logic [                   4:0] precision_i,
  input  logic [         AddrWidth-1:0] base_i,
  input  logic [   OutputLoops*16-1:0]  jump_i,
  input  logic [   OutputLoops*16-1:0]  length_i,
  input  logic                          block_valid_i,
  input  logic [Lanes*MaxPrecision-1:0] block_i,  // bit planes, plane p at p*Lanes
  output logic                          freed_o,
  output logic                          valid_o,
  input  logic                          taken_i,
  output logic [         AddrWidth-1:0] addr_o,
  output logic [             Lanes-1:0] data_o
);

  logic [Lanes*MaxPrecision-1:0] block;
  logic [3:0] plane_q, plane;  // planes written; index of the plane to write
  logic last_plane, room;
  logic [2:0] unused_jump;
  logic [$clog2(OutputFifoDepth+1)-1:0] unused_count;

  fifo #(
    .Width(Lanes * MaxPrecision),
    .Depth(OutputFifoDepth)
  ) u_blocks (
    .clk_i,
    .rst_ni,
    .clear_i (1'b0),
    .wvalid_i(block_valid_i),
    .wready_o(room),
    .wdata_i (block_i),
    .rvalid_o(valid_o),
    .rready_i(taken_i && last_plane),
    .rdata_o (block),
    .count_o (unused_count)
  );

  mvu_agu #(
    .Loops    (OutputLoops),
    .AddrWidth(AddrWidth)
  ) u_agu (
    .clk_i,
    .rst_ni,
    .init_i        (start_i),
    .step_i        (valid_o && taken_i),
    .base_i,
    .jump_i,
    .length_i,
    .skip_rows_i   (16'd0),
    .skip_columns_i(16'd0),
    .enter_i       (AddrWidth'(0)),
    .again_i       (AddrWidth'(0)),
    .gap_i         (AddrWidth'(0)),
    .addr_o,
    .jump_o        (unused_jump)
  );

  assign last_plane = plane_q == 4'(precision_i - 5'd1);
  assign plane      = 4'(precision_i - 5'd1) - plane_q;
  assign freed_o    = valid_o && taken_i && last_plane;
  assign data_o     = block[int'(plane)*Lanes+:Lanes];

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) plane_q <= '0;
    else if (valid_o && taken_i) plane_q <= last_plane ? '0 : plane_q + 4'd1;
  end

  `ASSERT(block_has_room, !block_valid_i || room)

endmodule : mvu_serialiser
