// SPDX-License-Identifier: Apache-2.0
// Instructions that wait for an answer, of the MVU bus or of the divider.
//
// An instruction whose request leaves stage M is parked: its word is kept here, as the memory may change meanwhile, and
// its hart issues again when the answer is there (see controller_scheduler). A hart has one request under way, so the
// queue of requests never overflows. The bus takes requests in the order of stage M; req_valid_o waits for nobody.
`include "assert.svh"

module controller_bus #(
  parameter int Harts = 8,
  parameter int HartWidth = Harts > 1 ? $clog2(Harts) : 1
) (
  input  logic                 clk_i,
  input  logic                 rst_ni,
  // Stage M: park the instruction; with a request to the bus, or with one to the divider
  input  logic                 park_i,
  input  logic                 request_i,
  input  logic [HartWidth-1:0] hart_i,
  input  logic [         31:0] insn_i,
  input  logic                 write_i,
  input  logic [          3:0] mvu_i,
  input  logic [          7:0] addr_i,
  input  logic [         31:0] wdata_i,
  // The answer's data is not wanted: those of the instruction's first answer stay
  input  logic                 keep_i,
  // Last answer of hart hart_i
  output logic [         31:0] rdata_o,
  output logic                 error_o,
  // Parked instruction of a hart
  input  logic [HartWidth-1:0] insn_hart_i,
  output logic [         31:0] insn_o,
  // An answer is here from the next clock on
  output logic                 answer_valid_o,
  output logic [HartWidth-1:0] answer_hart_o,
  // Divider, whose answer waits for the bus's
  input  logic                 divider_valid_i,
  output logic                 divider_ready_o,
  input  logic [HartWidth-1:0] divider_hart_i,
  input  logic [         31:0] divider_result_i,
  // Bus
  output logic                 bus_req_valid_o,
  input  logic                 bus_req_ready_i,
  output logic                 bus_req_write_o,
  output logic [          3:0] bus_req_mvu_o,
  output logic [          7:0] bus_req_addr_o,
  output logic [         31:0] bus_req_wdata_o,
  output logic [          3:0] bus_req_hart_o,
  input  logic                 bus_rsp_valid_i,
  output logic                 bus_rsp_ready_o,
  input  logic [         31:0] bus_rsp_rdata_i,
  input  logic                 bus_rsp_error_i,
  input  logic [          3:0] bus_rsp_hart_i
);

  localparam int Depth = Harts > 1 ? Harts : 2;
  localparam int CountWidth = $clog2(Depth + 1);
  localparam int RequestWidth = 1 + 4 + 8 + 32 + 4;

  logic [31:0] insn_q [Harts];
  logic [31:0] rdata_q [Harts];
  logic [Harts-1:0] error_q, keep_q, waits_q;
  logic room, unused_hart;
  logic [RequestWidth-1:0] request;
  logic [CountWidth-1:0] unused_count;

  fifo #(
    .Width(RequestWidth),
    .Depth(Depth)
  ) u_requests (
    .clk_i,
    .rst_ni,
    .clear_i (1'b0),
    .wvalid_i(request_i),
    .wready_o(room),
    .wdata_i ({write_i, mvu_i, addr_i, wdata_i, 4'(hart_i)}),
    .rvalid_o(bus_req_valid_o),
    .rready_i(bus_req_ready_i),
    .rdata_o (request),
    .count_o (unused_count)
  );

  // Zero while there is no request, as the queue's content is unknown at first.
  assign {bus_req_write_o, bus_req_mvu_o, bus_req_addr_o, bus_req_wdata_o, bus_req_hart_o} =
      request & {RequestWidth{bus_req_valid_o}};

  assign bus_rsp_ready_o = 1'b1;
  assign divider_ready_o = !bus_rsp_valid_i;
  assign answer_valid_o  = bus_rsp_valid_i || divider_valid_i;
  assign answer_hart_o   = bus_rsp_valid_i ? bus_rsp_hart_i[HartWidth-1:0] : divider_hart_i;
  assign unused_hart     = ^bus_rsp_hart_i;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      error_q <= '0;
      keep_q  <= '0;
      waits_q <= '0;
    end else begin
      if (request_i) begin
        keep_q[hart_i]  <= keep_i;
        waits_q[hart_i] <= 1'b1;
      end
      if (bus_rsp_valid_i) begin
        error_q[answer_hart_o] <= bus_rsp_error_i;
        waits_q[answer_hart_o] <= 1'b0;
      end
    end
  end

  always_ff @(posedge clk_i) begin
    if (park_i) insn_q[hart_i] <= insn_i;
    if (bus_rsp_valid_i) begin
      if (!keep_q[answer_hart_o]) rdata_q[answer_hart_o] <= bus_rsp_rdata_i;
    end else if (divider_valid_i) begin
      rdata_q[answer_hart_o] <= divider_result_i;
    end
  end

  assign rdata_o = rdata_q[hart_i];
  assign error_o = error_q[hart_i];
  assign insn_o  = insn_q[insn_hart_i];

  `ASSERT(request_room, !request_i || room)
  `ASSERT_KNOWN(response_known, bus_rsp_valid_i)
  `ASSERT(response_expected, !bus_rsp_valid_i || waits_q[bus_rsp_hart_i[HartWidth-1:0]])
  `ASSERT_STREAM(bus_request, RequestWidth, bus_req_valid_o, bus_req_ready_i, request)

endmodule : controller_bus
