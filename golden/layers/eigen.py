# SPDX-License-Identifier: Apache-2.0
"""Sums, exponentials and logarithms of float32 numbers as Eigen computes them. onnxruntime uses Eigen in some places.

Eigen adds a contiguous vector in packets of four (SSE, for which onnxruntime's wheels for x86-64 are built) into two
accumulators, then across the packet, then the rest one by one. Packets start at addresses that are multiples of 16
bytes. If a vector starts elsewhere, its first one to three numbers are added at the end.
Source: Eigen/src/Core/Redux.h, `redux_impl<..., LinearVectorizedTraversal, NoUnrolling>`;
Eigen/src/Core/arch/SSE/PacketMath.h, `predux<Packet4f>`.

Functions are polynomials in packets. The last one to three values of a tensor go through the C library's function,
whose results are taken to be the exact ones, rounded.
Source: Eigen/src/Core/arch/Default/GenericPacketMathFunctions.h, `pexp_float` and `plog_impl_float`, without fused
multiply-adds.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

__all__ = ["exp", "log", "log1p", "rounded", "sum_in_packets", "sum_in_sequence", "sum_of_rows"]

_F = np.float32


def sum_in_sequence(x: np.ndarray) -> np.ndarray:
    """`[..., N]` to `[...]`: one after the other, each sum rounded."""
    return np.add.accumulate(x, axis=-1, dtype=np.float32)[..., -1]


def sum_in_packets(x: np.ndarray, start: int = 0) -> np.ndarray:
    """`[..., N]` to `[...]`: the sum of a vector whose first packet begins at index `start`, 0 to 3."""
    length = x.shape[-1]
    packets = max(0, length - start) // 4
    if not packets:
        return sum_in_sequence(x)
    end = start + packets * 4
    lanes = x[..., start:end].reshape(*x.shape[:-1], packets, 4)
    total = lanes[..., 0, :]
    if packets > 1:
        even, odd = lanes[..., 0, :], lanes[..., 1, :]
        for i in range(2, packets // 2 * 2, 2):
            even, odd = even + lanes[..., i, :], odd + lanes[..., i + 1, :]
        total = even + odd
        if packets % 2:
            total = total + lanes[..., -1, :]
    y = (total[..., 0] + total[..., 2]) + (total[..., 1] + total[..., 3])
    for i in (*range(start), *range(end, length)):
        y = y + x[..., i]
    return y


def sum_of_rows(x: np.ndarray) -> np.ndarray:
    """`[runs, R, N]` to `[runs, R]`: every row of a matrix that starts at a multiple of 16 bytes."""
    length = x.shape[-1]
    if length % 4 == 0:
        return sum_in_packets(x)
    y = np.empty(x.shape[:2], np.float32)
    for phase in range(4):
        rows = slice(phase, None, 4)
        y[:, rows] = sum_in_packets(x[:, rows], -phase * length % 4)
    return y


def rounded(function: Callable[[np.ndarray], np.ndarray], x: np.ndarray) -> np.ndarray:
    """The function of float32 values in float64, rounded once."""
    return function(x.astype(np.float64)).astype(np.float32)


def _in_packets(
    packets: Callable[[np.ndarray], np.ndarray], rest: Callable[[np.ndarray], np.ndarray], x: np.ndarray
) -> np.ndarray:
    """`packets` of all values of a run of `[runs, ...]` but the last, less than four, which are rounded from `rest`."""
    flat = x.reshape(len(x), -1)
    whole = flat.shape[1] // 4 * 4
    return np.concatenate([packets(flat[:, :whole]), rounded(rest, flat[:, whole:])], axis=1).reshape(x.shape)


def exp(x: np.ndarray) -> np.ndarray:
    """e**x of `[runs, ...]`: 2**m times a polynomial of degree 6 of the rest."""
    return _in_packets(_exp, np.exp, x)


def _exp(x: np.ndarray) -> np.ndarray:
    low = np.minimum(x, _F(88.723))
    m = np.floor(low * _F(1.44269504088896341) + _F(0.5))
    r = m * _F(2.12194440e-4) + (m * _F(-0.693359375) + low)
    square = r * r
    even = square * _F(1.37449637986719608306884765625e-3) + _F(4.166965186595916748046875e-2)
    even = square * even + _F(0.49999988079071044921875)
    odd = square * _F(8.36894474923610687255859375e-3) + _F(0.16666518151760101318359375)
    y = np.ldexp(square * (r * odd + even) + (r + _F(1)), np.nan_to_num(m).astype(np.int32))
    return np.where(x < _F(-104), _F(0), np.maximum(y, x))


def log(x: np.ndarray) -> np.ndarray:
    """The natural logarithm of `[runs, ...]`: of the fraction between sqrt(1/2) and sqrt(2) by a rational function."""
    return _in_packets(_log, np.log, x)


def _log(x: np.ndarray) -> np.ndarray:
    fraction, exponent = np.frexp(x)
    small = fraction < _F(0.707106781186547524)
    e = exponent.astype(np.float32) - small.astype(np.float32)
    f = (fraction - _F(1)) + np.where(small, fraction, _F(0))
    p = (f * _F(0.18256296349849254) + _F(1.0000000190281063)) * f + _F(1.0000000190281136)
    q = (f * _F(0.049616247954120038) + _F(0.59923249590823520)) * f + _F(1.4999999999999927)
    y = e * _F(0.69314718055994530942) + f * p / (f * q + _F(1))
    y = np.where(x == 0, _F(-np.inf), np.where(np.isposinf(x), x, y))
    return np.where(x < 0, _F(np.nan), y)


def log1p(x: np.ndarray) -> np.ndarray:
    """log(1 + x) of `[runs, ...]` by Kahan's formula: x * (log(u) / (u - 1)) with u = 1 + x rounded."""
    return _in_packets(_log1p, np.log1p, x)


def _log1p(x: np.ndarray) -> np.ndarray:
    u = x + _F(1)
    y = _log(u)
    return np.where((u == 1) | (u == y), x, x * (y / (u - _F(1))))
