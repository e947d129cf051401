// SPDX-License-Identifier: Apache-2.0
// Runs a job: checks its configuration, then issues one multiply step a clock until the countdown is over, then
// waits until the last output word has been taken.
//
//   Idle   a waiting job (pending_i) is taken over: load_o for one clock, cfg_i is stable from the next on
//   Check  an illegal job ends here with its causes
//   Prime  address generators and the first window are loaded
//   Issue  one step a clock; see `issue` for what can hold a step back
//   Drain  steps in flight become words
//
// A step's flags travel beside its data: issue_o in the clock in which both memories are read.
`include "assert.svh"

module mvu_sequencer
  import mvu_pkg::*;
#(
  parameter int DataAddrWidth = 15,
  parameter int WeightAddrWidth = 9
) (
  input  logic                       clk_i,
  input  logic                       rst_ni,
  input  mvu_cfg_t                   cfg_i,
  // Job control
  input  logic                       pending_i,
  output logic                       load_o,
  output logic                       start_o,       // first clock of Prime: the other units begin the job
  output logic                       busy_o,
  output logic                       ended_o,       // one clock
  output logic [                7:0] causes_o,      // with ended_o: why the job was illegal, 0 if it was not
  // Memory reads
  output logic                       read_req_o,
  input  logic                       read_gnt_i,
  output logic [  DataAddrWidth-1:0] read_addr_o,
  output logic [WeightAddrWidth-1:0] weight_addr_o,
  // The issued step
  output logic                       issue_o,
  output logic                       load_acc_o,    // first step of an output
  output logic                       shift_acc_o,   // first step of a further diagonal
  output logic                       subtract_o,
  output logic                       output_end_o,  // last step of an output
  output logic                       group_end_o,   // last step of a pool group
  output logic                       group_first_o, // step of the first output of a pool group
  // What an output's last step waits for
  input  logic                       residual_ready_i,
  input  logic                       slot_freed_i,  // the serialiser is done with an output block
  input  logic                       pipe_busy_i
);

  localparam int SlotWidth = $clog2(OutputFifoDepth + 1);

  typedef enum logic [2:0] {
    Idle,
    Check,
    Prime,
    Issue,
    Drain
  } state_e;

  state_e state_q, state_d;

  // ---------------------------------------------------------------------------------------------
  // Legal configurations
  // ---------------------------------------------------------------------------------------------
  logic [7:0] illegal, causes_q, causes_d;
  logic [15:0] plane_length;
  logic [11:0] plane_pairs;
  logic [NumLoops*16-1:0] wlength, ilength, wjump, ijump;

  for (genvar k = 0; k < NumLoops; k++) begin : gen_loops
    assign wjump[k*16+:16] = cfg_i.wjump[k][15:0];
    assign ijump[k*16+:16] = cfg_i.ijump[k][15:0];
    if (k == 0) begin : gen_endless
      assign wlength[15:0] = '0;
      assign ilength[15:0] = '0;
    end else begin : gen_counted
      assign wlength[k*16+:16] = cfg_i.wlength[k][15:0];
      assign ilength[k*16+:16] = cfg_i.ilength[k][15:0];
    end
  end

  logic [3:0] bad_precision;
  logic [3:0][5:0] precisions;

  assign precisions = {cfg_i.precision_residual, cfg_i.precision_output,
                       cfg_i.precision_input, cfg_i.precision_weight};

  for (genvar k = 0; k < 4; k++) begin : gen_bad_precision
    assign bad_precision[k] = precisions[k] == '0 || precisions[k] > 6'(MaxPrecision);
  end

  assign plane_pairs = 12'(cfg_i.precision_weight) * 12'(cfg_i.precision_input);

  // Unknown for the illegal acc_select 7, which the check catches by itself.
  assign plane_length = wlength[(4'(cfg_i.config1_acc_select) + 4'd1)*16+:16];

  assign illegal[CauseWeightPrecision]   = bad_precision[0];
  assign illegal[CauseInputPrecision]    = bad_precision[1];
  assign illegal[CauseOutputPrecision]   = bad_precision[2];
  assign illegal[CauseResidualPrecision] = cfg_i.config1_residual && bad_precision[3];
  assign illegal[CauseQuantiser] = cfg_i.quant_msb > 6'(PostWidth - 1) ||
                            7'(cfg_i.quant_msb) + 7'd1 < 7'(cfg_i.precision_output);
  assign illegal[CauseLoops] = cfg_i.config1_acc_select == 3'd7 ||
                        17'(plane_length) + 17'd1 != 17'(plane_pairs) ||
                        (cfg_i.command_max_pool && cfg_i.config1_pool_select > cfg_i.config1_acc_select);
  assign illegal[CausePadding] = cfg_i.config1_padding &&
      (cfg_i.config1_acc_select != 3'd4 ||
       cfg_i.kernel_width == '0 || cfg_i.kernel_height == '0 || cfg_i.kernel_blocks == '0 ||
       cfg_i.kernel_pad_left >= cfg_i.kernel_width || cfg_i.kernel_pad_top >= cfg_i.kernel_height ||
       cfg_i.ishape_width == '0 || cfg_i.ishape_height == '0 ||
       cfg_i.stride_x == '0 || cfg_i.stride_y == '0 ||
       cfg_i.stride_group_x == '0 || cfg_i.stride_group_y == '0);
  assign illegal[CauseCountdown] = cfg_i.command_countdown == '0;

  // ---------------------------------------------------------------------------------------------
  // Windows and addresses
  // ---------------------------------------------------------------------------------------------
  logic prime, window_valid, window_take, step_pair;
  logic [15:0] next_skip_rows, next_skip_columns, skip_rows_q, skip_columns_q;
  logic [DataAddrWidth-1:0] input_enter, next_input_again, next_input_gap, input_again_q, input_gap_q;
  logic [WeightAddrWidth-1:0] weight_enter, next_weight_again, next_weight_gap, weight_again_q, weight_gap_q;
  logic [DataAddrWidth-1:0] input_addr;
  logic [WeightAddrWidth-1:0] weight_addr;
  logic [2:0] weight_jump, input_jump;
  logic [3:0] input_offset, weight_offset;
  logic shift;

  mvu_window #(
    .DataAddrWidth  (DataAddrWidth),
    .WeightAddrWidth(WeightAddrWidth)
  ) u_window (
    .clk_i,
    .rst_ni,
    .start_i             (start_o),
    .enable_i            (cfg_i.config1_padding),
    .column_length_i     (ilength[1*16+:16]),
    .block_length_i      (ilength[2*16+:16]),
    .pool_row_length_i   (ilength[3*16+:16]),
    .pool_column_length_i(ilength[4*16+:16]),
    .map_width_i         (cfg_i.ishape_width),
    .map_height_i        (cfg_i.ishape_height),
    .kernel_width_i      (cfg_i.kernel_width),
    .kernel_height_i     (cfg_i.kernel_height),
    .pad_left_i          (cfg_i.kernel_pad_left),
    .pad_top_i           (cfg_i.kernel_pad_top),
    .blocks_i            (cfg_i.kernel_blocks),
    .stride_x_i          (cfg_i.stride_x),
    .stride_y_i          (cfg_i.stride_y),
    .group_x_i           (cfg_i.stride_group_x),
    .group_y_i           (cfg_i.stride_group_y),
    .input_row_i         (cfg_i.iskip[0][DataAddrWidth-1:0]),
    .input_column_i      (cfg_i.iskip[1][DataAddrWidth-1:0]),
    .weight_row_i        (cfg_i.wskip[0][WeightAddrWidth-1:0]),
    .weight_column_i     (cfg_i.wskip[1][WeightAddrWidth-1:0]),
    .valid_o             (window_valid),
    .ready_i             (window_take),
    .skip_rows_o         (next_skip_rows),
    .skip_columns_o      (next_skip_columns),
    .input_enter_o       (input_enter),
    .input_again_o       (next_input_again),
    .input_gap_o         (next_input_gap),
    .weight_enter_o      (weight_enter),
    .weight_again_o      (next_weight_again),
    .weight_gap_o        (next_weight_gap)
  );

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      skip_rows_q    <= '0;
      skip_columns_q <= '0;
      input_again_q  <= '0;
      input_gap_q    <= '0;
      weight_again_q <= '0;
      weight_gap_q   <= '0;
    end else if (window_take) begin
      skip_rows_q    <= next_skip_rows;
      skip_columns_q <= next_skip_columns;
      input_again_q  <= next_input_again;
      input_gap_q    <= next_input_gap;
      weight_again_q <= next_weight_again;
      weight_gap_q   <= next_weight_gap;
    end
  end

  mvu_agu #(
    .Loops    (NumLoops),
    .AddrWidth(DataAddrWidth)
  ) u_input (
    .clk_i,
    .rst_ni,
    .init_i        (prime),
    .step_i        (issue_o),
    .base_i        (cfg_i.ibaseptr[DataAddrWidth-1:0]),
    .jump_i        (ijump),
    .length_i      (ilength),
    .skip_rows_i   (skip_rows_q),
    .skip_columns_i(skip_columns_q),
    .enter_i       (input_enter),
    .again_i       (input_again_q),
    .gap_i         (input_gap_q),
    .addr_o        (input_addr),
    .jump_o        (input_jump)
  );

  mvu_agu #(
    .Loops    (NumLoops),
    .AddrWidth(WeightAddrWidth)
  ) u_weight (
    .clk_i,
    .rst_ni,
    .init_i        (prime),
    .step_i        (issue_o),
    .base_i        (cfg_i.wbaseptr[WeightAddrWidth-1:0]),
    .jump_i        (wjump),
    .length_i      (wlength),
    .skip_rows_i   (skip_rows_q),
    .skip_columns_i(skip_columns_q),
    .enter_i       (weight_enter),
    .again_i       (weight_again_q),
    .gap_i         (weight_gap_q),
    .addr_o        (weight_addr),
    .jump_o        (weight_jump)
  );

  mvu_planes u_planes (
    .clk_i,
    .rst_ni,
    .init_i            (prime),
    .step_i            (step_pair),
    .input_precision_i (cfg_i.precision_input[4:0]),
    .weight_precision_i(cfg_i.precision_weight[4:0]),
    .input_signed_i    (cfg_i.precision_input_signed),
    .weight_signed_i   (cfg_i.precision_weight_signed),
    .input_offset_o    (input_offset),
    .weight_offset_o   (weight_offset),
    .shift_o           (shift),
    .subtract_o
  );

  assign read_addr_o   = input_addr + DataAddrWidth'(input_offset);
  assign weight_addr_o = weight_addr + WeightAddrWidth'(weight_offset);

  // ---------------------------------------------------------------------------------------------
  // Issue
  // ---------------------------------------------------------------------------------------------
  logic [28:0] remaining_q;
  logic [SlotWidth-1:0] slots_q;  // output blocks that may still be begun
  logic pair_first_q, output_first_q, group_first_q;
  logic pair_end, output_end, group_end, last_step, may_issue;

  assign pair_end   = 4'(weight_jump) <= 4'(cfg_i.config1_acc_select) + 4'd1;
  assign output_end = weight_jump <= cfg_i.config1_acc_select;
  assign group_end  = cfg_i.command_max_pool ? weight_jump <= cfg_i.config1_pool_select : output_end;
  assign last_step  = remaining_q == 29'd1;

  // An output's last step needs its residual value, the window of the output after it, and, when it ends a group, a
  // free slot behind the pipeline. So everything after the issue always flows.
  assign may_issue  = !output_end || (residual_ready_i && (window_valid || last_step) &&
                                      (!group_end || slots_q != '0));
  assign read_req_o = state_q == Issue && may_issue;
  assign issue_o    = read_req_o && read_gnt_i;
  assign step_pair  = issue_o && pair_end;

  assign prime       = state_q == Prime && window_valid;
  assign window_take = prime || (issue_o && output_end && !last_step);

  assign load_acc_o    = output_first_q;
  assign shift_acc_o   = shift && pair_first_q;
  assign output_end_o  = output_end;
  assign group_end_o   = group_end;
  assign group_first_o = group_first_q;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      remaining_q    <= '0;
      pair_first_q   <= 1'b0;
      output_first_q <= 1'b0;
      group_first_q  <= 1'b0;
    end else if (prime) begin
      remaining_q    <= cfg_i.command_countdown;
      pair_first_q   <= 1'b1;
      output_first_q <= 1'b1;
      group_first_q  <= 1'b1;
    end else if (issue_o) begin
      remaining_q    <= remaining_q - 29'd1;
      pair_first_q   <= pair_end;
      output_first_q <= output_end;
      if (output_end) group_first_q <= group_end;
    end
  end

  logic slot_taken;
  assign slot_taken = issue_o && output_end && group_end;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) slots_q <= SlotWidth'(OutputFifoDepth);
    else if (slot_taken && !slot_freed_i) slots_q <= slots_q - 1'b1;
    else if (!slot_taken && slot_freed_i) slots_q <= slots_q + 1'b1;
  end

  // ---------------------------------------------------------------------------------------------
  // States
  // ---------------------------------------------------------------------------------------------
  logic drained;
  assign drained = !pipe_busy_i && slots_q == SlotWidth'(OutputFifoDepth);

  always_comb begin
    state_d  = state_q;
    causes_d = causes_q;
    load_o   = 1'b0;
    start_o  = 1'b0;
    ended_o  = 1'b0;
    causes_o = causes_q;
    unique case (state_q)
      Idle: begin
        if (pending_i) begin
          load_o  = 1'b1;
          state_d = Check;
        end
      end
      Check: begin
        causes_d = '0;
        if (illegal != '0) begin
          ended_o  = 1'b1;
          causes_o = illegal;
          state_d  = Idle;
        end else begin
          start_o = 1'b1;
          state_d = Prime;
        end
      end
      Prime: if (window_valid) state_d = Issue;
      Issue: begin
        if (issue_o && last_step) begin
          causes_d[CauseCountdown] = !(output_end && group_end);
          state_d = Drain;
        end
      end
      Drain: begin
        if (drained) begin
          ended_o = 1'b1;
          state_d = Idle;
        end
      end
      default: state_d = Idle;
    endcase
  end

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      state_q  <= Idle;
      causes_q <= '0;
    end else begin
      state_q  <= state_d;
      causes_q <= causes_d;
    end
  end

  assign busy_o = state_q != Idle;

  // Only parts of these registers mean something here.
  logic unused_cfg;
  assign unused_cfg = ^cfg_i;

`ifndef SYNTHESIS
  // An illegal job is refused and reported; it is the program's mistake, so the simulation goes on.
  always @(posedge clk_i) begin
    if (state_q == Check && illegal != '0) begin
      $warning("ILLEGAL JOB refused in %m at %0d ns: mvustatus.cause = %b", $time, illegal);
    end
  end
`endif
  `ASSERT(slots_in_range, slots_q <= SlotWidth'(OutputFifoDepth))
  `ASSERT(window_inside_kernel, state_q != Issue || !cfg_i.config1_padding ||
          (skip_rows_q < 16'(cfg_i.kernel_height) &&
           skip_columns_q < 16'(cfg_i.kernel_width) * 16'(cfg_i.kernel_blocks)))
  `ASSERT(loops_in_step, !issue_o || !cfg_i.config1_padding || input_jump == weight_jump)

endmodule : mvu_sequencer
