// SPDX-License-Identifier: Apache-2.0
// Register file of the MVU (map: docs/mvu_registers.md, generated with mvu_pkg from one table).
//
// Configuration registers hold the job being written. Writing mvucommand makes it pending; when the sequencer takes it
// (load_i), all of it is copied to cfg_o at once, so that the next job can be written while this one runs. As long as
// a job is pending further configuration writes wait: req_ready_o is low. Reads are answered in order, one clock
// later at the earliest; reserved bits and unused addresses read 0.
`include "assert.svh"

module mvu_regs
  import mvu_pkg::*;
(
  input  logic                    clk_i,
  input  logic                    rst_ni,
  // Register port
  input  logic                    req_valid_i,
  output logic                    req_ready_o,
  input  logic                    req_write_i,
  input  logic [RegAddrWidth-1:0] req_addr_i,
  input  logic [            31:0] req_wdata_i,
  output logic                    rsp_valid_o,
  input  logic                    rsp_ready_i,
  output logic [            31:0] rsp_rdata_o,
  // Sequencer
  output logic                    pending_o,
  input  logic                    load_i,
  output mvu_cfg_t                cfg_o,
  input  logic                    busy_i,
  input  logic                    ended_i,
  input  logic [             7:0] causes_i,
  output logic                    irq_o
);

  // mvustatus is the last register; all below it are configuration.
  localparam int CfgWidth = (NumRegs - 1) * 32;

  // By register: a register's number selects a word, where a computed bit would become a shifter as wide as all of them.
  logic [NumRegs-2:0][31:0] next_q, write_mask;
  logic [CfgWidth-1:0] active_q;
  logic pending_q, done_q, error_q, rsp_valid_q;
  logic [7:0] jobs_q, cause_q;
  logic [31:0] rsp_rdata_q, status;
  logic accept, is_config, is_status, write_config, write_status;

  assign is_config    = req_addr_i < RegAddrWidth'(NumRegs - 1);
  assign write_mask   = WriteMask[CfgWidth-1:0];
  assign is_status    = req_addr_i == AddrMvustatus;
  // Ready speaks of a valid request only: the others' fields may be unknown.
  assign accept       = req_valid_i && (req_write_i ? !(is_config && pending_q) : !rsp_valid_q || rsp_ready_i);
  assign req_ready_o  = accept;
  assign write_config = accept && req_write_i && is_config;
  assign write_status = accept && req_write_i && is_status;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      next_q <= '0;
    end else if (write_config) begin
      next_q[req_addr_i] <= req_wdata_i & write_mask[req_addr_i];
    end
  end

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) active_q <= '0;
    else if (load_i) active_q <= next_q;
  end

  assign cfg_o = active_q;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) pending_q <= 1'b0;
    else if (write_config && req_addr_i == AddrMvucommand) pending_q <= 1'b1;
    else if (load_i) pending_q <= 1'b0;
  end

  // A job that ends in the clock of a clearing write is not lost: setting wins.
  logic clear_done, clear_error;
  assign clear_done  = write_status && req_wdata_i[1];
  assign clear_error = write_status && req_wdata_i[2];

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      done_q  <= 1'b0;
      error_q <= 1'b0;
      cause_q <= '0;
      jobs_q  <= '0;
    end else begin
      if (ended_i) done_q <= 1'b1;
      else if (clear_done) done_q <= 1'b0;
      if (ended_i && causes_i != '0) error_q <= 1'b1;
      else if (clear_error) error_q <= 1'b0;
      cause_q <= (clear_error ? 8'd0 : cause_q) | (ended_i ? causes_i : 8'd0);
      if (ended_i) jobs_q <= jobs_q + 8'd1;
    end
  end

  assign status = {8'd0, cause_q, jobs_q, 4'd0, pending_q, error_q, done_q, busy_i};

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      rsp_valid_q <= 1'b0;
      rsp_rdata_q <= '0;
    end else if (accept && !req_write_i) begin
      rsp_valid_q <= 1'b1;
      rsp_rdata_q <= is_status ? status : is_config ? next_q[req_addr_i] : 32'd0;
    end else if (rsp_ready_i) begin
      rsp_valid_q <= 1'b0;
    end
  end

  assign pending_o   = pending_q;
  assign rsp_valid_o = rsp_valid_q;
  assign rsp_rdata_o = rsp_rdata_q;
  assign irq_o       = done_q | error_q;

  // The generated structure lies exactly over the flat registers.
  `ASSERT_PARAMETER(mvu_cfg_t, $bits(mvu_cfg_t) == CfgWidth, "as wide as the register file")

endmodule : mvu_regs
