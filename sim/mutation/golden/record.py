# SPDX-License-Identifier: Apache-2.0
"""A program: runs tests once, and records which lines of a package each of them reaches, and how long it takes.

    python -P record.py PACKAGE FOLDER TESTS...

writes ``coverage`` (coverage.py's data, a context a test) and ``tests.json`` into FOLDER. What is computed before a
test, as in a fixture of a module or while a module of tests is imported, has the name of that module as its context,
and counts for each of its tests. The program imports nothing of Assay's, for the package is that of a copy of the
checkout.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import coverage
import pytest


class Recorder:
    """A plugin of pytest."""

    def __init__(self, record: coverage.Coverage) -> None:
        self.seconds: dict[str, float] = {}
        self.failed: dict[str, str] = {}
        self.modules: list[str] = []
        self._record = record

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self, collector: pytest.Collector) -> Iterator[None]:
        self._record.switch_context(collector.nodeid if isinstance(collector, pytest.Module) else "")
        try:
            report: Any = yield
        finally:
            self._record.switch_context("")
        if report.failed:
            self.failed[report.nodeid] = str(report.longrepr)
        return report

    def pytest_collection_finish(self) -> None:
        self.modules = sorted(name for name, module in sys.modules.items() if _is_foreign(name, module))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        _forget()
        self._record.switch_context(item.nodeid)
        try:
            return (yield)
        finally:
            self._record.switch_context("")

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any, request: Any) -> Iterator[None]:
        if fixturedef.scope == "function":
            return (yield)
        self._record.switch_context(request.node.nodeid)
        try:
            return (yield)
        finally:
            self._record.switch_context(request._pyfuncitem.nodeid)

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration
        if report.skipped:
            self.seconds.pop(report.nodeid)
        if report.failed:
            self.failed[report.nodeid] = report.longreprtext


def _forget() -> None:
    """Empty the caches of functions: a later test would not reach what an earlier one has computed."""
    for name, module in list(sys.modules.items()):
        if name.startswith("assay."):
            for each in list(vars(module).values()):
                if isinstance(each, functools._lru_cache_wrapper):
                    each.cache_clear()


def _is_foreign(name: str, module: ModuleType | None) -> bool:
    """Whether a module is one of an installed package, which no fault touches."""
    file = getattr(module, "__file__", None) or ""
    return "site-packages" in file and name.partition(".")[0] not in ("assay", "coverage")


def main(package: str, folder: Path, tests: Sequence[str]) -> int:
    """Run the tests; pytest's exit status."""
    record = coverage.Coverage(
        data_file=str(folder / "coverage"), config_file=False, source=[package], omit=[f"{package}/tests/*"]
    )
    record.set_option("run:relative_files", True)
    recorder = Recorder(record)
    record.start()
    try:
        status = pytest.main(
            ["-q", "-p", "no:cacheprovider", "--hypothesis-seed=0", *tests], plugins=[recorder]
        )
    finally:
        record.stop()
        record.save()
    content = {"seconds": recorder.seconds, "failed": recorder.failed, "modules": recorder.modules}
    (folder / "tests.json").write_text(json.dumps(content), encoding="utf-8")
    return int(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:]))
