// One multiply lane: dot product of an activation word with this lane's weight row, accumulated bit plane by
// bit plane. data_valid_i comes with the words read from the memories; two clocks after the step that ends an output
// acc_o holds its sum, for one clock at least.
module mvu_lane #(
  parameter int Lanes = 64,
  parameter int AccWidth = 27
) (
  input  logic                clk_i,
  // Stage 1: words
  input  logic                data_valid_i,
  input  logic [   Lanes-1:0] activation_i,
  input  logic [   Lanes-1:0] weight_i,
  input  logic                equal_mode_i,  // product +1 where bits are equal, else -1
  // Stage 2: count
  input  logic                count_valid_i,
  input  logic                load_i,
  input  logic                shift_i,
  input  logic                negate_i,
  input  logic                zero_mode_i,
  output logic [AccWidth-1:0] acc_o
);

  localparam int CountWidth = $clog2(Lanes + 1);

  logic [CountWidth-1:0] count_q;
  logic [AccWidth-1:0] acc_q;
  logic [AccWidth-1:0] product, start;

  // Equal bits are `a & w` or `~a & ~w`.
  always_ff @(posedge clk_i) begin
    if (data_valid_i) begin
      count_q <= CountWidth'($countones(
          (activation_i & weight_i) | ({Lanes{equal_mode_i}} & ~(activation_i | weight_i))));
    end
  end

  // Sum of +1 and -1 products: equal - (Lanes - equal).
  assign product = zero_mode_i ? '0 :
                   equal_mode_i ? (AccWidth'(count_q) << 1) - AccWidth'(Lanes) : AccWidth'(count_q);
  assign start   = load_i ? '0 : shift_i ? acc_q << 1 : acc_q;

  always_ff @(posedge clk_i) begin
    if (count_valid_i) acc_q <= negate_i ? start - product : start + product;
  end

  assign acc_o = acc_q;

endmodule : mvu_lane
