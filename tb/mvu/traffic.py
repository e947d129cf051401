"""Traffic files for the C++ harness (`tb/mvu/harness.cpp`): the same jobs that the bench plays, without Python."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from golden.mvu.registers import encode

_REGISTERS, _PARAMETERS, _WRITE, _WAIT, _READ = 1, 2, 3, 4, 5
WEIGHT, SCALER, BIAS = 0, 1, 2  #: `select` of the parameter port


def words_to_uint64(words: np.ndarray) -> np.ndarray:
    """Words uint8[n, 1..8 bytes] to uint64[n]."""
    padded = np.zeros((len(words), 8), np.uint8)
    padded[:, : words.shape[1]] = words
    return padded.view("<u8")[:, 0]


class Traffic:
    """Commands for the harness, in order; lanes up to 64."""

    def __init__(self) -> None:
        self._parts: list[np.ndarray] = []

    def _add(self, *numbers: object) -> None:
        self._parts += [np.asarray(n, dtype="<u8").reshape(-1) for n in numbers]

    def _parameters(self, select: int, word: np.ndarray, lane: np.ndarray, data: np.ndarray) -> None:
        beats = np.empty(
            (len(data), 4), np.uint64
        )  # filled by column: stacking mixed dtypes would go through float
        for column, values in enumerate((select, word, lane, data)):
            beats[:, column] = values
        self._add(_PARAMETERS, len(beats), beats)

    def registers(self, registers: Mapping[str, Mapping[str, int] | int]) -> None:
        """Write registers in address order, so that mvucommand, if given, starts the job."""
        pairs = sorted(encode(registers).items())
        self._add(_REGISTERS, len(pairs), pairs)

    def weights(self, base: int, words: np.ndarray, lanes: int) -> None:
        """Load weight words uint8[n, lanes*lanes/8] from word `base` on."""
        rows = words_to_uint64(words.reshape(-1, lanes // 8))
        word, lane = np.divmod(np.arange(len(rows)), lanes)
        self._parameters(WEIGHT, base + word, lane, rows)

    def channels(self, select: int, base: int, values: np.ndarray) -> None:
        """Load scaler or bias entries int[n, lanes] from entry `base` on."""
        entry, lane = np.indices(values.shape).reshape(2, -1)
        data = values.reshape(-1).astype(np.int64).view(np.uint64) & np.uint64(0xFFFFFFFF)
        self._parameters(select, base + entry, lane, data)

    def write(self, base: int, words: np.ndarray) -> None:
        """Write data memory words uint8[n, lanes/8]."""
        self._add(_WRITE, base, len(words), words_to_uint64(words))

    def wait(self) -> None:
        """Wait for the job's interrupt and clear it."""
        self._add(_WAIT)

    def read(self, base: int, count: int) -> None:
        """Read data memory words."""
        self._add(_READ, base, count)

    def save(self, path: Path) -> None:
        """Write the traffic file."""
        np.concatenate([*self._parts, np.zeros(1, "<u8")]).tofile(path)


class Recording:
    """What the harness saw.

    Attributes:
        address, data: uint64[n] of the trace, in order.
        words: uint64[n], words read.
        busy: clocks of each job.
    """

    def __init__(self, path: Path) -> None:
        numbers = np.fromfile(path, "<u8").tolist()
        address: list[int] = []
        data: list[int] = []
        self.busy: list[int] = []
        words: list[int] = []
        i = 0
        while i < len(numbers):
            kind = numbers[i]
            if kind == 1:
                address.append(numbers[i + 1])
                data.append(numbers[i + 2])
                i += 3
            elif kind == 2:
                words.append(numbers[i + 1])
                i += 2
            else:
                self.busy.append(numbers[i + 1])
                i += 2
        self.address = np.array(address, np.uint64)
        self.data = np.array(data, np.uint64)
        self.words = np.array(words, np.uint64)
