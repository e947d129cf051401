# SPDX-License-Identifier: Apache-2.0
"""What a proof is: its entry in the table (:mod:`assay.sim.proofs.table`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Bug:
    """A textual edit of one source file, for which the proof must fail."""

    file: str
    """Relative to the checkout."""
    old: str
    """Occurs exactly once."""
    new: str
    finds: str
    """The property that fails, though the helpers hold; of `bugs_by_induction` it may be a helper."""


@dataclass(frozen=True)
class Proof:
    """Properties of one module, for all inputs."""

    name: str
    claim: str
    """What is proved, in one sentence without a full stop."""
    top: str
    sources: tuple[str, ...]
    """Relative to the checkout; packages first."""
    properties: tuple[str, ...]
    """Names of the assertions that are proved, instances and generate blocks left away."""
    bugs: tuple[Bug, ...]
    """At least one: it also shows that the assumptions leave runs to look at."""
    helpers: tuple[str, ...] = ()
    """Names of the assertions about the inside, which are proved as well because the induction needs them. Small
    parameters may leave some away. With `properties`, `assumptions` and `elsewhere` these are all assertions of the
    design."""
    elsewhere: tuple[str, ...] = ()
    """Names of the assertions of the design that other proofs of the table hold, and that this one does without."""
    assumptions: Mapping[str, str] = field(default_factory=dict)
    """Names of the assertions that are about the inputs, which are assumed -> who keeps to them."""
    cuts: Mapping[str, str] = field(default_factory=dict)
    """Selections of yosys, after `proc` -> what they are: cells whose results the solver takes as any values."""
    parameters: tuple[Mapping[str, int], ...] = ({},)
    """Sets of the top's parameters, for each of which it is proved; bugs are planted with the first."""
    clocks: int = 12
    """How many clocks from reset are searched for planted bugs, and without an induction for all violations."""
    induction: int = 1
    """Clocks in which the properties hold, after which they hold in the next one: then they always do. 0: there is no
    induction, and the proof ends with `clocks`."""
    bugs_by_induction: bool = False
    """A planted bug is looked for in the step of the induction, as a run from reset that shows it would be too long."""
