# SPDX-License-Identifier: Apache-2.0
"""Shapes that TFLite's operators take: all small ones are tried, and those that fit each other, by a predicate, are
accepted with the result's shape, all others are rejected."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest

pytest.importorskip("flatbuffers", reason="flatbuffers is missing: pip install flatbuffers")

from assay.golden import GoldenError
from assay.golden.exporters.tflite import ModelFile
from assay.golden.importers.tflite import loads

Tried = tuple[dict[str, Any], tuple[int, ...] | None]


def shapes(lengths: tuple[int, ...], *ranks: int) -> list[tuple[int, ...]]:
    return [shape for rank in ranks for shape in product(lengths, repeat=rank)]


def broadcast(*given: tuple[int, ...]) -> tuple[int, ...] | None:
    try:
        return np.broadcast_shapes(*given)
    except ValueError:
        return None


def weights(*shape: int) -> np.ndarray:
    return np.ones(shape, np.int8)


def convolutions() -> Iterator[Tried]:
    options = {"Padding": 1, "StrideH": 1, "StrideW": 1}
    for channels, depth, outputs in product(range(1, 7), repeat=3):
        groups = channels // depth
        fits = channels % depth == 0 and outputs % max(groups, 1) == 0
        yield (
            {"inputs": [(1, 2, 3, channels)], "constants": [weights(outputs, 2, 2, depth)], **options},
            (1, 1, 2, outputs) if fits else None,
        )


def depthwise() -> Iterator[Tried]:
    options = {"Padding": 1, "StrideH": 1, "StrideW": 1, "DepthMultiplier": 1}
    for first, channels, outputs in product((1, 2), range(1, 5), range(1, 10)):
        fits = first == 1 and outputs % channels == 0
        yield (
            {"inputs": [(1, 2, 3, channels)], "constants": [weights(first, 2, 2, outputs)], **options},
            (1, 1, 2, outputs) if fits else None,
        )


def transposed() -> Iterator[Tried]:
    for rows, columns, stride, same in product(range(1, 7), range(1, 7), (1, 2, 3), (0, 1)):
        kernel, size = (3, 2), (2, 3)
        made = [
            -(-n // stride) if same else -(-(n - k + 1) // stride) if n >= k else 0
            for n, k in zip((rows, columns), kernel, strict=True)
        ]
        yield (
            {
                "before": [np.array([1, rows, columns, 4], np.int32), weights(4, *kernel, 2)],
                "inputs": [(1, *size, 2)],
                "StrideH": stride,
                "StrideW": stride,
                "Padding": 0 if same else 1,
            },
            (1, rows, columns, 4) if tuple(made) == size else None,
        )


def dense() -> Iterator[Tried]:
    for shape, depth, keep in product(shapes((1, 2, 3), 1, 2, 3), (1, 2, 3, 4, 6), (False, True)):
        count = int(np.prod(shape))
        if keep:
            made = (*shape[:-1], 5) if shape[-1] == depth else None
        else:
            made = (count // depth, 5) if count % depth == 0 else None
        yield {"inputs": [shape], "constants": [weights(5, depth)], "KeepNumDims": keep}, made


def products() -> Iterator[Tried]:
    for a, b, x, y in product(shapes((1, 2), 2, 3), shapes((1, 2), 2, 3), (False, True), (False, True)):
        left, right = (shape[:-2] + shape[-2:][:: -1 if turned else 1] for shape, turned in ((a, x), (b, y)))
        lead = broadcast(left[:-2], right[:-2])
        fits = lead is not None and left[-1] == right[-2]
        yield {"inputs": [a, b], "AdjX": x, "AdjY": y}, (*lead, left[-2], right[-1]) if fits else None


def slices() -> Iterator[Tried]:
    for begin, size in product(range(-1, 5), range(-2, 5)):
        made = 3 - begin if size == -1 else size
        fits = begin >= 0 and made >= 1 and begin + made <= 3
        yield (
            {"inputs": [(2, 3)], "constants": [np.array(v, np.int32) for v in ([0, begin], [2, size])]},
            (2, made) if fits else None,
        )


def slopes() -> Iterator[Tried]:
    for x, alpha in product(shapes((1, 2), 1, 2, 3), shapes((1, 2), 1, 2, 3)):
        yield {"inputs": [x, alpha]}, x if broadcast(x, alpha) == x else None


def sums() -> Iterator[Tried]:
    for a, b in product(shapes((1, 2, 3), 1, 2), shapes((1, 2, 3), 1, 2)):
        yield {"inputs": [a, b]}, broadcast(a, b)


def depth_to_space() -> Iterator[Tried]:
    for block, channels in product(range(0, 4), range(1, 13)):
        fits = block >= 1 and channels % block**2 == 0
        made = (1, 2 * block, 3 * block, channels // block**2) if fits else None
        yield {"inputs": [(1, 2, 3, channels)], "BlockSize": block}, made


def space_to_depth() -> Iterator[Tried]:
    for block, rows, columns in product(range(0, 4), range(1, 7), range(1, 7)):
        fits = block >= 1 and rows % block == columns % block == 0
        made = (1, rows // block, columns // block, 2 * block**2) if fits else None
        yield {"inputs": [(1, rows, columns, 2)], "BlockSize": block}, made


@pytest.mark.parametrize(
    ("kind", "table", "cases"),
    [
        ("CONV_2D", "Conv2DOptions", convolutions),
        ("DEPTHWISE_CONV_2D", "DepthwiseConv2DOptions", depthwise),
        ("TRANSPOSE_CONV", "TransposeConvOptions", transposed),
        ("FULLY_CONNECTED", "FullyConnectedOptions", dense),
        ("BATCH_MATMUL", "BatchMatMulOptions", products),
        ("SLICE", "", slices),
        ("PRELU", "", slopes),
        ("ADD", "AddOptions", sums),
        ("DEPTH_TO_SPACE", "DepthToSpaceOptions", depth_to_space),
        ("SPACE_TO_DEPTH", "SpaceToDepthOptions", space_to_depth),
    ],
)
def test_what_fits_is_taken_and_nothing_else(kind, table, cases):
    taken = refused = 0
    for case, expected in cases():
        file = ModelFile()
        stored = [
            [
                file.constant(values, *(() if values.dtype == np.int32 else (0.1, 0)))
                for values in case.pop(where, ())
            ]
            for where in ("before", "constants")
        ]
        told = str(case)
        inputs = [file.tensor(shape, 0.1, 0) for shape in case.pop("inputs")]
        y = file.tensor((), 0.1, 0)
        file.operator(kind, [*stored[0], *inputs, *stored[1]], [y], table, **case)
        try:
            made = loads(file.bytes(inputs, [y])).tensors[f"t{y}"].shape
        except GoldenError as error:
            assert expected is None, f"{told}: {error}"
            refused += 1
            continue
        assert made == expected, told
        taken += 1
    assert taken and refused
