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

__all__ = ["main"]

# The golden model answers these, and hardware does once an engine is named.
_BOTH = ("predict", "trace", "compare")

_PROGRAM = "assay"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status of `assay.sim.command_line.main` or `assay.golden.__main__.main`."""
    try:
        return _main(list(sys.argv[1:] if argv is None else argv))
    except BrokenPipeError:  # whoever read what this prints has gone, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return command_line.BROKEN_PIPE


def _main(words: list[str]) -> int:
    golden, simulating = golden_models.commands(), command_line.commands()
    if not words or words[0] in ("-h", "--help"):
        print(_help(golden, simulating))
        return 0 if words else 2
    if words[0] == "--version":
        print(f"{_PROGRAM} {version('assay')}")
        return 0
    command = words[0]
    if command not in golden and command not in simulating:
        print(f"assay: {unknown('command', command, {**golden, **simulating})}", file=sys.stderr)
        return 2
    if command in _BOTH and not {"-h", "--help"}.isdisjoint(words):
        return _both_helps(command)
    if is_golden(words):
        return golden_models.main(words, _PROGRAM)
    return command_line.main(words, program=_PROGRAM)


def is_golden(words: Sequence[str]) -> bool:
    """Whether a command line is one of the golden models' alone, not one that simulates."""
    if words[0] in _BOTH:
        return not any(word == "--engine" or word.startswith("--engine=") for word in words)
    return words[0] in golden_models.commands()


def _help(golden: dict[str, str], simulating: dict[str, str]) -> str:
    lines = ["usage: assay COMMAND ...    (assay COMMAND --help says more)"]
    for title, commands, names in (
        (
            "Hardware in a simulator, against its golden model:",
            simulating,
            [n for n in simulating if n not in _BOTH],
        ),
        ("A network in the golden model; with --engine NAME on simulated hardware:", golden, _BOTH),
        ("A network's golden model:", golden, [name for name in golden if name not in _BOTH]),
    ):
        lines += [
            "",
            title,
            *(f"  {name:<12} {commands[name].partition('. ')[0].rstrip('.')}" for name in names),
        ]
    return "\n".join(lines)


def _both_helps(command: str) -> int:
    """The help of a command of both parts."""
    for title, run in (
        ("In the golden model:", lambda words: golden_models.main(words, _PROGRAM)),
        (
            "With --engine NAME, on simulated hardware:",
            lambda words: command_line.main(words, program=_PROGRAM),
        ),
    ):
        print(title, flush=True)
        try:
            run([command, "--help"])
        except SystemExit:
            print()
    return 0
