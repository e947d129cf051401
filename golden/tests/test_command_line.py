# SPDX-License-Identifier: Apache-2.0
"""`python -m golden`: what it prints and writes, and its exit status."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from assay import golden
from assay.golden import user_files
from assay.golden.__main__ import main
from assay.golden.tests.onnx_files import OnnxFile
from assay.golden.tests.test_lowering import qdq_network

DIGITS = Path(__file__).parents[2] / "vectors" / "digits" / "digits_w2a2.onnx"


@pytest.fixture
def tflite_model(tmp_path):
    """A small TFLite model of a convolution, an addition and a softmax."""
    pytest.importorskip("tflite", reason="the TFLite parser is missing: pip install tflite")
    pytest.importorskip("flatbuffers", reason="flatbuffers is missing: pip install flatbuffers")
    from assay.golden.tests.test_tflite_import import small_model

    path = tmp_path / "small.tflite"
    path.write_bytes(small_model())
    return path


def test_summary(capsys):
    assert main(["summary", str(DIGITS)]) == 0
    assert capsys.readouterr().out.strip() == golden.load(DIGITS).summary()


def test_predict_writes_what_the_model_gives(tmp_path, capsys):
    model, target = golden.load(DIGITS).lower(), tmp_path / "y.npy"
    x = np.random.default_rng(1).integers(0, model.input_format.max + 1, (70, *model.input_shape))
    np.save(tmp_path / "x.npy", x)
    words = [str(DIGITS), "--scales", "exact", "--inputs", str(tmp_path / "x.npy")]
    assert main(["predict", *words, "--output", str(target)]) == 0
    np.testing.assert_array_equal(np.load(target), model.predict(x))
    assert capsys.readouterr().out == f"wrote {target}\n"


def test_trace_then_compare(tmp_path, capsys):
    target = tmp_path / "t.npz"
    arguments = [str(DIGITS), "--random", "70", "--seed", "5"]
    assert main(["trace", *arguments, "--output", str(target)]) == 0
    assert "logits: float32 [70, 10, 1, 1]" in capsys.readouterr().out
    assert main(["compare", *arguments, "--reference", str(target)]) == 0
    assert "all exact" in capsys.readouterr().out
    assert main(["compare", str(DIGITS), "--random", "70", "--seed", "6", "--reference", str(target)]) == 1
    assert "first input" in capsys.readouterr().out


def test_integer_networks_of_any_scales(tmp_path, capsys):

    pytest.importorskip("onnxruntime", reason="onnxruntime is missing: pip install onnxruntime")
    rng = np.random.default_rng(0)
    file = OnnxFile(13)
    x = file.dequantize(file.quantize(file.input((1, 3, 8, 8)), 0.03, np.int8(0)), 0.03, np.int8(0))
    w = file.dequantize(rng.integers(-127, 128, (9, 3, 3, 3), np.int8), 0.013, np.int8(0))
    file.dequantize(file.quantize(file.node("Conv", x, w), 0.07, np.int8(0)), 0.07, np.int8(0))
    model = tmp_path / "net.onnx"
    model.write_bytes(file.bytes())
    arguments = [str(model), "--scales", "nearest"]
    assert main(["summary", *arguments]) == 0
    assert "s8 x s8 -> s8" in capsys.readouterr().out
    assert main(["compare", *arguments, "--random", "60"]) in (0, 1)
    printed = capsys.readouterr().out
    assert printed.count("2 tensors, 30,960 values") == 2 and "worst 1, " in printed
    assert main(["summary", str(model), "--scales", "exact"]) == 2
    assert 'scales="nearest" would take the nearest' in capsys.readouterr().err


def test_compare_with_another_model(tmp_path, capsys):
    other = DIGITS.with_name("digits_mixed.onnx")
    assert main(["compare", str(DIGITS), str(DIGITS), "--random", "3"]) == 0
    assert "all exact" in capsys.readouterr().out
    x = np.zeros((2, *golden.load(DIGITS).lower().input_shape), int)
    np.save(tmp_path / "x.npy", x)
    pytest.importorskip("matplotlib")
    picture = tmp_path / "c.png"
    given = ["--scales", "exact", "--inputs", str(tmp_path / "x.npy")]
    status = main(["compare", str(DIGITS), str(other), *given, "--plot", str(picture)])
    printed = capsys.readouterr().out
    assert status == 1 and "differ, first" in printed
    assert printed.endswith(f"wrote {picture}\n") and picture.read_bytes().startswith(b"\x89PNG")


def test_compare_refuses_a_picture_of_no_format(capsys):
    pytest.importorskip("matplotlib")
    assert main(["compare", str(DIGITS), str(DIGITS), "--plot", "c.txt"]) == 2
    assert "suffix '.txt' is no picture format" in capsys.readouterr().err


def test_compare_names_where_litert_leaves_its_source(tmp_path, capsys):
    pytest.importorskip("tflite", reason="the TFLite parser is missing: pip install tflite")
    pytest.importorskip("ai_edge_litert.interpreter", reason="LiteRT is missing: pip install ai-edge-litert")
    from assay.golden.tests.tflite_files import ModelFile

    file = ModelFile()
    x, y = (file.tensor((1, 4), 0.1, 5) for _ in range(2))
    axes = file.constant(np.array([1], np.int32))
    file.operator("SUM", [x, axes], [y], "ReducerOptions", KeepDims=True)
    path = tmp_path / "sum.tflite"
    path.write_bytes(file.bytes([x], [y]))
    assert main(["compare", str(path), "--random", "70"]) == 1
    assert "node 'sum_0' (SUM): LiteRT's reference kernel reads int8 as uint8" in capsys.readouterr().out


def test_compare_with_litert(tflite_model, capsys):
    pytest.importorskip("ai_edge_litert.interpreter", reason="LiteRT is missing: pip install ai-edge-litert")
    assert main(["compare", str(tflite_model), "--random", "70"]) == 0
    assert "4 tensors, 21,000 values: all exact" in capsys.readouterr().out


def test_names_with_slashes_survive_the_file(tmp_path):
    from assay.golden.archives import write_npz

    tensors = {"model/layer:0;other": np.arange(3), "b": np.zeros((2, 2), np.int8)}
    write_npz(tmp_path / "t.npz", tensors)
    for name, values in user_files.array_file(tmp_path / "t.npz").items():
        np.testing.assert_array_equal(values, tensors.pop(name))
    assert not tensors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["summary", "missing.onnx"], "missing.onnx: no such model file"),
        (["summary", "model.h5"], "suffix '.h5' is no known model format, use one of .onnx, .tflite"),
        (["predict", str(DIGITS), "--inputs", "missing.npy"], "missing.npy cannot be read: No such file"),
        (["predict", str(DIGITS), "--inputs", __file__], "it is no .npy or .npz file of numbers"),
        (["predict", str(DIGITS), "--random", "0"], "--random is 0, but must be 1 or more"),
        (["predict", str(DIGITS), "--seed", "-1"], "--seed is -1, but must be 0 or more"),
        (["predict", str(DIGITS), "--output", "y.txt"], "--output is y.txt, but several tensors need"),
        (["compare", str(DIGITS), "missing.onnx"], "missing.onnx: no such model file"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(arguments, message, capsys):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("golden: ") and error.count("\n") == 1
    assert message in error


def test_pickles_are_not_executed(tmp_path, capsys):
    np.save(tmp_path / "x.npy", np.array([print], dtype=object), allow_pickle=True)
    assert main(["predict", str(DIGITS), "--inputs", str(tmp_path / "x.npy")]) == 2
    assert "no .npy or .npz file of numbers" in capsys.readouterr().err


def test_as_a_program(tmp_path):
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"no model at all")
    pytest.importorskip("tflite", reason="the TFLite parser is missing: pip install tflite")
    run = subprocess.run(
        [sys.executable, "-m", "assay.golden", "summary", str(broken)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert run.returncode == 2
    assert run.stderr.startswith("golden: ") and "but must be b'TFL3'" in run.stderr


def test_profile(tmp_path, capsys):
    assert main(["profile", str(DIGITS), "--random", "3", "--scales", "exact"]) == 0
    printed = capsys.readouterr().out
    assert "conv2 weight" in printed
    model = golden.load(DIGITS).lower()
    x = np.random.default_rng(0).integers(0, model.input_format.max + 1, (3, *model.input_shape))
    assert printed.strip() == str(golden.profile(model, x)).strip()


def test_compare_with_qonnx(capsys, monkeypatch, tmp_path):
    """A QONNX file is held against qonnx; without the package the command says what to install."""
    with monkeypatch.context() as patch:
        # The runtime runs in a process of its own, which finds this module first.
        (tmp_path / "qonnx.py").write_text("raise ImportError")
        patch.setenv("PYTHONPATH", str(tmp_path))
        assert main(["compare", str(DIGITS)]) == 2
        assert "install them with: pip install qonnx onnxruntime" in capsys.readouterr().err
    pytest.importorskip("qonnx", reason="qonnx is missing: pip install qonnx")
    assert main(["compare", str(DIGITS), "--random", "2"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("all exact")


def test_compare_of_a_lowered_network_accepts_what_it_is_told_to(tmp_path, capsys):
    """A file whose scales are no powers of two is lowered to the nearest, which is a step off somewhere."""
    pytest.importorskip("onnxruntime", reason="onnxruntime is missing: pip install onnxruntime")
    path = tmp_path / "near.onnx"
    path.write_bytes(qdq_network(np.int8(-128), "average").bytes())
    words = ["compare", str(path), "--random", "50"]
    assert main([*words, "--scales", "exact"]) == 2
    assert 'scales="nearest" would take' in capsys.readouterr().err
    words += ["--scales", "nearest"]
    assert main(words) == 1
    assert "accepted" not in capsys.readouterr().out
    assert main([*words, "--accept-steps", "20", "--accept-share", "15%"]) == 0
    assert "accepted: 20 steps in 0.15 of a tensor's values" in capsys.readouterr().out
    assert main([*words, "--accept-steps", "20", "--accept-share", "0.01%"]) == 1
    assert main([*words, "--accept-share", "1%"]) == 2
    assert "--accept-share 1%: needs --accept-steps N" in capsys.readouterr().err


def test_a_reader_that_has_gone_ends_a_command_quietly():
    command = f"{sys.executable} -m golden summary {DIGITS} | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=DIGITS.parents[2])
    assert done.returncode in (0, 141) and not done.stderr and done.stdout.count("\n") == 1
