# SPDX-License-Identifier: Apache-2.0
"""A wave file that is cut short anywhere is known as such, whoever wrote it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from assay.sim import run
from assay.sim.job import Job
from assay.sim.run import run_job
from assay.sim.wavefile import damage
from assay.tb.block import Block

pytestmark = [pytest.mark.simulation, pytest.mark.usefixtures("own_runs")]


@pytest.fixture(params=["fst", "vcd"])
def waves(
    request: pytest.FixtureRequest, counter: Block, simulator: str, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The waves of a run, in each format that this machine writes."""
    if request.param == "vcd":
        if simulator == "icarus":
            pytest.skip("vvp is told to write FST")
        monkeypatch.setattr(run, "trace_format", lambda simulator: "vcd")
    elif run.trace_format(simulator) != "fst":
        pytest.skip("FST waves need the headers of lz4 and zlib")
    outcome = run_job(Job(counter, simulator, 7, ("counts",), waves=True), print)
    assert outcome.passed
    return outcome.waves


def test_every_cut_is_found(waves: Path, tmp_path: Path) -> None:
    assert damage(waves) == ""
    content = waves.read_bytes()
    cut = tmp_path / waves.name
    missed = []
    for length in range(0, len(content), max(1, len(content) // 997)):
        cut.write_bytes(content[:length])
        # A VCD file is a list of lines: one that ends with a line, after the header, may be a whole one.
        whole = (
            waves.suffix == ".vcd"
            and content[:length].endswith(b"\n")
            and b"$enddefinitions" in content[:length]
        )
        if (damage(cut) == "") != whole:
            missed.append(length)
    assert missed == []


def test_all_lanes_are_in_the_waves(
    counter: Block, require_simulator: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Verilator; Icarus dumps no arrays."""
    require_simulator("verilator")
    monkeypatch.setattr(run, "trace_format", lambda simulator: "vcd")
    outcome = run_job(Job(counter, "verilator", 7, ("counts",), waves=True), print)
    text = outcome.waves.read_text(encoding="utf-8")
    names: dict[str, str] = {}  # of identifiers; a structure's members are in a scope of its name
    scopes: list[str] = []
    for line in text.partition("$enddefinitions")[0].splitlines():
        match line.split():
            case ["$scope", _, name, "$end"]:
                scopes.append(name)
            case ["$upscope", "$end"]:
                scopes.pop()
            case ["$var", _, _, identifier, name, *_]:
                names[".".join([*scopes[1:], name])] = identifier
    values: dict[str, int] = {}
    for line in text.splitlines():
        if line.startswith("b"):
            value, identifier = line[1:].split()
            values[identifier] = int(value, 2)
    seen = {name.removeprefix("counter_tb."): values.get(identifier) for name, identifier in names.items()}
    count = seen["count_o"] - 1
    for lane in range(200):
        assert seen[f"lanes_q[{lane}]"] == (count + lane) % 256
        assert seen[f"structure_q.lane[{lane}]"] == (count + lane) % 256
    assert seen["vector_q"] == sum((count + lane) << 64 * lane for lane in range(200))


def test_missing_file(tmp_path: Path) -> None:
    assert damage(tmp_path / "waves.fst") == "cannot be read: No such file or directory"
