# SPDX-License-Identifier: Apache-2.0
"""The array's clocks: one MVU against `job_clocks`, contention against the crossbar's clock-by-clock model."""

import numpy as np
import pytest

from assay.golden import codegen
from assay.golden.accelerator.array import MvuArray, Program, RaceError
from assay.golden.accelerator.crossbar import Crossbar, Word, play
from assay.golden.formats import IntFormat
from assay.golden.mvu.agu import addresses
from assay.golden.mvu.clocks import DRAIN, FILL, PIPELINE, Recurrence, job_clocks
from assay.golden.mvu.functional import Configuration, cause_names, read_addresses
from assay.golden.mvu.jobs import Job, map_layer
from assay.golden.mvu.parameters import OUTPUT_LOOPS, RESIDUAL_FIFO_DEPTH, RESIDUAL_LOOPS, MvuParameters
from assay.golden.mvu.registers import BY_NAME, REGISTERS, encode
from assay.golden.network import Layer, Pool, Residual
from assay.golden.tests.codegen.networks import accelerator, random_network

PARAMS = MvuParameters(lanes=8, data_banks=8, bank_depth=256, weight_depth=256)
STATUS, COMMAND = BY_NAME["mvustatus"], BY_NAME["mvucommand"].address


def job(seed=0, dest=0, size=(3, 3), kernel=1, bits=(1, 1, 2), channels=8, outputs=8, **attributes) -> Job:
    rng = np.random.default_rng(seed)
    w, x, y = (IntFormat(n, False) for n in bits)
    pool, residual = attributes.pop("pool", None), attributes.pop("residual", None)
    bases = {"input_base": 0, "output_base": 1024, **attributes}
    if residual is not None:
        bases["residual_base"] = residual
        residual = Residual("r", IntFormat(2, False), 3)
    layer = Layer(
        name="conv",
        input="x",
        output="y",
        weight=rng.integers(0, w.max, (outputs, kernel, kernel, channels), endpoint=True),
        weight_format=w,
        input_format=x,
        output_format=y,
        multiplier=np.ones(outputs, np.int64),
        bias=np.zeros(outputs, np.int64),
        shift=1,
        pool=pool,
        residual=residual,
    )
    (made,) = map_layer(layer, size, PARAMS, dest=dest, **bases)
    return made


