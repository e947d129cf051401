# SPDX-License-Identifier: Apache-2.0
"""The committed digit networks: accuracy, exactness against ONNX's executor and LiteRT, integrity of the files."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import onnx
import pytest

from assay import golden, vectors
from assay.golden import ChecksumError, GoldenError, IntFormat, ModelFormatError
from assay.golden.exporters import qonnx
from assay.golden.tests import litert
from assay.golden.tests.onnx_executor import execute

NAMES = ("digits_w2a2", "digits_mixed")


@pytest.fixture(scope="module", params=NAMES)
def loaded(request):
    return request.param, *vectors.digits(request.param)


def test_accuracy_in_integer_arithmetic_is_what_the_manifest_says(loaded):
    name, network, images, labels = loaded
    assert images.shape == (360, 8, 8, 1) and labels.shape == (360,)
    right = int((network.predict(images)[:, 0, 0].argmax(axis=1) == labels).sum())
    claimed = vectors.load_manifest()["files"][f"digits/{name}.onnx"]["accuracy"]
    assert right == claimed["correct"]
    assert claimed["images"] == 360
    assert right / 360 > 0.95


def test_every_layer_equals_onnx_execution(loaded):
    name, network, images, _ = loaded
    executed, trace = execute(vectors.path(f"digits/{name}.onnx").read_bytes(), images), network.trace(images)
    assert len(trace) == len(network.layers) + 1
    for tensor, values in trace.items():
        assert executed[tensor].dtype == np.float32
        np.testing.assert_array_equal(executed[tensor], values, err_msg=tensor)


def test_file_read_and_written_again_is_the_same(loaded):
    name, network, _, _ = loaded
    model = onnx.load(vectors.path(f"digits/{name}.onnx"))
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert {f"step:{layer.name}:weight" for layer in network.layers} < set(metadata)
    assert all(float(step) > 0 for step in metadata.values())
    assert qonnx.to_bytes(network, metadata) == vectors.path(f"digits/{name}.onnx").read_bytes()


def test_w2a2_is_two_bits_throughout():
    network, _, _ = vectors.digits("digits_w2a2")
    u2, s2 = IntFormat(2, signed=False), IntFormat(2, signed=True)
    for layer in network.layers:
        assert (layer.weight_format, layer.input_format) == (s2, u2)
        assert layer.output_format == (u2 if layer.output != network.output else IntFormat(16, signed=True))
    assert network.layers[2].residual.tensor == network.layers[1].output
    assert network.layers[1].pool == ((2, 2), (2, 2))
    assert network.layers[3].stride == (2, 2)


def test_mixed_has_eight_bits_at_both_ends():
    network, _, _ = vectors.digits("digits_mixed")
    text = [(str(layer.weight_format), str(layer.input_format)) for layer in network.layers]
    assert text == [("s4", "u8"), ("s2", "u2"), ("s2", "u2"), ("s4", "u8")]


def test_layers_fit_the_scaler_and_use_their_formats(loaded):
    _, network, images, _ = loaded
    trace = network.trace(images)
    for layer in network.layers:
        assert layer.accumulator_bits <= 27
        assert np.abs(layer.bias).max() < 1 << 26
        values = trace[layer.output]
        if layer.output == network.output:
            # Logits that saturate would hide which one is largest.
            assert layer.output_format.min < values.min() and values.max() < layer.output_format.max
            assert (np.array(layer.multiplier) == 1).all() and layer.shift == 0
        else:
            assert values.min() == layer.output_format.min and values.max() == layer.output_format.max
        assert layer.weight.max() == layer.weight_format.max and layer.weight.min() < 0


def test_a_wrong_bit_would_be_seen(loaded):
    # The comparison with ONNX would mean little if a changed weight left every tensor as it was.
    _, network, images, _ = loaded
    trace = network.trace(images)
    for index, layer in enumerate(network.layers):
        weight = layer.weight.copy()
        weight[0, 1, 1, 0] = layer.weight_format.max if weight[0, 1, 1, 0] < 0 else layer.weight_format.min
        layers = list(network.layers)
        layers[index] = dataclasses.replace(layer, weight=weight)
        changed = golden.Network(network.name, network.input, network.input_shape, tuple(layers)).trace(
            images
        )
        assert (changed[layer.output] != trace[layer.output]).any(), layer.name


def test_int8_network_is_accurate_and_every_tensor_is_litert_s():
    graph, images, labels = vectors.digits("digits_int8")
    assert images.dtype == np.int8 and images.shape == (360, 8, 8, 1)
    right = int((graph.predict(images).argmax(axis=1) == labels).sum())
    assert right == vectors.load_manifest()["files"]["digits/digits_int8.tflite"]["accuracy"]["correct"] > 350
    kinds = {node.kind for node in graph.nodes}
    assert {"CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "MAX_POOL_2D", "AVERAGE_POOL_2D", "HARD_SWISH"} <= kinds
    runtime = litert.litert(vectors.path("digits/digits_int8.tflite"), graph)
    random = np.random.default_rng(1).integers(-128, 128, (20, 8, 8, 1), np.int8)
    for x in (images[:40], random):
        assert litert.compare(graph, runtime, {"image": x}).exact


def test_input_rules():
    pixels = np.arange(17)
    files = vectors.load_manifest()["files"]
    rules = [files[f"digits/{name}.onnx"]["input_rule"] for name in NAMES]
    nearest = [int(p * 3 / 16 + 0.5) for p in range(17)]
    np.testing.assert_array_equal(vectors.apply_input_rule(pixels, rules[0]), nearest)
    np.testing.assert_array_equal(vectors.apply_input_rule(pixels, rules[1]), pixels * 15)


def test_images_are_scikit_learns_and_stratified():
    datasets = pytest.importorskip("sklearn.datasets", reason="needs scikit-learn: pip install scikit-learn")
    images, labels = datasets.load_digits(return_X_y=True)
    everything = dict(zip((i.astype(np.uint8).tobytes() for i in images), labels, strict=True))
    with np.load(vectors.path("digits/images.npz")) as archive:
        images, labels = archive["images"], archive["labels"]
    assert images.dtype == np.uint8
    assert [everything[image.tobytes()] for image in images] == list(labels)
    assert np.bincount(labels).min() >= 34 and np.bincount(labels).max() <= 38


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """The vectors in a folder that a test may damage."""
    shutil.copytree(vectors.MANIFEST.parent / "digits", tmp_path / "digits")
    shutil.copy(vectors.MANIFEST, tmp_path)
    monkeypatch.setattr(vectors, "MANIFEST", tmp_path / "manifest.json")
    return tmp_path


def test_altered_and_missing_files_are_checksum_errors(copied):
    file = copied / "digits" / "digits_w2a2.onnx"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(ChecksumError) as caught:
        vectors.digits("digits_w2a2")
    message = str(caught.value)
    expected = vectors.load_manifest()["files"]["digits/digits_w2a2.onnx"]["sha256"]
    assert "vectors/digits/digits_w2a2.onnx" in message and expected in message and "\n" not in message
    assert "git checkout" in message and "python -m assay.vectors.digits.train" in message
    file.unlink()
    with pytest.raises(ChecksumError, match="is missing: restore it with git checkout"):
        vectors.path("digits/digits_w2a2.onnx")
    vectors.digits("digits_mixed")


def test_truncated_file_is_a_model_format_error(copied):
    file = copied / "digits" / "digits_w2a2.onnx"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(ModelFormatError, match=r"^digits_w2a2: not an ONNX file, or one that is cut off"):
        golden.load(file).lower()


def test_unknown_names_and_damaged_manifest(copied):
    with pytest.raises(GoldenError, match="no digit network 'resnet', only digits_w2a2, digits_mixed"):
        vectors.digits("resnet")
    with pytest.raises(GoldenError, match=r"no file 'x.bin', the manifest lists digits/digits_w2a2.onnx"):
        vectors.path("x.bin")
    vectors.MANIFEST.write_text("{")
    with pytest.raises(GoldenError, match=r"manifest.json is not JSON .*: restore it with git checkout"):
        vectors.load_manifest()
    vectors.MANIFEST.unlink()
    with pytest.raises(GoldenError, match=r"manifest.json is missing: restore it"):
        vectors.load_manifest()


def test_manifest_sizes():
    for name, entry in vectors.load_manifest()["files"].items():
        assert vectors.path(name).stat().st_size == entry["bytes"]
