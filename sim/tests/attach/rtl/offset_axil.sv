// SPDX-License-Identifier: Apache-2.0
// AXI4-Lite registers and plain valid/ready streams: out = in + offset, with the offset at address 0.
module offset_axil (
    input  logic        clk_i,
    input  logic        rst_ni,
    input  logic [ 3:0] s_axil_awaddr,
    input  logic [ 2:0] s_axil_awprot,
    input  logic        s_axil_awvalid,
    output logic        s_axil_awready,
    input  logic [31:0] s_axil_wdata,
    input  logic [ 3:0] s_axil_wstrb,
    input  logic        s_axil_wvalid,
    output logic        s_axil_wready,
    output logic [ 1:0] s_axil_bresp,
    output logic        s_axil_bvalid,
    input  logic        s_axil_bready,
    input  logic [ 3:0] s_axil_araddr,
    input  logic [ 2:0] s_axil_arprot,
    input  logic        s_axil_arvalid,
    output logic        s_axil_arready,
    output logic [31:0] s_axil_rdata,
    output logic [ 1:0] s_axil_rresp,
    output logic        s_axil_rvalid,
    input  logic        s_axil_rready,
    input  logic        in_valid,
    output logic        in_ready,
    input  logic [15:0] in_data,
    output logic        out_valid,
    input  logic        out_ready,
    output logic [15:0] out_data
);
  logic [15:0] offset_q;
  logic        write, unused;
  assign unused         = ^{s_axil_awprot, s_axil_arprot, s_axil_wstrb, s_axil_wdata[31:16], s_axil_araddr};
  assign write          = s_axil_awvalid & s_axil_wvalid & (~s_axil_bvalid | s_axil_bready);
  assign s_axil_awready = write;
  assign s_axil_wready  = write;
  assign s_axil_arready = ~s_axil_rvalid | s_axil_rready;
  assign s_axil_bresp   = 2'b00;
  assign s_axil_rresp   = 2'b00;
  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      s_axil_bvalid <= 1'b0;
      s_axil_rvalid <= 1'b0;
      s_axil_rdata  <= '0;
      offset_q      <= '0;
    end else begin
      if (write) s_axil_bvalid <= 1'b1;
      else if (s_axil_bready) s_axil_bvalid <= 1'b0;
      if (write && s_axil_awaddr == '0) offset_q <= s_axil_wdata[15:0];
      if (s_axil_arready) begin
        s_axil_rvalid <= s_axil_arvalid;
        s_axil_rdata  <= {16'd0, offset_q};
      end
    end
  end

  assign in_ready = ~out_valid | out_ready;
  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) out_valid <= 1'b0;
    else if (in_ready) out_valid <= in_valid;
  end
  always_ff @(posedge clk_i) if (in_valid && in_ready) out_data <= in_data + offset_q;
endmodule
