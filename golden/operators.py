# SPDX-License-Identifier: Apache-2.0
"""Exact integer operators: what every network and every block model is made of, also those of foreign hardware.

    from assay.golden import operators as op

    acc = op.conv2d(x, weight, stride=(2, 2), padding=op.same_padding((28, 28), (3, 3), (2, 2)), bias=bias)
    y = op.requantize(acc, multiplier, shift, zero_point=-3, bits=8, signed=True, rounding="half_even")
    y = op.max_pool(np.maximum(y, -3), (2, 2), (2, 2))

    sums         `conv2d` (with groups, hence depthwise, too), `matmul`
    pooling      `max_pool`, `average_pool`
    rounding     `shift_right`, `divide`, `rescale`, with the modes of `golden.rounding`
    width        `saturate`, `wrap`
    requantisers `quantise` (shift), `requantize` (multiplier and shift), `requantize_tflite` (two roundings),
                 `requantize_float32` (ONNX Runtime)
    functions    `lookup`, `softmax`

Tensors are NHWC: image, row, column, channel; of a framework that has NCHW, `x.transpose(0, 2, 3, 1)`. Each function is
a definition vectorised, nothing more; the tests hold it against loops over Python integers and against the reference of
ONNX. Results never depend on the machine, the BLAS or the batch size: where a float64 matrix product is used for speed,
a bound shows that no rounding can happen in it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from assay.golden import formats
from assay.golden.errors import ConfigurationError, GoldenError
from assay.golden.formats import IntFormat, integers, magnitude, saturate, wrap
from assay.golden.layers import tflite_reductions
from assay.golden.layers.linear import Convolution, Window, sums_of_products
from assay.golden.rounding import ROUNDINGS, divide, rescale, shift_right
from assay.golden.schemes import onnx
from assay.golden.schemes.affine import Affine
from assay.golden.schemes.tflite import Rescale

__all__ = [
    "MAX_SHIFT",
    "ROUNDINGS",
    "average_pool",
    "conv2d",
    "conv2d_output_size",
    "divide",
    "lookup",
    "matmul",
    "max_pool",
    "quantise",
    "requantize",
    "requantize_float32",
    "requantize_tflite",
    "rescale",
    "same_padding",
    "saturate",
    "scale_bias",
    "shift_right",
    "softmax",
    "wrap",
]

# The largest right shift that still leaves an int64 a bit beside its sign.
MAX_SHIFT = 62

Pair = tuple[int, int]
Pads = tuple[int, int, int, int]


def conv2d(
    x: np.ndarray,
    weight: np.ndarray,
    stride: Pair = (1, 1),
    padding: Pads = (0, 0, 0, 0),
    groups: int = 1,
    dilation: Pair = (1, 1),
    bias: np.ndarray | None = None,
    zero_point: int = 0,
) -> np.ndarray:
    """Two-dimensional convolution (cross-correlation, as ONNX `Conv` defines it), exact.

    y[n, i, j, k] = bias[k] + sum over fy, fx, c of weight[k, fy, fx, c] * (x[n, row, column, first + c] - zero_point),
    with row = i*stride[0] + fy*dilation[0] - top, column = j*stride[1] + fx*dilation[1] - left, `first` the first
    channel of k's group, and x = zero_point outside its map. A depthwise convolution has groups = C and weights
    `[C * multiplier, fH, fW, 1]`; a dense layer is `matmul`.

    Args:
        x: integers `[N, H, W, C]`, any integer dtype.
        weight: integers `[K, fH, fW, C / groups]`, any integer dtype.
        stride: rows and columns between outputs, each 1 or more.
        padding: rows and columns added at (top, left, bottom, right), each 0 or more; see `same_padding`.
        groups: a common divisor of C and K; the g-th of so many parts of the outputs reads the g-th of the channels.
        dilation: rows and columns between taps of the kernel, each 1 or more.
        bias: integers `[K]` below 2**53; None adds nothing.
        zero_point: what stands for 0 in `x`.

    Returns:
        int64 `[N, oH, oW, K]`, oH = (H + top + bottom - (fH - 1)*dilation[0] - 1) // stride[0] + 1 and oW likewise.

    Raises:
        ConfigurationError: a stride, dilation or padding out of range, or a kernel larger than the padded map.
        GoldenError: not integers, wrong shapes, channels that differ, or a sum that may reach 2**53.
    """
    x, weight = integers(x, "x", 4), integers(weight, "weight", 4)
    channels, (outputs, *kernel, weight_channels) = x.shape[3], weight.shape
    if channels != weight_channels * groups:
        raise GoldenError(
            f"x has {channels} channels, but weight {list(weight.shape)} takes {weight_channels * groups}"
        )
    if groups < 1 or outputs % groups:
        raise GoldenError(
            f"weight {list(weight.shape)} has {outputs} outputs, but must have a multiple of {groups}"
        )
    offset = np.zeros(outputs, np.int64) if bias is None else integers(bias, "bias", 1)
    if offset.shape != (outputs,):
        raise GoldenError(f"bias has shape {list(offset.shape)}, but must be [{outputs}]")
    conv2d_output_size(x.shape[1:3], tuple(kernel), stride, padding, dilation)
    window = Window(tuple(kernel), stride, dilation, padding)
    reach = max(magnitude(x), abs(zero_point))
    return Convolution(weight, offset, window, zero_point, groups, reach).sums(x)


def conv2d_output_size(
    size: Pair, kernel: Pair, stride: Pair = (1, 1), padding: Pads = (0, 0, 0, 0), dilation: Pair = (1, 1)
) -> Pair:
    """Rows and columns of a convolution's or a pooling's output.

    Args:
        size: (H, W) of the input map.
        kernel: (fH, fW).
        stride: (rows, columns), each 1 or more.
        padding: (top, left, bottom, right), each 0 or more.
        dilation: (rows, columns) between taps of the kernel, each 1 or more.

    Raises:
        ConfigurationError: a value out of range, or a kernel larger than the padded map.
    """
    _whole_numbers(kernel, "kernel", 2, 1)
    _whole_numbers(stride, "stride", 2, 1)
    _whole_numbers(padding, "padding", 4, 0)
    _whole_numbers(dilation, "dilation", 2, 1)
    return Window(kernel, stride, dilation, padding).output_size(size)


def same_padding(size: Pair, kernel: Pair, stride: Pair = (1, 1), dilation: Pair = (1, 1)) -> Pads:
    """The padding (top, left, bottom, right) with which a map gives ceil(H / stride) rows, and columns likewise.

    This is SAME of TFLite and SAME_UPPER of ONNX: an odd row or column comes after the map.

    Raises:
        ConfigurationError: a kernel, stride or dilation below 1.
    """
    _whole_numbers(kernel, "kernel", 2, 1)
    _whole_numbers(stride, "stride", 2, 1)
    _whole_numbers(dilation, "dilation", 2, 1)
    (top, bottom), (left, right) = map(Window.same_padding, size, kernel, stride, dilation)
    return top, left, bottom, right


def matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The exact product of integer matrices, broadcast as `numpy.matmul` does; a dense layer is `matmul(x, weight.T)`.

    Args:
        a: integers `[..., I, K]`.
        b: integers `[..., K, J]`.

    Returns:
        int64 `[..., I, J]`.

    Raises:
        GoldenError: not integers, shapes that do not fit, or a sum that may reach 2**53.
    """
    a, b = integers(a, "a"), integers(b, "b")
    if a.ndim < 2 or b.ndim < 2 or a.shape[-1] != b.shape[-2]:
        raise GoldenError(
            f"a has shape {list(a.shape)} and b {list(b.shape)}, but they must be [..., I, K] and [..., K, J]"
        )
    return sums_of_products(a, b, magnitude(a) * magnitude(b))


