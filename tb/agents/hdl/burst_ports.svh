// SPDX-License-Identifier: Apache-2.0
// Ports and instances of burst adapters for a bench top. `tb.agents.stream` finds the ports by the stream's
// name, so a bench writes that name twice: here and in Python. Inside the bench top the stream is then
// <name>_valid, <name>_ready, <name>_data; clk_i, rst_ni and cycle (32 bits) must exist there.
//
//   module my_bench (
//     `BURST_SOURCE_PORTS(req, 81, 64),
//     `BURST_SINK_PORTS(rsp, 64, 64),
//     input logic clk_i, input logic rst_ni
//   );
//     `BURST_SOURCE(req, 81, 64)
//     `BURST_SINK(rsp, 64, 64, 1'b0)
//
// The wide vectors (<name>_burst_data_*) are no ports but variables of the bench top, published to VPI here.
// A port of the top is copied by Verilator at every evaluation: with the vectors among the ports the
// simulation took twice the time. Their start value 0 has thousands of bits, which Verilator would remark on.
`ifndef ASSAY_BURST_PORTS_SVH
`define ASSAY_BURST_PORTS_SVH

// The clock of a bench top, clk_i. It is made by the simulator itself: one from cocotb costs a call into it for each edge.
// In Verilator under Assay's main program that is the program, with the same edges, and no delays are compiled.
`ifdef ASSAY_MAIN
`define BENCH_CLOCK(HalfPeriodNs) \
  logic clk_i /* verilator public_flat_rw */ = 1'b0; \
  int assay_half_period_ns /* verilator public_flat_rd */ = HalfPeriodNs;
`else
`define BENCH_CLOCK(HalfPeriodNs) \
  logic clk_i; \
  initial clk_i = 1'b0; \
  always #(HalfPeriodNs) clk_i = ~clk_i;
`endif

`define BURST_SOURCE_PORTS(Name, Width, Beats) \
  input  logic                         Name``_burst_valid_i, \
  output logic                         Name``_burst_ready_o, \
  input  logic [$clog2((Beats)+1)-1:0] Name``_burst_count_i, \
  input  logic [8:0]                   Name``_stall_i, \
  input  logic [31:0]                  Name``_seed_i, \
  output logic [31:0]                  Name``_beats_o, \
  output logic                         Name``_idle_o, \
  output logic                         Name``_error_o

// The burst vector starts as '0 of thousands of bits, which Verilator finds suspect. (Icarus 11 bears one comment in a
// line of a macro, not two.)
`define BURST_SOURCE(Name, Width_, Beats_) \
  logic Name``_valid, Name``_ready; \
  logic [(Width_)-1:0] Name``_data; \
  /* verilator lint_off WIDTHCONCAT */ \
  logic [(Beats_)*(((Width_)+7)/8*8)-1:0] Name``_burst_data_i /* verilator public_flat_rw */ = '0; \
  /* verilator lint_on WIDTHCONCAT */ \
  burst_source #( \
    .Width(Width_), \
    .Beats(Beats_) \
  ) u_``Name``_source ( \
    .clk_i, \
    .rst_ni, \
    .burst_valid_i(Name``_burst_valid_i), \
    .burst_ready_o(Name``_burst_ready_o), \
    .burst_data_i (Name``_burst_data_i), \
    .burst_count_i(Name``_burst_count_i), \
    .valid_o      (Name``_valid), \
    .ready_i      (Name``_ready), \
    .data_o       (Name``_data), \
    .stall_i      (Name``_stall_i), \
    .seed_i       (Name``_seed_i), \
    .beats_o      (Name``_beats_o), \
    .idle_o       (Name``_idle_o), \
    .error_o      (Name``_error_o) \
  );

`define BURST_SINK_PORTS(Name, Width, Beats) \
  output logic                            Name``_burst_valid_o, \
  input  logic                            Name``_burst_ready_i, \
  output logic [$clog2((Beats)+1)-1:0]    Name``_burst_count_o, \
  input  logic                            Name``_flush_i, \
  input  logic [8:0]                      Name``_stall_i, \
  input  logic [31:0]                     Name``_seed_i, \
  output logic [2:0]                      Name``_error_o

`define BURST_SINK(Name, Width_, Beats_, Passive_) \
  `BURST_SINK_PATIENT(Name, Width_, Beats_, Passive_, 64)

// One whose beats come a few at a time: so many clocks without a beat until a burst that is not full is handed over.
`define BURST_SINK_PATIENT(Name, Width_, Beats_, Passive_, Timeout_) \
  logic Name``_valid, Name``_ready; \
  logic [(Width_)-1:0] Name``_data; \
  logic [(Beats_)*(32+((Width_)+7)/8*8)-1:0] Name``_burst_data_o /* verilator public_flat_rd */; \
  burst_sink #( \
    .Width    (Width_), \
    .Beats    (Beats_), \
    .TimeWidth(32), \
    .Timeout  (Timeout_), \
    .Passive  (Passive_) \
  ) u_``Name``_sink ( \
    .clk_i, \
    .rst_ni, \
    .cycle_i      (cycle), \
    .valid_i      (Name``_valid), \
    .ready_o      (Name``_ready), \
    .data_i       (Name``_data), \
    .burst_valid_o(Name``_burst_valid_o), \
    .burst_ready_i(Name``_burst_ready_i), \
    .burst_data_o (Name``_burst_data_o), \
    .burst_count_o(Name``_burst_count_o), \
    .flush_i      (Name``_flush_i), \
    .stall_i      (Name``_stall_i), \
    .seed_i       (Name``_seed_i), \
    .error_o      (Name``_error_o) \
  );

// A tap whose bursts go through file <Name>.bin: see burst_sink.sv. Where they go through memory, it is as any other.
`ifdef ASSAY_MAIN
`define BURST_TAP_FILED(Name, Width_, Beats_, Timeout_) `BURST_SINK_PATIENT(Name, Width_, Beats_, 1'b1, Timeout_)
`else
`define BURST_TAP_FILED(Name, Width_, Beats_, Timeout_) \
  logic Name``_valid, Name``_ready; \
  logic [(Width_)-1:0] Name``_data; \
  logic [(Beats_)*(32+((Width_)+7)/8*8)-1:0] unused_``Name``_burst; \
  burst_sink #( \
    .Width    (Width_), \
    .Beats    (Beats_), \
    .TimeWidth(32), \
    .Timeout  (Timeout_), \
    .Passive  (1'b1), \
    .Filed    (1'b1), \
    .FileName (`"Name.bin`") \
  ) u_``Name``_sink ( \
    .clk_i, \
    .rst_ni, \
    .cycle_i      (cycle), \
    .valid_i      (Name``_valid), \
    .ready_o      (Name``_ready), \
    .data_i       (Name``_data), \
    .burst_valid_o(Name``_burst_valid_o), \
    .burst_ready_i(Name``_burst_ready_i), \
    .burst_data_o (unused_``Name``_burst), \
    .burst_count_o(Name``_burst_count_o), \
    .flush_i      (Name``_flush_i), \
    .stall_i      (Name``_stall_i), \
    .seed_i       (Name``_seed_i), \
    .error_o      (Name``_error_o) \
  );
`endif

`endif  // ASSAY_BURST_PORTS_SVH
