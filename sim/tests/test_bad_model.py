# SPDX-License-Identifier: Apache-2.0
"""Models, images and vector files that cannot run: one sentence before anything is built."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from assay import vectors
from assay.golden import IntFormat, Layer, Network
from assay.golden.exporters import qonnx
from assay.golden.tests.onnx_files import OnnxFile
from assay.sim.__main__ import main

MODEL = vectors.path("digits/digits_w2a2.onnx")


@pytest.fixture(autouse=True)
def nothing_is_built(own_outputs: Path):
    yield
    assert not (own_outputs / "build").exists()


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["run", "--top", "mvu", "--seed", "1", *arguments]) == 2
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    assert len(printed.err.strip().splitlines()) == 1
    return printed.err


def one_layer(size: int, channels: int, bits: int) -> Network:
    fmt = IntFormat(bits, signed=False)
    layer = Layer(
        name="conv",
        input="x",
        output="y",
        weight=np.ones((channels, 1, 1, channels), np.int64),
        weight_format=IntFormat(2, signed=True),
        input_format=fmt,
        output_format=fmt,
        multiplier=np.ones(channels, np.int64),
        bias=np.zeros(channels, np.int64),
        shift=0,
    )
    return Network("big", "x", (size, size, channels), (layer,))


def test_missing_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert "lost.onnx: no such model file" in refused(capsys, "--model", "lost.onnx")


def test_model_cut_off(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "cut.onnx"
    path.write_bytes(MODEL.read_bytes()[:5000])
    assert "cut: not an ONNX file" in refused(capsys, "--model", str(path))


def test_tensor_that_does_not_fit(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "big.onnx"
    qonnx.save(one_layer(size=100, channels=8, bits=8), path)
    text = refused(capsys, "--model", str(path), "--param", "Lanes=8")
    assert "words of data memory" in text
    assert "32768" in text


def test_images_without_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--inputs x.npy without MODEL" in refused(capsys, "--inputs", "x.npy")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "cannot be read: it is no .npy or .npz file of numbers"),
        (np.zeros((1, 9, 8, 1), np.int64), "takes integers [N, 8, 8, 1]"),
        (np.zeros((1, 8, 8, 1)), "holds float64"),
        (np.full((1, 8, 8, 1), 4), "values from 4 to 4, but digits_w2a2 takes 0 to 3"),
    ],
)
def test_images(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, content: np.ndarray | None, sentence: str
) -> None:
    path = tmp_path / "images.npy"
    path.write_bytes(b"not numpy") if content is None else np.save(path, content)
    assert sentence in refused(capsys, "--model", str(MODEL), "--inputs", str(path))


def test_altered_vector_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "vectors"
    shutil.copytree(vectors.MANIFEST.parent, folder, ignore=shutil.ignore_patterns("__pycache__", "tests"))
    monkeypatch.setattr(vectors, "MANIFEST", folder / "manifest.json")
    name = next(n for n in json.loads(vectors.MANIFEST.read_text())["files"] if n.endswith("w2a2.onnx"))
    with (folder / name).open("r+b") as file:
        file.seek(1000)
        byte = file.read(1)
        file.seek(1000)
        file.write(bytes([byte[0] ^ 1]))
    text = refused(capsys)
    assert name in text
    assert "sha256" in text


PE_MODEL = vectors.path("digits/digits_int8.tflite")


def pe_array_refuses(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    return refused(capsys, "--top", "pe_array", *arguments)


def test_pe_array_model_of_another_scheme(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--top", "pe_array", "--seed", "1", "--model", str(MODEL)]) == 1
    text = capsys.readouterr().err
    assert "the PE array can do none of its layers, so nothing would be verified" in text


def test_pe_array_that_can_do_no_layer(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "table.onnx"
    file = OnnxFile()
    scaled = np.float32(0.1), np.int8(0)
    file.node("DequantizeLinear", file.node("QuantizeLinear", file.input((1, 4)), *scaled), *scaled)
    path.write_bytes(file.bytes())
    assert main(["run", "--top", "pe_array", "--seed", "1", "--model", str(path)]) == 1
    text = capsys.readouterr().err
    assert "table: the PE array can do none of its layers, so nothing would be verified" in text
    assert "QuantizeLinear_0 (QuantizeLinear): it computes with float32 values" in text


def test_pe_array_parameters_out_of_range(capsys: pytest.CaptureFixture[str]) -> None:
    assert "lanes = 4 and vectors = 8: must be at most columns = 3" in pe_array_refuses(
        capsys, "--param", "Columns=3"
    )
    assert "Rows=33" in pe_array_refuses(capsys, "--param", "Rows=33")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (np.zeros((1, 8, 8, 1)), "holds float64"),
        (np.zeros((1, 8, 9, 1), np.int8), "takes int8 [N, 8, 8, 1]"),
        (
            np.full((1, 8, 8, 1), 200),
            "values from 200 to 200, but input 'image' of digits_int8 takes -128 to 127",
        ),
    ],
)
def test_pe_array_images(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, content: np.ndarray, sentence: str
) -> None:
    path = tmp_path / "images.npy"
    np.save(path, content)
    assert sentence in pe_array_refuses(capsys, "--model", str(PE_MODEL), "--inputs", str(path))