def max_pool(x: np.ndarray, window: Pair, stride: Pair, padding: Pads = (0, 0, 0, 0)) -> np.ndarray:
    """Largest value of each window within the map; rows and columns that fill no window are dropped.

    Args:
        x: `[N, H, W, C]`, integers.
        window: (rows, columns), from 1x1 to the padded map's size.
        stride: (rows, columns) between windows, each 1 or more.
        padding: (top, left, bottom, right), each 0 or more and smaller than the window; it never wins.

    Returns:
        `[N, oH, oW, C]` as `conv2d_output_size` gives it, dtype of `x`.

    Raises:
        ConfigurationError: a window, stride or padding out of range.
        GoldenError: `x` is not a 4-dimensional integer array.
    """
    x = integers(x, "x", 4)
    return _pool(x, window, stride, padding).largest(x, int(np.iinfo(x.dtype).min))


def average_pool(
    x: np.ndarray,
    window: Pair,
    stride: Pair,
    padding: Pads = (0, 0, 0, 0),
    rounding: str = "half_up",
    count_padding: bool = False,
    random: np.ndarray | None = None,
) -> np.ndarray:
    """Mean of each window's values, rounded once; a window of (H, W) gives the global mean.

    Args:
        x: `[N, H, W, C]`, integers of magnitude below 2**31.
        window, stride, padding: as for `max_pool`.
        rounding: a name of `ROUNDINGS`; TFLite has "half_away".
        count_padding: whether the sum is divided by the window's size, or by its places within the map (the default).
        random: see `golden.rounding.divide`.

    Returns:
        int64 `[N, oH, oW, C]`.

    Raises:
        ConfigurationError: a window, stride, padding or rounding out of range.
        GoldenError: `x` is not a 4-dimensional array of such integers.
    """
    x = integers(x, "x", 4)
    if magnitude(x) >= 1 << 31:
        raise GoldenError(f"x reaches {magnitude(x)}, but must stay below 2**31")
    pool = _pool(x, window, stride, padding)
    count = window[0] * window[1] if count_padding else pool.counts(x.shape[1:3])
    return divide(pool.totals(x), count, rounding, random)


