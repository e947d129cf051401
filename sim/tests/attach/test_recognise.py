# SPDX-License-Identifier: Apache-2.0
"""What :mod:`sim.attach` makes of ports in the field's naming styles, and what it says of those that it cannot sort."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from assay.sim.attach.design import read_design
from assay.sim.attach.filelist import read_sources
from assay.sim.attach.hints import read_hints
from assay.sim.attach.interfaces import Recognised
from assay.sim.attach.plan import make_plan
from assay.sim.attach.recognise import recognise
from assay.sim.attach.table import table
from assay.tb.errors import AssayError, BuildFailed

RTL = Path(__file__).parent / "rtl"

Attach = Callable[..., Recognised]


@pytest.fixture
def attach(tmp_path: Path) -> Attach:
    """Recognise a module ``m`` with these ports, or a module of RTL."""

    def make(ports: str, hints: str = "", before: str = "", top: str = "m", **parameters: str) -> Recognised:
        source = RTL / ports
        if ports not in (path.name for path in RTL.iterdir()):
            source = tmp_path / "m.sv"
            source.write_text(f"{before}\nmodule m ({ports});\nendmodule\n")
        file = None
        if hints:
            file = tmp_path / "hints.toml"
            file.write_text(hints)
        return recognise(read_design(read_sources([source]), top, parameters), read_hints(file))

    return make


def lines(found: Recognised) -> list[str]:
    """The table without the head and without alignment."""
    return [" ".join(line.split()) for line in table(found)[1:]]


STYLES = {
    "requant_axis.sv": [
        "clock aclk",
        "reset aresetn (active low)",
        "input s_axis s_axis_tvalid, s_axis_tready: data=s_axis_tdata[20], last=s_axis_tlast[1] (AXI4-Stream)",
        "output m_axis m_axis_tvalid, m_axis_tready: data=m_axis_tdata[8], last=m_axis_tlast[1] (AXI4-Stream)",
    ],
    "relu_2001.v": [
        "clock clk",
        "reset rst (active high)",
        "input din din_vld, din_rdy: data=din[12] (valid/ready)",
        "output dout dout_vld, dout_rdy: data=dout[12] (valid/ready)",
    ],
    "add_prefixed.v": [
        "clock i_clk",
        "reset i_rst_n (active low)",
        "input in i_valid: a=i_a[8], b=i_b[8] (valid; payload taken by position)",
        "output out o_valid: sum=o_sum[9] (valid; payload taken by position)",
        "pin i_cfg_bias[4] (held at 0)",
        "status o_busy[1] (not compared)",
    ],
    "max_fifo.sv": [
        "clock clk_i",
        "reset rst_ni (active low)",
        "input in push_i, full_o: data=data_i[16] (FIFO; payload taken by position)",
        "output out pop_i, empty_o: data=data_o[8] (FIFO; payload taken by position)",
        "pin flush_i[1] (held at 0)",
    ],
    "dot_sram.sv": [
        "clock clk",
        "reset rst_n (active low)",
        "memory wmem addr=wmem_addr[4], enable=wmem_en[1], read=wmem_rdata[8] "
        "(memory without handshake; the bench answers; data 1 clock after the address)",
        "memory ymem addr=ymem_addr[4], write_enable=ymem_we[1], write=ymem_wdata[16] "
        "(memory without handshake; the bench answers)",
        "control start, done (a test starts the device with it)",
        "pin count[4] (held at 0)",
        "pin x_scale[8] (held at 0)",
    ],
    "offset_axil.sv": [
        "clock clk_i",
        "reset rst_ni (active low)",
        "input in in_valid, in_ready: data=in_data[16] (valid/ready)",
        "output out out_valid, out_ready: data=out_data[16] (valid/ready)",
        "AXI s_axil 4 address bits, 32 data bits, writes and reads (AXI4-Lite; the device is subordinate)",
    ],
    "divide.sv": [
        "clock clk",
        "reset reset (active high)",
        "input in start: dividend=dividend[8], divisor=divisor[8] (start/done; payload taken by position)",
        "output out done: quotient=quotient[8], remainder=remainder[8] (start/done; payload taken by position)",
    ],
    "camelSwap.v": [
        "clock clock",
        "reset reset (active high)",
        "input io_input io_input_valid, io_input_ready: payload_pixel_pair=io_input_payload_pixelPair[16], "
        "payload_is_last=io_input_payload_isLast[1] (valid/ready)",
        "output io_output io_output_valid, io_output_ready: payload_pixel_pair=io_output_payload_pixelPair[16], "
        "payload_is_last=io_output_payload_isLast[1] (valid/ready)",
    ],
    "alu_struct.sv": [
        "clock clk_i",
        "reset rst_ni (active low)",
        "input req req_i.valid, req_ready_o: op=req_i.op[2], a=req_i.a[8], b=req_i.b[8] (valid/ready)",
        "output rsp rsp_o.valid, rsp_ready_i: result=rsp_o.result[8] (valid/ready)",
        "pin mode_i[2] (held at 0)",
    ],
    "clip_logic.sv": [
        "clock none (the block is combinational)",
        "input in x=x_i[12] (every clock; payload taken by position)",
        "output out y=y_o[8], clipped=clipped_o[1] (every clock; 0 clocks after the input; payload taken by position)",
    ],
    "sum_lanes.sv": [
        "clock clk_i",
        "reset rst_ni (active low)",
        "input in in_valid_i, in_ready_o: lanes=in_lanes_i[32] (valid/ready)",
        "output out out_valid_o, out_ready_i: sum=out_sum_o[10] (valid/ready)",
    ],
}


@pytest.mark.parametrize("source", STYLES)
def test_styles(attach: Attach, source: str) -> None:
    found = attach(source, top=source.partition(".")[0])
    assert lines(found) == STYLES[source]
    assert not found.doubts


AXI = """
  input {p}awvalid{i}, output {p}awready{o}, input [31:0] {p}awaddr{i}, input [7:0] {p}awlen{i},
  input {p}wvalid{i}, output {p}wready{o}, input [63:0] {p}wdata{i}, input [7:0] {p}wstrb{i}, input {p}wlast{i},
  output {p}bvalid{o}, input {p}bready{i}, output [1:0] {p}bresp{o},
  input {p}arvalid{i}, output {p}arready{o}, input [31:0] {p}araddr{i}, input [7:0] {p}arlen{i},
  output {p}rvalid{o}, input {p}rready{i}, output [63:0] {p}rdata{o}, output [1:0] {p}rresp{o}, output {p}rlast{o}
