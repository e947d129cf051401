# SPDX-License-Identifier: Apache-2.0
"""`assay vectors`."""

import re
from pathlib import Path

import numpy as np
import pytest

from assay.golden.__main__ import main
from assay.golden.mvu import vectors

MODEL = Path(__file__).parents[3] / "vectors" / "digits" / "digits_w2a2.onnx"


def test_chosen_layers(tmp_path, capsys):
    folder = tmp_path / "a set"
    assert main(["vectors", str(MODEL), "--layers", "conv1,dense", "--lanes", "8", "--out", str(folder)]) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[:2] == ["conv1", "dense"]
    assert f"VECTORS='{folder}'" in printed
    params, jobs = vectors.read(folder)
    assert params.lanes == 8
    assert [v.job.name for v in jobs] == ["conv1", "dense"]


def test_own_image_and_seed(tmp_path):
    image = tmp_path / "image.npy"
    np.save(image, np.full((1, 8, 8, 1), 3))
    sets = {}
    for name, options in {
        "given": ["--inputs", str(image)],
        "one": ["--seed", "1"],
        "again": ["--seed", "1"],
        "two": ["--seed", "2"],
    }.items():
        folder = tmp_path / name
        assert main(["vectors", str(MODEL), "--layers", "conv1", "--out", str(folder), *options]) == 0
        sets[name] = vectors.read(folder)[1][0].input
    assert np.array_equal(sets["one"], sets["again"])
    assert not np.array_equal(sets["one"], sets["two"])
    assert set(np.unique(sets["given"])) == {0, 1}  # both planes of channel 0 are set, of the others none


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--layers", "conv9"], "no layer 'conv9', but conv1, conv2"),
        (["--lanes", "9"], "lanes = 9: must be a power of two"),
        (["--lanes", "2"], "words of data memory|weight words|32768"),
    ],
)
def test_refusals(tmp_path, capsys, options, sentence):
    assert main(["vectors", str(MODEL), "--out", str(tmp_path / "set"), *options]) == 2
    assert re.search(sentence, capsys.readouterr().err)
    assert not list(tmp_path.iterdir())
