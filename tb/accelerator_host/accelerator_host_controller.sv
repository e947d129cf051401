// SPDX-License-Identifier: Apache-2.0
// What the host's side sees of the controller: one access at a time, each with an answer, some with an error.
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
  logic busy_q, valid_q, error_q, accept, error;
  logic [31:0] rdata_q;
  logic unused_address;

  assign index          = {req_addr_i[31], req_addr_i[25], req_addr_i[7:2]};
  assign unused_address = ^req_addr_i;
  // Some places have neither word, some have the lower or the upper one only.
  assign error       = req_addr_i[6] || (req_addr_i[5] && req_addr_i[2] != req_addr_i[4]);
  assign req_ready_o = !stall[0] && (!busy_q || (rsp_valid_o && rsp_ready_i));
  assign accept      = req_valid_i && req_ready_o;
  assign rsp_valid_o = valid_q;
  assign rsp_rdata_o = rdata_q & {32{valid_q}};
  assign rsp_error_o = error_q && valid_q;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      busy_q  <= 1'b0;
      valid_q <= 1'b0;
      error_q <= 1'b0;
      rdata_q <= '0;
    end else begin
      busy_q  <= accept || (busy_q && !(rsp_valid_o && rsp_ready_i));
      valid_q <= !(rsp_valid_o && rsp_ready_i) && (valid_q || (busy_q && !stall[1]));
      if (accept) begin
        error_q <= error;
        // A wrong one is answered with something that must not reach the host.
        rdata_q <= req_write_i || error ? 32'hbad0_bad0 : memory[index];
      end
    end
  end

  always_ff @(posedge clk_i) begin
    if (accept && req_write_i && !error) memory[index] <= req_wdata_i;
  end

  initial for (int i = 0; i < 256; i++) memory[i] = 32'(i) * 32'h0103_0507;

endmodule : accelerator_host_controller
