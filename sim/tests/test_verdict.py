# SPDX-License-Identifier: Apache-2.0
"""What PASS means: how much of a network the RTL made, held against whose arithmetic, and when it is not said.

The PE array's functional model stands in the simulator's place, the golden network in the accelerator's: their numbers
can be tampered with, and nothing is built.
"""

from __future__ import annotations

import argparse
import dataclasses
import shlex
from dataclasses import fields, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import assay.sim.predict as predict
from assay import golden, vectors
from assay.golden import DoesNotFitError, NothingComputedError
from assay.golden.__main__ import main as golden_main
from assay.golden.codegen.networks import NETWORKS
from assay.golden.compare import Acceptance, compare_arrays
from assay.golden.lowering import Lowering
from assay.golden.pe_array.functional import outputs
from assay.golden.tests.litert import network as shared_model
from assay.golden.tests.onnx_files import OnnxFile
from assay.golden.tests.tflite_cases import Case
from assay.sim import command_line
from assay.sim.blocks import discover
from assay.sim.command_line import main
from assay.sim.engine import load
from assay.tb.accelerator.model import AcceleratorModel
from assay.tb.errors import RunFailed
from assay.tb.framework import framework_rows, source
from assay.tb.model import Coverage, LayerRun
from assay.tb.pe_array.model import ArrayModel

pytestmark = pytest.mark.usefixtures("own_runs")

DIGITS = vectors.path("digits/digits_w2a2.onnx")
INT8_DIGITS = vectors.path("digits/digits_int8.tflite")


class NoServer:
    """In a simulator's place."""

    def __init__(self, job: object, announce: object) -> None:
        pass

    def check(self) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Engines without a simulator. "tamper": called with each tensor's name and array before it is handed on."""
    settings: dict[str, object] = {"tamper": lambda name, array: array}

    def played(self: ArrayModel, server: object, node, layer) -> np.ndarray:
        made = layer.run(partial(outputs, parameters=self.plan.parameters))
        self.layers[node.name] = LayerRun(node.name, node.kind, len(made), 1, node.macs * len(made), 1)
        return settings["tamper"](node.outputs[0], made)

    def accelerated(self: AcceleratorModel, x: object) -> dict[str, np.ndarray]:
        return {name: settings["tamper"](name, array) for name, array in self.golden.trace(x).items()}

    monkeypatch.setattr("assay.sim.engine.Server", NoServer)
    monkeypatch.setattr(ArrayModel, "_played", played)
    monkeypatch.setattr(AcceleratorModel, "_ask", lambda self, *request: None)
    monkeypatch.setattr(AcceleratorModel, "_trace", accelerated)
    return settings


def written(folder: Path, name: str, content: bytes) -> str:
    path = folder / name
    path.write_bytes(content)
    return str(path)


def qdq(folder: Path) -> str:
    file, rng = OnnxFile(), np.random.default_rng(0)
    x = file.dequantize(file.quantize(file.input((1, 3, 8, 8)), 0.05, np.int8(0)), 0.05, np.int8(0))
    weight = file.dequantize(rng.integers(-128, 128, (4, 3, 3, 3)).astype(np.int8), 0.01, np.int8(0))
    y = file.node("Relu", file.node("Conv", x, weight, kernel_shape=[3, 3]))
    file.dequantize(file.quantize(y, 0.07, np.int8(-3)), 0.07, np.int8(-3))
    return written(folder, "qdq.onnx", file.bytes())


def qoperator(folder: Path) -> str:
    file, rng = OnnxFile(), np.random.default_rng(0)
    weight = rng.integers(-128, 128, (4, 3, 1, 1)).astype(np.int8)
    given = np.float32(0.05), np.int8(0)
    file.node(
        "QLinearConv", file.input((1, 3, 8, 8), np.int8), *given, weight, *given, np.float32(0.3), np.int8(5)
    )
    return written(folder, "qoperator.onnx", file.bytes())


