// SPDX-License-Identifier: Apache-2.0
module scaler_probes (
  input logic        clk_i,
  input logic        rst_ni,
  input logic        step,
  input logic        valid_q,
  input logic [23:0] product_q,
  input logic        y_tvalid,
  input logic        y_tready,
  input logic [15:0] y_tdata
);
  assay_probe #(.Width(24)) u_product
    (.clk_i, .rst_ni, .start_i(1'b0), .valid_i(step && valid_q), .last_i(1'b0), .data_i(product_q));
  assay_probe #(.Width(16)) u_clamped
    (.clk_i, .rst_ni, .start_i(1'b0), .valid_i(y_tvalid && y_tready), .last_i(1'b0), .data_i(y_tdata));
endmodule : scaler_probes

bind scaler scaler_probes u_probes (.*);
