# SPDX-License-Identifier: Apache-2.0
"""Coverage as an LCOV tracefile (format: ``man geninfo``), for genhtml, editors and code hosts."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from assay.sim.coverage.merged import Merged, SourceFile


def lcov(merged: Merged) -> str:
    """The text of the file. Paths are relative to the repository. Excluded lines and branches are left out."""
    return "".join(f"{line}\n" for file in merged.files.values() for line in _record(file))


def _record(file: SourceFile) -> Iterator[str]:
    yield "TN:"
    yield f"SF:{file.name}"
    branches = [point for point in file.points if point.kind == "branch"]
    for line, ways in itertools.groupby(branches, key=lambda point: point.line):
        reached = line not in file.lines or file.executed(line)
        for number, point in enumerate(ways):
            yield f"BRDA:{line},0,{number},{point.count if reached else '-'}"
    yield f"BRF:{len(branches)}"
    yield f"BRH:{file.share('branch').covered}"
    for line in sorted(file.lines):
        yield f"DA:{line},{file.executed(line)}"
    yield f"LF:{file.share('line').all}"
    yield f"LH:{file.share('line').covered}"
    yield "end_of_record"
