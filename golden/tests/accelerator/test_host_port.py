# SPDX-License-Identifier: Apache-2.0
"""The golden port against the sentences of docs/accelerator.md, and the stream against the whole transposer."""

from __future__ import annotations

import numpy as np
import pytest

from assay.golden.accelerator.host_port import (
    DECERR,
    FIXED,
    INCR,
    OKAY,
    SLVERR,
    Burst,
    HostPort,
    Kind,
    Operation,
    Request,
    SystemRegisters,
    find_window,
)
from assay.golden.accelerator.parameters import AcceleratorParameters
from assay.golden.accelerator.registers import (
    BY_NAME,
    SYSTEM_UNIT,
    WINDOW_BY_NAME,
    data_address,
    parameter_address,
    register_address,
    system_address,
)
from assay.golden.accelerator.transposer import Transposer, TransposerStream
from assay.golden.formats import IntFormat

PARAMS = AcceleratorParameters.of_rtl({"Mvus": 3, "Lanes": 8, "DataBanks": 4, "BankDepth": 64})
PORT = HostPort(PARAMS)
WRAP = 2


def burst(address: int, beats: int = 1, size: int = 3, kind: int = INCR, load: int = 0) -> Burst:
    return Burst(Request(0, address, beats, size, kind), find_window(address), load)


@pytest.mark.parametrize(
    ("given", "number", "expected"),
    [
        (burst(0x0300_0000), 0, DECERR),
        (burst(data_address(0, 0), kind=WRAP), 0, SLVERR),
        (burst(data_address(0, 0) + 4), 0, SLVERR),
        (burst(data_address(0, 0), size=2), 0, SLVERR),
        (burst(data_address(0, 255), 2), 1, SLVERR),
        (burst(data_address(3, 0)), 0, SLVERR),
        (burst(data_address(2, 255)), 0, OKAY),
        (burst(WINDOW_BY_NAME["controller"].base + 248, 2), 1, DECERR),
        (burst(WINDOW_BY_NAME["controller"].base + 255, 3, size=0), 0, SLVERR),
        (burst(WINDOW_BY_NAME["controller"].base + 255, 3, size=0), 1, DECERR),
        (burst(WINDOW_BY_NAME["weights"].base), 0, SLVERR),
        (burst(register_address(3, 0), size=2), 0, SLVERR),
        (burst(WINDOW_BY_NAME["transposer"].base), 0, SLVERR),
    ],
)
def test_responses_of_reads(given: Burst, number: int, expected: int) -> None:
    beat = PORT.read_beat(given, number)
    assert beat.resp == expected
    assert expected == OKAY or not any(beat.operations)


def test_words_of_a_write_go_where_their_strobes_are() -> None:
    data = 0x1111_2222_3333_4444
    address = register_address(1, 6)
    lower, upper = (Operation(Kind.REGISTER, 1, 6 + h, True, data >> 32 * h & 0xFFFFFFFF) for h in (0, 1))
    for strobes, expected in ((0xFF, (lower, upper)), (0x0F, (lower,)), (0xF0, (upper,)), (0, ())):
        assert PORT.write_beat(burst(address), 0, data, strobes) == (OKAY, expected, False)
    for strobes in (0x01, 0x7F, 0xFE):
        assert PORT.write_beat(burst(address), 0, data, strobes).resp == SLVERR
    # A beat of 4 bytes has one half only, and a data memory whole beats only.
    assert PORT.write_beat(burst(address, size=2), 0, data, 0xF0).resp == SLVERR
    assert PORT.write_beat(burst(data_address(0, 0)), 0, data, 0x0F).resp == SLVERR


@pytest.mark.parametrize("size", range(8))
def test_an_incrementing_burst_steps_by_the_beat_s_bytes(size: int) -> None:
    """Address_N = Start_Address + (N - 1) * Number_Bytes, of an aligned start: AXI4's definition (A3.4.1)."""
    request = Request(0, 0x4000_0000, 4, size, INCR)
    number_bytes = 2**size
    assert [request.beat_address(n) - 0x4000_0000 for n in range(4)] == [n * number_bytes for n in range(4)]


