# SPDX-License-Identifier: Apache-2.0
"""The command ``assay``: those of golden models and those that simulate, under one name."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version

from assay.golden import __main__ as golden_models
from assay.sim import command_line
from assay.sim.blocks import discover
from assay.tb.errors import AssayError, unknown

__all__ = ["PROGRAM", "SHARED", "is_golden", "main", "overview", "simulating"]

SHARED = ("predict", "trace", "compare")
"""Commands that the golden model answers, and hardware once an engine is named."""

PROGRAM = "assay"
"""The command's name in help texts."""


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
    try:
        known = {**golden_models.parsers(PROGRAM), **simulating()}
    except AssayError as error:  # a declaration of the user's repository is wrong
        print(f"assay: {error}", file=sys.stderr)
        return error.exit_status
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


def simulating() -> dict[str, argparse.ArgumentParser]:
    """The commands that simulate; errors of `assay.sim.blocks.discover`."""
    return command_line.parsers(PROGRAM, discover())


def overview() -> str:
    """Every command with what it does."""
    golden, hardware = golden_models.parsers(PROGRAM), simulating()
    lines = [f"usage: {PROGRAM} COMMAND ...    ({PROGRAM} COMMAND --help says more)"]
    for title, part, names in (
        (
            "Hardware in a simulator, against its golden model:",
            hardware,
            [n for n in hardware if n not in SHARED],
        ),
        ("A network in the golden model; with --engine NAME on simulated hardware:", golden, SHARED),
        ("A network's golden model:", golden, [name for name in golden if name not in SHARED]),
    ):
        lines += ["", title]
        for name in names:
            text = (part[name].description or "").partition(". ")[0].rstrip(".")
            lines.append(f"  {name:<12} {text}")
    return "\n".join(lines)
