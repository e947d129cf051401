// SPDX-License-Identifier: Apache-2.0
// Registers x0 to x31 of all harts, in memories of two read ports and one write port.
//
// An address given in one clock gives its word in the next. There is no reset: x0 is held at 0 by the user of the
// words. A word read in the clock of its write is the old one, which no hart does to itself.
module controller_regfile #(
  parameter int Harts = 8,
  parameter int HartWidth = Harts > 1 ? $clog2(Harts) : 1
) (
  input  logic                 clk_i,
  input  logic [HartWidth-1:0] rhart_i,
  input  logic [          4:0] rs1_i,
  input  logic [          4:0] rs2_i,
  output logic [         31:0] rs1_rdata_o,
  output logic [         31:0] rs2_rdata_o,
  input  logic                 we_i,
  input  logic [HartWidth-1:0] whart_i,
  input  logic [          4:0] rd_i,
  input  logic [         31:0] wdata_i
);

  // With one hart, less than hart and register.
  localparam int AddrWidth = $clog2(32 * Harts);

  logic [31:0] mem [32 * Harts];

  always_ff @(posedge clk_i) begin
    if (we_i) mem[AddrWidth'({whart_i, rd_i})] <= wdata_i;
    rs1_rdata_o <= mem[AddrWidth'({rhart_i, rs1_i})];
    rs2_rdata_o <= mem[AddrWidth'({rhart_i, rs2_i})];
  end

`ifndef SYNTHESIS
  initial begin
    for (int i = 0; i < 32 * Harts; i++) mem[i] = '0;
  end
`endif

endmodule : controller_regfile
