# SPDX-License-Identifier: Apache-2.0
"""Whole networks on simulated hardware: from Python and from the command line."""

import contextlib
import copy
import os
import signal
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from assay import sim, vectors
from assay.golden import GoldenError
from assay.golden.pe_array.parameters import PeArrayParameters
from assay.sim import outputs
from assay.sim.__main__ import main
from assay.sim.blocks import discover
from assay.sim.engine import load
from assay.tb.accelerator.model import AcceleratorModel
from assay.tb.errors import AssayError, RunFailed

# The regression's small array, which is built anyway.
(SMALL,) = (variant.parameters for variant in discover()["pe_array"].variants if variant.name == "3x6")
SIZES = vars(PeArrayParameters.of_rtl(SMALL))
WORDS = [word for name, value in SMALL.items() for word in ("--param", f"{name}={value}")]

# Likewise the accelerator's.
(ACCELERATOR,) = (v.parameters for v in discover()["accelerator"].variants if v.name == "4x8")
ACCELERATOR_SIZES = {"mvus": ACCELERATOR["Mvus"], "lanes": ACCELERATOR["Lanes"]}
ACCELERATOR_WORDS = [word for name, value in ACCELERATOR.items() for word in ("--param", f"{name}={value}")]

pytestmark = pytest.mark.usefixtures("own_runs")


@pytest.fixture(scope="module")
def digits():
    network, images, _ = vectors.digits("digits_int8")
    return network, images[:2]


@pytest.mark.parametrize("jobs", [1, 2])
def test_the_hardware_answers_as_the_golden_model(digits, jobs):
    network, images = digits
    expected = network.trace(images)
    with sim.load(network, engine="pe_array", jobs=jobs, seed=1, **SIZES) as rtl:
        seen = rtl.trace(images)
        assert list(seen) == list(expected)
        for name, array in expected.items():
            assert seen[name].dtype == array.dtype
            np.testing.assert_array_equal(seen[name], array, err_msg=name)
        assert list(rtl.layers) == [node.name for node in rtl.plan.layers]
        assert all(layer.clocks > 0 and layer.runs == 2 for layer in rtl.layers.values())
        # The simulator stays up: a second call, of another size.
        np.testing.assert_array_equal(rtl.predict(images[:1]), network.predict(images[:1]))
        comparison = rtl.compare(images[:1])
        assert comparison.exact and [t.name for t in comparison.tensors] == list(rtl.coverage.tensors)
        # Neither the input nor what a move in memory made was verified.
        assert set(expected) - set(rtl.coverage.tensors) == {"image", "flat"}
        assert (rtl.coverage.layers_on_rtl, rtl.coverage.layers) == (12, 12)
        # The golden model compares itself with the hardware in the same words.
        assert network.compare(images[:1], rtl).exact
        *_, total, layers, moved, hosted = rtl.report().splitlines()
        assert total.startswith("all") and layers == "12 of 12 layers on the RTL"
        assert moved == "moves in memory: reshape_10" and hosted == "done by the host: nothing"


@pytest.fixture(scope="module")
def integer_digits():
    network, images, _ = vectors.digits("digits_mixed")
    return network, images[:2]


@pytest.mark.parametrize("mapping", ["distributed", "pipelined"])
def test_the_accelerator_answers_as_the_golden_network(integer_digits, mapping):
    network, images = integer_digits
    expected = network.trace(images)
    with sim.load(network, engine="accelerator", mapping=mapping, seed=1, **ACCELERATOR_SIZES) as rtl:
        seen = rtl.trace(images)
        assert list(seen) == list(expected)
        for name, array in expected.items():
            assert seen[name].dtype == array.dtype
            np.testing.assert_array_equal(seen[name], array, err_msg=name)
        assert list(rtl.layers) == [layer.name for layer in network.layers]
        assert all(abs(clocks - rtl.predicted) <= rtl.predicted / 100 for clocks in rtl.clocks)
        np.testing.assert_array_equal(rtl.predict(images[:1]), network.predict(images[:1]))
        assert network.compare(images[:1], rtl).exact and rtl.compare(images[:1]).exact
        assert f"network digits_mixed, {mapping}: {rtl.clocks[0]:,} clocks" in rtl.report()
        # A network with other weights of one channel is told from it, at the first value that differs.
        weight = network.layers[1].weight.copy()
        weight[3] = network.layers[1].weight_format.min
        other = replace(
            network,
            layers=(network.layers[0], replace(network.layers[1], weight=weight), *network.layers[2:]),
        )
        first = other.compare(images[:1], rtl).first_differing
        assert first.name == network.layers[1].output and first.first[-1] == 3


