// SPDX-License-Identifier: Apache-2.0
// An AXI4-Lite manager: after start it copies count words from address 0 to address 0x100 and adds 1 to each.
module copy_axil (
    input  logic        clk_i,
    input  logic        rst_ni,
    input  logic        start_i,
    output logic        done_o,
    input  logic [ 3:0] count_i,
    output logic [31:0] m_axi_awaddr,
    output logic        m_axi_awvalid,
    input  logic        m_axi_awready,
    output logic [31:0] m_axi_wdata,
    output logic [ 3:0] m_axi_wstrb,
    output logic        m_axi_wvalid,
    input  logic        m_axi_wready,
    input  logic [ 1:0] m_axi_bresp,
    input  logic        m_axi_bvalid,
    output logic        m_axi_bready,
    output logic [31:0] m_axi_araddr,
    output logic        m_axi_arvalid,
    input  logic        m_axi_arready,
    input  logic [31:0] m_axi_rdata,
    input  logic [ 1:0] m_axi_rresp,
    input  logic        m_axi_rvalid,
    output logic        m_axi_rready
);
  logic [3:0] index_q;
  logic       busy_q, read_q, unused;
  assign unused       = ^{m_axi_bresp, m_axi_rresp};
  assign m_axi_araddr = {26'd0, index_q, 2'b00};
  assign m_axi_awaddr = {23'd0, 1'b1, 2'b00, index_q, 2'b00};
  assign m_axi_wstrb  = '1;
  assign m_axi_bready = 1'b1;
  assign m_axi_rready = read_q;
  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      {busy_q, read_q, done_o}                      <= '0;
      {m_axi_arvalid, m_axi_awvalid, m_axi_wvalid}  <= '0;
      index_q                                       <= '0;
      m_axi_wdata                                   <= '0;
    end else begin
      done_o <= 1'b0;
      if (m_axi_arready) m_axi_arvalid <= 1'b0;
      if (m_axi_awready) m_axi_awvalid <= 1'b0;
      if (m_axi_wready) m_axi_wvalid <= 1'b0;
      if (start_i && !busy_q) begin
        index_q <= '0;
        if (count_i == '0) done_o <= 1'b1;
        else {busy_q, m_axi_arvalid, read_q} <= '1;
      end else if (busy_q && m_axi_rvalid && read_q) begin
        read_q                        <= 1'b0;
        m_axi_wdata                   <= m_axi_rdata + 32'd1;
        {m_axi_awvalid, m_axi_wvalid} <= '1;
      end else if (busy_q && m_axi_bvalid) begin
        index_q <= index_q + 4'd1;
        if (index_q + 4'd1 == count_i) {busy_q, done_o} <= 2'b01;
        else {m_axi_arvalid, read_q} <= '1;
      end
    end
  end
endmodule
