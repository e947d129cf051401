# SPDX-License-Identifier: Apache-2.0
"""What runs in the workers of a cluster: this module is sent to them as it is, so that they need no Assay of their own.

It imports the standard library and what each worker of Dask has. A worker gets the project's archive once, unpacks it
under its content's hash, and runs each item in a process of that project (`sim.regress.runner`), which it watches: a
process that does not answer in time is ended with all that it started.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import select
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil
from distributed import WorkerPlugin, get_worker

COMPLETE = "complete"
"""File in an unpacked project that says that all of it is there; the youngest ones were used last."""

BUILDS = "builds"
"""Folder of a machine's cache: the builds, which the projects share."""

KEPT = 4
"""Unpacked projects that stay on a machine."""

GRACE_S = 5.0
"""For a process that is told to end."""

LARGEST_FOLDER = 64 << 20
"""Bytes of a run's folder that are returned; of a larger one the largest files stay behind."""


class Project(WorkerPlugin):
    """The project on a worker: its archive, its unpacked folder, and the process that runs items.

    Args:
        key: the hash of the archive's content.
        archive: a compressed tar file.
        settings: ``cache``, ``builds`` (folders; empty: the machine's own), ``python_path``, ``folder`` (both relative
            to the unpacked project: where the packages are, and where the process runs), ``words`` (arguments of the
            runner), ``links`` (folder of the project -> folder of the cache), ``versions`` (tool -> version), ``disk``
            and ``memory`` (bytes that must be free).
    """

    def __init__(self, key: str, archive: bytes, settings: dict[str, Any]) -> None:
        self.name = f"assay-{key}"
        self.key = key
        self.archive = archive
        self.settings = settings

    def setup(self, worker: Any) -> None:
        """Called once on each worker."""
        self.lock = threading.Lock()
        self.process: subprocess.Popen[bytes] | None = None
        self.unfit: str | None = None

    def teardown(self, worker: Any) -> None:
        """Called when the worker ends, and when the regression does."""
        self.stop()

    def run(self, order: dict[str, Any]) -> dict[str, Any]:
        """Run an item.

        Args:
            order: ``limit`` in seconds; the rest is the runner's.

        Returns:
            the runner's answer, with ``archive`` (bytes) where the run's folder is wanted; or ``unfit``, why this
            worker runs nothing; or ``lost``, how the process ended; or ``timeout``.
        """
        with self.lock:
            if reason := self._shortage():
                return {"unfit": reason}
            try:
                if self.process is None or self.process.poll() is not None:
                    self._start()
                if self.unfit:
                    return {"unfit": self.unfit}
                return self._ask(order)
            except OSError as error:
                self.stop()
                return {"unfit": str(error)}

    def stop(self) -> None:
        """End the process and all that it started."""
        process, self.process = getattr(self, "process", None), None
        if process is None:
            return
        family = []
        with contextlib.suppress(psutil.Error):
            family = psutil.Process(process.pid).children(recursive=True)
        with contextlib.suppress(OSError):
            if process.stdin is not None:
                process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)
        process.kill()
        process.wait()
        for each in family:
            with contextlib.suppress(psutil.Error):
                each.kill()

    def _shortage(self) -> str:
        """What this machine has too little of, empty if nothing."""
        cache = self._cache()
        cache.mkdir(parents=True, exist_ok=True)
        left, wanted = shutil.disk_usage(cache).free, self.settings["disk"]
        if left < wanted:
            return f"{left / 1e6:,.0f} MB are free on the disk of {cache}, {wanted / 1e6:,.0f} MB must be"
        left, wanted = psutil.virtual_memory().available, self.settings["memory"]
        if left < wanted:
            return f"{left / 1e6:,.0f} MB of memory are available, {wanted / 1e6:,.0f} MB must be"
        return ""

    def _cache(self) -> Path:
        own = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        return Path(self.settings["cache"] or Path(own) / "assay")

    def _unpacked(self) -> Path:
        """The project's folder. Workers of one machine share it; whichever comes first makes it."""
        projects = self._cache() / "projects"
        projects.mkdir(parents=True, exist_ok=True)
        folder = projects / self.key
        if not (folder / COMPLETE).is_file():
            partial = Path(tempfile.mkdtemp(prefix=f".{self.key}-", dir=projects))
            try:
                with tarfile.open(fileobj=io.BytesIO(self.archive)) as archive:
                    archive.extractall(partial, filter="data")
                for name, target in self.settings["links"].items():
                    place = Path(self.settings["builds"] or self._cache() / target)
                    place.mkdir(parents=True, exist_ok=True)
                    (partial / name).parent.mkdir(parents=True, exist_ok=True)
                    (partial / name).symlink_to(place)
                (partial / COMPLETE).touch()
                try:
                    partial.rename(folder)
                except OSError:  # another worker was quicker, or a part of it was left behind
                    if not (folder / COMPLETE).is_file():
                        shutil.rmtree(folder, ignore_errors=True)
                        partial.rename(folder)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
        os.utime(folder / COMPLETE)
        self._prune(projects)
        return folder

    def _prune(self, projects: Path) -> None:
        """Remove the projects that were not used for longest; another regression's was used a moment ago."""
        found = sorted(projects.glob(f"*/{COMPLETE}"), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in found[KEPT:]:
            if time.time() - path.stat().st_mtime > 86_400:
                shutil.rmtree(path.parent, ignore_errors=True)

    def _start(self) -> None:
        """Start the process, and compare its tools with those that are asked for."""
        root = self._unpacked()
        self.unfit = None
        environment = {
            name: text for name, text in os.environ.items() if not name.startswith(("MAKE", "ASSAY_"))
        }
        environment["PYTHONPATH"] = str(root / self.settings["python_path"])
        log = open(root / f"runner-{os.getpid()}.log", "ab")  # noqa: SIM115
        with log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "assay.sim.regress.runner", *self.settings["words"]],
                cwd=root / self.settings["folder"],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        answer = self._ask({"limit": 600})
        if "versions" not in answer:
            text = Path(log.name).read_text(errors="replace").strip().splitlines()
            self.unfit = f"Assay does not start: {answer.get('error') or (text or ['no message'])[-1]}"
            return
        for tool, version in self.settings["versions"].items():
            here = answer["versions"].get(tool, "")
            if here != version:
                self.unfit = (
                    f"{tool} {here or 'is not installed'}, where the regression was begun with {version}"
                )
                return

    def _ask(self, order: dict[str, Any]) -> dict[str, Any]:
        process = self.process
        assert process is not None and process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(json.dumps(order).encode() + b"\n")
            process.stdin.flush()
        except BrokenPipeError:
            return self._ended()
        deadline, line = time.monotonic() + order["limit"], b""
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                self.stop()
                return {"timeout": order["limit"]}
            part = os.read(process.stdout.fileno(), 1 << 16)
            if not part:
                return self._ended()
            line += part
        answer: dict[str, Any] = json.loads(line)
        if folder := answer.pop("folder", ""):
            answer["archive"] = packed(Path(folder))
            shutil.rmtree(folder, ignore_errors=True)
        return answer

    def _ended(self) -> dict[str, Any]:
        """How a process ended that should have answered."""
        process = self.process
        if process is None:
            return {"lost": "the regression was stopped"}
        try:
            status = process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            status = 0
        self.stop()
        how = f"by signal {-status}" if status < 0 else f"with status {status}"
        return {"lost": f"the process that ran it went away, {how}"}


def packed(folder: Path) -> bytes:
    """A folder as a compressed tar file; of more than `LARGEST_FOLDER` bytes the largest files are left out."""
    files = sorted(
        (path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size
    )
    content, size = io.BytesIO(), 0
    with tarfile.open(fileobj=content, mode="w:gz", compresslevel=1) as archive:
        for path in files:
            size += path.stat().st_size
            if size > LARGEST_FOLDER:
                break
            archive.add(path, path.relative_to(folder).as_posix())
    return content.getvalue()


def run_item(name: str, order: dict[str, Any]) -> dict[str, Any]:
    """The task that a worker runs: an item by the plugin of that name. As `Project.run`, with the ``worker``."""
    worker = get_worker()
    # Not of this class: that came with the task, and the plugin before it, each with its own copy of this module.
    plugin: Any = worker.plugins.get(name)
    answer = plugin.run(order) if plugin is not None else {"lost": "the worker has no project"}
    return {**answer, "worker": worker.address}


def stop_items(name: str, dask_worker: Any) -> None:
    """End what a worker runs of a regression."""
    plugin = dask_worker.plugins.get(name)
    if plugin is not None:
        plugin.stop()
