// SPDX-License-Identifier: Apache-2.0
// Two lanes of y = clamp(3 x + 5) to 8 bits in two stages, for the tests of what explains a failure. PLANT names the
// stage that is wrong: 0 none, 1 the product (of lane 1, when it is negative), 2 the clamp.
module scaler #(
  parameter int Plant = 0
) (
  input  logic        clk_i,
  input  logic        rst_ni,
  input  logic        x_tvalid,
  output logic        x_tready,
  input  logic [15:0] x_tdata,
  output logic        y_tvalid,
  input  logic        y_tready,
  output logic [15:0] y_tdata
);

  logic valid_q, step;
  logic [23:0] product_q;

  assign step     = !y_tvalid || y_tready;
  assign x_tready = step;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      valid_q  <= 1'b0;
      y_tvalid <= 1'b0;
    end else if (step) begin
      valid_q  <= x_tvalid;
      y_tvalid <= valid_q;
    end
  end

  always_ff @(posedge clk_i) begin : p_stages
    logic signed [11:0] product, sum;
    if (step) begin
      for (int l = 0; l < 2; l++) begin
        product = 12'($signed(x_tdata[l*8+:8])) * 12'sd3;
        if (Plant == 1 && l == 1 && product < 0) product = product + 12'sd1;
        product_q[l*12+:12] <= product;
        sum = $signed(product_q[l*12+:12]) + 12'sd5;
        if (sum > 12'sd127) sum = Plant == 2 ? 12'sd126 : 12'sd127;
        if (sum < -12'sd128) sum = -12'sd128;
        y_tdata[l*8+:8] <= sum[7:0];
      end
    end
  end

endmodule : scaler

module probed #(
  parameter int Plant = 0
) (
  input  logic        clk_i,
  input  logic        rst_ni,
  input  logic        x_tvalid,
  output logic        x_tready,
  input  logic [15:0] x_tdata,
  output logic        y_tvalid,
  input  logic        y_tready,
  output logic [15:0] y_tdata
);
  scaler #(
    .Plant(Plant)
  ) dut (
    .*
  );
endmodule : probed
