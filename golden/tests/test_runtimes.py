# SPDX-License-Identifier: Apache-2.0
"""A framework's runtime that fails while it runs, or that ends its process, is a message and exit status 2."""

from __future__ import annotations

import os
import re
import signal

import numpy as np
import pytest

from assay import golden
from assay.golden.__main__ import main
from assay.golden.errors import RuntimeEndedError
from assay.golden.exporters.tflite import ModelFile
from assay.golden.importers import onnx as onnx_importer
from assay.golden.importers import tflite as tflite_importer
from assay.golden.runtimes.isolated import Isolated, of_file
from assay.golden.tests.onnx_files import OnnxFile

pytest.importorskip("onnxruntime", reason="onnxruntime is missing: pip install onnxruntime")
pytest.importorskip("qonnx", reason="qonnx is missing: pip install qonnx")
pytest.importorskip("ai_edge_litert", reason="LiteRT is missing: pip install ai-edge-litert")


def integer_quotient(kind: str = "Div", foreign: bool = False) -> bytes:
    """A constant by the input, integers, and a quantiser behind, of ONNX or of QONNX."""
    file = OnnxFile(13)
    x = file.input((1, 4), np.int32)
    y = file.node("Cast", file.node(kind, np.int32([[7, 8, -(2**31), 10]]), x), to=1)
    if foreign:
        file.quant(y, 8, 1)
    else:
        file.dequantize(file.quantize(y, 1, np.int8(0)), 1, np.int8(0))
    return file.bytes()


def unknown_rounding() -> bytes:
    """Brevitas's name of a mode, which package qonnx lacks."""
    file = OnnxFile(13)
    file.quant(file.input((1, 4)), 8, 0.5, mode="ROUND_TO_ZERO")
    return file.bytes()


def long_softmax(length: int = 512) -> bytes:
    """Equal values, or nearly so: from a sum of exponentials of 512 on, LiteRT's kernel calls abort()."""
    file = ModelFile()
    x, y = file.tensor((1, length), 1e-3, 0), file.tensor((), 1 / 256, -128)
    file.operator("SOFTMAX", [x], [y], "SoftmaxOptions", Beta=1.0)
    return file.bytes([x], [y])


ABORTED = r"LiteRT .*SIGABRT.*at row 0 of 2; node 'softmax_0' \(SOFTMAX\) does so"

CASES = {
    "division.onnx": (integer_quotient(), np.zeros((2, 4), np.int32), "onnxruntime .*division by zero"),
    "remainder.onnx": (integer_quotient("Mod"), np.zeros((2, 4), np.int32), "onnxruntime .*by zero"),
    "foreign.onnx": (integer_quotient("Mod", True), np.zeros((2, 4), np.int32), "qonnx .*by zero"),
    "rounding.onnx": (unknown_rounding(), np.zeros((2, 4), np.float32), "qonnx .*ROUND_TO_ZERO"),
    "softmax.tflite": (long_softmax(), np.zeros((2, 512), np.int8), ABORTED),
}  # fmt: skip


def files(tmp_path, name: str):
    content, rows, message = CASES[name]
    path = tmp_path / name
    path.write_bytes(content)
    np.save(tmp_path / "rows.npy", rows)
    return path, tmp_path / "rows.npy", message


@pytest.mark.parametrize("name", list(CASES))
def test_compare(name, tmp_path, capfd):
    path, rows, message = files(tmp_path, name)
    assert main(["compare", str(path), "--inputs", str(rows)]) == 2
    out, err = capfd.readouterr()
    (line,) = [line for line in err.splitlines() if line.startswith("golden: ")]
    assert re.search(message, line), line
    assert "Traceback" not in out + err


@pytest.mark.parametrize("name", list(CASES))
def test_library(name, tmp_path):
    path, rows, message = files(tmp_path, name)
    graph = onnx_importer.loads(path.read_bytes()) if path.suffix == ".onnx" else golden.load(path)
    with pytest.raises(RuntimeEndedError, match=message):
        of_file(path, graph).trace(np.load(rows))


