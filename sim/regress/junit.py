# SPDX-License-Identifier: Apache-2.0
"""A regression as JUnit's XML, for a system of continuous integration: written result by result."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from assay.sim.regress.record import ERROR, PASSED, Entry, Regression, Result

__all__ = ["FILE", "write_junit"]

FILE = "junit.xml"

_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_junit(folder: Path) -> Path:
    """Write ``junit.xml`` into the folder of a regression; gives its path.

    Raises:
        AssayError: it holds no regression.
        OSError: the file cannot be written.
    """
    regression = Regression(folder)
    counts = Counter[str]()
    seconds = 0.0
    for result in regression.results():
        counts[result.state] += 1
        seconds += result.seconds
    total, errors = sum(counts.values()), counts[ERROR]
    sums = (
        f'tests="{total}" failures="{total - counts[PASSED] - errors}" errors="{errors}" time="{seconds:.3f}"'
    )
    name = _text(regression.header.name)
    path = folder / FILE
    partial = folder / f".{FILE}.partial"
    with partial.open("w", encoding="utf-8") as file:
        file.write(
            f'<?xml version="1.0" encoding="utf-8"?>\n<testsuites {sums}>\n<testsuite name={name} {sums}>\n'
        )
        for result in regression.results():
            file.write(_case(result, regression.header.entries[result.entry]))
        file.write("</testsuite>\n</testsuites>\n")
    partial.replace(path)
    return path


def _text(text: str) -> str:
    return quoteattr(_NO_XML.sub("?", text))


def _case(result: Result, entry: Entry) -> str:
    place = ".".join((entry.block, entry.variant, entry.simulator))
    name = _text(f"{entry.name}[{result.seed}]")
    head = f'<testcase classname={_text(place)} name={name} time="{result.seconds:.3f}"'
    if result.state == PASSED:
        return f'{head}><properties><property name="seed" value="{result.seed}"/></properties></testcase>\n'
    message = str(result.failure.get("message", "")) or result.state
    body = escape(_NO_XML.sub("?", f"{message}\n{result.replay}"))
    tag = "error" if result.state == ERROR else "failure"
    return (
        f'{head}><properties><property name="seed" value="{result.seed}"/>'
        f'<property name="replay" value={_text(result.replay)}/></properties>'
        f'<{tag} type="{result.state}" message={_text(message)}>'
        f"{body}</{tag}></testcase>\n"
    )
