# SPDX-License-Identifier: Apache-2.0
"""The command ``regress``: many seeds of many tests, on this machine or a cluster, and one page of what came out."""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import re
import shlex
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from assay.sim import ROOT, outputs, project
from assay.sim.commands import command
from assay.sim.job import LARGEST_SEED, Job, choose_seed
from assay.sim.mutation.command import number
from assay.sim.options import by_variable
from assay.sim.regress.plan import Items, Plan, Run, item_of, read_plan, seconds, seeds_of
from assay.sim.regress.record import PASSED, Entry, Header, Regression
from assay.tb.block import Block
from assay.tb.errors import AssayError, MissingExtra, unknown

if TYPE_CHECKING:
    from assay.sim.regress.archive import Archive
    from assay.sim.regress.cluster import Where

Announce = Callable[[str], None]

HELP = "run many seeds of many tests, on this machine or a cluster, and report what failed on one page"

INSTALL = "pip install 'assay[regression]'"

LAST = "1"
"""Stands for the name of the last regression."""

OPTIONS = (
    by_variable("SEEDS")._replace(
        text="number of seeds, from SEED on, with which each test runs; or a list such as 7,8,20-29, @graded, or @FILE "
        "(default: 1, or as many as TIME allows)",
        default="",
    ),
    by_variable("SEED")._replace(text="first seed (default: a random one, which is printed)"),
    by_variable("SIM")._replace(
        text="simulators, with commas (default: those that the variants name)", default=""
    ),
    by_variable("MINUTES")._replace(
        text="time to shrink the run that stands for a bucket; 0: none are", default="2"
    ),
    by_variable("JOBS")._replace(text="workers on this machine (default: one for each core)", default=""),
    by_variable("NAME")._replace(text="name of the regression (default: date and time)"),
    by_variable("COVERAGE"),
    *map(
        by_variable,
        ("TIME", "VARIANTS", "COCOTB_TEST_FILTER", "PARAMS", "NETWORKS", "PLAN", "TIMEOUT", "ATTEMPTS"),
    ),
    *map(by_variable, ("CLUSTER", "TLS_CA", "TLS_CERT", "TLS_KEY", "DISK", "MEMORY")),
)
"""Of make's variables, beside those of the block and RESUME."""


def add_arguments(
    parser: argparse.ArgumentParser, resume: str | None, not_empty: Callable[[str], str]
) -> None:
    """The command's own arguments; what has a variable of make's alone is in `OPTIONS`.

    Args:
        resume: what RESUME holds.
        not_empty: reads a text.
    """
    parser.add_argument(
        "--resume",
        nargs="?",
        type=not_empty,
        const=LAST,
        default=resume,
        metavar="NAME",
        help="go on with a regression that was interrupted; without a name the last one (RESUME)",
    )
    parser.add_argument("--list", action="store_true", help="print what would be run, and end")


