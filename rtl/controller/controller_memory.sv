// SPDX-License-Identifier: Apache-2.0
// Memory map behind stage M, and instruction fetch.
//
// One access a clock, of the instruction in M or else of the host. What is where is said in the same clock; the word
// comes in the next. A write takes place at the clock's end if the address is allowed.
module controller_memory
  import controller_pkg::*;
#(
  parameter int Harts = DefaultHarts,
  parameter int ImemWords = DefaultImemWords,
  parameter int DmemWords = DefaultDmemWords
) (
  input  logic             clk_i,
  input  logic             rst_ni,
  // Fetch: the word comes in the next clock; fault speaks of fault_pc_i, in the same clock
  input  logic             fetch_i,
  input  logic [     31:0] fetch_pc_i,
  output logic [     31:0] fetch_rdata_o,
  input  logic [     31:0] fault_pc_i,
  output logic             fetch_fault_o,
  // Instruction in M. size as in funct3: 0 byte, 1 half-word, 2 word. An access that is misaligned does nothing.
  input  logic             access_i,
  input  logic             write_i,
  input  logic [      1:0] size_i,
  input  logic [     31:0] addr_i,
  input  logic [     31:0] wdata_i,
  output logic             misaligned_o,
  // Nothing there, or not for this size; register of an MVU, which is the bus's
  output logic             fault_o,
  output logic             mvu_o,
  // Host, served when there is no access of an instruction
  input  logic             host_access_i,
  input  logic             host_write_i,
  input  logic [     31:0] host_addr_i,
  input  logic [     31:0] host_wdata_i,
  output logic             host_done_o,
  output logic             host_error_o,
  // Word of the clock before
  output logic [     31:0] rdata_o,
  output logic [     63:0] mtime_o,
  output logic [Harts-1:0] msip_o,
  output logic [Harts-1:0] mtip_o
);

  localparam int HartWidth = Harts > 1 ? $clog2(Harts) : 1;
  localparam int ImemWidth = $clog2(ImemWords);
  localparam int DmemWidth = $clog2(DmemWords);
  // Both memories lie in the first MiB from ImemBase.
  localparam logic [20:0] ImemBytes = 21'(4 * ImemWords);
  localparam logic [20:0] DmemBytes = 21'(4 * DmemWords);

  logic write, word, go;
  logic [31:0] addr, wdata, imem_rdata, dmem_rdata, timer_rdata, timer_rdata_q;
  logic [20:0] behind;
  logic [3:0] lanes;
  logic in_memories, imem, dmem, msip, mtimecmp, mtime, mvu, device;
  logic [HartWidth-1:0] hart;
  logic from_imem_q, from_dmem_q;
  logic unused_pc, unused_behind;

  assign addr  = access_i ? addr_i : host_addr_i;
  assign wdata = access_i ? wdata_i : host_wdata_i;
  assign write = access_i ? write_i : host_write_i;
  assign word  = !access_i || size_i == 2'd2;

  assign in_memories = addr[31:20] == ImemBase[31:20];
  assign behind      = {1'b0, addr[19:0]} - ImemBytes;
  assign imem        = in_memories && {1'b0, addr[19:0]} < ImemBytes;
  assign dmem        = in_memories && !imem && behind < DmemBytes;
  assign msip        = addr[31:6] == MsipBase[31:6] && {1'b0, addr[5:2]} < 5'(Harts);
  assign mtimecmp    = addr[31:7] == MtimecmpBase[31:7] && {1'b0, addr[6:3]} < 5'(Harts);
  assign mtime       = addr[31:3] == MtimeBase[31:3];
  assign mvu         = addr[31:14] == MvuBase[31:14];
  assign device      = msip || mtimecmp || mtime;
  assign hart        = msip ? addr[2+:HartWidth] : addr[3+:HartWidth];

  assign misaligned_o = (size_i[0] && addr_i[0]) || (size_i[1] && addr_i[1:0] != 2'b00);
  assign mvu_o        = access_i && mvu && word;
  assign fault_o      = access_i && !(imem || dmem || (word && (device || mvu)));
  assign host_done_o  = host_access_i && !access_i;
  assign host_error_o = !(imem || dmem || device) || host_addr_i[1:0] != 2'b00;

  assign go = access_i ? !misaligned_o && !fault_o : host_access_i && !host_error_o;

  assign lanes = word ? 4'b1111 : (size_i[0] ? 4'b0011 : 4'b0001) << addr[1:0];

  logic [31:0] spread;
  assign spread = word ? wdata : size_i[0] ? {2{wdata[15:0]}} : {4{wdata[7:0]}};

  controller_ram #(
    .Words(ImemWords)
  ) u_imem (
    .clk_i,
    .fetch_i,
    .fetch_addr_i (fetch_pc_i[2+:ImemWidth]),
    .fetch_rdata_o,
    .req_i        (go && imem),
    .we_i         (lanes & {4{write}}),
    .addr_i       (addr[2+:ImemWidth]),
    .wdata_i      (spread),
    .rdata_o      (imem_rdata)
  );

  logic [31:0] unused_fetched;

  controller_ram #(
    .Words(DmemWords)
  ) u_dmem (
    .clk_i,
    .fetch_i      (1'b0),
    .fetch_addr_i ({DmemWidth{1'b0}}),
    .fetch_rdata_o(unused_fetched),
    .req_i        (go && dmem),
    .we_i         (lanes & {4{write}}),
    .addr_i       (behind[2+:DmemWidth]),
    .wdata_i      (spread),
    .rdata_o      (dmem_rdata)
  );

  controller_timer #(
    .Harts(Harts)
  ) u_timer (
    .clk_i,
    .rst_ni,
    .write_i   (go && write),
    .msip_i    (msip),
    .mtimecmp_i(mtimecmp),
    .mtime_i   (mtime),
    .hart_i    (hart),
    .high_i    (addr[2]),
    .wdata_i   (wdata),
    .rdata_o   (timer_rdata),
    .mtime_o,
    .msip_o,
    .mtip_o
  );

  // pc is always a multiple of 4.
  assign fetch_fault_o = fault_pc_i[31:20] != ImemBase[31:20] || {1'b0, fault_pc_i[19:0]} >= ImemBytes;
  assign unused_pc     = ^{fetch_pc_i[31:ImemWidth+2], fetch_pc_i[1:0]};
  assign unused_behind = ^{behind[20:DmemWidth+2], behind[1:0]};

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      from_imem_q   <= 1'b0;
      from_dmem_q   <= 1'b0;
      timer_rdata_q <= '0;
    end else if (go) begin
      from_imem_q   <= imem;
      from_dmem_q   <= dmem;
      timer_rdata_q <= timer_rdata;
    end
  end

  assign rdata_o = from_imem_q ? imem_rdata : from_dmem_q ? dmem_rdata : timer_rdata_q;

endmodule : controller_memory
