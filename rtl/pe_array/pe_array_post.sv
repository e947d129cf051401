// SPDX-License-Identifier: Apache-2.0
// Output stage: what Lanes x Rows lanes make of accumulators (formulas in docs/pe_array.md, "Output stage").
//
// Values enter with valid_i and leave Latency clocks later with valid_o; en_i holds all of it. Values of several tiles
// may be inside at once: what they need of their header and entries goes with them. Only stages that hold values move.
//
//    1       inputs
//    2       bias; second operand less its zero point
//    3       product with the second operand, or with PReLU's alpha    | lane_op add: both operands rescaled,
//    4-6     (on their way)                                            | each in its `rescale`, stages 3-6
//    7       sum; each value's factor
//    8-11    rescale
//    12      zero point, clamp
//    13      table; words without keep become 0
//
// Value of lane q and row r: at q*Rows + r in every vector. The table of a bank is written while no value of that bank
// is inside. clear_i empties the stages.
//
// The loops over values stay loops in Verilator, else they alone compile for minutes.
module pe_array_post
  import pe_array_pkg::*;
  import rescale_pkg::*;
#(
  parameter int Rows = 8,
  parameter int Columns = 24,
  parameter int DataWidth = 8,
  parameter int Lanes = 4
) (
  input  logic                            clk_i,
  input  logic                            rst_ni,
  input  logic                            clear_i,
  input  logic                            en_i,
  // Accumulators: of each lane's column, and of the column after it as it is
  input  logic                            valid_i,
  input  header_t                         header_i,
  input  logic                            bank_i,
  input  logic [    Lanes*EntryWidth-1:0] entries_i,
  input  logic [ Lanes*Rows*AccWidth-1:0] a_i,
  input  logic [ Lanes*Rows*AccWidth-1:0] b_i,
  input  logic [              Rows*8-1:0] counts_i,      // places of each row's window in the map
  input  logic [          Lanes*Rows-1:0] keep_i,
  input  logic                            last_i,
  // Tables: beat i holds words i*Columns and on
  input  logic                            table_we_i,
  input  logic                            table_bank_i,
  input  logic [                     7:0] table_beat_i,
  input  logic [   Columns*DataWidth-1:0] table_data_i,
  // Results
  output logic                            valid_o,
  output logic [Lanes*Rows*DataWidth-1:0] data_o,
  output logic [          Lanes*Rows-1:0] keep_o,
  output logic                            last_o
);

  localparam int Latency = 13;
  localparam int Values = Lanes * Rows;
  localparam int ValuesWidth = Values * AccWidth;
  localparam int SecondWidth = DataWidth + 2;
  localparam int ProductWidth = 18;  // of a product's second factor: an operand (at most 18 bits) or alpha (17)
  localparam int MultiplierWidth = 53;

  logic [Latency:1] valid_q;
  logic some;  // whether any stage has work: one question a clock where there is none

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) valid_q <= '0;
    else if (clear_i) valid_q <= '0;
    else if (en_i) valid_q <= {valid_q[Latency-1:1], valid_i};
  end

  assign some = en_i && (valid_i || valid_q[Latency-1:1] != '0);

  // --- 1: inputs --------------------------------------------------------------------------------------------------

  logic [ValuesWidth-1:0] a_q;
  logic [Values*SecondWidth-1:0] b_q;
  logic [Lanes*AccWidth-1:0] bias_q;
  logic [Lanes*ProductWidth-1:0] alpha_q;
  logic [SecondWidth-1:0] second_zero_q;

  // On their way to stages 7 and 13; index is the stage.
  logic [1:0] lane_op_q [7];
  logic [1:0] rescaling_q [7];
  logic [6:1] count_divide_q, subtract_q;
  logic [30:0] second_multiplier_q [7];
  logic [12:0] second_shift_q [7];
  logic [Rows*8-1:0] counts_q [7];
  logic [Lanes*MultiplierWidth-1:0] multipliers_q [7];
  logic [Lanes*8-1:0] shifts_q [7];
  logic signed [16:0] zero_q [Latency];
  logic signed [16:0] low_q [Latency];
  logic signed [16:0] high_q [Latency];
  logic [Latency-1:1] use_table_q, bank_q, last_q;
  logic [Values-1:0] keep_q [Latency];

  // lane_op add: both operands' factors, for stage 3.
  logic [30:0] first_multiplier_q, first_multiplier2_q;
  logic [12:0] first_shift_q, first_shift2_q;
  logic [4:0] left_shift_q, left_shift2_q;

  always_ff @(posedge clk_i) begin : p_inputs
    entry_t entry;
    if (en_i && valid_i) begin
      a_q <= a_i;
      if (header_i.mode_lane_op == LaneAdd || header_i.mode_lane_op == LaneMultiply) begin
        /* verilator unroll_disable */
        for (int v = 0; v < Values; v++) b_q[v*SecondWidth+:SecondWidth] <= b_i[v*AccWidth+:SecondWidth];
      end
      for (int q = 0; q < Lanes; q++) begin
        entry = entries_i[q*EntryWidth+:EntryWidth];
        bias_q[q*AccWidth+:AccWidth]          <= entry.bias;
        alpha_q[q*ProductWidth+:ProductWidth] <= {entry.source_alpha[16], entry.source_alpha};
        multipliers_q[1][q*MultiplierWidth+:MultiplierWidth] <= {entry.factor_multiplier_high, entry.multiplier};
        shifts_q[1][q*8+:8]                   <= entry.factor_shift;
      end
      counts_q[1]            <= counts_i;
      lane_op_q[1]           <= header_i.mode_lane_op;
      rescaling_q[1]         <= header_i.mode_rescaling;
      count_divide_q[1]      <= header_i.mode_count_divide;
      subtract_q[1]          <= header_i.mode_subtract;
      second_multiplier_q[1] <= header_i.second_multiplier[30:0];
      second_shift_q[1]      <= shift_amounts(header_i.operand_second_shift);
      zero_q[1]              <= header_i.output_zero;
      low_q[1]               <= header_i.low;
      high_q[1]              <= header_i.high;
      use_table_q[1]         <= header_i.mode_table;
      bank_q[1]              <= bank_i;
      last_q[1]              <= last_i;
      keep_q[1]              <= keep_i;
      second_zero_q          <= header_i.second_zero[SecondWidth-1:0];
      first_multiplier_q     <= header_i.first_multiplier[30:0];
      first_shift_q          <= shift_amounts(header_i.operand_first_shift);
      left_shift_q           <= header_i.operand_left_shift;
    end
  end

  // What only moves on.
  always_ff @(posedge clk_i) begin : p_carry
    if (some) begin
      for (int s = 2; s < 7; s++) begin
        if (valid_q[s-1]) begin
          lane_op_q[s]           <= lane_op_q[s-1];
          rescaling_q[s]         <= rescaling_q[s-1];
          count_divide_q[s]      <= count_divide_q[s-1];
          subtract_q[s]          <= subtract_q[s-1];
          second_multiplier_q[s] <= second_multiplier_q[s-1];
          second_shift_q[s]      <= second_shift_q[s-1];
          counts_q[s]            <= counts_q[s-1];
          multipliers_q[s]       <= multipliers_q[s-1];
          shifts_q[s]            <= shifts_q[s-1];
        end
      end
      for (int s = 2; s < Latency; s++) begin
        if (valid_q[s-1]) begin
          zero_q[s]      <= zero_q[s-1];
          low_q[s]       <= low_q[s-1];
          high_q[s]      <= high_q[s-1];
          use_table_q[s] <= use_table_q[s-1];
          bank_q[s]      <= bank_q[s-1];
          last_q[s]      <= last_q[s-1];
          keep_q[s]      <= keep_q[s-1];
        end
      end
    end
  end

  // --- 2: bias, second operand ------------------------------------------------------------------------------------

  logic [ValuesWidth-1:0] first_q, second_q;

  always_ff @(posedge clk_i) begin : p_bias
    logic [SecondWidth-1:0] difference;
    if (en_i && valid_q[1]) begin
      /* verilator unroll_disable */
      for (int v = 0; v < Values; v++) begin
        if (lane_op_q[1] == LaneAdd || lane_op_q[1] == LaneMultiply) begin
          difference = b_q[v*SecondWidth+:SecondWidth] - second_zero_q;
          first_q[v*AccWidth+:AccWidth]  <= a_q[v*AccWidth+:AccWidth];
          second_q[v*AccWidth+:AccWidth] <= {{AccWidth-SecondWidth{difference[SecondWidth-1]}}, difference};
        end else begin
          first_q[v*AccWidth+:AccWidth] <= a_q[v*AccWidth+:AccWidth] + bias_q[v/Rows*AccWidth+:AccWidth];
          if (lane_op_q[1] == LanePrelu) begin
            second_q[v*AccWidth+:AccWidth] <=
                {{AccWidth-ProductWidth{alpha_q[v/Rows*ProductWidth+ProductWidth-1]}},
                 alpha_q[v/Rows*ProductWidth+:ProductWidth]};
          end
        end
      end
      first_multiplier2_q <= first_multiplier_q;
      first_shift2_q      <= first_shift_q;
      left_shift2_q       <= left_shift_q;
    end
  end

  // --- 3 to 6: product, or both operands rescaled ----------------------------------------------------------------------

  logic [ValuesWidth-1:0] product_q [3:6];
  logic [Values-1:0] sloped_q [3:6];  // PReLU's negative values
  logic [ValuesWidth-1:0] first_rescaled, second_rescaled;
  logic [5:0] first_left, second_left;
  logic [RescaleLatency-1:0] add_stages;

  always_ff @(posedge clk_i) begin : p_product
    logic signed [AccWidth-1:0] x;
    logic signed [ProductWidth-1:0] y;
    if (some) begin
      if (valid_q[2] && lane_op_q[2] != LaneAdd) begin
        /* verilator unroll_disable */
        for (int v = 0; v < Values; v++) begin
          x = first_q[v*AccWidth+:AccWidth];
          y = second_q[v*AccWidth+:ProductWidth];
          sloped_q[3][v] <= lane_op_q[2] == LanePrelu && x < 0;
          if (lane_op_q[2] == LaneMultiply || (lane_op_q[2] == LanePrelu && x < 0)) x = x * AccWidth'(y);
          product_q[3][v*AccWidth+:AccWidth] <= x;
        end
      end
      for (int s = 4; s < 7; s++) begin
        if (valid_q[s-1]) begin
          product_q[s] <= product_q[s-1];
          sloped_q[s]  <= sloped_q[s-1];
        end
      end
    end
  end

  // Both left shifts are one; more than 32 bits are as good as 32.
  function automatic logic [5:0] sum_of_shifts(logic [4:0] left_shift, logic [5:0] left);
    logic [6:0] sum;
    sum = 7'(left_shift) + 7'(left);
    return sum > 7'd32 ? 6'd32 : sum[5:0];
  endfunction

  assign first_left  = sum_of_shifts(left_shift2_q, first_shift2_q[12:7]);
  assign second_left = sum_of_shifts(left_shift2_q, second_shift_q[2][12:7]);

  // An operand's stages move for sums only.
  for (genvar s = 0; s < RescaleLatency; s++) begin : gen_add_stage
    assign add_stages[s] = valid_q[s+2] && lane_op_q[s+2] == LaneAdd;
  end

  rescale #(
    .Values(Values)
  ) u_first (
    .clk_i,
    .en_i,
    .stage_i     (add_stages),
    .x_i         (first_q),
    .float_i     (1'b0),
    .rational_i  (1'b0),
    .multiplier_i({22'd0, first_multiplier2_q}),
    .left_i      (first_left),
    .right_i     (first_shift2_q[6:0]),
    .divisor_i   (8'd0),
    .log_i       (4'd0),
    .y_o         (first_rescaled)
  );

  rescale #(
    .Values(Values)
  ) u_second (
    .clk_i,
    .en_i,
    .stage_i     (add_stages),
    .x_i         (second_q),
    .float_i     (1'b0),
    .rational_i  (1'b0),
    .multiplier_i({22'd0, second_multiplier_q[2]}),
    .left_i      (second_left),
    .right_i     (second_shift_q[2][6:0]),
    .divisor_i   (8'd0),
    .log_i       (4'd0),
    .y_o         (second_rescaled)
  );

  // --- 7: sum; each value's factor ------------------------------------------------------------------------------------

  // Reciprocals of the lanes' divisors and the rows' counts, looked up on the way.
  logic [Lanes*8-1:0] lane_divisor_q;
  logic [Lanes*ReciprocalWidth-1:0] lane_reciprocal_q;
  logic [Rows*ReciprocalWidth-1:0] row_reciprocal_q;

  always_ff @(posedge clk_i) begin : p_reciprocals
    logic [7:0] divisor;
    if (en_i && valid_q[5] && rescaling_q[5] == RescaleRational) begin
      for (int q = 0; q < Lanes; q++) begin
        divisor = multipliers_q[5][q*MultiplierWidth+:8];
        lane_divisor_q[q*8+:8] <= divisor;
        lane_reciprocal_q[q*ReciprocalWidth+:ReciprocalWidth] <= reciprocal(divisor);
      end
      for (int r = 0; r < Rows; r++) begin
        row_reciprocal_q[r*ReciprocalWidth+:ReciprocalWidth] <= reciprocal(counts_q[5][r*8+:8]);
      end
    end
  end

  logic [ValuesWidth-1:0] x_q, y;
  logic [Values-1:0] float_q, rational_q;
  logic [Values*MultiplierWidth-1:0] multiplier_q;
  logic [Values*6-1:0] left_q;
  logic [Values*7-1:0] right_q;
  logic [Values*8-1:0] divisor_q;
  logic [Values*4-1:0] log_q;

  always_ff @(posedge clk_i) begin : p_sum
    logic signed [7:0] shift;
    logic [12:0] shifts;
    reciprocal_t inverse;
    logic [7:0] divisor;
    if (en_i && valid_q[6]) begin
      /* verilator unroll_disable */
      for (int v = 0; v < Values; v++) begin
        if (lane_op_q[6] != LaneAdd) begin
          x_q[v*AccWidth+:AccWidth] <= product_q[6][v*AccWidth+:AccWidth];
        end else if (subtract_q[6]) begin
          x_q[v*AccWidth+:AccWidth] <= first_rescaled[v*AccWidth+:AccWidth] - second_rescaled[v*AccWidth+:AccWidth];
        end else begin
          x_q[v*AccWidth+:AccWidth] <= first_rescaled[v*AccWidth+:AccWidth] + second_rescaled[v*AccWidth+:AccWidth];
        end
        if (lane_op_q[6] == LanePrelu && sloped_q[6][v]) begin
          float_q[v]    <= 1'b0;
          rational_q[v] <= 1'b0;
          multiplier_q[v*MultiplierWidth+:MultiplierWidth] <= MultiplierWidth'(second_multiplier_q[6]);
          left_q[v*6+:6]  <= second_shift_q[6][12:7];
          right_q[v*7+:7] <= second_shift_q[6][6:0];
        end else begin
          shift  = shifts_q[6][v/Rows*8+:8];
          shifts = shift_amounts(shift);
          float_q[v]    <= rescaling_q[6] == RescaleFloat64;
          rational_q[v] <= rescaling_q[6] == RescaleRational;
          multiplier_q[v*MultiplierWidth+:MultiplierWidth] <= multipliers_q[6][v/Rows*MultiplierWidth+:MultiplierWidth];
          left_q[v*6+:6]  <= shifts[12:7];
          right_q[v*7+:7] <= shifts[6:0];
          if (rescaling_q[6] == RescaleFloat64) begin
            // Here a positive shift goes to the right.
            right_q[v*7+:7] <= shift < 0 ? 7'd0 : shift[6:0];
          end else if (rescaling_q[6] == RescaleRational) begin
            divisor = count_divide_q[6] ? counts_q[6][v%Rows*8+:8] : lane_divisor_q[v/Rows*8+:8];
            inverse = count_divide_q[6] ? row_reciprocal_q[v%Rows*ReciprocalWidth+:ReciprocalWidth] :
                lane_reciprocal_q[v/Rows*ReciprocalWidth+:ReciprocalWidth];
            divisor_q[v*8+:8] <= divisor == '0 ? 8'd1 : divisor;
            log_q[v*4+:4]     <= inverse[35:32];
            multiplier_q[v*MultiplierWidth+:MultiplierWidth] <= MultiplierWidth'(inverse[31:0]);
          end
        end
      end
    end
  end

  // --- 8 to 11: rescale ----------------------------------------------------------------------------------------------

  rescale #(
    .Values (Values),
    .Factors(Values)
  ) u_rescale (
    .clk_i,
    .en_i,
    .stage_i     (valid_q[10:7]),
    .x_i         (x_q),
    .float_i     (float_q),
    .rational_i  (rational_q),
    .multiplier_i(multiplier_q),
    .left_i      (left_q),
    .right_i     (right_q),
    .divisor_i   (divisor_q),
    .log_i       (log_q),
    .y_o         (y)
  );

  // --- 12, 13: zero point, clamp, table --------------------------------------------------------------------------------

  logic [Values*DataWidth-1:0] word_q, data_q;
  logic [Values-1:0] data_keep_q;
  logic data_last_q;

  always_ff @(posedge clk_i) begin : p_clamp
    logic signed [AccWidth:0] z;
    if (en_i && valid_q[11]) begin
      /* verilator unroll_disable */
      for (int v = 0; v < Values; v++) begin
        z = $signed({y[v*AccWidth+AccWidth-1], y[v*AccWidth+:AccWidth]}) + (AccWidth+1)'(zero_q[11]);
        if (z < (AccWidth+1)'(low_q[11])) z = (AccWidth+1)'(low_q[11]);
        if (z > (AccWidth+1)'(high_q[11])) z = (AccWidth+1)'(high_q[11]);
        word_q[v*DataWidth+:DataWidth] <= z[DataWidth-1:0];
      end
    end
  end

  if (DataWidth <= 8) begin : gen_table
    localparam int Words = 1 << DataWidth;
    logic [DataWidth-1:0] words [2*Words];

    always_ff @(posedge clk_i) begin : p_write
      if (table_we_i) begin
        for (int c = 0; c < Columns; c++) begin
          if (int'(table_beat_i) * Columns + c < Words) begin
            words[int'(table_bank_i)*Words+int'(table_beat_i)*Columns+c] <= table_data_i[c*DataWidth+:DataWidth];
          end
        end
      end
    end

    always_ff @(posedge clk_i or negedge rst_ni) begin : p_output
      if (!rst_ni) begin
        data_q <= '0;
      end else if (en_i && valid_q[12]) begin
        /* verilator unroll_disable */
        for (int v = 0; v < Values; v++) begin
          if (!keep_q[12][v]) data_q[v*DataWidth+:DataWidth] <= '0;
          else if (!use_table_q[12]) data_q[v*DataWidth+:DataWidth] <= word_q[v*DataWidth+:DataWidth];
          else data_q[v*DataWidth+:DataWidth] <= words[{bank_q[12], word_q[v*DataWidth+:DataWidth]}];
        end
      end
    end
  end else begin : gen_no_table
    logic unused_table;
    assign unused_table = ^{table_we_i, table_bank_i, table_beat_i, table_data_i, use_table_q[12], bank_q[12]};

    always_ff @(posedge clk_i or negedge rst_ni) begin : p_output
      if (!rst_ni) begin
        data_q <= '0;
      end else if (en_i && valid_q[12]) begin
        /* verilator unroll_disable */
        for (int v = 0; v < Values; v++) begin
          data_q[v*DataWidth+:DataWidth] <= keep_q[12][v] ? word_q[v*DataWidth+:DataWidth] : '0;
        end
      end
    end
  end

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      data_keep_q <= '0;
      data_last_q <= 1'b0;
    end else if (en_i && valid_q[12]) begin
      data_keep_q <= keep_q[12];
      data_last_q <= last_q[12];
    end
  end

  assign valid_o = valid_q[Latency];
  assign data_o  = data_q;
  assign keep_o  = data_keep_q;
  assign last_o  = data_last_q;

  logic unused;
  assign unused = ^{header_i, entries_i, b_i};

endmodule : pe_array_post
