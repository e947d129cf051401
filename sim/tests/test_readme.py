# SPDX-License-Identifier: Apache-2.0
"""The commands that the documentation prints are commands that exist, and are typed where they are found."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from assay.golden.__main__ import _parser as golden_parser
from assay.sim import ROOT
from assay.sim.__main__ import _parser
from assay.sim.blocks import discover
from assay.sim.options import VARIABLES

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
GOALS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
ACTIVATION = ". .venv/bin/activate"


def commands(page: Path) -> Iterator[str]:
    """Commands of a page: in indented and fenced blocks, and in running text between backquotes."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    for match in re.finditer(
        r"^(?: {4}|\$ )?((?:make|python -m) .*)$|`((?:make|python -m) [^`]*)`", text, re.MULTILINE
    ):
        yield match[1] or match[2]


PRINTED = [(page, command) for page in PAGES for command in commands(page)]


def test_some_are_found() -> None:
    found = [command for page, command in PRINTED if page.name == "README.md"]
    for start in ("make ", "python -m sim ", "python -m golden "):
        assert sum(command.startswith(start) for command in found) >= 4


@pytest.mark.parametrize(("page", "command"), PRINTED, ids=lambda value: getattr(value, "name", value))
def test_command_exists(page: Path, command: str) -> None:
    words = shlex.split(command, comments=True)
    if words[0] == "make":
        for word in words[1:]:
            name, equals, value = word.partition("=")
            assert name in (VARIABLES if equals else GOALS), word
            assert value or not equals
        return
    parser = {"sim": lambda: _parser(discover()), "golden": golden_parser}.get(words[2])
    if parser is not None:  # a single capital letter stands for a number
        parser().parse_args([re.sub(r"^[A-Z]$", "1", word) for word in words[3:]])
    else:
        module = ROOT / words[2].replace(".", "/")
        assert module.with_suffix(".py").is_file() or (module / "__main__.py").is_file()


def test_environment_is_named_before_its_first_use() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert -1 < text.find(ACTIVATION) < text.find("python -m ")
    assert ".venv/bin/" not in text.replace(ACTIVATION, "")
