# SPDX-License-Identifier: Apache-2.0
"""Whom the bench blames for a wrong word: two units of eight lanes whose memories are arrays that a test spoils."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from assay.golden.formats import IntFormat
from assay.golden.mvu.functional import Configuration, Memories, post_process, run_job
from assay.golden.mvu.parameters import SCALER_WIDTH, MvuParameters
from assay.golden.mvu.reads import reads
from assay.tb.agents.burst import Beats
from assay.tb.mvu.cause import CauseFinder, Operands, Task, Traffic, Writer, first_addresses, suspect
from assay.tb.mvu.env import Expectation, OutputScoreboard, port_formats

PARAMS = MvuParameters(
    lanes=32, data_banks=2, bank_depth=64, weight_depth=16, channel_depth=4, acc_width=24, bias_width=16
)
TRC = port_formats(PARAMS)["trc"]
BYTES = PARAMS.lanes // 8
BASE = 40  #: where the words of the other unit lie
REGISTERS = {
    "mvuprecision": {"weight": 1, "input": 2, "output": 2, "output_signed": 1},
    "mvuquant": {"msb": 3, "round_half_up": 1, "saturate": 1},
    "mvuconfig1": {"acc_select": 0, "scaler_memory": 1, "bias_memory": 1},
    "mvuibaseptr": BASE,
    "mvuijump0": 2,
    "mvuilength1": 1,
    "mvuwlength1": 1,
    "mvusjump0": 0,
    "mvuobaseptr": {"value": 100},
    "mvuojump0": 1,
    "mvucommand": {"countdown": 8, "multiply_mode": 1},
}


class FakeInside:
    """The variables of a design whose memories are those of `hardware`."""

    def __init__(self, hardware: list[Memories] | None) -> None:
        self._hardware = hardware

    def words(self, path, index, depth, width):
        if self._hardware is None:
            return None
        unit, *rest = path.split(".")
        memory = self._hardware[int(unit[1:])]
        index = np.asarray(index)
        if rest[0] == "u_data_memory":
            bank = int(rest[1].removeprefix("gen_bank[").removesuffix("]"))
            assert depth == PARAMS.bank_depth
            return memory.data[bank * depth + index]
        name = rest[0].removeprefix("u_").removesuffix("_memory")
        if name == "weight":
            return memory.weights[index]
        assert SCALER_WIDTH == PARAMS.bias_width == 16

        return getattr(memory, name)[index].astype("<i2").view(np.uint8).reshape(len(index), -1)


@dataclass
class Bench:
    """Unit 0 has sent words to unit 1, which reads them in a job."""

    golden: list[Memories] = field(default_factory=list)
    hardware: list[Memories] = field(default_factory=list)
    writers: list[Writer] = field(default_factory=list)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(5)
        zero = Memories.zeros(PARAMS)
        self.golden = [
            Memories(
                rng.integers(0, 256, zero.data.shape, np.uint8),
                rng.integers(0, 256, zero.weights.shape, np.uint8),
                rng.integers(1, 99, zero.scaler.shape),
                rng.integers(-99, 99, zero.bias.shape),
            )
            for _ in range(2)
        ]
        self.hardware = [
            Memories(*(np.array(getattr(m, n)) for n in ("data", "weights", "scaler", "bias")))
            for m in self.golden
        ]
        self.writers = [
            Writer("the host: tensor x", None, "accelerator_transposer"),
            Writer("job 3 of MVU 0", 0, "accelerator_crossbar", 90),
            Writer("job 4 of MVU 1", 1, "accelerator_crossbar", 200),
        ]
        self.last = np.zeros((2, PARAMS.data_depth), np.int64)
        self.last[1, BASE : BASE + 8] = 1
        self.traffic = Traffic(TRC, 2, PARAMS.data_depth)
        self.send(0, self.golden[1].data[BASE : BASE + 8], BASE + np.arange(8), 2, 100)
        self.configuration = Configuration.of(REGISTERS)
        self.task = Task(1, self.configuration, 2, 200, "job 4 of MVU 1")

    def send(self, unit: int, data: np.ndarray, addresses: np.ndarray, dest: int, clock: int) -> None:
        payload = TRC.pack(data=data, addr=addresses, dest=dest)
        self.traffic.write(unit, Beats("trc", 0, (clock + np.arange(len(data))).astype(np.uint32), payload))

    def finder(self, blind: bool = False) -> CauseFinder:
        def look(unit, memory, index):
            words = getattr(self.golden[unit], memory)[index]
            return words, self.last[unit, index] if memory == "data" else np.full(len(index), -1)

        return CauseFinder(
            FakeInside(None if blind else self.hardware),
            ["u0", "u1"],
            PARAMS,
            look,
            lambda unit, number: self.writers[number],
            self.traffic,
            lambda clock: 10.0 * clock + 5,
            lambda unit, address: f"tensor y, word {address - BASE}" if address >= BASE else "",
        )

    def cause(self, group: int = 0):
        return self.finder().of_output(self.task, group)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_the_first_words_of_the_job_are_what_the_tests_spoil(bench: Bench) -> None:
    assert run_job(REGISTERS, bench.golden[1], PARAMS).causes == 0
    assert sorted(set(reads(REGISTERS, 1, PARAMS).input.tolist())) == [BASE + 2, BASE + 3]


def test_a_lost_word_is_the_crossbars(bench: Bench) -> None:
    bench.hardware[1].data[BASE + 2] = np.random.default_rng(9).integers(0, 256, BYTES)
    why = bench.cause(1)
    assert (
        why.cause
        == "accelerator_crossbar: MVU 0's word for address 42 of MVU 1 was lost or changed on its way"
    )
    golden, seen = (m[1].data[BASE + 2].tobytes()[::-1].hex() for m in (bench.golden, bench.hardware))
    assert why.reads == (
        "1 of 2 input words of this output are wrong, the first is address 42 of MVU 1 (tensor y, word 2): "
        f"expected 0x{golden}, memory 0x{seen}"
    )
    assert why.writer == "job 3 of MVU 0; the word left MVU 0 right at clock 102 (1,025 ns) for MVU 1"
    assert bench.cause(0).cause == "MVU 1 itself: what it had to read is right"


def test_a_word_at_another_address_is_found(bench: Bench) -> None:
    memory = bench.hardware[1].data
    memory[BASE + 3], memory[BASE + 2] = memory[BASE + 2].copy(), 0
    bench.last[1, BASE + 3] = 2  # what lies there is not looked at
    assert (
        bench.cause(1).cause
        == "accelerator_crossbar: MVU 0's word for address 42 of MVU 1 went to address 43 instead"
    )


def test_a_word_at_another_unit_is_found(bench: Bench) -> None:
    bench.hardware[0].data[BASE + 2] = bench.golden[1].data[BASE + 2]
    bench.hardware[1].data[BASE + 2] = 0
    assert (
        bench.cause(1).cause
        == "accelerator_crossbar: MVU 0's word for address 42 of MVU 1 went to MVU 0 instead"
    )


def test_a_changed_bit_is_named(bench: Bench) -> None:
    bench.hardware[1].data[BASE + 2, 1] ^= 4
    assert (
        bench.cause(1).cause
        == "accelerator_crossbar: MVU 0's word for address 42 of MVU 1 was changed in bit 10"
    )


def test_an_older_word_written_again_is_named(bench: Bench) -> None:
    old = np.random.default_rng(3).integers(0, 256, (1, BYTES), np.uint8)
    bench.send(0, old, np.array([BASE + 2]), 2, 50)
    bench.send(0, bench.golden[1].data[[BASE + 2]], np.array([BASE + 2]), 2, 102)
    bench.hardware[1].data[BASE + 2] = old[0]
    assert bench.cause(1).cause == (
        "accelerator_crossbar: address 42 of MVU 1 holds an older word, which left MVU 0 at clock 50: "
        "the newer one was lost, or the older one written again"
    )


def test_anothers_word_is_named(bench: Bench) -> None:
    bench.hardware[1].data[BASE + 2] = bench.golden[1].data[BASE + 7]
    assert "holds the word that MVU 0 sent to address 47 at clock 107" in bench.cause(1).cause


def test_the_hosts_word_is_the_transposers(bench: Bench) -> None:
    bench.last[1, BASE + 2] = 0
    bench.hardware[1].data[BASE + 2] = np.random.default_rng(9).integers(0, 256, BYTES)
    bench.traffic.clear()
    why = bench.cause(1)
    assert why.cause == "accelerator_transposer: address 42 of MVU 1 does not hold what was written"
    assert why.writer == "the host: tensor x"


def test_a_word_that_nobody_wrote_is_the_memorys(bench: Bench) -> None:
    bench.last[1, BASE + 2] = -1
    bench.traffic.clear()
    bench.hardware[1].data[BASE + 2, 0] ^= 1
    assert (
        bench.cause(1).cause
        == "the data memory of MVU 1: address 42 of MVU 1 changed, though nobody wrote it"
    )


def test_what_was_written_since_says_nothing(bench: Bench) -> None:
    bench.last[1, BASE + 2] = 2
    bench.hardware[1].data[BASE + 2] ^= 0xFF
    assert bench.cause(1).cause == "MVU 1 itself: what it had to read is right"


def test_a_word_that_was_sent_so_is_no_fault_of_the_way(bench: Bench) -> None:
    other = np.random.default_rng(8).integers(0, 256, (1, BYTES), np.uint8)
    bench.send(0, other, np.array([BASE + 2]), 2, 150)
    bench.hardware[1].data[BASE + 2] = other[0]
    assert bench.cause(1).cause == "MVU 1 itself: what it had to read is right"


def test_a_job_that_began_too_early_is_named(bench: Bench) -> None:
    bench.task = bench.task._replace(clock=101)
    why = bench.cause(1)
    assert why.cause == "order: the job began at clock 101, before MVU 0 had written what it reads"
    assert why.reads == "address 42 of MVU 1 (tensor y, word 2)"
    assert why.writer == "MVU 0, at clock 102 (1,025 ns)"


@pytest.mark.parametrize(("memory", "lane"), [("weights", 0), ("scaler", 3), ("bias", 3)])
def test_wrong_parameters_are_the_loads(bench: Bench, memory: str, lane: int) -> None:
    values = getattr(bench.hardware[1], memory)
    values[0, lane] ^= 1
    why = bench.cause(1)
    assert why.cause == (
        f"the load of parameters (prm_*): the {memory} memory of MVU 1 does not hold what was written there"
    )
    assert f"first in lane {lane}" in why.reads


def test_without_a_look_inside_nobody_is_blamed(bench: Bench) -> None:
    bench.hardware[1].data[BASE + 2] ^= 0xFF
    assert not any(bench.finder(blind=True).of_output(bench.task, 1))


def test_addresses_of_all_generators() -> None:
    made = first_addresses(Configuration.of(REGISTERS), PARAMS, 4)
    assert made == {
        "input": [40, 40, 42, 42],
        "weight": [0, 0, 0, 0],
        "scaler": [0] * 4,
        "bias": [0] * 4,
        "output": [100, 101, 102, 103],
    }


# -------------------------------------------------------------------------------------------------
# The scoreboard's words
# -------------------------------------------------------------------------------------------------
def spoiled(bench: Bench, spoil) -> dict[str, object]:
    """The failure of a scoreboard that expects the golden job's words and gets others."""
    result = run_job(REGISTERS, bench.golden[1], PARAMS)
    found = []
    board = OutputScoreboard("u1_trc", TRC, lanes=PARAMS.lanes, on_mismatch=found.append)
    board.causes = bench.finder()
    board.expect_job(Expectation.of(bench.task, result, lambda index: f"word {index} of the layer", TRC))
    seen = TRC.pack(data=result.data, addr=result.address, dest=result.dest)
    board.write(Beats("u1_trc", 0, np.arange(len(seen), dtype=np.uint32), spoil(seen.copy(), result)))
    board.conclude()
    (mismatch,) = found
    return mismatch.as_failure()


