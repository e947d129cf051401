# SPDX-License-Identifier: Apache-2.0
"""What a campaign found, on the terminal; and the page."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from assay.sim import shown
from assay.sim.mutation.judge import KILLED
from assay.sim.mutation.mutant import Mutant
from assay.sim.mutation.page import Results, alive, page, scores, total
from assay.sim.mutation.reviews import Review

SHOWN = 20
"""Mutants that live and are named on the terminal; the page has all."""


def list_mutants(mutants: Iterable[Mutant], root: Path, patch: bool) -> None:
    """Print mutants, one a line.

    Args:
        root: folder to which the names of files are relative.
        patch: print them as patches for ``git apply``.
    """
    for mutant in mutants:
        if patch:
            print(mutant.patch(root), end="")
        else:
            what = mutant.describe(mutant.file.read_bytes())
            place = f"{mutant.file.relative_to(root)}:{mutant.line}"
            print(f"{mutant.key:<13} {place:<38} {mutant.kind:<10} {what}")


def summarise(
    results: Results,
    reviews: Mapping[str, Review],
    path: Path,
    reviewed: str,
    whole: bool,
    announce: Callable[[str], None],
) -> tuple[list[str], list[str]]:
    """Write the page, print the figures. Returns the keys of mutants that live without a review, and of reviews whose
    mutant is killed, or not there any more.

    Args:
        path: of the page.
        reviewed: the file of the reviews, as a user reads it.
        whole: the results have all mutants, so that others are not there any more.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(page(results, reviews), encoding="utf-8")
    os.replace(partial, path)
    found = scores(results, reviews)
    rows = [*((results.name(file), score) for file, score in found.items()), ("all", total(found))]
    width = max(len(name) for name, _ in rows)
    print(f"\n{'module':<{width}}" + "".join(f"{head:>14}" for head in results.heads))
    for name, score in rows:
        print(f"{name:<{width}}" + "".join(f"{score.cells[head]:>14}" for head in results.heads))
    living = [(mutant, entry) for mutant, entry in alive(results) if mutant.key not in reviews]
    if living:
        print(f"\nalive, without a review in {reviewed}:")
    for mutant, entry in living[:SHOWN]:
        print(
            f"  {mutant.key:<13} {results.name(mutant.file)}:{mutant.line}: {entry['what']} ({entry['state']})"
        )
    if len(living) > SHOWN:
        print(f"  and {len(living) - SHOWN} more")
    killed = {key: entry["test"] for key, entry in results.entries.items() if entry["state"] == KILLED}
    wrong = [key for key in reviews if key in killed]
    for key in wrong:
        print(
            f"  {key:<13} is reviewed as {reviews[key].state}, and {killed[key]} kills it: remove the review"
        )
    known = {mutant.key for mutant in results.mutants}
    gone = [key for key in reviews if key not in known] if whole else []
    for key in gone:
        print(
            f"  {key:<13} is reviewed and there is no such mutant any more ({reviews[key].line}): remove it"
        )
    print()
    announce(f"report: {shown(path)}")
    return [mutant.key for mutant, _ in living], [*wrong, *gone]
