# SPDX-License-Identifier: Apache-2.0
"""The output stage of the PE array: what its lanes make of accumulators, and the constants that operators give them.

`lanes` is the arithmetic of docs/pe_array.md, section "Output stage"; the rounding itself is `golden.schemes.tflite`'s
and `golden.schemes.fixed_point`'s. The functions `constants_of_*` turn operators of `golden.layers` into the fields of
a tile's header and entries that make the lanes reproduce them; how the sums come about is not their matter.

Fields have the names of `golden.pe_array.registers`: "word.field", or "word" for a word of one value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from assay.golden.errors import ConfigurationError, DoesNotFitError
from assay.golden.formats import wrap
from assay.golden.layers import fixed_point, tflite, tflite_reductions
from assay.golden.layers.linear import Window
from assay.golden.pe_array.parameters import ACC_WIDTH, MAX_DIVISOR
from assay.golden.pe_array.registers import LaneOp, Rescaling
from assay.golden.schemes.fixed_point import rounded_quotient
from assay.golden.schemes.tflite import (
    Affine,
    FloatRescale,
    Rescale,
    activation_range,
    limits,
    multiply_by_quantized_multiplier,
    softmax_shares,
)

__all__ = [
    "Constants",
    "constants_of_add",
    "constants_of_average_pool",
    "constants_of_conv",
    "constants_of_lookup",
    "constants_of_matmul",
    "constants_of_max_pool",
    "constants_of_mean",
    "constants_of_multiply",
    "constants_of_prelu",
    "constants_of_softmax",
    "double_rounding_factor",
    "float64_factor",
    "lanes",
    "rational_factor",
    "softmax",
]

# Zero points and bounds have 17 bits. Whatever 32-bit number of at least 2**17 in magnitude comes before them,
# the same bound comes out: a quotient may saturate to 18 bits already.
_QUOTIENT_BITS = 18


# --- Arithmetic ----------------------------------------------------------------------------------------------------


def lanes(
    a: np.ndarray,
    b: np.ndarray,
    header: Mapping[str, int],
    entries: Mapping[str, np.ndarray],
    counts: np.ndarray | int = 1,
    table: np.ndarray | None = None,
    data_width: int = 8,
    stages: dict[str, np.ndarray] | None = None,
) -> np.ndarray:
    """The output words of accumulators.

    Args:
        a: integers, of which the low 32 bits count, any shape: accumulators of each entry's column.
        b: accumulators of the next column, as they are; broadcast against a.
        header: fields of the tile's header; those left out are 0.
        entries: fields of the entries, broadcast against a; those left out are 0.
        counts: places of each value's window in the map, broadcast against a; read with `mode.count_divide`.
        table: `[2**data_width]`, of which the low `data_width` bits count; read with `mode.table`.
        data_width: bits of a word.
        stages: filled, where given, with what stands between the steps: `biased`, `sum`, `rescaled` as signed numbers
            of ACC_WIDTH bits, `clamped` (before the table) as words; int64 of a's shape.

    Returns:
        int64 of a's shape, not negative: the words' bit patterns.
    """

    def of_tile(name: str) -> int:
        return int(header.get(name, 0))

    def of_entry(name: str) -> np.ndarray:
        return np.asarray(entries.get(name, 0), np.int64)

    operation, rescaling = LaneOp(of_tile("mode.lane_op")), Rescaling(of_tile("mode.rescaling"))
    a = wrap(a, ACC_WIDTH, signed=True)
    if operation in (LaneOp.ADD, LaneOp.MULTIPLY):
        b = wrap(np.asarray(b, np.int64) - of_tile("second_zero"), data_width + 2, signed=True)
    biased = a  # what has no bias
    alternative: np.ndarray | np.bool = np.False_  # values with the header's factor
    if operation is LaneOp.ADD:
        left = of_tile("operand.left_shift")
        first, second = (
            _double_rounding(
                wrap(operand << left, ACC_WIDTH, signed=True),
                of_tile(f"{name}_multiplier"),
                of_tile(f"operand.{name}_shift"),
            )
            for name, operand in (("first", a), ("second", b))
        )
        x = wrap(first - second if of_tile("mode.subtract") else first + second, ACC_WIDTH, signed=True)
    elif operation is LaneOp.MULTIPLY:
        x = wrap(a * b, ACC_WIDTH, signed=True)
    else:
        x = biased = wrap(a + of_entry("bias"), ACC_WIDTH, signed=True)
        if operation is LaneOp.PRELU:
            alternative = x < 0
            x = np.where(alternative, wrap(x * of_entry("source.alpha"), ACC_WIDTH, signed=True), x)
    multiplier, shift = of_entry("multiplier"), of_entry("factor.shift")
    if rescaling is Rescaling.DOUBLE_ROUNDING:
        y = _double_rounding(x, multiplier, shift)
    elif rescaling is Rescaling.FLOAT64:
        y = _float64(x, multiplier | of_entry("factor.multiplier_high") << 32, shift)
    else:
        divisor = np.asarray(counts) if of_tile("mode.count_divide") else multiplier & MAX_DIVISOR
        y = rounded_quotient(x, shift, np.maximum(divisor, 1), _QUOTIENT_BITS)
    if operation is LaneOp.PRELU:
        sloped = _double_rounding(x, of_tile("second_multiplier"), of_tile("operand.second_shift"))
        y = np.where(alternative, sloped, y)
    z = np.minimum(np.maximum(y + of_tile("output_zero"), of_tile("low")), of_tile("high"))
    word = (1 << data_width) - 1
    if stages is not None:
        rescaled = wrap(y, ACC_WIDTH, signed=True)
        stages |= {"biased": biased, "sum": x, "rescaled": rescaled, "clamped": z & word}
    return np.asarray(table, np.int64)[z & word] & word if of_tile("mode.table") else z & word


def softmax(words: np.ndarray, exponentials: np.ndarray) -> np.ndarray:
    """The softmax of vectors of the lanes' words (mode.softmax).

    Args:
        words: integers `[..., n]`, of which the low 8 bits count, as signed numbers.
        exponentials: `[256]`, of which the low 31 bits count: of each difference from a vector's greatest number.

    Returns:
        int64 of words' shape: bit patterns of the shares of 1 in units of 1/256, less 128.
    """
    values = wrap(words, 8, signed=True)
    differences = values.max(axis=-1, keepdims=True) - values
    exponentials = np.asarray(exponentials, np.int64) & ((1 << 31) - 1)
    return (softmax_shares(exponentials[differences], 8) - 128) & 0xFF


def _double_rounding(x: np.ndarray, multiplier: np.ndarray | int, shift: np.ndarray | int) -> np.ndarray:
    """`multiply_by_quantized_multiplier` with 31 bits of multiplier and any shift.

    A shift by more than 32 bits is one by 32: to the left nothing remains of 32 bits, and to the right less than half.
    """
    multiplier = np.asarray(multiplier, np.int64) & ((1 << 31) - 1)
    return multiply_by_quantized_multiplier(x, multiplier, np.clip(shift, -32, 32))


def _float64(x: np.ndarray, multiplier: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """x * multiplier / 2**shift as numpy's float64 has it: the multiplier has 53 bits, so that the factor is exact.

    rtl/common/rescale.sv does it in integers. With P = |x| * multiplier, L the index of its highest one and
    u = 2**(L - 52) the last place of the float64 product, u / 2 is added if L >= 53, then 2**(shift - 1) if
    shift > 0, and the sum is shifted right by `shift`. This is the same, saturated to 32 bits:

    - L < 53: the product is exact, and adding half a step before a floor rounds ties away from zero.
    - L - shift >= 32, with or without a rounding product: both reach 2**32 and saturate.
    - Else L >= 53 and a step 2**shift is at least 2**(L - 31): half a step is a multiple of 2**20 * u. The result is k
      or more if the rounded product reaches T = k * 2**shift - 2**(shift - 1), which is an even multiple of u: if
      P >= T - u / 2, as the tie goes to the even T, and as T within [2**L, 2**(L + 1)] is no nearer to another float.
      (A T outside that interval lies farther from P than u.) So floor((P + u / 2 + 2**(shift - 1)) / 2**shift).
    """
    return FloatRescale(np.ldexp(multiplier.astype(np.float64), -np.maximum(shift, 0))).apply(x)


# --- Factors of entries ----------------------------------------------------------------------------------------------


def double_rounding_factor(rescale: Rescale) -> dict[str, np.ndarray]:
    """An entry's fields for a factor in TFLite's fixed-point form.

    Raises:
        ConfigurationError: a multiplier is negative.
    """
    if (rescale.multiplier < 0).any():
        raise ConfigurationError(
            f"rescaling multiplier is {rescale.multiplier.min()}, but the lanes take 0 to 2**31 - 1"
        )
    return {"multiplier": rescale.multiplier, "factor.shift": rescale.shift}


def float64_factor(rescale: FloatRescale) -> dict[str, np.ndarray]:
    """An entry's fields for a float64 factor: 53 bits and a right shift.

    A factor of 2**53 or more has shift 0: |x| * multiplier is 2**52 or more already, unless x is 0, and saturates. One
    below 2**-74, whose shift does not fit, is 0: |x| times it is below 1/2.

    Raises:
        ConfigurationError: a factor is negative or not finite.
    """
    wrong = ~(np.isfinite(rescale.factor) & (rescale.factor >= 0))
    if wrong.any():
        raise ConfigurationError(
            f"rescaling factor is {rescale.factor[wrong][0]}, but the lanes take finite ones from 0 up"
        )
    fraction, exponent = np.frexp(rescale.factor)
    multiplier, shift = np.ldexp(fraction, 53).astype(np.int64), 53 - exponent.astype(np.int64)
    multiplier = np.where(shift > 127, 0, multiplier)
    return {
        "multiplier": multiplier & 0xFFFF_FFFF,
        "factor.multiplier_high": multiplier >> 32,
        "factor.shift": np.where(multiplier > 0, np.maximum(shift, 0), 0),
    }


def rational_factor(shift: np.ndarray | int, divisor: np.ndarray | int = 1) -> dict[str, np.ndarray]:
    """An entry's fields for the factor 2**shift / divisor, divisor from 1 to 255.

    Of a 32-bit number a shift by 64 bits leaves, either way, what a longer one leaves.
    """
    shift, divisor = np.broadcast_arrays(np.atleast_1d(shift), np.atleast_1d(divisor))
    return {"multiplier": divisor.astype(np.int64), "factor.shift": np.clip(shift, -64, 64).astype(np.int64)}


# --- Constants of operators ------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Constants:
    """The settings of the output stage for an operator, and the zero points of its operands.

    Attributes:
        header: field of the header -> value.
        entries: field of the entries -> int64 `[channels]`, or `[1]` where all have the same.
        table: int64 `[2**bits]`, bit patterns, indexed by bit pattern, or a softmax's exponentials; None without.
    """

    header: dict[str, int]
    entries: dict[str, np.ndarray] = field(default_factory=dict)
    table: np.ndarray | None = None


def _bounds(target: Affine, activation: str = "NONE") -> dict[str, int]:
    low, high = activation_range(activation, target)
    return {"output_zero": int(target.zero_point[0]), "low": low, "high": high}


_INT8_BOUNDS = {"low": -128, "high": 127}


def constants_of_conv(operator: tflite.Conv2D | fixed_point.Conv) -> Constants:
    """Of a convolution; of a fully connected layer too: the `layer` of `FullyConnected` or `Gemm`.

    Raises:
        ConfigurationError: a factor that the lanes do not take.
    """
    convolution = operator.convolution
    header = {"input_zero": int(convolution.zero_point)}
    if isinstance(operator, fixed_point.Conv):
        shift = [scale.exponent + operator.source - operator.target for scale in operator.scales]
        divisors = np.array([scale.divisor for scale in operator.scales])
        factor = rational_factor(np.array(shift), divisors)
        header |= {"mode.rescaling": Rescaling.RATIONAL, **_INT8_BOUNDS}
    elif isinstance(operator.rescale, FloatRescale):
        factor = float64_factor(operator.rescale)
        header |= {"mode.rescaling": Rescaling.FLOAT64, **_bounds(operator.target, operator.activation)}
    else:
        factor = double_rounding_factor(operator.rescale)
        header |= _bounds(operator.target, operator.activation)
    bias = np.asarray(convolution.bias, np.int64)
    entries = {name: np.broadcast_to(values, bias.shape) for name, values in factor.items()}
    return Constants(header, {"bias": bias, **entries})


def constants_of_matmul(operator: tflite.BatchMatMul | fixed_point.MatMul) -> Constants:
    """Of a product of two tensors, the second one as weights."""
    if isinstance(operator, fixed_point.MatMul):
        factor = rational_factor(sum(operator.sources) - operator.target)
        return Constants({"mode.rescaling": Rescaling.RATIONAL, **_INT8_BOUNDS}, factor)
    zeros = [int(source.zero_point[0]) for source in operator.sources]
    header = {"input_zero": zeros[0], "weight_zero": zeros[1], **_bounds(operator.target)}
    return Constants(header, double_rounding_factor(operator.rescale))


def constants_of_add(operator: tflite.Add | fixed_point.Sum) -> Constants:
    """Of a sum or difference.

    TFLite's is the lanes' own. Operands of scales 2**n are brought to the finer of both first: with the multiplier
    2**30 and one more bit of shift a left shift is exact, (x * 2**(s + 1) * 2**30 + 2**30) / 2**31 = x * 2**s + 1/2, of
    which the floor is taken.

    Raises:
        DoesNotFitError: scales so far apart that a shifted operand leaves 32 bits.
    """
    if isinstance(operator, fixed_point.Sum):
        unit = min(operator.sources)
        shifts = [exponent - unit for exponent in operator.sources]
        if max(shifts) > 23:
            raise DoesNotFitError(
                f"the operands' scales are 2**{max(shifts)} apart, but the lanes take at most 2**23"
            )
        header = {
            "mode.lane_op": LaneOp.ADD,
            "mode.rescaling": Rescaling.RATIONAL,
            "first_multiplier": 1 << 30,
            "second_multiplier": 1 << 30,
            "operand.first_shift": shifts[0] + 1,
            "operand.second_shift": shifts[1] + 1,
            **_INT8_BOUNDS,
        }
        return Constants(header, rational_factor(unit - operator.target))
    (first, second, whole), zeros = operator.rescales, _operand_zeros(operator.sources)
    header = {
        "mode.lane_op": LaneOp.ADD,
        "mode.subtract": int(operator.subtract),
        **zeros,
        **_header_factor("first", first),
        **_header_factor("second", second),
        "operand.left_shift": operator.SHIFT,
        **_bounds(operator.target, operator.activation),
    }
    return Constants(header, double_rounding_factor(whole))


def constants_of_multiply(operator: tflite.Multiply) -> Constants:
    """Of a product, element by element."""
    header = {
        "mode.lane_op": LaneOp.MULTIPLY,
        **_operand_zeros(operator.sources),
        **_bounds(operator.target, operator.activation),
    }
    return Constants(header, double_rounding_factor(operator.rescale))


def _operand_zeros(sources: tuple[Affine, Affine]) -> dict[str, int]:
    first, second = (int(source.zero_point[0]) for source in sources)
    return {"input_zero": first, "second_zero": second - first}


def _header_factor(name: str, rescale: Rescale) -> dict[str, int]:
    factor = double_rounding_factor(rescale)
    return {
        f"{name}_multiplier": int(factor["multiplier"][0]),
        f"operand.{name}_shift": int(factor["factor.shift"][0]),
    }


def constants_of_prelu(operator: tflite.Prelu, alpha: np.ndarray) -> Constants:
    """Of PRELU with alphas as stored, `[channels]`."""
    same, sloped = operator.rescales
    header = {
        "mode.lane_op": LaneOp.PRELU,
        "input_zero": int(operator.source.zero_point[0]),
        **_header_factor("second", sloped),
        **_bounds(operator.target),
    }
    slopes = np.asarray(alpha, np.int64) - operator.alpha.zero_point[0]
    return Constants(header, {"source.alpha": slopes, **double_rounding_factor(same)})


def constants_of_max_pool(operator: tflite_reductions.MaxPool2D | fixed_point.MaxPool) -> Constants:
    """Of a maximum, whose values stay what they are."""
    if isinstance(operator, fixed_point.MaxPool):
        bounds = _INT8_BOUNDS
    else:
        bounds = _bounds(operator.target, operator.activation) | {"output_zero": 0}
    return Constants({"mode.rescaling": Rescaling.RATIONAL, **bounds}, rational_factor(0))


def constants_of_average_pool(
    operator: tflite_reductions.AveragePool2D | fixed_point.AveragePool,
) -> Constants:
    """Of an average over windows of up to 255 places.

    Raises:
        DoesNotFitError: a larger window, where its places are a divisor.
    """
    places = _places(operator.window)
    if isinstance(operator, fixed_point.AveragePool):
        include, shift, bounds = operator.include_padding, operator.source - operator.target, _INT8_BOUNDS
    else:
        # TFLite averages the integers themselves.
        include, shift = False, 0
        bounds = _bounds(operator.target, operator.activation) | {"output_zero": 0}
    header = {"mode.rescaling": Rescaling.RATIONAL, "mode.count_divide": int(not include), **bounds}
    return Constants(header, rational_factor(shift, places if include else 1))


def _places(window: Window) -> int:
    places = window.kernel[0] * window.kernel[1]
    if places > MAX_DIVISOR:
        raise DoesNotFitError(f"the window has {places} places, but an average has at most {MAX_DIVISOR}")
    return places


def constants_of_mean(operator: tflite_reductions.Reduce | fixed_point.ReduceSum) -> Constants:
    """Of MEAN and SUM, whose sums the array makes with weights of 1."""
    if isinstance(operator, fixed_point.ReduceSum):
        factor = rational_factor(operator.source - operator.target)
        return Constants({"mode.rescaling": Rescaling.RATIONAL, **_INT8_BOUNDS}, factor)
    multiplier, shift = operator.factor
    factor = double_rounding_factor(Rescale(np.array([multiplier]), np.array([shift])))
    header = {"input_zero": int(operator.source.zero_point[0]), **_bounds(operator.target)}
    return Constants(header, factor)


def constants_of_lookup(operator: Callable[[np.ndarray], np.ndarray], source: np.dtype) -> Constants:
    """Of any function of one 8-bit value: the values pass the lanes as they are and then the table.

    Args:
        operator: of 8-bit values, such as `Lookup`, `LeakyRelu` or `Stepwise`; asked once for each.
        source: dtype of the input, int8 or uint8.
    """
    patterns = np.arange(256, dtype=np.uint8).view(source)
    table = operator(patterns[:, None])[:, 0].astype(np.int64) & 0xFF
    low, high = limits(patterns.dtype)
    header = {"mode.rescaling": Rescaling.RATIONAL, "mode.table": 1, "low": low, "high": high}
    return Constants(header, rational_factor(0), table)


def constants_of_softmax(operator: tflite_reductions.Softmax) -> Constants:
    """Of SOFTMAX, whose values pass the lanes as they are."""
    header = {"mode.rescaling": Rescaling.RATIONAL, "mode.softmax": 1, **_INT8_BOUNDS}
    return Constants(header, rational_factor(0), operator.exponentials)