def test_bench_counts_a_failure(tmp_path, monkeypatch):
    path = tmp_path / "softmax.tflite"
    path.write_bytes(long_softmax(1000))
    from assay.golden import bench

    lines, sound = bench.run(path, golden.load(path), 2, 0, 0.01)
    assert not sound
    assert any("LiteRT" in line and "SIGABRT" in line for line in lines)
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "1")  # else the command starts itself anew, with pytest's arguments
    assert main(["bench", str(path), "--batch", "1", "--seconds", "0.01"]) == 2
    path.write_bytes(long_softmax(100))
    graph = golden.load(path)
    assert bench.default_batch(graph) <= 1024  # it has no multiplications
    assert bench.run(path, graph, 2, 0, 0.01)[1]


@pytest.mark.parametrize("length", [511, 512])
def test_litert_aborts_from_512_equal_values_on(length):
    """The fact that the message tells: should it change, so must the message."""
    content = long_softmax(length)
    graph = tflite_importer.loads(content)
    runtime = Isolated("LiteRT", content, graph)
    x = np.zeros((1, length), np.int8)
    if length < 512:
        assert graph.compare(x, runtime).exact
    else:
        with pytest.raises(RuntimeEndedError, match="SIGABRT"):
            runtime.trace(x)


def test_overflowing_division_in_hardware(tmp_path):
    """-2**31 / -1 has no int32: the processor raises SIGFPE on x86, and gives -2**31 elsewhere."""
    content = integer_quotient()
    graph = onnx_importer.loads(content)
    x = np.full((3, 4), -1, np.int32)
    x[:2] = 1
    try:
        Isolated("onnxruntime", content, graph).trace(x)
    except RuntimeEndedError as error:
        assert "SIGFPE (an integer division by zero, or one that overflows) at row 2 of 3" in str(error)


@pytest.mark.parametrize("foreign", [False, True])
def test_an_input_without_axes(foreign):
    file = OnnxFile(13)
    if foreign:
        file.quant(file.input(()), 8, 0.5)
    else:
        x = file.dequantize(file.input((), np.int8), 0.5, np.int8(0))
        file.quantize(file.node("Relu", x), 0.5, np.int8(0))
    graph = onnx_importer.loads(file.bytes())
    x = np.arange(-3, 3).astype(graph.tensors[graph.inputs[0]].dtype)
    runtime = Isolated("qonnx" if foreign else "onnxruntime", file.bytes(), graph)
    assert graph.compare(x, runtime).exact


def test_it_equals_the_runtime_itself(tmp_path):
    """Tensors, dtypes and shapes, and the progress of the rows."""
    from assay.golden.runtimes.onnxruntime import OnnxRuntime

    file = OnnxFile(13)
    x = file.dequantize(file.input(("N", 4), np.int8), 0.5, np.int8(3))
    file.quantize(file.node("Relu", x), 0.25, np.int8(1))
    path = tmp_path / "net.onnx"
    path.write_bytes(file.bytes())
    graph = golden.load(path)
    x = np.random.default_rng(0).integers(-128, 128, (5, 4)).astype(np.int8)
    seen = []

    def progress(name: str, rows: range):
        for row in rows:
            seen.append((name, row))
            yield row

    ours, theirs = of_file(path, graph, progress).trace(x), OnnxRuntime(path, graph).trace(x)
    assert list(ours) == list(theirs)
    for name in ours:
        assert ours[name].dtype == theirs[name].dtype
        np.testing.assert_array_equal(ours[name], theirs[name])
    assert seen == [("onnxruntime", row) for row in range(5)]


def test_a_killed_process_is_named(tmp_path, monkeypatch):
    """As the system's out-of-memory killer does it."""
    file = OnnxFile(13)
    x = file.dequantize(file.input((1, 4), np.int8), 0.5, np.int8(3))
    file.quantize(file.node("Relu", x), 0.25, np.int8(1))
    graph = onnx_importer.loads(file.bytes())
    (tmp_path / "onnxruntime.py").write_text(f"import os; os.kill(os.getpid(), {int(signal.SIGKILL)})")
    monkeypatch.setenv("PYTHONPATH", os.fspath(tmp_path))
    with pytest.raises(RuntimeEndedError, match=r"SIGKILL \(.*memory\) before the first row"):
        Isolated("onnxruntime", file.bytes(), graph).trace(np.zeros((1, 4), np.int8))
