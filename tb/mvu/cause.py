# SPDX-License-Identifier: Apache-2.0
"""Why a word that an MVU has written is wrong: what it read is looked at first, then the unit itself.

A word is made of words of the data memory and of parameters. `CauseFinder` compares those of the wrong word, as the
hardware's memories hold them now, with the golden MVU's. Where one differs, somebody has not written it right: its
writer is named, with its last word on the way there. Where all are right, the fault is in the unit.

Nothing here happens before a difference has been found: until then a bench only keeps references to what passed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from assay.golden.mvu.agu import addresses
from assay.golden.mvu.functional import Configuration, pooled_sums, post_process, tile_addresses
from assay.golden.mvu.layout import unpack_bits, values_of_planes
from assay.golden.mvu.parameters import (
    CHANNEL_LOOPS,
    OUTPUT_LOOPS,
    RESIDUAL_LOOPS,
    SCALER_WIDTH,
    MvuParameters,
)
from assay.golden.mvu.reads import Reads, reads
from assay.golden.operators import quantise
from assay.tb.agents.beat_format import BeatFormat
from assay.tb.agents.burst import Beats
from assay.tb.agents.inside import Inside
from assay.tb.scoreboard import Explanation

__all__ = ["CauseFinder", "GoldenMemory", "Task", "Traffic", "Word", "Writer", "first_addresses"]

CROSSBAR = "accelerator_crossbar"
_KEPT = 4096  #: batches of words that are remembered of each unit
_CHANCE = 4  #: more places than these that hold a word by mistake do so by chance
_LONG = 4  #: bytes of a word from which on two words are not alike by chance
_ADDRESSES = 6  #: of a generator that a message shows


class Writer(NamedTuple):
    """Somebody who has written words of data memories.

    Attributes:
        name: for messages.
        unit: MVU whose job it is; None: it comes from outside of the units.
        block: module on the way from there.
        clock: in which it began, as the bench counts; -1: unknown.
    """

    name: str
    unit: int | None
    block: str
    clock: int = -1


class Task(NamedTuple):
    """A job whose word is wrong.

    Attributes:
        unit: number of the MVU.
        configuration: its registers.
        number: of its writer.
        clock: in which it began; -1: unknown.
        name: for messages.
    """

    unit: int
    configuration: Configuration
    number: int
    clock: int = -1
    name: str = ""


class GoldenMemory(Protocol):
    """How the golden MVUs are asked."""

    def __call__(self, unit: int, memory: str, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Words or entries of a memory of `golden.mvu.functional.Memories` as they are now, with the number of each
        one's last writer (-1: nobody)."""


class Word(NamedTuple):
    """A word on its way out of a unit."""

    unit: int
    dest: int
    address: int
    data: bytes
    clock: int


class Traffic:
    """The last words that left units.

    Args:
        trc: payload of the units' traces.
        units: how many there are.
        depth: words of a data memory.
    """

    def __init__(self, trc: BeatFormat, units: int, depth: int) -> None:
        self._trc = trc
        self._depth = depth
        self._bytes = trc.fields["data"] // 8
        self._batches: list[deque[Beats]] = [deque(maxlen=_KEPT) for _ in range(units)]

    def write(self, unit: int, beats: Beats) -> None:
        """Words that have left a unit, in order."""
        self._batches[unit].append(beats)

    def clear(self) -> None:
        """A reset: the clocks begin again."""
        for batches in self._batches:
            batches.clear()

    def last_to(self, unit: int, address: int) -> Word | None:
        """The last word to an address of a unit's data memory."""

        def hits(source: int, fields: dict[str, np.ndarray]) -> np.ndarray:
            return self._goes_to(source, unit, fields) & (fields["addr"] % self._depth == address)

        return self._last(hits)

    def last_of(self, data: bytes) -> Word | None:
        """The last word with this content."""
        pattern = np.frombuffer(data, np.uint8)
        return self._last(lambda source, fields: (fields["bytes"] == pattern).all(axis=1))

    def _last(self, test: Callable[[int, dict[str, np.ndarray]], np.ndarray]) -> Word | None:
        """The last word of all units that passes a test."""
        found = (next(self._find(source, test), None) for source in range(len(self._batches)))
        return max((word for word in found if word), key=lambda word: word.clock, default=None)

    def _goes_to(self, source: int, unit: int, fields: dict[str, np.ndarray]) -> np.ndarray:
        dest = fields["dest"].astype(np.int64)
        own = (dest == 0) & (source == unit)
        return own | (dest >> unit & 1).astype(bool)

    def _find(self, source: int, test: Callable[[int, dict[str, np.ndarray]], np.ndarray]) -> Iterator[Word]:
        """Words of a unit that pass a test, the last one first."""
        for beats in reversed(self._batches[source]):
            fields = self._trc.unpack(beats.payload)
            data = np.ascontiguousarray(fields["data"])
            fields["bytes"] = data.view(np.uint8).reshape(len(beats), -1)[:, : self._bytes]
            for row in np.flatnonzero(test(source, fields))[::-1].tolist():
                yield Word(
                    source,
                    int(fields["dest"][row]),
                    int(fields["addr"][row]),
                    fields["bytes"][row].tobytes(),
                    int(beats.cycles[row]),
                )


