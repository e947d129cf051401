// SPDX-License-Identifier: Apache-2.0
// Takes a valid/ready stream and hands it over in bursts, every beat with the clock in which it passed.
//
// Stands between an output port of the device under test and Python, so that Python wakes once for a
// burst of up to `Beats` beats and not once for a clock.
//
// Contract, device's side:
// - A beat passes at a clock edge with valid_i and ready_o high. ready_o never depends on valid_i.
// - stall_i is the probability, in 1/256, that ready_o is low in a clock: 0 never, 256 for ever. The
//   random sequence starts from seed_i at reset: same seed, same stalls.
// - Passive = 1 makes it a tap: every clock with valid_i high is a beat, ready_o is constantly high and
//   stall_i has no effect. To tap a valid/ready pair, connect the AND of both.
// - error_o keeps, until reset, what must never happen; the bench must look at it:
//   bit 0: a waiting beat was withdrawn or altered (never set in a tap),
//   bit 1: valid_i was X or Z, which counts as low,
//   bit 2: a beat of a tap found no room and is lost.
//
// Contract, Python's side (`burst_*`):
// - A burst is handed over when `Beats` beats are recorded or after `Timeout` clocks without a beat; with
//   flush_i high after one. Recording goes on meanwhile: at full rate, as long as bursts are taken.
// - Beat i < burst_count_o is {cycle_i, data_i} from bit i*(TimeWidth+Slot) of burst_data_o, with data_i
//   zero-extended to Slot = 8*ceil(Width/8) bits: Python cuts at bytes. What lies above is left over
//   from earlier bursts.
// - A burst passes at a clock edge with burst_valid_o and burst_ready_i high. burst_valid_o falls after
//   every burst for at least one clock, so its rising edge is the one wake that a reader needs.
// - burst_data_o and burst_count_o are stable one clock before burst_valid_o rises. So a reader woken by
//   that edge finds them settled, without waiting for the end of the time step.
// - With Filed the beats go through a file: a wide vector costs VPI a character a bit. At that time file `FileName` in the
//   working folder begins with the burst: for each beat the words of {data_i, cycle_i}, the lowest first, each
//   as $fwrite's %z writes it (two words, aval and bval); burst_data_o is constant.
//
// Reset drops everything inside.
`include "port_record.svh"

module burst_sink #(
  parameter int Width     = 8,
  parameter int Beats     = 64,
  parameter int TimeWidth = 32,
  parameter int Timeout   = 64,
  parameter bit Passive   = 1'b0,
  parameter bit Filed     = 1'b0,
  // verilog_lint: waive explicit-parameter-storage-type (Icarus 11 has no string parameters)
  parameter     FileName  = "burst.bin"
) (
  input  logic                                  clk_i,
  input  logic                                  rst_ni,
  input  logic [TimeWidth-1:0]                  cycle_i,

  input  logic                                  valid_i,
  output logic                                  ready_o,
  input  logic [Width-1:0]                      data_i,

  output logic                                  burst_valid_o,
  input  logic                                  burst_ready_i,
  output logic [Beats*(TimeWidth+(Width+7)/8*8)-1:0] burst_data_o,
  output logic [$clog2(Beats+1)-1:0]            burst_count_o,

  input  logic                                  flush_i,
  input  logic [8:0]                            stall_i,
  input  logic [31:0]                           seed_i,
  output logic [2:0]                            error_o
);

  localparam int CountWidth = $clog2(Beats + 1);
  localparam int IndexWidth = (Beats > 1) ? $clog2(Beats) : 1;
  localparam int IdleWidth  = $clog2(Timeout + 1);
  localparam int Slot       = (Width + 7) / 8 * 8;
  localparam int Entry      = TimeWidth + Slot;

  // Recording: one memory word a beat, so that a simulator moves one beat a clock ...
  logic [Entry-1:0]       record_q [Beats];
  // Initial values: before the first reset, Python sees no burst and no error, whatever the device shows.
  logic [CountWidth-1:0]  count_q = '0, count_d;
  logic [IdleWidth-1:0]   idle_q = '0, idle_d;
  // ... handing over: the whole burst, moved once, into burst_data_o.
  logic [CountWidth-1:0]  burst_count_q;
  logic                   loaded_q = 1'b0, loaded_d;
  logic                   burst_valid_q = 1'b0, burst_valid_d;

  logic                   stall, room, pass, hand_over;
  logic [IndexWidth-1:0]  slot;
  logic                   valid, waiting_q = 1'b0, waiting_d;
  logic [2:0]             error_q = '0, error_d;
  logic [Width-1:0]       waiting_data_q;

  if (Passive) begin : gen_passive
    logic unused_stall;
    assign unused_stall = ^{stall_i, seed_i};
    assign stall        = 1'b0;
    assign ready_o      = 1'b1;
  end else begin : gen_active
    stream_stall u_stall (
      .clk_i,
      .rst_ni,
      .stall_i,
      .seed_i,
      .stall_o(stall)
    );
    assign ready_o = room & ~stall;
  end

  assign hand_over = ~loaded_q & (count_q != '0)
                   & ((flush_i & (idle_q != '0)) | (count_q == CountWidth'(Beats)) | (idle_q == IdleWidth'(Timeout)));
  assign room      = hand_over | (count_q != CountWidth'(Beats));
  assign valid     = valid_i === 1'b1;
  assign pass      = valid & room & ~stall;
  // A beat that passes while the record is handed over opens the next one.
  assign slot      = hand_over ? '0 : IndexWidth'(count_q);

  always_comb begin
    count_d       = (hand_over ? '0 : count_q) + CountWidth'(pass);
    idle_d        = idle_q;
    loaded_d      = loaded_q;
    burst_valid_d = loaded_q;
    if (pass || hand_over) begin
      idle_d = '0;
    end else if (count_q != '0 && idle_q != IdleWidth'(Timeout)) begin
      idle_d = idle_q + IdleWidth'(1);
    end
    if (hand_over) loaded_d = 1'b1;
    if (burst_valid_q && burst_ready_i) begin
      loaded_d      = 1'b0;
      burst_valid_d = 1'b0;
    end
  end

  assign waiting_d = ~Passive & valid & ~pass;
  assign error_d   = error_q | {Passive & valid & ~room,
                                valid_i !== valid,
                                waiting_q & (~valid | (data_i !== waiting_data_q))};

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      count_q       <= '0;
      idle_q        <= '0;
      loaded_q      <= 1'b0;
      burst_valid_q <= 1'b0;
      waiting_q     <= 1'b0;
      error_q       <= '0;
    end else begin
      count_q       <= count_d;
      idle_q        <= idle_d;
      loaded_q      <= loaded_d;
      burst_valid_q <= burst_valid_d;
      waiting_q     <= waiting_d;
      error_q       <= error_d;
    end
  end

  always_ff @(posedge clk_i) begin
    if (pass) record_q[slot] <= {cycle_i, Slot'(data_i)};
    if (waiting_d) waiting_data_q <= data_i;
  end

  if (Filed) begin : gen_filed
    localparam int FiledWidth = (Entry + 31) / 32 * 32;
    int file;

    initial file = $fopen(FileName, "wb");

    // Formatted by the simulator's own code: $fwrite of a whole burst would again be one wide vector.
    always @(posedge clk_i) begin : p_hand_over
      int unused_status;
      logic [FiledWidth-1:0] entry;
      if (hand_over) begin
        unused_status = $rewind(file);
        for (int i = 0; i < Beats; i++) begin
          if (i < int'(count_q)) begin
            entry = FiledWidth'(record_q[i]);
            $fwrite(file, "%z", entry);
          end
        end
        $fflush(file);
        burst_count_q <= count_q;
      end
    end

    // A start value of thousands of bits, which Verilator finds suspect.
    // verilator lint_off WIDTHCONCAT
    assign burst_data_o = '0;
    // verilator lint_on WIDTHCONCAT
  end else begin : gen_vector
    always_ff @(posedge clk_i) begin : p_hand_over
      logic [Beats*Entry-1:0] burst;
      if (hand_over) begin
        // verilog_lint: waive always-ff-non-blocking (the loop's own variable)
        /* verilator unroll_disable */
        for (int i = 0; i < Beats; i++) burst[i*Entry +: Entry] = record_q[i];
        burst_data_o  <= burst;
        burst_count_q <= count_q;
      end
    end
  end

  assign burst_valid_o = burst_valid_q;
  assign burst_count_o = burst_count_q;
  assign error_o       = error_q;

  `PORT_RECORD(sink, pass, data_i)

endmodule : burst_sink