def check_touches(registers, params: MvuParameters) -> bool:
    """Words and banks of a job, one clock after the other, as docs/mvu.md has them; gives whether banks are shared."""
    words = encode(registers)
    program = Program(tuple(words.get(r.address, 0) for r in REGISTERS if r.address < STATUS.address), params)
    config = Configuration(registers)
    clocks = config.complete_outputs()
    inputs, _ = read_addresses(config, clocks, params)
    used, ahead = np.empty((2, 0), np.int64)
    if config.fields["mvuconfig1"]["residual"]:
        bits = config.format("residual").bits
        count = bits * (len(clocks) + RESIDUAL_FIFO_DEPTH)
        ahead = addresses(config.program("r", RESIDUAL_LOOPS), count, params.data_depth)
        used = ahead[: bits * len(clocks)]
        assert program.residual_banks == (ahead // params.bank_depth).tolist()
    assert set(np.flatnonzero(program.reads)) == set(inputs) | set(used)
    assert program.input_banks == (inputs // params.bank_depth).tolist()
    shared = bool(set(inputs // params.bank_depth) & set(ahead // params.bank_depth))
    assert program.shares_banks == shared
    count = len(clocks) // config.group_outputs * config.format("output").bits
    written = addresses(config.program("o", OUTPUT_LOOPS), count, params.data_depth)
    assert set(np.flatnonzero(program.writes)) == set(written)
    return shared


@pytest.mark.parametrize("seed", range(12))
def test_what_a_job_touches(seed):
    """Jobs of a random network, some of them with a residual anywhere in the memory."""
    network = random_network(seed)
    plan = codegen.plan(network, accelerator(3, bank_depth=64, data_banks=64), "distributed", folded=False)
    params, rng = plan.params.mvu, np.random.default_rng(seed)
    for step in (step for phase in plan.phases for steps in phase.steps for step in steps):
        registers = dict(step.job.registers)
        if step.job.residual is not None and rng.integers(2):
            registers["mvurbaseptr"] = {"value": int(rng.integers(params.data_depth))}
        check_touches(registers, params)


@pytest.mark.parametrize("bits", range(1, 5))
def test_values_across_the_end_of_a_bank(bits):
    """The input ends some words before, at or behind the end of bank 2, the residual begins in the next bank."""
    depth, columns = PARAMS.bank_depth, 5
    for beyond in range(-bits, bits + 1):
        first = 3 * depth - columns * bits + beyond
        made = job(bits=(1, bits, 1), size=(1, columns), input_base=first, residual=3 * depth + 17)
        assert check_touches(made.registers, PARAMS) == (beyond > 0)


def start(array: MvuArray, mvu: int, made: Job, clock: int) -> None:
    """Write a job's registers; its command is accepted in `clock`."""
    words = encode(made.registers)
    command = words.pop(COMMAND)
    array.advance(clock)
    for address, word in words.items():
        array.units[mvu].registers[address] = word
    array.access(mvu, True, COMMAND, command, clock, lambda *_: None)


def finish(array: MvuArray) -> None:
    while array.next < 1 << 60:
        array.advance(array.next)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"kernel": 2, "bits": (2, 2, 3)},
        {"bits": (1, 1, 5)},  # words are the bottleneck
        {"kernel": 3, "size": (6, 6), "pool": Pool((2, 2), (2, 2))},
        {"residual": 512, "outputs": 20},
    ],
)
def test_one_mvu(options):
    made = job(**options)
    array = MvuArray(1, PARAMS, functional=False)
    start(array, 0, made, 10)
    finish(array)
    (record,) = array.records
    clocks = job_clocks(made.registers)
    # Pending in the clock after the command, loaded there, busy from the next.
    assert record.start == 12
    assert record.end - record.start + 1 == clocks.total
    assert record.multiply == made.countdown and record.waited == 0
    assert record.stalls == clocks.total - (made.countdown + made.output.fmt.bits + 14)


def test_residual_in_the_input_s_bank():
    """Every residual word that comes first takes a clock of the input's, and none where the banks differ."""
    results = []
    for base in (512, 128):
        array = MvuArray(1, PARAMS, functional=False)
        start(array, 0, job(residual=base, bits=(2, 2, 2)), 0)
        finish(array)
        results.append(array.records[0].waited)
    assert results[0] == 0 < results[1]


@pytest.mark.parametrize("seed", range(12))
def test_contention(seed):
    """At most as many groups as the output FIFO holds: when words are offered depends on the crossbar alone."""
    rng = np.random.default_rng(seed)
    mvus = int(rng.integers(2, 9))
    array = MvuArray(mvus, PARAMS, functional=False)
    words, ends = [], []
    starts = np.cumsum(rng.integers(0, 8, mvus))
    for mvu in range(mvus):
        made = job(dest=int(rng.integers(1, 1 << mvus)), bits=(1, 1, int(rng.integers(1, 5))))
        config = Configuration(made.registers)
        recurrence = Recurrence(config.complete_outputs().tolist(), 1, 0)
        bits, base = made.output.fmt.bits, int(starts[mvu]) + 1 + FILL
        offered = [base + recurrence.issue(0) + PIPELINE for _ in range(9)]
        dest = made.registers["mvuobaseptr"]["dest"]
        words.append([(clock, Word(dest, n)) for n, clock in enumerate(np.repeat(offered, bits).tolist())])
        start(array, mvu, made, int(starts[mvu]))
    finish(array)
    _, taken = play(Crossbar(mvus), words)
    for record in array.records:
        ends.append(record.end)
        assert record.end == taken[record.mvu][-1] + DRAIN
    assert ends == sorted(ends) and len(ends) == mvus


def test_back_pressure_reaches_the_issue():
    """Eight MVUs send every word to all: together they take a clock for each word, whatever they multiply."""
    array = MvuArray(8, PARAMS, functional=False)
    made = job(dest=0xFF, size=(10, 10))
    for mvu in range(8):
        start(array, mvu, made, mvu)
    finish(array)
    total = 8 * made.output_words
    assert total < array.records[-1].end < total + 40
    assert all(record.waited > 0 for record in array.records)


def test_own_words_and_the_crossbar_s_take_turns():
    """Into one bank each delays the other, into two neither."""
    results = []
    for base in (1024, 1280):
        array = MvuArray(2, PARAMS, functional=False)
        start(array, 0, job(bits=(1, 1, 4)), 0)
        start(array, 1, job(bits=(1, 1, 4), dest=1, output_base=base), 0)
        finish(array)
        results.append(sum(record.waited for record in array.records))
    assert results[1] == 0 and results[0] >= 36


def test_words_and_memories():
    """A job's words are in all its destinations, and the next job of a destination reads them."""
    array = MvuArray(2, PARAMS)
    first = job(0, dest=0b11)
    second = job(1, input_base=1024, output_base=256, bits=(2, 2, 3))
    x = np.random.default_rng(2).integers(0, 2, (3, 3, 8))
    first.load(array.units[0].memories, x)
    start(array, 0, first, 0)
    finish(array)
    assert np.array_equal(array.units[0].memories.data[1024:1042], array.units[1].memories.data[1024:1042])
    array.units[1].memories.weights[: len(second.weights)] = second.weights
    array.units[1].memories.scaler[:1] = second.scaler
    start(array, 1, second, 500)
    finish(array)
    record = array.records[1]
    assert record.result.address.tolist() == list(range(256, 256 + 27))
    weights = [j.weights for j in (first, second)]
    assert all(len(w) for w in weights) and record.result.values.any()


def test_jobs_follow_each_other():
    """A second job waits in the registers, further writes wait for it, status tells."""
    array, accepted = MvuArray(1, PARAMS, functional=False), []
    first = job(size=(6, 6))
    start(array, 0, first, 0)
    start(array, 0, job(), 20)
    array.access(0, True, 0, 5, 30, lambda clock, word: accepted.append(clock))
    assert not accepted
    array.advance(31)
    array.access(0, False, STATUS.address, 0, 31, lambda clock, word: accepted.append(STATUS.decode(word)))
    assert accepted.pop() == {"busy": 1, "done": 0, "error": 0, "pending": 1, "jobs": 0, "cause": 0}
    finish(array)
    one, two = array.records
    assert two.start == one.end + 2  # done and load in the clock between
    assert accepted == [two.start]
    assert array.units[0].irq and array.units[0].jobs == 2
    array.access(0, True, STATUS.address, STATUS.field("done").mask, two.end + 5, lambda *_: None)
    assert not array.units[0].irq


def test_illegal_job():
    made = job()
    made.registers["mvuprecision"]["weight"] = 0
    array = MvuArray(1, PARAMS)
    start(array, 0, made, 0)
    finish(array)
    (record,) = array.records
    assert (record.start, record.end) == (2, 2) and record.multiply == 0
    assert "weight_precision" in cause_names(record.causes)
    assert array.units[0].error and array.units[0].cause == record.causes


@pytest.mark.parametrize(
    "other, message",
    [
        ({"dest": 0b01, "output_base": 0}, "MVU 1 job 0 writes word 0 of MVU 0 .* that MVU 0 job 0 reads"),
        ({"dest": 0b10, "output_base": 1024}, None),
        ({"dest": 0b01, "output_base": 1024}, "MVU 1 job 0 writes word 1024 of MVU 0 .* MVU 0 job 0 writes"),
        ({"input_base": 1030, "output_base": 512}, None),
    ],
)
def test_races(other, message):
    array = MvuArray(2, PARAMS)
    start(array, 0, job(size=(6, 6)), 0)
    start(array, 1, job(**other), 3)
    if message is None:
        finish(array)
    else:
        with pytest.raises(RaceError, match=message):
            finish(array)


def test_race_of_a_reader():
    array = MvuArray(2, PARAMS)
    start(array, 0, job(size=(6, 6), dest=0b10), 0)
    start(array, 1, job(input_base=1030, output_base=512), 3)
    with pytest.raises(RaceError, match="MVU 1 job 0 reads word 1030 of MVU 1"):
        finish(array)


def test_registers_keep_what_they_can():
    array, read = MvuArray(1, PARAMS), []
    register = BY_NAME["mvuquant"]
    array.access(0, True, register.address, 0xFFFF_FFFF, 0, lambda *_: None)
    array.access(0, False, register.address, 0, 1, lambda clock, word: read.append(word))
    array.access(0, False, 200, 0, 2, lambda clock, word: read.append(word))
    assert read == [register.write_mask, 0]
