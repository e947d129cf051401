// SPDX-License-Identifier: Apache-2.0
// Zero padding: for every output in turn the part of its kernel window that lies inside the input map, as address
// corrections for the weight and input generators (formulas in docs/mvu.md).
//
// start_i begins a new job. From then on windows come as a valid/ready stream, one a clock at most, the
// first three clocks after start_i; the unit runs ahead of its reader by a few windows. With
// enable_i low all corrections are 0. enter_*_o leads from the last position of the window before to the first of this one.
module mvu_window #(
  parameter int DataAddrWidth = 15,
  parameter int WeightAddrWidth = 9
) (
  input  logic                       clk_i,
  input  logic                       rst_ni,
  input  logic                       start_i,
  input  logic                       enable_i,
  // Job, stable from start_i on
  input  logic [               15:0] column_length_i,  // input loop lengths 1 to 4
  input  logic [               15:0] block_length_i,
  input  logic [               15:0] pool_row_length_i,
  input  logic [               15:0] pool_column_length_i,
  input  logic [               15:0] map_width_i,
  input  logic [               15:0] map_height_i,
  input  logic [                3:0] kernel_width_i,
  input  logic [                3:0] kernel_height_i,
  input  logic [                3:0] pad_left_i,
  input  logic [                3:0] pad_top_i,
  input  logic [               11:0] blocks_i,
  input  logic [                7:0] stride_x_i,
  input  logic [                7:0] stride_y_i,
  input  logic [                7:0] group_x_i,
  input  logic [                7:0] group_y_i,
  input  logic [  DataAddrWidth-1:0] input_row_i,
  input  logic [  DataAddrWidth-1:0] input_column_i,
  input  logic [WeightAddrWidth-1:0] weight_row_i,
  input  logic [WeightAddrWidth-1:0] weight_column_i,
  // Windows
  output logic                       valid_o,
  input  logic                       ready_i,
  output logic [               15:0] skip_rows_o,      // kernel rows skipped
  output logic [               15:0] skip_columns_o,   // kernel columns skipped x blocks
  output logic [  DataAddrWidth-1:0] input_enter_o,
  output logic [  DataAddrWidth-1:0] input_again_o,
  output logic [  DataAddrWidth-1:0] input_gap_o,
  output logic [WeightAddrWidth-1:0] weight_enter_o,
  output logic [WeightAddrWidth-1:0] weight_again_o,
  output logic [WeightAddrWidth-1:0] weight_gap_o
);

  // Coordinates of a window's upper left corner: maps up to 65535, padding up to 15.
  localparam int CoordWidth = 18;
  typedef logic signed [CoordWidth-1:0] coord_t;

  // ---------------------------------------------------------------------------------------------
  // Stage A: position of the next window, and how many rows and columns of it lie outside the map
  // ---------------------------------------------------------------------------------------------
  logic [15:0] column_q, block_q, pool_row_q, pool_column_q;
  coord_t group_x_q, group_y_q, x_q, y_q;
  coord_t first_x, first_y, next_group_x, next_group_y;
  logic last_column, last_block, last_pool_row, last_pool_column;
  logic running_q, advance;

  assign first_x          = -$signed(CoordWidth'(pad_left_i));
  assign first_y          = -$signed(CoordWidth'(pad_top_i));
  assign next_group_x     = group_x_q + $signed(CoordWidth'(group_x_i));
  assign next_group_y     = group_y_q + $signed(CoordWidth'(group_y_i));
  assign last_column      = column_q == column_length_i;
  assign last_block       = block_q == block_length_i;
  assign last_pool_row    = pool_row_q == pool_row_length_i;
  assign last_pool_column = pool_column_q == pool_column_length_i;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      running_q     <= 1'b0;
      column_q      <= '0;
      block_q       <= '0;
      pool_row_q    <= '0;
      pool_column_q <= '0;
      group_x_q     <= '0;
      group_y_q     <= '0;
      x_q           <= '0;
      y_q           <= '0;
    end else if (start_i) begin
      running_q     <= 1'b1;
      column_q      <= '0;
      block_q       <= '0;
      pool_row_q    <= '0;
      pool_column_q <= '0;
      group_x_q     <= first_x;
      group_y_q     <= first_y;
      x_q           <= first_x;
      y_q           <= first_y;
    end else if (running_q && advance) begin
      if (!last_pool_column) begin
        pool_column_q <= pool_column_q + 16'd1;
        x_q           <= x_q + $signed(CoordWidth'(stride_x_i));
      end else begin
        pool_column_q <= '0;
        x_q           <= group_x_q;
        if (!last_pool_row) begin
          pool_row_q <= pool_row_q + 16'd1;
          y_q        <= y_q + $signed(CoordWidth'(stride_y_i));
        end else begin
          pool_row_q <= '0;
          y_q        <= group_y_q;
          if (!last_block) begin
            block_q <= block_q + 16'd1;
          end else begin
            block_q <= '0;
            if (!last_column) begin
              column_q  <= column_q + 16'd1;
              group_x_q <= next_group_x;
              x_q       <= next_group_x;
            end else begin
              column_q  <= '0;
              group_x_q <= first_x;
              x_q       <= first_x;
              group_y_q <= next_group_y;
              y_q       <= next_group_y;
            end
          end
        end
      end
    end
  end

  // Outside the map before its first and after its last row or column.
  coord_t over_x, over_y;
  logic [3:0] before_x, after_x, before_y, after_y;

  assign over_x   = x_q + $signed(CoordWidth'(kernel_width_i)) - $signed(CoordWidth'(map_width_i));
  assign over_y   = y_q + $signed(CoordWidth'(kernel_height_i)) - $signed(CoordWidth'(map_height_i));
  assign before_x = x_q[CoordWidth-1] ? 4'(-x_q) : '0;
  assign before_y = y_q[CoordWidth-1] ? 4'(-y_q) : '0;
  assign after_x  = over_x[CoordWidth-1] ? '0 : over_x[3:0];
  assign after_y  = over_y[CoordWidth-1] ? '0 : over_y[3:0];

  logic a_valid_q;
  logic [3:0] a_before_x_q, a_after_x_q, a_before_y_q, a_after_y_q;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) a_valid_q <= 1'b0;
    else if (start_i) a_valid_q <= 1'b0;
    else if (advance) a_valid_q <= running_q;
  end

  always_ff @(posedge clk_i) begin
    if (running_q && advance) begin
      a_before_x_q <= enable_i ? before_x : '0;
      a_after_x_q  <= enable_i ? after_x : '0;
      a_before_y_q <= enable_i ? before_y : '0;
      a_after_y_q  <= enable_i ? after_y : '0;
    end
  end

  // ---------------------------------------------------------------------------------------------
  // Stage B: distances in words
  // ---------------------------------------------------------------------------------------------
  logic b_valid_q, fifo_ready;
  logic [4:0] skip_x, skip_y;
  logic [15:0] b_skip_rows_q, b_skip_columns_q;
  logic [DataAddrWidth-1:0] input_lead, input_trail, b_input_enter_q, b_input_again_q, b_input_gap_q;
  logic [DataAddrWidth-1:0] input_trail_q;
  logic [WeightAddrWidth-1:0] weight_lead, weight_trail, b_weight_enter_q, b_weight_again_q, b_weight_gap_q;
  logic [WeightAddrWidth-1:0] weight_trail_q;

  assign advance      = ~b_valid_q | fifo_ready;
  assign skip_x       = 5'(a_before_x_q) + 5'(a_after_x_q);
  assign skip_y       = 5'(a_before_y_q) + 5'(a_after_y_q);
  assign input_lead   = DataAddrWidth'(a_before_y_q) * input_row_i + DataAddrWidth'(a_before_x_q) * input_column_i;
  assign input_trail  = DataAddrWidth'(a_after_y_q) * input_row_i + DataAddrWidth'(a_after_x_q) * input_column_i;
  assign weight_lead  = WeightAddrWidth'(a_before_y_q) * weight_row_i +
                        WeightAddrWidth'(a_before_x_q) * weight_column_i;
  assign weight_trail = WeightAddrWidth'(a_after_y_q) * weight_row_i +
                        WeightAddrWidth'(a_after_x_q) * weight_column_i;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      b_valid_q      <= 1'b0;
      input_trail_q  <= '0;
      weight_trail_q <= '0;
    end else if (start_i) begin
      b_valid_q      <= 1'b0;
      input_trail_q  <= '0;
      weight_trail_q <= '0;
    end else if (advance) begin
      b_valid_q <= a_valid_q;
      if (a_valid_q) begin
        input_trail_q  <= input_trail;
        weight_trail_q <= weight_trail;
      end
    end
  end

  always_ff @(posedge clk_i) begin
    if (a_valid_q && advance) begin
      b_skip_rows_q    <= 16'(skip_y);
      b_skip_columns_q <= 16'(skip_x) * 16'(blocks_i);
      b_input_enter_q  <= input_trail_q + input_lead;
      b_input_again_q  <= input_trail + input_lead;
      b_input_gap_q    <= DataAddrWidth'(skip_x) * input_column_i;
      b_weight_enter_q <= weight_trail_q + weight_lead;
      b_weight_again_q <= weight_trail + weight_lead;
      b_weight_gap_q   <= WeightAddrWidth'(skip_x) * weight_column_i;
    end
  end

  // ---------------------------------------------------------------------------------------------
  // A short buffer, so that a window is there whenever an output ends, even after one clock
  // ---------------------------------------------------------------------------------------------
  localparam int BufferWidth = 32 + 3 * DataAddrWidth + 3 * WeightAddrWidth;
  logic [BufferWidth-1:0] window;
  logic [1:0] unused_count;

  fifo #(
    .Width(BufferWidth),
    .Depth(3)
  ) u_buffer (
    .clk_i,
    .rst_ni,
    .clear_i (start_i),
    .wvalid_i(b_valid_q),
    .wready_o(fifo_ready),
    .wdata_i ({
      b_skip_rows_q, b_skip_columns_q,
      b_input_enter_q, b_input_again_q, b_input_gap_q,
      b_weight_enter_q, b_weight_again_q, b_weight_gap_q
    }),
    .rvalid_o(valid_o),
    .rready_i(ready_i),
    .rdata_o (window),
    .count_o (unused_count)
  );

  assign {skip_rows_o, skip_columns_o,
          input_enter_o, input_again_o, input_gap_o,
          weight_enter_o, weight_again_o, weight_gap_o} = window;

endmodule : mvu_window
