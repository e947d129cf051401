// SPDX-License-Identifier: Apache-2.0
// msip, mtime and mtimecmp of all harts: combinational reads, writes at the clock's end.
//
// mtip_o is exactly mtime >= mtimecmp of its clock. A write to mtime takes the place of that clock's count.
module controller_timer
  import controller_pkg::*;
#(
  parameter int Harts = DefaultHarts,
  parameter int HartWidth = Harts > 1 ? $clog2(Harts) : 1
) (
  input  logic                 clk_i,
  input  logic                 rst_ni,
  input  logic                 write_i,
  // Which register, one of three, of which hart, and which half of it
  input  logic                 msip_i,
  input  logic                 mtimecmp_i,
  input  logic                 mtime_i,
  input  logic [HartWidth-1:0] hart_i,
  input  logic                 high_i,
  input  logic [         31:0] wdata_i,
  output logic [         31:0] rdata_o,
  output logic [         63:0] mtime_o,
  output logic [    Harts-1:0] msip_o,
  output logic [    Harts-1:0] mtip_o
);

  logic [Harts-1:0] msip_q, mtip_q, mtip_d, one;
  logic [63:0] mtime_q, mtime_d, mtimecmp_d;
  logic [63:0] mtimecmp_q [Harts];
  logic [63:0] compared, read;
  logic write_compare;

  assign one           = Harts'(1) << hart_i;
  assign write_compare = write_i && mtimecmp_i;
  assign compared      = mtimecmp_q[hart_i];
  assign read          = mtimecmp_i ? compared : mtime_q;
  assign rdata_o       = msip_i ? {31'b0, msip_q[hart_i]} : high_i ? read[63:32] : read[31:0];
  assign mtimecmp_d    = high_i ? {wdata_i, compared[31:0]} : {compared[63:32], wdata_i};

  always_comb begin
    mtime_d = mtime_q + 64'd1;
    if (write_i && mtime_i) mtime_d = high_i ? {wdata_i, mtime_q[31:0]} : {mtime_q[63:32], wdata_i};
  end

  for (genvar h = 0; h < Harts; h++) begin : gen_compare
    assign mtip_d[h] = mtime_d >= (write_compare && one[h] ? mtimecmp_d : mtimecmp_q[h]);
  end

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      msip_q  <= '0;
      mtip_q  <= '0;
      mtime_q <= '0;
    end else begin
      mtip_q  <= mtip_d;
      mtime_q <= mtime_d;
      if (write_i && msip_i) msip_q[hart_i] <= wdata_i[0];
    end
  end

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      for (int h = 0; h < Harts; h++) mtimecmp_q[h] <= '1;
    end else if (write_compare) begin
      mtimecmp_q[hart_i] <= mtimecmp_d;
    end
  end

  assign mtime_o = mtime_q;
  assign msip_o  = msip_q;
  assign mtip_o  = mtip_q;

endmodule : controller_timer
