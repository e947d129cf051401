# SPDX-License-Identifier: Apache-2.0
"""What a bench says of a design that does not go on, from the registers inside."""

import re
from pathlib import Path

import pytest

from assay.golden.mvu.parameters import OUTPUT_FIFO_DEPTH
from assay.tb.accelerator.block import BLOCK as ACCELERATOR
from assay.tb.accelerator_host.block import BLOCK as HOST
from assay.tb.accelerator_host.state import HOST_STATES, READ_STATES, WRITE_STATES
from assay.tb.agents.inside import Inside
from assay.tb.block import Block
from assay.tb.mvu.block import BLOCK as MVU
from assay.tb.mvu.state import SEQUENCER, crossbar_waits, unit_waits
from assay.tb.mvu_array.block import BLOCK as ARRAY
from assay.tb.pe_array.block import BLOCK as PE_ARRAY
from assay.tb.pe_array.state import STATES, WEIGHT_STATES

RTL = Path(__file__).parents[2] / "rtl"


class FakeInside(Inside):
    """Variables by their paths."""

    def __init__(self, **values: int) -> None:
        self.values = {name.replace("__", "."): value for name, value in values.items()}

    def value(self, path: str) -> int | None:
        return self.values.get(path)


def unit(state: str, slots: int = OUTPUT_FIFO_DEPTH, **more: int) -> str:
    values = {
        "u__u_sequencer__state_q": SEQUENCER.index(state),
        "u__u_sequencer__remaining_q": 7,
        "u__u_sequencer__slots_q": slots,
        **{f"u__{name}": value for name, value in more.items()},
    }
    return unit_waits(FakeInside(**values), "u")


@pytest.mark.parametrize(
    ("state", "more", "words"),
    [
        ("Idle", {}, "no job has been handed over"),
        ("Idle", {"u_regs__pending_q": 1}, "it does not take the pending job; another job is pending"),
        ("Check", {}, "should have left this state"),
        ("Prime", {}, "the first window (mvu_window)"),
        (
            "Issue",
            {},
            "a grant of the data memory (bank_arbiter), or for the next window (mvu_window); 7 multiply",
        ),
        (
            "Issue",
            {"u_residual__running_q": 1, "u_residual__unclaimed_q": 0},
            "a residual value (mvu_residual)",
        ),
        ("Issue", {"slots": 0, "u_serialiser__u_blocks__count_q": 10}, "whose word is not taken"),
        ("Issue", {"slots": 0, "u_serialiser__u_blocks__count_q": 0}, "one was not given back"),
        (
            "Drain",
            {"slots": 8, "u_serialiser__u_blocks__count_q": 2},
            "2 output blocks before the serialiser",
        ),
        ("Drain", {"slots": 8, "u_serialiser__u_blocks__count_q": 0}, "(slots_q) is wrong"),
        ("Drain", {}, "pipeline behind it to be empty"),
    ],
)
def test_an_mvu_says_what_it_waits_for(state: str, more: dict[str, int], words: str) -> None:
    said = unit(state, **more)
    assert said.startswith(f"mvu_sequencer is in {state}: ")
    assert words in said


def test_nothing_is_said_where_nothing_can_be_seen() -> None:
    assert unit_waits(FakeInside(), "u") == ""
    assert crossbar_waits(FakeInside(), "x", 4) == ""
    assert FakeInside().states("dut", STATES) == ""


def test_a_word_that_waits_for_a_part_of_its_destinations_is_named() -> None:
    said = crossbar_waits(FakeInside(x__served_q=0b0110 << 8), "x", 4)
    assert said == "accelerator_crossbar: MVU 2's word has been taken by MVU 1 and 2 and is still offered"


def test_states_are_told_by_instance() -> None:
    inside = FakeInside(dut__u_write__state_q=2, dut__u_write__left_q=5, dut__u_read__state_q=0)
    assert inside.states("dut", HOST_STATES).splitlines() == [
        "u_write: accelerator_axi_write is in StData, beats of the burst behind this one 5",
        "u_read: accelerator_axi_read is in StIdle",
    ]


@pytest.mark.parametrize(
    ("file", "names"),
    [
        ("mvu/mvu_sequencer.sv", SEQUENCER),
        ("accelerator/accelerator_axi_write.sv", WRITE_STATES),
        ("accelerator/accelerator_axi_read.sv", READ_STATES),
        ("pe_array/pe_array_weights.sv", WEIGHT_STATES),
    ],
)
def test_states_have_the_names_of_the_rtl(file: str, names: tuple[str, ...]) -> None:
    text = re.sub(r"//[^\n]*", "", (RTL / file).read_text(encoding="utf-8"))
    body = re.search(r"typedef enum[^{]*\{([^}]*)\} state_e;", text)
    assert body is not None
    assert tuple(part.split("=")[0].strip() for part in body[1].split(",")) == names


@pytest.mark.parametrize("block", [MVU, ARRAY, ACCELERATOR, HOST, PE_ARRAY], ids=lambda block: block.name)
def test_what_is_read_inside_is_there(block: Block) -> None:
    files = {path.stem: path.read_text(encoding="utf-8") for path in block.source_files()}
    for module, names in block.inspect.items():
        for name in names:
            assert re.search(rf"\b(?:logic|state_e)\b[^;]*\b{name}\b[^;]*;", files[module]), (
                f"{module}.{name}"
            )


@pytest.mark.parametrize(
    ("states", "block"), [(HOST_STATES, HOST), (STATES, PE_ARRAY)], ids=["accelerator_host", "pe_array"]
)
def test_each_state_is_published(states: tuple, block: Block) -> None:
    published = {name for names in block.inspect.values() for name in names}
    assert {state.path.rpartition(".")[2] for state in states} <= published
