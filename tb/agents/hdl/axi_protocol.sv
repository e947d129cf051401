// SPDX-License-Identifier: Apache-2.0
// Rules of AXI4 (ARM IHI 0022, part A), for the port of a subordinate or of a manager: an instance watches the signals
// of one port, whoever drives them. A broken rule prints one line with its name, place and time and ends the
// simulation, as the assertions of rtl/common/assert.svh do; they are plain processes for the same reason.
//
// The prefix of a rule says who has broken it: aw_, w_, ar_ and b_ready, r_ready the manager, everything else the
// subordinate. legal_i low: the manager sends requests that AXI4 forbids, on purpose, so that only the rules of
// handshakes and of answers hold. A write burst then ends with WLAST or with the beat that its length says, whichever
// comes first.
//
// W may come before its AW. Answers with different IDs may come in any order, and their beats may be mixed. At most
// MostOpen bursts of each direction may be under way, and as many beats times 256 of W before their AW.
// For a user's own RTL: compile this file, connect the signals, tie what the port lacks to its default (ARM IHI 0022,
// A10.3).
`ifndef SYNTHESIS
`define AXI_RULE(Name, Expr) \
  always @(posedge clk_i) begin \
    if (rst_ni === 1'b1 && ((Expr) !== 1'b1)) begin \
      $error("ASSERT axi_%s failed in %m at %0d ns", `"Name`", $time); \
      $finish; \
    end \
  end

// A channel: nothing unknown, no valid in reset, a beat that waits stays.
`define AXI_CHANNEL(Name, Width, Valid, Ready, Payload) \
  logic Name``_waits_q; \
  logic [(Width)-1:0] Name``_payload_q; \
  always @(posedge clk_i or negedge rst_ni) begin \
    if (!rst_ni) begin \
      Name``_waits_q   <= 1'b0; \
    end else begin \
      Name``_waits_q   <= (Valid) && !(Ready); \
      Name``_payload_q <= (Payload); \
    end \
  end \
  `AXI_RULE(Name``_valid_is_known, (^(Valid)) !== 1'bx) \
  `AXI_RULE(Name``_ready_is_known, (^(Ready)) !== 1'bx) \
  `AXI_RULE(Name``_stays_until_ready, !Name``_waits_q || (Valid)) \
  `AXI_RULE(Name``_is_stable_until_ready, !Name``_waits_q || (Payload) === Name``_payload_q) \
  always @(posedge clk_i) begin \
    if (reset_q && rst_ni === 1'b0 && (Valid) !== 1'b0) begin \
      $error("ASSERT axi_%s failed in %m at %0d ns", `"Name``_not_valid_in_reset`", $time); \
      $finish; \
    end \
  end

// The same inside a process.
`define AXI_REQUIRE(Name, Expr) \
  if ((Expr) !== 1'b1) begin \
    $error("ASSERT axi_%s failed in %m at %0d ns", `"Name`", $time); \
    $finish; \
  end

module axi_protocol #(
  parameter int IdWidth = 4,
  parameter int AddrWidth = 32,
  parameter int DataWidth = 64,
  parameter int MostOpen = 16
) (
  input  logic                   clk_i,
  input  logic                   rst_ni,
  input  logic                   legal_i,
  input  logic [    IdWidth-1:0] awid_i,
  input  logic [  AddrWidth-1:0] awaddr_i,
  input  logic [            7:0] awlen_i,
  input  logic [            2:0] awsize_i,
  input  logic [            1:0] awburst_i,
  input  logic                   awvalid_i,
  input  logic                   awready_i,
  input  logic [  DataWidth-1:0] wdata_i,
  input  logic [DataWidth/8-1:0] wstrb_i,
  input  logic                   wlast_i,
  input  logic                   wvalid_i,
  input  logic                   wready_i,
  input  logic [    IdWidth-1:0] bid_i,
  input  logic [            1:0] bresp_i,
  input  logic                   bvalid_i,
  input  logic                   bready_i,
  input  logic [    IdWidth-1:0] arid_i,
  input  logic [  AddrWidth-1:0] araddr_i,
  input  logic [            7:0] arlen_i,
  input  logic [            2:0] arsize_i,
  input  logic [            1:0] arburst_i,
  input  logic                   arvalid_i,
  input  logic                   arready_i,
  input  logic [    IdWidth-1:0] rid_i,
  input  logic [  DataWidth-1:0] rdata_i,
  input  logic [            1:0] rresp_i,
  input  logic                   rlast_i,
  input  logic                   rvalid_i,
  input  logic                   rready_i
);

  localparam int Bytes = DataWidth / 8;
  localparam int Ids = 1 << IdWidth;
  localparam int Boundary = 4096;
  localparam logic [1:0] Fixed = 2'b00, Wrap = 2'b10, Reserved = 2'b11, Exokay = 2'b01;

  // Reset for a whole clock: what is registered has its reset value by then.
  logic reset_q = 1'b0;
  always @(posedge clk_i) reset_q <= rst_ni === 1'b0;

  `AXI_CHANNEL(aw, IdWidth + AddrWidth + 13, awvalid_i, awready_i, {awid_i, awaddr_i, awlen_i, awsize_i, awburst_i})
  `AXI_CHANNEL(w, DataWidth + Bytes + 1, wvalid_i, wready_i, {wdata_i, wstrb_i, wlast_i})
  `AXI_CHANNEL(b, IdWidth + 2, bvalid_i, bready_i, {bid_i, bresp_i})
  `AXI_CHANNEL(ar, IdWidth + AddrWidth + 13, arvalid_i, arready_i, {arid_i, araddr_i, arlen_i, arsize_i, arburst_i})
  `AXI_CHANNEL(r, IdWidth + DataWidth + 3, rvalid_i, rready_i, {rid_i, rdata_i, rresp_i, rlast_i})

  logic aw_pass, w_pass, b_pass, ar_pass, r_pass;

  assign aw_pass = awvalid_i && awready_i;
  assign w_pass  = wvalid_i && wready_i;
  assign b_pass  = bvalid_i && bready_i;
  assign ar_pass = arvalid_i && arready_i;
  assign r_pass  = rvalid_i && rready_i;

  `AXI_RULE(aw_is_known, !awvalid_i || (^{awid_i, awaddr_i, awlen_i, awsize_i, awburst_i}) !== 1'bx)
  `AXI_RULE(ar_is_known, !arvalid_i || (^{arid_i, araddr_i, arlen_i, arsize_i, arburst_i}) !== 1'bx)
  `AXI_RULE(w_is_known, !wvalid_i || (^{wstrb_i, wlast_i}) !== 1'bx)
  `AXI_RULE(b_is_known, !bvalid_i || (^{bid_i, bresp_i}) !== 1'bx)
  `AXI_RULE(r_is_known, !rvalid_i || (^{rid_i, rresp_i, rlast_i}) !== 1'bx)
  // There are no exclusive accesses here.
  `AXI_RULE(b_is_not_exokay, !bvalid_i || bresp_i != Exokay)
  `AXI_RULE(r_is_not_exokay, !rvalid_i || rresp_i != Exokay)

  // ---------------------------------------------------------------------------------------------
  // Requests, A3.4.1
  // ---------------------------------------------------------------------------------------------
  function automatic logic is_wrap_length(logic [7:0] len);
    return len == 8'd1 || len == 8'd3 || len == 8'd7 || len == 8'd15;
  endfunction

  function automatic logic in_boundary(logic [AddrWidth-1:0] addr, logic [7:0] len, logic [2:0] size);
    logic [19:0] first, bytes;
    first = 20'(addr[11:0]) & ~((20'd1 << size) - 20'd1);
    bytes = (20'(len) + 20'd1) << size;
    return first + bytes <= 20'(Boundary);
  endfunction

  function automatic logic is_aligned(logic [AddrWidth-1:0] addr, logic [2:0] size);
    return (20'(addr[11:0]) & ((20'd1 << size) - 20'd1)) == 20'd0;
  endfunction

  `AXI_RULE(aw_burst_is_not_reserved, !(legal_i && awvalid_i) || awburst_i != Reserved)
  `AXI_RULE(aw_size_fits_the_bus, !(legal_i && awvalid_i) || (20'd1 << awsize_i) <= 20'(Bytes))
  `AXI_RULE(aw_fixed_has_16_beats_at_most, !(legal_i && awvalid_i && awburst_i == Fixed) || awlen_i < 8'd16)
  `AXI_RULE(aw_wrap_has_2_4_8_16_beats, !(legal_i && awvalid_i && awburst_i == Wrap) || is_wrap_length(awlen_i))
  `AXI_RULE(aw_wrap_is_aligned, !(legal_i && awvalid_i && awburst_i == Wrap) || is_aligned(awaddr_i, awsize_i))
  `AXI_RULE(aw_stays_in_4_kbyte,
            !(legal_i && awvalid_i && awburst_i == 2'b01) || in_boundary(awaddr_i, awlen_i, awsize_i))
  `AXI_RULE(ar_burst_is_not_reserved, !(legal_i && arvalid_i) || arburst_i != Reserved)
  `AXI_RULE(ar_size_fits_the_bus, !(legal_i && arvalid_i) || (20'd1 << arsize_i) <= 20'(Bytes))
  `AXI_RULE(ar_fixed_has_16_beats_at_most, !(legal_i && arvalid_i && arburst_i == Fixed) || arlen_i < 8'd16)
  `AXI_RULE(ar_wrap_has_2_4_8_16_beats, !(legal_i && arvalid_i && arburst_i == Wrap) || is_wrap_length(arlen_i))
  `AXI_RULE(ar_wrap_is_aligned, !(legal_i && arvalid_i && arburst_i == Wrap) || is_aligned(araddr_i, arsize_i))
  `AXI_RULE(ar_stays_in_4_kbyte,
            !(legal_i && arvalid_i && arburst_i == 2'b01) || in_boundary(araddr_i, arlen_i, arsize_i))

  // ---------------------------------------------------------------------------------------------
  // Bursts under way. Each clock is judged by what was before it: an answer follows its request.
  // ---------------------------------------------------------------------------------------------
  // Beats of W are kept with their WLAST until their address is there.
  localparam int MostBeats = MostOpen * 256;

  logic [IdWidth-1:0] aw_ids [MostOpen];
  logic [7:0] aw_lens [MostOpen];
  logic w_lasts [MostBeats];
  logic [7:0] ar_lens [Ids*MostOpen];
  // Complete write bursts without an answer, read bursts under way and the place of the first one's length, by ID.
  int complete [Ids], reads [Ids], first_read [Ids], read_beats [Ids];
  int writes, first_write, write_beats, beats, first_beat;
  logic ends;

  // What changes in a clock depends on what changed before in it.
  // verilator lint_off BLKSEQ
  always @(posedge clk_i) begin : p_bursts
    if (rst_ni !== 1'b1) begin
      writes      = 0;
      first_write = 0;
      write_beats = 0;
      beats       = 0;
      first_beat  = 0;
      for (int i = 0; i < Ids; i++) begin
        complete[i]   = 0;
        reads[i]      = 0;
        first_read[i] = 0;
        read_beats[i] = 0;
      end
    end else begin
      if (bvalid_i === 1'b1) begin
        `AXI_REQUIRE(b_follows_the_last_beat_of_w, complete[bid_i] > 0)
        if (b_pass) complete[bid_i] = complete[bid_i] - 1;
      end
      if (rvalid_i === 1'b1) begin
        `AXI_REQUIRE(r_follows_ar, reads[rid_i] > 0)
        `AXI_REQUIRE(r_last_with_the_last_beat,
                     rlast_i === (read_beats[rid_i] == 32'(ar_lens[32'(rid_i)*MostOpen+first_read[rid_i]])))
        if (r_pass && rlast_i) begin
          reads[rid_i]      = reads[rid_i] - 1;
          first_read[rid_i] = (first_read[rid_i] + 1) % MostOpen;
          read_beats[rid_i] = 0;
        end else if (r_pass) begin
          read_beats[rid_i] = read_beats[rid_i] + 1;
        end
      end
      if (ar_pass) begin
        `AXI_REQUIRE(ar_most_open, reads[arid_i] < MostOpen)
        ar_lens[32'(arid_i)*MostOpen+(first_read[arid_i]+reads[arid_i])%MostOpen] = arlen_i;
        reads[arid_i] = reads[arid_i] + 1;
      end
      if (aw_pass) begin
        `AXI_REQUIRE(aw_most_open, writes < MostOpen)
        aw_ids[(first_write+writes)%MostOpen]  = awid_i;
        aw_lens[(first_write+writes)%MostOpen] = awlen_i;
        writes = writes + 1;
      end
      if (w_pass) begin
        `AXI_REQUIRE(w_most_open, beats < MostBeats)
        w_lasts[(first_beat+beats)%MostBeats] = wlast_i;
        beats = beats + 1;
      end
      while (writes > 0 && beats > 0) begin
        ends = w_lasts[first_beat] || write_beats == 32'(aw_lens[first_write]);
        `AXI_REQUIRE(w_last_with_the_last_beat,
                     !legal_i || w_lasts[first_beat] == (write_beats == 32'(aw_lens[first_write])))
        first_beat  = (first_beat + 1) % MostBeats;
        beats       = beats - 1;
        write_beats = write_beats + 1;
        if (ends) begin
          complete[aw_ids[first_write]] = complete[aw_ids[first_write]] + 1;
          first_write = (first_write + 1) % MostOpen;
          writes      = writes - 1;
          write_beats = 0;
        end
      end
    end
  end
  // verilator lint_on BLKSEQ

`ifdef ASSAY_WORDS
`include "port_record.svh"
  `PORT_RECORD(aw, aw_pass, {awid_i, awaddr_i, awlen_i, awsize_i, awburst_i})
  `PORT_RECORD(w, w_pass, {wdata_i, wstrb_i, wlast_i})
  `PORT_RECORD(b, b_pass, {bid_i, bresp_i})
  `PORT_RECORD(ar, ar_pass, {arid_i, araddr_i, arlen_i, arsize_i, arburst_i})
  `PORT_RECORD(r, r_pass, {rid_i, rdata_i, rresp_i, rlast_i})
`endif

endmodule : axi_protocol
`endif
