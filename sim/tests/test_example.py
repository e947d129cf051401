# SPDX-License-Identifier: Apache-2.0
"""The example in docs/example, as far as it needs neither torch nor a simulator."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from assay.sim import ROOT

SCRIPT = ROOT / "docs" / "example" / "run.py"


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("example_run", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_committed_network_agrees(example, capsys: pytest.CaptureFixture[str]) -> None:
    assert example.main([]) == 0
    printed = capsys.readouterr().out
    assert "framework: 99.2% of 360 images right\nnetwork: 99.2% of 360 images right" in printed
    assert printed.count("5 tensors") == printed.count(": all exact") == 2


def test_a_bug_is_found_where_it_is(example, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert example.main(["--bug"]) == 1
    assert "the bug shows first in layer 'conv1': image 0, row " in capsys.readouterr().out


def test_the_line_that_the_bug_changes_is_there(example) -> None:
    assert (ROOT / example.BROKEN_FILE).read_text().count(example.RIGHT) == 1
    with example.planted("accelerator") as block:
        assert example.WRONG in (block.root / example.BROKEN_FILE).read_text()
        assert all(file.is_file() for file in block.source_files())


def test_a_missing_model_is_one_sentence(example, capsys: pytest.CaptureFixture[str]) -> None:
    assert example.main(["--model", "lost.onnx"]) == 2
    assert capsys.readouterr().err == "example: lost.onnx: no such model file\n"