def test_a_fixed_burst_stays() -> None:
    given = burst(data_address(1, 7), 3, kind=FIXED)
    assert {PORT.read_beat(given, n).operations for n in range(3)} == {(Operation(Kind.MEMORY, 1, 7, False),)}


def test_parameters_go_to_all_that_are_named() -> None:
    beat = PORT.write_beat(burst(parameter_address(2, 5, 3, 8), load=0b101), 0, 0x1_2345_6789, 0xFF)
    assert beat.operations == tuple(Operation(Kind.PARAMETER, m, 5, True, 0x2345_6789, 2, 3) for m in (0, 2))
    assert PORT.write_beat(burst(parameter_address(2, 5, 3, 8)), 0, 0, 0xFF).resp == SLVERR


def test_system_registers() -> None:
    registers = SystemRegisters(PARAMS)
    address = {name: register.address for name, register in BY_NAME.items()}
    registers.write(address["irq_enable"], 0xFF, host=True)
    assert registers.values["irq_enable"] == 0b111 and not registers.interrupt
    for hart in range(3):
        registers.write(address["finished"], 1 << hart, host=False)
    assert registers.interrupt
    registers.write(address["finished"], 0b010, host=True)
    assert registers.values["finished"] == 0b101 and not registers.interrupt
    registers.write(address["failed"], 0b1000, host=False)
    assert not registers.interrupt
    registers.write(address["id"], 0, host=True)
    assert registers.read(address["id"], 0, 0) == registers.values["id"] != 0
    assert registers.read(0xFF, 0, 0) == 0
    assert system_address("id") == WINDOW_BY_NAME["system"].base and SYSTEM_UNIT == 15


@pytest.mark.parametrize("element", [2, 4, 8, 16])
@pytest.mark.parametrize("channels", [1, 8, 9, 13, 24])  # the last block of 9 has fewer beats than the others
@pytest.mark.parametrize("signed", [False, True])
def test_the_stream_is_the_transposer(element: int, channels: int, signed: bool) -> None:
    """Beat by beat the same words and beats as for the whole tensor."""
    rng = np.random.default_rng(element * channels)
    lanes, bits = 8, int(rng.integers(1, element + 1))
    whole = Transposer(element, IntFormat(bits, signed), channels, lanes)
    beats = whole.beats(rng.integers(0, 1 << element, (5, channels)))
    words = whole.words(beats)
    stream = TransposerStream(lanes, 2)
    stream.start(element, (bits, signed), channels, 0xFFFE, 1, 1)
    assert stream.writable and stream.readable
    made = [each for beat in beats.tolist() for each in stream.write(beat)]
    assert [word for _, word in made] == words.reshape(-1).tolist()
    assert [address for address, _ in made] == [(0xFFFE + n) % 0x10000 for n in range(len(words))]
    memory = dict(made)
    stream.start(element, (bits, signed), channels, 0xFFFE, 1, 1)
    read = []
    for count in (1, len(beats) - 1):
        addresses = stream.wants(count)
        for address in addresses:
            stream.fetched(memory[address])
        read += [stream.read() for _ in range(count)]
    assert read == whole.beats_of_words(words).tolist()
    assert not stream.fetching


def test_who_may_be_read_and_written() -> None:
    """An MVU that is there is read, and a mask with any is written."""
    fresh = TransposerStream(8, 2)
    assert not (fresh.started or fresh.writable or fresh.readable)
    for mvus in (1, 2, 3):
        for read_mvu in range(5):
            for write_mvus in range(4):
                stream = TransposerStream(8, mvus)
                stream.start(8, (8, False), 8, 0, write_mvus, read_mvu)
                assert stream.readable == (read_mvu < mvus) and stream.writable == (write_mvus > 0)


def test_starts_that_are_not_legal() -> None:
    for element, bits, channels in ((3, 1, 1), (8, 9, 1), (8, 0, 1), (8, 8, 0), (31, 31, 1)):
        stream = TransposerStream(8, 2)
        stream.start(element, (bits, False), channels, 0, 1, 0)
        assert not stream.started and not stream.writable and not stream.readable
