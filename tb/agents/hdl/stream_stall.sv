// SPDX-License-Identifier: Apache-2.0
// Random stall: stall_o is high in a clock with probability stall_i / 256 (256: always).
//
// The random bits are Marsaglia's xorshift32 ("Xorshift RNGs", J. Stat. Soft. 2003, shifts 13, 17, 5),
// started from seed_i at reset; it steps only while stalls are asked for. Zero, its one bad state, is
// replaced. stall_o depends on no input but stall_i.
module stream_stall (
  input  logic        clk_i,
  input  logic        rst_ni,
  input  logic [8:0]  stall_i,
  input  logic [31:0] seed_i,
  output logic        stall_o
);

  localparam logic [31:0] SeedForZero = 32'h9e37_79b9;

  logic [31:0] state_q, state_d, step1, step2;
  // A simulator cannot reset a flop asynchronously to a value that may change meanwhile, so the seed is
  // taken in the first clock after reset.
  logic        seeded_q;

  assign step1 = state_q ^ (state_q << 13);
  assign step2 = step1 ^ (step1 >> 17);

  always_comb begin
    state_d = state_q;
    if (!seeded_q) begin
      state_d = (seed_i == '0) ? SeedForZero : seed_i;
    end else if (stall_i != '0) begin
      state_d = step2 ^ (step2 << 5);
    end
  end

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      state_q  <= SeedForZero;
      seeded_q <= 1'b0;
    end else begin
      state_q  <= state_d;
      seeded_q <= 1'b1;
    end
  end

  // The top bits: xorshift's low ones are the weakest.
  assign stall_o = stall_i[8] | (state_q[31:24] < stall_i[7:0]);

endmodule : stream_stall
