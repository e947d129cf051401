// SPDX-License-Identifier: Apache-2.0
// Bench top of the agents' own tests: a source, a small FIFO as the device, a sink and a tap on its output,
// whose bursts go through a file.
// A memory behind a second pair of streams serves the register and memory front ends.
`include "burst_ports.svh"

module loopback_tb #(
  parameter int Width = 100,
  parameter int Beats = 64,
  parameter int Depth = 4
) (
  `BURST_SOURCE_PORTS(in, Width, Beats),
  `BURST_SINK_PORTS(out, Width, Beats),
  `BURST_SINK_PORTS(tap, Width, Beats),
  `BURST_SOURCE_PORTS(req, 81, Beats),
  `BURST_SINK_PORTS(rsp, 64, Beats),
  input  logic rst_ni,
  // Planted faults: the next beat is lost, goes out twice, or has its bit 0 inverted; X instead of data.
  input  logic fault_drop_i,
  input  logic fault_repeat_i,
  input  logic fault_unknown_i,
  input  logic fault_withdraw_i,
  output logic irq_o,
  output logic [31:0] cycle_o
);

  `BENCH_CLOCK(5)

  logic [31:0] cycle;
  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) cycle <= '0;
    else cycle <= cycle + 32'd1;
  end
  assign cycle_o = cycle;

  `BURST_SOURCE(in, Width, Beats)
  `BURST_SINK(out, Width, Beats, 1'b0)
  `BURST_TAP_FILED(tap, Width, Beats, 64)

  // The device: a FIFO of Depth beats.
  logic [Width-1:0]           fifo_q [Depth];
  logic [$clog2(Depth)-1:0]   write_q, read_q;
  logic [$clog2(Depth+1)-1:0] used_q;
  logic                       push, pop;

  assign in_ready  = used_q != ($clog2(Depth+1))'(Depth);
  assign push      = in_valid & in_ready & ~fault_drop_i;
  assign out_valid = (used_q != '0) & ~fault_withdraw_i;
  assign out_data  = fault_unknown_i ? 'x : fifo_q[read_q];
  assign pop       = out_valid & out_ready & ~fault_repeat_i;
  assign irq_o     = used_q == ($clog2(Depth+1))'(Depth);

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      write_q <= '0;
      read_q  <= '0;
      used_q  <= '0;
    end else begin
      if (push) write_q <= (write_q == ($clog2(Depth))'(Depth-1)) ? '0 : write_q + ($clog2(Depth))'(1);
      if (pop) read_q <= (read_q == ($clog2(Depth))'(Depth-1)) ? '0 : read_q + ($clog2(Depth))'(1);
      used_q <= used_q + ($clog2(Depth+1))'(push) - ($clog2(Depth+1))'(pop);
    end
  end

  always_ff @(posedge clk_i) if (push) fifo_q[write_q] <= in_data;

  assign tap_valid = out_valid & out_ready;
  assign tap_data  = out_data;
  logic unused_tap;
  assign unused_tap = tap_ready;

  `BURST_SOURCE(req, 81, Beats)
  `BURST_SINK(rsp, 64, Beats, 1'b0)

  // 256 words of 64 bits behind {write, addr[16], wdata[64]}; a read is answered in the next clock.
  logic [63:0] memory_q [256];
  logic        answer_q;
  logic [63:0] read_data_q;

  initial for (int i = 0; i < 256; i++) memory_q[i] = '0;

  assign req_ready = ~answer_q | rsp_ready;
  assign rsp_valid = answer_q;
  assign rsp_data  = read_data_q;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      answer_q <= 1'b0;
    end else if (req_ready) begin
      answer_q <= req_valid & ~req_data[80] & ~fault_drop_i;
    end
  end

  always_ff @(posedge clk_i) begin
    if (req_valid && req_ready) begin
      read_data_q <= memory_q[req_data[71:64]];
      if (req_data[80]) memory_q[req_data[71:64]] <= req_data[63:0];
    end
  end

  logic unused_address;
  assign unused_address = ^req_data[79:72];
endmodule : loopback_tb
