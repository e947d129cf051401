# SPDX-License-Identifier: Apache-2.0
"""Random programs end, for every kind and size; shrinking keeps the failure and loses the rest. On random programs the
fast simulator is the readable one."""

import pytest

from assay.golden.controller.instructions import decode
from assay.golden.controller.memory_map import IMEM_BASE
from assay.golden.controller.parameters import ControllerParameters
from assay.golden.errors import ConfigurationError
from assay.golden.tests.controller.test_iss import state
from assay.tb.controller.program_maker import KINDS, random_program
from assay.tb.controller.shrink import identity, passes
from assay.tb.shrinking import Search

SMALL = ControllerParameters(harts=2, imem_words=1024, dmem_words=256)
LIMIT = 100_000


def run(program, bus=None):
    iss = program.start(bus)
    iss.run(LIMIT)
    return iss


@pytest.mark.parametrize("parameters", [ControllerParameters(mul_div=1), SMALL], ids=["8", "2"])
@pytest.mark.parametrize("kind", KINDS)
def test_programs_end(kind, parameters):
    for seed in range(3):
        program = random_program(seed, parameters, kind=kind, length=1500, reserve=16 * (seed & 1))
        iss = run(program)
        assert iss.exit_code == 1
        assert sum(hart.retired for hart in iss.harts) > program.length // 2


@pytest.mark.parametrize("kind", ["mixed", "csr", "interrupts", "self_modifying"])
def test_run_is_the_readable_run(kind):
    program = random_program(11, ControllerParameters(harts=3, mul_div=1), length=600, kind=kind)
    fast, readable = program.start(), program.start()
    while fast.exit_code is None:
        assert fast.run(100) == readable.run(100, readable=True)
        assert state(fast) == state(readable)


def test_same_seed_same_program():
    first, again, other = (random_program(seed, SMALL) for seed in (4, 4, 5))
    assert first.words() == again.words() != other.words()


def test_reserved_words_are_not_touched():
    parameters = ControllerParameters()
    for seed in range(3):
        iss = run(random_program(seed, parameters, reserve=16))
        assert not any(iss.words[-16:])


def test_bus_answers():
    """With a bus that answers, MVU registers are read and written."""
    seen = []

    def bus(hart, write, mvu, register, wdata):
        seen.append((hart, write, mvu))
        return 5, False

    assert run(random_program(1, SMALL, kind="mvu", length=600), bus).exit_code == 1
    assert {write for _, write, _ in seen} == {False, True}


def test_every_instruction_and_trap_is_made():
    names, causes = set(), set()
    for seed in range(4):
        program = random_program(seed, ControllerParameters(harts=2, mul_div=1), length=3000, kind="mixed")
        iss = program.start()
        step = iss.step

        def record(hart, step=step):
            seen = step(hart)
            decoded = decode(seen.insn)
            names.add(decoded.instruction.name if decoded else "illegal")
            if seen.trap or seen.intr:
                causes.add(seen.cause)
            return seen

        iss.step = record
        iss.run(LIMIT, readable=True)
    assert len(names) >= 55
    assert causes >= {0, 1, 2, 3, 4, 5, 6, 7, 11, 0x8000_0003}


def test_refusals():
    with pytest.raises(ConfigurationError, match="harts = 256: must be a mask from 1 to 255"):
        random_program(0, harts=256)
    with pytest.raises(ConfigurationError, match="kind storm: must be one of mixed"):
        random_program(0, kind="storm")


def _retires(name, hart):
    """A stand-in for a bug: fails when `hart` retires instruction `name` with a result that is odd."""

    def fails(program):
        iss = program.start()
        found = False
        step = iss.step

        def watch(number):
            nonlocal found
            seen = step(number)
            decoded = decode(seen.insn)
            found |= bool(
                number == hart and decoded and decoded.instruction.name == name and seen.rd_wdata & 1
            )
            return seen

        iss.step = watch
        iss.run(20_000, readable=True)
        assert iss.exit_code == 1, "a shrunk program does not end"
        return found

    return fails


@pytest.mark.parametrize("name", ["sra", "slt", "lbu"])
def test_shrink(name):
    fails = _retires(name, 1)
    program = next(filter(fails, (random_program(seed, SMALL, length=500) for seed in range(20))))
    steps = []
    search = Search(program, fails, identity, lambda search: search.tried >= 500, steps.append)
    short = search.run(passes())
    assert fails(short)
    # Hart 1 may need what the other one stored.
    assert short.harts in (2, 3)
    assert short.length <= 16
    assert steps[-1] == short
    assert f"{IMEM_BASE:08x}" in short.listing()
