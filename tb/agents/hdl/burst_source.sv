// SPDX-License-Identifier: Apache-2.0
// Plays bursts of beats into a valid/ready stream.
//
// Stands between Python and an input port of the device under test, so that Python wakes once for a
// burst of up to `Beats` beats and not once for a clock.
//
// Contract, Python's side (`burst_*`):
// - A burst passes at a clock edge with burst_valid_i and burst_ready_o high. Beat i is the Width bits from
//   bit i*Slot of burst_data_i, Slot = 8*ceil(Width/8): Python packs whole bytes. The first burst_count_i
//   beats (1 to Beats) are played, all other bits are ignored.
// - burst_ready_o falls after every burst that passes, for at least one clock. So whoever offers bursts
//   needs a single wake for each: the falling edge says "taken, the next one may be written now".
// - Two bursts fit inside: one plays while the next waits.
//
// Contract, device's side:
// - valid_o never depends on ready_i, is never withdrawn, and data_o is stable while it waits.
// - Without stalls one beat passes in every clock in which ready_i is high, from one burst to the next
//   too (for bursts of two beats and more, if the next one is offered in time).
// - stall_i is the probability, in 1/256, that a new beat is withheld in a clock: 0 never, 256 for ever.
//   A beat already offered stays. The random sequence starts from seed_i at reset: same seed, same stalls.
// - data_o is X while valid_o is low: in a four-state simulator a device that looks at it is found out.
//
// beats_o counts the beats passed since reset (modulo 2**32); idle_o: nothing is buffered or offered.
// error_o keeps, until reset, that ready_i was X or Z, which counts as low; the bench must look at it.
// Reset drops everything inside.
`include "port_record.svh"

module burst_source #(
  parameter int Width = 8,
  parameter int Beats = 64
) (
  input  logic                         clk_i,
  input  logic                         rst_ni,

  input  logic                         burst_valid_i,
  output logic                         burst_ready_o,
  input  logic [Beats*((Width+7)/8*8)-1:0] burst_data_i,
  input  logic [$clog2(Beats+1)-1:0]   burst_count_i,

  output logic                         valid_o,
  input  logic                         ready_i,
  output logic [Width-1:0]             data_o,

  input  logic [8:0]                   stall_i,
  input  logic [31:0]                  seed_i,
  output logic [31:0]                  beats_o,
  output logic                         idle_o,
  output logic                         error_o
);

  localparam int CountWidth = $clog2(Beats + 1);
  localparam int Slot       = (Width + 7) / 8 * 8;

  // Two bursts, written and read in turn. They are never shifted or copied: a simulator moves them once. (As an array's
  // elements they would be moved twice: the second time when the edge's other assignments are done.)
  logic [Beats*Slot-1:0]  burst0_q, burst1_q;
  logic [CountWidth-1:0]  count0_q, count1_q, count;
  // Initial values: before the first reset, Python sees no error, whatever the device shows.
  logic [1:0]             full_q = '0, full_d;
  logic                   write_q = 1'b0, write_d;
  logic                   read_q = 1'b0, read_d;
  logic                   taken_q = 1'b1;  // a burst passed at the last edge (or reset): ready_o rests one clock
  logic [CountWidth-1:0]  index_q = '0, index_d;
  logic                   valid_q = 1'b0, valid_d;
  logic [Width-1:0]       data_q;
  logic [31:0]            beats_q = '0, beats_d;
  logic                   error_q = '0, error_d;
  logic                   stall, take, last, accept, ready;

  stream_stall u_stall (
    .clk_i,
    .rst_ni,
    .stall_i,
    .seed_i,
    .stall_o(stall)
  );

  assign burst_ready_o = ~full_q[write_q] & ~taken_q;
  assign accept        = burst_valid_i & burst_ready_o;

  assign ready   = ready_i === 1'b1;
  assign error_d = error_q | (ready_i !== ready);

  // A beat moves to the output register when that is empty or emptied in this clock.
  assign take = full_q[read_q] & ~stall & (~valid_q | ready);
  assign count = read_q ? count1_q : count0_q;
  assign last = index_q == count - CountWidth'(1);

  always_comb begin
    full_d  = full_q;
    write_d = write_q;
    read_d  = read_q;
    index_d = index_q;
    beats_d = beats_q;
    valid_d = take | (valid_q & ~ready);
    if (take) begin
      index_d = index_q + CountWidth'(1);
      if (last) begin
        index_d        = '0;
        full_d[read_q] = 1'b0;
        read_d         = ~read_q;
      end
    end
    if (accept) begin
      full_d[write_q] = 1'b1;
      write_d         = ~write_q;
    end
    if (valid_q && ready) beats_d = beats_q + 32'd1;
  end

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      full_q  <= '0;
      write_q <= 1'b0;
      read_q  <= 1'b0;
      taken_q <= 1'b1;
      index_q <= '0;
      valid_q <= 1'b0;
      beats_q <= '0;
      error_q <= 1'b0;
    end else begin
      full_q  <= full_d;
      write_q <= write_d;
      read_q  <= read_d;
      taken_q <= accept;
      index_q <= index_d;
      valid_q <= valid_d;
      beats_q <= beats_d;
      error_q <= error_d;
    end
  end

  always_ff @(posedge clk_i) begin
    if (accept && !write_q) begin
      burst0_q <= burst_data_i;
      count0_q <= burst_count_i;
    end
    if (accept && write_q) begin
      burst1_q <= burst_data_i;
      count1_q <= burst_count_i;
    end
    if (take) data_q <= read_q ? burst1_q[32'(index_q)*Slot +: Width] : burst0_q[32'(index_q)*Slot +: Width];
  end

  assign valid_o = valid_q;
  assign data_o  = valid_q ? data_q : 'x;
  assign beats_o = beats_q;
  assign error_o = error_q;
  assign idle_o  = ~valid_q & ~(|full_q);

  `PORT_RECORD(source, valid_q && ready, data_q)

endmodule : burst_source
