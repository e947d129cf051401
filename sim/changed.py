# SPDX-License-Identifier: Apache-2.0
"""A plugin of pytest, which `make test` loads: with CHANGED=1, only tests run that a change may have touched.

Each test that passes is recorded with a hash over the contents of all that it may depend on; with CHANGED=1 a test
whose hash is the recorded one is left out. No times count, and a test without a record runs. A test depends on

- a simulation: the build's key (sources, parameters, flags, tools; see `sim.build`), the data files, the seed, and the
  Python of `golden`, `vectors`, `tb`, `sim` and of a user's repository;
- a test of `golden`, `vectors` or `tb`: its package, those that this imports, and the repository's files that were
  opened while it ran;
- any other test: every file of the repository, for it may start programs that read any.

Always: the version of Python and of each installed distribution.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from assay.sim import ROOT
from assay.sim.items import Item
from assay.sim.regression import seed_of_environment
from assay.sim.run import build_spec
from assay.tb.errors import AssayError
from assay.tb.json_file import write_json

RECORD = Path("sim/reports/passed.json")
"""Relative to pytest's root folder: test to its hash, and to the files that it opened with theirs."""

PACKAGES = ("golden", "vectors", "tb")
"""In the order of imports: each depends on those before it."""

HDL = {".sv", ".svh", ".v", ".vh", ".f", ".vlt"}
"""Suffixes of files that count through a build's key."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--changed", action="store_true", help="leave out the tests that no change has touched")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(_Changed(config))


class _Changed:
    """Hashes in the processes that run tests; the record in the one that reports them."""

    def __init__(self, config: pytest.Config) -> None:
        self.record = config.rootpath / RECORD
        self.root = config.rootpath
        self.selects = config.getoption("--changed")
        self.reports = not hasattr(config, "workerinput")
        self.keys: dict[str, str] = {}
        self.left_out = 0
        self.passed: dict[str, Any] = {}
        self.failed: set[str] = set()
        self.opened: set[str] = set()
        self.opened_before: set[str] = set()
        sys.addaudithook(self._audit)

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[0], str):
            self.opened.add(arguments[0])

    # In a worker, or in the only process --------------------------------------------------------
    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        self.opened_before = set(self.opened)  # at import: by any of them
        known = _read(self.record) if self.selects else {}
        untouched = []
        for item in items:
            self.keys[item.nodeid] = key = self._key(item)
            entry = known.get(item.nodeid)
            if entry and entry["key"] == key and entry["opened"] == self._digests(entry["opened"]):
                untouched.append(item)
        if untouched:
            config.hook.pytest_deselected(items=untouched)
            left_out = set(untouched)
            self.left_out = len(left_out)
            items[:] = [item for item in items if item not in left_out]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self) -> Iterator[None]:
        self.opened.clear()
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Iterator[None]:
        report: Any = yield
        report.assay_key = self.keys.get(item.nodeid, "")
        files = self.opened | self.opened_before if report.when == "teardown" else ()
        report.assay_opened = self._digests(self._of_repository(files))
        return report

    def _key(self, item: pytest.Item) -> str:
        simulation = next((v for v in _parameters(item) if isinstance(v, Item)), None)
        if simulation is not None:
            parts = [_simulation(simulation), _benches(simulation.block.root)]
        else:
            top = item.path.relative_to(ROOT).parts[0] if item.path.is_relative_to(ROOT) else ""
            if top in PACKAGES:
                parts = [folder_hash(ROOT / name) for name in PACKAGES[: PACKAGES.index(top) + 1]]
            else:
                parts = [_all_files(self.root)]
        return _hash([_software(), os.environ.get("SEED", ""), _file(item.path), *parts])

    def _of_repository(self, files: Iterable[str]) -> list[str]:
        """Those of the repository's files that are no output and belong to no package that counts as a whole."""
        own = tuple(
            str(self.root / name) + os.sep for name in (*PACKAGES, "sim", ".venv", ".git", ".hypothesis")
        )
        root = str(self.root) + os.sep
        paths = {os.path.abspath(file) for file in files}
        return sorted(
            p for p in paths if p.startswith(root) and not p.startswith(own) and "__pycache__" not in p
        )

    def _digests(self, files: Iterable[str]) -> dict[str, str]:
        return {file: _file(Path(file)) for file in files}

    # In the process that reports ----------------------------------------------------------------
    def pytest_testnodedown(self, node: Any) -> None:
        """A worker of xdist has ended; each has left out the same."""
        self.left_out = getattr(node, "workeroutput", {}).get("assay_left_out", self.left_out)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self.left_out:
            terminalreporter.write_line(
                f"assay: {self.left_out:,} tests left out: they passed, and nothing that they depend on has changed "
                f"since (recorded in {RECORD})"
            )

    def pytest_runtest_logreport(self, report: Any) -> None:
        if not report.passed:
            self.failed.add(report.nodeid)
        elif report.when == "teardown":
            self.passed[report.nodeid] = {"key": report.assay_key, "opened": report.assay_opened}

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if not self.reports:
            session.config.workeroutput["assay_left_out"] = self.left_out  # type: ignore[attr-defined]
        elif self.left_out and session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
            session.exitstatus = pytest.ExitCode.OK
        if self.reports and (self.passed or self.failed):
            record = _read(self.record) | self.passed
            for name in self.failed:
                record.pop(name, None)
            self.record.parent.mkdir(parents=True, exist_ok=True)
            write_json(self.record, record)