def test_a_wrong_step_of_the_post_processing_is_named(bench: Bench) -> None:
    def truncated(seen: np.ndarray, result) -> np.ndarray:
        values = post_process(
            result.accumulators,
            scaler=bench.golden[1].scaler[[0] * 4],
            bias=bench.golden[1].bias[[0] * 4],
            bias_shift=0,
            shift=2,
            output=IntFormat(2, True),
            round_half_up=False,
            saturate=True,
        )
        planes = np.stack([values >> 1 & 1, values & 1], axis=1).reshape(-1, PARAMS.lanes).astype(np.uint8)
        return TRC.pack(data=np.packbits(planes, axis=1, bitorder="little"), addr=result.address, dest=0)

    bench.golden[1].scaler[:] = 1  # small values, which do not saturate
    bench.golden[1].bias[:] = -30
    bench.hardware[1].scaler[:], bench.hardware[1].bias[:] = 1, -30
    failure = spoiled(bench, truncated)
    assert failure["cause"] == "mvu_post of MVU 1, as if it truncated and did not round"
    assert str(failure["headline"]).startswith("u1_trc, beat ")
    assert str(failure["headline"]).endswith(str(failure["cause"]))
    assert str(failure["reads"]).startswith("all right in the memories")
    for part in ("input u2 by weight u1", "plus bias -30 << 0", ">> 2, rounded half up, saturated"):
        assert part in str(failure["hint"])


