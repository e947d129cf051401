# SPDX-License-Identifier: Apache-2.0
"""A file of JSON lines to which what has happened is added, and nothing else: a record of long work.

A line is on the disk when `Lines.add` returns, so that a program or a machine that goes away loses only what it has not
said yet. It may leave a part of its last line: that is not read, and the next line begins after it.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any


class Lines:
    """A journal that is written. Safe to use from several threads of one process.

    Args:
        path: of the file; made, with its folder, by the first line.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()

    def add(self, *entries: Mapping[str, Any]) -> None:
        """Add a line for each entry; all are on the disk when this returns.

        Raises:
            OSError: they cannot be written.
        """
        text = b"".join(json.dumps(entry, separators=(",", ":")).encode() + b"\n" for entry in entries)
        with self._lock:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as file:
                if file.tell() and not self._ends_a_line():
                    text = b"\n" + text
                file.write(text)
                file.flush()
                os.fsync(file.fileno())

    def _ends_a_line(self) -> bool:
        with self.path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"


def read_lines(path: Path, needed: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """The entries of a journal, in order; none where there is no file. Parts of lines are passed over.

    Args:
        needed: keys without which a line is no entry.

    Raises:
        ValueError: the first line is no entry, so that this is no journal.
    """
    if not path.is_file():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                entry = json.loads(line)
            except ValueError:
                entry = None
            if isinstance(entry, dict) and all(key in entry for key in needed):
                yield entry
            elif number == 1 and not line.startswith(b"{"):
                raise ValueError(f"{path} is no journal")
