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
  // Arrays, not vectors of all ports or banks: whenever a part of a vector changes, Icarus puts the whole together from
  // its drivers, once for each of its readers, and each bank reads it.
  wire [Lanes-1:0] bank_data [Banks];
  logic [RowWidth-1:0] read_row [3];
  logic [RowWidth-1:0] write_row [3];
  logic [Lanes-1:0] write_word [3];
  // Banks wanted by each port, one-hot; nothing where nothing is granted.
  logic [Banks-1:0] read_hit [3];
  logic [Banks-1:0] write_hit [3];

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
    always_comb begin
      read_row[p]   = read_addr_i[p][RowWidth-1:0];
      write_row[p]  = write_addr_i[p][RowWidth-1:0];
      write_word[p] = write_data_i[p];
      read_hit[p]  = '0;
      write_hit[p] = '0;
      if (read_gnt_o[p]) read_hit[p][read_bank[p]] = 1'b1;
      if (write_gnt_o[p]) write_hit[p][write_bank[p]] = 1'b1;
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
      .raddr_i(read_hit[0][b] ? read_row[0] :
               read_hit[1][b] ? read_row[1] : read_row[2]),
      .rdata_o(bank_data[b]),
      .we_i   (write_hit[0][b] | write_hit[1][b] | write_hit[2][b]),
      .waddr_i(write_hit[0][b] ? write_row[0] :
               write_hit[1][b] ? write_row[1] : write_row[2]),
      .wpart_i(1'b0),
      .wdata_i(write_hit[0][b] ? write_word[0] : write_hit[1][b] ? write_word[1] : write_word[2])
    );
  end

endmodule : mvu_data_memory
