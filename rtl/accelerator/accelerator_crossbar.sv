// SPDX-License-Identifier: Apache-2.0
// Crossbar between MVUs: every unit's output words to any set of units' data memories.
//
// A word goes to all units of its dest that exist; without any it is taken and dropped. Every destination takes one
// word a clock, from the source it served longest ago, and stays with a word that it has been offered. Destinations of
// one word may take it in different clocks: served_q is the set of those that have it. xbo_ready_o is high in the
// clock in which the last of them takes it, so that nothing is ever stored here and a source's words keep their order.
//
// xbo_ready_o speaks of a valid word only; xbi_valid_o does not depend on xbi_ready_i. Unit m's part of a vector is
// m*Width +: Width.
`include "assert.svh"

module accelerator_crossbar #(
  parameter int Mvus = 8,
  parameter int Lanes = 64
) (
  input  logic                  clk_i,
  input  logic                  rst_ni,
  // From the units
  input  logic [      Mvus-1:0] xbo_valid_i,
  output logic [      Mvus-1:0] xbo_ready_o,
  input  logic [    Mvus*8-1:0] xbo_dest_i,
  input  logic [   Mvus*16-1:0] xbo_addr_i,
  input  logic [Mvus*Lanes-1:0] xbo_data_i,
  // To the units
  output logic [      Mvus-1:0] xbi_valid_o,
  input  logic [      Mvus-1:0] xbi_ready_i,
  output logic [   Mvus*16-1:0] xbi_addr_o,
  output logic [Mvus*Lanes-1:0] xbi_data_o
);

  // Bit s*Mvus+d of want, taken and served: source s, destination d.
  logic [Mvus*Mvus-1:0] want, taken, served_q;

  for (genvar s = 0; s < Mvus; s++) begin : gen_source
    logic [Mvus-1:0] still;
    // The fields of a word that is not valid may be unknown.
    assign want[s*Mvus+:Mvus] = xbo_dest_i[s*8+:Mvus] & {Mvus{xbo_valid_i[s]}} & ~served_q[s*Mvus+:Mvus];
    assign still              = want[s*Mvus+:Mvus] & ~taken[s*Mvus+:Mvus];
    assign xbo_ready_o[s]     = xbo_valid_i[s] && still == '0;

    always_ff @(posedge clk_i or negedge rst_ni) begin
      if (!rst_ni) served_q[s*Mvus+:Mvus] <= '0;
      else if (xbo_ready_o[s]) served_q[s*Mvus+:Mvus] <= '0;
      else served_q[s*Mvus+:Mvus] <= served_q[s*Mvus+:Mvus] | taken[s*Mvus+:Mvus];
    end

    `ASSERT_STREAM(xbo, Lanes + 24, xbo_valid_i[s], xbo_ready_o[s],
                   {xbo_dest_i[s*8+:8], xbo_addr_i[s*16+:16], xbo_data_i[s*Lanes+:Lanes]})
    `ASSERT(each_unit_once, (taken[s*Mvus+:Mvus] & served_q[s*Mvus+:Mvus]) == '0)
  end

  for (genvar d = 0; d < Mvus; d++) begin : gen_destination
    logic [Mvus-1:0] request, grant;

    for (genvar s = 0; s < Mvus; s++) begin : gen_request
      assign request[s]      = want[s*Mvus+d];
      assign taken[s*Mvus+d] = grant[s] && xbi_ready_i[d];
    end

    accelerator_arbiter #(
      .NumReq(Mvus)
    ) u_arbiter (
      .clk_i,
      .rst_ni,
      .req_i  (request),
      .gnt_o  (grant),
      .ready_i(xbi_ready_i[d])
    );

    logic [15:0] addr;
    logic [Lanes-1:0] data;

    always_comb begin
      addr = '0;
      data = '0;
      if (grant != '0) begin
        for (int s = 0; s < Mvus; s++) begin
          addr = addr | (xbo_addr_i[s*16+:16] & {16{grant[s]}});
          data = data | (xbo_data_i[s*Lanes+:Lanes] & {Lanes{grant[s]}});
        end
      end
    end

    assign xbi_valid_o[d]             = grant != '0;
    assign xbi_addr_o[d*16+:16]       = addr;
    assign xbi_data_o[d*Lanes+:Lanes] = data;

    `ASSERT_STREAM(xbi, Lanes + 16, xbi_valid_o[d], xbi_ready_i[d], {addr, data})
  end

  if (Mvus < 8) begin : gen_missing
    logic unused_dest;
    assign unused_dest = ^xbo_dest_i;
  end

endmodule : accelerator_crossbar