# -------------------------------------------------------------------------------------------------
# Hashes
# -------------------------------------------------------------------------------------------------
def _parameters(item: pytest.Item) -> Iterable[object]:
    callspec = getattr(item, "callspec", None)
    return callspec.params.values() if callspec else ()


def _simulation(item: Item) -> str:
    """Of a simulation's build, seed and data."""
    try:
        job = item.job(seed_of_environment())
        data = {name: _file(path) for name, path in job.block.resolve_data(job.data).items()}
        return _hash([build_spec(job).key(), job.seed, job.tests, job.x_random, data])
    except AssayError as error:  # the test says so, and does not pass
        return str(error)


@functools.cache
def _benches(root: Path) -> str:
    """Of the Python that runs in and around a simulation of a block of the repository ``root``."""
    own = [folder_hash(ROOT / name, tests=False) for name in (*PACKAGES, "sim")]
    return _hash([*own, *([] if root == ROOT else [_all_files(root)])])


@functools.cache
def folder_hash(folder: Path, tests: bool = True) -> str:
    """A hash of the names and contents of a folder's files, without those that count through a build's key."""
    files = (
        path
        for path in folder.rglob("*")
        if path.suffix not in HDL and "__pycache__" not in path.parts and (tests or "tests" not in path.parts)
    )
    outputs = tuple(folder / name for name in ("build", "runs", "reports"))
    kept = [path for path in files if not any(path.is_relative_to(output) for output in outputs)]
    return _hash([(str(path.relative_to(folder)), _file(path)) for path in sorted(kept)])


@functools.cache
def _all_files(root: Path) -> str:
    """Of all files of a repository that git does not ignore; without git, of all that are not hidden."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=root, capture_output=True
    )
    if listed.returncode == 0:
        names = sorted(filter(None, listed.stdout.decode().split("\0")))
    else:
        paths = (path.relative_to(root) for path in root.rglob("*"))
        names = sorted(str(p) for p in paths if not any(part.startswith(".") for part in p.parts))
    return _hash([(name, _file(root / name)) for name in names])


@functools.cache
def installed() -> str:
    """A hash of the versions of Python and of each installed distribution."""
    return _hash(
        [
            sys.version,
            sorted({d.metadata["Name"]: d.version for d in importlib.metadata.distributions()}.items()),
        ]
    )


@functools.cache
def _software() -> str:
    given = {name: text for name, text in os.environ.items() if name.startswith(("ASSAY_", "CI", "COCOTB_"))}
    return _hash([installed(), sorted(given.items())])


_digests: dict[tuple[str, int, int], str] = {}


def _file(path: Path) -> str:
    """A hash of a file's contents; empty where there is no file."""
    try:
        state = path.stat()
        key = (str(path), state.st_mtime_ns, state.st_size)
        if key not in _digests:
            _digests[key] = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        return _digests[key]
    except OSError:
        return ""


def _hash(parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()[:16]


def _read(record: Path) -> dict[str, Any]:
    """The record; empty where there is none that can be read."""
    try:
        return dict(json.loads(record.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}
