// SPDX-License-Identifier: Apache-2.0
// Waves on demand: include this inside the bench's top module, which must have a clock `clk_i` and a time unit
// of 1 ns (the runner's default). Plusargs decide, so that a run without waves pays one comparison a clock:
//
//   +waves_file=NAME   write the waves to this file; its format is the build's (Verilator) or vvp's (Icarus)
//   +waves_from=NS     begin at the first clock edge at or after this time; absent or 0: from the beginning
//   +waves_to=NS       end the simulation at the first clock edge after this time; absent or 0: never
//
// The window's end ends the simulation, as Verilator ignores $dumpoff: such a run is made for its waves only.
`ifndef SYNTHESIS
  string  waves_file;
  longint waves_from;
  longint waves_to;
  bit     waves_pending;

  initial begin
    waves_from = 0;
    waves_to = 0;
    waves_pending = 1'b0;
    if ($value$plusargs("waves_file=%s", waves_file)) begin
      if ($value$plusargs("waves_from=%d", waves_from)) waves_pending = waves_from > 0;
      if (!$value$plusargs("waves_to=%d", waves_to)) waves_to = 0;
      $dumpfile(waves_file);
      if (!waves_pending) $dumpvars;
    end
  end

  always @(posedge clk_i) begin
    if (waves_pending && $time >= waves_from) begin
      waves_pending <= 1'b0;
      $dumpvars;
    end
    if (waves_to > 0 && $time > waves_to) $finish;
  end
`endif
