# SPDX-License-Identifier: Apache-2.0
"""The commands that the documentation prints are commands that exist, and are typed where they are found."""

from __future__ import annotations

import contextlib
import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from assay.golden.__main__ import _parser as golden_parser
from assay.sim import ROOT
from assay.sim.blocks import discover
from assay.sim.command_line import _parser as sim_parser
from assay.sim.console import is_golden
from assay.sim.options import MAY_BE_EMPTY, VARIABLES

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
GOALS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
COMMAND = re.compile(r"(?:make|assay|python) .*")
ACTIVATION = ". .venv/bin/activate"


def commands(page: Path) -> Iterator[str]:
    """Commands of a page: a line each in indented and fenced blocks, and in running text between backquotes."""
    fenced = paragraph = False
    for line in page.read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif fenced or (line.startswith("    ") and not paragraph):
            if match := COMMAND.fullmatch(line.strip().removeprefix("$ ")):
                yield match[0]
            continue
        else:
            yield from (match for match in re.findall(r"`([^`]+)`", line) if COMMAND.fullmatch(match))
        paragraph = bool(line.strip()) and not line.startswith("```")


PRINTED = [(page, command) for page in PAGES for command in commands(page)]


def test_some_are_found() -> None:
    found = [command for page, command in PRINTED if page.name == "README.md"]
    for start in ("make ", "assay "):
        assert sum(command.startswith(start) for command in found) >= 4


@pytest.mark.parametrize(("page", "command"), PRINTED, ids=lambda value: getattr(value, "name", value))
def test_command_exists(page: Path, command: str) -> None:
    words = shlex.split(command, comments=True)
    if words[0] == "make":
        for word in words[1:]:
            name, equals, value = word.partition("=")
            assert name in (VARIABLES if equals else GOALS), word
            assert value or not equals or name in MAY_BE_EMPTY
        return
    if words[0] == "assay":  # a single capital letter stands for a number
        parser = golden_parser("assay") if is_golden(words[1:]) else sim_parser(discover(), "assay")
        wanted = pytest.raises(SystemExit, match=r"^0$") if "--help" in words else contextlib.nullcontext()
        with wanted:
            parser.parse_args([re.sub(r"^[A-Z]$", "1", word) for word in words[1:]])
    elif words[1] == "-m":
        assert importlib.util.find_spec(words[2]) is not None
    else:
        assert (ROOT / words[1]).is_file()


def test_environment_is_named_before_its_first_use() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert -1 < text.find(ACTIVATION) < text.find("    assay ")
    assert ".venv/bin/" not in text.replace(ACTIVATION, "")
