# SPDX-License-Identifier: Apache-2.0
"""The command ``new``: from RTL files to a bench that runs."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

from assay.sim import shown
from assay.sim.attach import hints
from assay.sim.blocks import discover
from assay.sim.commands import command
from assay.tb.block import Block
from assay.tb.errors import AssayError

DESCRIPTION = """\
Attach Assay to RTL as it is. Read the ports of a module, recognise its interfaces, and write tb/NAME/: a block
declaration, a bench with random stalls on every port, tests, a wave view, and a golden function that is still to be
written. What is recognised is shown as a table; what is not needs a hint, or is named with its file and line. Nothing
that exists is overwritten.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = DESCRIPTION
    parser.epilog = hints.__doc__
    parser.add_argument("name", metavar="NAME", help="name of the new block: its folder is tb/NAME")
    parser.add_argument(
        "--rtl",
        nargs="+",
        required=True,
        metavar="FILE",
        help="sources in compile order, and file lists (.f)",
    )
    parser.add_argument("--top", required=True, metavar="MODULE", help="the module to attach to")
    parser.add_argument(
        "--param", action="append", default=[], metavar="NAME=VALUE", help="parameter of the top; repeatable"
    )
    parser.add_argument(
        "--define", action="append", default=[], metavar="NAME[=TEXT]", help="macro; repeatable"
    )
    parser.add_argument(
        "--include", action="append", default=[], metavar="FOLDER", help="folder of `include; repeatable"
    )
    parser.add_argument(
        "--hints", metavar="FILE", help="TOML file that names what the ports' names do not tell"
    )
    parser.add_argument("--clock", action="append", default=[], metavar="PORT", help="clock; repeatable")
    parser.add_argument("--reset", action="append", default=[], metavar="PORT", help="reset; repeatable")
    parser.add_argument(
        "--out", default=".", metavar="FOLDER", help="repository that gets tb/NAME (default: here)"
    )
    parser.add_argument("--dry-run", action="store_true", help="show what is recognised and write nothing")


def new(
    arguments: argparse.Namespace, blocks: Mapping[str, Block], announce: Callable[[str], None] = print
) -> int:
    """Run the command; the exit status.

    Args:
        blocks: those that exist.

    Raises:
        AssayError: bad input; nothing was written.
    """
    # Only this command needs slang, which takes its time to load.
    from assay.sim.attach.design import read_design
    from assay.sim.attach.filelist import read_sources
    from assay.sim.attach.plan import check_name, make_plan
    from assay.sim.attach.recognise import recognise
    from assay.sim.attach.repository import write
    from assay.sim.attach.table import table

    check_name(arguments.name)
    root = Path(arguments.out)
    if not root.is_dir():
        raise AssayError(f"--out {arguments.out}: there is no such folder")
    other = blocks.get(arguments.name)
    if other is not None and other.root != root.resolve():
        raise AssayError(f"NAME {arguments.name}: {other.file} has this name already; give another one")
    given = hints.read_hints(Path(arguments.hints) if arguments.hints else None)
    given.clock = arguments.clock or given.clock
    given.reset = arguments.reset or given.reset
    files = read_sources(arguments.rtl, arguments.include, arguments.define)
    found = recognise(read_design(files, arguments.top, _parameters(arguments.param)), given)
    for line in table(found):
        announce(line)
    plan = make_plan(arguments.name, found, root)
    if plan.only_verilator:
        announce(f"only Verilator: {plan.only_verilator}")
    if arguments.dry_run:
        return 0
    for path in write(plan):
        announce(f"wrote {shown((root / path).resolve())}")
    here = root.resolve() == Path.cwd()
    block = discover("" if here else arguments.out)[arguments.name]
    announce(f"next: write {shown(block.file.with_name('golden.py'))}, then: {command('run', block, {})}")
    return 0


def _parameters(texts: list[str]) -> dict[str, str]:
    parameters = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise AssayError(f"--param {text}: must be NAME=VALUE")
        parameters[name] = value
    return parameters
