// SPDX-License-Identifier: Apache-2.0
// What the host's side sees of the controller: accesses in order, each with an answer, some with an error. Like the
// controller it takes further ones before the first is answered.
module accelerator_host_controller (
  input  logic        clk_i,
  input  logic        rst_ni,
  input  logic [ 8:0] stall_i,
  input  logic [31:0] seed_i,
  input  logic        req_valid_i,
  output logic        req_ready_o,
  input  logic        req_write_i,
  input  logic [31:0] req_addr_i,
  input  logic [31:0] req_wdata_i,
  output logic        rsp_valid_o,
  input  logic        rsp_ready_i,
  output logic [31:0] rsp_rdata_o,
  output logic        rsp_error_o
);

  logic [1:0] stall;

  for (genvar s = 0; s < 2; s++) begin : gen_stall
    stream_stall u_stall (
      .clk_i,
      .rst_ni,
      .stall_i,
      .seed_i (seed_i ^ 32'((s + 101) * 32'h9e37_79b9)),
      .stall_o(stall[s])
    );
  end

  logic [31:0] memory [256];
  logic [7:0] index;
  logic room, waiting, valid_q, taken, accept, error, out_error;
  logic [31:0] rdata, out_rdata;
  logic [2:0] unused_count;
  logic unused_address;

  assign index          = {req_addr_i[31], req_addr_i[25], req_addr_i[7:2]};
  assign unused_address = ^req_addr_i;
  // Of the upper half, some places have neither word, some have the lower or the upper one only.
  assign error       = req_addr_i[6] && (req_addr_i[5] || req_addr_i[2] != req_addr_i[4]);
  assign req_ready_o = !stall[0] && room;
  assign accept      = req_valid_i && req_ready_o;
  // A wrong one is answered with something that must not reach the host.
  assign rdata       = req_write_i || error ? 32'hbad0_bad0 : memory[index];
  assign rsp_valid_o = valid_q;
  assign rsp_rdata_o = out_rdata & {32{valid_q}};
  assign rsp_error_o = out_error && valid_q;
  assign taken       = rsp_valid_o && rsp_ready_i;

  fifo #(
    .Width(33),
    .Depth(4)
  ) u_answers (
    .clk_i,
    .rst_ni,
    .clear_i (1'b0),
    .wvalid_i(accept),
    .wready_o(room),
    .wdata_i ({error, rdata}),
    .rvalid_o(waiting),
    .rready_i(taken),
    .rdata_o ({out_error, out_rdata}),
    .count_o (unused_count)
  );

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) valid_q <= 1'b0;
    else valid_q <= !taken && (valid_q || (waiting && !stall[1]));
  end

  always_ff @(posedge clk_i) begin
    if (accept && req_write_i && !error) memory[index] <= req_wdata_i;
  end

  initial for (int i = 0; i < 256; i++) memory[i] = 32'(i) * 32'h0103_0507;

endmodule : accelerator_host_controller
