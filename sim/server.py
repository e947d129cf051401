# SPDX-License-Identifier: Apache-2.0
"""A simulator that stays up: a process that plays what it is sent over a connection.

The cocotb test ``serve`` of a target's engine module (`Target.engine`) runs in it for as long as the connection lasts.
"""

from __future__ import annotations

import contextlib
import queue
import secrets
import shutil
import tempfile
import threading
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any

from sim.errors import RunFailed
from sim.job import Job
from sim.run import Outcome, report, run_job

__all__ = ["Announce", "Server"]

Announce = Callable[[str], None]


class Server:
    """One simulator process."""

    def __init__(self, job: Job, announce: Announce) -> None:
        """Raises `AssayError`, `RunFailed` if the simulator does not come up."""
        self._outcome: queue.Queue[Outcome | BaseException] = queue.Queue(1)
        self._folder = Path(tempfile.mkdtemp(prefix="assay-"))
        key = secrets.token_bytes(16)
        address = str(self._folder / "engine")
        listener = Listener(address, "AF_UNIX", authkey=key)
        job = replace(
            job,
            environment={"ASSAY_ENGINE_ADDRESS": address, "ASSAY_ENGINE_KEY": key.hex(), **job.environment},
        )
        self._thread = threading.Thread(target=self._run, args=(job, announce, address, key), daemon=True)
        self._connection: Connection | None = None
        try:
            self._thread.start()
            self._connection = listener.accept()
            if not self._outcome.empty():
                raise self._failure()
        except BaseException:
            self.close()
            raise
        finally:
            listener.close()

    def _run(self, job: Job, announce: Announce, address: str, key: bytes) -> None:
        try:
            # What a server runs is not known yet, and a replay of it is its user's.
            told = lambda line: None if line.startswith("running ") else announce(line)  # noqa: E731
            self._outcome.put(run_job(job, told))
        except BaseException as error:  # handed over to whoever waits for the server
            self._outcome.put(error)
        finally:
            # Wakes who still waits for the simulator to come up; who awaits an answer sees its connection's end.
            with contextlib.suppress(OSError, EOFError):
                Client(address, authkey=key).close()

    def _failure(self) -> Exception:
        """Why the server is gone."""
        outcome = self._outcome.get()
        self._outcome.put(outcome)
        if isinstance(outcome, Exception):
            return outcome
        if isinstance(outcome, BaseException):
            return RunFailed("the simulator was interrupted")
        told = "\n".join(report(outcome))
        return RunFailed(f"the simulation ended before the network did\n{told}")

    def ask(self, request: Any) -> Any:
        """The answer to a request, both as the engine module says.

        Raises:
            RunFailed: the simulation ended.
        """
        try:
            self._connection.send(request)
            return self._connection.recv()
        except (EOFError, OSError):
            raise self._failure() from None

    def close(self) -> None:
        """End the simulator."""
        if self._connection is not None:
            with contextlib.suppress(OSError):
                self._connection.send(None)
            self._connection.close()
            self._connection = None
        self._thread.join(timeout=10)
        shutil.rmtree(self._folder, ignore_errors=True)
