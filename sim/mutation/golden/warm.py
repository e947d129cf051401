# SPDX-License-Identifier: Apache-2.0
"""A program: imports installed packages once, and is forked for each run of tests.

    python -P warm.py MODULES

MODULES is a file with the names of modules to import, a JSON list. Each line of standard input is a request, a JSON
object: `tests` (names of tests, in the order in which to run them), `seconds` (test's name -> seconds that it may
take), `limit` (seconds for all), `log` (file for what pytest prints). The answer is a line of JSON with the fields of
`Answer`. It imports nothing of Assay's, for the package is that of a copy of the checkout.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import resource
import signal
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, settings

MEMORY = 4 << 30
"""Bytes that a run may take beside what it begins with: a fault may ask for any number."""

PASSED, FAILED, TIMED_OUT, CRASHED = "passed", "failed", "timed out", "crashed"


@dataclass
class Answer:
    """What became of a run.

    Attributes:
        state: passed, failed, timed out or crashed.
        test: the one that failed or did not end.
        check: the type of the exception that it failed with.
        message: the exception's first line.
        ran: number of tests that were begun.
    """

    state: str
    test: str = ""
    check: str = ""
    message: str = ""
    ran: int = 0


class Chosen:
    """A plugin of pytest: runs the tests of a request in their order; tells the first that fails or does not end."""

    def __init__(self, request: dict[str, Any]) -> None:
        self.answer = Answer(PASSED)
        self._seconds: dict[str, float] = request["seconds"]
        self._order = {name: number for number, name in enumerate(request["tests"])}
        signal.signal(signal.SIGALRM, self._expire)

    def pytest_sessionstart(self) -> None:
        quick = [Phase.explicit, Phase.reuse, Phase.generate]  # the smallest example that fails helps nobody
        settings.register_profile("mutant", settings.default, phases=quick, deadline=None)
        settings.load_profile("mutant")

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        # A fault may change the parameters of a test, and so its name: then all of that test are run.
        found = {item.nodeid for item in items}
        renamed = {name.partition("[")[0] for name in self._order if name not in found}
        last = len(self._order)
        kept = [
            item for item in items if item.nodeid in self._order or item.nodeid.partition("[")[0] in renamed
        ]
        items[:] = sorted(kept, key=lambda item: self._order.get(item.nodeid, last))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.answer.test = nodeid
        self.answer.ran += 1
        signal.setitimer(signal.ITIMER_REAL, self._seconds.get(nodeid, max(self._seconds.values())))

    def pytest_runtest_logfinish(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)

    def pytest_exception_interact(self, node: Any, call: pytest.CallInfo[Any]) -> None:
        assert call.excinfo is not None  # as pytest says
        lines = str(call.excinfo.value).strip().splitlines() or [""]
        self.answer.state, self.answer.test = FAILED, node.nodeid
        self.answer.check, self.answer.message = call.excinfo.typename, lines[0][:300]

    def _expire(self, number: int, frame: object) -> None:
        self.answer.state = TIMED_OUT
        tell(self.answer)
        os._exit(1)


def tell(answer: Answer) -> None:
    """Write the answer where the process that forked reads it."""
    os.write(PIPE, json.dumps(asdict(answer)).encode())


PIPE = -1
"""In a forked process: where its answer goes."""


def run(request: dict[str, Any]) -> Answer:
    """Run a request in a process of its own."""
    global PIPE
    reader, PIPE = os.pipe()
    child = os.fork()
    if child == 0:
        _child(request)
    os.close(PIPE)
    deadline, parent = time.monotonic() + request["limit"], os.getppid()
    ended = late = False
    try:
        while not ended and not late and os.getppid() == parent:  # else whoever asks has gone
            time.sleep(0.01)
            ended = os.waitpid(child, os.WNOHANG)[0] == child
            late = time.monotonic() > deadline
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)  # it, or what it has left behind
        if not ended:
            os.waitpid(child, 0)
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    if text:
        return Answer(**json.loads(text))
    return Answer(TIMED_OUT if late else CRASHED, message="" if late else "Python ended without a word")


def _child(request: dict[str, Any]) -> None:
    status = 1
    try:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for target, source in ((0, nothing), (1, log), (2, log)):
            os.dup2(source, target)
        sys.dont_write_bytecode = True
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
        files = dict.fromkeys(name.partition("::")[0] for name in request["tests"])
        plugin = Chosen(request)
        arguments = ["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0", *files]
        ended = pytest.main(arguments, plugins=[plugin])
        answer = plugin.answer
        if answer.state == PASSED and ended not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            answer.state, answer.check = FAILED, "pytest"
            answer.message = f"ended with status {int(ended)} before it ran a test"
        tell(answer)
        status = 0
    finally:
        os._exit(status)


def main(modules: Path) -> None:
    """Import the modules, then answer requests."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))
    for name in json.loads(modules.read_text(encoding="utf-8")):
        with contextlib.suppress(Exception):  # one that is no module of its own, or of a plugin
            importlib.import_module(name)
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        print(json.dumps(asdict(run(json.loads(line)))), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
