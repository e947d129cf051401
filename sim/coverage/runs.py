# SPDX-License-Identifier: Apache-2.0
"""What a run leaves of coverage: written by `tb.report`, sealed when the run has ended, read for a report.

``<run>/coverage/`` has a folder for each test with its cover groups (``<group>.json``) and, of a build with coverage,
what it has executed (``code.dat.gz``). ``made_from.json`` beside them holds the hashes of the sources and how many
points each test has, so that no report shows the counts of one text beside another.
"""

from __future__ import annotations

import contextlib
import gzip
import inspect
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.sim import shown
from assay.sim.build import BuildSpec, digest
from assay.tb.block import Block
from assay.tb.errors import AssayError
from assay.tb.json_file import write_json
from assay.tb.report import CODE, COVERAGE

MADE_FROM = "made_from.json"


@dataclass(frozen=True)
class TestCoverage:
    """What one test has covered.

    Attributes:
        label: block, test, parameters that are not the defaults, seed.
        block: of the run.
        test: name.
        groups: files of cover groups.
        code: file of Verilator's counts; None: the build had no coverage.
        points: how many it must hold.
        name: gives what a source is called (relative to the block's root), from its path in that file; None: it is no
            source of the design.
    """

    __test__ = False  # not a pytest class

    label: str
    block: Block
    test: str
    groups: tuple[Path, ...]
    code: Path | None
    points: int | None
    name: Callable[[str], str | None]


def seal(spec: BuildSpec, run: Path) -> None:
    """Compress what the tests of a run have left, and note what it was made from."""
    folder = run / COVERAGE
    if not folder.is_dir():
        return
    points = {}
    for path in sorted(folder.glob(f"*/{CODE}")):
        content = path.read_bytes()
        points[path.parent.name] = content.count(b"\n") - 1  # its first line is a header
        path.with_suffix(".dat.gz").write_bytes(gzip.compress(content, 3, mtime=0))
        path.unlink()
    write_json(folder / MADE_FROM, {"hashes": _hashes(spec.block, spec.counted()), "points": points})


def _hashes(block: Block, sources: Iterable[Path]) -> dict[str, str]:
    """Path, relative to the block's root, to hash: of the design, and of the module of the cover groups."""
    paths = [*sources]
    if block.coverage is not None:
        with contextlib.suppress(TypeError):  # a callable that is of no file
            paths.append(Path(inspect.getfile(block.coverage)))
    return {os.path.relpath(path, block.root): digest(path) for path in paths}


def read_run(run: Path, blocks: Mapping[str, Block]) -> list[TestCoverage]:
    """What the tests of a run have covered.

    Raises:
        AssayError: the folder is of no run, the run failed, or it was made from other sources.
    """
    record = _json(run / "run.json", f"{shown(run)} is no folder of a run")
    made = _json(run / COVERAGE / MADE_FROM, f"{shown(run)} has no coverage; its run may have failed early")
    block = blocks.get(record["block"])
    if block is None:
        raise AssayError(f"{shown(run)} is of block {record['block']}, which is not here")
    if not record["passed"]:
        raise AssayError(f"the run in {shown(run)} failed, so that its coverage says nothing")
    for name, hashed in made["hashes"].items():
        path = block.root / name
        if not path.is_file() or digest(path) != hashed:
            raise AssayError(f"{shown(run)} was made from another {name}; run it again: {record['replay']}")
    given = " ".join(
        f"{name}={value}" for name, value in {**record["parameters"], **record["defines"]}.items()
    )
    sources = [name for name in made["hashes"] if not name.endswith(".py")]

    def called(path: str) -> str | None:
        return next((source for source in sources if _is(path, source)), None)

    return [
        TestCoverage(
            " ".join(filter(None, [block.name, test.name, given, f"seed {record['seed']}"])),
            block,
            test.name,
            tuple(sorted(test.glob("*.json"))),
            test / f"{CODE}.gz" if test.name in made["points"] else None,
            made["points"].get(test.name),
            called,
        )
        for test in sorted((run / COVERAGE).iterdir())
        if test.is_dir()
    ]


def _is(path: str, source: str) -> bool:
    """Whether a path in Verilator's file is that of a source: it may lead through a link (`sim.build`)."""
    return path.endswith(f"/{source.replace(f'..{os.sep}', '')}")


def _json(path: Path, message: str) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise AssayError(f"{message}: {shown(path)} cannot be read") from None
