// SPDX-License-Identifier: Apache-2.0
// Probes along the data path of an MVU, in the order of docs/mvu.md; `assay.tb.mvu.debug` names them.
module mvu_probes #(
  parameter int Lanes = 64,
  parameter int AccWidth = 27
) (
  input logic                              clk_i,
  input logic                              rst_ni,
  input logic                              start,
  input logic [                       8:1] output_q,
  input logic [                       8:1] group_q,
  input logic [        Lanes*AccWidth-1:0] acc,
  input logic [Lanes*mvu_pkg::MaxPrecision-1:0] block,
  input logic                              trc_valid_o,
  input logic [                 Lanes-1:0] trc_data_o,
  input logic [                      15:0] trc_addr_o
);
  import mvu_pkg::*;

  localparam int ScaledWidth = AccWidth + ScalerWidth;
  localparam int ResidualWidth = 17 + ScalerWidth;

  logic [Lanes*ScaledWidth-1:0] scaled;
  logic [Lanes*ResidualWidth-1:0] residual;
  logic [Lanes*PostWidth-1:0] biased, sum, pooled;

  logic [Lanes*MaxPrecision-1:0] quantised;  // lane by lane, not plane by plane as in the serialiser

  for (genvar l = 0; l < Lanes; l++) begin : gen_lane
    for (genvar p = 0; p < MaxPrecision; p++) begin : gen_plane
      assign quantised[l*MaxPrecision+p] = block[p*Lanes+l];
    end
    assign scaled[l*ScaledWidth+:ScaledWidth]       = u_post.scaled_q[l];
    assign residual[l*ResidualWidth+:ResidualWidth] = u_post.residual_q[l];
    assign biased[l*PostWidth+:PostWidth]           = u_post.biased_q[l];
    assign sum[l*PostWidth+:PostWidth]              = u_post.sum_q[l];
    assign pooled[l*PostWidth+:PostWidth]           = u_post.pooled_q[l];
  end

  assay_probe #(.Width(Lanes * AccWidth)) u_accumulator
    (.clk_i, .rst_ni, .start_i(start), .valid_i(output_q[3]), .last_i(1'b0), .data_i(acc));
  assay_probe #(.Width(Lanes * ScaledWidth)) u_scaled
    (.clk_i, .rst_ni, .start_i(start), .valid_i(output_q[4]), .last_i(1'b0), .data_i(scaled));
  assay_probe #(.Width(Lanes * ResidualWidth)) u_residual
    (.clk_i, .rst_ni, .start_i(start), .valid_i(output_q[4]), .last_i(1'b0), .data_i(residual));
  assay_probe #(.Width(Lanes * PostWidth)) u_biased
    (.clk_i, .rst_ni, .start_i(start), .valid_i(output_q[5]), .last_i(1'b0), .data_i(biased));
  assay_probe #(.Width(Lanes * PostWidth)) u_sum
    (.clk_i, .rst_ni, .start_i(start), .valid_i(output_q[6]), .last_i(1'b0), .data_i(sum));
  assay_probe #(.Width(Lanes * PostWidth)) u_pooled
    (.clk_i, .rst_ni, .start_i(start), .valid_i(group_q[7]), .last_i(1'b0), .data_i(pooled));
  assay_probe #(.Width(Lanes * MaxPrecision)) u_quantised
    (.clk_i, .rst_ni, .start_i(start), .valid_i(group_q[8]), .last_i(1'b0), .data_i(quantised));
  assay_probe #(.Width(Lanes)) u_word
    (.clk_i, .rst_ni, .start_i(start), .valid_i(trc_valid_o), .last_i(1'b0), .data_i(trc_data_o));
  assay_probe #(.Width(16)) u_address
    (.clk_i, .rst_ni, .start_i(start), .valid_i(trc_valid_o), .last_i(1'b0), .data_i(trc_addr_o));

endmodule : mvu_probes

bind mvu mvu_probes #(.Lanes(Lanes), .AccWidth(AccWidth)) u_probes (.*);
