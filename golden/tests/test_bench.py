# SPDX-License-Identifier: Apache-2.0
"""The benchmark's yardstick is a convolution indeed; every column is measured, or says what is missing."""

import numpy as np
import pytest

from assay import golden
from assay.golden import bench
from assay.golden.bench import einsum_convolution
from assay.golden.operators import conv2d
from assay.golden.tests.litert import network
from assay.golden.tests.onnx_files import OnnxFile


@pytest.mark.parametrize("padding", [(0, 0, 0, 0), (1, 2, 0, 1)])
@pytest.mark.parametrize("stride", [(1, 1), (2, 3)])
def test_einsum_convolution(padding, stride):
    rng = np.random.default_rng(1)
    x = rng.integers(-128, 128, (2, 7, 8, 3)).astype(np.int32)
    kernel = rng.integers(-128, 128, (3, 2, 3, 5)).astype(np.int32)
    expected = conv2d(x, kernel.transpose(3, 0, 1, 2), stride, padding)
    assert np.array_equal(einsum_convolution(x, kernel, padding, stride), expected)


def test_columns_of_a_tflite_network(monkeypatch, tmp_path):
    path = network("mlperf_tiny_ad_autoencoder_int8.tflite")
    pytest.importorskip("onnxruntime", reason="onnxruntime is missing: pip install onnxruntime")
    pytest.importorskip("ai_edge_litert", reason="LiteRT is missing: pip install ai-edge-litert")
    (title, *lines), sound = bench.run(path, golden.load(path), 3, 0, 0.01)
    assert sound
    assert title.startswith("mlperf_tiny_ad_autoencoder_int8, batch 3, one thread")
    columns = "golden model", "LiteRT, reference kernels", "LiteRT, XNNPACK", "onnxruntime, QDQ"
    columns = *columns, "matrix products alone"
    for line, start in zip(lines, (f"  {column}" for column in columns), strict=True):
        assert line.startswith(start)
        assert "ms an input" in line
    assert lines[1].endswith("outputs equal")
    # The runtimes run in processes of their own, which find these empty modules first.
    for missing in ("onnxruntime", "ai_edge_litert"):
        (tmp_path / f"{missing}.py").write_text("raise ImportError")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    lines, sound = bench.run(path, golden.load(path), 1, 0, 0.01)
    assert sound, "a package that is not installed is no fault of the network"
    *litert, onnxruntime = lines[2:5]
    assert all("not measured" in line and "pip install" in line for line in litert)
    assert "not measured" in onnxruntime
    assert "pip install onnx onnxruntime" in onnxruntime


def test_columns_of_an_onnx_network(tmp_path):
    pytest.importorskip("onnxruntime", reason="onnxruntime is missing: pip install onnxruntime")
    file = OnnxFile()
    x = file.dequantize(file.quantize(file.input(("N", 4)), 0.5, np.int8(0)), 0.5, np.int8(0))
    file.quantize(file.node("Relu", x), 0.5, np.int8(0))
    path = tmp_path / "net.onnx"
    path.write_bytes(file.bytes())
    lines, sound = bench.run(path, golden.load(path), 2, 0, 0.01)
    assert sound and len(lines) == 4
    assert lines[2].startswith("  onnxruntime, QDQ")
    assert lines[2].endswith("outputs equal")