def transpose_conv(folder: Path) -> str:
    case = Case(0)
    weight = case.file.constant(np.ones((2, 3, 3, 2), np.int8), [0.1, 0.1], [0, 0])
    x, y = case.input((1, 4, 4, 2)), case.output()
    inputs = [case.int32(1, 4, 4, 2), weight, x]
    case.file.operator("TRANSPOSE_CONV", inputs, [y], "TransposeConvOptions", Padding=0, StrideH=1, StrideW=1)
    return written(folder, "transpose_conv.tflite", case.file.bytes(case.inputs, [y]))


def division(folder: Path) -> str:
    case = Case(1)
    a, b, y = case.input((1, 4)), case.input((1, 4)), case.output()
    case.file.operator("DIV", [a, b], [y], "DivOptions")
    return written(folder, "division.tflite", case.file.bytes(case.inputs, [y]))


def moves(folder: Path) -> str:
    case = Case(2)
    x = case.input((1, 4))
    y = case.like(x)
    case.file.operator("RESHAPE", [x, case.int32(2, 2)], [y], "ReshapeOptions", NewShape=[2, 2])
    return written(folder, "moves.tflite", case.file.bytes(case.inputs, [y]))


def partly(folder: Path) -> str:
    """A convolution that fits, one of 13x1 that does not, a LOG_SOFTMAX that the array does not have."""
    case = Case(3)
    weight = case.file.constant(case.rng.integers(-9, 9, (4, 3, 3, 2)).astype(np.int8), [0.1] * 4, [0] * 4)
    tall = case.file.constant(case.rng.integers(-9, 9, (4, 13, 1, 4)).astype(np.int8), [0.1] * 4, [0] * 4)
    bias = case.file.constant(np.zeros(4, np.int32), [0.01] * 4, [0] * 4)
    x, y, z, p = case.input((1, 16, 6, 2), 0.1), case.output(0.1), case.output(0.1), case.output(1 / 16, 127)
    for inputs, output in (([x, weight, bias], y), ([y, tall, bias], z)):
        case.file.operator("CONV_2D", inputs, [output], "Conv2DOptions", Padding=0, StrideH=1, StrideW=1)
    case.file.operator("LOG_SOFTMAX", [z], [p], "LogSoftmaxOptions")
    return written(folder, "partly.tflite", case.file.bytes(case.inputs, [p]))


def embedding(folder: Path) -> str:
    file = OnnxFile()
    table = np.random.default_rng(0).standard_normal((7, 6)).astype(np.float32)
    places = file.node("Reshape", file.input((1, 20), np.int64), np.array([1, 4, 5]))
    file.dequantize(
        file.quantize(file.node("Gather", table, places, axis=0), 0.1, np.int8(0)), 0.1, np.int8(0)
    )
    return written(folder, "embedding.onnx", file.bytes())


NOTHING = {
    qdq: "Conv_3 (Conv): it computes with float32 values, but the PE array with integers",
    qoperator: "QLinearConv_0 (QLinearConv): the PE array has no operator QLinearConv",
    lambda folder: str(DIGITS): "it computes with float32 values",
    transpose_conv: "(TRANSPOSE_CONV): the PE array has no operator TRANSPOSE_CONV",
    division: "(DIV): the PE array has no operator DIV",
    moves: "it only moves values",
}


@pytest.mark.parametrize("command", predict.COMMANDS)
@pytest.mark.parametrize("make", NOTHING)
def test_a_run_in_which_the_rtl_would_make_nothing_fails_and_names_why(make, command, capsys, tmp_path):
    words = [command, make(tmp_path), "--engine", "pe_array", "--output", str(tmp_path / "made.npz")]
    assert main(words) == 1
    printed = capsys.readouterr()
    assert "PASS" not in printed.out and "the PE array can do none of its layers" in printed.err
    assert NOTHING[make] in printed.err
    assert not (tmp_path / "made.npz").exists()
    with pytest.raises(NothingComputedError, match="so nothing would be verified"):
        load(words[1])


