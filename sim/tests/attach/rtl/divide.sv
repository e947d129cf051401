// SPDX-License-Identifier: Apache-2.0
// Start and done around one division at a time, eight clocks each; operands must stay until done.
module divide (
    input  logic       clk,
    input  logic       reset,
    input  logic       start,
    input  logic [7:0] dividend,
    input  logic [7:0] divisor,
    output logic [7:0] quotient,
    output logic [7:0] remainder,
    output logic       done
);
  logic [3:0] step_q;
  logic [7:0] rest_q, quotient_q;
  logic [8:0] shifted;
  assign shifted   = {rest_q, dividend[3'(4'd8 - step_q)]};
  assign quotient  = quotient_q;
  assign remainder = rest_q;
  always_ff @(posedge clk) begin
    done <= 1'b0;
    if (reset) step_q <= '0;
    else if (start) begin
      step_q     <= 4'd1;
      rest_q     <= '0;
      quotient_q <= '0;
    end else if (step_q != '0) begin
      rest_q     <= shifted >= {1'b0, divisor} ? 8'(shifted - {1'b0, divisor}) : shifted[7:0];
      quotient_q <= {quotient_q[6:0], shifted >= {1'b0, divisor}};
      done       <= step_q == 4'd8;
      step_q     <= step_q == 4'd8 ? '0 : step_q + 4'd1;
    end
  end
endmodule
