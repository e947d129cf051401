# SPDX-License-Identifier: Apache-2.0
"""A network takes memory in proportion to its file: it is loaded, and runs, within four times the file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto

from assay.golden.importers import onnx, tflite
from assay.golden.layers import linear, mlas
from assay.golden.tests.fixed_point_files import ModelFile as FixedPointFile
from assay.golden.tests.onnx_files import OnnxFile

WIDTH, LAYERS = 2048, 8  # 32 MB of weights
DEEP = 8200  # one layer of 64 MB, and of more values than an activation may have

# What loading and one inference add to the peak of a process that has imported everything: bytes.
SCRIPT = """
import re, sys
import numpy as np
import golden, golden.importers.onnx, golden.importers.tflite, tflite, onnx, onnx.numpy_helper
from assay.golden.tests.test_importer_memory import warm_up
# Not getrusage: its peak is the parent's where that was larger.
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024
warm_up()
before = peak()
graph = golden.load(sys.argv[1])
shape = graph.tensors[graph.inputs[0]].shape
graph.predict(np.ones(shape, graph.tensors[graph.inputs[0]].dtype))
print(peak() - before)
"""


def warm_up() -> None:
    """A small file of each format has been read: what the parsers allocate once is not counted."""
    tflite.loads(dense_tflite(64, 2)).predict(np.ones((1, 64), np.int8))
    for data in (qdq(64, 2), qoperator(64, 2), fixed_point(64, 2)):
        graph = onnx.loads(data)
        graph.predict(np.ones((1, 64), graph.tensors[graph.inputs[0]].dtype))


def weights(width: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-127, 128, (width, width), np.int8)


def dense_tflite(width: int, layers: int) -> bytes:
    from assay.golden.tests.tflite_files import ModelFile

    file = ModelFile()
    x = first = file.tensor((1, width), 0.5, 0)
    for layer in range(layers):
        w = file.constant(weights(width, layer), 0.01, 0)
        y = file.tensor((1, width), 0.5, 3)
        file.operator("FULLY_CONNECTED", [x, w, -1], [y], "FullyConnectedOptions")
        x = y
    return file.bytes([first], [x])


def qoperator(width: int, layers: int) -> bytes:
    file = OnnxFile()
    number = np.float32(0.5), np.int8(3)
    x = file.input((1, width), np.int8)
    for layer in range(layers):
        w = weights(width, layer), np.float32(0.01), np.int8(layer % 2)
        x = file.node("QLinearMatMul", x, *number, *w, *number)
    return file.bytes()


def convolutions(width: int, layers: int) -> bytes:
    file = OnnxFile()
    number = np.float32(0.5), np.int8(3)
    x = file.input((1, width, 2, 2), np.int8)
    for layer in range(layers):
        w = weights(width, layer).reshape(width, width, 1, 1), np.float32(0.01), np.int8(0)
        x = file.node("QLinearConv", x, *number, *w, *number)
    return file.bytes()


def qdq(width: int, layers: int) -> bytes:
    file = OnnxFile()
    x = file.input((1, width))
    for layer in range(layers):
        q = file.quantize(x, 0.5, np.int8(3))
        w = file.dequantize(weights(width, layer), 2.0**-7, np.int8(0))
        x = file.node("MatMul", file.dequantize(q, 0.5, np.int8(3)), w)
    return file.bytes()


def weights_first() -> bytes:
    """As onnxruntime's quantisation tool sorts nodes."""
    model = ModelProto.FromString(qdq(WIDTH, LAYERS))
    weights = [node for node in model.graph.node if node.input[0].startswith("c") and node.output[0] != "y0"]
    rest = [node for node in model.graph.node if node not in weights]
    assert len(weights) == LAYERS
    del model.graph.node[:]
    model.graph.node.extend([*weights, *rest])
    return model.SerializeToString()


