// SPDX-License-Identifier: Apache-2.0
// What controller_divider promises: each request is answered once, in order, to its own hart, 32 clocks after its start,
// with the quotient or the remainder that volume I of the RISC-V specification defines, for all operands.
//
// A multiplier of 32 by 32 bits is out of the solver's reach. So the model multiplies as it goes: with each digit of the
// quotient it doubles the product and adds the divisor if the digit is 1 (Horner's rule), and the digits are what the
// result must show.
`include "assert.svh"

module controller_divider_proof #(
  parameter int Harts = 2,
  parameter int HartWidth = Harts > 1 ? $clog2(Harts) : 1
) (
  input logic                 clk_i,
  input logic                 rst_ni,
  input logic                 request_i,
  input logic [HartWidth-1:0] hart_i,
  input logic [          1:0] funct_i,
  input logic [         31:0] dividend_i,
  input logic [         31:0] divisor_i,
  input logic                 ready_i
);

  localparam int Depth = Harts > 1 ? Harts : 2;

  logic valid;
  logic [HartWidth-1:0] hart;
  logic [31:0] result;

  controller_divider #(
    .Harts(Harts)
  ) u_dut (
    .clk_i,
    .rst_ni,
    .request_i,
    .hart_i,
    .funct_i,
    .dividend_i,
    .divisor_i,
    .valid_o (valid),
    .ready_i,
    .hart_o  (hart),
    .result_o(result)
  );

  typedef struct packed {
    logic [HartWidth-1:0] hart;
    logic [1:0]           funct;
    logic [31:0]          dividend;
    logic [31:0]          divisor;
  } job_t;

  // Requests that have not begun.
  logic queued, begins, room;
  job_t next, job_q;
  logic [$clog2(Depth+1)-1:0] count;

  fifo #(
    .Width($bits(job_t)),
    .Depth(Depth)
  ) u_queue (
    .clk_i,
    .rst_ni,
    .clear_i (1'b0),
    .wvalid_i(request_i),
    .wready_o(room),
    .wdata_i ({hart_i, funct_i, dividend_i, divisor_i}),
    .rvalid_o(queued),
    .rready_i(begins),
    .rdata_o (next),
    .count_o (count)
  );

  // Slots in use hold the same words in both.
  logic same;
  always_comb begin
    same = u_dut.u_requests.rptr_q == u_queue.rptr_q && u_dut.u_requests.count_q == count &&
        u_dut.u_requests.wptr_q == u_queue.wptr_q;
    for (int i = 0; i < Depth; i++) begin
      if ((i + Depth - int'(u_queue.rptr_q)) % Depth < int'(count) &&
          u_dut.u_requests.mem[i] != u_queue.mem[i]) begin
        same = 1'b0;
      end
    end
  end

  // The division under way: how many digits are there, which, and their product with the divisor.
  logic active_q, digit;
  logic [5:0] steps_q;
  logic [31:0] digits_q;
  logic [63:0] product_q;

  assign begins = queued && !active_q;
  assign digit  = !u_dut.difference[32];

  // Absolute values of the operands that are signed.
  logic is_signed, wants_remainder;
  logic [31:0] numerator, denominator;
  assign is_signed       = !job_q.funct[0];
  assign wants_remainder = job_q.funct[1];
  assign numerator       = is_signed && $signed(job_q.dividend) < 0 ? -job_q.dividend : job_q.dividend;
  assign denominator     = is_signed && $signed(job_q.divisor) < 0 ? -job_q.divisor : job_q.divisor;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      active_q  <= 1'b0;
      job_q     <= '0;
      steps_q   <= '0;
      digits_q  <= '0;
      product_q <= '0;
    end else if (begins) begin
      active_q  <= 1'b1;
      job_q     <= next;
      steps_q   <= '0;
      digits_q  <= '0;
      product_q <= '0;
    end else if (active_q && steps_q != 6'd32) begin
      steps_q   <= steps_q + 6'd1;
      digits_q  <= {digits_q[30:0], digit};
      product_q <= (product_q << 1) + (digit ? 64'(denominator) : 64'd0);
    end else if (valid && ready_i) begin
      active_q  <= 1'b0;
    end
  end

  // --- what is promised ---

  logic differ, overflow;
  logic [31:0] remainder, quotient;
  assign differ    = is_signed && (job_q.dividend[31] != job_q.divisor[31]);
  assign quotient  = differ ? -digits_q : digits_q;
  assign remainder = numerator - product_q[31:0];
  assign overflow  = is_signed && job_q.dividend == 32'h8000_0000 && job_q.divisor == 32'hffff_ffff;

  `ASSERT(answer_in_time, valid == (active_q && steps_q == 6'd32))
  `ASSERT(answer_to_its_hart, !valid || hart == job_q.hart)
  // digits * divisor <= dividend < (digits + 1) * divisor
  `ASSERT(digits_are_the_quotient, !valid || denominator == '0 || (product_q <= 64'(numerator) &&
          64'(numerator) - product_q < 64'(denominator)))
  `ASSERT(quotient_as_defined, !valid || wants_remainder || job_q.divisor == '0 || result == quotient)
  // It has the dividend's sign.
  `ASSERT(remainder_as_defined, !valid || !wants_remainder || result == (is_signed && job_q.dividend[31] ?
          -remainder : remainder))
  // Table 11 of the specification.
  `ASSERT(division_by_zero_as_defined, !valid || job_q.divisor != '0 || result == (wants_remainder ? job_q.dividend :
          32'hffff_ffff))
  `ASSERT(overflow_as_defined, !valid || !overflow || result == (wants_remainder ? 32'd0 : 32'h8000_0000))

  // --- what the induction needs ---

  logic [31:0] taken;
  assign taken = 32'(64'(numerator) << steps_q >> 32);

  `ASSERT(queues_agree, same)
  `ASSERT(steps_agree, u_dut.busy_q == (active_q && steps_q < 6'd32) && steps_q <= 6'd32 &&
          u_dut.bit_q == (active_q ? steps_q[4:0] : 5'd0))
  `ASSERT(job_kept, !active_q || (u_dut.hart_q == job_q.hart && u_dut.divisor_q == denominator &&
          u_dut.remainder_wanted_q == wants_remainder && u_dut.negate_q == (wants_remainder ?
          is_signed && job_q.dividend[31] : differ && job_q.divisor != '0)))
  `ASSERT(digits_kept, !active_q || (u_dut.quotient_q == (32'(64'(numerator) << steps_q) | digits_q) &&
          64'(digits_q) >> steps_q == '0))
  `ASSERT(product_and_remainder, !active_q || (product_q <= 64'(taken) &&
          product_q + 64'(u_dut.remainder_q) == 64'(taken)))
  `ASSERT(remainder_is_small, !active_q || denominator == '0 || u_dut.remainder_q < denominator)
  `ASSERT(by_zero_all_ones, !active_q || denominator != '0 || (product_q == '0 &&
          64'(digits_q) == (64'd1 << steps_q) - 64'd1))
  // The solver does not know that product is digits * divisor; an overflow needs it for the divisor 1.
  `ASSERT(by_one_itself, !active_q || denominator != 32'd1 || product_q == 64'(digits_q))

  logic unused;
  assign unused = room;

endmodule : controller_divider_proof
