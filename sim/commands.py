# SPDX-License-Identifier: Apache-2.0
"""Commands that a user is told to type: those of make in Assay's checkout, else those of the command line."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from assay.sim import ROOT, project
from assay.sim.options import OPTIONS
from assay.tb.block import Block

LISTS = ("PARAMS", "COCOTB_TESTCASE", "DEFINES", "DATA", "COMPILE_ARGS")
"""Variables that hold a list."""


Word = str | Mapping[str, Any] | tuple[str, ...]
"""A variable's text, or a list: names with values, or names alone."""


def command(goal: str, block: Block, words: Mapping[str, Word]) -> str:
    """The command that does `goal` with a block where the user is now.

    Args:
        goal: run, waves, bench: of both.
        words: variables -> what each holds.
    """
    words = {**({} if "TOPLEVEL" in words else {"TOPLEVEL": block.name}), **words}
    if named := project.in_use.get(block.root, ""):
        words["BLOCKS"] = named
    if Path.cwd() == ROOT and (ROOT / "Makefile").is_file():
        line = ["make", *([goal] if goal != "run" else [])]
        return " ".join([*line, *(make_word(name, _text(name, value)) for name, value in words.items())])
    flags = {option.variable: option for option in OPTIONS}
    flags |= {option.variable: option for each in block.capabilities for option in each.options}
    typed = []
    for name, value in words.items():
        if not flags[name].value:
            typed.append(flags[name].flag)
        else:
            # A value that begins as an option does would be taken for one.
            typed += [
                f"{flags[name].flag}{'=' if each.startswith('-') else ' '}{shlex.quote(each)}"
                for each in _each(value)
            ]
    return f"assay {goal} {' '.join(typed)}"


def make_word(name: str, text: str) -> str:
    """``NAME=text`` as a shell hands it to make, which takes a ``$`` for the beginning of a variable."""
    return f"{name}={shlex.quote(text.replace('$', '$$'))}"


def _each(value: Word) -> list[str]:
    if isinstance(value, Mapping):
        return [f"{name}={text}" for name, text in sorted(value.items())]
    return list(value) if isinstance(value, tuple) else [value]


def _text(name: str, value: Word) -> str:
    if name in ("DEFINES", "DATA", "COMPILE_ARGS"):
        return shlex.join(_each(value))
    return (" " if isinstance(value, Mapping) else ",").join(_each(value))
