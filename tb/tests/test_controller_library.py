# SPDX-License-Identifier: Apache-2.0
"""The compiled half of the lock-step scoreboard says of any trace what Python says: the same verdict in the same words,
the same state, the same coverage."""

from collections import deque
from random import Random

import numpy as np
import pytest

from assay.golden.controller.parameters import ControllerParameters
from assay.golden.tests.controller.test_iss import state
from assay.tb.agents.burst import Beats
from assay.tb.controller.coverage import ControllerCoverage
from assay.tb.controller.lockstep import Lockstep
from assay.tb.controller.ports import BusAccess
from assay.tb.controller.program_maker import KINDS, random_program
from assay.tb.controller.timing import ISSUE
from assay.tb.controller.trace import RECORD, STATUS

PARAMETERS = ControllerParameters(harts=2, imem_words=4096, dmem_words=256, mul_div=1)
BURST = 512
PERIOD = 9  #: clocks from one retirement to the next, in which interrupts are decided


class Bus:
    """Answers of MVUs, kept as the scoreboard wants them."""

    latency = 0
    prompt = False
    clock = 0  #: of what is answered next

    def __init__(self, random, harts):
        self.random = random
        self.log = [deque() for _ in range(harts)]
        self.answers = []

    def answer(self, hart, write, mvu, register, wdata):
        rdata, error = self.random.getrandbits(32), self.random.random() < 0.1
        access = BusAccess(hart, write, mvu, register, wdata, rdata, error, self.clock)
        self.answers.append(access)
        return access.rdata, access.error


class Lines:
    """External interrupts."""

    def __init__(self, harts):
        self.pulses = [[] for _ in range(harts)]
        self.levels = [[(0, 0)] for _ in range(harts)]


class Trace:
    """The retirements of a program, as a device would give them, with plenty of clocks between them.

    Attributes:
        records: RECORD[n]; `clocks`: uint32[n].
        accesses: on the bus before each batch.
    """

    def __init__(self, program, seed, limit=6000):
        self.program = program
        random = Random(seed)
        harts = program.parameters.harts
        bus = Bus(random, harts)
        iss = program.start(bus.answer)
        self.lines = Lines(harts)
        rows, clocks, self.accesses, orders, clock = [], [], [], [0] * harts, 40
        while iss.exit_code is None and len(rows) < limit:
            if len(rows) % BURST == 0:
                self.accesses.append([])
            for hart in range(harts):
                clock += PERIOD
                if random.random() < 0.02:
                    level = 1 - self.lines.levels[hart][-1][1]
                    self.lines.levels[hart].append((clock - ISSUE - 5, level))
                    iss.set_external(hart, level)
                for late in (ISSUE + 5, ISSUE):
                    iss.clock = clock - late
                    number = iss.pending(hart)
                    if number is not None and late > ISSUE:
                        iss.take_interrupt(hart, number)
                        break
                    if number is not None:
                        clock += 8
                        iss.clock = clock - ISSUE - 5
                        iss.take_interrupt(hart, number)
                if iss.harts[hart].waiting and not iss.wakes(hart):
                    continue
                iss.clock = bus.clock = clock - 1
                rows.append((*iss.step(hart), orders[hart], STATUS))
                clocks.append(clock)
                self.accesses[-1] += bus.answers
                bus.answers = []
                orders[hart] += 1
        self.records = np.array(rows, RECORD)
        self.clocks = np.array(clocks, np.uint32)


def judged(trace, records, compiled):
    """What a scoreboard says of a trace."""
    mismatches = []
    program = trace.program
    bus = Bus(None, program.parameters.harts)
    coverage = ControllerCoverage(program.parameters, compiled)
    board = Lockstep(program.parameters, bus, trace.lines, coverage, mismatches.append, library=compiled)
    image = np.zeros(program.parameters.imem_words + program.parameters.dmem_words, np.uint32)
    words = program.words()
    image[: len(words)] = words
    board.load(image)
    board.tohost = program.tohost
    for hart in range(program.parameters.harts):
        board.start(hart, program.entry, 0)
    board.hold(~program.harts, 0)
    for number, first in enumerate(range(0, len(records), BURST)):
        for access in trace.accesses[number] if number < len(trace.accesses) else ():
            bus.log[access.hart].append(access)
        part = slice(first, first + BURST)
        payload = records[part].view(np.uint8).reshape(-1, RECORD.itemsize)
        board.write(Beats("trace", first, trace.clocks[part], payload))
    return {
        "mismatches": mismatches,
        "compared": board.beats_compared,
        "retired": board.retired,
        "taken": board.timing.taken,
        "ended": (board.exit_code, board.exited.is_set(), board.resting(program.harts), board.last_trap()),
        "state": state(board.iss),
        "harts": [{**vars(hart), "software": 0, "compare": 0, "mvu": 0} for hart in board.harts],
        "coverage": [group.as_json() for group in coverage.groups],
    }


def assert_alike(trace, records, compiled):
    expected, seen = (judged(trace, records, each) for each in (None, compiled))
    for name, value in expected.items():
        assert seen[name] == value, name
    return seen


@pytest.mark.parametrize("kind", KINDS)
def test_right_traces(compiled, kind):
    compared = 0
    for seed in range(2):
        trace = Trace(random_program(seed, PARAMETERS, kind=kind, length=1200), seed)
        seen = assert_alike(trace, trace.records, compiled)
        assert not seen["mismatches"]
        compared += seen["compared"]
    assert compared > 200


@pytest.mark.parametrize("kind", ["mixed", "mvu", "self_modifying"])
def test_wrong_traces(compiled, kind):
    """Any field of any record may be wrong."""
    trace = Trace(random_program(5, PARAMETERS, kind=kind, length=600), 5, limit=800)
    random = Random(1)
    names = RECORD.names
    messages = set()
    for number in range(2 * len(names)):
        records = trace.records.copy()
        name = names[number % len(names)]
        at = random.randrange(len(records)) if number else 0  # nothing at all is confirmed
        records[name][at] ^= 1 << random.randrange(8 * RECORD[name].itemsize)
        seen = assert_alike(trace, records, compiled)
        assert seen["mismatches"], (name, at)
        messages.add(seen["mismatches"][0].message)
    assert len(messages) > len(names)
