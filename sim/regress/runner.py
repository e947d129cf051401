# SPDX-License-Identifier: Apache-2.0
"""``python -m assay.sim.regress.runner``: runs the items that it is sent, one after the other.

Items and answers are JSON lines. It ends, with the simulator that it runs, when its input ends: whoever sent the items
is then gone. The first line asks for the versions of the tools.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import platform
import shutil
import signal
import sys
import threading
from collections.abc import Mapping
from typing import Any

from assay.golden import GoldenError
from assay.sim.blocks import discover
from assay.sim.forking import ForkingSimulator
from assay.sim.items import Item
from assay.sim.job import Job
from assay.sim.process import Stopped, Stopper
from assay.sim.regress.grades import read_groups
from assay.sim.regress.plan import item_of
from assay.sim.regress.record import ERROR, FAILED, PASSED, Entry
from assay.sim.regress.signature import signature, signature_of_error
from assay.sim.run import run_job
from assay.sim.simulators import find_simulator
from assay.tb.block import SIMULATORS, Block
from assay.tb.errors import AssayError, MissingTool, sentence

PACKAGES = ("cocotb", "numpy", "pyuvm")
"""Whose versions decide on what a run does, beside the simulators and Python."""


def versions(simulators: tuple[str, ...] = SIMULATORS) -> dict[str, str]:
    """Tool to version, of those that are installed."""
    found = {"Python": ".".join(platform.python_version_tuple()[:2])}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    for name in simulators:
        with contextlib.suppress(MissingTool):
            found[name] = find_simulator(name).version
    return found


class Runner:
    """Runs items.

    Args:
        blocks: that there are.
    """

    def __init__(self, blocks: Mapping[str, Block]) -> None:
        self._blocks = blocks
        self._items: dict[str, Item] = {}
        self._simulator = ForkingSimulator()
        self._jobs = 0

    def answer(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """What becomes of an item.

        Args:
            order: ``entry`` (`sim.regress.record.Entry` as JSON), ``seed``, ``coverage``; none: the versions are asked.

        Returns:
            keys of `sim.regress.record.Result`; ``groups``: the cover groups of a run that passed; ``folder`` of one
            that did not.
        """
        if "entry" not in order:
            return {"versions": versions()}
        entry = Entry(**order["entry"])
        try:
            item = self._items.get(entry.name)
            if item is None:
                item = self._items[entry.name] = item_of(entry, self._blocks)
            job = item.job(order["seed"], coverage=order.get("coverage", False))
            return self._run(job)
        except (AssayError, GoldenError, OSError) as error:
            text = sentence(error)
            return {"state": ERROR, "failure": signature_of_error(text)}

    def _run(self, job: Job) -> dict[str, Any]:
        outcome = run_job(job, lambda line: None, launch=self._simulator.run)
        answer = {
            "state": PASSED if outcome.passed else FAILED,
            "seconds": round(outcome.seconds, 3),
            **{
                name: outcome.summary.get(key, 0)
                for name, key in (
                    ("words", "words_compared"),
                    ("values", "values_compared"),
                    ("clocks", "clocks"),
                )
            },
        }
        if outcome.passed:
            answer["groups"] = list(read_groups(outcome.folder))
            shutil.rmtree(outcome.folder, ignore_errors=True)
        else:
            answer["failure"] = signature(outcome)
            answer["folder"] = str(outcome.folder)
        return answer

    def close(self) -> None:
        """End the simulator that is kept ready."""
        self._simulator.close()


def main() -> int:
    """Answer until the input ends."""
    # Answers go where standard output was; what anything prints goes to the log.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    stopper = Stopper()
    orders: list[str] = []
    come = threading.Condition()

    def read() -> None:
        for line in sys.stdin:
            with come:
                orders.append(line)
                come.notify()
        stopper.stop()
        runner.close()
        os._exit(0)

    repository = sys.argv[1] if len(sys.argv) > 1 else ""
    runner = Runner(discover(repository))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=read, daemon=True).start()
    with contextlib.suppress(Stopped), stopper.governs_this_thread():
        while True:
            with come:
                while not orders:
                    come.wait()
                order = json.loads(orders.pop(0))
            answers.write(json.dumps(runner.answer(order)) + "\n")
            answers.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
