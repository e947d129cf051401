"""Whole networks on simulated hardware: from Python and from the command line."""

import numpy as np
import pytest

import sim
import vectors
from golden import GoldenError
from golden.pe_array.parameters import PeArrayParameters
from sim.__main__ import main
from sim.engine import load
from sim.errors import AssayError, RunFailed
from sim.targets import TARGETS

# The regression's small array, which is built anyway.
(SMALL,) = (variant.parameters for variant in TARGETS["pe_array"].variants if variant.name == "3x6")
SIZES = vars(PeArrayParameters.of_rtl(SMALL))
WORDS = [word for name, value in SMALL.items() for word in ("--param", f"{name}={value}")]

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
        assert comparison.exact and len(comparison.tensors) == len(expected)
        # The golden model compares itself with the hardware in the same words.
        assert network.compare(images[:1], rtl).exact
        *_, total, moved, hosted = rtl.report().splitlines()
        assert total.startswith("all") and moved == "moves in memory: reshape_10 (RESHAPE)"
        assert hosted.startswith("done by the host: ")


def test_a_dead_simulator_is_an_error_that_names_its_log(digits):
    network, images = digits
    with load(network, seed=1, **SIZES) as rtl:
        rtl._servers[0]._connection.send("nonsense")
        with pytest.raises(RunFailed, match=r"the simulation ended before the network did(?s:.*)run\.log"):
            rtl.predict(images)


def test_command(capsys, tmp_path):
    out = tmp_path / "tensors.npz"
    assert main(["predict", "digits_int8", "--images", "2", "--seed", "3", "--output", str(out), *WORDS]) == 0
    printed = capsys.readouterr().out
    assert "PASS  digits_int8 on pe_array, each layer from the one before" in printed
    assert "to replay: python -m sim predict digits_int8 --engine pe_array --images 2" in printed
    with np.load(out) as archive:
        assert archive["logits"].shape == (2, 10)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["digits_int8", "--images", "0"], "--images 0: must be 1 or more"),
        (["digits_int8", "--images", "100000"], "--images 100000: there are only"),
        (["digits_int8", "--jobs", "0"], "jobs = 0: must be 1 or more"),
        (["digits_int8", "--engine", "pe_arry"], "did you mean pe_array"),
        (["digits_int8", "--engine", "mvu"], "unknown engine 'mvu'"),
        (["digits_int8", "--runtime"], "--runtime needs a model file"),
        (["missing.tflite"], "missing.tflite: no such model file"),
        ([str(vectors.path("digits/digits_w2a2.onnx"))], "this is a QONNX network"),
        (["digits_int8", "--param", "WeightDepth=64"], "layer conv_2d_4"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(arguments, message, capsys):
    assert main(["predict", *arguments]) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1


def test_a_layer_that_does_not_fit_is_refused_before_a_simulation(digits):
    with pytest.raises(GoldenError, match=r"layer conv_2d_4: .* is 96, but the PE array takes 64"):
        load(digits[0], announce=lambda line: pytest.fail(line), weight_depth=64)


def test_names_of_parameters_are_checked(digits):
    with pytest.raises(AssayError, match=r"unknown parameter 'row' \(did you mean rows"):
        load(digits[0], row=3)