@pytest.mark.parametrize("make", [make for make in NOTHING if "lambda" not in make.__name__])
def test_golden_writes_no_empty_set_and_counts_no_clocks_of_nothing(make, capsys, tmp_path):
    model = make(tmp_path)
    assert golden_main(["vectors", model, "--block", "pe_array", "--out", str(tmp_path / "set")]) == 1
    assert golden_main(["cycles", model]) == 1
    printed = capsys.readouterr()
    assert not printed.out and printed.err.count(NOTHING[make]) == 2
    assert not (tmp_path / "set").exists()


def test_what_the_host_makes_is_not_verified(engines, capsys, tmp_path):
    model = partly(tmp_path)
    assert main(["predict", model, "--random", "2"]) == 0
    printed = capsys.readouterr().out
    values = 2 * 16 * 6 * 4
    assert (
        "PASS  partly on pe_array: 1 of 3 layers on the RTL, against TFLite's reference kernels, " in printed
    )
    assert "RTL against TFLite's reference kernels (each layer from the one before): exact" in printed
    assert f"exact, {values:,} values in 1 tensors" in printed
    assert "number of kernel rows is 13, but the PE array takes 11 at most" in printed
    assert "the PE array has no operator LOG_SOFTMAX" in printed
    with load(model) as rtl:
        coverage = rtl.coverage
        assert (coverage.layers_on_rtl, coverage.layers, len(coverage.tensors)) == (1, 3, 1)
        x = {name: np.zeros((1, 16, 6, 2), np.int8) for name in rtl.golden.inputs}
        assert [tensor.name for tensor in rtl.compare(x).tensors] == list(coverage.tensors)
        assert str(coverage) in rtl.report()
    assert main(["predict", model, "--strict"]) == 2
    refused = capsys.readouterr().err
    assert "the PE array cannot do 2 of its layers" in refused and "number of kernel rows is 13" in refused
    with pytest.raises(DoesNotFitError, match="LOG_SOFTMAX"):
        load(model, strict=True)


def test_golden_says_what_it_left_out(capsys, tmp_path):
    model = partly(tmp_path)
    assert golden_main(["vectors", model, "--block", "pe_array", "--out", str(tmp_path / "set")]) == 0
    assert golden_main(["cycles", model]) == 0
    printed = capsys.readouterr().out
    for head in ("left to the host, not in the set:", "left to the host, not counted:"):
        assert head in printed
    assert printed.count("number of kernel rows is 13") == 2
    out = str(tmp_path / "other")
    for words in (["vectors", model, "--block", "pe_array", "--out", out], ["cycles", model]):
        assert golden_main([*words, "--strict"]) == 2
        printed = capsys.readouterr()
        assert not printed.out and "cannot do 2 of its layers" in printed.err
    assert not Path(out).exists()


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_wrong_value_of_the_rtl_fails_the_first_comparison_alone(engines, jobs, capsys):
    pytest.importorskip("ai_edge_litert.interpreter", reason="LiteRT is missing: pip install ai-edge-litert")

    def tamper(name: str, array: np.ndarray) -> np.ndarray:
        if name == "conv2":
            array = array.copy()
            array.flat[5] ^= 1
        return array

    engines["tamper"] = tamper
    assert main(["compare", str(INT8_DIGITS), "--seed", "3", "--jobs", jobs, "--runtime"]) == 1
    printed = capsys.readouterr().out
    assert "FAIL  digits_int8 on pe_array: 12 of 12 layers on the RTL, against LiteRT with its ref" in printed
    assert "first wrong: conv2: 1 of" in printed and "made by: conv_2d_4 (CONV_2D)" in printed
    assert "the golden graph against LiteRT with its reference kernels: exact" in printed


