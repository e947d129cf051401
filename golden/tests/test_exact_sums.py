# SPDX-License-Identifier: Apache-2.0
"""Sums of integer operators as files state them, at the ends of their types: exact on both sides of 2**24, where
float32 no longer has all integers, whatever zero points say. Expected are sums of int64."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("flatbuffers", reason="flatbuffers is missing: pip install flatbuffers")

from assay.golden.exporters.tflite import ModelFile
from assay.golden.importers import onnx as onnx_importer
from assay.golden.importers import tflite as tflite_importer
from assay.golden.layers.linear import Convolution
from assay.golden.tests.onnx_files import OnnxFile

OUTPUTS = 6
# Terms of a sum: 2**24 is reached by 258 products of 255 by 255, by 516 of 255 by 128, by 1,024 of 128 by 128.
TERMS = (200, 257, 259, 300, 515, 517, 700, 1023, 1025, 1100)
INT8, UINT8 = np.dtype(np.int8), np.dtype(np.uint8)


def ends(dtype: np.dtype) -> tuple[int, int]:
    return int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)


def weights(rng: np.random.Generator, terms: int, dtype: np.dtype) -> np.ndarray:
    """[K, terms] of one end, of both, and of odd numbers near them: sums are odd, often."""
    low, high = ends(dtype)
    made = rng.choice([low, high], (OUTPUTS, terms))
    made[0], made[1] = low, high
    near = rng.integers(0, 4, made.shape) * (rng.random(made.shape) < 0.3)
    return np.clip(np.where(made == low, made + near, made - near), low, high).astype(dtype)


def inputs(rng: np.random.Generator, centred: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """[2 K + 2, terms]: the greatest and the least sum of each output but for a few values, and all of one end."""
    low, high = ends(dtype)
    most = np.where(centred > 0, high, low)
    x = np.concatenate(
        [most, low + high - most, np.full((1, centred.shape[1]), low), np.full((1, centred.shape[1]), high)]
    )
    few = rng.random(x.shape) < 0.01
    return np.where(few, np.clip(x + rng.choice([-1, 1], x.shape), low, high), x).astype(dtype)


def check(convolution: Convolution, centred: np.ndarray, bias: np.ndarray, x: np.ndarray, zero: int) -> None:
    """Sums of a 1x1 convolution, from weights less their zero points."""
    expected = (x.astype(np.int64) - zero) @ centred.astype(np.int64).T + bias
    sums = convolution.sums(x[:, None, None, :])
    assert np.array_equal(sums[:, 0, 0], expected)
    assert np.abs(expected).max() <= convolution.bound


def zero_points(dtype: np.dtype) -> tuple[int, ...]:
    low, high = ends(dtype)
    return low, (low + high + 1) // 2, high


@pytest.mark.parametrize("terms", TERMS)
@pytest.mark.parametrize("kind", ["CONV_2D", "FULLY_CONNECTED"])
def test_tflite(kind: str, terms: int):
    rng = np.random.default_rng(terms)
    for zero in zero_points(INT8):
        for weight_zero in (0,) if kind == "CONV_2D" else zero_points(INT8):
            file, w = ModelFile(), weights(rng, terms, INT8)
            bias = rng.integers(-(1 << 20), 1 << 20, OUTPUTS)
            whole = kind == "CONV_2D"
            x = file.tensor((1, 1, 1, terms) if whole else (1, terms), 0.5, zero)
            stored = [
                file.constant(w[:, None, None] if whole else w, 0.25, weight_zero),
                file.constant(bias.astype(np.int32), 0.125, 0),
            ]
            y = file.tensor((), 1.0, 0)
            table, options = (
                ("Conv2DOptions", {"StrideH": 1, "StrideW": 1}) if whole else ("FullyConnectedOptions", {})
            )
            file.operator(kind, [x, *stored], [y], table, **options)
            (node,) = tflite_importer.loads(file.bytes([x], [y])).nodes
            layer = node.operator if whole else node.operator.layer
            centred = w.astype(np.int64) - weight_zero
            check(layer.convolution, centred, bias, inputs(rng, centred, INT8), zero)


@pytest.mark.parametrize("terms", TERMS)
@pytest.mark.parametrize("dtype", [INT8, UINT8])
@pytest.mark.parametrize("weight_dtype", [INT8, UINT8])
@pytest.mark.parametrize("kind", ["QLinearConv", "ConvInteger", "MatMulInteger"])
def test_onnx(kind: str, dtype: np.dtype, weight_dtype: np.dtype, terms: int):
    """Zero points of the weights are those of all channels, or one for each."""
    rng = np.random.default_rng(terms)
    for number, zero in enumerate(zero_points(dtype)):
        for weight_zero in zero_points(weight_dtype):
            file, w = OnnxFile(), weights(rng, terms, weight_dtype)
            each = np.full(OUTPUTS, weight_zero)
            if number == 0:
                each = rng.choice(zero_points(weight_dtype), OUTPUTS)
            stored = (each if number == 0 else np.array(weight_zero)).astype(weight_dtype)
            centred, bias = w.astype(np.int64) - each[:, None], np.zeros(OUTPUTS, np.int64)
            given = inputs(rng, centred, dtype)
            x = file.input((1, terms, 1, 1) if "Conv" in kind else (len(given), terms), dtype)
            if kind == "MatMulInteger":
                file.node(kind, x, np.ascontiguousarray(w.T), dtype.type(zero), stored)
                graph = onnx_importer.loads(file.bytes())
                expected = (given.astype(np.int64) - zero) @ centred.T
                assert np.array_equal(graph.predict(given[None])[0], expected)
                continue
            if kind == "ConvInteger":
                file.node(kind, x, w[:, :, None, None], dtype.type(zero), stored)
                graph = onnx_importer.loads(file.bytes())
                expected = (given.astype(np.int64) - zero) @ centred.T
                assert np.array_equal(graph.predict(given[:, :, None, None])[:, :, 0, 0], expected)
                continue
            bias = rng.integers(-(1 << 20), 1 << 20, OUTPUTS)
            scales = np.full(stored.shape, 0.25, np.float32)
            file.node(
                kind, x, np.float32(0.5), dtype.type(zero), w[:, :, None, None], scales, stored,
                np.float32(1), dtype.type(zero), bias.astype(np.int32),
            )  # fmt: skip
            (node,) = onnx_importer.loads(file.bytes()).nodes
            check(node.operator.convolution, centred, bias, given, zero)
