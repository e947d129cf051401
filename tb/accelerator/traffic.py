# SPDX-License-Identifier: Apache-2.0
"""Traffic files for the C++ harness (`tb/accelerator/harness.cpp`): what the host did, without Python.

`Traffic` collects the host's transfers and its waits for the interrupt as they happen, and the answers, which the
harness must get, too: the two files are equal byte by byte, or one of the two benches is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

_WRITE, _READ, _WAIT = 1, 2, 3
_WORDS = 2  #: of 64 bits, that a beat of any channel has


class Traffic:
    """Commands for the harness, in order."""

    def __init__(self) -> None:
        self._commands: list[np.ndarray] = []
        self._expected: list[np.ndarray] = []

    def transfer(self, channels: Mapping[str, np.ndarray]) -> None:
        """A transfer of `AxiManager`: see its ``on_transfer``."""
        if "w" in channels:
            self._add(_WRITE, len(channels["aw"]), len(channels["w"]))
            self._commands += [_words(channels["aw"]), _words(channels["w"])]
            self._expected.append(_words(channels["b"]))
        else:
            self._add(_READ, len(channels["ar"]), len(channels["r"]))
            self._commands.append(_words(channels["ar"]))
            self._expected.append(_words(channels["r"]))

    def wait(self) -> None:
        """The host waits for its interrupt."""
        self._add(_WAIT)

    def save(self, commands: Path, expected: Path) -> None:
        """Write the traffic file and what the harness must answer."""
        self._add(0)
        np.concatenate(self._commands).tofile(commands)
        np.concatenate(self._expected).tofile(expected)

    def _add(self, *numbers: int) -> None:
        self._commands.append(np.array(numbers, "<u8"))


def _words(beats: np.ndarray) -> np.ndarray:
    """Beats uint8[n, bytes] to uint64[n * 2]."""
    padded = np.zeros((len(beats), 8 * _WORDS), np.uint8)
    padded[:, : beats.shape[1]] = beats
    return padded.view("<u8").reshape(-1)
