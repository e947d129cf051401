# SPDX-License-Identifier: Apache-2.0
"""Vector sets: what is written is what the golden MVU does, and what is read is what was written."""

import json

import numpy as np
import pytest

from assay.golden.errors import ChecksumError, ConfigurationError, DoesNotFitError, GoldenError
from assay.golden.formats import IntFormat
from assay.golden.mvu import vectors
from assay.golden.mvu.functional import Memories, run_job
from assay.golden.mvu.layout import unpack_activations
from assay.golden.mvu.parameters import MvuParameters
from assay.golden.network import Layer, Network, Residual

PARAMS = MvuParameters(lanes=8)


def network(size=5) -> Network:
    rng = np.random.default_rng(1)
    u3, s2 = IntFormat(3, False), IntFormat(2, True)

    def layer(name, source, target, **more):
        return Layer(
            name=name,
            input=source,
            output=target,
            weight=rng.integers(-2, 2, (12, 3, 3, 12)),
            weight_format=s2,
            input_format=u3,
            output_format=u3,
            multiplier=rng.integers(1, 30, 12),
            bias=rng.integers(-50, 50, 12),
            shift=6,
            padding=(1, 1, 1, 1),
            relu=True,
            **more,
        )

    layers = (
        layer("first", "x", "y"),
        layer("second", "y", "z", residual=Residual("x", u3, 5)),
    )
    return Network("small", "x", (size, size, 12), layers)


def image(size=5):
    return np.random.default_rng(2).integers(0, 8, (size, size, 12))


def test_round_trip(tmp_path):
    folder = tmp_path / "a set"
    names = vectors.write(network(), image(), PARAMS, folder)
    assert names == ["first", "second"]
    params, read = vectors.read(folder)
    assert params == PARAMS
    trace = network().trace(image()[None])
    for vector, tensors in zip(read, (("x", "y"), ("y", "z")), strict=True):
        job = vector.job
        x = unpack_activations(vector.input, job.input.shape, job.input.fmt, 8)
        assert np.array_equal(x, trace[tensors[0]][0])
        words = np.empty((job.output.words, 1), np.uint8)
        words[vector.address - job.output.base] = vector.expected
        y = unpack_activations(words, job.output.shape, job.output.fmt, 8)
        assert np.array_equal(y, trace[tensors[1]][0])
    # Alone, with zeros wherever it was told nothing, each job gives its words again.
    for vector in read:
        memories = Memories.zeros(PARAMS)
        job = vector.job
        memories.weights[job.weight_base :][: len(job.weights)] = job.weights
        memories.scaler[job.channel_base :][: len(job.scaler)] = job.scaler
        memories.bias[job.channel_base :][: len(job.bias)] = job.bias
        memories.data[job.input.base :][: len(vector.input)] = vector.input
        if vector.residual is not None:
            memories.data[job.residual.base :][: len(vector.residual)] = vector.residual
        result = run_job(job.registers, memories, PARAMS)
        assert np.array_equal(result.data, vector.expected)
        assert np.array_equal(result.address, vector.address)


def test_chosen_layers_and_replacement(tmp_path):
    folder = tmp_path / "set"
    vectors.write(network(), image(), PARAMS, folder)
    assert vectors.write(network(), image(), PARAMS, folder, layers=["second"]) == ["second"]
    assert [v.job.name for v in vectors.read(folder)[1]] == ["second"]
    assert sorted(path.name for path in folder.iterdir()) == ["00_second.npz", "manifest.json"]


def test_refusals_leave_nothing(tmp_path):
    folder = tmp_path / "set"
    with pytest.raises(ConfigurationError, match="no layer 'third', but first, second"):
        vectors.write(network(), image(), PARAMS, folder, layers=["third"])
    with pytest.raises(DoesNotFitError, match="32768"):
        vectors.write(network(80), image(80), PARAMS, folder)
    assert not list(tmp_path.iterdir())
    folder.mkdir()
    (folder / "thesis.tex").write_text("mine")
    with pytest.raises(GoldenError, match="exists and is no vector set"):
        vectors.write(network(), image(), PARAMS, folder)
    assert (folder / "thesis.tex").read_text() == "mine"


def test_altered_sets(tmp_path):
    folder = tmp_path / "set"
    with pytest.raises(GoldenError, match="no vector set"):
        vectors.read(folder)
    vectors.write(network(), image(), PARAMS, folder)
    path = folder / "00_first.npz"
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    with pytest.raises(ChecksumError, match="altered or cut off"):
        vectors.read(folder)
    path.unlink()
    with pytest.raises(ChecksumError, match=r"00_first\.npz: named in manifest\.json, but cannot be read"):
        vectors.read(folder)
    path.write_bytes(content)
    manifest = json.loads((folder / "manifest.json").read_text())
    for change, message in (
        ({"format": "assay mvu vectors 9"}, "must be 'assay mvu vectors 1'"),
        ({"jobs": [{}]}, "altered: KeyError 'file'"),
        ({"jobs": [{"file": "../x.npz"}]}, "lies outside the set"),
        ({"parameters": {"Lanes": 7}}, "lanes = 7"),
    ):
        (folder / "manifest.json").write_text(json.dumps(manifest | change))
        with pytest.raises(GoldenError, match=message):
            vectors.read(folder)
    (folder / "manifest.json").write_text("{")
    with pytest.raises(ChecksumError, match="not JSON"):
        vectors.read(folder)
