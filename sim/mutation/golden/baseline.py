# SPDX-License-Identifier: Apache-2.0
"""Which tests reach which lines of the golden model: one run of all its tests, kept in the build cache."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import coverage

from assay.sim.changed import folder_hash, installed
from assay.sim.checkout import environment_of
from assay.tb.errors import RunFailed

PROGRAM = Path(__file__).with_name("record.py")

NAME = "golden-baseline"
"""Of the folders in the build cache."""

SHOWN = 3
"""Failures that are told."""


@dataclass(frozen=True)
class Code:
    """A package and its tests.

    Attributes:
        root: the checkout, of which a copy is made.
        package: folder of the package, relative to it; its tests are in `tests` there.
        besides: folders whose files the tests read.
    """

    root: Path
    package: str = "golden"
    besides: tuple[str, ...] = ("vectors", "docs")

    @property
    def tests(self) -> str:
        """The folder of the tests."""
        return f"{self.package}/tests"

    def files(self) -> list[Path]:
        """The sources that faults are made in."""
        folder = self.root / self.package
        return [p for p in sorted(folder.rglob("*.py")) if "tests" not in p.relative_to(folder).parts]

    @cached_property
    def state(self) -> str:
        """A hash of all that a result depends on."""
        folders = [folder_hash(self.root / name) for name in (self.package, *self.besides)]
        return hashlib.sha256(json.dumps([installed(), *folders]).encode()).hexdigest()[:16]


class Baseline:
    """The tests, with the lines that they reach.

    Args:
        folder: as `ensure_baseline` has filled it.
        code: what was run.

    Attributes:
        seconds: of each test that passed, by its name.
        modules: file with the names of the modules of installed packages that the tests import.
    """

    def __init__(self, folder: Path, code: Code) -> None:
        content = json.loads((folder / "tests.json").read_text(encoding="utf-8"))
        self.seconds: dict[str, float] = content["seconds"]
        self.modules = folder / "modules.json"
        self._code = code
        self._data = coverage.CoverageData(str(folder / "coverage"))
        self._data.read()
        self._by_file: dict[Path, _Reached] = {}
        self._of_module: dict[str, list[str]] = {}
        for name in self.seconds:
            self._of_module.setdefault(name.partition("::")[0], []).append(name)

    def reaching(self, file: Path, source: bytes, line: int) -> set[str]:
        """The tests that reach the statement of a line: for one that is executed when its file is imported, all that
        reach anything in the file.

        Args:
            source: the content of the file.
        """
        if file not in self._by_file:
            lines = self._data.contexts_by_lineno(file.relative_to(self._code.root).as_posix())
            self._by_file[file] = _Reached.of(source, lines)
        tests: set[str] = set()
        for context in self._by_file[file].contexts(line):
            tests |= {context} if context in self.seconds else set(self._of_module.get(context, ()))
        return tests


@dataclass(frozen=True)
class _Reached:
    """The contexts in which a file's lines were executed.

    Attributes:
        lines: line -> contexts.
        inside: the lines of functions; others are executed when the file is imported.
        statements: line -> first and last line of the innermost statement that holds it, without those inside.
    """

    lines: Mapping[int, list[str]]
    inside: set[int]
    statements: Mapping[int, tuple[int, int]]

    @classmethod
    def of(cls, source: bytes, lines: Mapping[int, list[str]]) -> _Reached:
        statements: dict[int, tuple[int, int]] = {}
        inside: set[int] = set()

        def visit(node: ast.AST, in_function: bool) -> None:
            is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            if isinstance(node, ast.stmt):
                assert node.end_lineno is not None  # as that of parsed code is
                body = getattr(node, "body", None)
                last = max(node.lineno, body[0].lineno - 1) if body else node.end_lineno
                for line in range(node.lineno, node.end_lineno + 1):
                    statements[line] = (node.lineno, last)
                if in_function and not is_function:
                    inside.update(range(node.lineno, node.end_lineno + 1))
            for child in ast.iter_child_nodes(node):
                visit(child, in_function or is_function)

        visit(ast.parse(source), False)
        return cls(lines, inside, statements)

    def contexts(self, line: int) -> set[str]:
        first, last = self.statements.get(line, (line, line))
        span = range(first, last + 1) if first in self.inside else self.inside
        return {context for each in span for context in self.lines.get(each, ()) if context}


def ensure_baseline(
    code: Code, copies: Sequence[Path], cache: Path, announce: Callable[[str], None]
) -> Baseline:
    """The baseline of a package, from the build cache if it is there.

    Args:
        copies: of the checkout, in which the tests are run, one part of them in each.
        cache: the build cache.

    Raises:
        RunFailed: a test does not pass.
    """
    folder = cache / f"{NAME}-{code.state}"
    if not (folder / "tests.json").is_file():
        announce(f"running all tests of {code.package} once, to see what each of them reaches")
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix=f".{NAME}-") as partial:
            _record(code, copies, Path(partial))
            for old in cache.glob(f"{NAME}-*"):
                shutil.rmtree(old)
            os.rename(partial, folder)
            Path(partial).mkdir()  # for its own end
    return Baseline(folder, code)


def _record(code: Code, copies: Sequence[Path], folder: Path) -> None:
    files = sorted((copies[0] / code.tests).rglob("test_*.py"))
    names = [file.relative_to(copies[0]).as_posix() for file in files]
    parts = [folder / str(number) for number, _ in enumerate(copies) if names[number :: len(copies)]]
    running = []
    try:
        for number, (part, copy) in enumerate(zip(parts, copies, strict=False)):
            part.mkdir()
            command = [
                sys.executable,
                "-P",
                str(PROGRAM),
                code.package,
                str(part),
                *names[number :: len(copies)],
            ]
            with (part / "log").open("wb") as log:
                running.append(
                    subprocess.Popen(
                        command,
                        cwd=copy,
                        env=environment_of_tests(copy),
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                        start_new_session=True,
                    )
                )
        bad = [part for part, process in zip(parts, running, strict=True) if process.wait()]
    finally:
        for process in running:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    if bad or not parts:
        told = _failures(bad[0]) if bad else ["there are none"]
        raise RunFailed(
            f"{code.package} without a fault does not pass its tests, so no mutant is run\n" + "\n".join(told)
        )
    data = coverage.CoverageData(str(folder / "coverage"))
    seconds: dict[str, float] = {}
    modules: set[str] = set()
    for part in parts:
        each = coverage.CoverageData(str(part / "coverage"))
        each.read()
        data.update(each)
        content = json.loads((part / "tests.json").read_text(encoding="utf-8"))
        seconds |= content["seconds"]
        modules |= set(content["modules"])
        shutil.rmtree(part)
    data.write()
    (folder / "modules.json").write_text(json.dumps(sorted(modules)), encoding="utf-8")
    (folder / "tests.json").write_text(json.dumps({"seconds": seconds}), encoding="utf-8")


def _failures(part: Path) -> list[str]:
    """What a run of tests says that did not pass: of its first failures, else of its end."""
    with contextlib.suppress(OSError, ValueError):
        content = json.loads((part / "tests.json").read_text(encoding="utf-8"))
        if content["failed"]:
            return [f"{name}\n{text}" for name, text in list(content["failed"].items())[:SHOWN]]
    return (part / "log").read_text(encoding="utf-8", errors="replace").splitlines()[-20:]


def environment_of_tests(copy: Path) -> dict[str, str]:
    """That in which the tests of a copy run. The byte code of its files is kept, for many runs import them."""
    environment = environment_of(copy) | {"OPENBLAS_NUM_THREADS": "1"}
    for name in ("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX"):
        environment.pop(name, None)
    return environment
