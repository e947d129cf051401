// SPDX-License-Identifier: Apache-2.0
// The host port's writes and reads take turns at the controller's host port, one access at a time.
`include "assert.svh"

module accelerator_controller_port (
  input  logic        clk_i,
  input  logic        rst_ni,
  input  logic        write_req_valid_i,
  output logic        write_req_ready_o,
  input  logic [31:0] write_req_addr_i,
  input  logic [31:0] write_req_wdata_i,
  output logic        write_rsp_valid_o,
  input  logic        write_rsp_ready_i,
  output logic        write_rsp_error_o,
  input  logic        read_req_valid_i,
  output logic        read_req_ready_o,
  input  logic [31:0] read_req_addr_i,
  output logic        read_rsp_valid_o,
  input  logic        read_rsp_ready_i,
  output logic [31:0] read_rsp_rdata_o,
  output logic        read_rsp_error_o,
  // Controller
  output logic        host_req_valid_o,
  input  logic        host_req_ready_i,
  output logic        host_req_write_o,
  output logic [31:0] host_req_addr_o,
  output logic [31:0] host_req_wdata_o,
  input  logic        host_rsp_valid_i,
  output logic        host_rsp_ready_o,
  input  logic [31:0] host_rsp_rdata_i,
  input  logic        host_rsp_error_i
);

  logic writes, reads, writing_q, reading_q, idle;

  assign idle = !writing_q && !reading_q;

  accelerator_arbiter #(
    .NumReq(2)
  ) u_arbiter (
    .clk_i,
    .rst_ni,
    .req_i  ({read_req_valid_i && idle, write_req_valid_i && idle}),
    .gnt_o  ({reads, writes}),
    .ready_i(host_req_ready_i)
  );

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      writing_q <= 1'b0;
      reading_q <= 1'b0;
    end else begin
      writing_q <= (writes && host_req_ready_i) || (writing_q && !(host_rsp_valid_i && write_rsp_ready_i));
      reading_q <= (reads && host_req_ready_i) || (reading_q && !(host_rsp_valid_i && read_rsp_ready_i));
    end
  end

  assign host_req_valid_o  = writes || reads;
  assign host_req_write_o  = writes;
  assign host_req_addr_o   = writes ? write_req_addr_i : reads ? read_req_addr_i : 32'd0;
  assign host_req_wdata_o  = write_req_wdata_i & {32{writes}};
  assign write_req_ready_o = writes && host_req_ready_i;
  assign read_req_ready_o  = reads && host_req_ready_i;
  assign host_rsp_ready_o  = (writing_q && write_rsp_ready_i) || (reading_q && read_rsp_ready_i);
  assign write_rsp_valid_o = writing_q && host_rsp_valid_i;
  assign write_rsp_error_o = host_rsp_error_i;
  assign read_rsp_valid_o  = reading_q && host_rsp_valid_i;
  assign read_rsp_rdata_o  = host_rsp_rdata_i;
  assign read_rsp_error_o  = host_rsp_error_i;

  `ASSERT_STREAM(write_req, 64, write_req_valid_i, write_req_ready_o, {write_req_addr_i, write_req_wdata_i})
  `ASSERT_STREAM(read_req, 32, read_req_valid_i, read_req_ready_o, read_req_addr_i)
  `ASSERT_STREAM(host_req, 65, host_req_valid_o, host_req_ready_i,
                 {host_req_write_o, host_req_addr_o, host_req_wdata_o})
  `ASSERT(answer_expected, !host_rsp_valid_i || !idle)

endmodule : accelerator_controller_port