def scale_bias(acc: np.ndarray, multiplier: np.ndarray | int, bias: np.ndarray | int) -> np.ndarray:
    """Per-channel scaling of accumulators: acc * multiplier + bias.

    Args:
        acc: integers `[..., K]`.
        multiplier: integers `[K]`, or one for all channels.
        bias: integers `[K]`, or one for all channels, in units of acc * multiplier.

    Returns:
        int64 of `acc`'s shape.

    Raises:
        GoldenError: not integers, channel counts that differ, or a result that may not fit 64 bits.
    """
    acc, multiplier, bias = (
        integers(acc, "acc"),
        integers(multiplier, "multiplier"),
        integers(bias, "bias"),
    )
    for name, values in (("multiplier", multiplier), ("bias", bias)):
        if values.ndim > 1 or (values.ndim == 1 and values.shape != acc.shape[-1:]):
            raise GoldenError(
                f"{name} has shape {list(values.shape)}, but must be one value or {list(acc.shape[-1:])}"
            )
    largest = magnitude(acc) * magnitude(multiplier) + magnitude(bias)
    if largest >= 1 << 63:
        raise GoldenError(f"acc * multiplier + bias can reach {largest}, but must stay below 2**63")
    return acc.astype(np.int64) * multiplier.astype(np.int64) + bias.astype(np.int64)


