// SPDX-License-Identifier: Apache-2.0
// Register file of the PE array (map: docs/pe_array_registers.md, generated with pe_array_pkg from one table).
//
// Writes are taken at once; reads are answered in order, one clock later at the earliest. Unused addresses and
// reserved bits read 0.
`include "assert.svh"

module pe_array_regs
  import pe_array_pkg::*;
#(
  parameter int Rows = 8,
  parameter int Columns = 24,
  parameter int DataWidth = 8,
  parameter int Vectors = 8,
  parameter int Lanes = 4
) (
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
  // Array
  input  logic                    busy_i,
  input  logic                    tile_done_i,
  input  logic [   NumErrors-1:0] errors_i,
  input  logic                    starved_i,
  input  logic                    blocked_i,
  output logic                    clear_o,
  output logic                    irq_o
);

  logic rsp_valid_q, tile_done_q, irq_tile_q, irq_error_q, clear_q;
  logic [31:0] rsp_rdata_q, rdata, tiles_q, busy_clocks_q, starved_clocks_q, blocked_clocks_q;
  logic [NumErrors-1:0] error_q;
  logic accept, write_status, write_control, unused_wdata;

  // Ready speaks of a valid request only: the others' fields may be unknown.
  assign accept        = req_valid_i && (req_write_i || !rsp_valid_q || rsp_ready_i);
  assign req_ready_o   = accept;
  assign write_status  = accept && req_write_i && req_addr_i == AddrStatus;
  assign write_control = accept && req_write_i && req_addr_i == AddrControl;

  always_comb begin
    case (req_addr_i)
      AddrIdentity:      rdata = Identity;
      AddrGeometry:      rdata = {1'b0, 5'(DataWidth), 5'(Lanes), 4'(Vectors), 9'(Columns), 8'(Rows)};
      AddrStatus:        rdata = {{(32 - 8 - NumErrors) {1'b0}}, error_q, 6'b0, tile_done_q, busy_i};
      AddrControl:       rdata = {29'b0, irq_error_q, irq_tile_q, 1'b0};
      AddrTiles:         rdata = tiles_q;
      AddrBusyClocks:    rdata = busy_clocks_q;
      AddrStarvedClocks: rdata = starved_clocks_q;
      AddrBlockedClocks: rdata = blocked_clocks_q;
      default:           rdata = '0;
    endcase
  end

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      rsp_valid_q <= 1'b0;
      rsp_rdata_q <= '0;
      clear_q     <= 1'b0;
      irq_tile_q  <= 1'b0;
      irq_error_q <= 1'b0;
    end else begin
      if (accept && !req_write_i) begin
        rsp_valid_q <= 1'b1;
        rsp_rdata_q <= rdata;
      end else if (rsp_ready_i) begin
        rsp_valid_q <= 1'b0;
      end
      clear_q <= write_control && req_wdata_i[0];
      if (write_control) begin
        irq_tile_q  <= req_wdata_i[1];
        irq_error_q <= req_wdata_i[2];
      end
    end
  end

  // An event of the same clock wins over a write that clears.
  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      tile_done_q <= 1'b0;
      error_q     <= '0;
    end else begin
      tile_done_q <= tile_done_i || (tile_done_q && !(write_status && req_wdata_i[1]));
      error_q     <= errors_i | (error_q & ~(write_status ? req_wdata_i[8+:NumErrors] : '0));
    end
  end

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      tiles_q          <= '0;
      busy_clocks_q    <= '0;
      starved_clocks_q <= '0;
      blocked_clocks_q <= '0;
    end else if (clear_q) begin
      tiles_q          <= '0;
      busy_clocks_q    <= '0;
      starved_clocks_q <= '0;
      blocked_clocks_q <= '0;
    end else begin
      tiles_q          <= tiles_q + 32'(tile_done_i);
      busy_clocks_q    <= busy_clocks_q + 32'(busy_i);
      starved_clocks_q <= starved_clocks_q + 32'(starved_i);
      blocked_clocks_q <= blocked_clocks_q + 32'(blocked_i);
    end
  end

  assign unused_wdata = ^{req_wdata_i[31:8+NumErrors], req_wdata_i[7:3]};

  assign rsp_valid_o = rsp_valid_q;
  assign rsp_rdata_o = rsp_rdata_q;
  assign clear_o     = clear_q;
  assign irq_o       = (tile_done_q && irq_tile_q) || (error_q != '0 && irq_error_q);

  `ASSERT_STREAM(response, 32, rsp_valid_o, rsp_ready_i, rsp_rdata_o)

endmodule : pe_array_regs
