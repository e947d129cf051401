// SPDX-License-Identifier: Apache-2.0
// Waves on demand of any top: the runner adds this module to a build, bound into the top (Verilator, builds with waves)
// or as a second top (Icarus). Plusargs decide:
//
//   +waves_file=NAME   write the waves to this file; its format is the build's (Verilator) or vvp's (Icarus)
//   +waves_from=NS     begin at this time; absent or 0: from the beginning
//   +waves_to=NS       end the simulation after this time; absent or 0: never
//
// The window's end ends the simulation, as Verilator ignores $dumpoff: such a run is made for its waves only.
module assay_waves;
  timeunit 1ns;
  timeprecision 1ps;

  string  waves_file;
  longint waves_from;
  longint waves_to;

  initial begin
    waves_from = 0;
    waves_to   = 0;
    if ($value$plusargs("waves_file=%s", waves_file)) begin
      if (!$value$plusargs("waves_from=%d", waves_from)) waves_from = 0;
      if (!$value$plusargs("waves_to=%d", waves_to)) waves_to = 0;
      $dumpfile(waves_file);
      // verilator lint_off ZERODLY
      if (waves_from > 0) #(waves_from);
      $dumpvars;
      if (waves_to > 0) begin
        #(waves_to - waves_from + 1);
        // verilator lint_on ZERODLY
        $finish;
      end
    end
  end
endmodule
