// SPDX-License-Identifier: Apache-2.0
// What is at an address of the host: its window, and the place inside. Combinational.
//
// Exactly one of the kinds is high, or none where nothing is mapped. exists_o: there is such a word or lane; registers
// and the controller decide for themselves.
module accelerator_decode
  import accelerator_pkg::*;
#(
  parameter int Mvus = DefaultMvus,
  parameter int Lanes = mvu_pkg::DefaultLanes,
  parameter int DataDepth = 32768,
  parameter int WeightDepth = mvu_pkg::DefaultWeightDepth,
  parameter int ChannelDepth = mvu_pkg::DefaultChannelDepth
) (
  input  logic [    31:0] addr_i,
  // Number of the window, 0: none. A burst stays in one.
  output logic [     3:0] window_o,
  output logic            registers_o,
  output logic            controller_o,
  output logic            data_o,
  output logic            params_o,
  output logic            transposer_o,
  output logic            exists_o,
  // Registers, for 32 bits at addr_i
  output logic [     3:0] unit_o,
  // Data memories: unit, one-hot. Data and parameters: word or entry; parameters: memory and lane.
  output logic [Mvus-1:0] mvu_o,
  output logic [    15:0] word_o,
  output logic [     1:0] select_o,
  output logic [     7:0] lane_o
);

  localparam int LaneWidth = $clog2(Lanes);

  logic system, weights, scalers, biases, memories, timer, own, registers, data, transposer;
  logic [23:0] index, param_word;
  logic [16:0] data_word;
  logic unused_index;

  assign system     = addr_i[31:SystemBits] == SystemBase[31:SystemBits];
  assign own        = addr_i[31:ControllerBits] == ControllerBase[31:ControllerBits];
  assign timer      = addr_i[31:TimerBits] == TimerBase[31:TimerBits];
  assign data       = addr_i[31:DataBits] == DataBase[31:DataBits];
  assign weights    = addr_i[31:WeightsBits] == WeightsBase[31:WeightsBits];
  assign scalers    = addr_i[31:ScalersBits] == ScalersBase[31:ScalersBits];
  assign biases     = addr_i[31:BiasesBits] == BiasesBase[31:BiasesBits];
  assign registers  = addr_i[31:RegistersBits] == RegistersBase[31:RegistersBits];
  assign transposer = addr_i[31:TransposerBits] == TransposerBase[31:TransposerBits];
  assign memories   = addr_i[31:MemoriesBits] == MemoriesBase[31:MemoriesBits];

  always_comb begin
    window_o = 4'd0;
    if (system) window_o = 4'd1;
    if (own) window_o = 4'd2;
    if (timer) window_o = 4'd3;
    if (data) window_o = 4'd4;
    if (weights) window_o = 4'd5;
    if (scalers) window_o = 4'd6;
    if (biases) window_o = 4'd7;
    if (registers) window_o = 4'd8;
    if (transposer) window_o = 4'd9;
    if (memories) window_o = 4'd10;
  end

  assign registers_o  = system || registers;
  assign controller_o = own || timer || memories;
  assign data_o       = data;
  assign params_o     = weights || scalers || biases;
  assign transposer_o = transposer;
  assign unit_o       = system ? SystemUnit : addr_i[RegistersMvuBit+:4];

  // Words of 8 bytes inside the window.
  assign index        = 24'(addr_i[WeightsBits-1:3]) & (weights ? 24'hff_ffff : 24'((1 << (ScalersBits - 3)) - 1));
  assign param_word   = index >> LaneWidth;
  assign data_word    = addr_i[3+:17];
  assign select_o     = biases ? 2'd2 : scalers ? 2'd1 : 2'd0;
  assign lane_o       = 8'(index[LaneWidth-1:0]);
  assign word_o       = data ? data_word[15:0] : param_word[15:0];
  assign unused_index = ^addr_i[2:0];

  for (genvar m = 0; m < Mvus; m++) begin : gen_mvu
    assign mvu_o[m] = data && addr_i[DataBits-1:DataMvuBit] == (DataBits - DataMvuBit)'(m);
  end

  assign exists_o = data ? mvu_o != '0 && data_word < 17'(DataDepth) :
      weights ? param_word < 24'(WeightDepth) :
      params_o ? param_word < 24'(ChannelDepth) : 1'b1;

endmodule : accelerator_decode
