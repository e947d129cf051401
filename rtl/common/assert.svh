// SPDX-License-Identifier: Apache-2.0
// Assertions of the design, for simulation and for proofs. In simulation they are plain processes because Icarus
// Verilog has no concurrent assertions; a failure prints one line with the place and the time and ends the simulation,
// so that the bench reports the run as failed. With FORMAL they are the properties that `make prove` proves
// (docs/howto/proofs.md). Every macro uses clk_i and rst_ni of the module around it.
`ifndef ASSERT_SVH
`define ASSERT_SVH

// Expr, of parameters, holds, or elaboration ends, in simulation and in synthesis; Name and Text are the message's.
// Icarus 11 has no $fatal at elaboration, but names the module that it misses. Verilator takes $fatal as a warning
// where warnings do not end it, hence the array that cannot be.
`ifdef __ICARUS__
`define ASSERT_PARAMETER(Name, Expr, Text) \
  if (!(Expr)) begin : gen_``Name``_is_out_of_range \
    Name``_is_out_of_range u_stop (); \
  end
`else
`define ASSERT_PARAMETER(Name, Expr, Text) \
  if (!(Expr)) begin : gen_``Name``_is_out_of_range \
    $fatal(1, "%s must be %s", `"Name`", Text); \
    logic Name``_is_out_of_range [-1]; \
  end
`endif

`ifdef SYNTHESIS
`define ASSERT(Name, Expr)
`define ASSERT_KNOWN(Name, Expr)
`define ASSERT_STREAM(Name, Width, Valid, Ready, Data)
`else

`ifdef FORMAL

// Expr holds in every state out of reset. The label names the property.
`define ASSERT(Name, Expr) \
  always_comb begin \
    if (rst_ni) begin \
      Name: assert (Expr); \
    end \
  end

// A proof knows no unknown values.
`define ASSERT_KNOWN(Name, Expr)

`else

// Expr holds at every clock edge out of reset; an unknown value counts as a failure.
`define ASSERT(Name, Expr) \
  always @(posedge clk_i or negedge rst_ni) begin \
    if (rst_ni && ((Expr) !== 1'b1)) begin \
      $error("ASSERT %s failed in %m at %0d ns", `"Name`", $time); \
      $finish; \
    end \
  end

// No bit of Expr is unknown, which a two-state simulator cannot see.
`define ASSERT_KNOWN(Name, Expr) `ASSERT(Name, ^(Expr) !== 1'bx)

`endif

// A valid/ready handshake: valid and ready are never unknown, and a beat that waits for ready neither goes nor changes.
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
  `ASSERT_KNOWN(Name``_known, {(Valid), (Ready)}) \
  `ASSERT(Name``_stable, !Name``_waits_q || ((Valid) && (Data) === Name``_data_q))

`endif
`endif
