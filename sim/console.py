# SPDX-License-Identifier: Apache-2.0
"""The command ``assay``: those of golden models and those that simulate, under one name."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.metadata import version

from assay.golden import __main__ as golden_models
from assay.sim import command_line
from assay.sim.errors import unknown

__all__ = ["PROGRAM", "SHARED", "is_golden", "main", "overview"]

SHARED = ("predict", "trace", "compare")
"""Commands that the golden model answers, and hardware once an engine is named."""

PROGRAM = "assay"
"""How the help calls it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status of `assay.sim.command_line.main` or `assay.golden.__main__.main`."""
    try:
        return _main(list(sys.argv[1:] if argv is None else argv))
    except BrokenPipeError:  # whoever read what this prints has gone, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return command_line.BROKEN_PIPE


def _main(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help"):
        print(overview())
        return 0 if words else 2
    if words[0] == "--version":
        print(f"{PROGRAM} {version('assay')}")
        return 0
    known = {**golden_models.parsers(PROGRAM), **command_line.parsers(PROGRAM)}
    if words[0] not in known:
        print(f"assay: {unknown('command', words[0], known)}", file=sys.stderr)
        return 2
    if words[0] in SHARED and not {"-h", "--help"}.isdisjoint(words):
        print("In the golden model:", golden_models.parsers(PROGRAM)[words[0]].format_help(), sep="\n")
        print("With --engine NAME, on simulated hardware:", known[words[0]].format_help(), sep="\n", end="")
        return 0
    if is_golden(words):
        return golden_models.main(words, PROGRAM)
    return command_line.main(words, program=PROGRAM)


def is_golden(words: Sequence[str]) -> bool:
    """Whether a command line is one of the golden models' alone, not one that simulates."""
    if words[0] in SHARED:
        return not any(word == "--engine" or word.startswith("--engine=") for word in words)
    return words[0] in golden_models.parsers(PROGRAM)


def overview() -> str:
    """Every command with what it does."""
    golden, simulating = golden_models.parsers(PROGRAM), command_line.parsers(PROGRAM)
    lines = [f"usage: {PROGRAM} COMMAND ...    ({PROGRAM} COMMAND --help says more)"]
    for title, part, names in (
        (
            "Hardware in a simulator, against its golden model:",
            simulating,
            [n for n in simulating if n not in SHARED],
        ),
        ("A network in the golden model; with --engine NAME on simulated hardware:", golden, SHARED),
        ("A network's golden model:", golden, [name for name in golden if name not in SHARED]),
    ):
        lines += ["", title]
        for name in names:
            text = (part[name].description or "").partition(". ")[0].rstrip(".")
            lines.append(f"  {name:<12} {text}")
    return "\n".join(lines)