def quantise(
    x: np.ndarray,
    shift: int,
    bits: int,
    signed: bool,
    rounding: str = "half_up",
    saturate: bool = True,
    random: np.ndarray | None = None,
) -> np.ndarray:
    """Right shift with rounding, then saturation or wrapping to a format: the last step of a fused layer.

    Args:
        x: integers of any shape.
        shift: 0 to 62.
        bits: 1 to 16, width of the result.
        signed: whether the result is two's complement signed.
        rounding: a name of `ROUNDINGS`; "truncate" and "half_up" are what Assay's MVU has.
        saturate: True clamps to the range of (bits, signed); False keeps the low `bits` bits, as a hardware
            part-select does, and reads them as signed or unsigned.
        random: see `golden.rounding.shift_right`.

    Returns:
        int64 of `x`'s shape, every value within `IntFormat(bits, signed)`.

    Raises:
        ConfigurationError: a parameter out of range.
        GoldenError: `x` does not hold integers.
    """
    target = IntFormat(bits, signed)
    if not _is_whole(shift) or not 0 <= shift <= MAX_SHIFT:
        raise ConfigurationError(f"shift is {shift!r}, but must be a whole number from 0 to {MAX_SHIFT}")
    y = shift_right(integers(x, "x"), shift, rounding, random)
    return (formats.saturate if saturate else formats.wrap)(y, target.bits, target.signed)


def requantize(
    acc: np.ndarray,
    multiplier: np.ndarray | int,
    shift: np.ndarray | int,
    zero_point: int = 0,
    bits: int = 8,
    signed: bool = True,
    rounding: str = "half_up",
    saturate: bool = True,
    random: np.ndarray | None = None,
) -> np.ndarray:
    """acc * multiplier / 2**shift, rounded once, plus zero_point, within a format: an integer scaler.

    Args:
        acc: integers `[..., K]`.
        multiplier: integers, one for a tensor or `[K]` for its channels.
        shift: 0 to 62, one or `[K]`.
        zero_point: added after rounding.
        bits: of the result, 1 to 63.
        signed: whether the result is two's complement.
        rounding: a name of `ROUNDINGS`.
        saturate: True clamps, False keeps the low `bits` bits.
        random: see `golden.rounding.rescale`, where the denominator is 2**shift.

    Returns:
        int64 of `acc`'s shape.

    Raises:
        ConfigurationError: a parameter out of range.
        GoldenError: not integers, or a scaled value that does not fit 63 bits.
    """
    shift = integers(shift, "shift")
    if shift.size and not (int(shift.min()) >= 0 and int(shift.max()) <= MAX_SHIFT):
        raise ConfigurationError(
            f"shift has {int(shift.min())} to {int(shift.max())}, but must be 0 to {MAX_SHIFT}"
        )
    denominator = np.int64(1) << shift.astype(np.int64)
    scaled = rescale(integers(acc, "acc"), integers(multiplier, "multiplier"), denominator, rounding, random)
    if magnitude(scaled) + abs(zero_point) >= 1 << 63:
        raise GoldenError(
            f"the scaled value and zero point reach {magnitude(scaled)} and {zero_point}, but must fit 63 bits"
        )
    return (formats.saturate if saturate else formats.wrap)(scaled + zero_point, bits, signed)


def requantize_tflite(
    acc: np.ndarray,
    scale: np.ndarray | float,
    zero_point: int = 0,
    bits: int = 8,
    signed: bool = True,
) -> np.ndarray:
    """TFLite's requantiser: a 31-bit multiplier and a power of two, each with a rounding of its own, then saturation.

    Source: LiteRT's reference kernels, see `golden.schemes.tflite`, whose `quantize_multiplier` gives the integers
    that the hardware holds.

    Args:
        acc: integers `[..., K]` within 32 bits.
        scale: input scale * weight scale / output scale as float64, one or `[K]`; below 2**30.
        zero_point: of the result.
        bits: of the result, 1 to 32.
        signed: whether the result is two's complement.

    Returns:
        int64 of `acc`'s shape.

    Raises:
        ConfigurationError: a scale or width out of range.
        GoldenError: not integers, or beyond 32 bits.
    """
    acc = integers(acc, "acc")
    if not -(1 << 31) <= acc.min(initial=0) <= acc.max(initial=0) < 1 << 31:
        raise GoldenError(f"acc reaches {magnitude(acc)}, but must fit 32 bits")
    return saturate(Rescale.of(scale).apply(acc.astype(np.int64)) + zero_point, bits, signed)