def fixed_point(width: int, layers: int) -> bytes:
    file = FixedPointFile()
    names = ["x", *(f"y{layer}" for layer in range(layers))]
    for layer in range(layers):
        file.layer("Gemm", names[layer], names[layer + 1], weights(width, layer), [2.0**-9] * width, 1.0, 1.0)
    return file.bytes({"x": (1, width)}, [names[-1]])


FILES = {
    "tflite": (".tflite", lambda: dense_tflite(WIDTH, LAYERS)),
    "tflite, one layer": (".tflite", lambda: dense_tflite(DEEP, 1)),
    "qoperator": (".onnx", lambda: qoperator(WIDTH, LAYERS)),
    "convolutions": (".onnx", lambda: convolutions(WIDTH, LAYERS)),
    "qdq": (".onnx", lambda: qdq(WIDTH, LAYERS)),
    "qdq, weights first": (".onnx", weights_first),
    "fixed point": (".onnx", lambda: fixed_point(1024, LAYERS)),
}


@pytest.mark.parametrize(("inputs", "outputs", "groups"), [(6, 10, 1), (6, 12, 3), (4, 8, 4), (64, 1, 1)])
@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int64])
def test_weights_that_become_floats_in_parts_give_the_same_sums(inputs, outputs, groups, dtype, monkeypatch):
    rng = np.random.default_rng(0)
    weight = rng.integers(-128, 128, (outputs, 3, 2, inputs // groups)).astype(dtype)
    weight[0] = -128  # whose absolute value is no int8
    window = linear.Window((3, 2), (2, 1), (1, 2), (1, 0, 2, 1))
    x, bias = rng.integers(-128, 128, (5, 9, 8, inputs), np.int8), rng.integers(-999, 999, outputs)
    convolution = linear.Convolution(weight, bias, window, 7, groups)
    assert convolution.bound == linear.Convolution(weight.astype(np.int64), bias, window, 7, groups).bound
    whole = convolution.sums(x)
    monkeypatch.setattr(linear, "_FLOAT_BYTES", 100)
    np.testing.assert_array_equal(convolution.sums(x), whole)
    taps = (
        np.stack(list(window.taps(window.padded(x, 7, np.int64)))) - 7
    )  # [taps, images, rows, columns, inputs]
    for k in (0, outputs - 1):
        first = k // (outputs // groups) * (inputs // groups)
        part = taps[..., first : first + inputs // groups]
        sums = np.einsum("tmijc,tc->mij", part, weight[k].reshape(6, -1).astype(np.int64))
        np.testing.assert_array_equal(whole[..., k], sums + bias[k])


def test_products_in_parts_give_the_same_sums(monkeypatch):
    rng = np.random.default_rng(0)
    a, b = (rng.integers(-255, 256, shape).astype(np.int16) for shape in ((3, 4, 50), (3, 50, 23)))
    monkeypatch.setattr(linear, "_FLOAT_BYTES", 1000)
    expected = a.astype(np.int64) @ b.astype(np.int64)
    np.testing.assert_array_equal(linear.sums_of_products(a, b, 255 * 255), expected)


def test_a_matrix_in_parts_has_the_same_grid(monkeypatch):
    x = np.random.default_rng(0).integers(1, 99, (1, 300, 7)).astype(np.float32)
    x[0, 250, 3] = 2.0**-9
    for values in (x, x.swapaxes(1, 2)):
        whole = mlas.grid(values)
        monkeypatch.setattr(mlas, "_PART", 64)
        assert mlas.grid(values) == whole == -9
        monkeypatch.undo()


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="peaks of memory are read from Linux' /proc"
)
@pytest.mark.parametrize("name", FILES)
def test_memory_stays_within_four_times_the_file(name, tmp_path):
    suffix, make = FILES[name]
    path = tmp_path / f"large{suffix}"
    path.write_bytes(make())
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(path)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert run.returncode == 0, run.stderr
    size = path.stat().st_size
    print(f"{name}: {int(run.stdout) / size:.2f} times the file of {size / 1e6:.0f} MB")
    assert size / 2 < int(run.stdout) < 4 * size
