# SPDX-License-Identifier: Apache-2.0
"""Traffic files for the C++ harness (`tb/mvu/harness.cpp`): the same jobs that the bench plays, without Python.

Beside the commands, `Traffic` collects what the harness must see, in the harness's own form: the two files
are equal byte by byte, or one of the two benches is wrong.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from assay.golden.mvu.clocks import job_clocks
from assay.golden.mvu.functional import JobResult
from assay.golden.mvu.registers import BY_NAME, encode
from assay.tb.mvu.env import BIAS, SCALER, WEIGHT
from assay.tb.mvu.jobs import JobItem

_REGISTERS, _PARAMETERS, _WRITE, _WAIT, _READ = 1, 2, 3, 4, 5
_TRACE, _WORD, _BUSY = 1, 2, 3


def words_to_uint64(words: np.ndarray) -> np.ndarray:
    """Words uint8[n, 1..8 bytes] to uint64[n]."""
    padded = np.zeros((len(words), 8), np.uint8)
    padded[:, : words.shape[1]] = words
    return padded.view("<u8")[:, 0]


class Traffic:
    """Commands for the harness, in order; lanes up to 64."""

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        self._commands: list[np.ndarray] = []
        self._expected: list[np.ndarray] = []
        self._add(BY_NAME["mvustatus"].address)

    def job(self, item: JobItem, result: JobResult) -> None:
        """One job: its images, its registers, its end, its output read back."""
        for base, words in item.weights:
            rows = words_to_uint64(words.reshape(-1, self.lanes // 8))
            word, lane = np.divmod(np.arange(len(rows)), self.lanes)
            self._parameters(WEIGHT, base + word, lane, rows)
        for select, loads in ((SCALER, item.scalers), (BIAS, item.biases)):
            for base, values in loads:
                entry, lane = np.indices(values.shape).reshape(2, -1)
                data = values.reshape(-1).astype(np.int64).view(np.uint64) & np.uint64(0xFFFFFFFF)
                self._parameters(select, base + entry, lane, data)
        for image in item.images:
            self._add(_WRITE, image.base, len(image.words), words_to_uint64(image.words))
        # In address order, so that mvucommand, the last one, starts the job.
        pairs = sorted(encode(item.registers).items())
        self._add(_REGISTERS, len(pairs), pairs)
        self._add(_WAIT)
        self._add(_READ, item.output.base, item.output.words)

        data = words_to_uint64(result.data)
        self._expect(_TRACE, result.address, data)
        self._expected.append(np.array([_BUSY, job_clocks(item.registers).total], "<u8"))
        order = np.argsort(result.address)
        self._expect(_WORD, data[order])

    def save(self, commands: Path, expected: Path) -> None:
        """Write the traffic file and what the harness must answer."""
        np.concatenate([*self._commands, np.zeros(1, "<u8")]).tofile(commands)
        np.concatenate(self._expected).tofile(expected)

    def _add(self, *numbers: object) -> None:
        self._commands += [np.asarray(n, dtype="<u8").reshape(-1) for n in numbers]

    def _parameters(self, select: int, word: np.ndarray, lane: np.ndarray, data: np.ndarray) -> None:
        self._add(_PARAMETERS, len(data), _columns(select, word, lane, data))

    def _expect(self, kind: int, *columns: np.ndarray) -> None:
        self._expected.append(_columns(kind, *columns).reshape(-1))


def _columns(*columns: object) -> np.ndarray:
    """uint64[n, columns]; filled by column, as stacking mixed dtypes would go through float."""
    table = np.empty((len(columns[-1]), len(columns)), "<u8")
    for k, values in enumerate(columns):
        table[:, k] = values
    return table
