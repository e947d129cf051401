# SPDX-License-Identifier: Apache-2.0
"""Running a program. Its output goes to a log and, live, to a sink; it is stopped with everything that it started."""

from __future__ import annotations

import contextlib
import contextvars
import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import FileIO
from pathlib import Path
from typing import IO, Protocol

NO_SPACE = re.compile("No space left on device|Disk quota exceeded|File too large|Read-only file system")
"""Messages of a program that could not write, be it a compiler, Python or a simulator."""


class TimedOut(Exception):
    """The program was stopped because it took too long."""


class Stopped(Exception):
    """The program was stopped, or not even started, because of `Stopper.stop`."""


class Program(Protocol):
    """A program that runs, leader of its own session: a `subprocess.Popen`, or a child of `sim.forking`."""

    @property
    def pid(self) -> int:
        """Its process number."""

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status, once it has ended. Raises subprocess.TimeoutExpired after ``timeout`` seconds."""


class Stopper:
    """Ends, from any thread, the programs that another thread runs by `run_logged`: a build, then a simulator."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # the garbage collector may call `stop` anywhere
        self._process: Program | None = None
        self.stopped = False

    @contextlib.contextmanager
    def governs_this_thread(self) -> Iterator[None]:
        """In the block, what this thread runs is ended by `stop`."""
        token = _STOPPER.set(self)
        try:
            yield
        finally:
            _STOPPER.reset(token)

    def stop(self) -> None:
        """End the program that runs now, if any, and all that would follow it."""
        with self._lock:
            self.stopped = True
            process = self._process
        if process is not None:
            _stop(process)

    def watch(self, process: Program | None) -> None:
        """The process that runs now. Raises `Stopped` if it should not."""
        with self._lock:
            self._process = process
            if self.stopped:
                raise Stopped


_STOPPER: contextvars.ContextVar[Stopper | None] = contextvars.ContextVar("stopper", default=None)


def run_logged(
    command: Sequence[str],
    cwd: Path,
    environment: Mapping[str, str],
    log: Path,
    sink: Callable[[str], None] | None = None,
    timeout_s: float | None = None,
) -> int:
    """Run ``command``; append what it prints to ``log`` and hand each line to ``sink``. Returns its exit status.

    The program gets a session of its own, so that Ctrl-C reaches this process alone, which then stops the
    program and its children: no half-dead simulator stays behind, and it prints no traceback of its own.

    Raises:
        TimedOut: the program ran longer than ``timeout_s`` and was stopped.
        Stopped: the thread's `Stopper` was told to end it.
        OSError: the log cannot be written; the program was stopped.
    """
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    )
    assert process.stdout is not None  # for it is a pipe
    return follow(process, process.stdout, log, sink, timeout_s)


def follow(
    process: Program,
    output: IO[str],
    log: Path,
    sink: Callable[[str], None] | None = None,
    timeout_s: float | None = None,
) -> int:
    """The part of `run_logged` after the start, for a program whose output comes from ``output``, which is closed."""
    expired = threading.Event()
    stopper = _STOPPER.get()

    def expire() -> None:
        expired.set()
        _stop(process)

    timer = threading.Timer(timeout_s, expire) if timeout_s is not None else None
    if timer is not None:
        timer.start()
    try:
        with output, log.open("ab", buffering=0) as log_handle:
            if stopper is not None:
                stopper.watch(process)
            for line in output:
                _write(log_handle, line.encode(), log)
                if sink is not None:
                    sink(line.rstrip("\n"))
            status = process.wait()
            if stopper is not None:
                stopper.watch(None)
    except BaseException:
        _stop(process)
        raise
    finally:
        if timer is not None:
            timer.cancel()
    if expired.is_set():
        raise TimedOut
    return status


def _write(handle: FileIO, data: bytes, path: Path) -> None:
    """All of ``data``, at once: what a buffer holds back would be lost where a disk is full, or said too late."""
    try:
        while data:
            data = data[handle.write(data) :]
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


def _stop(process: Program) -> None:
    """End the program and all that it started: politely, then not."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=2)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