"""


@pytest.mark.parametrize(
    ("prefix", "in_", "out"), [("s_axi_", "", ""), ("slv_", "_i", "_o"), ("S_AXI_", "", "")]
)
def test_axi4(attach: Attach, prefix: str, in_: str, out: str) -> None:
    text = AXI.format(p=prefix, i=in_, o=out)
    if prefix.isupper():
        text = text.replace("S_AXI_a", "S_AXI_A").replace("S_AXI_r", "S_AXI_R")
    found = attach(f"input clk, input rst_n, {text}")
    (port,) = found.axis
    assert (port.lite, port.device_is_manager, len(port.channels)) == (False, False, 21)
    assert not found.streams and not found.pins and not found.status


def test_axi_in_structures(attach: Attach) -> None:
    before = """
    typedef struct packed {logic [31:0] addr; logic [2:0] prot;} a_t;
    typedef struct packed {logic [31:0] data; logic [3:0] strb;} w_t;
    typedef struct packed {a_t aw; logic aw_valid; w_t w; logic w_valid; logic b_ready; a_t ar; logic ar_valid;
                           logic r_ready;} req_t;
    typedef struct packed {logic [31:0] data; logic [1:0] resp;} r_t;
    typedef struct packed {logic aw_ready; logic w_ready; logic [1:0] b; logic b_valid; logic ar_ready; r_t r;
                           logic r_valid;} rsp_t;
    """
    found = attach("input clk_i, input rst_ni, output req_t axi_req_o, input rsp_t axi_rsp_i", before=before)
    (port,) = found.axis
    assert (port.name, port.lite, port.device_is_manager) == ("axi", True, True)
    assert port.channels["awaddr"].name == "axi_req_o.aw.addr"


@pytest.mark.parametrize(
    ("ports", "expected"),
    [
        # An SRAM macro: chip select and write enable active low.
        (
            "input clk, output csb, output web, output [7:0] addr, output [31:0] din, input [31:0] dout",
            {"enable", "addr", "write", "read"},
        ),
        # OBI, as Ibex has it.
        (
            "input clk_i, output d_req_o, input d_gnt_i, output [31:0] d_addr_o, output d_we_o, output [3:0] d_be_o, "
            "output [31:0] d_wdata_o, input d_rvalid_i, input [31:0] d_rdata_i",
            {"enable", "request_ready", "addr", "write_enable", "strobe", "write", "response_valid", "read"},
        ),
        # Wishbone, as SpinalHDL has it.
        (
            "input clk, output iBus_CYC, output iBus_STB, input iBus_ACK, output iBus_WE, output [29:0] iBus_ADR, "
            "input [31:0] iBus_DAT_MISO, output [31:0] iBus_DAT_MOSI, output [3:0] iBus_SEL",
            {"cycle", "enable", "request_ready", "write_enable", "addr", "read", "write", "strobe"},
        ),
        # PicoRV32's own.
        (
            "input clk, output mem_valid, input mem_ready, output [31:0] mem_addr, output [31:0] mem_wdata, "
            "output [3:0] mem_wstrb, input [31:0] mem_rdata",
            {"enable", "request_ready", "addr", "write", "strobe", "read"},
        ),
    ],
    ids=["sram", "obi", "wishbone", "picorv32"],
)
def test_memories_of_the_device(attach: Attach, ports: str, expected: set[str]) -> None:
    found = attach(ports)
    (memory,) = found.memories
    assert memory.device_drives
    assert expected <= memory.roles.keys()
    if "csb" in ports:
        assert "enable" in memory.active_low
    assert not found.pins and not found.streams


def test_two_ports_of_one_memory(attach: Attach) -> None:
    found = attach(
        "input clk, output [4:0] ram_waddr, output [7:0] ram_wdata, output ram_we, "
        "output [4:0] ram_raddr, input [7:0] ram_rdata"
    )
    assert [(m.name, set(m.roles)) for m in found.memories] == [
        ("ram_w", {"addr", "write", "write_enable"}),
        ("ram_r", {"addr", "read"}),
    ]


def test_registers_of_the_device(attach: Attach) -> None:
    found = attach(
        "input clk, input [3:0] cfg_addr, input cfg_we, input [31:0] cfg_wdata, output [31:0] cfg_rdata, "
        "input in_valid, output in_ready, input [7:0] in_data, output out_valid, input out_ready, output [7:0] out_data"
    )
    (memory,) = found.memories
    assert not memory.device_drives
    assert [s.name for s in found.streams] == ["in", "out"]


@pytest.mark.parametrize(
    "ports",
    [
        "input v_i, output ready_and_o, input [7:0] data_i, output v_o, input yumi_i, output [7:0] data_o",
        "input valid_in, output ready_out, input [7:0] data_in, output valid_out, input ready_in, "
        "output [7:0] data_out",
        "input invalid, output inready, input [7:0] indata, output outvalid, input outready, output [7:0] outdata",
        "input dataInValid, output dataInReady, input [7:0] dataIn, output dataOutValid, input dataOutReady, "
        "output [7:0] dataOut",
        "input up_valid, output up_ready, input [7:0] up_data, output down_valid, input down_ready, "
        "output [7:0] down_data",
        "input s_valid, input [7:0] s_x, output s_ready, output [7:0] m_x, output m_valid, input m_ready",
    ],
)
def test_valid_and_ready(attach: Attach, ports: str) -> None:
    found = attach(f"input clk, input rst_n, {ports}")
    assert not found.doubts and not found.pins and not found.status
    assert [(s.into, bool(s.valid), bool(s.ready), len(s.fields)) for s in found.streams] == [
        (True, True, True, 1),
        (False, True, True, 1),
    ]


def test_vectors_of_handshakes(attach: Attach) -> None:
    found = attach(
        "input clk, input in_valid, output in_ready, input [7:0] in_data, "
        "output [1:0] o_valid, input [1:0] o_ready, output [1:0][7:0] o_data"
    )
    assert [s.name for s in found.outputs] == ["out0", "out1"]
    assert found.outputs[1].fields["data"].name == "o_data[1]"
    assert found.outputs[1].fields["data"].lsb == 8


@pytest.mark.parametrize(
    ("name", "low"),
    [
        ("rst_ni", True),
        ("aresetn", True),
        ("nrst", True),
        ("rst_b", True),
        ("RST_N", True),
        ("i_rstn", True),
        ("reset_n_i", True),
        ("rst", False),
        ("reset_i", False),
        ("ap_rst", False),
        ("areset", False),
        ("srst", False),
    ],
)
def test_resets(attach: Attach, name: str, low: bool) -> None:
    found = attach(
        f"input clk, input {name}, input in_valid, input [7:0] in_data, output out_valid, output [7:0] out_data"
    )
    assert [(r.signal.name, r.active_low) for r in found.resets] == [(name, low)]


@pytest.mark.parametrize(
    "name", ["clk", "clk_i", "aclk", "ap_clk", "CLK", "i_clk", "clock", "sysclk", "clk100"]
)
def test_clocks(attach: Attach, name: str) -> None:
    found = attach(
        f"input {name}, input clk_en, input in_valid, input [3:0] in_data, output out_valid, output [3:0] out_data"
    )
    assert found.clock is not None
    assert [s.name for s in found.clock.signals] == [name]


def test_hints(attach: Attach) -> None:
    hints = (RTL / "odd_names.toml").read_text()
    assert lines(attach("odd_names.v", hints, top="odd_names")) == [
        "clock tick",
        "reset init_b (active low)",
        "input in go_p, ok_p: p=p[8] (valid/ready)",
        "output out go_q, ok_q: q=q[8] (valid/ready)",
    ]


STREAM = "input clk, input go, input [7:0] a, output [7:0] b, input [1:0] mode"


@pytest.mark.parametrize(
    ("hints", "says"),
    [
        ("clock = 3", "hints.toml:1: clock = 3 must be a list"),
        ("clk = 'clk'", "hints.toml:1: unknown hint 'clk' (did you mean"),
        ("\n[stream.in]\nvalid = 'gp'", "hints.toml:3: stream.in.valid: unknown port 'gp'"),
        (
            "[stream.in]\nvalid = 'go'\nfields = ['b']",
            "hints.toml:3: stream.in: b is an output, but the stream goes to",
        ),
        (
            "[stream.in]\nvald = 'go'",
            "hints.toml:2: unknown hint in [stream.in] 'vald' (did you mean valid?)",
        ),
        (
            "[stream.in]\nvalid = 'go'\n[control]\nstart = 'go'",
            "control.start: port go is named by two hints",
        ),
        ("[stream.x]\nlatency = 2", "unknown stream 'x'"),
        ("[stream.in]\nlatency = 'two'", "hints.toml:2: stream.in.latency = 'two' must be a whole number"),
        ("[pins]\nmode = 4", "hints.toml:2: pins: mode = 4 does not fit 2 bits (0 to 3)"),
        ("[pins]\nb = 1", "hints.toml:2: pins: b is an output; a pin is an input"),
        ("[memory.w]\nread = 'a'", "[memory.w] must name addr, and read or write"),
        ("reset = 'a'", "hints.toml:1: reset: a is no input of one bit"),
        ("[stream", "hints.toml: not valid TOML"),
    ],
)
def test_bad_hints(attach: Attach, hints: str, says: str) -> None:
    with pytest.raises(AssayError) as caught:
        attach(STREAM, hints)
    assert says in str(caught.value)


def test_latency_must_be_known(attach: Attach, tmp_path: Path) -> None:
    source = "scale_enable.v"
    with pytest.raises(AssayError) as caught:
        make_plan("scale", attach(source, top="scale_enable"), tmp_path)
    assert f"{RTL.relative_to(Path.cwd())}/{source}:7: port y is an output without valid" in str(caught.value)
    assert "hint: [stream.out] latency = N" in str(caught.value)
    plan = make_plan(
        "scale", attach(source, (RTL / "scale_enable.toml").read_text(), top="scale_enable"), tmp_path
    )
    assert plan.wiring.top == "scale_enable"
    assert "3 enabled clocks after the input" in lines(plan.found)[-1]


@pytest.mark.parametrize(
    ("ports", "before", "says"),
    [
        (
            "bus.sink p",
            "interface bus; logic a; modport sink(input a); endinterface",
            "port p is an interface (bus.sink)",
        ),
        ("input real x, output y", "", "port x has type real, which is not made of bits"),
        (
            "inout pad, input clk, input in_valid, output out_valid",
            "",
            'hint: ignore = ["pad"] leaves it open',
        ),
    ],
)
def test_ports_that_no_bench_drives(
    attach: Attach, tmp_path: Path, ports: str, before: str, says: str
) -> None:
    with pytest.raises(AssayError) as caught:
        make_plan("m", attach(ports, before=before), tmp_path)
    assert f"{tmp_path}/m.sv:2: " in str(caught.value)
    assert says in str(caught.value)


def test_nothing_to_compare(attach: Attach) -> None:
    with pytest.raises(AssayError, match="has no output that a bench could compare"):
        attach("input clk, input in_valid, input [7:0] in_data")


def test_designs_that_do_not_elaborate(attach: Attach, tmp_path: Path) -> None:
    with pytest.raises(BuildFailed) as caught:
        attach("input clk); missing u (.clk(clk)", before="// one line")
    assert f"m does not elaborate:\n{tmp_path}/m.sv:2:" in str(caught.value)
    assert "unknown module 'missing'" in str(caught.value)
    with pytest.raises(AssayError, match="--top n: no such module; the sources have m"):
        attach("input clk", top="n")
    with pytest.raises(
        AssayError, match=r"unknown parameter of requant_axis 'SHFT' \(did you mean SHIFT\?\)"
    ):
        attach("requant_axis.sv", top="requant_axis", SHFT="3")


def test_file_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "inc").mkdir()
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "a.sv").write_text("module a; endmodule\n")
    (tmp_path / "lib" / "lib.f").write_text("a.sv // the only one\n")
    (tmp_path / "top.sv").write_text("module top; endmodule\n")
    top = tmp_path / "top.f"
    top.write_text("+incdir+inc +define+WIDE=3+FAST\n# comment\n-f $HERE/lib.f\ntop.sv\n")
    monkeypatch.setenv("HERE", str(tmp_path / "lib"))
    found = read_sources([top])
    assert [path.name for path in found.sources] == ["a.sv", "top.sv"]
    assert found.includes == [tmp_path / "inc"]
    assert found.defines == {"WIDE": "3", "FAST": "1"}
    for text, says in (
        ("gone.sv", f"{top}:1: there is no file gone.sv beside the list or in the current directory"),
        ("\n-y lib", f"{top}:2: option -y is not understood"),
        ("$NOWHERE/a.sv", f"{top}:1: the environment variable NOWHERE is not set"),
        ("-f top.f", f"{top}: the file list includes itself"),
        ("+incdir+gone", "the include folder"),
    ):
        top.write_text(text)
        with pytest.raises(AssayError) as caught:
            read_sources([top])
        assert says in str(caught.value)


def test_packages_come_before_their_users(tmp_path: Path) -> None:
    texts = {
        "a.sv": "module a import b_pkg::*; (input b_t x); endmodule // z_pkg::none",
        "b_pkg.sv": "package b_pkg; import c_pkg::*; typedef c_t b_t; endpackage",
        "c_pkg.sv": "/* b_pkg:: */ package c_pkg; typedef logic c_t; endpackage",
        "z_pkg.sv": "package z_pkg; endpackage",
        "h.svh": "`define H",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    found = read_sources([tmp_path / name for name in texts])
    assert [path.name for path in found.sources] == ["c_pkg.sv", "b_pkg.sv", "a.sv", "z_pkg.sv"]
    assert found.includes == [tmp_path]
