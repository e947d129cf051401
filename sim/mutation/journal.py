# SPDX-License-Identifier: Apache-2.0
"""What became of each mutant, kept from one run to the next.

The journal is a file of JSON lines to which each result is added when it is known. A run that was interrupted, or
whose machine went away, goes on where it stopped. A result counts as long as neither the design, nor the bench, nor
the golden model has changed; an older one still says which test to try first.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from assay import golden, tb
from assay.sim.build import BuildSpec, digest
from assay.sim.journal import Lines, read_lines
from assay.tb.errors import AssayError


class Journal:
    """The results of a block.

    Args:
        path: of the file; made by the first result.
        state: hash of all that a result depends on, see `state_of`.
    """

    def __init__(self, path: Path, state: str) -> None:
        self._lines = Lines(path)
        self._state = state
        self._valid: dict[str, dict[str, Any]] = {}
        self._old: dict[str, dict[str, Any]] = {}
        try:
            for entry in read_lines(path, ["key"]):
                (self._valid if entry.get("state_of") == state else self._old)[entry["key"]] = entry
        except ValueError:
            raise AssayError(f"{path} is no journal of mutants; move it away") from None

    def result(self, key: str) -> dict[str, Any] | None:
        """The result of a mutant that still counts."""
        return self._valid.get(key)

    def killer(self, key: str) -> str:
        """The test that killed a mutant the last time, empty if none did."""
        entry = self._valid.get(key) or self._old.get(key) or {}
        return str(entry.get("test", "")) if entry.get("state") == "killed" else ""

    def killers(self) -> Iterable[str]:
        """The tests that killed, one for each kill that is known."""
        return [str(entry["test"]) for entry in {**self._old, **self._valid}.values() if entry.get("test")]

    def add(self, key: str, entry: dict[str, Any]) -> None:
        """Record a result; it is on the disk when this returns."""
        entry = {"key": key, **entry, "state_of": self._state}
        self._lines.add(entry)
        self._valid[key] = entry


def state_of(spec: BuildSpec, seed: int) -> str:
    """A hash of all that a result depends on: the design and its build, the bench, the golden model, and the seed."""
    folders = {Path(package.__file__ or "").resolve().parent for package in (golden, tb)} | {
        spec.block.root / "tb"
    }
    parts: list[object] = [spec.key(), seed]
    for folder in sorted(folders):
        for path in sorted(folder.rglob("*.py")):
            if "tests" not in path.relative_to(folder).parts:
                parts.append([path.relative_to(folder).as_posix(), digest(path)])
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
