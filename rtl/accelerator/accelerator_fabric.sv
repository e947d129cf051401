// SPDX-License-Identifier: Apache-2.0
// Ways from the harts and the host to the registers: of every MVU, and of the system (unit SystemUnit).
//
// Every hart has a slot for the one access it may have under way, the host one for writes and one for reads. An access
// waits in its slot for its unit, which serves the slots in turn, and its answer waits there for its way back, so that
// nobody waits for another's unit. A write that an MVU would hold back, because a job is pending there, is not offered
// to it: the unit's other accesses go on. What belongs to no unit is answered with an error.
//
// Without others in the way, the answer of a write comes 2 clocks after its request was taken, that of a read 3.
`include "assert.svh"

module accelerator_fabric
  import accelerator_pkg::*;
#(
  parameter int Mvus = DefaultMvus
) (
  input  logic               clk_i,
  input  logic               rst_ni,
  // Harts: the controller's bus
  input  logic               bus_req_valid_i,
  output logic               bus_req_ready_o,
  input  logic               bus_req_write_i,
  input  logic [        3:0] bus_req_mvu_i,
  input  logic [        7:0] bus_req_addr_i,
  input  logic [       31:0] bus_req_wdata_i,
  input  logic [        3:0] bus_req_hart_i,
  output logic               bus_rsp_valid_o,
  input  logic               bus_rsp_ready_i,
  output logic [       31:0] bus_rsp_rdata_o,
  output logic               bus_rsp_error_o,
  output logic [        3:0] bus_rsp_hart_o,
  // Host: writes
  input  logic               write_req_valid_i,
  output logic               write_req_ready_o,
  input  logic [        3:0] write_req_unit_i,
  input  logic [        7:0] write_req_addr_i,
  input  logic [       31:0] write_req_wdata_i,
  output logic               write_rsp_valid_o,
  input  logic               write_rsp_ready_i,
  output logic               write_rsp_error_o,
  // Host: reads
  input  logic               read_req_valid_i,
  output logic               read_req_ready_o,
  input  logic [        3:0] read_req_unit_i,
  input  logic [        7:0] read_req_addr_i,
  output logic               read_rsp_valid_o,
  input  logic               read_rsp_ready_i,
  output logic [       31:0] read_rsp_rdata_o,
  output logic               read_rsp_error_o,
  // MVUs: unit m in bits m*Width +: Width
  output logic [   Mvus-1:0] reg_req_valid_o,
  input  logic [   Mvus-1:0] reg_req_ready_i,
  output logic [   Mvus-1:0] reg_req_write_o,
  output logic [ Mvus*8-1:0] reg_req_addr_o,
  output logic [Mvus*32-1:0] reg_req_wdata_o,
  input  logic [   Mvus-1:0] reg_rsp_valid_i,
  output logic [   Mvus-1:0] reg_rsp_ready_o,
  input  logic [Mvus*32-1:0] reg_rsp_rdata_i,
  input  logic [   Mvus-1:0] pending_i,
  // System registers; host: the access is the host's
  output logic               sys_req_valid_o,
  input  logic               sys_req_ready_i,
  output logic               sys_req_write_o,
  output logic               sys_req_host_o,
  output logic [        7:0] sys_req_addr_o,
  output logic [       31:0] sys_req_wdata_o,
  input  logic               sys_rsp_valid_i,
  output logic               sys_rsp_ready_o,
  input  logic [       31:0] sys_rsp_rdata_i
);

  localparam int Sources = Mvus + 2;
  localparam int Writer = Mvus;
  localparam int Reader = Mvus + 1;
  localparam int Units = Mvus + 1;
  localparam int System = Mvus;

  // ---------------------------------------------------------------------------------------------
  // Slots. An access waits for its unit, then a read for its answer, then it is done.
  // ---------------------------------------------------------------------------------------------
  logic [Sources-1:0] req_valid, req_write, take, free, wait_q, reading_q, done_q, write_q, error_q;
  logic [Sources-1:0] exists, accepted, answered, leave;
  logic [Sources*4-1:0] req_unit, unit_q;
  logic [Sources*8-1:0] req_addr, addr_q;
  logic [Sources*32-1:0] req_wdata, wdata_q, rdata_q, answer;

  // Of unit u: bit u*Sources+s is source s.
  logic [Units*Sources-1:0] hit, request, grant, reader_q;
  logic [Units-1:0] unit_valid, unit_ready, unit_write, unit_pending, rsp_valid;
  logic [Units*8-1:0] unit_addr;
  logic [Units*32-1:0] unit_wdata, rsp_rdata;

  for (genvar s = 0; s < Sources; s++) begin : gen_slot
    if (s < Mvus) begin : gen_hart
      assign req_valid[s]         = bus_req_valid_i && bus_req_hart_i == 4'(s);
      assign req_write[s]         = bus_req_write_i;
      assign req_unit[s*4+:4]     = bus_req_mvu_i;
      assign req_addr[s*8+:8]     = bus_req_addr_i;
      assign req_wdata[s*32+:32]  = bus_req_wdata_i;
    end else if (s == Writer) begin : gen_writer
      assign req_valid[s]         = write_req_valid_i;
      assign req_write[s]         = 1'b1;
      assign req_unit[s*4+:4]     = write_req_unit_i;
      assign req_addr[s*8+:8]     = write_req_addr_i;
      assign req_wdata[s*32+:32]  = write_req_wdata_i;
    end else begin : gen_reader
      assign req_valid[s]         = read_req_valid_i;
      assign req_write[s]         = 1'b0;
      assign req_unit[s*4+:4]     = read_req_unit_i;
      assign req_addr[s*8+:8]     = read_req_addr_i;
      assign req_wdata[s*32+:32]  = '0;
    end

    assign free[s] = !wait_q[s] && !reading_q[s] && !done_q[s];
    assign take[s] = req_valid[s] && free[s];

    always_ff @(posedge clk_i or negedge rst_ni) begin
      if (!rst_ni) begin
        wait_q[s]    <= 1'b0;
        reading_q[s] <= 1'b0;
        done_q[s]    <= 1'b0;
      end else begin
        wait_q[s]    <= take[s] || (wait_q[s] && exists[s] && !accepted[s]);
        reading_q[s] <= (accepted[s] && !write_q[s]) || (reading_q[s] && !answered[s]);
        done_q[s]    <= (accepted[s] && write_q[s]) || (wait_q[s] && !exists[s]) || answered[s] ||
            (done_q[s] && !leave[s]);
      end
    end

    always_ff @(posedge clk_i) begin
      if (take[s]) begin
        write_q[s]        <= req_write[s];
        unit_q[s*4+:4]    <= req_unit[s*4+:4];
        addr_q[s*8+:8]    <= req_addr[s*8+:8];
        wdata_q[s*32+:32] <= req_wdata[s*32+:32];
        rdata_q[s*32+:32] <= '0;
      end
      if (wait_q[s]) error_q[s] <= !exists[s];
      if (answered[s]) rdata_q[s*32+:32] <= answer[s*32+:32];
    end

    // What the units say to this slot.
    logic any_hit, any_accepted, any_answered;
    logic [31:0] any_answer;

    always_comb begin
      any_hit      = 1'b0;
      any_accepted = 1'b0;
      any_answered = 1'b0;
      any_answer   = '0;
      if (!free[s]) begin
        for (int u = 0; u < Units; u++) begin
          any_hit      = any_hit | hit[u*Sources+s];
          any_accepted = any_accepted | (grant[u*Sources+s] & unit_ready[u]);
          any_answered = any_answered | (reader_q[u*Sources+s] & rsp_valid[u]);
          any_answer   = any_answer | (rsp_rdata[u*32+:32] & {32{reader_q[u*Sources+s]}});
        end
      end
    end

    assign exists[s]         = any_hit;
    assign accepted[s]       = any_accepted;
    assign answered[s]       = any_answered;
    assign answer[s*32+:32]  = any_answer;

    `ASSERT(one_state, {1'b0, wait_q[s]} + {1'b0, reading_q[s]} + {1'b0, done_q[s]} <= 2'd1)
    `ASSERT(answer_expected, !answered[s] || reading_q[s])
  end

  // ---------------------------------------------------------------------------------------------
  // Units. One read at a time is under way in each.
  // ---------------------------------------------------------------------------------------------
  assign unit_pending = {1'b0, pending_i};
  assign unit_ready   = {sys_req_ready_i, reg_req_ready_i};
  assign rsp_valid    = {sys_rsp_valid_i, reg_rsp_valid_i};
  assign rsp_rdata    = {sys_rsp_rdata_i, reg_rsp_rdata_i};

  for (genvar u = 0; u < Units; u++) begin : gen_unit
    localparam logic [3:0] Number = u == System ? SystemUnit : 4'(u);

    logic read_room, write;
    logic [7:0] addr;
    logic [31:0] wdata;

    assign read_room = reader_q[u*Sources+:Sources] == '0 || rsp_valid[u];

    for (genvar s = 0; s < Sources; s++) begin : gen_request
      assign hit[u*Sources+s]     = unit_q[s*4+:4] == Number;
      assign request[u*Sources+s] = wait_q[s] && hit[u*Sources+s] &&
          (write_q[s] ? !(unit_pending[u] && addr_q[s*8+:8] < mvu_pkg::AddrMvustatus) : read_room);
    end

    accelerator_arbiter #(
      .NumReq(Sources)
    ) u_arbiter (
      .clk_i,
      .rst_ni,
      .req_i  (request[u*Sources+:Sources]),
      .gnt_o  (grant[u*Sources+:Sources]),
      .ready_i(unit_ready[u])
    );

    always_comb begin
      write = 1'b0;
      addr  = '0;
      wdata = '0;
      if (unit_valid[u]) begin
        for (int s = 0; s < Sources; s++) begin
          write = write | (write_q[s] & grant[u*Sources+s]);
          addr  = addr | (addr_q[s*8+:8] & {8{grant[u*Sources+s]}});
          wdata = wdata | (wdata_q[s*32+:32] & {32{grant[u*Sources+s]}});
        end
      end
    end

    assign unit_valid[u]          = grant[u*Sources+:Sources] != '0;
    assign unit_write[u]          = write;
    assign unit_addr[u*8+:8]      = addr;
    assign unit_wdata[u*32+:32]   = wdata;

    always_ff @(posedge clk_i or negedge rst_ni) begin
      if (!rst_ni) reader_q[u*Sources+:Sources] <= '0;
      else if (unit_valid[u] && unit_ready[u] && !write) reader_q[u*Sources+:Sources] <= grant[u*Sources+:Sources];
      else if (rsp_valid[u]) reader_q[u*Sources+:Sources] <= '0;
    end

    `ASSERT_STREAM(unit_req, 41, unit_valid[u], unit_ready[u], {write, addr, wdata})
`ifndef SYNTHESIS
    // Else a request that the unit has not taken yet would go.
    logic pending_q, written_q;
    always_ff @(posedge clk_i or negedge rst_ni) begin
      if (!rst_ni) begin
        pending_q <= 1'b0;
        written_q <= 1'b0;
      end else begin
        pending_q <= unit_pending[u];
        written_q <= unit_valid[u] && unit_ready[u] && write;
      end
    end
    `ASSERT(pending_after_write, !unit_pending[u] || pending_q || written_q)
`endif
    `ASSERT(unit_rsp_expected, !rsp_valid[u] || reader_q[u*Sources+:Sources] != '0)
  end

  assign reg_req_valid_o = unit_valid[Mvus-1:0];
  assign reg_req_write_o = unit_write[Mvus-1:0];
  assign reg_req_addr_o  = unit_addr[Mvus*8-1:0];
  assign reg_req_wdata_o = unit_wdata[Mvus*32-1:0];
  assign reg_rsp_ready_o = '1;  // A slot takes its answer at once.
  assign sys_req_valid_o = unit_valid[System];
  assign sys_req_write_o = unit_write[System];
  assign sys_req_addr_o  = unit_addr[System*8+:8];
  assign sys_req_wdata_o = unit_wdata[System*32+:32];
  assign sys_req_host_o  = grant[System*Sources+Writer] || grant[System*Sources+Reader];
  assign sys_rsp_ready_o = 1'b1;

  // ---------------------------------------------------------------------------------------------
  // Ways in and back
  // ---------------------------------------------------------------------------------------------
  logic [Mvus-1:0] back;
  logic [31:0] back_rdata;
  logic [3:0] back_hart;

  // Ready speaks of a valid request only.
  assign bus_req_ready_o   = take[Mvus-1:0] != '0;
  assign write_req_ready_o = take[Writer];
  assign read_req_ready_o  = take[Reader];

  accelerator_arbiter #(
    .NumReq(Mvus)
  ) u_back (
    .clk_i,
    .rst_ni,
    .req_i  (done_q[Mvus-1:0]),
    .gnt_o  (back),
    .ready_i(bus_rsp_ready_i)
  );

  always_comb begin
    back_rdata = '0;
    back_hart  = '0;
    for (int s = 0; s < Mvus; s++) begin
      back_rdata = back_rdata | (rdata_q[s*32+:32] & {32{back[s]}});
      back_hart  = back_hart | (4'(s) & {4{back[s]}});
    end
  end

  assign bus_rsp_valid_o = back != '0;
  assign bus_rsp_rdata_o = back_rdata;
  assign bus_rsp_error_o = (back & error_q[Mvus-1:0]) != '0;
  assign bus_rsp_hart_o  = back_hart;

  assign write_rsp_valid_o = done_q[Writer];
  assign write_rsp_error_o = done_q[Writer] && error_q[Writer];
  assign read_rsp_valid_o  = done_q[Reader];
  assign read_rsp_error_o  = done_q[Reader] && error_q[Reader];
  assign read_rsp_rdata_o  = rdata_q[Reader*32+:32] & {32{done_q[Reader]}};

  assign leave = {read_rsp_ready_i, write_rsp_ready_i, back & {Mvus{bus_rsp_ready_i}}};

  `ASSERT_STREAM(bus_req, 49, bus_req_valid_i, bus_req_ready_o,
                 {bus_req_write_i, bus_req_mvu_i, bus_req_addr_i, bus_req_wdata_i, bus_req_hart_i})
  `ASSERT_STREAM(bus_rsp, 37, bus_rsp_valid_o, bus_rsp_ready_i, {bus_rsp_rdata_o, bus_rsp_error_o, bus_rsp_hart_o})
  `ASSERT_STREAM(write_req, 44, write_req_valid_i, write_req_ready_o,
                 {write_req_unit_i, write_req_addr_i, write_req_wdata_i})
  `ASSERT_STREAM(read_req, 12, read_req_valid_i, read_req_ready_o, {read_req_unit_i, read_req_addr_i})
  `ASSERT_STREAM(write_rsp, 1, write_rsp_valid_o, write_rsp_ready_i, write_rsp_error_o)
  `ASSERT_STREAM(read_rsp, 33, read_rsp_valid_o, read_rsp_ready_i, {read_rsp_error_o, read_rsp_rdata_o})
  `ASSERT(hart_exists, !bus_req_valid_i || {1'b0, bus_req_hart_i} < 5'(Mvus))

endmodule : accelerator_fabric
