// SPDX-License-Identifier: Apache-2.0
// What the host's side sees of an MVU: registers, a data memory, a parameter port, each with stalls of its own.
//
// As in `mvu`: reads are answered in order, registers one at a time; after a write of mvucommand a job may wait
// (pending_o) for some clocks. Here every request may also have to wait for ready.
module accelerator_host_unit #(
  parameter int Lanes = 8,
  parameter int DataDepth = 256,
  parameter int Number = 0
) (
  input  logic             clk_i,
  input  logic             rst_ni,
  input  logic [      8:0] stall_i,
  input  logic [     31:0] seed_i,
  input  logic             reg_req_valid_i,
  output logic             reg_req_ready_o,
  input  logic             reg_req_write_i,
  input  logic [      7:0] reg_req_addr_i,
  input  logic [     31:0] reg_req_wdata_i,
  output logic             reg_rsp_valid_o,
  output logic [     31:0] reg_rsp_rdata_o,
  output logic             pending_o,
  input  logic             mem_req_valid_i,
  output logic             mem_req_ready_o,
  input  logic             mem_req_write_i,
  input  logic [     15:0] mem_req_addr_i,
  input  logic [Lanes-1:0] mem_req_wdata_i,
  output logic             mem_rsp_valid_o,
  output logic [Lanes-1:0] mem_rsp_rdata_o,
  output logic             prm_ready_o
);

  localparam int AddrWidth = $clog2(DataDepth);
  localparam int Stalls = 6;

  logic [Stalls-1:0] stall;

  for (genvar s = 0; s < Stalls; s++) begin : gen_stall
    stream_stall u_stall (
      .clk_i,
      .rst_ni,
      .stall_i,
      .seed_i (seed_i ^ 32'((Number * Stalls + s + 1) * 32'h9e37_79b9)),
      .stall_o(stall[s])
    );
  end

  // Registers
  logic [31:0] registers [256];
  logic reading_q, pending_q;
  logic [31:0] rdata_q;
  logic accept;

  assign reg_req_ready_o = !stall[0] && (reg_req_write_i || !reading_q || reg_rsp_valid_o);
  assign accept          = reg_req_valid_i && reg_req_ready_o;
  assign reg_rsp_valid_o = reading_q && !stall[1];
  assign reg_rsp_rdata_o = rdata_q & {32{reg_rsp_valid_o}};
  assign pending_o       = pending_q;

  logic [5:0] count_q;
  logic [3:0] rounds_q;  // of count_q that a job has waited: after some it runs, however much stalls

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      reading_q <= 1'b0;
      pending_q <= 1'b0;
      rdata_q   <= '0;
    end else begin
      reading_q <= (accept && !reg_req_write_i) || (reading_q && !reg_rsp_valid_o);
      if (accept && !reg_req_write_i) rdata_q <= registers[reg_req_addr_i];
      // A job waits for some dozen clocks: others must get on meanwhile.
      if (accept && reg_req_write_i && reg_req_addr_i == mvu_pkg::AddrMvucommand) pending_q <= 1'b1;
      else if (count_q == '0 && (!stall[2] || &rounds_q)) pending_q <= 1'b0;
    end
  end

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      count_q  <= '0;
      rounds_q <= '0;
    end else begin
      count_q <= count_q + 6'd1;
      if (count_q == '0) rounds_q <= pending_q ? rounds_q + 4'd1 : '0;
    end
  end

  always_ff @(posedge clk_i) begin
    if (accept && reg_req_write_i) registers[reg_req_addr_i] <= reg_req_wdata_i;
  end

  // Data memory
  logic [Lanes-1:0] memory [DataDepth];
  logic room, take, unused_address;
  logic answer_valid;
  logic [Lanes-1:0] answer;
  logic [4:0] unused_count;

  assign mem_req_ready_o = !stall[3] && room;
  assign take            = mem_req_valid_i && mem_req_ready_o;
  assign unused_address  = ^mem_req_addr_i;

  always_ff @(posedge clk_i) begin
    if (take && mem_req_write_i) memory[mem_req_addr_i[AddrWidth-1:0]] <= mem_req_wdata_i;
  end

  fifo #(
    .Width(Lanes),
    .Depth(16)
  ) u_answers (
    .clk_i,
    .rst_ni,
    .clear_i (1'b0),
    .wvalid_i(take && !mem_req_write_i),
    .wready_o(room),
    .wdata_i (memory[mem_req_addr_i[AddrWidth-1:0]]),
    .rvalid_o(answer_valid),
    .rready_i(!stall[4]),
    .rdata_o (answer),
    .count_o (unused_count)
  );

  assign mem_rsp_valid_o = answer_valid && !stall[4];
  assign mem_rsp_rdata_o = answer & {Lanes{mem_rsp_valid_o}};
  assign prm_ready_o     = !stall[5];

  initial begin
    for (int i = 0; i < 256; i++) registers[i] = 32'(i) * 32'h0101_0101 ^ 32'(Number);
    for (int i = 0; i < DataDepth; i++) memory[i] = Lanes'(i * 37 + Number);
  end

endmodule : accelerator_host_unit
