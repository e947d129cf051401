# SPDX-License-Identifier: Apache-2.0
"""What a regression simulates: each cocotb test of each variant of a block on each simulator, and each kept case."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from assay.sim.blocks import discover
from assay.sim.job import Job
from assay.sim.shrink import case_job
from assay.sim.testcases import list_tests
from assay.tb.block import SIMULATORS, Block, Variant
from assay.tb.capabilities import PlaysCases
from assay.tb.cases import kept


@dataclass(frozen=True)
class Item:
    """One cocotb test of one variant on one simulator. With a seed it is a run."""

    block: Block
    variant: Variant
    simulator: str
    test: str
    case: Path | None = None
    """A kept case, which this item plays."""
    given: Mapping[str, str] = field(default_factory=dict)
    """Variables of the block's capabilities, such as MODEL."""

    def __str__(self) -> str:
        name = self.test if self.case is None else f"case-{self.case.stem}"
        words = [self.block.name, self.variant.name, self.simulator, name]
        return "-".join([*words, *(Path(text).stem for text in self.given.values())])

    def job(self, seed: int, coverage: bool = False) -> Job:
        """The run with a seed. A case is played with its own.

        Args:
            coverage: count what of the RTL is executed, where the simulator can.
        """
        if self.case is not None:
            plays = self.block.capability(PlaysCases)
            assert plays is not None  # for it has cases
            return case_job(self.block, plays, plays.read(self.block, self.case), self.case)
        return Job(
            self.block,
            self.simulator,
            seed,
            (self.test,),
            dict(self.variant.parameters),
            dict(self.variant.defines),
            x_random=self.variant.x_random,
            coverage=coverage and self.simulator == "verilator",
            given=dict(self.given),
        )


def items(repository: Path | None = None) -> list[Item]:
    """Everything to simulate. Variants stay together, so that few builds are under way at a time.

    Args:
        repository: whose blocks; None: all that are found from the current folder.

    Raises:
        AssayError: a declaration is wrong.
    """
    found = discover(str(repository or "")).values()
    blocks = [block for block in found if repository is None or block.root == repository.resolve()]
    return [item for block in blocks for item in items_of(block)]


def items_of(block: Block) -> list[Item]:
    """Those of one block."""
    return [*_tests(block), *kept_items(block)]


def _tests(block: Block) -> Iterator[Item]:
    plays = block.capability(PlaysCases)
    for variant in block.variants:
        for simulator in SIMULATORS:
            if simulator in variant.simulators:
                for test, known in list_tests(block).items():
                    # Each kept case is an item of its own.
                    if not known.skip and variant.runs(test) and (plays is None or test != plays.test):
                        yield Item(block, variant, simulator, test)


def kept_items(block: Block) -> Iterator[Item]:
    """The kept cases, each on the simulator on which it failed."""
    plays = block.capability(PlaysCases)
    if plays is not None:
        for path in kept(block.file.parent):
            case = plays.read(block, path)
            yield Item(block, Variant("kept", dict(case.parameters)), case.simulator, plays.test, path)
