# SPDX-License-Identifier: Apache-2.0
"""The workers of a regression: a cluster of Dask, on this machine or another one.

Dask distributes the items, notices workers that go away and gives their items to others. Here it gets the project, and
workers that are not fit are left out by name.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import queue
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle
import dask
from distributed import Client, Future, LocalCluster, Security
from distributed.scheduler import KilledWorker

from assay.sim.regress import remote
from assay.sim.regress.archive import Archive
from assay.tb.errors import AssayError

CONNECT_S = 20
"""To reach a scheduler."""

EARLY_S = 5
"""A worker that ends sooner has not come to run an item."""

SILENT_S = 60
"""After which a worker of the local cluster that says nothing is gone."""

# The workers need no Assay: they get this module as it is.
cloudpickle.register_pickle_by_value(remote)


@dataclass(frozen=True)
class Where:
    """Which cluster.

    Attributes:
        cluster: address of a scheduler (``tcp://`` or ``tls://``), or ``package.module:function`` that makes one of
            Dask's clusters; empty: one on this machine.
        jobs: workers of the cluster on this machine.
        attempts: workers of it that an item may take with it.
        tls_ca, tls_cert, tls_key: files, for ``tls://``.
        cache: folder in which workers of this machine unpack projects.
    """

    cluster: str = ""
    jobs: int = 1
    attempts: int = 3
    tls_ca: str = ""
    tls_cert: str = ""
    tls_key: str = ""
    cache: Path = Path()


class Workers:
    """Workers that run items. Close it in any case.

    Args:
        where: they are.
        archive: the project.
        settings: more of `remote.Project`'s: versions, disk, memory.
        announce: receives what happens to workers.

    Raises:
        AssayError: the cluster cannot be reached, or has another version of Dask that does not understand this one.
    """

    def __init__(
        self, where: Where, archive: Archive, settings: Mapping[str, Any], announce: Callable[[str], None]
    ) -> None:
        self._announce = announce
        self._cluster: Any = None
        self._processes: _Processes | None = None
        self._client: Any = None
        self.refused: dict[str, str] = {}
        """Address of a worker that is not used to the reason."""
        self.local = not where.cluster
        self._settle()
        try:
            self._client = self._connect(where)
            here = {"cache": str(where.cache), "builds": str(where.cache.parent)} if self.local else {}
            asked = {**archive.settings, "cache": "", "builds": "", **settings, **here}
            plugin = remote.Project(archive.key, archive.content, asked)
            self._name = plugin.name
            self._client.register_plugin(plugin)
        except BaseException:
            self.close()
            raise
        self._done: queue.SimpleQueue[tuple[Any, Future]] = queue.SimpleQueue()

    @staticmethod
    def _settle() -> None:
        """Dask says little, and takes a worker that does not answer for lost."""
        warnings.filterwarnings("ignore", module="distributed")
        for name in ("distributed", "tornado"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        dask.config.set(
            {
                "distributed.scheduler.worker-ttl": f"{SILENT_S}s",
                "distributed.admin.system-monitor.gil.enabled": False,
                "distributed.worker.memory.target": False,
                "distributed.worker.memory.spill": False,
                "distributed.worker.memory.pause": False,
                "distributed.worker.memory.terminate": False,
                "distributed.logging": {"distributed": "critical"},
            }
        )

    def _connect(self, where: Where) -> Client:
        if not where.cluster:
            dask.config.set({"distributed.scheduler.allowed-failures": where.attempts - 1})
            self._cluster = LocalCluster(
                n_workers=0,
                protocol="tcp://",
                host="127.0.0.1",  # who reaches a worker's port can run what he wants
                dashboard_address=None,
                silence_logs=logging.CRITICAL,
            )
            client = Client(self._cluster, set_as_default=False)
            self._processes = _Processes(self._cluster.scheduler_address, where)
            return client
        if "://" not in where.cluster:
            return Client(_made(where.cluster), set_as_default=False, timeout=CONNECT_S)
        try:
            return Client(where.cluster, security=_security(where), set_as_default=False, timeout=CONNECT_S)
        except (OSError, RuntimeError, TypeError, ValueError) as error:  # TypeError: tls:// without files
            # The client is half made: what it says when it goes is no help.
            sys.unraisablehook = lambda unraisable: None
            reason = str(error).splitlines()[0] if str(error) else "no answer"
            raise AssayError(f"CLUSTER={where.cluster} cannot be reached: {reason}") from None

    def available(self) -> dict[str, int]:
        """Address to number of threads, of the workers that are there and fit.

        Raises:
            AssayError: on this machine none starts.
        """
        if self._processes is not None:
            self._processes.tend()
        workers = self._client.scheduler_info(n_workers=-1)["workers"]
        return {
            address: int(about["nthreads"])
            for address, about in workers.items()
            if address not in self.refused
        }

    def refuse(self, address: str, reason: str) -> None:
        """Give this worker nothing more."""
        if address not in self.refused:
            self.refused[address] = reason
            self._announce(f"worker {address} is not used: {reason}")

    def begin(self, key: Any, order: Mapping[str, Any]) -> Future:
        """Give an item to a worker that is free. The end comes out of `ended`."""
        # Where workers were refused, the others are named; else those that join later serve, too.
        chosen = list(self.available()) if self.refused else None
        future = self._client.submit(
            remote.run_item, self._name, dict(order), key=f"{self._name}-{key}", pure=False, workers=chosen
        )
        future.add_done_callback(lambda done: self._done.put((key, done)))
        return future

    def ended(self, timeout: float) -> list[tuple[Any, dict[str, Any]]]:
        """The items that have ended, with their answers, after ``timeout`` seconds at most; ``lost`` as in `remote`."""
        found = []
        with contextlib.suppress(queue.Empty):
            found.append(self._done.get(timeout=timeout))
            while True:
                found.append(self._done.get_nowait())
        return [(key, self._answer(future)) for key, future in found]

    @staticmethod
    def _answer(future: Future) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = future.result(timeout=60)
        except KilledWorker as error:
            last = getattr(getattr(error, "last_worker", None), "address", "")
            return {"killed": True, "worker": last, "lost": "the worker that ran it went away"}
        except Exception as error:  # whatever Dask makes of a worker that goes away
            return {"lost": f"{type(error).__name__}: {error}".splitlines()[0], "worker": ""}
        finally:
            future.release()
        return answer

    def stop(self) -> None:
        """End what the workers run."""
        if self.local:
            return  # `close` ends the workers themselves
        with contextlib.suppress(Exception):
            self._client.run(remote.stop_items, self._name)

    def close(self) -> None:
        """Leave the cluster; the one of this machine ends."""
        with contextlib.suppress(Exception):
            if self._client is not None:
                if not self.local:
                    self._client.unregister_worker_plugin(self._name)
                self._client.close(timeout=5)
        if self._processes is not None:
            self._processes.end()
        with contextlib.suppress(Exception):
            if self._cluster is not None:
                self._cluster.close(timeout=10)


class _Processes:
    """The workers of this machine, each a process that is replaced when it ends.

    Dask's own nanny gives up a worker that ends while it starts, as one does whose first item takes it along.

    Args:
        scheduler: its address.
        where: how many, and the folder of their logs.
    """

    def __init__(self, scheduler: str, where: Where) -> None:
        self._scheduler = scheduler
        self._folder = where.cache / "dask"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._early = 0
        self._running = [self._start(number) for number in range(where.jobs)]

    def _start(self, number: int) -> tuple[subprocess.Popen[bytes], float]:
        words = [sys.executable, "-m", "distributed.cli.dask_worker", self._scheduler, "--no-nanny"]
        words += ["--nthreads", "1", "--memory-limit", "0", "--no-dashboard", "--host", "127.0.0.1"]
        words += ["--death-timeout", "60", "--local-directory", str(self._folder)]
        with self._log(number).open("wb") as log:
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is not for them
            )
        return process, time.monotonic()

    def _log(self, number: int) -> Path:
        return self._folder / f"worker-{os.getpid()}-{number}.log"

    def tend(self) -> None:
        """Replace those that have ended.

        Raises:
            AssayError: one after the other ends at once.
        """
        for number, (process, begun) in enumerate(self._running):
            if process.poll() is None:
                continue
            self._early = self._early + 1 if time.monotonic() - begun < EARLY_S else 0
            if self._early > 3 * len(self._running) + 3:
                said = self._log(number).read_text(errors="replace").strip().splitlines()
                raise AssayError(f"no worker starts on this machine: {said[-1] if said else 'no message'}")
            self._running[number] = self._start(number)

    def end(self) -> None:
        """End them."""
        for process, _ in self._running:
            process.terminate()
        for number, (process, _) in enumerate(self._running):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()
            process.wait()
            self._log(number).unlink(missing_ok=True)


def _made(name: str) -> Any:
    """The cluster that a function of the user's makes, such as one of dask-jobqueue."""
    module, _, function = name.partition(":")
    try:
        make = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise AssayError(
            f"CLUSTER={name}: must be tcp://HOST:PORT, tls://HOST:PORT, or MODULE:FUNCTION that makes one: {error}"
        ) from None
    return make()


def _security(where: Where) -> Security | None:
    files = {"tls_ca_file": where.tls_ca, "tls_client_cert": where.tls_cert, "tls_client_key": where.tls_key}
    given = {name: path for name, path in files.items() if path}
    for path in given.values():
        if not os.access(path, os.R_OK):
            raise AssayError(f"{path}: the file cannot be read")
    if (
        where.cluster.startswith("tls://")
        and not given
        and not dask.config.get("distributed.comm.tls.client.cert")
    ):
        raise AssayError(f"CLUSTER={where.cluster}: it needs TLS_CA, TLS_CERT and TLS_KEY")
    if given and not where.cluster.startswith("tls://"):
        raise AssayError(f"CLUSTER={where.cluster}: with files for TLS it must begin with tls://")
    return Security(**given, require_encryption=True) if given else None
