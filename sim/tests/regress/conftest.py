# SPDX-License-Identifier: Apache-2.0
"""What the tests of regressions share: a repository whose tests pass, fail, hang and kill, and its regressions."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from assay.sim.regress.record import Regression
from assay.sim.regression import require

NIGHT = Path(__file__).parent / "night"


class Night:
    """A repository in a folder of its own, and the command that runs it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(NIGHT, folder)

    def start(self, *words: str, before: Sequence[str] = (), **options: Any) -> subprocess.Popen[str]:
        """A regression in a process of its own; words before it start it elsewhere."""
        environment = {
            name: text for name, text in os.environ.items() if not name.startswith(("MAKE", "ASSAY_"))
        }
        return subprocess.Popen(
            [*before, sys.executable, "-c", COMMAND, "regress", *words],
            cwd=self.folder,
            env=environment | {"XDG_CACHE_HOME": str(self.folder / "cache")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            **options,
        )

    def run(self, *words: str, timeout: float = 300) -> tuple[int, str]:
        """A regression to its end: exit status, and what it printed."""
        process = self.start(*words)
        text, _ = process.communicate(timeout=timeout)
        return process.returncode, text

    def regression(self, name: str) -> Regression:
        """One that was begun."""
        return Regression(self.folder / "assay_out" / "reports" / "regress" / name)

    def processes(self) -> list[psutil.Process]:
        """Those that work for this repository."""
        found = []
        for process in psutil.process_iter():
            try:
                if str(self.folder) in " ".join([process.cwd(), *process.cmdline()]):
                    found.append(process)
            except psutil.Error:
                pass
        return [process for process in found if process.pid != os.getpid()]


COMMAND = "import sys; from assay.sim.console import main; sys.argv[0] = 'assay'; sys.exit(main())"


@pytest.fixture
def night(tmp_path: Path) -> Iterator[Night]:
    """A repository of its own; at the end nothing runs any more."""
    require("icarus")
    here = Night(tmp_path / "a night")
    yield here
    for process in here.processes():
        process.kill()