def test_inputs_and_moved_values_are_not_counted(engines, capsys):
    assert main(["predict", "digits_int8", "--seed", "3"]) == 0
    printed = capsys.readouterr().out
    assert "exact, 6,212 values in 12 tensors" in printed  # without image (64) and flat (48)
    assert "PASS  digits_int8 on pe_array: 12 of 12 layers on the RTL" in printed
    assert "--runtime checks that" in printed


def test_an_assertion_of_the_hdl_fails_a_run_whose_values_are_right(engines, capsys, monkeypatch):
    def close(self: NoServer) -> None:
        raise RunFailed("the simulation reported errors\n      problem  the HDL raised an error: planted")

    monkeypatch.setattr(NoServer, "close", close)
    assert main(["predict", "digits_int8", "--seed", "3"]) == 1
    printed = capsys.readouterr().out
    assert "FAIL  digits_int8" in printed and "the HDL raised an error: planted" in printed
    assert "exact, 6,212 values in 12 tensors" in printed and "PASS" not in printed
    with pytest.raises(RunFailed, match="planted"), load("digits_int8") as rtl:
        assert rtl.coverage.layers == 12


def test_a_tensor_that_the_engine_does_not_give_is_not_passed_over(engines, capsys, monkeypatch):
    trace = AcceleratorModel._trace
    monkeypatch.setattr(
        AcceleratorModel, "_trace", lambda self, x: {k: v for k, v in trace(self, x).items() if k != "conv2"}
    )
    assert main(["compare", "digits_mixed", "--engine", "accelerator"]) == 1
    printed = capsys.readouterr()
    assert "the engine gave no tensor 'conv2'" in printed.err and "PASS" not in printed.out


def nearest(*words: str) -> list[str]:
    model = shared_model("mlperf_tiny_kws_dscnn_int8.tflite")
    common = ["--engine", "accelerator", "--scales", "nearest", "--seed", "5", "--random", "2"]
    return ["compare", str(model), *common, *words]


def test_what_lowering_changes_is_no_fault_of_the_rtl_and_is_accepted_only_if_asked_for(engines, capsys):
    assert main(nearest()) == 1
    printed = capsys.readouterr().out
    assert "RTL against the lowered network (each layer from the one before): exact" in printed
    assert "the lowered network against TFLite's reference kernels, as the golden graph has them: " in printed
    assert "FAIL" in printed and "first wrong" not in printed and "accepted: no difference" in printed
    told = printed.split("--accept-steps ")[1].split()[0]
    lowered = source(nearest()[1], True, Lowering("nearest"))
    drawn = predict.random_rows(lowered.network, 2, np.random.default_rng(5))
    rows, x, _ = framework_rows(lowered.network, lowered.graph, drawn)
    theirs = lowered.network.integers(lowered.graph.trace(rows))
    ours = lowered.network.trace(x)
    tensors = [
        compare_arrays(n, ours[n], theirs[n]) for n in ours if n in theirs and n != lowered.network.input
    ]
    worst, share = max(t.worst for t in tensors), max(t.share for t in tensors)
    assert worst > 0 and told == str(worst)
    enough = [*nearest(), "--accept-steps", str(worst), "--accept-share", str(share)]
    assert main(enough) == 0
    assert "PASS" in capsys.readouterr().out
    assert main([*nearest(), "--accept-steps", str(worst)]) == 0
    assert main([*nearest(), "--accept-steps", str(worst - 1)]) == 1
    assert main([*nearest(), "--accept-steps", str(worst), "--accept-share", f"{90 * share}%"]) == 1
    capsys.readouterr()
    # What is accepted there is not accepted of the RTL.
    engines["tamper"] = lambda name, array: array + 1
    assert main(enough) == 1
    assert "first wrong" in capsys.readouterr().out


