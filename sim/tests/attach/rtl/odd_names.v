// SPDX-License-Identifier: Apache-2.0
// Names that tell nothing: q = ~p in one register. See the hints beside it.
module odd_names (
    input  wire       tick,
    input  wire       init_b,
    input  wire       go_p,
    output wire       ok_p,
    input  wire [7:0] p,
    output reg        go_q,
    input  wire       ok_q,
    output reg  [7:0] q,
    inout  wire       pad
);
  assign ok_p = ~go_q | ok_q;
  always @(posedge tick or negedge init_b)
    if (!init_b) go_q <= 1'b0;
    else if (ok_p) go_q <= go_p;
  always @(posedge tick) if (go_p & ok_p) q <= ~p;
endmodule