def regress(
    arguments: argparse.Namespace,
    blocks: Mapping[str, Block],
    parameters: Mapping[str, int | str],
    announce: Announce,
) -> int:
    """Run the command; the exit status is 1 where an item failed that nobody has acknowledged, or where nothing ran.

    Args:
        arguments: the command line's.
        blocks: that there are.
        parameters: that the user gave.

    Raises:
        AssayError: bad input, or no worker is left.
        KeyboardInterrupt: after the report, where the user has interrupted.
    """
    missing = [name for name in ("distributed", "psutil") if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtra(f"a regression needs {' and '.join(missing)}; install it with: {INSTALL}")
    from assay.sim.regress import archive, cluster, engine  # Dask takes a second to import
    from assay.sim.regress.report import make_report

    names = _names(arguments)
    home = engine.root(_any_block(names, blocks))
    if arguments.resume:
        folder = _found(home, arguments.resume)
        items = Items.of_header(Regression(folder).header)
    else:
        items = Items.of_plan(_plan(arguments, names, parameters), blocks, lambda name: _graded(home, name))
        folder = home / (_checked(arguments.name) or time.strftime("%Y-%m-%d-%H%M%S"))
    if arguments.list:
        return _list(items)
    for name in sorted(set(items.dropped)):
        announce(f"{name} is in the list of seeds, but no test of this plan; it is left out")
    where = _where(arguments, home)
    with contextlib.ExitStack() as stack:
        if arguments.resume:
            stack.enter_context(engine.held(folder))
            packed, header = archive.read(folder), Regression(folder).header
        else:
            packed = archive.pack(blocks.values(), items.entries)
            header = _header(folder.name, items, packed, blocks)
        settings = {
            "versions": header.versions,
            "disk": number("DISK", arguments.disk, float, 0, 1 << 30) * 1e6,
            "memory": number("MEMORY", arguments.memory, float, 0, 1 << 30) * 1e6,
        }
        workers = cluster.Workers(where, packed, settings, announce)
        stack.callback(workers.close)
        if not arguments.resume:
            engine.begin(folder, header, packed)
            stack.enter_context(engine.held(folder))
        announce(f"regression {folder.name}: {_described(items)}")
        announce(f"to go on if it is interrupted: {_resume(folder.name, names, blocks)}")
        ended: KeyboardInterrupt | AssayError | None = None
        try:
            run = engine.Engine(folder, items, blocks, workers, announce)
            run.run()
            run.event("ended", run.progress)
            announce(run.share)
        except (KeyboardInterrupt, AssayError) as error:
            ended = error
            engine.note(folder, "interrupted", str(error) or "by its user")
            announce("interrupted: what has run is reported")
        workers.stop()
        workers.close()
        root = next(blocks[entry.block].root for entry in items.entries if entry.block in blocks)

        def job(entry: Entry, seed: int) -> Job:
            return item_of(entry, blocks).job(seed)

        minutes = number("MINUTES", arguments.minutes, float, 0, 1 << 20)
        # Who interrupts wants the report, not more runs.
        summary = make_report(folder, root, job, -1 if ended is not None else minutes, announce)
        if ended is not None:
            announce(f"to go on: {_resume(folder.name, names, blocks)}")
            raise ended
    return int(summary["verdict"] != PASSED)


# -------------------------------------------------------------------------------------------------
# What is ordered
# -------------------------------------------------------------------------------------------------
def _names(arguments: argparse.Namespace) -> tuple[str, ...]:
    """The blocks that the user names, as TOPLEVEL or as BLOCKS."""
    named = [arguments.top or ""]
    if arguments.blocks and not os.path.isdir(arguments.blocks):
        named.append(arguments.blocks)
    return tuple(dict.fromkeys(_words(" ".join(named))))


def _words(text: str | None) -> list[str]:
    return [word for word in re.split(r"[\s,]+", text or "") if word]


def _any_block(names: tuple[str, ...], blocks: Mapping[str, Block]) -> Block | None:
    """A block of the repository in whose outputs the regression belongs."""
    for name in names:
        if name not in blocks:
            raise unknown("block", name, blocks)
        return blocks[name]
    return next((block for block in blocks.values() if block.root in project.in_use), None)


def _plan(arguments: argparse.Namespace, names: tuple[str, ...], parameters: Mapping[str, int | str]) -> Plan:
    """The plan of the options, or of the file that they name."""
    given = Plan(
        runs=(),
        time=seconds("TIME", arguments.time) if arguments.time else 0,
        timeout=seconds("TIMEOUT", arguments.timeout),
        attempts=int(number("ATTEMPTS", arguments.attempts, int, 1, 100)),
        coverage=arguments.coverage,
        first_seed=choose_seed(arguments.seed) if arguments.seed else _random_seed(),
    )
    own = {
        "TOPLEVEL": names,
        "SEEDS": arguments.seeds,
        "SIM": arguments.sim,
        "VARIANTS": arguments.variants,
        "COCOTB_TEST_FILTER": arguments.filter,
        "NETWORKS": arguments.networks,
        "PARAMS": parameters,
    }
    if arguments.plan:
        for name, value in own.items():
            if value:
                raise AssayError(f"{name} and PLAN exclude each other: {arguments.plan} says what is run")
        return read_plan(Path(arguments.plan), given)
    seeds = seeds_of("SEEDS", arguments.seeds) if arguments.seeds else 0 if arguments.time else 1
    run = Run(
        blocks=names,
        seeds=seeds,
        simulators=tuple(_words(arguments.sim)),
        variants=arguments.variants or "",
        tests=arguments.filter or "",
        networks=tuple(shlex.split(arguments.networks or "")),
        parameters=dict(parameters),
    )
    return Plan(**{**vars(given), "runs": (run,)})


def _random_seed() -> int:
    """A first seed that leaves room for many after it."""
    return choose_seed(None) % (LARGEST_SEED // 2) + 1


def _graded(home: Path, name: str) -> list[tuple[str, int]]:
    """The pairs of test and seed of a list."""
    from assay.sim.regress.grades import graded_file, read_graded

    return read_graded(graded_file(home) if name == "@graded" else Path(name[1:]))


def _checked(name: str | None) -> str:
    """The name of a regression, which is that of a folder."""
    if name and not re.fullmatch(r"\w[\w.-]{0,80}", name, re.ASCII):
        raise AssayError(f"NAME={name}: allowed are letters, digits, _, . and -")
    return name or ""


def _found(home: Path, name: str) -> Path:
    """The folder of a regression that was begun."""
    known = {path.parent.name: path for path in home.glob("*/journal.jsonl")}
    if not known:
        raise AssayError("there is no regression to go on with")
    if name == LAST and name not in known:
        return max(known.values(), key=lambda path: path.stat().st_mtime).parent
    if name not in known:
        raise unknown("regression", name, sorted(known))
    return known[name].parent


def _where(arguments: argparse.Namespace, home: Path) -> Where:
    from assay.sim.regress import cluster

    return cluster.Where(
        cluster=arguments.cluster or "",
        jobs=int(number("JOBS", arguments.jobs or str(os.cpu_count() or 1), int, 1, 1 << 10)),
        tls_ca=arguments.tls_ca or "",
        tls_cert=arguments.tls_cert or "",
        tls_key=arguments.tls_key or "",
        cache=outputs.made(home.parent.parent / "build") / "workers",
    )


def _header(name: str, items: Items, packed: Archive, blocks: Mapping[str, Block]) -> Header:
    from assay.sim.regress import archive
    from assay.sim.regress.engine import machine
    from assay.sim.regress.runner import versions

    used = {entry.block for entry in items.entries}
    theirs = [block.root for name, block in blocks.items() if name in used and block.root in project.in_use]
    simulators = tuple(sorted({entry.simulator for entry in items.entries}))
    return Header(
        name=name,
        plan=items.as_json(),
        entries=tuple(items.entries),
        project=packed.key,
        commit=archive.commit(theirs[0] if theirs else ROOT),
        versions=versions(simulators),
        machine=machine(),
        started=round(time.time(), 2),
    )


def _described(items: Items) -> str:
    count = items.count
    seeds = [group.seeds for group in items.groups if group.seeds]
    words = ["as many items as the time allows" if count is None else _counted(count, "item")]
    words.append(f"of {_counted(len(items.entries), 'test')}")
    if seeds:
        words.append(
            f"seeds from {min(min(each) if not isinstance(each, range) else each.start for each in seeds)}"
        )
    if items.plan.time:
        words.append(f"{items.plan.time / 3600:.2g} h")
    return ", ".join(words)


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _list(items: Items) -> int:
    for entry in items.entries:
        print(entry.name)
    print(_described(items))
    return 0


def _resume(name: str, names: tuple[str, ...], blocks: Mapping[str, Block]) -> str:
    block = _any_block(names, blocks) or next(iter(blocks.values()))
    return command("regress", block, {"RESUME": name})
