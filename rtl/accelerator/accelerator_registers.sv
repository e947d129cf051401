// SPDX-License-Identifier: Apache-2.0
// System registers (map: docs/accelerator_registers.md, generated with accelerator_pkg from one table).
//
// Requests are taken at once, one a clock, a read is answered in the next clock. There is one port, so a hart's setting
// of a bit of `finished` or `failed` and the host's clearing it never meet. Writing tr_mvus gives start_o in the clock
// in which all transposer registers have their new values.
`include "assert.svh"

module accelerator_registers
  import accelerator_pkg::*;
#(
  parameter int Mvus = DefaultMvus,
  parameter int Lanes = mvu_pkg::DefaultLanes,
  parameter int DataBanks = mvu_pkg::DefaultDataBanks,
  parameter int BankDepth = mvu_pkg::DefaultBankDepth,
  parameter int WeightDepth = mvu_pkg::DefaultWeightDepth,
  parameter int ChannelDepth = mvu_pkg::DefaultChannelDepth,
  parameter int AccWidth = mvu_pkg::DefaultAccWidth,
  parameter int BiasWidth = mvu_pkg::DefaultBiasWidth,
  parameter int ImemWords = controller_pkg::DefaultImemWords,
  parameter int DmemWords = controller_pkg::DefaultDmemWords,
  parameter int Skip = controller_pkg::DefaultSkip,
  parameter int MulDiv = controller_pkg::DefaultMulDiv
) (
  input  logic            clk_i,
  input  logic            rst_ni,
  input  logic            req_valid_i,
  output logic            req_ready_o,
  input  logic            req_write_i,
  input  logic            req_host_i,
  input  logic [     7:0] req_addr_i,
  input  logic [    31:0] req_wdata_i,
  output logic            rsp_valid_o,
  input  logic            rsp_ready_i,
  output logic [    31:0] rsp_rdata_o,
  output logic            irq_o,
  output logic [Mvus-1:0] load_mvus_o,
  // Transposer
  output logic            tr_start_o,
  output logic [     4:0] tr_element_o,
  output logic [     4:0] tr_precision_o,
  output logic            tr_signed_o,
  output logic [    15:0] tr_channels_o,
  output logic [    15:0] tr_first_o,
  output logic [Mvus-1:0] tr_write_mvus_o,
  output logic [     2:0] tr_read_mvu_o,
  input  logic            tr_started_i,
  input  logic            tr_writing_i,
  input  logic            tr_reading_i
);

  logic [Mvus-1:0] finished_q, failed_q, irq_enable_q, load_mvus_q, tr_write_mvus_q, bits;
  logic [4:0] tr_element_q, tr_precision_q;
  logic [15:0] tr_channels_q, tr_first_q;
  logic [2:0] tr_read_mvu_q;
  logic tr_signed_q, tr_start_q, irq_q, rsp_valid_q, write;
  logic [63:0] clocks_q;
  logic [31:0] rsp_rdata_q, rdata, unused_wdata;

  assign req_ready_o  = !rsp_valid_q || rsp_ready_i;
  assign write        = req_valid_i && req_ready_o && req_write_i;
  assign bits         = req_wdata_i[Mvus-1:0];
  assign unused_wdata = req_wdata_i;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      finished_q      <= '0;
      failed_q        <= '0;
      irq_enable_q    <= '0;
      load_mvus_q     <= '0;
      tr_element_q    <= '0;
      tr_precision_q  <= '0;
      tr_signed_q     <= 1'b0;
      tr_channels_q   <= '0;
      tr_first_q      <= '0;
      tr_write_mvus_q <= '0;
      tr_read_mvu_q   <= '0;
      tr_start_q      <= 1'b0;
    end else begin
      tr_start_q <= write && req_addr_i == AddrTrMvus;
      if (write) begin
        case (req_addr_i)
          AddrFinished:   finished_q <= req_host_i ? finished_q & ~bits : finished_q | bits;
          AddrFailed:     failed_q <= req_host_i ? failed_q & ~bits : failed_q | bits;
          AddrIrqEnable:  irq_enable_q <= bits;
          AddrLoadMvus:   load_mvus_q <= bits;
          AddrTrFormat: begin
            tr_element_q   <= req_wdata_i[TrFormatElementLsb+:TrFormatElementWidth];
            tr_precision_q <= req_wdata_i[TrFormatPrecisionLsb+:TrFormatPrecisionWidth];
            tr_signed_q    <= req_wdata_i[TrFormatSignedLsb];
          end
          AddrTrChannels: tr_channels_q <= req_wdata_i[15:0];
          AddrTrFirst:    tr_first_q <= req_wdata_i[15:0];
          AddrTrMvus: begin
            tr_write_mvus_q <= bits;
            tr_read_mvu_q   <= req_wdata_i[TrMvusReadLsb+:TrMvusReadWidth];
          end
          default: ;
        endcase
      end
    end
  end

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) clocks_q <= '0;
    else clocks_q <= clocks_q + 64'd1;
  end

  always_comb begin
    rdata = '0;
    case (req_addr_i)
      AddrId:           rdata = Id;
      AddrVersion:      rdata = Version;
      AddrMvus:         rdata = Mvus;
      AddrLanes:        rdata = Lanes;
      AddrDataBanks:    rdata = DataBanks;
      AddrBankDepth:    rdata = BankDepth;
      AddrWeightDepth:  rdata = WeightDepth;
      AddrChannelDepth: rdata = ChannelDepth;
      AddrAccWidth:     rdata = AccWidth;
      AddrBiasWidth:    rdata = BiasWidth;
      AddrImemWords:    rdata = ImemWords;
      AddrDmemWords:    rdata = DmemWords;
      AddrSkip:         rdata = Skip;
      AddrMulDiv:       rdata = MulDiv;
      AddrClocks:       rdata = clocks_q[31:0];
      AddrClocksh:      rdata = clocks_q[63:32];
      AddrFinished:     rdata[Mvus-1:0] = finished_q;
      AddrFailed:       rdata[Mvus-1:0] = failed_q;
      AddrIrqEnable:    rdata[Mvus-1:0] = irq_enable_q;
      AddrLoadMvus:     rdata[Mvus-1:0] = load_mvus_q;
      AddrTrFormat: begin
        rdata[TrFormatElementLsb+:TrFormatElementWidth]     = tr_element_q;
        rdata[TrFormatPrecisionLsb+:TrFormatPrecisionWidth] = tr_precision_q;
        rdata[TrFormatSignedLsb]                            = tr_signed_q;
      end
      AddrTrChannels:   rdata[15:0] = tr_channels_q;
      AddrTrFirst:      rdata[15:0] = tr_first_q;
      AddrTrMvus: begin
        rdata[Mvus-1:0]                         = tr_write_mvus_q;
        rdata[TrMvusReadLsb+:TrMvusReadWidth] = tr_read_mvu_q;
      end
      AddrTrStatus: begin
        rdata[TrStatusStartedLsb] = tr_started_i;
        rdata[TrStatusWritingLsb] = tr_writing_i;
        rdata[TrStatusReadingLsb] = tr_reading_i;
      end
      default: ;
    endcase
  end

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      rsp_valid_q <= 1'b0;
      rsp_rdata_q <= '0;
    end else if (req_valid_i && req_ready_o && !req_write_i) begin
      rsp_valid_q <= 1'b1;
      rsp_rdata_q <= rdata;
    end else if (rsp_ready_i) begin
      rsp_valid_q <= 1'b0;
    end
  end

  // From a register, as it leaves the accelerator: no glitch in another clock domain.
  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) irq_q <= 1'b0;
    else irq_q <= (irq_enable_q != '0 && (finished_q & irq_enable_q) == irq_enable_q) || failed_q != '0;
  end

  assign rsp_valid_o     = rsp_valid_q;
  assign rsp_rdata_o     = rsp_rdata_q;
  assign irq_o           = irq_q;
  assign load_mvus_o     = load_mvus_q;
  assign tr_start_o      = tr_start_q;
  assign tr_element_o    = tr_element_q;
  assign tr_precision_o  = tr_precision_q;
  assign tr_signed_o     = tr_signed_q;
  assign tr_channels_o   = tr_channels_q;
  assign tr_first_o      = tr_first_q;
  assign tr_write_mvus_o = tr_write_mvus_q;
  assign tr_read_mvu_o   = tr_read_mvu_q;

  `ASSERT_STREAM(request, 42, req_valid_i, req_ready_o, {req_write_i, req_host_i, req_addr_i, req_wdata_i})
  `ASSERT_STREAM(response, 32, rsp_valid_o, rsp_ready_i, rsp_rdata_o)

endmodule : accelerator_registers
