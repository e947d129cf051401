// SPDX-License-Identifier: Apache-2.0
// What mvu_agu promises, without the corrections for padding: with the jumps of strides, the address of a position is
// base + sum of index * stride, and the indices count as nested loops do, the outermost without end.
//
// The jump of loop k is its stride less the way that the loops inside it have gone: length * stride of each.
`include "assert.svh"

module mvu_agu_proof #(
  parameter int Loops = 4,
  parameter int AddrWidth = 3
) (
  input logic                       clk_i,
  input logic                       rst_ni,
  input logic                       init_i,
  input logic                       step_i,
  input logic [      AddrWidth-1:0] base_i,
  input logic [Loops*AddrWidth-1:0] stride_i,
  input logic [         Loops*2-1:0] length_i
);

  // The job, as init_i finds it, and then as it stays.
  logic [AddrWidth-1:0] base_q, base;
  logic [Loops*AddrWidth-1:0] stride_q, stride;
  logic [Loops*2-1:0] length_q, length;
  logic started_q;

  assign base   = init_i ? base_i : base_q;
  assign stride = init_i ? stride_i : stride_q;
  assign length = init_i ? length_i : length_q;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      started_q <= 1'b0;
      base_q    <= '0;
      stride_q  <= '0;
      length_q  <= '0;
    end else begin
      started_q <= started_q || init_i;
      base_q    <= base;
      stride_q  <= stride;
      length_q  <= length;
    end
  end

  logic [Loops*16-1:0] jumps, lengths;
  logic [AddrWidth-1:0] addr;
  logic [$clog2(Loops)-1:0] jump;

  always_comb begin
    jumps   = '0;
    lengths = '0;
    for (int k = 0; k < Loops; k++) begin
      automatic logic [AddrWidth-1:0] way = stride[k*AddrWidth+:AddrWidth];
      for (int j = k + 1; j < Loops; j++) way = way - AddrWidth'(length[j*2+:2]) * stride[j*AddrWidth+:AddrWidth];
      jumps[k*16+:AddrWidth] = way;
      lengths[k*16+:2]       = length[k*2+:2];
    end
  end

  mvu_agu #(
    .Loops    (Loops),
    .AddrWidth(AddrWidth)
  ) u_dut (
    .clk_i,
    .rst_ni,
    .init_i,
    .step_i,
    .base_i        (base),
    .jump_i        (jumps),
    .length_i      (lengths),
    .skip_rows_i   (16'd0),
    .skip_columns_i(16'd0),
    .enter_i       (AddrWidth'(0)),
    .again_i       (AddrWidth'(0)),
    .gap_i         (AddrWidth'(0)),
    .addr_o        (addr),
    .jump_o        (jump)
  );

  // The indices of nested loops: as a number whose digits run up to their lengths.
  logic [Loops*AddrWidth-1:0] index_q, index_d;
  logic [AddrWidth-1:0] place;
  int innermost;

  always_comb begin
    automatic logic carry = 1'b1;
    index_d   = index_q;
    innermost = 0;
    place     = base_q;
    for (int k = Loops - 1; k >= 0; k--) begin
      if (carry) begin
        if (k > 0 && index_q[k*AddrWidth+:AddrWidth] == AddrWidth'(length_q[k*2+:2])) begin
          index_d[k*AddrWidth+:AddrWidth] = '0;
        end else begin
          index_d[k*AddrWidth+:AddrWidth] = index_q[k*AddrWidth+:AddrWidth] + 1'b1;
          innermost = k;
          carry     = 1'b0;
        end
      end
      place = place + index_q[k*AddrWidth+:AddrWidth] * stride_q[k*AddrWidth+:AddrWidth];
    end
  end

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) index_q <= '0;
    else if (init_i) index_q <= '0;
    else if (step_i) index_q <= index_d;
  end

  `ASSERT(address_of_the_indices, !started_q || addr == place)
  `ASSERT(jump_of_the_innermost, !started_q || init_i || int'(jump) == innermost)

  // What the induction needs to know of the inside.
  for (genvar k = 1; k < Loops; k++) begin : gen_loop
    `ASSERT(indices_counted, !started_q || u_dut.gen_loop[k].count_q == 16'(index_q[k*AddrWidth+:AddrWidth]))
    `ASSERT(indices_in_range, !started_q || index_q[k*AddrWidth+:AddrWidth] <= AddrWidth'(length_q[k*2+:2]))
  end

endmodule : mvu_agu_proof