def requantize_float32(
    acc: np.ndarray,
    scale: np.ndarray | float,
    zero_point: int = 0,
    dtype: npt.DTypeLike = np.int8,
) -> np.ndarray:
    """ONNX Runtime's requantiser: float32(acc) * float32(scale), rounded half to even, plus zero_point, saturated.

    Source: see `golden.schemes.onnx.requantize`.

    Args:
        acc: integers `[..., K]` within 32 bits.
        scale: input scale * weight scale / output scale, one or `[K]`; rounded to float32.
        zero_point: of the result, within `dtype`.
        dtype: int8 or uint8.

    Returns:
        `dtype` of `acc`'s shape.

    Raises:
        GoldenError: not integers.
    """
    target = Affine(np.ones(1, np.float32), np.array([zero_point], np.int64), None, np.dtype(dtype))
    return onnx.requantize(integers(acc, "acc"), np.asarray(scale, np.float32), target)


def lookup(x: np.ndarray, table: np.ndarray, first: int = 0) -> np.ndarray:
    """table[x - first]: a function of small integers as a table of its results.

    For a table that is indexed by the bit pattern of signed values, as hardware has it, give `wrap(x, bits, False)`.

    Args:
        x: integers of any shape.
        table: `[n]`, any dtype.
        first: the value of `x` that reads `table[0]`.

    Returns:
        `table`'s dtype, `x`'s shape.

    Raises:
        GoldenError: not integers, a table that is no vector, or a value outside the table.
    """
    x, table = integers(x, "x"), np.asarray(table)
    if table.ndim != 1:
        raise GoldenError(f"table has shape {list(table.shape)}, but must have 1 dimension")
    if x.size and not (first <= int(x.min()) and int(x.max()) < first + len(table)):
        raise GoldenError(
            f"x holds {int(x.min())} to {int(x.max())}, but the table has {first} to {first + len(table) - 1}"
        )
    return table[x.astype(np.int64) - first]


def softmax(x: np.ndarray, scale: float, beta: float = 1.0) -> np.ndarray:
    """TFLite's int8 softmax over the last axis, in integers: exponentials in fixed point, and a reciprocal.

    Source: see `golden.layers.tflite_reductions.Softmax`; a block that has its own table of exponentials takes
    `golden.schemes.tflite.softmax_shares`.

    Args:
        x: int8 `[..., N]`; a zero point does not matter.
        scale: of `x`.
        beta: factor of the exponents.

    Returns:
        int8 `[..., N]`, of scale 1 / 256 and zero point -128.

    Raises:
        GoldenError: `x` is not int8.
    """
    x = np.asarray(x)
    if x.dtype != np.int8:
        raise GoldenError(f"x has dtype {x.dtype}, but must be int8")
    zero, int8 = np.zeros(1, np.int64), np.dtype(np.int8)
    source = Affine(np.array([scale], np.float32), zero, None, int8)
    return tflite_reductions.Softmax(
        source, Affine(np.array([1 / 256], np.float32), zero - 128, None, int8), beta
    )(x)


def _pool(x: np.ndarray, window: Pair, stride: Pair, padding: Pads) -> Window:
    """The window of a pooling, checked."""
    conv2d_output_size(x.shape[1:3], window, stride, padding)
    if max(padding[0], padding[2]) >= window[0] or max(padding[1], padding[3]) >= window[1]:
        raise ConfigurationError(
            f"padding is {padding}, but must be smaller than the window of {window[0]}x{window[1]} on every side"
        )
    return Window(window, stride, padding=padding)


def _is_whole(value: object) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _whole_numbers(values: tuple[int, ...], name: str, count: int, smallest: int) -> None:
    if len(values) != count or not all(_is_whole(v) and v >= smallest for v in values):
        raise ConfigurationError(
            f"{name} is {tuple(values)!r}, but must be {count} whole numbers of {smallest} or more"
        )
