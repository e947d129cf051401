# SPDX-License-Identifier: Apache-2.0
"""Sums of float32 products in the order of onnxruntime's CPU kernels (MLAS), which decides their last bits.

Float addition is not associative, so a float32 matrix product or convolution has no single right answer: each library
has its own. QDQ graphs run without optimisation compute in float32, hence bit-exactness with onnxruntime means its very
order. On x86-64 with AVX and FMA3 (AVX512 alike), with one thread, that is, for C = A @ B of `[M, K] @ [K, N]`:

- in general one fused multiply-add after the other along K, from 0, in blocks of K; each block's total is then added to
  what is there. Source: `MlasSgemmOperation`, mlas/lib/sgemm.cpp; mlas/lib/x86_64/FgemmKernelFma3Common.h.
- a block is 256 long where B is a constant of the file, packed beforehand, else `block_length`.
- M = 1, B not packed: products and sums round separately, in groups of four (`row_times_matrix`);
- N = 1, or M = 1 with B stored transposed: eight partial sums (`dot_products`).

More threads divide N, which may change the length of blocks, and more rows than the file's own batch may choose another
kernel: onnxruntime 1.31.1 with two threads differs from itself with one in the last bits of float32 sums, and after
QuantizeLinear in a few values of a network. Processors without FMA3 differ likewise.

Convolutions multiply the weights by columns of the input (im2col) by the same rules, without packing.

None of this matters where no sum can round: where every value is an integer times a power of two, and the magnitudes of
all products of a sum stay below 2**24 of their unit. `exact_product` finds that out from the values themselves and then
leaves the order to the BLAS. Quantised networks whose scales are powers of two are of that kind.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from assay.golden.schemes.onnx import fma

__all__ = [
    "PACKED_BLOCK",
    "block_length",
    "dot_products",
    "exact_product",
    "grid",
    "product",
    "row_times_matrix",
]

# MLAS_SGEMM_PACKED_STRIDEK, MLAS_SGEMM_STRIDEK and MLAS_SGEMM_STRIDEN of mlas/lib/mlasi.h.
PACKED_BLOCK = 256
_BLOCK = 128


def block_length(n: int, k: int) -> int:
    """Length of a block along K where B is not packed.

    128; for few columns it doubles as often as 128 columns can be halved and still hold N, down to 16.
    Source: `MlasSgemmOperation`, mlas/lib/sgemm.cpp. (Where N >= K it halves, but never below K.)
    """
    columns, length = _BLOCK, _BLOCK
    if n < k:
        while columns > 16 and columns // 2 >= n:
            columns, length = columns // 2, length * 2
    return length


# What integers stay below to be float32 numbers, all of them, and exponent of the least float32 number.
_EXACT = 1 << 24
_PART = 1 << 18  # values of a matrix that are looked at together
_LEAST_EXPONENT = -149


def grid(x: np.ndarray) -> int:
    """The largest e for which all values are integers times 2**e; 127 if all are 0.

    Args:
        x: float32, finite.
    """
    least = 127
    for part in _parts(x):
        mantissa, exponent = np.frexp(part)
        integer = (mantissa * np.float32(_EXACT)).astype(np.int32)
        lowest = np.frexp((integer & -integer).astype(np.float32))[1] - 1
        least = int(np.min(np.where(integer != 0, exponent + lowest - 24, 127), initial=least))
    return least


def _parts(x: np.ndarray) -> Iterator[np.ndarray]:
    """A large matrix in blocks of rows, so that what is computed of it need not be as large."""
    if x.ndim < 2 or x.size <= _PART:
        yield x
        return
    step = max(1, _PART * x.shape[-2] // x.size)
    for first in range(0, x.shape[-2], step):
        yield x[..., first : first + step, :]


def exact_product(a: np.ndarray, b: np.ndarray, initial: np.ndarray | None = None) -> np.ndarray | None:
    """A @ B + initial if no order of summation can round, else None.

    Let a and b be integers times 2**ea and 2**eb, and e = ea + eb not below float32's least exponent. Every product and
    every partial sum is an integer times 2**e. If the magnitudes of one sum's products, and of what it is added to, are
    less than 2**24 * 2**e together, all of these are float32 numbers and nothing rounds, fused or not. A sum that is 0
    is +0 in every order, since it starts from +0.

    Args and returns as for `product`.
    """
    sizes = np.abs(a), np.abs(b)
    start = 0.0 if initial is None else float(np.abs(initial).max(initial=0))
    largest = [float(size.max(initial=0)) for size in sizes]
    if not all(map(math.isfinite, (*largest, start))):
        return None
    rows = sizes[0].sum(axis=-1, dtype=np.float64).max(initial=0) * largest[1]
    columns = sizes[1].sum(axis=-2, dtype=np.float64).max(initial=0) * largest[0]
    del sizes
    unit = grid(a) + grid(b)
    if initial is not None:
        unit = min(unit, grid(np.asarray(initial, np.float32)))
    # The margin of one part in a million covers the rounding of the bound itself.
    if unit < _LEAST_EXPONENT or (min(rows, columns) + start) * (1 + 1e-6) >= _EXACT * 2.0**unit:
        return None
    y = a @ b + np.float32(0)
    return y if initial is None else y + initial


def product(a: np.ndarray, b: np.ndarray, block: int, initial: np.ndarray | None = None) -> np.ndarray:
    """A @ B by fused multiply-adds along K, in blocks.

    Args:
        a: float32 `[..., M, K]`.
        b: float32 `[..., K, N]`; leading axes broadcast.
        block: length of a block.
        initial: float32 that broadcasts to the result, to which the first block is added.

    Returns:
        float32 `[..., M, N]`.
    """
    shape = np.broadcast_shapes((*a.shape[:-1], 1), (*b.shape[:-2], 1, b.shape[-1]))
    total = None if initial is None else np.broadcast_to(initial, shape)
    for first in range(0, a.shape[-1], block):
        part = np.zeros(shape, np.float32)
        # float64 once for a block, not for every product, and not for all of a large matrix.
        left, right = a[..., first : first + block].astype(np.float64), b[..., first : first + block, :]
        right = right.astype(np.float64)
        for k in range(left.shape[-1]):
            part = fma(left[..., k, None], right[..., k, None, :], part)
        total = part if total is None else total + part
    return total


def row_times_matrix(a: np.ndarray, b: np.ndarray, initial: np.ndarray | None = None) -> np.ndarray:
    """A @ B for M = 1: groups of four products are summed in order, then added to the total so far; then two, then one.

    Source: mlas/lib/x86_64/SgemmKernelM1Avx.S.

    Args and returns as for `product`, with `[..., 1, K]` and `[..., 1, N]`.
    """
    length = a.shape[-1]
    total = np.float32(0) if initial is None else initial
    k = 0
    for size in [4] * (length // 4) + [2] * (length // 2 % 2) + [1] * (length % 2):
        group = a[..., k, None] * b[..., k, None, :]
        for i in range(k + 1, k + size):
            group = group + a[..., i, None] * b[..., i, None, :]
        total = group + total
        k += size
    return total


def dot_products(rows: np.ndarray, x: np.ndarray, initial: np.ndarray | None = None) -> np.ndarray:
    """rows @ x by eight partial sums over k modulo 8, each product rounded, which are then summed in a fixed order: the
    kernel takes rows by fours, then two, then one, and reduces each of them in its own way.

    Source: mlas/lib/x86_64/SgemmKernelM1TransposeBAvx.S.

    Args:
        rows: float32 `[..., R, K]`.
        x: float32 `[..., K]`.
        initial: float32 that broadcasts to the result, added last.

    Returns:
        float32 `[..., R]`.
    """
    count, length = rows.shape[-2:]
    pad = -length % 8
    rows = np.pad(rows, [(0, 0)] * (rows.ndim - 1) + [(0, pad)])
    x = np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, pad)])
    lanes = np.zeros((*np.broadcast_shapes(rows.shape[:-1], (*x.shape[:-1], 1)), 8), np.float32)
    for k in range(0, length, 8):
        lanes = lanes + rows[..., k : k + 8] * x[..., None, k : k + 8]
    low, high = lanes[..., :4], lanes[..., 4:]
    by_four = [((half[..., 0] + half[..., 1]) + half[..., 2]) + half[..., 3] for half in (low, high)]
    folded = [half[..., :2] + half[..., 2:] for half in (low, high)]
    by_two = folded[0] + folded[1]
    by_one = [(half[..., 0] + half[..., 1]) + (half[..., 2] + half[..., 3]) for half in (low, high)]
    fours = count // 4 * 4
    y = np.where(np.arange(count) < fours, by_four[0] + by_four[1], by_two[..., 0] + by_two[..., 1])
    y = np.where(np.arange(count) < count // 2 * 2, y, by_one[0] + by_one[1])
    return y if initial is None else y + initial
