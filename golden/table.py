# SPDX-License-Identifier: Apache-2.0
"""Plain text tables: the common part of the printed summaries and profiles."""

from __future__ import annotations

from collections.abc import Collection, Sequence

__all__ = ["lines", "short"]


def lines(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """Rows of equally many cells as lines with aligned columns, the columns in `right` to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def short(name: str, length: int = 40) -> str:
    """A long name without its middle."""
    keep = length // 2 - 1
    return name if len(name) <= length else f"{name[:keep]}..{name[-keep:]}"
