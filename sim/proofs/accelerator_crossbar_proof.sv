// SPDX-License-Identifier: Apache-2.0
// What accelerator_crossbar promises: each word reaches each unit of its dest once, unchanged, and no other; a unit that
// is asked for is offered a word.
`include "assert.svh"

module accelerator_crossbar_proof #(
  parameter int Mvus = 3,
  parameter int Lanes = 1
) (
  input logic                  clk_i,
  input logic                  rst_ni,
  input logic [      Mvus-1:0] xbo_valid_i,
  input logic [    Mvus*8-1:0] xbo_dest_i,
  input logic [   Mvus*16-1:0] xbo_addr_i,
  input logic [Mvus*Lanes-1:0] xbo_data_i,
  input logic [      Mvus-1:0] xbi_ready_i
);

  logic [Mvus-1:0] xbo_ready, xbi_valid;
  logic [Mvus*16-1:0] xbi_addr;
  logic [Mvus*Lanes-1:0] xbi_data;

  accelerator_crossbar #(
    .Mvus (Mvus),
    .Lanes(Lanes)
  ) u_dut (
    .clk_i,
    .rst_ni,
    .xbo_valid_i,
    .xbo_ready_o(xbo_ready),
    .xbo_dest_i,
    .xbo_addr_i,
    .xbo_data_i,
    .xbi_valid_o(xbi_valid),
    .xbi_ready_i,
    .xbi_addr_o (xbi_addr),
    .xbi_data_o (xbi_data)
  );

  for (genvar s = 0; s < Mvus; s++) begin : gen_source
    logic [Mvus-1:0] from, got, got_q;  // units that are offered this word, take it, and have it
    // The crossbar does not look at addresses, so they may say where a word comes from.
    `ASSERT(address_names_source, !xbo_valid_i[s] || xbo_addr_i[s*16+14+:2] == 2'(s))

    for (genvar d = 0; d < Mvus; d++) begin : gen_destination
      assign from[d] = xbi_valid[d] && xbi_addr[d*16+14+:2] == 2'(s);
      `ASSERT(word_arrives_unchanged, !from[d] || (xbo_valid_i[s] && xbi_addr[d*16+:16] == xbo_addr_i[s*16+:16] &&
              xbi_data[d*Lanes+:Lanes] == xbo_data_i[s*Lanes+:Lanes]))
      `ASSERT(offered_to_its_units, !from[d] || xbo_dest_i[s*8+d])
      `ASSERT(offered_once, !(from[d] && got_q[d]))
      `ASSERT(asked_for_is_offered, !(xbo_valid_i[s] && xbo_dest_i[s*8+d] && !got_q[d]) || xbi_valid[d])
    end

    assign got = got_q | (from & xbi_ready_i);
    `ASSERT(taken_when_all_have_it, !xbo_valid_i[s] || xbo_ready[s] == (got == xbo_dest_i[s*8+:Mvus]))

    always_ff @(posedge clk_i or negedge rst_ni) begin
      if (!rst_ni) got_q <= '0;
      else got_q <= xbo_valid_i[s] && xbo_ready[s] ? '0 : got;
    end

    // What the induction needs to know of the inside.
    `ASSERT(served_is_known, u_dut.served_q[s*Mvus+:Mvus] == got_q)
    `ASSERT(had_only_by_its_units, got_q == '0 || (xbo_valid_i[s] && (got_q & ~xbo_dest_i[s*8+:Mvus]) == '0))
  end

  for (genvar d = 0; d < Mvus; d++) begin : gen_offer
    `ASSERT(offer_has_source, !xbi_valid[d] || int'(xbi_addr[d*16+14+:2]) < Mvus)
  end

endmodule : accelerator_crossbar_proof
