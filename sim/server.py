# SPDX-License-Identifier: Apache-2.0
"""A simulator that stays up: a process that plays what it is sent over a connection.

The cocotb test ``serve`` of an engine's module (`RunsNetworks.engine`) runs in it for as long as the connection lasts.

What can go wrong, and what then holds:

- Whoever waits for an answer is interrupted (Ctrl-C, any exception). A thread of its own talks to the simulator, which
  no signal reaches: the exchange comes to its end, its answer is dropped, and the next request gets its own answer.
- The connection breaks, or the simulator ends. The engine is over: this request and all later ones raise `RunFailed`.
- The engine itself says that a request failed, which leaves the hardware in a state that nobody knows: `give_up`.
- The engine is closed, collected or its process exits. The simulator is ended: in its own time if it is idle, else by
  signals. Its run folder, its lock file and its socket go; a run that failed keeps its folder for the log. The next one
  removes what a killed process could not.
- The process forks. The child's copy is of no use there, and says so.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pickle
import queue
import re
import secrets
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, Listener
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

from assay.sim import outputs
from assay.sim.job import Job
from assay.sim.process import Stopped, Stopper
from assay.sim.run import Outcome, report, run_job
from assay.tb.errors import AssayError, RunFailed

__all__ = ["Announce", "Server"]

Announce = Callable[[str], None]

_GRACE_S = 5.0  #: an idle simulator that is told to end does so in a fraction of this
_KILLED_S = 15.0  #: after signals: longer than they need
_LONGEST_TEMPORARY = 60  #: a socket's address has 108 bytes

_OF_SERVER = re.compile(r"-\d+\.\d+\.lock$")  #: process and number, as `sim.engine.load` names its runs

_ALIVE: weakref.WeakSet[_Simulation] = weakref.WeakSet()


class Server:
    """One simulator process. It ends with `close`, with this object, or with the process that made it."""

    def __init__(self, job: Job, announce: Announce) -> None:
        """Start the simulator; comes back when it is ready.

        Raises:
            AssayError, RunFailed: the simulator does not come up.
        """
        self._simulation = _Simulation(job, announce)
        self._finalizer = weakref.finalize(self, self._simulation.end)

    def __reduce__(self) -> Any:
        raise AssayError(
            "a network on a simulator cannot be copied or sent to another process: load it there"
        )

    def check(self) -> None:
        """Refuse what cannot be asked.

        Raises:
            AssayError: the engine is closed, or belongs to another process.
            RunFailed: the simulation ended.
        """
        self._simulation.check()

    def ask(self, request: Any) -> Any:
        """The answer to a request, both as the engine module says. From any thread; one is answered after the other.

        Raises:
            AssayError: the engine is closed, belongs to another process, or the request cannot be sent.
            RunFailed: the simulation ended.
        """
        return self.begin(request).result()

    def begin(self, request: Any) -> _Asked:
        """As `ask`, without waiting: the simulator plays it when those before it are answered.

        Raises:
            AssayError, RunFailed: as `ask`.
        """
        return self._simulation.begin(request)

    def give_up(self, error: Exception) -> Exception:
        """End the simulator, since what it would answer next is not to be relied on; later requests raise `error`."""
        self._simulation.given_up = error
        self._finalizer()
        return error

    def close(self) -> None:
        """End the simulator; a second call does nothing.

        Raises:
            RunFailed: the simulation itself failed (an assertion of the HDL, say) and no request has said so.
        """
        try:
            self._simulation.close()
        finally:
            self._finalizer()


class _Asked:
    """A request on its way to the simulator."""

    def __init__(self, simulation: _Simulation, answer: Future) -> None:
        self._simulation = simulation
        self._answer = answer

    def result(self) -> Any:
        """Wait for the answer.

        Raises:
            RunFailed: the simulation ended.
        """
        try:
            made = self._answer.result()
        except BaseException:
            self.cancel()
            raise
        if made is None:
            raise self._simulation.failure()
        return pickle.loads(made)

    def cancel(self) -> None:
        """Not sent yet, it need not be; sent already, its answer is read and dropped."""
        self._answer.cancel()


class _Simulation:
    """The state that the threads of a `Server` share. They must not hold the server, or it would never be collected."""

    def __init__(self, job: Job, announce: Announce) -> None:
        self._owner = os.getpid()
        self._lock = threading.Lock()
        self._requests: queue.SimpleQueue[tuple[bytes, Future] | None] = queue.SimpleQueue()
        self._waiting = 0  # requests that are not answered yet
        self.given_up: Exception | None = None
        self._closed = False
        self._over = False
        self._outcome: Outcome | BaseException | None = None
        self._ended = threading.Event()
        self._stopper = Stopper()
        self._connection: Connection | None = None
        self._folder: Path | None = None
        self._runner: threading.Thread | None = None
        try:
            self._start(job, announce)
        except BaseException:
            self.end()
            raise
        _ALIVE.add(self)

    def _start(self, job: Job, announce: Announce) -> None:
        try:
            temporary = "/tmp" if len(tempfile.gettempdir()) > _LONGEST_TEMPORARY else None
            self._folder = Path(tempfile.mkdtemp(prefix="assay-", dir=temporary))
            address, key = str(self._folder / "engine"), secrets.token_bytes(16)
            listener = Listener(address, "AF_UNIX", authkey=key)
        except OSError as error:
            raise AssayError(f"no socket for the simulator can be made: {error.strerror or error}") from None
        own = {"ASSAY_ENGINE_ADDRESS": address, "ASSAY_ENGINE_KEY": key.hex()}
        job = replace(job, environment={**own, **job.environment})
        self._runner = threading.Thread(target=self._run, args=(job, announce, address, key), daemon=True)
        try:
            self._runner.start()
            try:
                self._connection = connection = listener.accept()
            except (EOFError, OSError, AuthenticationError):
                raise self.failure() from None
            if self._ended.is_set():
                raise self.failure()
        finally:
            listener.close()
        threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def check(self) -> None:
        """See `Server.check`."""
        if os.getpid() != self._owner:
            raise AssayError(
                f"this engine belongs to process {self._owner}, of which this process is a fork: load the network here"
            )
        if self.given_up is not None:
            raise self.given_up
        if self._closed:
            raise AssayError("this engine is closed: load the network again")
        if self._over:
            raise self.failure()

    def begin(self, request: Any) -> _Asked:
        """See `Server.begin`."""
        self.check()
        try:
            packed = bytes(ForkingPickler.dumps(request))
        except Exception as error:  # an object's own methods may raise anything
            raise AssayError(f"the request cannot be sent to the simulator: {error}") from error
        answer: Future = Future()
        with self._lock:
            taken = not (self._over or self._closed)
            if taken:
                self._waiting += 1
                self._requests.put((packed, answer))
        if not taken:
            self.check()
        return _Asked(self, answer)

    def close(self) -> None:
        """See `Server.close`."""
        if os.getpid() != self._owner:
            return
        with self._lock:
            idle = not (self._waiting or self._closed or self._over)
            self._closed = True
        if idle:
            self._requests.put(None)
            self._ended.wait(_GRACE_S)
            if isinstance(self._outcome, Outcome) and not self._outcome.passed:
                raise self.failure()

    def end(self) -> None:
        """End the simulator, by signals if it still runs."""
        if os.getpid() != self._owner:
            return
        self._closed = True
        self._stopper.stop()
        self._requests.put(None)
        if self._runner is not None and self._runner.ident not in (None, threading.get_ident()):
            self._ended.wait(_KILLED_S)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def forked(self) -> None:
        """In the child of a fork: leave the connection to the parent."""
        self._lock = threading.Lock()
        if self._connection is not None:
            with contextlib.suppress(OSError):
                self._connection.close()

    def _run(self, job: Job, announce: Announce, address: str, key: bytes) -> None:
        """The simulator's life."""

        # What a server runs is not known yet, and a replay of it is its user's.
        def told(line: str) -> None:
            if not line.startswith("running "):
                announce(line)

        try:
            _sweep(outputs.run_root(job.block))
            with self._stopper.governs_this_thread():
                self._outcome = run_job(job, told)
        except BaseException as error:  # handed over to whoever waits for the server
            self._outcome = error
        finally:
            try:
                self._tidy(job)
            finally:  # whoever waits must not wait for ever, whatever happens to the folder
                self._ended.set()
            # Wakes who still waits for the simulator to come up; who awaits an answer sees its connection's end.
            with contextlib.suppress(OSError, EOFError, AuthenticationError):
                Client(address, authkey=key).close()

    def _tidy(self, job: Job) -> None:
        """Remove the run's folder, but for the log of a failure, and its lock, which no other run has."""
        folder = outputs.run_root(job.block) / job.name
        if isinstance(self._outcome, Outcome) and not self._outcome.passed:
            (folder / "run.json").unlink(missing_ok=True)  # nobody can replay it: `make waves` must not try
        else:
            shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            folder.with_name(f".{folder.name}.lock").unlink()

    def _talk(self, connection: Connection) -> None:
        """One exchange after the other, each to its end whatever happens to who asked for it."""
        answer: Future | None = None
        try:
            while (item := self._requests.get()) is not None:
                packed, answer = item
                if answer.set_running_or_notify_cancel():
                    connection.send_bytes(packed)
                    answer.set_result(connection.recv_bytes())
                with self._lock:
                    self._waiting -= 1
                answer = None
            connection.send_bytes(ForkingPickler.dumps(None))
        except (EOFError, OSError):
            pass  # the simulator is gone, or an answer was cut off; its outcome says why
        finally:
            with self._lock:
                self._over = True
            connection.close()
            if answer is not None:
                answer.set_result(None)
            with contextlib.suppress(queue.Empty):
                while True:
                    item = self._requests.get_nowait()
                    if item is not None and item[1].set_running_or_notify_cancel():
                        item[1].set_result(None)

    def failure(self) -> Exception:
        """Why the simulator is gone."""
        if not self._ended.wait(_GRACE_S):
            self._stopper.stop()
            self._ended.wait(_KILLED_S)
        outcome = self._outcome
        if isinstance(outcome, Stopped):
            return AssayError("this engine was ended during a request: load the network again")
        if isinstance(outcome, Exception):
            return outcome
        if not isinstance(outcome, Outcome):
            return RunFailed("the simulator was interrupted")
        # A replay of what a server ran is its user's.
        told = "\n".join(line for line in report(outcome) if not line.lstrip().startswith("replay "))
        ended = all(result.status == "passed" for result in outcome.results) and outcome.results
        return RunFailed(
            f"the simulation {'reported errors' if ended else 'ended before the network did'}\n{told}"
        )


def _sweep(folder: Path) -> None:
    """Remove the runs of servers whose process was killed: their locks are there, and nobody holds them."""
    for lock in folder.glob(".*.lock"):
        if not _OF_SERVER.search(lock.name):
            continue
        with contextlib.suppress(OSError), lock.open() as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder / lock.name[1:].removesuffix(".lock"), ignore_errors=True)
            lock.unlink()


def _forget() -> None:
    """In the child of a fork: else a simulator would wait for its parent's child, too."""
    for simulation in list(_ALIVE):
        simulation.forked()


os.register_at_fork(after_in_child=_forget)
