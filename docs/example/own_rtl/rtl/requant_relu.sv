// SPDX-License-Identifier: Apache-2.0
// Requantises int32 accumulators to int8 and applies ReLU, Lanes values a beat.
//
//   y = clamp((acc * Multiplier + 2^(Shift-1)) >> Shift, 0, 127)
//
// Both ports are AXI4-Stream. One register: a beat leaves one clock after it was taken; s_axis_tready depends on
// m_axis_tready in the same clock, valid never depends on ready.
module requant_relu #(
  parameter int Lanes      = 4,
  parameter int Multiplier = 181,  // 0 to 65535
  parameter int Shift      = 16    // 1 to 31
) (
  input  logic                aclk,
  input  logic                aresetn,
  input  logic [32*Lanes-1:0] s_axis_tdata,
  input  logic                s_axis_tvalid,
  output logic                s_axis_tready,
  input  logic                s_axis_tlast,
  output logic [8*Lanes-1:0]  m_axis_tdata,
  output logic                m_axis_tvalid,
  input  logic                m_axis_tready,
  output logic                m_axis_tlast
);

  localparam int Width = 32 + 17;  // of acc * Multiplier, signed

  logic [8*Lanes-1:0] result;

  for (genvar lane = 0; lane < Lanes; lane++) begin : gen_lane
    logic signed [31:0]      acc;
    logic signed [Width-1:0] product, scaled;

    assign acc     = s_axis_tdata[32*lane+:32];
    assign product = Width'(acc) * Width'(Multiplier) + (Width'(1) <<< (Shift - 1));
    assign scaled  = product >>> Shift;
    assign result[8*lane+:8] = scaled[Width-1] ? 8'd0 : (|scaled[Width-2:7]) ? 8'd127 : scaled[7:0];
  end

  assign s_axis_tready = !m_axis_tvalid || m_axis_tready;

  always_ff @(posedge aclk or negedge aresetn) begin
    if (!aresetn) begin
      m_axis_tvalid <= 1'b0;
      m_axis_tlast  <= 1'b0;
      m_axis_tdata  <= '0;
    end else if (s_axis_tready) begin
      m_axis_tvalid <= s_axis_tvalid;
      if (s_axis_tvalid) begin
        m_axis_tlast <= s_axis_tlast;
        m_axis_tdata <= result;
      end
    end
  end

endmodule
