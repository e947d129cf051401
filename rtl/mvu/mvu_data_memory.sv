// SPDX-License-Identifier: Apache-2.0
// Data memory: banks with one read and one write port each, three readers and three writers.
//
// Bank = upper address bits, so tensors placed in different banks never meet. An access is done in the clock of
// its grant; read data is valid in the one clock after it. Requests are held until granted; of
// requests to the same bank the one served longest ago wins (bank_arbiter).
module mvu_data_memory #(
  parameter int Lanes = 64,
  parameter int Banks = 32,
  parameter int BankDepth = 1024,
  parameter int AddrWidth = $clog2(Banks * BankDepth)
) (
  input  logic                      clk_i,
  input  logic                      rst_ni,
  input  logic [               2:0] read_req_i,
  output logic [               2:0] read_gnt_o,
  input  logic [2:0][AddrWidth-1:0] read_addr_i,
  output logic [2:0][    Lanes-1:0] read_data_o,
  input  logic [               2:0] write_req_i,
  output logic [               2:0] write_gnt_o,
  input  logic [2:0][AddrWidth-1:0] write_addr_i,
  input  logic [2:0][    Lanes-1:0] write_data_i
);

  localparam int BankWidth = $clog2(Banks);
  localparam int RowWidth = $clog2(BankDepth);

  logic [2:0][BankWidth-1:0] read_bank, write_bank;
  logic [Banks-1:0][Lanes-1:0] bank_data;
  // Banks wanted by each port, one-hot; nothing where nothing is granted.
  logic [2:0][Banks-1:0] read_hit, write_hit;

  bank_arbiter #(
    .NumReq   (3),
    .BankWidth(BankWidth)
  ) u_read_arbiter (
    .clk_i,
    .rst_ni,
    .req_i (read_req_i),
    .bank_i(read_bank),
    .gnt_o (read_gnt_o)
  );

  bank_arbiter #(
    .NumReq   (3),
    .BankWidth(BankWidth)
  ) u_write_arbiter (
    .clk_i,
    .rst_ni,
    .req_i (write_req_i),
    .bank_i(write_bank),
    .gnt_o (write_gnt_o)
  );

  for (genvar p = 0; p < 3; p++) begin : gen_port
    logic [BankWidth-1:0] data_bank_q;
    assign read_bank[p]  = BankWidth'(read_addr_i[p] >> RowWidth);
    assign write_bank[p] = BankWidth'(write_addr_i[p] >> RowWidth);

    // Not a shift of the grant: a port without a request may show an unknown address.
    for (genvar b = 0; b < Banks; b++) begin : gen_hit
      assign read_hit[p][b]  = read_gnt_o[p] && read_bank[p] == BankWidth'(b);
      assign write_hit[p][b] = write_gnt_o[p] && write_bank[p] == BankWidth'(b);
    end

    always_ff @(posedge clk_i or negedge rst_ni) begin
      if (!rst_ni) data_bank_q <= '0;
      else if (read_gnt_o[p]) data_bank_q <= read_bank[p];
    end
    assign read_data_o[p] = bank_data[data_bank_q];
  end

  for (genvar b = 0; b < Banks; b++) begin : gen_bank
    ram_1r1w #(
      .Width(Lanes),
      .Depth(BankDepth)
    ) u_ram (
      .clk_i,
      .re_i   (read_hit[0][b] | read_hit[1][b] | read_hit[2][b]),
      .raddr_i(read_hit[0][b] ? read_addr_i[0][RowWidth-1:0] :
               read_hit[1][b] ? read_addr_i[1][RowWidth-1:0] : read_addr_i[2][RowWidth-1:0]),
      .rdata_o(bank_data[b]),
      .we_i   (write_hit[0][b] | write_hit[1][b] | write_hit[2][b]),
      .waddr_i(write_hit[0][b] ? write_addr_i[0][RowWidth-1:0] :
               write_hit[1][b] ? write_addr_i[1][RowWidth-1:0] : write_addr_i[2][RowWidth-1:0]),
      .wpart_i(1'b0),
      .wdata_i(write_hit[0][b] ? write_data_i[0] : write_hit[1][b] ? write_data_i[1] : write_data_i[2])
    );
  end

endmodule : mvu_data_memory
