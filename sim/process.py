# SPDX-License-Identifier: Apache-2.0
"""Running a program: its output into a log and, live, to a sink; stopped with everything it started."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from io import FileIO
from pathlib import Path

NO_SPACE = re.compile("No space left on device|Disk quota exceeded|File too large|Read-only file system")
"""What a program that could not write says, be it a compiler, Python or a simulator."""


class TimedOut(Exception):
    """The program was stopped because it took too long."""


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
        OSError: the log cannot be written; the program was stopped.
    """
    expired = threading.Event()
    with log.open("ab", buffering=0) as log_handle:
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

        def expire() -> None:
            expired.set()
            _stop(process)

        timer = threading.Timer(timeout_s, expire) if timeout_s is not None else None
        if timer is not None:
            timer.start()
        try:
            for line in process.stdout:
                _write(log_handle, line.encode(), log)
                if sink is not None:
                    sink(line.rstrip("\n"))
            status = process.wait()
        except BaseException:
            _stop(process)
            raise
        finally:
            if timer is not None:
                timer.cancel()
            process.stdout.close()
    if expired.is_set():
        raise TimedOut
    return status


def _write(handle: FileIO, data: bytes, path: Path) -> None:
    """All of ``data``, at once: what a buffer holds back would be lost where a disk is full, or said too late."""
    try:
        while data:
            data = data[handle.write(data) :]
    except OSError as error:
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from None


def _stop(process: subprocess.Popen) -> None:
    """End the program and all that it started: politely, then not."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=2)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
