// SPDX-License-Identifier: Apache-2.0
// Residual input: reads an earlier tensor from the data memory ahead of the outputs it is added to, gathers
// its bit planes and keeps the values ready.
//
// start_i begins a job (and forgets the one before). Words are read MSB plane first in the order of the
// address generator. ready_o: a value is there that no output has claimed yet; claim_i claims it, and take_i, some
// clocks later and in the same order, removes it. With enable_i low ready_o is always high.
`include "assert.svh"

module mvu_residual
  import mvu_pkg::*;
#(
  parameter int Lanes = 64,
  parameter int AddrWidth = 15
) (
  input  logic                        clk_i,
  input  logic                        rst_ni,
  input  logic                        start_i,
  input  logic                        stop_i,
  input  logic                        enable_i,
  input  logic [                 4:0] precision_i,
  input  logic                        signed_i,
  input  logic [       AddrWidth-1:0] base_i,
  input  logic [ResidualLoops*16-1:0] jump_i,
  input  logic [ResidualLoops*16-1:0] length_i,
  // Data memory
  output logic                        read_req_o,
  input  logic                        read_gnt_i,
  output logic [       AddrWidth-1:0] read_addr_o,
  input  logic [           Lanes-1:0] read_data_i,  // one clock after the grant
  // Values, one of 17 bits for each lane (signed, so that 16 unsigned bits fit)
  output logic                        ready_o,
  input  logic                        claim_i,
  input  logic                        take_i,
  output logic [        Lanes*17-1:0] value_o
);

  localparam int CountWidth = $clog2(ResidualFifoDepth + 1);

  logic running_q, word_valid_q, word_first_q, word_last_q, last_word, value_valid_q;
  logic [3:0] word_q;
  logic [CountWidth-1:0] free_q, unclaimed_q;
  logic [2:0] unused_jump;
  logic unused_ready, unused_valid;
  logic [CountWidth-1:0] unused_count;
  logic [Lanes*17-1:0] gathered_q;

  assign last_word  = word_q == 4'(precision_i - 5'd1);
  assign read_req_o = running_q && (word_q != '0 || free_q != '0);

  mvu_agu #(
    .Loops    (ResidualLoops),
    .AddrWidth(AddrWidth)
  ) u_agu (
    .clk_i,
    .rst_ni,
    .init_i        (start_i),
    .step_i        (read_req_o && read_gnt_i),
    .base_i,
    .jump_i,
    .length_i,
    .skip_rows_i   (16'd0),
    .skip_columns_i(16'd0),
    .enter_i       (AddrWidth'(0)),
    .again_i       (AddrWidth'(0)),
    .gap_i         (AddrWidth'(0)),
    .addr_o        (read_addr_o),
    .jump_o        (unused_jump)
  );

  // A slot is taken with a value's first word and given back when the value is taken.
  logic reserve;
  assign reserve = read_req_o && read_gnt_i && word_q == '0;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      running_q    <= 1'b0;
      word_q       <= '0;
      free_q       <= CountWidth'(ResidualFifoDepth);
      unclaimed_q  <= '0;
      word_valid_q <= 1'b0;
      word_first_q <= 1'b0;
      word_last_q  <= 1'b0;
      value_valid_q <= 1'b0;
    end else if (start_i || stop_i) begin
      running_q    <= start_i && enable_i;
      word_q       <= '0;
      free_q       <= CountWidth'(ResidualFifoDepth);
      unclaimed_q  <= '0;
      word_valid_q <= 1'b0;
      word_first_q <= 1'b0;
      word_last_q  <= 1'b0;
      value_valid_q <= 1'b0;
    end else if (running_q) begin
      word_valid_q <= read_req_o && read_gnt_i;
      word_first_q <= word_q == '0;
      word_last_q  <= last_word;
      value_valid_q <= word_valid_q && word_last_q;
      if (read_req_o && read_gnt_i) word_q <= last_word ? '0 : word_q + 4'd1;
      if (reserve != take_i) free_q <= take_i ? free_q + 1'b1 : free_q - 1'b1;
      if (value_valid_q != claim_i) unclaimed_q <= value_valid_q ? unclaimed_q + 1'b1 : unclaimed_q - 1'b1;
    end
  end

  // Each plane enters from below; the first one, the MSB, also gives the sign.

  always_ff @(posedge clk_i) begin
    if (word_valid_q) begin
      /* verilator unroll_disable */
      for (int i = 0; i < Lanes; i++) begin
        gathered_q[i*17+:17] <= word_first_q ? {{16{signed_i & read_data_i[i]}}, read_data_i[i]}
                                             : {gathered_q[i*17+:16], read_data_i[i]};
      end
    end
  end

  fifo #(
    .Width(Lanes * 17),
    .Depth(ResidualFifoDepth)
  ) u_values (
    .clk_i,
    .rst_ni,
    .clear_i (start_i || stop_i),
    .wvalid_i(value_valid_q),
    .wready_o(unused_ready),
    .wdata_i (gathered_q),
    .rvalid_o(unused_valid),
    .rready_i(take_i),
    .rdata_o (value_o),
    .count_o (unused_count)
  );

  assign ready_o = !enable_i || unclaimed_q != '0;

  `ASSERT(room_for_value, !value_valid_q || unused_ready)
  `ASSERT(value_for_output, !(take_i && running_q) || unused_valid)

endmodule : mvu_residual
