// SPDX-License-Identifier: Apache-2.0
// Memory of 32-bit words with two ports: one reads, the other reads or writes bytes.
//
// An address given with its enable gives the word in the next clock, kept until the next one. A word read in the clock
// of its write is the old one. There is no reset; in simulation the content starts at 0.
module controller_ram #(
  parameter int Words = 8192,
  parameter int AddrWidth = $clog2(Words)
) (
  input  logic                 clk_i,
  input  logic                 fetch_i,
  input  logic [AddrWidth-1:0] fetch_addr_i,
  output logic [         31:0] fetch_rdata_o,
  input  logic                 req_i,
  input  logic [          3:0] we_i,
  input  logic [AddrWidth-1:0] addr_i,
  input  logic [         31:0] wdata_i,
  output logic [         31:0] rdata_o
);

  logic [31:0] mem [Words];

  always_ff @(posedge clk_i) begin
    if (fetch_i) fetch_rdata_o <= mem[fetch_addr_i];
  end

  always_ff @(posedge clk_i) begin
    if (req_i) begin
      for (int i = 0; i < 4; i++) begin
        if (we_i[i]) mem[addr_i][8*i+:8] <= wdata_i[8*i+:8];
      end
      rdata_o <= mem[addr_i];
    end
  end

`ifndef SYNTHESIS
  initial begin
    for (int i = 0; i < Words; i++) mem[i] = '0;
  end
`endif

endmodule : controller_ram
