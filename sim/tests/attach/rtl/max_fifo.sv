// SPDX-License-Identifier: Apache-2.0
// FIFO ports at both ends: four words in order, each the larger half of the word pushed.
module max_fifo (
    input  logic        clk_i,
    input  logic        rst_ni,
    input  logic        flush_i,
    input  logic        push_i,
    input  logic [15:0] data_i,
    output logic        full_o,
    input  logic        pop_i,
    output logic [ 7:0] data_o,
    output logic        empty_o
);
  logic [7:0] words_q[4];
  logic [2:0] write_q, read_q;
  assign empty_o = write_q == read_q;
  assign full_o  = write_q == {~read_q[2], read_q[1:0]};
  assign data_o  = words_q[read_q[1:0]];
  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) {write_q, read_q} <= '0;
    else if (flush_i) {write_q, read_q} <= '0;
    else begin
      if (push_i && !full_o) write_q <= write_q + 3'd1;
      if (pop_i && !empty_o) read_q <= read_q + 3'd1;
    end
  end
  always_ff @(posedge clk_i) begin
    if (push_i && !full_o) words_q[write_q[1:0]] <= data_i[15:8] > data_i[7:0] ? data_i[15:8] : data_i[7:0];
  end
endmodule
