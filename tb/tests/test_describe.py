# SPDX-License-Identifier: Apache-2.0
"""Beats in words, for the waves and the page of a failure."""

from __future__ import annotations

import pytest

from assay.tb.agents.axi import channel_formats
from assay.tb.agents.describe import AXI
from assay.tb.controller.describe import retired
from assay.tb.controller.trace import FIELDS
from assay.tb.debug import AT, Axis, find_output, in_layer


def retirement(**fields: int) -> dict[str, int]:
    return {**dict.fromkeys(dict(FIELDS), 0), **fields}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"rd_addr": 6, "rd_wdata": 0x1B, "insn": 0x01B00313}, "0x00000080 addi t1, zero, 27; t1 = 0x1b"),
        (
            {"mem_wmask": 15, "mem_addr": 0x4000, "mem_wdata": 7, "insn": 0x00652023},
            "0x00000080 sw t1, 0(a0); [0x4000] = 0x7",
        ),
        (
            {"mem_rmask": 15, "mem_addr": 0x4000, "rd_addr": 6, "rd_wdata": 9, "insn": 0x00052303},
            "0x00000080 lw t1, 0(a0); t1 = 0x9 from [0x4000]",
        ),
        ({"trap": 1, "pc_wdata": 0x200, "insn": 0x00000073}, "0x00000080 ecall: traps, to 0x00000200"),
        ({"intr": 1, "insn": 0x00000013}, "(interrupted) 0x00000080 addi zero, zero, 0"),
    ],
)
def test_retirements(fields: dict[str, int], said: str) -> None:
    assert retired(retirement(hart=2, pc_rdata=0x80, **fields)) == ("hart 2", said)


def test_axi_transfers_have_words_for_every_channel() -> None:
    formats = channel_formats()
    assert set(AXI) == set(formats)
    for channel, beat_format in formats.items():
        for fill in (0, 1):
            fields = {name: (1 << bits) - 1 if fill else 0 for name, bits in beat_format.fields.items()}
            track, said = AXI[channel](fields)
            assert track == "AXI port"
            assert said
    write = {"addr": 0x1000, "len": 3, "size": 2, "burst": 1, "id": 5}
    assert AXI["aw"](write)[1] == "write 0x00001000: 4 x 4 bytes, INCR, id 5"
    assert AXI["b"]({"resp": 2, "id": 5})[1] == "write answered SLVERR, id 5"


# -------------------------------------------------------------------------------------------------
# Places that a user wants to see
# -------------------------------------------------------------------------------------------------
AXES = [Axis("row", 4, offset=2), Axis("column", 3), Axis("channel", 2, 8, offset=16)]
LANES = [Axis("channel", 8)]


def test_every_place_of_a_job_is_found() -> None:
    """Each value of the output, by its numbers, in the output that holds it."""
    for row in range(2, 6):
        for column in range(3):
            for channel in range(16, 32):
                wanted = {"row": str(row), "column": str(column), "channel": str(channel)}
                output = ((row - 2) * 3 + column) * 2 + (channel - 16) // 8
                assert find_output(wanted, "conv2", AXES, LANES) == output


@pytest.mark.parametrize(
    ("wanted", "output"),
    [
        ({"row": "3"}, 6),
        ({"channel": "31"}, 1),
        ({"layer": "conv2"}, 0),
        ({"layer": "conv"}, None),
        ({"row": "1"}, None),
        ({"row": "6"}, None),
        ({"channel": "32"}, None),
        ({"image": "0"}, None),
    ],
)
def test_first_output_that_fits(wanted: dict[str, str], output: int | None) -> None:
    assert find_output(wanted, "job 3 of MVU 0 (layer conv2, rows 2 to 5)", AXES, LANES) == output
    assert find_output(wanted, "conv2", [], LANES) is None


def test_layers_are_whole_words() -> None:
    assert in_layer({"layer": "conv2"}, "layer conv2, tile 0")
    assert in_layer({}, "anything")
    assert not in_layer({"layer": "conv2"}, "layer conv20, tile 0")
    assert not in_layer({"layer": "conv2"}, "layer my.conv2")
    assert AT == {}  # in a process that looks for nothing
