"""Sums of float32 numbers in the order of Eigen, which onnxruntime's reductions and norms are written with.

Eigen adds a contiguous vector by packets of four (SSE, which onnxruntime's wheels for x86-64 are built for), in two
accumulators, then across the packet, then what is left, one by one. Packets start at addresses that are multiples of 16
bytes: where a vector starts elsewhere, its first one to three numbers are added at the end.
Source: Eigen/src/Core/Redux.h, `redux_impl<..., LinearVectorizedTraversal, NoUnrolling>`;
Eigen/src/Core/arch/SSE/PacketMath.h, `predux<Packet4f>`.
"""

from __future__ import annotations

import numpy as np

__all__ = ["sum_in_packets", "sum_in_sequence", "sum_of_rows"]


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
