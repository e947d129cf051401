// SPDX-License-Identifier: Apache-2.0
// Address generator: nested loops, the outermost (0) endless, each step adds exactly one jump.
//
//   loop k runs length_i[k] + 1 times; a step takes the jump of the innermost loop that still counts, and
//   all loops inside it start again.
//
// init_i loads base_i + enter_i and starts all loops. addr_o is a register: it holds the address of the current
// position, and jump_o the index of the jump that the next step_i takes (so a caller knows which loops end
// here). The corrections serve zero padding (see docs/mvu.md) and are tied to 0 elsewhere: the last loop but one runs
// skip_rows_i times fewer and the last loop skip_columns_i times fewer than their lengths say; gap_i, again_i and
// enter_i are added to jumps Loops-2, Loops-3 and all further out.
module mvu_agu #(
  parameter int Loops = 8,
  parameter int AddrWidth = 15,
  parameter int IndexWidth = Loops > 2 ? $clog2(Loops) : 1
) (
  input  logic                  clk_i,
  input  logic                  rst_ni,
  input  logic                  init_i,
  input  logic                  step_i,
  input  logic [ AddrWidth-1:0] base_i,
  input  logic [  Loops*16-1:0] jump_i,
  input  logic [  Loops*16-1:0] length_i,  // entry 0 unused
  input  logic [          15:0] skip_rows_i,
  input  logic [          15:0] skip_columns_i,
  input  logic [ AddrWidth-1:0] enter_i,
  input  logic [ AddrWidth-1:0] again_i,
  input  logic [ AddrWidth-1:0] gap_i,
  output logic [ AddrWidth-1:0] addr_o,
  output logic [IndexWidth-1:0] jump_o
);

  logic [AddrWidth-1:0] addr_q, delta;
  logic [Loops-1:1] wrap;
  logic [IndexWidth-1:0] jump;

  // Counter of each loop: cleared when a loop outside it counts.
  for (genvar k = 1; k < Loops; k++) begin : gen_loop
    logic [15:0] count_q, skipped;
    if (k == Loops - 1) begin : gen_column
      assign skipped = skip_columns_i;
    end else if (k == Loops - 2) begin : gen_row
      assign skipped = skip_rows_i;
    end else begin : gen_plain
      assign skipped = '0;
    end
    assign wrap[k] = count_q + skipped == length_i[k*16+:16];
    always_ff @(posedge clk_i or negedge rst_ni) begin
      if (!rst_ni) begin
        count_q <= '0;
      end else if (init_i) begin
        count_q <= '0;
      end else if (step_i) begin
        if (jump == IndexWidth'(k)) count_q <= count_q + 16'd1;
        else if (jump < IndexWidth'(k)) count_q <= '0;
      end
    end
  end

  always_comb begin
    jump  = '0;
    delta = jump_i[0+:AddrWidth] + enter_i;
    for (int k = 1; k < Loops; k++) begin
      if (!wrap[k]) begin
        jump  = IndexWidth'(k);
        delta = jump_i[k*16+:AddrWidth];
        if (k == Loops - 2) delta = delta + gap_i;
        else if (k == Loops - 3) delta = delta + again_i;
        else if (k < Loops - 3) delta = delta + enter_i;
      end
    end
  end

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) addr_q <= '0;
    else if (init_i) addr_q <= base_i + enter_i;
    else if (step_i) addr_q <= addr_q + delta;
  end

  logic unused_inputs;  // loop 0 is endless; two loops leave no row to skip
  assign unused_inputs = ^{length_i[15:0], skip_rows_i};

  assign addr_o = addr_q;
  assign jump_o = jump;

endmodule : mvu_agu
