// SPDX-License-Identifier: Apache-2.0
// Stage W: writes rd, shows the retirement (RVFI), counts retirements.
//
// The slot in M is taken at the clock's end; a record is shown in the next clock, in which also the word of a load comes
// from the memory. A record belongs to an instruction that retired or trapped; a slot that only entered an interrupt's
// handler, or that waits for an answer, leaves none.
module controller_retire
  import controller_pkg::*;
  import controller_decode_pkg::*;
  import rvfi_pkg::*;
#(
  parameter int Harts = DefaultHarts,
  parameter int MulDiv = DefaultMulDiv,
  parameter int HartWidth = Harts > 1 ? $clog2(Harts) : 1
) (
  input  logic                 clk_i,
  input  logic                 rst_ni,
  // Stage M
  input  logic                 valid_i,
  input  logic [HartWidth-1:0] hart_i,
  // The slot entered an interrupt's handler; retired; trapped
  input  logic                 interrupt_i,
  input  logic                 retire_i,
  input  logic                 trap_i,
  input  logic [          4:0] cause_i,
  input  logic [         31:0] mcause_i,
  input  logic                 illegal_i,
  input  logic [         31:0] insn_i,
  input  decoded_t             decoded_i,
  input  logic [         31:0] rs1_i,
  input  logic [         31:0] rs2_i,
  input  logic [         31:0] pc_i,
  input  logic [         31:0] pc_next_i,
  input  logic [         31:0] addr_i,
  // Result, unless it is a memory's word or a product
  input  logic [         31:0] value_i,
  input  logic                 mvu_i,
  input  logic [         31:0] csr_i,
  // Stage W
  output logic                 w_valid_o,
  output logic [HartWidth-1:0] w_hart_o,
  input  logic [         31:0] rdata_i,
  output logic                 we_o,
  output logic [          4:0] rd_o,
  output logic [         31:0] wdata_o,
  // The host lets a hart start anew
  input  logic                 restart_i,
  input  logic [HartWidth-1:0] restart_hart_i,
  output logic [         31:0] retired_o,
  // RVFI
  output rvfi_t                rvfi_o
);

  logic record, intr, store, load;
  logic [Harts-1:0] intr_q;
  logic [63:0] order_q [Harts];
  logic [31:0] retired_q;

  logic valid_q, record_q, trap_q, record_intr_q, load_q, mvu_q, extend_q;
  logic [HartWidth-1:0] hart_q;
  logic [1:0] size_q;
  logic [3:0] mask, rmask_q, wmask_q;
  logic [4:0] rd_q, rs1_addr_q, rs2_addr_q;
  logic [31:0] insn_q, rs1_q, rs2_q, pc_q, pc_next_q, addr_q, value_q, csr_q, cause_q, wdata_q;
  logic [31:0] loaded, read, result, bytes;

  assign record = retire_i || trap_i;
  assign intr   = intr_q[hart_i];
  assign store  = retire_i && decoded_i.store;
  assign load   = retire_i && decoded_i.load;
  assign mask   = insn_i[13] ? 4'b1111 : insn_i[12] ? 4'b0011 : 4'b0001;
  assign bytes  = {{16{mask[3]}}, {8{mask[1]}}, 8'hff};

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      valid_q       <= 1'b0;
      record_q      <= 1'b0;
      trap_q        <= 1'b0;
      record_intr_q <= 1'b0;
      load_q        <= 1'b0;
      mvu_q         <= 1'b0;
      extend_q      <= 1'b0;
      size_q        <= '0;
      hart_q        <= '0;
      rmask_q       <= '0;
      wmask_q       <= '0;
      rd_q          <= '0;
      rs1_addr_q    <= '0;
      rs2_addr_q    <= '0;
      insn_q        <= '0;
      rs1_q         <= '0;
      rs2_q         <= '0;
      pc_q          <= '0;
      pc_next_q     <= '0;
      addr_q        <= '0;
      value_q       <= '0;
      csr_q         <= '0;
      cause_q       <= '0;
      wdata_q       <= '0;
    end else begin
      valid_q  <= valid_i;
      record_q <= record;
      hart_q   <= hart_i;
      if (record) begin
        trap_q        <= trap_i;
        record_intr_q <= intr;
        load_q        <= load;
        mvu_q         <= mvu_i;
        extend_q      <= !insn_i[14];
        size_q        <= insn_i[13:12];
        rmask_q       <= load ? mask : '0;
        wmask_q       <= store ? mask : '0;
        rd_q          <= retire_i && decoded_i.writes ? insn_i[11:7] : '0;
        rs1_addr_q    <= illegal_i ? '0 : decoded_i.rs1;
        rs2_addr_q    <= illegal_i ? '0 : decoded_i.rs2;
        insn_q        <= insn_i;
        rs1_q         <= illegal_i ? '0 : rs1_i;
        rs2_q         <= illegal_i ? '0 : rs2_i;
        pc_q          <= pc_i;
        pc_next_q     <= pc_next_i;
        addr_q        <= load || store ? addr_i : '0;
        value_q       <= value_i;
        csr_q         <= retire_i ? csr_i : '0;
        // mcause still is the interrupt's when the first instruction of its handler is in M.
        cause_q       <= intr ? mcause_i : trap_i ? {27'b0, cause_i} : '0;
        wdata_q       <= store ? rs2_i & bytes : '0;
      end
    end
  end

  // --- result ---

  if (MulDiv != 0) begin : gen_multiply
    logic multiply_q, high_q;
    logic [63:0] product_q;
    logic [65:0] product;

    // One 33-bit signed multiplication for all four: an unsigned operand has a sign of 0.
    assign product = $signed({rs1_i[31] & (decoded_i.funct[1] ^ decoded_i.funct[0]), rs1_i}) *
        $signed({rs2_i[31] & (decoded_i.funct == FunctMulh), rs2_i});

    always_ff @(posedge clk_i or negedge rst_ni) begin
      if (!rst_ni) begin
        multiply_q <= 1'b0;
        high_q     <= 1'b0;
        product_q  <= '0;
      end else if (record) begin
        multiply_q <= decoded_i.multiply;
        high_q     <= decoded_i.funct != FunctMul;
        if (decoded_i.multiply) product_q <= product[63:0];
      end
    end

    assign result = multiply_q ? (high_q ? product_q[63:32] : product_q[31:0]) : value_q;

    logic unused_product;
    assign unused_product = ^product[65:64];
  end else begin : gen_no_multiply
    assign result = value_q;
  end

  // The word with the addressed byte in lane 0.
  assign read = mvu_q ? value_q : rdata_i >> {addr_q[1:0], 3'b000};

  always_comb begin
    case (size_q)
      2'd0:    loaded = {{24{extend_q & read[7]}}, read[7:0]};
      2'd1:    loaded = {{16{extend_q & read[15]}}, read[15:0]};
      default: loaded = read;
    endcase
  end

  assign w_valid_o = valid_q;
  assign w_hart_o  = hart_q;
  assign we_o      = record_q && rd_q != '0;
  assign rd_o      = rd_q;
  assign wdata_o   = load_q ? loaded : result;

  // --- counts ---

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      intr_q    <= '0;
      retired_q <= '0;
      for (int h = 0; h < Harts; h++) order_q[h] <= '0;
    end else begin
      if (interrupt_i) intr_q[hart_i] <= 1'b1;
      else if (record) intr_q[hart_i] <= 1'b0;
      if (restart_i) intr_q[restart_hart_i] <= 1'b0;
      if (retire_i) retired_q <= retired_q + 32'd1;
      if (record_q) order_q[hart_q] <= order_q[hart_q] + 64'd1;
    end
  end

  assign retired_o = retired_q;

  // --- RVFI ---

  always_comb begin
    rvfi_o.valid     = record_q;
    rvfi_o.order     = order_q[hart_q];
    rvfi_o.hart      = 4'(hart_q);
    rvfi_o.insn      = insn_q;
    rvfi_o.trap      = trap_q;
    rvfi_o.halt      = 1'b0;
    rvfi_o.intr      = record_intr_q;
    rvfi_o.mode      = 2'd3;
    rvfi_o.ixl       = 2'd1;
    rvfi_o.rs1_addr  = rs1_addr_q;
    rvfi_o.rs2_addr  = rs2_addr_q;
    rvfi_o.rs1_rdata = rs1_q;
    rvfi_o.rs2_rdata = rs2_q;
    rvfi_o.rd_addr   = rd_q;
    rvfi_o.rd_wdata  = we_o ? wdata_o : '0;
    rvfi_o.pc_rdata  = pc_q;
    rvfi_o.pc_wdata  = pc_next_q;
    rvfi_o.mem_addr  = addr_q;
    rvfi_o.mem_rmask = rmask_q;
    rvfi_o.mem_wmask = wmask_q;
    rvfi_o.mem_rdata = (record_q && load_q ? read : '0) &
      {{16{rmask_q[3]}}, {8{rmask_q[1]}}, {8{rmask_q[0]}}};
    rvfi_o.mem_wdata = wdata_q;
    rvfi_o.cause     = cause_q;
    rvfi_o.csr       = csr_q;
  end

  logic unused_decoded;
  assign unused_decoded = ^decoded_i;

endmodule : controller_retire
