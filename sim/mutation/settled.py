# SPDX-License-Identifier: Apache-2.0
"""Mutants that need no run as long as the RTL is as it was: equivalents of complete modules, proved or reviewed.

They stand in ``<block>.settled.json`` beside the reviews, each module with a hash of the RTL and the parameters for
which that was found. A proof says nothing of the bench, so it holds whatever the bench becomes. A review is of the
design; one that is wrong is named by the campaigns that run its mutant, which all but ``--complete`` do.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from assay.sim.build import digest
from assay.sim.mutation.campaign import Results
from assay.sim.mutation.judge import EQUIVALENT, KILLED
from assay.sim.mutation.model import design_files
from assay.sim.mutation.reviews import Review
from assay.tb.block import Block
from assay.tb.errors import AssayError

Parameters = Mapping[str, int | str]

NOT_RUN = "not run"


def settled_file(reviews: Path) -> Path:
    """Where they stand: beside the file of the reviews."""
    return reviews.with_suffix(".settled.json")


def design_hash(block: Block, parameters: Parameters) -> str:
    """A hash of the RTL, with what it includes, and of its parameters."""
    included = [file for folder in block.include_paths() for file in sorted(folder.glob("*.svh"))]
    files = [[file.name, digest(file)] for file in (*design_files(block).values(), *included)]
    content = [files, sorted(block.resolve_parameters(parameters).items())]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def read_settled(path: Path, block: Block, parameters: Parameters) -> frozenset[str]:
    """Keys of the mutants that are settled for the RTL as it is; none where there is no file.

    Raises:
        AssayError: the file is not as it should be.
    """
    if not path.is_file():
        return frozenset()
    try:
        modules = json.loads(path.read_text(encoding="utf-8"))
        found = [(str(each["design"]), [str(key) for key in each["equivalent"]]) for each in modules.values()]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise AssayError(f"{path}: not what --settle writes ({error}); remove it and settle again") from None
    now = design_hash(block, parameters)
    return frozenset(key for design, keys in found if design == now for key in keys)


def settle(path: Path, results: Results, modules: Sequence[str], reviews: Mapping[str, Review]) -> None:
    """Write what a campaign found of complete modules; what the file says of others stays.

    Raises:
        AssayError: a mutant of them was not run, or lives without a review.
    """
    block, parameters = results.plan.block, results.plan.parameters
    design = design_hash(block, parameters)
    content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    for module in modules:
        equivalent = []
        for mutant in results.mutants:
            if mutant.file.stem != module:
                continue
            state = results.entries.get(mutant.key, {}).get("state", NOT_RUN)
            review = reviews.get(mutant.key)
            if state == NOT_RUN or (state not in (KILLED, EQUIVALENT) and review is None):
                raise AssayError(
                    f"mutant {mutant.key} of {module}: {state}; a module with such is not settled"
                )
            if state == EQUIVALENT or (state != KILLED and review is not None and review.state == EQUIVALENT):
                equivalent.append(mutant.key)
        content[module] = {"design": design, "equivalent": sorted(equivalent)}
    path.write_text(json.dumps(dict(sorted(content.items())), indent=1) + "\n", encoding="utf-8")
