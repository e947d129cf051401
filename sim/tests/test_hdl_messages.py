# SPDX-License-Identifier: Apache-2.0
"""What the HDL says in a simulator's output, line by line as Verilator and Icarus print it."""

import pytest

from assay.sim.hdl_messages import HdlMessages
from assay.sim.tests.counter.block import BLOCK
from assay.tb.block import Block

PLACE = "sim/tests/counter/counter_tb.sv"
FULL = f"{BLOCK.root}/{PLACE}"


def read(*lines: str, block: Block = BLOCK) -> HdlMessages:
    said = HdlMessages(block)
    for line in lines:
        said.read(line)
    return said


@pytest.mark.parametrize(
    "lines",
    [
        (
            "[134665000] %Error: counter_tb.sv:41: Assertion failed in top.dut.u_a: ASSERT stays failed in top.dut.u_a "
            "at 134665 ns",
            f"-Info: {FULL}:41: Verilog $stop, ignored due to +verilator+error+limit",
        ),
        (
            f"ERROR: {FULL}:41: ASSERT stays failed in top.dut.u_a at 134665 ns",
            "       Time: 134665000 Scope: top.dut.u_a",
        ),
    ],
    ids=["verilator", "icarus"],
)
def test_an_assertion_is_told_once(lines: tuple[str, ...]) -> None:
    (error,) = read(*lines).errors
    assert (error.place, error.text, error.ns, error.scope) == (
        f"{PLACE}:41",
        "ASSERT stays failed",
        134665.0,
        "top.dut.u_a",
    )
    assert str(error) == (
        f"the HDL raised an error at 134,665 ns: {PLACE}:41: ASSERT stays failed\nin top.dut.u_a"
    )


def test_another_file_keeps_the_place_that_was_printed() -> None:
    (error,) = read("[5000] %Error: other.sv:3: broken").errors
    assert str(error) == "the HDL raised an error at 5 ns: other.sv:3: broken"


def test_a_stop_is_an_error_of_its_own() -> None:
    said = read(
        f"-Info: {FULL}:45: Verilog $stop, ignored due to +verilator+error+limit",
        f"-Info: {FULL}:45: Verilog $stop, ignored due to +verilator+error+limit",
    )
    assert [str(error) for error in said.errors] == [f"the HDL called $stop: {PLACE}:45"]
    stopped = read(
        "** VVP Stop(0) **", "** Flushing output streams.", "** Current simulation time is 30000 ticks."
    )
    (error,) = stopped.errors
    assert error.ns == 30
    assert error.place.startswith(f"{PLACE}:")


def test_who_ended_the_simulation() -> None:
    assert read(f"- {FULL}:43: Verilog $finish").why_it_ended() == [
        f"the HDL ended the simulation: {PLACE}:43: $finish"
    ]
    # The program's own end has no file; Icarus 11 prints nothing, so that the sources are named.
    (guess,) = read("- :0: Verilog $finish").why_it_ended()
    assert guess.startswith(f"the HDL ended the simulation, perhaps with this $finish: {PLACE}:")


def test_other_lines_say_nothing() -> None:
    assert not read("     0.00ns INFO     cocotb.regression  Running tests", "Time: 5 Scope: top").errors