@dataclass
class CauseFinder:
    """Looks for the cause of a wrong word.

    Attributes:
        inside: of the bench top.
        paths: of the units, below it.
        params: of each.
        golden: asks the golden MVUs.
        writers: of a unit's data memory, by number.
        traffic: what has left the units.
        time_ns: of a clock.
        place: names an address of a unit's data memory in the network's terms; empty where it has no name.
    """

    inside: Inside
    paths: Sequence[str]
    params: MvuParameters
    golden: GoldenMemory
    writers: Callable[[int, int], Writer]
    traffic: Traffic
    time_ns: Callable[[int], float]
    place: Callable[[int, int], str] = lambda unit, address: ""

    # ---------------------------------------------------------------------------------------------
    # The hardware's memories
    # ---------------------------------------------------------------------------------------------
    def data(self, unit: int, index: Sequence[int] | np.ndarray) -> np.ndarray | None:
        """Words of a data memory as the hardware has it, uint8[n, lanes/8]; None where the bench cannot look."""
        index = np.asarray(index, np.int64)
        words = np.zeros((len(index), self.params.lanes // 8), np.uint8)
        depth = self.params.bank_depth
        for bank in np.unique(index // depth).tolist():
            rows = index // depth == bank
            path = f"{self.paths[unit]}.u_data_memory.gen_bank[{bank}].u_ram.mem"
            found = self.inside.words(path, index[rows] % depth, depth, self.params.lanes)
            if found is None:
                return None
            words[rows] = found
        return words

    def _parameters(self, unit: int, memory: str, index: np.ndarray) -> np.ndarray | None:
        params = self.params
        instance, depth, width = {
            "weights": ("u_weight_memory", params.weight_depth, params.lanes**2),
            "scaler": ("u_scaler_memory", params.channel_depth, params.lanes * SCALER_WIDTH),
            "bias": ("u_bias_memory", params.channel_depth, params.lanes * params.bias_width),
        }[memory]
        return self.inside.words(f"{self.paths[unit]}.{instance}.mem", index, depth, width)

    # ---------------------------------------------------------------------------------------------
    # Causes
    # ---------------------------------------------------------------------------------------------
    def of_output(self, task: Task, group: int, addresses: bool = False) -> Explanation:
        """Why an output of a job is wrong.

        Args:
            task: the job.
            group: the output: a pool group.
            addresses: its values are right, its addresses are not.
        """
        if addresses:
            return Explanation(
                cause=f"mvu_serialiser of MVU {task.unit} (its mvu_agu): words go to wrong addresses",
                addresses=generators(task.configuration, self.params),
            )
        made_of = reads(task.configuration, group, self.params)
        for memory in ("input", "residual"):
            cause = self._of_data(task, memory, getattr(made_of, memory))
            if cause:
                return cause
        for memory in ("weights", "scaler", "bias"):
            cause = self._of_parameters(task.unit, memory, getattr(made_of, memory))
            if cause:
                return cause
        return self._late(task, made_of) or self._of_unit(task, made_of)

    def _of_data(self, task: Task, what: str, index: np.ndarray) -> Explanation | None:
        """What is wrong with the words of the data memory that a job has read; None: nothing."""
        index = np.unique(index)
        seen = self.data(task.unit, index)
        if seen is None or not len(index):
            return None
        golden, writers = self.golden(task.unit, "data", index)
        # What has been written since says nothing of what the job has read.
        wrong = np.flatnonzero((golden != seen).any(axis=1) & (writers < task.number))
        for at in wrong.tolist():
            cause = self.of_word(
                task.unit, int(index[at]), golden[at].tobytes(), seen[at].tobytes(), int(writers[at])
            )
            if cause:
                count = f"{len(wrong)} of {len(index)} {what} words of this output are wrong"
                return cause._replace(reads=f"{count}, the first is {cause.reads}")
        return None

    def of_word(
        self, unit: int, address: int, expected: bytes, seen: bytes, writer: int
    ) -> Explanation | None:
        """Why a word of a data memory is wrong; None where what passed says that it is right so.

        Args:
            expected, seen: its content in the golden MVU and in the hardware.
            writer: its last one's number; -1: nobody.
        """
        last = self.traffic.last_to(unit, address)
        if last is not None and last.data == seen:
            return None  # a word that the golden MVU does not know so far, or that left its unit wrong
        where = f"address {address} of MVU {unit}"
        name = self.place(unit, address)
        reads_ = f"{where}{f' ({name})' if name else ''}: expected {_hex(expected)}, memory {_hex(seen)}"
        if writer < 0:
            return _because(f"the data memory of MVU {unit}: {where} changed, though nobody wrote it", reads_)
        by = self.writers(unit, writer)
        if by.unit is None:
            went = self._went(unit, address, expected)
            went = f"the word for {where} {went}" if went else f"{where} does not hold what was written"
            return _because(f"{by.block}: {went}", reads_, by.name)
        way = CROSSBAR if last is None or last.dest else f"mvu_data_memory of MVU {unit}"
        if by.unit != unit:
            way = CROSSBAR
        written = by.name
        if last is not None and last.data == expected:
            units = [str(d) for d in range(8) if last.dest >> d & 1]
            to = f" for MVU {' and '.join(units)}" if units else ""
            when = f"clock {last.clock:,} ({self.time_ns(last.clock):,.0f} ns)"
            written += f"; the word left MVU {last.unit} right at {when}{to}"
        return _because(f"{way}: {self._what_happened(unit, address, expected, seen, last)}", reads_, written)

    def _what_happened(self, unit: int, address: int, expected: bytes, seen: bytes, last: Word | None) -> str:
        """The fate of a word between two units, as far as the memories and the traffic show it."""
        source = "" if last is None else f"MVU {last.unit}'s "
        word = f"{source}word for address {address} of MVU {unit}"
        went = self._went(unit, address, expected)
        if went:
            return f"{word} {went}"
        unlike = np.flatnonzero(np.unpackbits(_bits(expected) ^ _bits(seen), bitorder="little"))
        if len(unlike) == 1:
            return f"{word} was changed in bit {int(unlike[0])}"
        other = self.traffic.last_of(seen) if seen.strip(b"\0") else None
        if other is not None and other.address % self.params.data_depth == address:
            return (
                f"address {address} of MVU {unit} holds an older word, which left MVU {other.unit} at clock "
                f"{other.clock:,}: the newer one was lost, or the older one written again"
            )
        # Short words are alike by chance.
        if other is not None and len(seen) >= _LONG:
            return (
                f"address {address} of MVU {unit} holds the word that MVU {other.unit} sent to address "
                f"{other.address} at clock {other.clock:,}"
            )
        return f"{word} was lost or changed on its way"

    def _went(self, unit: int, address: int, expected: bytes) -> str:
        """Where a word is instead of its place, provided that nobody has written it there; the nearest one, its own
        unit first. Empty: nowhere, or in so many places that it is chance."""
        found = []
        every = np.arange(self.params.data_depth)
        for other in range(len(self.paths)):
            memory = self.data(other, every)
            if memory is None:
                continue
            places = np.flatnonzero((memory == _bits(expected)).all(axis=1))
            golden, _ = self.golden(other, "data", places)
            for at in places[(golden != _bits(expected)).any(axis=1)].tolist():
                step = abs(at - address)
                if len(expected) < _LONG and ((other != unit and step) or step & step - 1):
                    continue  # no fault of a single bit or of one address: chance
                last = self.traffic.last_to(other, at)
                if last is None or last.data != expected:
                    found.append((other != unit, abs(at - address), other, at))
        if not found or len(found) > _CHANCE:
            return ""
        _, _, other, at = min(found)
        return (
            f"went to address {at} instead"
            if other == unit
            else (
                f"went to MVU {other} instead"
                if at == address
                else f"went to address {at} of MVU {other} instead"
            )
        )

    def _of_parameters(self, unit: int, memory: str, index: np.ndarray) -> Explanation | None:
        index = np.unique(index)
        if not len(index):
            return None
        seen = self._parameters(unit, memory, index)
        if seen is None:
            return None
        golden, _ = self.golden(unit, memory, index)
        if memory != "weights":
            bits = {"scaler": SCALER_WIDTH, "bias": self.params.bias_width}[memory]
            golden = _packed(golden, bits)
        wrong = np.flatnonzero((golden != seen).any(axis=1))
        if not len(wrong):
            return None
        at = int(wrong[0])
        lane = _lane(golden[at], seen[at], golden.shape[1] * 8 // self.params.lanes)
        return _because(
            f"the load of parameters (prm_*): the {memory} memory of MVU {unit} does not hold what was written there",
            f"{len(wrong)} of {len(index)} {memory} words of this output are wrong, the first at address "
            f"{int(index[at])}, first in lane {lane}: expected {_hex(golden[at].tobytes())}, memory "
            f"{_hex(seen[at].tobytes())}",
        )

    def _late(self, task: Task, made_of: Reads) -> Explanation | None:
        """Whether a word that was read left another unit only after the job had begun."""
        if task.clock < 0:
            return None
        index = np.unique(np.concatenate([made_of.input, made_of.residual]))
        _, writers = self.golden(task.unit, "data", index)
        for address in index[(writers >= 0) & (writers < task.number)].tolist():
            last = self.traffic.last_to(task.unit, address)
            if last is not None and last.clock >= task.clock:
                return _because(
                    f"order: the job began at clock {task.clock:,}, before MVU {last.unit} had written what it reads",
                    f"address {address} of MVU {task.unit} ({self.place(task.unit, address) or 'input'})",
                    f"MVU {last.unit}, at clock {last.clock:,} ({self.time_ns(last.clock):,.0f} ns)",
                )
        return None

    def _of_unit(self, task: Task, made_of: Reads) -> Explanation:
        """The memories hold what the golden MVU has: the fault is in the unit."""
        if self.data(task.unit, made_of.input[:1]) is None:
            return Explanation()
        parts = {name: len(np.unique(index)) for name, index in made_of._asdict().items() if len(index)}
        said = ", ".join(f"{count} {name}" for name, count in parts.items())
        return Explanation(
            cause=f"MVU {task.unit} itself: what it had to read is right",
            reads=f"all right in the memories, by number of words: {said}",
            addresses=generators(task.configuration, self.params),
        )

    # ---------------------------------------------------------------------------------------------
    # Operands of the post-processing
    # ---------------------------------------------------------------------------------------------
    def operands(self, task: Task, group: int) -> Operands:
        """Scaler, bias and residuals of an output, as the golden MVU has them now."""
        configuration, lanes = task.configuration, self.params.lanes
        made_of = reads(configuration, group, self.params)
        scaler = np.full(lanes, configuration.fields["mvuscaler"]["value"], np.int64)
        bias = np.zeros(lanes, np.int64)
        if len(made_of.scaler):
            scaler = self.golden(task.unit, "scaler", made_of.scaler)[0][0]
        if len(made_of.bias):
            bias = self.golden(task.unit, "bias", made_of.bias)[0][0]
        residual = None
        if len(made_of.residual):
            fmt = configuration.format("residual")
            words, writers = self.golden(task.unit, "data", made_of.residual)
            if (writers < task.number).all():
                residual = values_of_planes(unpack_bits(words, lanes).reshape(-1, fmt.bits, lanes), fmt)
        return Operands(scaler, bias, residual)


class Operands(NamedTuple):
    """What accumulators meet on their way to output values.

    Attributes:
        scaler, bias: int64[lanes].
        residual: int64[outputs, lanes], of the pool group; None: none, or it has been overwritten since.
    """

    scaler: np.ndarray
    bias: np.ndarray
    residual: np.ndarray | None


def suspect(
    configuration: Configuration, sums: np.ndarray, operands: Operands, seen: np.ndarray
) -> tuple[str, str]:
    """The one step of the post-processing that, left out or done in another way, gives the values that were seen in all
    lanes.

    Args:
        sums: int64[outputs, lanes], accumulators of the pool group.
        seen: int64[lanes], values of the output format.

    Returns:
        The module and what it does, as a phrase that follows "as if"; two empty texts where no such step is known.
    """
    fields = configuration.fields
    config1, quant = fields["mvuconfig1"], fields["mvuquant"]
    output = configuration.format("output")
    residual, count = operands.residual, len(sums)
    right: dict[str, Any] = {
        "scaler": operands.scaler[None],
        "bias": operands.bias[None],
        "bias_shift": fields["mvuscaler"]["bias_shift"],
        "shift": quant["msb"] + 1 - output.bits,
        "output": output,
        "round_half_up": bool(quant["round_half_up"]),
        "saturate": bool(quant["saturate"]),
        "relu": bool(config1["relu"]),
        "group_outputs": count,
        "residual": residual,
        "residual_multiplier": fields["mvurscaler"]["value"],
        "residual_shift": fields["mvurscaler"]["shift"],
    }
    nothing = np.zeros_like(operands.bias)[None]
    post = "mvu_post"
    tried: list[tuple[str, str, dict[str, Any]]] = [
        ("mvu_residual or mvu_post", "there were no residual", {"residual": None}),
        (post, "the residual were not shifted", {"residual_shift": 0}),
        (post, "there were no bias", {"bias": nothing}),
        (post, "the bias were not shifted", {"bias_shift": 0}),
        (post, "the scaler were 1", {"scaler": nothing + 1}),
        (post, f"ReLU were {'off' if right['relu'] else 'on'}", {"relu": not right["relu"]}),
        (
            post,
            "it truncated and did not round" if right["round_half_up"] else "it rounded and did not truncate",
            {"round_half_up": not right["round_half_up"]},
        ),
        (
            post,
            "it wrapped and did not saturate" if right["saturate"] else "it saturated and did not wrap",
            {"saturate": not right["saturate"]},
        ),
    ]
    shift = right["shift"]
    tried.append((post, "it shifted right by one bit more", {"shift": shift + 1}))
    if shift:
        tried.append((post, "it shifted right by one bit less", {"shift": shift - 1}))
    for n in range(count if count > 1 else 0):
        one = None if residual is None else residual[n : n + 1]
        tried.append(
            (post, f"output {n} were the whole pool group", {"group_outputs": 1, "residual": one, "acc": n})
        )
    if np.array_equal(post_process(sums, **right)[0], seen):
        return "", ""  # nothing is wrong with it
    for module, phrase, changed in tried:
        arguments = {**right, **changed}
        only = arguments.pop("acc", None)
        if np.array_equal(
            post_process(sums if only is None else sums[only : only + 1], **arguments)[0], seen
        ):
            return module, phrase
    # Rounding comes behind ReLU and pool.
    quantiser = ("shift", "output", "round_half_up", "saturate")
    pooled = pooled_sums(sums, **{name: value for name, value in right.items() if name not in quantiser})
    whole = quantise(pooled + (1 << shift), shift, output.bits, output.signed, "truncate", right["saturate"])
    if right["round_half_up"] and np.array_equal(whole[0], seen):
        return post, "it rounded by a whole output step"
    return "", ""


def first_addresses(
    configuration: Configuration, params: MvuParameters, count: int = _ADDRESSES
) -> dict[str, list[int]]:
    """The first addresses that each generator of a job makes, by what it addresses: of tiles, of their top plane."""
    config1 = configuration.fields["mvuconfig1"]
    weights, inputs = tile_addresses(configuration, min(count, configuration.countdown), params)
    made = {
        "scaler": ("s", CHANNEL_LOOPS, params.channel_depth, bool(config1["scaler_memory"])),
        "bias": ("b", CHANNEL_LOOPS, params.channel_depth, bool(config1["bias_memory"])),
        "residual": ("r", RESIDUAL_LOOPS, params.data_depth, bool(config1["residual"])),
        "output": ("o", OUTPUT_LOOPS, 1 << 16, True),
    }
    return {"input": inputs.tolist(), "weight": weights.tolist()} | {
        name: addresses(configuration.program(letter, loops), count, depth).tolist()
        for name, (letter, loops, depth, used) in made.items()
        if used
    }


def generators(configuration: Configuration, params: MvuParameters) -> str:
    """The first addresses of each generator, as a phrase."""
    made = first_addresses(configuration, params)
    return "golden's first addresses: " + "; ".join(
        f"{name} {' '.join(map(str, numbers))}" for name, numbers in made.items()
    )


def _because(cause: str, reads: str, writer: str = "") -> Explanation:
    return Explanation(cause=cause, reads=reads, writer=writer)


def _bits(word: bytes) -> np.ndarray:
    return np.frombuffer(word, np.uint8)


def _hex(word: bytes) -> str:
    return f"0x{word[::-1].hex()}"


def _packed(entries: np.ndarray, bits: int) -> np.ndarray:
    """int64[n, lanes] as the memory holds them, uint8[n, lanes*bits/8]."""
    planes = (entries[:, :, None] >> np.arange(bits)) & 1
    return np.packbits(planes.reshape(len(entries), -1).astype(np.uint8), axis=1, bitorder="little")


def _lane(expected: np.ndarray, seen: np.ndarray, bits: int) -> int:
    """The first lane in which two words of parameters differ."""
    unlike = np.flatnonzero(np.unpackbits(expected ^ seen, bitorder="little"))
    return int(unlike[0]) // bits
