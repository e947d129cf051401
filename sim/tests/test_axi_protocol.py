# SPDX-License-Identifier: Apache-2.0
"""The rules of AXI4 in ``axi_protocol``: each is broken once and found under its name, and legal traffic breaks none.

The module is simulated alone: a scenario says, clock by clock, which of its inputs change.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from assay.sim.regression import require
from assay.sim.simulators import find_simulator
from assay.tb.block import AXI_PROTOCOL

SOURCE = Path(AXI_PROTOCOL).read_text(encoding="utf-8")
CHANNEL_RULES = (
    "valid_is_known",
    "ready_is_known",
    "stays_until_ready",
    "is_stable_until_ready",
    "not_valid_in_reset",
)

Clock = dict[str, str]

AW = {"awvalid": "1", "awready": "1"}
W = {"wvalid": "1", "wready": "1"}
LAST = {**W, "wlast": "1"}
B = {"bvalid": "1", "bready": "1"}
AR = {"arvalid": "1", "arready": "1"}
R = {"rvalid": "1", "rready": "1"}
RLAST = {**R, "rlast": "1"}

#: A burst in each direction, data before address, both answers held for a while.
LEGAL: list[Clock] = [
    {**W, "arvalid": "1", "arlen": "8'd1", "arid": "4'd3"},
    {**AW, "awlen": "8'd1", "awid": "4'd2", **AR, "arlen": "8'd1", "arid": "4'd3"},
    LAST,
    {"bvalid": "1", "bid": "4'd2", "rvalid": "1", "rid": "4'd3"},
    {"bvalid": "1", "bid": "4'd2", **R, "rid": "4'd3"},
    {**B, "bid": "4'd2", **RLAST, "rid": "4'd3"},
    {},
]


def _held(channel: str, second: Clock) -> list[Clock]:
    """A beat waits, then the clock `second`; answers have their requests."""
    before = {"b": [{**AW, **LAST}], "r": [{**AR, "arlen": "8'd1"}]}.get(channel, [])
    return [*before, {f"{channel}valid": "1"}, second]


def _payload(channel: str) -> str:
    return {"w": "wstrb", "b": "bresp", "r": "rresp"}.get(channel, f"{channel}addr")


CASES: dict[str, list[Clock]] = {
    "b_follows_the_last_beat_of_w": [{**AW, "awlen": "8'd1"}, W, B],
    "r_follows_ar": [{"arvalid": "1"}, RLAST],
    "r_last_with_the_last_beat": [{**AR, "arlen": "8'd1"}, RLAST],
    "w_last_with_the_last_beat": [{**AW, **W}],
    "ar_most_open": [AR] * 3,
    "aw_most_open": [AW] * 3,
    "w_most_open": [W] * 513,
    "b_is_not_exokay": [{**AW, **LAST}, {**B, "bresp": "2'd1"}],
    "r_is_not_exokay": [AR, {**RLAST, "rresp": "2'd1"}],
    "aw_is_known": [{"awvalid": "1", "awlen": "8'bx"}],
    "ar_is_known": [{"arvalid": "1", "arid": "4'bx"}],
    "w_is_known": [{"wvalid": "1", "wlast": "1'bx"}],
    "b_is_known": [{**AW, **LAST}, {"bvalid": "1", "bresp": "2'bx"}],
    "r_is_known": [AR, {"rvalid": "1", "rlast": "1", "rresp": "2'bx"}],
}
for _a in ("aw", "ar"):
    _valid = {f"{_a}valid": "1"}
    CASES |= {
        f"{_a}_burst_is_not_reserved": [{**_valid, f"{_a}burst": "2'd3"}],
        f"{_a}_size_fits_the_bus": [{**_valid, f"{_a}size": "3'd4"}],
        f"{_a}_fixed_has_16_beats_at_most": [{**_valid, f"{_a}burst": "2'd0", f"{_a}len": "8'd16"}],
        f"{_a}_wrap_has_2_4_8_16_beats": [{**_valid, f"{_a}burst": "2'd2", f"{_a}len": "8'd2"}],
        f"{_a}_wrap_is_aligned": [{**_valid, f"{_a}burst": "2'd2", f"{_a}len": "8'd1", f"{_a}addr": "32'd4"}],
        f"{_a}_stays_in_4_kbyte": [{**_valid, f"{_a}len": "8'd1", f"{_a}addr": "32'h1ff8"}],
    }
for _c in ("aw", "w", "b", "ar", "r"):
    _before = {"b": [{**AW, **LAST}], "r": [AR]}.get(_c, [])
    CASES |= {
        f"{_c}_valid_is_known": [{f"{_c}valid": "1'bx"}],
        f"{_c}_ready_is_known": [{f"{_c}ready": "1'bx"}],
        f"{_c}_stays_until_ready": _held(_c, {}),
        f"{_c}_is_stable_until_ready": _held(_c, {f"{_c}valid": "1", _payload(_c): "2"}),
        f"{_c}_not_valid_in_reset": [{"rst_n": "0"}, {"rst_n": "0", f"{_c}valid": "1"}, {"rst_n": "0"}],
    }


def _bench(clocks: list[Clock]) -> str:
    """A top that plays a scenario: inputs that a clock does not name have their values of rest."""
    ports = re.findall(r"^  input  logic (?:\[.*?\] )?\s*(\w+)_i,?$", SOURCE, re.MULTILINE)
    rest = dict.fromkeys(ports, "0") | {
        "legal": "1",
        "awsize": "3",
        "arsize": "3",
        "awburst": "1",
        "arburst": "1",
    }
    widths = {"addr": 32, "len": 8, "size": 3, "burst": 2, "id": 4, "data": 64, "strb": 8, "resp": 2}
    lines = ["module top;", "  logic clk = 0, rst_n = 0;"]
    inputs = [name for name in ports if name != "clk"]
    for name in inputs:
        width = next((w for end, w in widths.items() if name.endswith(end)), 1)
        lines.append(f"  logic [{width - 1}:0] {name} = {rest[name]};")
    connections = ", ".join(f".{name}_i({name})" for name in inputs)
    lines.append(f"  axi_protocol #(.MostOpen(2)) u_port (.clk_i(clk), .rst_ni(rst_n), {connections});")
    lines += ["  initial begin", "    repeat (2) #5 clk = ~clk;", "    rst_n = 1;"]
    lines.append("    repeat (2) #5 clk = ~clk;")
    for clock in clocks:
        values = {name: rest[name] for name in inputs} | {"rst_n": "1"} | clock
        lines += [f"    {name} = {value};" for name, value in values.items()]
        lines.append("    #5 clk = 1; #5 clk = 0;")
    return "\n".join([*lines, "    $finish;", "  end", "endmodule", ""])


def _failed(folder: Path, clocks: list[Clock]) -> list[str]:
    """The rules that a scenario breaks, in the order of their messages."""
    require("icarus")
    icarus = find_simulator("icarus").executable
    top = folder / "top.sv"
    top.write_text(_bench(clocks), encoding="utf-8")
    made = folder / "top.vvp"
    subprocess.run(
        [icarus, "-g2012", "-o", made, AXI_PROTOCOL, top], check=True, capture_output=True, timeout=60
    )
    ran = subprocess.run(
        [icarus.with_name("vvp"), "-n", made], check=False, capture_output=True, text=True, timeout=60
    )
    return re.findall(r"ASSERT axi_(\w+) failed", ran.stdout + ran.stderr)


def test_every_rule_has_a_case() -> None:
    rules = set(re.findall(r"`AXI_(?:RULE|REQUIRE)\((\w+),", SOURCE)) - {"Name"}
    rules = {rule for rule in rules if not rule.startswith("Name")}
    channels = re.findall(r"`AXI_CHANNEL\((\w+),", SOURCE)
    assert set(CASES) == rules | {f"{c}_{rule}" for c in channels if c != "Name" for rule in CHANNEL_RULES}


@pytest.mark.parametrize("rule", CASES)
def test_a_broken_rule_is_named(rule: str, tmp_path: Path) -> None:
    assert rule in _failed(tmp_path, CASES[rule])


def test_legal_traffic_breaks_none(tmp_path: Path) -> None:
    assert _failed(tmp_path, LEGAL) == []


def test_early_and_late_wlast_end_a_burst_where_requests_may_be_illegal(tmp_path: Path) -> None:
    """Without ``legal_i``: a burst of two beats ends with its early WLAST, one of one beat without any."""
    illegal = {"legal": "0"}
    clocks = [
        {**AW, "awlen": "8'd1", **LAST, **illegal},
        {**B, **illegal},
        {**AW, **W, **illegal},
        {**B, **illegal},
    ]
    assert _failed(tmp_path, clocks) == []
