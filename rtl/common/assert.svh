// SPDX-License-Identifier: Apache-2.0
// Assertions of the design, for simulation only. They are written as plain processes because Icarus Verilog
// has no concurrent assertions; a failure prints one line with the place and the time and ends the simulation,
// so that the bench reports the run as failed. Every macro uses clk_i and rst_ni of the module around it.
`ifndef ASSERT_SVH
`define ASSERT_SVH

`ifdef SYNTHESIS
`define ASSERT(Name, Expr)
`define ASSERT_STREAM(Name, Width, Valid, Ready, Data)
`define ASSERT_INIT(Name, Expr)
`else

// Expr, of parameters, holds: checked once, at the beginning (Icarus 11 has no $error at elaboration).
`define ASSERT_INIT(Name, Expr) \
  initial begin \
    if (!(Expr)) begin \
      $error("ASSERT %s failed in %m: a parameter is out of its range", `"Name`"); \
      $finish; \
    end \
  end

// Expr holds at every clock edge out of reset; an unknown value counts as a failure.
`define ASSERT(Name, Expr) \
  always @(posedge clk_i or negedge rst_ni) begin \
    if (rst_ni && ((Expr) !== 1'b1)) begin \
      $error("ASSERT %s failed in %m at %0d ns", `"Name`", $time); \
      $finish; \
    end \
  end

// A valid/ready handshake: valid and ready are never unknown (which a two-state simulator cannot see), and a beat that waits for ready neither goes nor changes.
// The Width of Data is given, as Icarus 11 gets $bits of a port wrong in a declaration.
`define ASSERT_STREAM(Name, Width, Valid, Ready, Data) \
  logic Name``_waits_q; \
  logic [(Width)-1:0] Name``_data_q; \
  always @(posedge clk_i or negedge rst_ni) begin \
    if (!rst_ni) begin \
      Name``_waits_q <= 1'b0; \
    end else begin \
      Name``_waits_q <= (Valid) & ~(Ready); \
      if (Valid) Name``_data_q <= (Data); \
    end \
  end \
  `ASSERT(Name``_known, ^{(Valid), (Ready)} !== 1'bx) \
  `ASSERT(Name``_stable, !Name``_waits_q || ((Valid) && (Data) === Name``_data_q))

`endif
`endif
