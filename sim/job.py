# SPDX-License-Identifier: Apache-2.0
"""A simulation to run, its name, and the command that repeats it."""

from __future__ import annotations

import contextlib
import hashlib
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from assay.sim.blocks import capabilities, lacking
from assay.sim.commands import Word, command
from assay.sim.testcases import select_tests
from assay.tb.block import Block
from assay.tb.capabilities import Soaks
from assay.tb.errors import AssayError

LARGEST_SEED = 2**31 - 1
"""The largest seed that both cocotb and Verilator's ``+verilator+seed+`` accept."""


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
    """A simulation to run. Together with the sources it determines a run completely."""

    block: Block
    simulator: str
    seed: int
    tests: tuple[str, ...]
    parameters: Mapping[str, int | str] = field(default_factory=dict)
    """Those given by the user; the block's defaults complete them."""
    defines: Mapping[str, str] = field(default_factory=dict)
    """HDL macros, beside the block's own."""
    data: Mapping[str, str] = field(default_factory=dict)
    """Paths of files that the HDL reads, by the names it opens them by, in place of the block's own."""
    x_random: bool = False
    coverage: bool = False
    """Count what of the RTL is executed (Verilator only)."""
    compile_args: tuple[str, ...] = ()
    """Further flags of the simulator's compiler."""
    words: bool = False
    """Record every word that crosses a port (`sim.words`); each simulator then does the same work."""
    waves: bool = False
    """Write the waves of the whole run."""
    given: Mapping[str, str] = field(default_factory=dict)
    """Variables of the block's capabilities that the bench sees (as ASSAY_name): MODEL, VECTORS, SCALES, ELF, N, ..."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Further variables that the bench sees."""
    name_suffix: str = ""
    """Tells apart runs that are alike and go on at the same time."""

    @property
    def paths(self) -> dict[str, str]:
        """The user's files among `given`."""
        options = [option for each in self.block.capabilities for option in each.options]
        return {o.variable: self.given[o.variable] for o in options if o.path and o.variable in self.given}

    @property
    def name(self) -> str:
        """The run's name, and its folder's."""
        words = [self.block.name, self.simulator, *(f"{k}{v}" for k, v in sorted(self.parameters.items()))]
        words += [f"{name}{text}" for name, text in sorted(self.defines.items())]
        words += ["xrandom"] if self.x_random else []
        words += ["coverage"] if self.coverage else []
        words += ["words"] if self.words else []
        words += self.compile_args
        words += [Path(path).stem for path in (*self.paths.values(), *self.data.values())]
        tests = "+".join(self.tests)
        if self.tests == self.block.default_tests:
            tests = "default"
        elif self.tests == select_tests(self.block, test_filter="."):
            tests = "all"
        words += [str(self.seed), tests, *filter(None, [self.name_suffix])]
        name = re.sub(r"[^A-Za-z0-9_.+-]+", "_", "-".join(words))
        if len(name) > 120:  # file systems end at 255, readers earlier
            name = f"{name[:100]}...{hashlib.sha256(name.encode()).hexdigest()[:8]}"
        return name

    @property
    def timeout_s(self) -> float | None:
        """After this the simulation is stopped; a soak takes as long as its user wants."""
        soak = self.block.capability(Soaks)
        return None if soak and self.tests == (soak.test,) else self.block.timeout_s

    @property
    def replay(self) -> str:
        """The command that repeats this run, typed in the current folder: every setting that is not the default's."""
        words: dict[str, Word] = {"SIM": self.simulator, "TOPLEVEL": self.block.name, "SEED": str(self.seed)}
        words |= {"XRANDOM": "1"} if self.x_random else {}
        words |= {"COVERAGE": "1"} if self.coverage else {}
        words |= {"WORDS": "1"} if self.words else {}
        words |= {"WAVES": "1"} if self.waves else {}
        words |= {"PARAMS": self.parameters} if self.parameters else {}
        words |= {"DEFINES": self.defines} if self.defines else {}
        words |= {"DATA": self.data} if self.data else {}
        words |= {"COMPILE_ARGS": self.compile_args} if self.compile_args else {}
        paths = self.paths
        words |= {name: _typed(text) if name in paths else text for name, text in self.given.items()}
        with_test = [each.trigger for each in self.block.capabilities if each.test and each.trigger]
        if self.tests == select_tests(self.block, test_filter="."):
            words["COCOTB_TEST_FILTER"] = "."
        elif self.tests != self.block.default_tests or any(name in self.given for name in with_test):
            words["COCOTB_TESTCASE"] = self.tests
        return command("run", self.block, words)

    @property
    def all_parameters(self) -> str:
        """All HDL parameters of the build, as PARAMS has them."""
        parameters = self.block.resolve_parameters(self.parameters)
        return " ".join(f"{name}={value}" for name, value in parameters.items())

    def describe(self, complete: bool = True) -> str:
        """The block, its parameters (all, or those that the user gave), the simulator and the seed."""
        some = " ".join(f"{name}={value}" for name, value in self.parameters.items())
        given = self.all_parameters if complete else some
        return f"{self.block.name}{f' ({given})' if given else ''} on {self.simulator}, seed {self.seed}"


def prepare(
    block: Block, given: Mapping[str, str], parameters: Mapping[str, int | str], blocks: Mapping[str, Block]
) -> tuple[dict[str, int | str], list[str]]:
    """The parameters of the build, and the test that what was given is for; all of it checked before anything is built.

    Raises:
        AssayError, GoldenError: the block lacks a capability, or cannot run what was given.
    """
    for kind in capabilities(blocks):
        for option in kind.options:
            if option.variable in given and block.capability(kind) is None:
                raise lacking(block, kind, blocks, f"{option.variable}={given[option.variable]}")
    mine = [
        (
            each,
            {option.variable: given[option.variable] for option in each.options if option.variable in given},
        )
        for each in block.capabilities
    ]
    adapted = dict(parameters)
    for each, variables in mine:
        adapted = each.adapt(block, variables, adapted)
    resolved = block.resolve_parameters(adapted)
    own: list[str] = []
    for each, variables in mine:
        each.check(block, variables, resolved)
        if each.test and each.trigger in variables:
            own = [each.test]
    return adapted, own


def _typed(path: str) -> str:
    """A path as it can be typed again. make strips white space before a value: such a path becomes absolute."""
    return path if path == path.lstrip() else str(Path(path).absolute())
