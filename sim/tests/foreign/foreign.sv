// SPDX-License-Identifier: Apache-2.0
// Small blocks in the styles of other houses: AXI4-Stream, fixed latency without handshake, a DMA of SRAM ports with
// pins and a start pulse, registers behind AXI4-Lite and behind plain pins. `bug_i` plants a fault in each.
module foreign #(
    parameter LANES = 2
) (
    input  wire                  aclk,
    input  wire                  aresetn,
    input  wire [3:0]            bug_i,
    // y = min(max(x >>> 8, 0), 127), lane by lane, through a register with valid and ready
    input  wire                  s_axis_tvalid,
    output wire                  s_axis_tready,
    input  wire [32*LANES-1:0]   s_axis_tdata,
    input  wire [4*LANES-1:0]    s_axis_tkeep,
    input  wire                  s_axis_tlast,
    output reg                   m_axis_tvalid,
    input  wire                  m_axis_tready,
    output reg  [8*LANES-1:0]    m_axis_tdata,
    output reg  [LANES-1:0]      m_axis_tkeep,
    output reg                   m_axis_tlast,
    // q = a * b three clocks later; no ready, no valid of the output; ce stops everything
    input  wire                  ce,
    input  wire                  mul_en,
    input  wire signed [7:0]     mul_a,
    input  wire signed [7:0]     mul_b,
    output wire signed [15:0]    mul_q,
    // copies cfg_words words from an SRAM, plus cfg_add, to a bus with request and grant
    input  wire                  start,
    output reg                   done,
    input  wire [7:0]            cfg_words,
    input  wire signed [7:0]     cfg_add,
    output wire [7:0]            sram_addr,
    input  wire [31:0]           sram_q,
    output reg                   bus_req,
    input  wire                  bus_gnt,
    output wire                  bus_we,
    output wire [9:0]            bus_addr,
    output wire [31:0]           bus_wdata,
    input  wire [3:0]            cfg_be,
    output wire [3:0]            bus_be,
    input  wire                  bus_rvalid,
    // sixteen registers behind AXI4-Lite
    input  wire [5:0]            s_axil_awaddr,
    input  wire                  s_axil_awvalid,
    output wire                  s_axil_awready,
    input  wire [31:0]           s_axil_wdata,
    input  wire [3:0]            s_axil_wstrb,
    input  wire                  s_axil_wvalid,
    output wire                  s_axil_wready,
    output wire [1:0]            s_axil_bresp,
    output reg                   s_axil_bvalid,
    input  wire                  s_axil_bready,
    input  wire [5:0]            s_axil_araddr,
    input  wire                  s_axil_arvalid,
    output wire                  s_axil_arready,
    output reg  [31:0]           s_axil_rdata,
    output wire [1:0]            s_axil_rresp,
    output reg                   s_axil_rvalid,
    input  wire                  s_axil_rready,
    // the same registers behind pins
    input  wire [3:0]            reg_addr,
    input  wire                  reg_we,
    input  wire [31:0]           reg_wdata,
    output reg  [31:0]           reg_rdata,
    // sums cfg_words words of a memory that answers in the same clock, and of one with request, grant and answer
    input  wire                  sum_start,
    output reg                   sum_done,
    output wire                  rom_csb,
    output wire [7:0]            rom_addr,
    input  wire [15:0]           rom_q,
    output reg  [31:0]           rom_sum,
    output reg                   obi_req,
    input  wire                  obi_gnt,
    output reg  [7:0]            obi_addr,
    input  wire                  obi_rvalid,
    output wire                  obi_rready,
    input  wire [15:0]           obi_rdata,
    output reg  [31:0]           obi_sum,
    // eight registers behind a select, with wait states and late words
    input  wire                  slow_sel,
    input  wire                  slow_we,
    input  wire [2:0]            slow_addr,
    input  wire [15:0]           slow_wdata,
    output wire                  slow_ready,
    output wire                  slow_rvalid,
    output wire [15:0]           slow_rdata,
    // p = -n one clock later, for whatever n is in a clock with ce
    input  wire signed [7:0]     neg_n,
    output reg signed [8:0]      neg_p,
    // copies eight words of 32 bits from 0x0 to 0x100 of an AXI4 memory, one beat a burst
    input  wire                  dma_start,
    output reg                   dma_done,
    output wire [3:0]            m_axi_awid,
    output wire [15:0]           m_axi_awaddr,
    output wire [7:0]            m_axi_awlen,
    output wire [2:0]            m_axi_awsize,
    output wire [1:0]            m_axi_awburst,
    output wire                  m_axi_awvalid,
    input  wire                  m_axi_awready,
    output wire [31:0]           m_axi_wdata,
    output wire [3:0]            m_axi_wstrb,
    output wire                  m_axi_wlast,
    output wire                  m_axi_wvalid,
    input  wire                  m_axi_wready,
    input  wire [3:0]            m_axi_bid,
    input  wire [1:0]            m_axi_bresp,
    input  wire                  m_axi_bvalid,
    output wire                  m_axi_bready,
    output wire [3:0]            m_axi_arid,
    output wire [15:0]           m_axi_araddr,
    output wire [7:0]            m_axi_arlen,
    output wire [2:0]            m_axi_arsize,
    output wire [1:0]            m_axi_arburst,
    output wire                  m_axi_arvalid,
    input  wire                  m_axi_arready,
    input  wire [3:0]            m_axi_rid,
    input  wire [31:0]           m_axi_rdata,
    input  wire [1:0]            m_axi_rresp,
    input  wire                  m_axi_rlast,
    input  wire                  m_axi_rvalid,
    output wire                  m_axi_rready
);
  integer i;

  // ----------------------------------------------------------------------------------------------
  reg [8*LANES-1:0] clipped;
  reg signed [23:0] high;
  always @* begin
    for (i = 0; i < LANES; i = i + 1) begin
      high = s_axis_tdata[32*i+8+:24];
      clipped[8*i+:8] = high < 0 ? 8'd0 : high > 127 ? 8'd127 : high[7:0];
    end
    if (bug_i[0] && s_axis_tdata[15:8] == 8'd77) clipped[7:0] = 8'd78;
  end

  assign s_axis_tready = (!m_axis_tvalid || m_axis_tready) && !bug_i[1];
  always @(posedge aclk) begin
    if (!aresetn) begin
      m_axis_tvalid <= 1'b0;
    end else if (!m_axis_tvalid || m_axis_tready) begin
      m_axis_tvalid <= s_axis_tvalid && s_axis_tready;
      m_axis_tdata  <= clipped;
      m_axis_tlast  <= s_axis_tlast;
      for (i = 0; i < LANES; i = i + 1) m_axis_tkeep[i] <= s_axis_tkeep[4*i];
    end
  end

  // ----------------------------------------------------------------------------------------------
  reg signed [15:0] stage_q[0:2];
  always @(posedge aclk) begin
    if (ce) begin
      stage_q[0] <= mul_en ? mul_a * mul_b : 16'sd0;
      stage_q[1] <= stage_q[0];
      stage_q[2] <= stage_q[1];
    end
  end
  assign mul_q = stage_q[2];

  // ----------------------------------------------------------------------------------------------
  reg [7:0] read_q, write_q;
  reg       busy_q, fresh_q;
  assign sram_addr = read_q;
  assign bus_we    = 1'b1;
  assign bus_be    = cfg_be;
  assign bus_addr  = {write_q, 2'b00};
  assign bus_wdata = sram_q + {{24{cfg_add[7]}}, cfg_add} + {31'd0, bug_i[2] && write_q == 8'd5};
  always @(posedge aclk) begin
    if (!aresetn) begin
      {busy_q, bus_req, done, fresh_q} <= 4'b0;
      read_q  <= 8'd0;
      write_q <= 8'd0;
    end else begin
      done <= 1'b0;
      if (start) begin
        busy_q  <= 1'b1;
        read_q  <= 8'd0;
        write_q <= 8'd0;
        fresh_q <= 1'b0;
      end else if (busy_q) begin
        // The SRAM answers one clock after its address changed.
        fresh_q <= 1'b1;
        if (fresh_q && !bus_req) bus_req <= 1'b1;
        if (bus_req && bus_gnt) begin
          bus_req <= 1'b0;
          read_q  <= read_q + 8'd1;
          write_q <= write_q + 8'd1;
          fresh_q <= 1'b0;
          if (write_q + 8'd1 == cfg_words) begin
            busy_q <= 1'b0;
            done   <= 1'b1;
          end
        end
      end
    end
  end

  // ----------------------------------------------------------------------------------------------
  reg [31:0] regs_q[0:15];
  initial for (i = 0; i < 16; i = i + 1) regs_q[i] = 32'd0;
  wire write = s_axil_awvalid && s_axil_wvalid && (!s_axil_bvalid || s_axil_bready);
  assign s_axil_awready = write;
  assign s_axil_wready  = write;
  assign s_axil_arready = !s_axil_rvalid || s_axil_rready;
  assign s_axil_bresp   = bug_i[3] ? 2'b10 : 2'b00;
  assign s_axil_rresp   = 2'b00;
  always @(posedge aclk) begin
    if (!aresetn) begin
      s_axil_bvalid <= 1'b0;
      s_axil_rvalid <= 1'b0;
    end else begin
      if (s_axil_bready) s_axil_bvalid <= 1'b0;
      if (write) begin
        s_axil_bvalid <= 1'b1;
        for (i = 0; i < 4; i = i + 1)
          if (s_axil_wstrb[i]) regs_q[s_axil_awaddr[5:2]][8*i+:8] <= s_axil_wdata[8*i+:8];
      end
      if (s_axil_arready) begin
        s_axil_rvalid <= s_axil_arvalid;
        s_axil_rdata  <= regs_q[s_axil_araddr[5:2]];
      end
      if (reg_we) regs_q[reg_addr] <= reg_wdata;
      reg_rdata <= regs_q[reg_addr];
    end
  end

  // ----------------------------------------------------------------------------------------------
  reg [7:0] rom_q_addr, answers_q;
  reg       rom_busy_q;
  // Ready in two of three clocks, and never twice in the same place of a row of answers.
  reg [1:0] third_q;
  always @(posedge aclk) third_q <= !aresetn || third_q == 2'd2 ? 2'd0 : third_q + 2'd1;
  assign obi_rready = third_q != 2'd1;
  assign rom_addr = rom_q_addr;
  assign rom_csb  = !rom_busy_q;
  always @(posedge aclk) begin
    if (!aresetn) begin
      {rom_busy_q, obi_req, sum_done} <= 3'b0;
    end else if (sum_start) begin
      rom_busy_q <= 1'b1;
      rom_q_addr <= 8'd0;
      rom_sum    <= 32'd0;
      obi_req    <= 1'b1;
      obi_addr   <= 8'd0;
      obi_sum    <= 32'd0;
      answers_q  <= 8'd0;
      sum_done   <= 1'b0;
    end else begin
      if (rom_busy_q) begin
        rom_sum    <= rom_sum + {16'd0, rom_q};
        rom_q_addr <= rom_q_addr + 8'd1;
        if (rom_q_addr + 8'd1 == cfg_words) rom_busy_q <= 1'b0;
      end
      if (obi_req && obi_gnt) begin
        obi_addr <= obi_addr + 8'd1;
        if (obi_addr + 8'd1 == cfg_words) obi_req <= 1'b0;
      end
      if (obi_rvalid && obi_rready) begin
        obi_sum   <= obi_sum + {16'd0, obi_rdata};
        answers_q <= answers_q + 8'd1;
        sum_done  <= answers_q + 8'd1 == cfg_words;
      end
    end
  end

  // ----------------------------------------------------------------------------------------------
  reg [15:0] slow_q[0:7];
  reg [15:0] slow_word_q[0:1];
  reg [1:0]  slow_valid_q;
  wire       slow_read = slow_sel && slow_ready && !slow_we;
  assign slow_ready  = third_q == 2'd2 && !bug_i[1];
  assign slow_rvalid = slow_valid_q[1];
  assign slow_rdata  = slow_word_q[1];
  always @(posedge aclk) begin
    if (slow_sel && slow_ready && slow_we) slow_q[slow_addr] <= slow_wdata;
    slow_valid_q   <= {slow_valid_q[0], slow_read} & {2{aresetn}};
    slow_word_q[0] <= slow_q[slow_addr];
    slow_word_q[1] <= slow_word_q[0];
  end

  always @(posedge aclk) if (ce) neg_p <= -neg_n;

  // ----------------------------------------------------------------------------------------------
  localparam Idle = 3'd0, Ask = 3'd1, Take = 3'd2, Give = 3'd3, Answer = 3'd4;
  reg [2:0]  dma_q;
  reg [3:0]  word_q;
  reg [31:0] data_q;
  reg        aw_sent_q, w_sent_q;
  assign m_axi_arid    = 4'd1;
  assign m_axi_araddr  = {10'd0, word_q, 2'b00};
  assign m_axi_arlen   = 8'd0;
  assign m_axi_arsize  = 3'd2;
  assign m_axi_arburst = 2'd1;
  assign m_axi_arvalid = dma_q == Ask;
  assign m_axi_rready  = dma_q == Take;
  assign m_axi_awid    = 4'd2;
  assign m_axi_awaddr  = {bug_i[0], 9'd4, word_q, 2'b00};
  assign m_axi_awlen   = 8'd0;
  assign m_axi_awsize  = 3'd2;
  assign m_axi_awburst = 2'd1;
  assign m_axi_awvalid = dma_q == Give && !aw_sent_q;
  assign m_axi_wdata   = data_q;
  assign m_axi_wstrb   = 4'hf;
  assign m_axi_wlast   = 1'b1;
  assign m_axi_wvalid  = dma_q == Give && !w_sent_q;
  assign m_axi_bready  = dma_q == Answer;
  always @(posedge aclk) begin
    if (!aresetn) begin
      dma_q    <= Idle;
      dma_done <= 1'b0;
    end else begin
      case (dma_q)
        Idle:
        if (dma_start) begin
          dma_q    <= Ask;
          word_q   <= 4'd0;
          dma_done <= 1'b0;
        end
        Ask: if (m_axi_arready) dma_q <= Take;
        Take:
        if (m_axi_rvalid) begin
          data_q    <= m_axi_rdata;
          aw_sent_q <= 1'b0;
          w_sent_q  <= 1'b0;
          dma_q     <= Give;
        end
        Give: begin
          aw_sent_q <= aw_sent_q || m_axi_awready;
          w_sent_q  <= w_sent_q || m_axi_wready;
          if ((aw_sent_q || m_axi_awready) && (w_sent_q || m_axi_wready)) dma_q <= Answer;
        end
        default:
        if (m_axi_bvalid) begin
          word_q <= word_q + 4'd1;
          dma_q  <= word_q == 4'd7 ? Idle : Ask;
          if (word_q == 4'd7) dma_done <= 1'b1;
        end
      endcase
    end
  end

  wire unused_axi = &{1'b0, m_axi_bid, m_axi_bresp, m_axi_rid, m_axi_rresp, m_axi_rlast};
  wire unused = &{1'b0, s_axis_tkeep, bus_rvalid, s_axil_awaddr[1:0], s_axil_araddr[1:0]};
endmodule
