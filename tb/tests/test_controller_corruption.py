# SPDX-License-Identifier: Apache-2.0
"""Whatever a device shows, the lock-step scoreboard names what is wrong and does not fall over."""

from dataclasses import replace
from random import Random

import numpy as np
import pytest

from assay.golden.controller import memory_map
from assay.golden.controller.csrs import INTERRUPT_FLAG
from assay.golden.controller.instructions import INSTRUCTIONS, random_word
from assay.tb.controller.program_maker import random_program
from assay.tb.controller.trace import RECORD
from assay.tb.tests.test_controller_library import PARAMETERS, Trace, assert_alike, judged

#: Addresses at which decoders differ: the devices of harts there are and are not, the ends of the memories.
ADDRESSES = (
    *(
        base + offset
        for base in (memory_map.MSIP_BASE, memory_map.MTIMECMP_BASE)
        for offset in range(-4, 72, 4)
    ),
    *(memory_map.MTIME_BASE + offset for offset in (-4, 0, 4, 8)),
    *(memory_map.MVU_BASE + offset for offset in (-4, 0, 0x3FFC, 0x4000)),
    memory_map.IMEM_BASE - 4,
    memory_map.IMEM_BASE,
    memory_map.IMEM_BASE + 4 * PARAMETERS.imem_words,
    memory_map.IMEM_BASE + 4 * (PARAMETERS.imem_words + PARAMETERS.dmem_words),
    0,
    0xFFFF_FFFC,
)


def anything(random, name):
    """Any value of a field, at its ends and where something is indexed by it more often."""
    bits = 8 * RECORD[name].itemsize
    values = [random.getrandbits(bits), random.getrandbits(4), 0, (1 << bits) - 1]
    if bits == 32:
        values += [random.choice(ADDRESSES), INTERRUPT_FLAG | random.getrandbits(5)]
        values.append(random_word(random.choice(INSTRUCTIONS), random))
    return random.choice(values)


def altered(random, trace):
    """Records and clocks, differently wrong: fields of one or several, records lost, twice, in another order."""
    records, clocks = trace.records.copy(), trace.clocks.copy()
    at = random.randrange(len(records) - 8)
    match random.randrange(6):
        case 0 | 1:
            for name in random.sample(RECORD.names, random.randint(1, 4)):
                records[name][at] = anything(random, name)
        case 2:  # of a hart there is not, or of another, from here on
            records["hart"][at:] = random.randrange(256)
        case 3:
            records[at:-1] = records[at + 1 :].copy()
        case 4:
            mine = np.flatnonzero(records["hart"] == records["hart"][at])
            first = random.randrange(len(mine) - 1)
            records[mine[first : first + 2]] = records[mine[[first + 1, first]]]
        case _:  # a store to a device that the program did not make, as a wrong decoder shows it
            at = next((i for i in range(at, len(records)) if records["mem_wmask"][i]), at)
            records["mem_addr"][at] = random.choice(ADDRESSES)
            records["mem_wmask"][at] = random.choice((1, 3, 15))
            records["trap"][at] = random.getrandbits(1)
    if random.random() < 0.2:
        clocks[at:] += np.uint32(random.choice((1, 3, 200, 50_000)))
    return records, clocks


@pytest.mark.parametrize("kind", ["mixed", "compares", "bus_interrupts"])
def test_any_record_is_judged(compiled, kind):
    """Random records in place of right ones: always a named difference, the same with and without the library."""
    trace = Trace(random_program(7, PARAMETERS, kind=kind, length=400), 7, limit=500)
    right = trace.clocks
    assert not judged(trace, trace.records, None)["mismatches"]
    random = Random(kind)
    for number in range(20):
        records, trace.clocks = altered(random, trace)
        wrong = (records != trace.records).any()
        seen = assert_alike(trace, records, compiled)
        trace.clocks = right
        assert seen["mismatches"] or not wrong, number
        for mismatch in seen["mismatches"]:
            assert mismatch.message.startswith("hart "), (number, mismatch)


def test_any_access_is_judged(compiled):
    """Accesses on the bus that are missing, twice, of another hart or with other fields are named."""
    trace = Trace(random_program(3, PARAMETERS, kind="mvu", length=400), 3, limit=600)
    right = trace.accesses
    random = Random(5)
    for number in range(20):
        lists = [list(batch) for batch in right]
        batch = next(batch for batch in random.sample(lists, len(lists)) if batch)
        at = random.randrange(len(batch))
        access = batch[at]
        match random.randrange(4):
            case 0:
                del batch[at]
            case 1:
                batch.insert(at, access)
            case 2:
                batch[at] = replace(access, hart=1 - access.hart)
            case _:
                change = random.choice(
                    [
                        {"mvu": 15 - access.mvu},
                        {"register": access.register ^ 128},
                        {"write": not access.write},
                    ]
                )
                batch[at] = replace(access, **change)
        trace.accesses = lists
        seen = assert_alike(trace, trace.records, compiled)
        assert seen["mismatches"], number
        assert "bus" in seen["mismatches"][0].message, seen["mismatches"][0]
    trace.accesses = right
