# SPDX-License-Identifier: Apache-2.0
"""Vector sets of the PE array: what is read is what was written, and makes the layer's output."""

from __future__ import annotations

import json

import numpy as np
import pytest

from assay.golden.__main__ import main
from assay.golden.errors import ChecksumError, GoldenError, UnsupportedOperatorError
from assay.golden.graph import Graph, Node, Tensor
from assay.golden.layers import tflite, tflite_reductions, tflite_tables
from assay.golden.layers.linear import Convolution, Window
from assay.golden.pe_array import vectors
from assay.golden.pe_array.functional import outputs
from assay.golden.pe_array.parameters import PeArrayParameters
from assay.golden.pe_array.plan import ArrayPlan
from assay.golden.pe_array.tile import weight_packet
from assay.golden.schemes.tflite import Affine, Rescale
from assay.golden.tests.litert import network

PARAMETERS = PeArrayParameters(rows=3, columns=7, vectors=2, lanes=2)
INT8 = np.dtype(np.int8)


def graph() -> Graph:
    """A convolution, a table, a softmax, and a layer that the array does not have."""
    rng = np.random.default_rng(0)
    affine = Affine(np.array([0.1]), np.array([3]), None, INT8)
    weight = rng.integers(-128, 128, (9, 3, 3, 2))
    convolution = Convolution(weight, rng.integers(-99, 99, 9), Window((3, 3), padding=(1, 1, 1, 1)), 3)
    nodes = (
        Node("conv/1", "CONV_2D", tflite.Conv2D(convolution, Rescale.of(0.001), affine), ("x",), ("y",)),
        Node(
            "table",
            "TANH",
            tflite_tables.Lookup(rng.permutation(256).astype(np.uint8).view(np.int8)),
            ("y",),
            ("z",),
        ),
        Node("softmax", "SOFTMAX", tflite_reductions.Softmax(affine, affine, 1.0), ("z",), ("p",)),
        Node("log", "LOG_SOFTMAX", tflite_reductions.LogSoftmax(affine), ("z",), ("l",)),
    )
    shapes = {"x": (1, 5, 6, 2), "y": (1, 5, 6, 9), "z": (1, 5, 6, 9), "p": (1, 5, 6, 9), "l": (1, 5, 6, 9)}
    tensors = {name: Tensor(name, shape, INT8, affine) for name, shape in shapes.items()}
    return Graph("small", tensors, ("x",), ("p", "l"), nodes)


def image() -> dict[str, np.ndarray]:
    return {"x": np.random.default_rng(1).integers(-128, 128, (1, 5, 6, 2)).astype(np.int8)}


def test_round_trip(tmp_path):
    folder = tmp_path / "set"
    names = vectors.write(graph(), image(), PARAMETERS, folder)
    assert names[:2] == ["conv/1, tile 1 of 5", "conv/1, tile 2 of 5"]
    parameters, read = vectors.read(folder)
    assert parameters == PARAMETERS
    assert vectors.parameters(folder) == PARAMETERS.rtl
    assert [vector.name for vector in read] == names
    plan, trace = ArrayPlan(graph(), PARAMETERS), graph().trace(image())
    for node in plan.layers:
        mapped = plan.tiles(node, trace)
        memory = mapped.memory()
        chosen = [vector for vector in read if vector.layer == node.name]
        for vector, place in zip(chosen, mapped.places, strict=True):
            np.testing.assert_array_equal(
                weight_packet(vector.tile, parameters), weight_packet(place.tile, parameters)
            )
            again = outputs(vector.tile, vector.pixels, parameters)
            for array in ("data", "keep", "last"):
                np.testing.assert_array_equal(getattr(again, array), getattr(vector.expected, array))
            mapped.put(memory, place, vector.expected)
        np.testing.assert_array_equal(mapped.output(memory)[0], trace[node.outputs[0]])


def test_manifest(tmp_path):
    vectors.write(graph(), image(), PARAMETERS, tmp_path / "set", ["table"], "here")
    manifest = json.loads((tmp_path / "set" / "manifest.json").read_text())
    assert manifest["format"] == vectors.FORMAT
    assert (manifest["network"], manifest["origin"]) == ("small", "here")
    (job,) = manifest["jobs"]
    assert job["layer"] == "table"
    assert job["arrays"]["table"] == {"shape": [256], "dtype": "int64"}
    assert job["header"]["mode.table"] == 1


def test_what_is_no_layer(tmp_path):
    for name in ("log", "nowhere"):
        with pytest.raises(
            UnsupportedOperatorError,
            match=rf"no layer '{name}' on the array( \(.*LOG_SOFTMAX\))?, but conv/1, table, softmax",
        ):
            vectors.write(graph(), image(), PARAMETERS, tmp_path / "set", [name])
    assert not list(tmp_path.iterdir())


def test_altered_sets(tmp_path):
    folder = tmp_path / "set"
    vectors.write(graph(), image(), PARAMETERS, folder, ["table"])
    manifest = folder / "manifest.json"
    whole = json.loads(manifest.read_text())
    for change, error in (({"format": "other"}, GoldenError), ({"parameters": {"Rowz": 1}}, ChecksumError)):
        manifest.write_text(json.dumps({**whole, **change}))
        with pytest.raises(error):
            vectors.read(folder)
    manifest.write_text(json.dumps(whole))
    (archive,) = folder.glob("*.npz")
    archive.write_bytes(archive.read_bytes()[:-1])
    with pytest.raises(ChecksumError, match="altered or cut off"):
        vectors.read(folder)


def test_command(tmp_path, capsys):
    model = str(network("mlperf_tiny_resnet8_int8.tflite"))
    options = ["--block", "pe_array", "--layers", "fully_connected_14", "--rows", "4", "--cols", "6"]
    options += ["--weight-depth", "1024", "--pixel-depth", "512"]
    assert main(["vectors", model, *options, "--out", str(tmp_path / "set")]) == 0
    assert "TOPLEVEL=pe_array VECTORS=" in capsys.readouterr().out
    parameters, read = vectors.read(tmp_path / "set")
    assert (parameters.rows, parameters.columns, parameters.vectors, parameters.lanes) == (4, 6, 4, 4)
    assert (parameters.weight_depth, parameters.pixel_depth, parameters.data_width) == (1024, 512, 8)
    assert {vector.layer for vector in read} == {"fully_connected_14"}
    assert main(["vectors", model, "--out", str(tmp_path / "other")]) == 2
    assert 'scales="nearest" would take the nearest' in capsys.readouterr().err
