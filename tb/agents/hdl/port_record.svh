// SPDX-License-Identifier: Apache-2.0
// A record of every word that crosses a port, with the time in ns at which it does: for builds that are compared with
// each other (`python -m assay.sim differential`). Ordinary builds have none of it.
//
// In the working folder file <path of the instance>.<Name>.words gets a line for each word: the time and the word in
// hexadecimal digits, x where it is unknown. Where adapters stand at a port they write it themselves, before the word
// takes any way to Python: that way differs between simulators, what crosses a port must not.
`ifndef ASSAY_PORT_RECORD_SVH
`define ASSAY_PORT_RECORD_SVH

`ifdef ASSAY_WORDS
`define PORT_RECORD(Name, Pass, Data) \
  int Name``_record; \
  initial Name``_record = $fopen($sformatf(`"%m.Name.words`"), "w"); \
  always @(posedge clk_i) if (rst_ni === 1'b1 && (Pass)) $fwrite(Name``_record, "%0d %h\n", $time, Data);
`else
`define PORT_RECORD(Name, Pass, Data)
`endif

`endif
