// SPDX-License-Identifier: Apache-2.0
// AXI4-Stream with TLAST: an arithmetic right shift with rounding half up, saturated to 8 bits.
module requant_axis #(
    parameter int ACC_W = 20,
    parameter int SHIFT = 6
) (
    input  logic                    aclk,
    input  logic                    aresetn,
    input  logic signed [ACC_W-1:0] s_axis_tdata,
    input  logic                    s_axis_tlast,
    input  logic                    s_axis_tvalid,
    output logic                    s_axis_tready,
    output logic signed [7:0]       m_axis_tdata,
    output logic                    m_axis_tlast,
    output logic                    m_axis_tvalid,
    input  logic                    m_axis_tready
);
  logic signed [ACC_W:0] rounded;
  assign rounded = ((ACC_W + 1)'(s_axis_tdata) + (ACC_W + 1)'(1 << (SHIFT - 1))) >>> SHIFT;
  assign s_axis_tready = ~m_axis_tvalid | m_axis_tready;

  always_ff @(posedge aclk) begin
    if (!aresetn) m_axis_tvalid <= 1'b0;
    else if (s_axis_tready) m_axis_tvalid <= s_axis_tvalid;
  end

  always_ff @(posedge aclk) begin
    if (s_axis_tvalid && s_axis_tready) begin
      m_axis_tlast <= s_axis_tlast;
      if (rounded > 127) m_axis_tdata <= 8'sd127;
      else if (rounded < -128) m_axis_tdata <= -8'sd128;
      else m_axis_tdata <= rounded[7:0];
    end
  end
endmodule