def test_wrong_addresses_are_shown_beside_golden_ones(bench: Bench) -> None:
    def moved(seen: np.ndarray, result) -> np.ndarray:
        return TRC.pack(data=result.data, addr=result.address + np.array([0, 0, 0, 1, 1, 1, 1, 1]), dest=0)

    failure = spoiled(bench, moved)
    assert failure["cause"] == "mvu_serialiser of MVU 1 (its mvu_agu): words go to wrong addresses"
    assert str(failure["addresses"]).startswith(
        "output, from this word on: golden 103 104 105 106 107, seen 104 105 106 107 108; golden's first addresses: "
        "input 40 40 42 42 44 44; "
    )


def test_the_crossbar_is_blamed_by_the_scoreboard_of_its_reader(bench: Bench) -> None:
    bench.hardware[1].data[BASE + 2, 0] ^= 1

    def wrong(seen: np.ndarray, result) -> np.ndarray:
        seen[2, 0] ^= 1
        return seen

    failure = spoiled(bench, wrong)
    assert (
        failure["cause"] == "accelerator_crossbar: MVU 0's word for address 42 of MVU 1 was changed in bit 0"
    )
    assert failure["headline"] == failure["cause"]
    assert len(str(failure["headline"])) <= 89
    assert str(failure["message"]).endswith(f"; cause: {failure['cause']}")
    assert "as if" not in str(failure["hint"])


def test_a_stage_is_only_named_if_it_explains_every_lane() -> None:
    configuration = Configuration.of(REGISTERS)
    sums = np.arange(32, dtype=np.int64)[None] * 7 - 100
    operands = Operands(np.full(32, 3), np.full(32, 5), None)
    right = post_process(
        sums,
        scaler=operands.scaler[None],
        bias=operands.bias[None],
        bias_shift=0,
        shift=2,
        output=IntFormat(2, True),
        round_half_up=True,
        saturate=True,
        relu=True,
    )[0]
    assert suspect(configuration, sums, operands, right) == ("mvu_post", "ReLU were on")
    same = post_process(
        sums,
        scaler=operands.scaler[None],
        bias=operands.bias[None],
        bias_shift=0,
        shift=2,
        output=IntFormat(2, True),
        round_half_up=True,
        saturate=True,
    )[0]
    assert suspect(configuration, sums, operands, same) == ("", "")
    right[3] ^= 1
    assert suspect(configuration, sums, operands, right) == ("", "")
