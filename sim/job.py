# SPDX-License-Identifier: Apache-2.0
"""What to simulate, its name, and the command that repeats it."""

from __future__ import annotations

import contextlib
import hashlib
import random
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from assay.sim import ROOT
from assay.sim.errors import AssayError
from assay.sim.targets import Target
from assay.sim.testcases import select_tests

LARGEST_SEED = 2**31 - 1
"""What both cocotb and Verilator's ``+verilator+seed+`` accept."""


def choose_seed(text: str | None) -> int:
    """The seed a user gave, checked, or a random one."""
    if text is None:
        return random.SystemRandom().randint(1, LARGEST_SEED)
    with contextlib.suppress(ValueError):
        if 0 <= int(text, 0) <= LARGEST_SEED:
            return int(text, 0)
    raise AssayError(f"seed {text!r}: allowed are the integers 0 to {LARGEST_SEED}")


@dataclass(frozen=True)
class Job:
    """What to simulate. Together with the sources it determines a run completely."""

    target: Target
    simulator: str
    seed: int
    tests: tuple[str, ...]
    parameters: Mapping[str, int] = field(default_factory=dict)
    """Those given by the user; the target's defaults complete them."""
    x_random: bool = False
    waves: bool = False
    """Write the waves of the whole run."""
    model: str = ""
    """Path of the user's own model; empty: the target's."""
    inputs: str = ""
    """Path of that model's inputs; empty: random ones."""
    vectors: str = ""
    """Folder of a vector set."""
    elf: str = ""
    """Path of a program for a processor."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """More of make's variables that the bench sees (as ASSAY_name): SCALES, HARTS, LIMIT, TOHOST, FORCE, N."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Further variables that the bench sees."""
    name_suffix: str = ""
    """Tells apart runs that are alike and go on at the same time."""

    @property
    def given(self) -> dict[str, str]:
        """The user's files, under the names of their variables."""
        files = {"MODEL": self.model, "INPUTS": self.inputs, "VECTORS": self.vectors, "ELF": self.elf}
        return {name: path for name, path in files.items() if path}

    @property
    def name(self) -> str:
        """The run's name, and its folder's."""
        words = [self.target.name, self.simulator, *(f"{k}{v}" for k, v in sorted(self.parameters.items()))]
        words += ["xrandom"] if self.x_random else []
        words += [Path(path).stem for path in self.given.values()]
        tests = "+".join(self.tests)
        if self.tests == self.target.default_tests:
            tests = "default"
        elif self.tests == select_tests(self.target, test_filter="."):
            tests = "all"
        words += [str(self.seed), tests, *filter(None, [self.name_suffix])]
        name = re.sub(r"[^A-Za-z0-9_.+-]+", "_", "-".join(words))
        if len(name) > 120:  # file systems end at 255, readers earlier
            name = f"{name[:100]}...{hashlib.sha256(name.encode()).hexdigest()[:8]}"
        return name

    @property
    def timeout_s(self) -> float | None:
        """After this the simulation is stopped; a soak takes as long as its user wants."""
        return None if self.tests == (self.target.soak_test,) else self.target.timeout_s

    @property
    def replay(self) -> str:
        """The command that repeats this run, typed in the checkout: every setting that is not the default's."""
        words = {"SIM": self.simulator, "TOPLEVEL": self.target.name, "SEED": str(self.seed)}
        words |= {"XRANDOM": "1"} if self.x_random else {}
        words |= {"WAVES": "1"} if self.waves else {}
        if self.parameters:
            words["PARAMS"] = " ".join(f"{k}={v}" for k, v in sorted(self.parameters.items()))
        words |= {name: _from_checkout(path) for name, path in self.given.items()}
        words |= self.settings
        if self.tests == select_tests(self.target, test_filter="."):
            words["COCOTB_TEST_FILTER"] = "."
        elif self.tests != self.target.default_tests or self.vectors or self.elf:  # these come with a test
            words["COCOTB_TESTCASE"] = ",".join(self.tests)
        return " ".join(["make", *(make_word(name, text) for name, text in words.items())])

    def describe(self) -> str:
        parameters = self.target.resolve_parameters(self.parameters)
        given = " ".join(f"{name}={value}" for name, value in parameters.items())
        return f"{self.target.name}{f' ({given})' if given else ''} on {self.simulator}, seed {self.seed}"


def make_word(name: str, text: str) -> str:
    """``NAME=text`` as a shell hands it to make, which takes a ``$`` for the beginning of a variable."""
    return f"{name}={shlex.quote(text.replace('$', '$$'))}"


def _from_checkout(path: str) -> str:
    """A path that holds where make runs. make strips white space before a value: such a path becomes absolute."""
    absolute = Path(path).absolute()
    return path if absolute == ROOT / path and path == path.lstrip() else str(absolute)