def test_the_golden_model_is_an_engine_too(integer_digits):
    network, images = integer_digits
    with sim.load(network, engine="golden") as model:
        np.testing.assert_array_equal(model.predict(images), network.predict(images))
        assert model.compare(images, network).exact and "digits_mixed" in model.report()
        assert not model.coverage.layers_on_rtl
        with pytest.raises(GoldenError, match="compared with itself says nothing"):
            model.compare(images)


def test_a_dead_simulator_is_an_error_that_names_its_log(digits):
    network, images = digits
    with load(network, seed=1, **SIZES) as rtl:
        with pytest.raises(RunFailed, match=r"the simulation ended before the network did(?s:.*)run\.log"):
            rtl._servers[0].ask("nonsense")
        with pytest.raises(RunFailed, match=r"run\.log"):
            rtl.predict(images)


@pytest.mark.parametrize(("engine", "jobs"), [("pe_array", 1), ("pe_array", 2), ("accelerator", 2)])
def test_an_interrupted_call_leaves_nothing_for_the_next(digits, integer_digits, engine, jobs):
    network, images = digits if engine == "pe_array" else integer_digits
    expected = network.trace(images)
    sizes = SIZES if engine == "pe_array" else ACCELERATOR_SIZES
    with load(network, engine, seed=1, jobs=jobs, **sizes) as rtl:
        assert len(list(outputs.run_root().iterdir())) == 2 * jobs
        interrupted = 0
        for delay in (0.01, 0.05, 0.1, 0.2):
            timer = threading.Timer(delay, os.kill, (os.getpid(), signal.SIGINT))
            try:
                timer.start()
                while True:
                    rtl.trace(images[:1])
            except KeyboardInterrupt:
                interrupted += 1
            for name, array in rtl.trace(images).items():
                np.testing.assert_array_equal(array, expected[name], err_msg=name)
        assert interrupted == 4 and rtl.compare(images).exact
        # Nothing of these reaches the simulator.
        for bad in (images[:0], images[:1, 1:], "text"):
            with pytest.raises(GoldenError):
                rtl.predict(bad)
        # Threads take turns.
        seen = []
        threads = [threading.Thread(target=lambda: seen.append(rtl.predict(images))) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for each in seen:
            np.testing.assert_array_equal(each, expected[network.outputs[0]])
        assert len(seen) == 3
    assert not list(outputs.run_root().iterdir())
    for call in (rtl.predict, rtl.trace, rtl.compare):
        with pytest.raises(AssayError, match="is closed: load the network again"):
            call(images)
    with pytest.raises(AssayError, match="is closed"), rtl:
        pass


def test_a_killed_simulator_is_a_named_error_in_the_middle_of_a_request(digits):
    network, images = digits
    many = np.repeat(images, 200, axis=0)
    with load(network, seed=1, **SIZES) as rtl:
        killer = threading.Thread(target=_kill_the_simulator, args=(0.2,))
        killer.start()
        started = time.monotonic()
        with pytest.raises(RunFailed, match="the simulation ended before the network did"):
            while True:
                rtl.predict(many)
        assert time.monotonic() - started < 30
        killer.join()


def _kill_the_simulator(seconds: float) -> None:
    time.sleep(seconds)
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/environ", "rb") as file:
            if str(outputs.run_root()).encode() in file.read():
                os.kill(int(pid), signal.SIGKILL)


def test_a_run_that_failed_on_the_accelerator_is_not_followed_by_a_stale_one(integer_digits, monkeypatch):
    network, images = integer_digits
    with load(network, "accelerator", seed=1, **ACCELERATOR_SIZES) as rtl:
        np.testing.assert_array_equal(rtl.predict(images[:1]), network.predict(images[:1]))
        with monkeypatch.context() as short, pytest.raises(RunFailed, match="clocks") as failed:
            short.setattr("assay.tb.accelerator.model._LIMIT_CLOCKS", -4 * rtl.predicted + 500)
            rtl.predict(images)
        with pytest.raises(RunFailed) as again:
            rtl.predict(images)
        assert str(again.value) == str(failed.value)
        with pytest.raises(AssayError, match="cannot be copied or sent to another process"):
            copy.deepcopy(rtl)


def test_two_engines_of_one_seed_live_side_by_side(digits):
    network, images = digits
    with load(network, seed=1, **SIZES) as one, load(network, seed=1, **SIZES) as other:
        np.testing.assert_array_equal(one.predict(images), other.predict(images))
    assert not list(outputs.run_root().iterdir())


def test_command(capsys, tmp_path):
    out = tmp_path / "tensors.npz"
    assert main(["predict", "digits_int8", "--random", "2", "--seed", "3", "--output", str(out), *WORDS]) == 0
    printed = capsys.readouterr().out
    assert "PASS  digits_int8 on pe_array: 12 of 12 layers on the RTL" in printed
    assert "to replay: assay predict digits_int8 --engine pe_array --random 2" in printed
    with np.load(out) as archive:
        assert archive["logits"].shape == (2, 10)


@pytest.mark.parametrize("engine", ["golden", "accelerator"])
def test_one_command_line_for_all(capsys, tmp_path, engine):
    out = tmp_path / "tensors.npz"
    words = ["digits_mixed", "--engine", engine, "--seed", "3"]
    words += ACCELERATOR_WORDS if engine == "accelerator" else []
    assert main(["trace", *words, "--output", str(out)]) == 0
    with np.load(out) as archive:
        assert archive["logits"].shape == (1, 1, 1, 10)
    assert main(["compare", *words]) == 0
    printed = capsys.readouterr().out
    assert "logits: exact" in printed and f"PASS  digits_mixed on {engine}" in printed
    assert main(["predict", *words]) == 0
    assert "recognised: " in capsys.readouterr().out


def test_a_wrong_value_is_named_and_fails(capsys, monkeypatch):
    trace = AcceleratorModel._trace

    def wrong(self, x):
        tensors = trace(self, x)
        tensors["conv2"][0, 1, 2, 3] += 1
        return tensors

    monkeypatch.setattr(AcceleratorModel, "_trace", wrong)
    assert (
        main(["compare", "digits_mixed", "--engine", "accelerator", "--seed", "3", *ACCELERATOR_WORDS]) == 1
    )
    printed = capsys.readouterr().out
    assert "FAIL  digits_mixed" in printed and "first wrong: conv2: 1 of" in printed
    assert "first at [0, 1, 2, 3]" in printed and "the lowered network against QONNX's operators" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["digits_w2a2", "--engine", "accelerator", "--mapping", "sideways"], "mapping is 'sideways'"),
        (["digits_int8", "--mapping", "auto"], "--mapping auto: engine pe_array has no such option"),
        (["digits_int8", "--engine", "golden", "--strict"], "--strict: engine golden has no such option"),
        (["digits_int8", "--scales", "nearest"], "pe_array runs a file as its framework does"),
        (["digits_w2a2", "--engine", "golden", "--param", "Lanes=8"], "engine golden has no hardware"),
        (["resnet18", "--engine", "accelerator", "--runtime"], "--runtime needs a model file"),
        (["resnet18"], "of random weights by shape, which engines of lowered networks run"),
        (
            ["digits_w2a2", "--engine", "accelerator", "--param", "WeightDepth=16", "--param", "Lanes=8"],
            "weight words",
        ),
        (["digits_int8", "--random", "0"], "--random 0: must be 1 or more"),
        (["digits_int8", "--random", "100000"], "--random 100000: there are only"),
        (["digits_int8", "--jobs", "0"], "--jobs 0: must be 1 or more"),
        (["digits_int8", "--engine", "pe_arry"], "did you mean pe_array"),
        (["digits_int8", "--engine", "mvu"], "unknown engine 'mvu'"),
        (["missing.tflite"], "missing.tflite: no such model file"),
        (["digits_int8", "--strict", "--param", "WeightDepth=64"], "cannot do 1 of its layers: conv_2d_4"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(arguments, message, capsys):
    assert main(["predict", *arguments]) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1


def test_a_runtime_that_ends_its_process_is_one_sentence(tmp_path, capfd):
    pytest.importorskip("ai_edge_litert", reason="LiteRT is missing: pip install ai-edge-litert")
    from assay.golden.tests.test_runtimes import long_softmax

    path = tmp_path / "softmax.tflite"
    path.write_bytes(long_softmax())
    np.save(tmp_path / "rows.npy", np.zeros((1, 512), np.int8))
    words = [str(path), "--engine", "golden", "--inputs", str(tmp_path / "rows.npy"), "--runtime"]
    assert main(["compare", *words]) == 2
    said = capfd.readouterr().err
    assert "SIGABRT" in said and "Traceback" not in said


def test_a_layer_that_does_not_fit_is_refused_before_a_simulation_where_strict(digits):
    with pytest.raises(
        GoldenError, match=r"conv_2d_4 \(CONV_2D\): .* is 96, but .* takes 64 .*WeightDepth=128"
    ):
        load(digits[0], announce=lambda line: pytest.fail(line), weight_depth=64, strict=True)


def test_names_of_parameters_are_checked(digits):
    with pytest.raises(AssayError, match=r"unknown parameter 'row' \(did you mean rows"):
        load(digits[0], row=3)
