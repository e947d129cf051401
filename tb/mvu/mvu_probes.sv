// SPDX-License-Identifier: Apache-2.0
// Probes along the data path of an MVU, in the order of docs/mvu.md; `assay.tb.mvu.debug` names them.
module mvu_probes #(
  parameter int Lanes = 64,
  parameter int AccWidth = 27,
  parameter int DataAddrWidth = 15,
  parameter int WeightAddrWidth = 9
) (
  input logic                              clk_i,
  input logic                              rst_ni,
  input logic                              start,
  input logic                              issue,
  input logic [         DataAddrWidth-1:0] input_addr,
  input logic [       WeightAddrWidth-1:0] weight_addr,
  input logic                              s1_valid_q,
  input logic [            2:0][Lanes-1:0] read_data,
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

  assay_probe #(.Width(16)) u_input_address
    (.clk_i, .rst_ni, .start_i(start), .valid_i(issue), .last_i(1'b0), .data_i(16'(input_addr)));
  assay_probe #(.Width(16)) u_weight_address
    (.clk_i, .rst_ni, .start_i(start), .valid_i(issue), .last_i(1'b0), .data_i(16'(weight_addr)));
  assay_probe #(.Width(Lanes)) u_input_word
    (.clk_i, .rst_ni, .start_i(start), .valid_i(s1_valid_q), .last_i(1'b0), .data_i(read_data[0]));
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

bind mvu mvu_probes #(
  .Lanes(Lanes), .AccWidth(AccWidth), .DataAddrWidth(DataAddrWidth), .WeightAddrWidth(WeightAddrWidth)
) u_probes (.*);
