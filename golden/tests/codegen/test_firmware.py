# SPDX-License-Identifier: Apache-2.0
"""Firmware: clang makes the same words, only what changed is written, faults are told, memories that are too small."""

import re
from dataclasses import replace

import numpy as np
import pytest

from assay import golden
from assay.golden.codegen.firmware import TRAP_JOB, TRAP_TRAP, firmware
from assay.golden.controller.memory_map import IMEM_BASE
from assay.golden.mvu.registers import BY_NAME
from assay.golden.tests.codegen.machine import DONE, ERROR, STATUS, Machine
from assay.golden.tests.codegen.networks import accelerator, random_network
from assay.golden.tests.controller.test_assembler import clang


@pytest.mark.parametrize("mapping", ["distributed", "pipelined"])
def test_clang_makes_the_same_words(mapping, tmp_path):
    params = accelerator(3)
    plan = golden.codegen.plan(random_network(2), params, mapping)
    made = clang(plan.firmware.source, tmp_path, IMEM_BASE + 4 * params.controller.imem_words)
    assert np.array_equal(made[".text"], plan.firmware.words)
    assert np.array_equal(made[".data"], plan.firmware.data)


def test_fixed_block():
    firmware = golden.codegen.plan(random_network(2), accelerator(3), "distributed").firmware
    at = IMEM_BASE + 4 * 8192
    block = {"phase": 0, "ended": 1, "current": 17, "trap": 33}
    assert {name: firmware.symbols[name] for name in block} == {name: at + 4 * w for name, w in block.items()}
    assert not firmware.data[: 33 + 64].any()
    assert firmware.symbols["start"] == IMEM_BASE


@pytest.mark.parametrize("mvus", [1, 2, 4, 5])
def test_harts_without_a_share_pass_on(mvus):
    """Any set of harts may have a share in an item; the others leave it out."""
    params = accelerator(mvus)
    plan = golden.codegen.plan(random_network(2), params, "distributed")
    step = replace(plan.phases[0].steps[0][0], waits=())
    for mask in range(1, 1 << mvus):
        shares = {h: [replace(step, mvu=h)] for h in range(mvus) if mask >> h & 1}
        source = firmware([[shares]], params, "shares").source
        asked = re.findall(r"li t0, (\d+)[^\n]*\n\s*and t0, t0, s3\n\s*beqz t0, item_0_end", source)
        assert asked == ([] if mask == (1 << mvus) - 1 else [str(mask)])


def test_only_what_changed_is_written():
    """A second layer like the first writes its pointers, not its loops."""
    source = golden.codegen.plan(random_network(2, layers=1), accelerator(1), "pipelined").firmware.source
    first = set(re.findall(r"csrwi? (mvu\w+)", source))
    assert len(first) > 30
    network = random_network(2, layers=1)
    layer = network.layers[0]
    fmt = layer.output_format
    same = {
        "weight": np.ones((8, 3, 3, 8), int),
        "multiplier": np.ones(8, int),
        "bias": np.zeros(8, int),
        "groups": 1,
        "pool": None,
        "residual": None,
        "stride": (1, 1),
        "padding": (1, 1, 1, 1),
        "input_format": fmt,
        "weight_format": replace(fmt, bits=3),
    }
    layers = [replace(layer, name=f"c{n}", input=f"t{n}", output=f"t{n + 1}", **same) for n in range(2)]
    network = golden.network.Network("twice", "t0", (6, 6, 8), tuple(layers))
    source = golden.codegen.plan(network, accelerator(1), "distributed").firmware.source
    second = source[source.index("item_1:") : source.index("item_1_end:")]
    assert set(re.findall(r"csrwi? (mvu\w+)", second)) == {
        *(f"mvu{letter}baseptr" for letter in "wisbo"),
        "mvucommand",
    }


def test_only_mvucommand_and_configuration_while_a_job_runs():
    """Registers are written while jobs run: the machine refuses a command then, and counts the writes."""
    plan = golden.codegen.plan(random_network(5), accelerator(2), "distributed")
    machine = Machine(plan, 1)
    overlapped = 0
    bus = machine.bus

    def watched(hart, write, unit, register, wdata):
        nonlocal overlapped
        if write and unit == hart and register not in (STATUS, BY_NAME["mvucommand"].address):
            overlapped += machine.mvus[unit].running
        return bus(hart, write, unit, register, wdata)

    machine.iss.bus = watched
    low, high = plan.network.input_format.min, plan.network.input_format.max
    machine.run(np.random.default_rng(0).integers(low, high, plan.network.input_shape, endpoint=True))
    assert overlapped


def test_an_illegal_job_is_told():
    plan = golden.codegen.plan(random_network(5), accelerator(2), "distributed")
    machine = Machine(plan, 1)
    bus = machine.bus

    def broken(hart, write, unit, register, wdata):
        if write and hart == unit == 1 and register == BY_NAME["mvucommand"].address:
            machine.mvus[1].words[STATUS] |= ERROR | 5 << 16
            return 0, False
        return bus(hart, write, unit, register, wdata)

    machine.iss.bus = broken
    with pytest.raises(AssertionError, match="harts 10 failed"):
        machine.run(np.zeros(plan.network.input_shape, int))
    assert [machine.word("trap", 4 + k) for k in range(4)] == [TRAP_JOB, ERROR | 5 << 16, 0, 0]
    assert machine.word("ended", 1) == 0 and machine.word("current", 1) == 1


def test_a_trap_is_told():
    plan = golden.codegen.plan(random_network(5), accelerator(2), "distributed")
    machine = Machine(plan, 1)
    bus = machine.bus
    machine.iss.bus = lambda hart, write, unit, *rest: (
        (0, True) if unit == hart == 0 and write and rest[0] == 0 else bus(hart, write, unit, *rest)
    )
    with pytest.raises(AssertionError, match="harts 1 failed"):
        machine.run(np.zeros(plan.network.input_shape, int))
    kind, cause, epc, value = (machine.word("trap", k) for k in range(4))
    assert (kind, cause) == (TRAP_TRAP, 2)  # a bus error of a CSR is an illegal instruction
    assert machine.iss.words[(epc - IMEM_BASE) // 4] == value


def test_spurious_interrupts_do_no_harm():
    """mip.16 set at any time: a hart that wakes looks at mvustatus before it goes on."""
    plan = golden.codegen.plan(random_network(7), accelerator(3), "pipelined")
    machine = Machine(plan, 3)
    tick = machine._tick

    def storm():
        for hart in range(3):
            if machine.rng.random() < 0.2:
                machine.iss.set_mvu_interrupt(hart)
        tick()

    machine._tick = storm
    low, high = plan.network.input_format.min, plan.network.input_format.max
    x = np.random.default_rng(0).integers(low, high, plan.network.input_shape, endpoint=True)
    found = machine.run(x)
    output = plan.network.output
    (mvu,) = plan.places[output].mvus
    assert np.array_equal(found[output, mvu], plan.network.predict(x[None])[0])
    assert all(not mvu.words[STATUS] & DONE for mvu in machine.mvus)
