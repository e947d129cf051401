# SPDX-License-Identifier: Apache-2.0
"""What people have said of a block's mutants.

It stands in ``sim/mutation/reviewed/<block>.toml``, or in ``tb/<block>/mutants.toml`` of a user:

    complete = ["mvu_planes"]

    [74f8fdb9cc]
    line = "mvu.sv: s1_load_q <= s2_load_q;"
    state = "equivalent"
    reason = "why no input can tell it from the design"

Of a ``complete`` module every mutant is killed, proved equivalent or reviewed, and is to stay so. A ``state`` is
``equivalent``, or ``accepted``: a real fault that no test needs to find, with the reason. An entry whose mutant is not
there any more is named by every run, so that it is removed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from assay.sim.blocks import is_own
from assay.tb.block import Block
from assay.tb.errors import AssayError
from assay.tb.text_file import read_toml

STATES = ("equivalent", "accepted")

REVIEWED = Path(__file__).resolve().parent / "reviewed"
"""The folder of Assay's own reviews."""

_FIELDS = {"line", "state", "reason"}


@dataclass(frozen=True)
class Review:
    """A person's word on a mutant."""

    line: str
    """File and text, for who reads the file."""
    state: str
    reason: str


def review_file(block: Block) -> Path:
    """Where the reviews of a block stand."""
    if is_own(block):
        return REVIEWED / f"{block.name}.toml"
    return block.file.with_name("mutants.toml")


@dataclass(frozen=True)
class Reviews:
    """All of a block.

    Attributes:
        complete: modules.
        of: mutant's key -> review.
    """

    complete: tuple[str, ...] = ()
    of: Mapping[str, Review] = field(default_factory=dict)


def read_reviews(path: Path) -> Reviews:
    """The reviews in a file; none where there is no file.

    Raises:
        AssayError: the file is not as it should be; names the entry.
    """
    if not path.is_file():
        return Reviews()
    entries = read_toml(path)
    complete = entries.pop("complete", [])
    if not isinstance(complete, list) or not all(isinstance(name, str) for name in complete):
        raise AssayError(f"{path}: complete must be a list of modules")
    reviews = {}
    for key, entry in entries.items():
        if not isinstance(entry, dict) or set(entry) != _FIELDS:
            raise AssayError(f"{path}: [{key}] must have exactly {', '.join(sorted(_FIELDS))}")
        if entry["state"] not in STATES:
            raise AssayError(f"{path}: [{key}] state = {entry['state']!r}; allowed are {', '.join(STATES)}")
        if not str(entry["reason"]).strip():
            raise AssayError(f"{path}: [{key}] has no reason")
        reviews[key] = Review(str(entry["line"]), entry["state"], str(entry["reason"]))
    return Reviews(tuple(complete), reviews)
