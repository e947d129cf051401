# SPDX-License-Identifier: Apache-2.0
"""The signals of a wave file (FST or VCD) as arrays, and the values that the probes of `tb.debug` show in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from assay.sim import shown
from assay.sim.wavefile import damage
from assay.tb.debug import Stage
from assay.tb.errors import AssayError, MissingExtra

__all__ = ["Events", "Signal", "Waves", "to_lanes"]

INSTALL = "pip install 'assay[debug]'"
_PICOSECONDS = {"fs": 1e-3, "ps": 1, "ns": 1e3, "us": 1e6, "ms": 1e9, "s": 1e12}


@dataclass(frozen=True)
class Signal:
    """The changes of a signal.

    Attributes:
        name: full path.
        bits: width; 0 for text and real numbers.
        times: int64[n] in ps, rising.
        values: what it is from then on: an integer, or text where bits are X or Z, or the signal is text.
    """

    name: str
    bits: int
    times: np.ndarray
    values: Sequence[int | str | float]

    def before(self, times: np.ndarray) -> list[int | str | float | None]:
        """The values just before each of these times in ps: what a clock edge at that time samples."""
        places = np.searchsorted(self.times, times, side="left") - 1
        return [self.values[at] if at >= 0 else None for at in places.tolist()]

    def number_before(self, times: np.ndarray) -> np.ndarray:
        """`before` as int64, -1 where bits are unknown; for signals of up to 62 bits."""
        return np.array([v if isinstance(v, int) else -1 for v in self.before(times)], np.int64)


@dataclass(frozen=True)
class Events:
    """The values that a probe shows, in the order of time.

    Attributes:
        times: int64[n] in ps, of the clock edge that takes each.
        jobs: int64[n], number of its job since the reset.
        indices: int64[n], its number in its job.
        values: int64[n, lanes].
        unknown: bool[n, lanes], lanes with X.
    """

    times: np.ndarray
    jobs: np.ndarray
    indices: np.ndarray
    values: np.ndarray
    unknown: np.ndarray

    def __len__(self) -> int:
        return len(self.times)


class Waves:
    """A wave file.

    Args:
        path: FST or VCD.

    Raises:
        MissingExtra: pywellen is not installed.
        AssayError: the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        try:
            from pywellen import pywellen
        except ImportError:
            raise MissingExtra(f"reading waves needs pywellen; install it with: {INSTALL}") from None
        # A reader of an incomplete file may end the process rather than say so.
        if problem := damage(path):
            raise AssayError(f"{shown(path)} {problem}")
        try:
            self._file: Any = pywellen.Waveform(str(path))
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # pywellen's panics are no Exceptions
            raise AssayError(f"{shown(path)} cannot be read as waves: {error}") from None
        scale = self._file.timescale
        self._tick = (scale.factor * _PICOSECONDS[str(scale.unit).lower()]) if scale else 1
        self.path = path

    @cached_property
    def variables(self) -> dict[str, Any]:
        """Full path to pywellen's variable; of equal names the last."""
        return {each.full_name: each for each in self._file.all_vars()}

    def has(self, name: str) -> bool:
        """Whether there is a signal of this full path."""
        return name in self.variables

    def signal(self, name: str) -> Signal:
        """The changes of a signal; AssayError when there is none of this full path."""
        if name not in self.variables:
            raise AssayError(f"no signal {name} in {shown(self.path)}")
        variable = self.variables[name]
        changes = list(variable.signal)
        times = np.array([time for time, _ in changes], np.float64) * self._tick
        return Signal(name, variable.bitwidth or 0, np.rint(times).astype(np.int64), [v for _, v in changes])

    def rising_edges(self, clock: str) -> np.ndarray:
        """int64[n]: the times in ps at which a clock rises."""
        signal = self.signal(clock)
        high = np.array([value == 1 for value in signal.values], bool)
        rises = high.copy()
        rises[1:] &= ~high[:-1]
        rises[:1] = False  # where the waves begin nothing rises
        return signal.times[rises]

    def events(self, scope: str, stage: Stage) -> Events | None:
        """What the probe of a stage in this scope shows; None where the waves have no such probe."""
        place = f"{scope}.u_{stage.probe}"
        if not self.has(f"{place}.valid_i"):
            return None
        edges = self.rising_edges(f"{place}.clk_i")
        valid = self.signal(f"{place}.valid_i").number_before(edges) == 1
        valid &= self.signal(f"{place}.rst_ni").number_before(edges) == 1
        times = edges[valid]
        jobs, indices = (self.signal(f"{place}.{name}").number_before(times) for name in ("job_q", "index_q"))
        data = self.signal(f"{place}.data_i").before(times)
        values, unknown = to_lanes(data, stage.lanes, stage.bits, not stage.words)
        return Events(times, jobs, indices, values, unknown)


def to_lanes(words: Sequence[Any], lanes: int, bits: int, signed: bool) -> tuple[np.ndarray, np.ndarray]:
    """Take words apart into lanes, the first in the lowest bits.

    Args:
        words: integers; text of 0, 1, X and Z where bits are unknown; None where nothing is known.
        lanes, bits: of a word, and of a lane (at most 62).
        signed: whether lanes are two's complement.

    Returns:
        int64 `[words, lanes]`, and bool of that shape: lanes with unknown bits, whose values are 0.
    """
    width = lanes * bits
    size = -(-width // 8)
    known, strange = bytearray(), bytearray()
    for word in words:
        if isinstance(word, int):
            known += (word & ((1 << width) - 1)).to_bytes(size, "little")
            strange += bytes(size)
        else:
            text = ("x" * width if word is None else str(word)).rjust(width, "0")[-width:]
            known += int("".join("1" if c == "1" else "0" for c in text) or "0", 2).to_bytes(size, "little")
            strange += int("".join("0" if c in "01" else "1" for c in text) or "0", 2).to_bytes(
                size, "little"
            )

    def lane_bits(data: bytearray) -> np.ndarray:
        array = np.frombuffer(bytes(data), np.uint8).reshape(len(words), size)
        return np.unpackbits(array, axis=1, bitorder="little")[:, :width].reshape(len(words), lanes, bits)

    weights = np.int64(1) << np.arange(bits, dtype=np.int64)
    if signed:
        weights[-1] = -weights[-1]
    unknown = np.asarray(lane_bits(strange).any(axis=2))
    return np.where(unknown, 0, lane_bits(known).astype(np.int64) @ weights), unknown
