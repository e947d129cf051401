// SPDX-License-Identifier: Apache-2.0
// The host's way to the data memories: a writer to any set of units, a reader of one unit at a time.
//
// A written word is taken in the clock in which the last unit of its set takes it, and nothing is kept but the set of
// those that have it. At every unit the two take turns. Units' answers are taken at once; the reader asks for no more
// than it has room for, and not for a word of another unit while answers are outstanding, so that they come in order.
`include "assert.svh"

module accelerator_data_port #(
  parameter int Mvus = 8,
  parameter int Lanes = 64
) (
  input  logic                  clk_i,
  input  logic                  rst_ni,
  input  logic                  write_valid_i,
  output logic                  write_ready_o,
  input  logic [      Mvus-1:0] write_mvus_i,
  input  logic [          15:0] write_addr_i,
  input  logic [     Lanes-1:0] write_data_i,
  input  logic                  read_valid_i,
  output logic                  read_ready_o,
  input  logic [      Mvus-1:0] read_mvu_i,
  input  logic [          15:0] read_addr_i,
  output logic                  read_rsp_valid_o,
  output logic [     Lanes-1:0] read_rsp_data_o,
  // MVUs: unit m in bits m*Width +: Width
  output logic [      Mvus-1:0] mem_req_valid_o,
  input  logic [      Mvus-1:0] mem_req_ready_i,
  output logic [      Mvus-1:0] mem_req_write_o,
  output logic [   Mvus*16-1:0] mem_req_addr_o,
  output logic [Mvus*Lanes-1:0] mem_req_wdata_o,
  input  logic [      Mvus-1:0] mem_rsp_valid_i,
  output logic [      Mvus-1:0] mem_rsp_ready_o,
  input  logic [Mvus*Lanes-1:0] mem_rsp_rdata_i
);

  logic [Mvus-1:0] want_write, want_read, writes, reads, written_q, write_taken, read_taken;

  assign want_write    = write_mvus_i & {Mvus{write_valid_i}} & ~written_q;
  assign want_read     = read_mvu_i & {Mvus{read_valid_i}};
  assign write_taken   = writes & mem_req_ready_i;
  assign read_taken    = reads & mem_req_ready_i;
  assign write_ready_o = write_valid_i && (want_write & ~write_taken) == '0;
  assign read_ready_o  = read_taken != '0;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) written_q <= '0;
    else if (write_ready_o) written_q <= '0;
    else written_q <= written_q | write_taken;
  end

  for (genvar m = 0; m < Mvus; m++) begin : gen_unit
    accelerator_arbiter #(
      .NumReq(2)
    ) u_arbiter (
      .clk_i,
      .rst_ni,
      .req_i  ({want_read[m], want_write[m]}),
      .gnt_o  ({reads[m], writes[m]}),
      .ready_i(mem_req_ready_i[m])
    );

    assign mem_req_addr_o[m*16+:16]        = writes[m] ? write_addr_i : reads[m] ? read_addr_i : 16'd0;
    assign mem_req_wdata_o[m*Lanes+:Lanes] = write_data_i & {Lanes{writes[m]}};
  end

  assign mem_req_valid_o = writes | reads;
  assign mem_req_write_o = writes;
  assign mem_rsp_ready_o = '1;

  logic [Lanes-1:0] rdata;

  always_comb begin
    rdata = '0;
    for (int m = 0; m < Mvus; m++) rdata = rdata | (mem_rsp_rdata_i[m*Lanes+:Lanes] & {Lanes{mem_rsp_valid_i[m]}});
  end

  assign read_rsp_valid_o = mem_rsp_valid_i != '0;
  assign read_rsp_data_o  = rdata;

  `ASSERT_STREAM(write, Mvus + Lanes + 16, write_valid_i, write_ready_o, {write_mvus_i, write_addr_i, write_data_i})
  `ASSERT_STREAM(read, Mvus + 16, read_valid_i, read_ready_o, {read_mvu_i, read_addr_i})
  `ASSERT(one_unit_is_read, !read_valid_i || (read_mvu_i & (read_mvu_i - 1'b1)) == '0)
  `ASSERT(one_answer_at_a_time, (mem_rsp_valid_i & (mem_rsp_valid_i - 1'b1)) == '0)

endmodule : accelerator_data_port