def test_exact_lowering_is_exact_against_the_runtime(engines, capsys):
    pytest.importorskip("qonnx", reason="qonnx is missing: pip install qonnx")
    assert main(["compare", str(DIGITS), "--engine", "accelerator", "--runtime", "--random", "3"]) == 0
    printed = capsys.readouterr().out
    assert "the lowered network against package qonnx: exact, 12,702 values in 5 tensors" in printed
    assert (
        "PASS  digits_w2a2 on accelerator: 5 of 5 layers on the RTL, lowered from package qonnx, " in printed
    )


def test_the_golden_engine_verifies_nothing_by_itself(capsys):
    assert main(["predict", str(INT8_DIGITS), "--engine", "golden"]) == 0
    printed = capsys.readouterr().out
    assert "DONE  digits_int8 on golden: no RTL" in printed and "PASS" not in printed
    assert main(["compare", str(INT8_DIGITS), "--engine", "golden"]) == 2
    assert "would hold the golden model against itself: add --runtime" in capsys.readouterr().err
    pytest.importorskip("ai_edge_litert.interpreter", reason="LiteRT is missing: pip install ai-edge-litert")
    assert main(["compare", str(INT8_DIGITS), "--engine", "golden", "--runtime"]) == 0
    assert "PASS  digits_int8 on golden: no RTL" in capsys.readouterr().out


def test_a_network_without_a_file_says_so(engines, capsys, monkeypatch):
    network = dataclasses.replace(golden.load(DIGITS).lower(), graph=None)
    monkeypatch.setitem(NETWORKS, "small", lambda: network)
    assert main(["compare", "small", "--engine", "accelerator", "--random", "2"]) == 0
    printed = capsys.readouterr().out
    assert "RTL against the golden network" in printed and "the network comes from no model file" in printed
    with load(network, "accelerator") as rtl:
        x = predict.random_rows(network, 2, np.random.default_rng(0))
        assert rtl.compare(x).exact and rtl.compare_framework(x) is None
    for given in (DIGITS, golden.load(DIGITS), golden.load(DIGITS).lower()):
        with load(given, "accelerator") as rtl:
            comparison = rtl.compare_framework(x)
            assert comparison.exact and len(comparison.tensors) == 5


def test_output_of_independent_layers_holds_what_the_engine_made(engines, capsys, tmp_path):
    model, path = partly(tmp_path), tmp_path / "made.npz"
    assert main(["trace", model, "--jobs", "2", "--output", str(path)]) == 0
    assert "of which the RTL made 1" in capsys.readouterr().out
    graph = golden.load(model)
    with np.load(path) as archive:
        assert set(archive.files) == {graph.inputs[0], graph.nodes[0].outputs[0]}
    assert main(["trace", model, "--output", str(path)]) == 0
    with np.load(path) as archive:
        assert len(archive.files) == 4


def test_inputs_of_the_model_file_and_of_its_lowered_network_give_the_same(engines, capsys, tmp_path):
    lowered = source(DIGITS, True)
    x = predict.random_rows(lowered.network, 3, np.random.default_rng(0))
    rows, same, _ = framework_rows(lowered.network, lowered.graph, x)
    np.testing.assert_array_equal(same, x)
    made = []
    for name, array in (("integers.npy", x), ("rows.npy", next(iter(rows.values())))):
        np.save(tmp_path / name, array)
        out = tmp_path / f"{name}.npz"
        words = ["trace", str(DIGITS), "--engine", "accelerator", "--inputs", str(tmp_path / name)]
        assert main([*words, "--output", str(out)]) == 0
        with np.load(out) as archive:
            made.append({name: archive[name] for name in archive.files})
    assert list(made[0]) == list(made[1])
    for name, array in made[0].items():
        np.testing.assert_array_equal(array, made[1][name])
    np.savez(tmp_path / "named.npz", **rows)
    assert (
        main(["compare", str(DIGITS), "--engine", "accelerator", "--inputs", str(tmp_path / "named.npz")])
        == 0
    )
    np.save(tmp_path / "bad.npy", np.zeros((2, 9)))
    capsys.readouterr()
    assert (
        main(["compare", str(DIGITS), "--engine", "accelerator", "--inputs", str(tmp_path / "bad.npy")]) == 2
    )
    assert "bad.npy: input has shape [2, 9]" in capsys.readouterr().err


