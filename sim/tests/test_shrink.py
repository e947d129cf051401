# SPDX-License-Identifier: Apache-2.0
"""`make shrink` and `make keep`: a fault planted in the RTL leaves a minimal case, which the RTL without it passes."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from assay.sim import items, regression, shrink
from assay.sim.command_line import main
from assay.sim.job import Job
from assay.sim.mutation.judge import judge
from assay.sim.run import run_job
from assay.tb import cases
from assay.tb.block import Block, expand_sources
from assay.tb.capabilities import PlaysCases
from assay.tb.cases import Case, read_case
from assay.tb.mvu.block import BLOCK as MVU
from assay.tb.mvu.mvu_cases import MvuCases
from assay.tb.mvu.steps import LayerStep

LANES = {"Lanes": 8}


def planted(block: Block, folder: Path, module: str, old: str, new: str) -> Block:
    """The block with a fault in one of its modules."""
    sources = []
    for path in block.source_files():
        if path.stem == module:
            text = path.read_text(encoding="utf-8")
            assert text.count(old) == 1, old
            path = folder / path.name
            path.write_text(text.replace(old, new), encoding="utf-8")
        sources.append(str(path))
    expanded = expand_sources(block.root, block.sources, block.file)
    folders = tuple(map(str, block.include_paths()[:-1]))
    return replace(
        block, sources=tuple(sources), include_dirs=folders, defines={**expanded.defines, **block.defines}
    )


@pytest.fixture
def kept_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in place of the blocks' own for kept cases."""
    folder = tmp_path / "kept"
    monkeypatch.setattr(shrink, "FOLDER", str(folder))
    monkeypatch.setattr(cases, "FOLDER", str(folder))
    return folder


def fails(block: Block, test: str, first: int = 1) -> None:
    """Run it with seed after seed until it fails."""
    assert not all(
        run_job(Job(block, "verilator", seed, (test,), LANES), print).passed
        for seed in range(first, first + 8)
    )


def only_file(folder: Path) -> Path:
    (path,) = folder.glob("*.json")
    return path


@pytest.mark.simulation
def test_mvu(
    tmp_path: Path,
    own_runs: Path,
    kept_apart: Path,
    require_simulator: Callable[[str], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The maximum of a pool is compared without signs: a pool of a negative value and 0 is all that it takes."""
    require_simulator("verilator")
    wrong = planted(
        MVU, tmp_path, "mvu_post", "sum_q[l] > pooled_q[l]", "$unsigned(sum_q[l]) > $unsigned(pooled_q[l])"
    )
    blocks = {"mvu": wrong}
    # Some seeds fail with operands without signs, whose sum wraps around: that takes large values, and stays so.
    fails(wrong, "random_jobs", first=12)
    capsys.readouterr()
    assert main(["shrink", "--top", "mvu", "--minutes", "8"], blocks) == 0
    said = capsys.readouterr().out
    assert "nothing simpler fails" in said
    path = only_file(own_runs / shrink.SHRUNK)
    case = read_case(path, MvuCases(), "mvu")
    assert case.check == "mismatch: trc"
    (step,) = case.steps
    assert isinstance(step, LayerStep)
    # Which lane is wrong is a part of the failure, so that lanes before it stay.
    assert np.count_nonzero(step.layer.weight) == 1 and step.layer.weight.size <= LANES["Lanes"]
    assert step.layer.pool is not None
    assert int(np.prod(step.layer.pool.window)) == 2
    assert step.x is not None
    assert sorted(abs(step.x).reshape(-1).tolist()) == [0, 1]
    assert step.residual is None and not step.stalls and not step.countdown and not step.dest
    assert "pool 2x1" in said or "pool 1x2" in said

    # What it tells to type repeats the failure, also the second time that it is shrunk; nothing else is left behind.
    (line,) = (line for line in said.splitlines() if "replay" in line and " CASE=" in line)
    variables = dict(word.partition("=")[::2] for word in shlex.split(line) if "=" in word)
    assert Path(variables["CASE"]) == path
    outcome = run_job(_job(wrong, path), print)
    assert f"{judge(outcome).check}" == case.check
    assert main(["shrink", "--top", "mvu"], blocks) == 0
    assert only_file(own_runs / shrink.SHRUNK) == path
    assert not list(own_runs.glob("*shrinking*")) and not list(own_runs.glob("*recording*"))
    again = read_case(path, MvuCases(), "mvu")
    assert again.check == case.check
    (other,) = again.steps
    assert isinstance(other, LayerStep) and other.layer.pool == step.layer.pool
    assert np.array_equal(other.layer.weight, step.layer.weight) and np.array_equal(other.x, step.x)

    # Kept, it is an item of the regression, which the design without the fault passes.
    keep = ["keep", "--top", "mvu", "--name", "pooled"]
    assert main(keep, blocks) == 0
    assert main(keep, blocks) == 2
    assert "pooled.json exists; give another --name, or replace it with: " in capsys.readouterr().err
    assert main([*keep, "--replace"], blocks) == 0
    kept = read_case(kept_apart / "pooled.json", MvuCases(), "mvu")
    assert _numbers(kept) == _numbers(again)
    (item,) = items.kept_items(MVU)
    assert str(item) == "mvu-kept-verilator-case-pooled"
    regression.simulate(item)
    outcome = run_job(replace(item.job(1), block=wrong), print)
    assert judge(outcome).check == case.check


def _job(block: Block, path: Path) -> Job:
    plays = block.capability(PlaysCases)
    assert plays is not None
    return shrink.case_job(block, plays, plays.read(block, path), path)


def _numbers(case: Case) -> object:
    return cases.as_json(case)["steps"]


def test_refusals(
    own_runs: Path, kept_apart: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blocks = {"mvu": MVU}

    def refused(*words: str) -> str:
        assert main([*words, "--top", "mvu"], blocks) == 2
        return capsys.readouterr().err

    assert "no run of mvu failed, so there is nothing to shrink" in refused("shrink")
    assert "--minutes 0: allowed are numbers from" in refused("shrink", "--minutes", "0")
    assert "keep needs a name for the case" in refused("keep")
    assert "--name a/b: allowed are letters" in refused("keep", "--name", "a/b")
    assert "no case of mvu was shrunk; this shrinks its last failure" in refused("keep", "--name", "a")
    assert "none.json: No such file" in refused("keep", "--name", "a", "--case", "none.json")
    bad = tmp_path / "bad.json"
    bad.write_text("{}")
    assert "its format must be" in refused("run", "--case", str(bad))
    assert not kept_apart.exists()
