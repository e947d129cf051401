# SPDX-License-Identifier: Apache-2.0
"""Counterexamples: the value change dumps that yosys-smtbmc writes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

WIDEST = 64
"""Bits of the widest signal that is printed."""


@dataclass(frozen=True)
class Trace:
    """The values of a design's signals, clock by clock, in hexadecimal digits."""

    dump: str
    """The file's text."""
    clocks: int
    values: dict[str, list[str]]
    """Signal, with the instances around it -> its value in each clock."""

    @classmethod
    def read(cls, path: Path) -> Trace:
        """Read a file.

        Raises:
            OSError: it cannot be read.
        """
        keys: dict[str, str] = {}
        scopes: list[str] = []
        present: dict[str, str] = {}
        states: list[dict[str, str]] = []
        step = ""
        dump = path.read_text(encoding="utf-8")
        for line in dump.splitlines():
            words = line.split()
            if line.startswith("$scope"):
                scopes.append(words[2])
            elif line.startswith("$upscope"):
                scopes.pop()
            elif line.startswith("$var wire") and int(words[2]) <= WIDEST:
                keys[".".join([*scopes[1:], words[4]])] = words[3]
            elif line.startswith("b"):
                if words[1] == "t" and line != step:  # the number of the step comes first in each
                    step = line
                    states.append(present.copy())
                bits = words[0][1:]
                present[words[1]] = "x" if "x" in bits else f"{int(bits, 2):x}"
        # Each state is complete where the next one begins; the last number is that of the end.
        clocks = states[1:]
        return cls(dump, len(clocks), {name: [s.get(key, "?") for s in clocks] for name, key in keys.items()})

    def text(self, last: int) -> str:
        """A table of the last clocks: the signals of the design's top, then the registers inside.

        Args:
            last: number of clocks.
        """
        first = max(0, self.clocks - last)
        rows = {"clock": [str(clock) for clock in range(first, self.clocks)]}
        for name in sorted(self.values, key=lambda name: (name.count("."), name)):
            if name != "clk_i" and ("." not in name or name.endswith("_q")):
                rows[name] = self.values[name][first:]
        wide = max(map(len, rows))
        columns = [max(map(len, column)) for column in zip(*rows.values(), strict=True)]
        return "\n".join(
            "  ".join(
                [f"  {name:<{wide}}", *(f"{value:>{n}}" for value, n in zip(row, columns, strict=True))]
            )
            for name, row in rows.items()
        )
