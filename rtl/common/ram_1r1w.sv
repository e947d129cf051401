// SPDX-License-Identifier: Apache-2.0
// Memory with one read and one write port on one clock.
//
// A read with re_i gives its word in the next clock and keeps it until the next read. A read of the word that is
// written in the same clock gives the old content. The content is unknown until written; there is no reset.
// WriteWidth divides Width: a write replaces the part wpart_i of a word.
module ram_1r1w #(
  parameter int Width = 64,
  parameter int Depth = 1024,
  parameter int WriteWidth = Width,
  parameter int AddrWidth = Depth > 1 ? $clog2(Depth) : 1,
  parameter int PartWidth = Width > WriteWidth ? $clog2(Width / WriteWidth) : 1
) (
  input  logic                  clk_i,
  input  logic                  re_i,
  input  logic [ AddrWidth-1:0] raddr_i,
  output logic [     Width-1:0] rdata_o,
  input  logic                  we_i,
  input  logic [ AddrWidth-1:0] waddr_i,
  input  logic [ PartWidth-1:0] wpart_i,
  input  logic [WriteWidth-1:0] wdata_i
);

  logic [Width-1:0] mem [Depth];

  if (WriteWidth == Width) begin : gen_whole
    logic unused_part;
    assign unused_part = ^wpart_i;
    always_ff @(posedge clk_i) begin
      if (we_i) mem[waddr_i] <= wdata_i;
    end
  end else begin : gen_part
    always_ff @(posedge clk_i) begin
      if (we_i) mem[waddr_i][int'(wpart_i)*WriteWidth+:WriteWidth] <= wdata_i;
    end
  end

  always_ff @(posedge clk_i) begin
    if (re_i) rdata_o <= mem[raddr_i];
  end

endmodule : ram_1r1w