def test_random_inputs_stay_within_a_table(tmp_path, capsys):
    model = embedding(tmp_path)
    assert golden_main(["compare", model, "--random", "50"]) == 0
    assert main(["predict", model, "--engine", "golden", "--random", "50"]) == 0


def test_a_replay_repeats_every_setting(monkeypatch):
    orders = []
    monkeypatch.setattr(predict, "run", lambda order, announce: orders.append(order) or 0)
    words = "net.onnx --engine accelerator --random 7 --jobs 2 --runtime --mapping pipelined --scales nearest --strict"
    words += " --accept-steps 2 --accept-share 0.5% --output made.npz --sim icarus --seed 9 --param Lanes=8"
    monkeypatch.delenv("PARAMS", raising=False)
    assert main(["trace", *words.split()]) == 0
    again = shlex.split(orders[0].replay)
    assert again[0] == "assay"
    assert main(again[1:]) == 0 and orders[0] == orders[1]
    default = predict.Order("net.onnx")
    for field in fields(predict.Order):
        if field.name not in ("model", "inputs"):
            assert getattr(orders[0], field.name) != getattr(default, field.name), field.name
    order = replace(default, inputs="a file.npy")
    assert main(shlex.split(order.replay)[1:]) == 0 and orders[-1].inputs == "a file.npy"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--accept-steps", "-1"], "--accept-steps -1: must be 0 or more"),
        (["--accept-share", "1%"], "--accept-share 1%: needs --accept-steps"),
        (
            ["--accept-steps", "1", "--accept-share", "2"],
            "--accept-share 2: must be from 0 to 1, or from 0% to 100%",
        ),
        (["--accept-steps", "1", "--accept-share", "nan"], "--accept-share nan: must be"),
        (["--random", "0"], "--random 0: must be 1 or more"),
        (["--output", "made.txt"], "--output is made.txt"),
        (["--output", "nowhere/made.npz"], "--output nowhere/made.npz: there is no such folder"),
    ],
)
def test_bad_options_are_named_before_anything_runs(words, message, capsys):
    assert main(["predict", str(INT8_DIGITS), *words]) == 2
    printed = capsys.readouterr()
    assert message in printed.err and printed.err.count("\n") == 1 and not printed.out


def test_one_name_for_inputs_in_both_command_lines():
    """Every command that takes inputs has --inputs and none has an option of another name for them."""
    from assay.golden.__main__ import _parser as golden_parser

    seen = 0
    for parser in (golden_parser(), command_line._parser(discover())):
        (commands,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
        for name, sub in commands.choices.items():
            options = {option for action in sub._actions for option in action.option_strings}
            seen += "--inputs" in options
            assert "--input" not in options and ("--images" not in options or name == "run"), name
            if "--random" in options:
                assert "--inputs" in options and "--seed" in options, name
    assert seen >= 9


def test_acceptance_is_of_each_tensor():
    ours, theirs = np.arange(100), np.arange(100)
    theirs[:3] += 1
    tensor = compare_arrays("t", ours, theirs)
    assert not Acceptance().takes(tensor)
    assert Acceptance(1).takes(tensor) and Acceptance(1, 0.03).takes(tensor)
    assert not Acceptance(1, 0.02).takes(tensor)
    assert not Acceptance(5).takes(compare_arrays("t", ours.astype(float), theirs + 0.5))
    assert not Acceptance(5).takes(compare_arrays("t", ours, theirs[:50]))
    assert Coverage(("a",), {"b": "why"}).layers == 2
