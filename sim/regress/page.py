# SPDX-License-Identifier: Apache-2.0
"""A regression as one HTML file that needs no network: buckets, tests, coverage, and a table of all runs.

The numbers are those of ``summary.json``. The table's columns are arrays of numbers, compressed, so that a million runs
are some megabytes; the browser has only the rows in sight as elements.
"""

from __future__ import annotations

import base64
import datetime
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from assay.sim.pages import rendered
from assay.sim.regress.record import STATES, Regression
from assay.sim.regress.summary import FILE as SUMMARY
from assay.sim.regress.table import COLUMNS, Table
from assay.tb.errors import AssayError

__all__ = ["PAGE", "write_page"]

PAGE = "report.html"
TEMPLATE = Path(__file__).with_name("page.html")

_TYPES = {name: kind.replace("Q", "I") for name, kind in COLUMNS.items()}
"""Column to its type in the browser, which has none of 64 bits: larger numbers are cut to the largest of 32."""


def write_page(folder: Path) -> Path:
    """Write ``report.html`` into the folder of a regression whose ``summary.json`` is there; gives its path.

    Raises:
        AssayError: the folder holds no regression, or no summary.
        OSError: the file cannot be written.
    """
    try:
        summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AssayError(f"{folder / SUMMARY} cannot be read: {error}") from None
    regression = Regression(folder)
    table = Table.of_summary(regression, summary)
    content = {
        "title": f"Regression {summary['name']}",
        "s": summary,
        "began": _day(summary["started"]),
        "lasted": str(datetime.timedelta(seconds=round(summary["seconds"]))),
        "lines": [_rates(test, len(summary["regressions"])) for test in summary["tests"]],
        "curve": _curve(summary["coverage"]["curve"], summary["coverage"]["all"]),
        "made": list(_made(summary)),
        "events": [
            {
                "at": _day(event["at"]) if "at" in event else "",
                "event": event["event"],
                "text": event.get("text", ""),
            }
            for event in summary["events"]
        ],
        "meta": Markup(_script(_meta(regression, table))),
        "columns": {name: _packed(table.columns[name], kind) for name, kind in _TYPES.items()},
    }
    path = folder / PAGE
    partial = folder / f".{PAGE}.partial"
    partial.write_text(rendered(TEMPLATE, content), encoding="utf-8")
    partial.replace(path)
    return path


def _meta(regression: Regression, table: Table) -> dict[str, Any]:
    """What the table's numbers mean."""
    return {
        "types": _TYPES,
        "states": STATES,
        "entries": [entry.name for entry in regression.header.entries],
        "workers": table.workers,
        "replays": table.replays,
    }


def _script(data: Mapping[str, Any]) -> str:
    """JSON that can stand in a script element."""
    return json.dumps(data).replace("<", "\\u003c")


def _packed(column: np.ndarray, kind: str) -> str:
    """A column as the browser unpacks it: zlib's deflate, base64."""
    dtype = np.dtype(kind).newbyteorder("<")
    if dtype.kind == "u":
        column = np.minimum(column, np.iinfo(dtype).max)
    return base64.b64encode(zlib.compress(column.astype(dtype).tobytes(), 6)).decode()


def _day(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _made(summary: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What the regression was made with and ordered by, line by line."""
    for name, text in summary["versions"].items():
        yield name, str(text)
    yield "sources", summary["project"]
    for name, value in summary["machine"].items():
        yield name, f"{value / 2**30:.1f} GiB" if name == "memory" else str(value)
    for name, value in summary["plan"].items():
        if value not in ("", None, [], {}):
            yield name, value if isinstance(value, str) else json.dumps(value)


# -------------------------------------------------------------------------------------------------
# Lines
# -------------------------------------------------------------------------------------------------
def _rates(test: Mapping[str, Any], before: int) -> Markup:
    """The pass rate of a test in earlier regressions and in this one, as a line; empty where it did not run."""
    points = [(place, rate) for place, rate in test["history"]]
    if test["runs"]:
        points.append((before, test["passed"] / test["runs"]))
    if not points:
        return Markup("")
    width, height = 160, 18
    step = width / max(1, before)
    places = [(2 + place * step, 2 + (1 - rate) * (height - 4)) for place, rate in points]
    said = f"{100 * points[0][1]:.0f} % to {100 * points[-1][1]:.0f} % in {len(points)} regressions"
    last = places[-1]
    return Markup(
        '<svg class="line" width="{}" height="{}" role="img" aria-label="{}"><title>{}</title>'
        '<polyline points="{}" fill="none" stroke="#035"/><circle cx="{:.1f}" cy="{:.1f}" r="2" fill="{}"/></svg>'
    ).format(
        width + 4,
        height,
        said,
        said,
        _points(places),
        last[0],
        last[1],
        "#060" if points[-1][1] == 1 else "#b00",
    )


def _curve(curve: Sequence[tuple[int, int]], bins: int) -> Markup:
    """How coverage grew with the runs."""
    if not curve:
        return Markup("")
    width, height = 720, 140
    runs, top = curve[-1][0], curve[-1][1]
    places = [(20 + x / runs * width, 10 + (1 - y / top) * height) for x, y in [(0, 0), *curve]]
    return Markup(
        '<svg width="{}" height="{}" role="img" aria-label="coverage by runs">'
        '<polyline points="{}" fill="none" stroke="#035"/><text x="20" y="{}">0</text>'
        '<text x="{}" y="{}" text-anchor="end">{:,} runs</text><text x="24" y="12">{:,} of {:,} bins</text></svg>'
    ).format(width + 40, height + 30, _points(places), height + 24, width + 20, height + 24, runs, top, bins)


def _points(places: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
