# SPDX-License-Identifier: Apache-2.0
"""Simulations that fork from one process which has started once.

To start a simulator with cocotb takes longer than most tests: it loads the design and Python, and imports the bench. A
`ForkingSimulator` starts it once for each build, up to the first time step, and each test with each seed goes on from
there in a child of its own (:mod:`sim.fork_point`). A seed that the HDL's initial state depends on is one of the
command line, and has a process of its own. A child runs as it would run alone: it has the same initial state, the
same environment and its own output, and it ends, or is stopped, without harm to the next.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from assay.sim.fork_point import ENTRY_POINTS, SEED, SOCKET
from assay.sim.process import TimedOut, follow, run_logged

OF_ONE_TEST = frozenset(
    [
        *(
            "ASSAY_RUN_DIR",
            "ASSAY_REPLAY",
            "COCOTB_TEST_FILTER",
            "COCOTB_RESULTS_FILE",
            "PYTEST_CURRENT_TEST",
            "ASSAY_CASE",
        ),
        "ASSAY_MUTANT",
        "COCOTB_RANDOM_SEED",
    ]
)
"""Variables of the environment in which the tests of one process may differ."""


class ForkingSimulator:
    """Runs simulators, as `sim.process.run_logged` does, forking where the one that is running serves.

    One process at most is kept ready: that of the last command and environment.
    """

    def __init__(self) -> None:
        self._key = ""
        self._unfit: set[str] = set()
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: socket.socket | None = None
        self._preamble = b""

    def run(
        self,
        command: Sequence[str],
        cwd: Path,
        environment: Mapping[str, str],
        log: Path,
        sink: Callable[[str], None] | None = None,
        timeout_s: float | None = None,
    ) -> int:
        """As `sim.process.run_logged`. Where the simulator cannot be forked, it is started for this test alone."""
        shared = {name: text for name, text in environment.items() if name not in OF_ONE_TEST}
        key = json.dumps([list(command), sorted(shared.items())])
        if key in self._unfit:
            return run_logged(command, cwd, environment, log, sink, timeout_s)
        try:
            if key != self._key:
                self.close()
                self._start(command, shared, timeout_s)
                self._key = key
            child = self._fork({name: environment[name] for name in OF_ONE_TEST if name in environment}, cwd)
            if child is not None:
                preamble = self._preamble.replace(SEED.encode(), environment["COCOTB_RANDOM_SEED"].encode())
                log.write_bytes(preamble)
                if sink is not None:
                    for line in preamble.decode(errors="replace").splitlines():
                        sink(line)
                return follow(child, child.output, log, sink, timeout_s)
        except TimedOut:
            raise
        except BaseException:
            self.close()  # where the exchange stopped is not known
            raise
        self.close()
        self._unfit.add(key)
        return run_logged(command, cwd, environment, log, sink, timeout_s)

    @property
    def ready(self) -> int | None:
        """The number of the process that is kept ready, if there is one."""
        return None if self._process is None else self._process.pid

    def close(self) -> None:
        """End the process that is kept ready."""
        self._key = ""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _start(self, command: Sequence[str], environment: Mapping[str, str], timeout_s: float | None) -> None:
        """Start the process and wait until it can be forked; it does not answer where it cannot."""
        self._connection, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, tempfile.TemporaryFile() as output:
            self._process = subprocess.Popen(
                command,
                cwd=tempfile.gettempdir(),
                env={
                    **environment,
                    "PYGPI_USERS": ",".join(ENTRY_POINTS),
                    SOCKET: str(theirs.fileno()),
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
            theirs.close()
            self._connection.settimeout(timeout_s)
            with contextlib.suppress(OSError):
                self._connection.recv(16)
            self._connection.settimeout(None)
            output.seek(0)
            self._preamble = output.read()

    def _fork(self, environment: Mapping[str, str], cwd: Path) -> _Child | None:
        """A child that runs a test; None where the process has ended."""
        connection = self._connection
        assert connection is not None
        request = json.dumps({"environment": environment, "folder": str(cwd)}).encode()
        read, write = os.pipe()
        output = os.fdopen(read, encoding="utf-8", errors="replace")
        try:
            with contextlib.suppress(OSError):
                socket.send_fds(connection, [request], [write])
                if pid := connection.recv(32):
                    return _Child(int(pid), output, connection)
        finally:
            os.close(write)
        output.close()
        return None


class _Child:
    """A forked simulation; the part of `subprocess.Popen` that `sim.process` needs."""

    def __init__(self, pid: int, output: IO[str], connection: socket.socket) -> None:
        self.pid = pid
        self.output = output
        self._connection = connection
        self._lock = threading.Lock()
        self._status: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        """The exit status; a negative one is the signal that ended the child."""
        with self._lock:  # that which stops it waits, too
            if self._status is None:
                self._connection.settimeout(timeout)
                try:
                    answer = self._connection.recv(32)
                except TimeoutError:
                    raise subprocess.TimeoutExpired([], timeout or 0) from None
                finally:
                    self._connection.settimeout(None)
                self._status = os.waitstatus_to_exitcode(int(answer)) if answer else -signal.SIGKILL
        return self._status
