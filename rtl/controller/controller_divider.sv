// SPDX-License-Identifier: Apache-2.0
// Divider of the M extension: one bit of the quotient a clock, requests of the harts in order.
//
// A hart has one request under way, so the queue never overflows. valid_o keeps its result until ready_i. Vol. I table
// 11: a division by zero gives all ones and the dividend, an overflow the dividend and 0; both come by themselves from
// dividing the absolute values, if only the quotient by zero is not negated.
`include "assert.svh"

module controller_divider #(
  parameter int Harts = 8,
  parameter int HartWidth = Harts > 1 ? $clog2(Harts) : 1
) (
  input  logic                 clk_i,
  input  logic                 rst_ni,
  input  logic                 request_i,
  input  logic [HartWidth-1:0] hart_i,
  // As in funct3: 0 div, 1 divu, 2 rem, 3 remu
  input  logic [          1:0] funct_i,
  input  logic [         31:0] dividend_i,
  input  logic [         31:0] divisor_i,
  output logic                 valid_o,
  input  logic                 ready_i,
  output logic [HartWidth-1:0] hart_o,
  output logic [         31:0] result_o
);

  localparam int Depth = Harts > 1 ? Harts : 2;
  localparam int CountWidth = $clog2(Depth + 1);

  logic room, queued, start;
  logic [HartWidth-1:0] hart, hart_q;
  logic [1:0] funct;
  logic [31:0] dividend, divisor, quotient_q, remainder_q, divisor_q;
  logic [32:0] shifted, difference;
  logic [4:0] bit_q;
  logic busy_q, done_q, remainder_wanted_q, negate_q, negative;
  logic [CountWidth-1:0] unused_count;

  fifo #(
    .Width(HartWidth + 2 + 64),
    .Depth(Depth)
  ) u_requests (
    .clk_i,
    .rst_ni,
    .clear_i (1'b0),
    .wvalid_i(request_i),
    .wready_o(room),
    .wdata_i ({hart_i, funct_i, dividend_i, divisor_i}),
    .rvalid_o(queued),
    .rready_i(start),
    .rdata_o ({hart, funct, dividend, divisor}),
    .count_o (unused_count)
  );

  assign start      = queued && !busy_q && !done_q;
  assign shifted    = {remainder_q, quotient_q[31]};
  assign difference = shifted - {1'b0, divisor_q};
  // The remainder has the dividend's sign.
  assign negative   = dividend[31] ^ (!funct[1] && divisor[31]);

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      busy_q             <= 1'b0;
      done_q             <= 1'b0;
      bit_q              <= '0;
      hart_q             <= '0;
      remainder_wanted_q <= 1'b0;
      negate_q           <= 1'b0;
      quotient_q         <= '0;
      remainder_q        <= '0;
      divisor_q          <= '0;
    end else if (start) begin
      busy_q             <= 1'b1;
      hart_q             <= hart;
      remainder_wanted_q <= funct[1];
      negate_q           <= !funct[0] && negative && (funct[1] || divisor != '0);
      quotient_q         <= !funct[0] && dividend[31] ? -dividend : dividend;
      remainder_q        <= '0;
      divisor_q          <= !funct[0] && divisor[31] ? -divisor : divisor;
    end else if (busy_q) begin
      bit_q       <= bit_q + 5'd1;
      quotient_q  <= {quotient_q[30:0], !difference[32]};
      remainder_q <= difference[32] ? shifted[31:0] : difference[31:0];
      busy_q      <= bit_q != '1;
      done_q      <= bit_q == '1;
    end else if (ready_i) begin
      done_q <= 1'b0;
    end
  end

  logic [31:0] magnitude;
  assign magnitude = remainder_wanted_q ? remainder_q : quotient_q;
  assign valid_o   = done_q;
  assign hart_o    = hart_q;
  assign result_o  = negate_q ? -magnitude : magnitude;

  `ASSERT(request_room, !request_i || room)
  `ASSERT(answer_taken_before_next, !(busy_q && done_q))
  `ASSERT_STREAM(answer, 32, valid_o, ready_i, result_o)

endmodule : controller_divider
