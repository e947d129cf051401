// SPDX-License-Identifier: Apache-2.0
// A start pulse, plain pins, and memories without handshake: y[i] = (w[i] * x_scale) mod 2^16 for i < count.
// The weights are read one clock after their address; the results are written to a second memory.
module dot_sram (
    input  logic        clk,
    input  logic        rst_n,
    input  logic        start,
    output logic        done,
    input  logic [ 3:0] count,
    input  logic [ 7:0] x_scale,
    output logic        wmem_en,
    output logic [ 3:0] wmem_addr,
    input  logic [ 7:0] wmem_rdata,
    output logic        ymem_we,
    output logic [ 3:0] ymem_addr,
    output logic [15:0] ymem_wdata
);
  logic       busy_q, read_q;
  logic [3:0] index_q, written_q;
  assign wmem_en   = busy_q;
  assign wmem_addr = index_q;
  always_ff @(posedge clk or negedge rst_n) begin
    if (!rst_n) begin
      {busy_q, read_q, done} <= '0;
      {index_q, written_q}   <= '0;
    end else begin
      read_q    <= busy_q;
      written_q <= index_q;
      done      <= read_q & ~busy_q;
      if (start) {busy_q, index_q} <= {count != 4'd0, 4'd0};
      else if (busy_q) begin
        index_q <= index_q + 4'd1;
        if (index_q + 4'd1 == count) busy_q <= 1'b0;
      end
    end
  end
  assign ymem_we    = read_q;
  assign ymem_addr  = written_q;
  assign ymem_wdata = {8'd0, wmem_rdata} * {8'd0, x_scale};
endmodule
