# SPDX-License-Identifier: Apache-2.0
"""LSQ: quantisation with a learned step size, one positive real number for a tensor (or one for each channel).

    q      = round(clip(v / step, low, high))         low..high: -2**(b-1)..2**(b-1) - 1 signed, 0..2**b - 1 unsigned
    v_hat  = q * step

Source: Esser et al., "Learned Step Size Quantization", ICLR 2020, equations 1 to 5. The paper writes "rounds to the
nearest integer" and is silent on ties; here they go to the even integer, as `torch.round` in every published
implementation. v / step is one IEEE division in v's own float type (float32 in training), which is correctly
rounded, so that the integers are those of the framework on every machine.

What inference needs ends there; training also scales the step's gradient by 1 / sqrt(values * high)
(`gradient_scale`), starts from 2 * mean(|v|) / sqrt(high) (`initial_step`), and passes

    d v_hat / d step = q - v / step   inside the clip,   low   below it,   high   above it.

A hardware scheme may allow few steps. `power_of_two` and `reciprocal_dyadic` say whether a step is one of
`golden.schemes.fixed_point`'s; `WeightScale.nearest` there gives the weight scale to retrain with.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from assay.golden.errors import ConfigurationError, GoldenError
from assay.golden.formats import IntFormat
from assay.golden.schemes.fixed_point import WeightScale, power_of_two

__all__ = ["StepSize", "gradient_scale", "initial_step"]


@dataclass(frozen=True)
class StepSize:
    """A learned step and the integers it counts.

    Attributes:
        step: the float as training left it, finite and above 0.
        format: of the integers, such as IntFormat(8, signed=True) for weights.

    Raises:
        ConfigurationError: another step.
    """

    step: float
    format: IntFormat

    def __post_init__(self) -> None:
        step = float(self.step)
        if not math.isfinite(step) or step <= 0:
            raise ConfigurationError(f"step is {self.step!r}, but must be finite and above 0")
        object.__setattr__(self, "step", step)

    def quantise(self, v: np.ndarray) -> np.ndarray:
        """Integers of `v` (float32 or float64, any shape): int64, within `format`.

        Raises:
            GoldenError: not floats of 32 or 64 bits, or NaN (infinities are clipped).
        """
        v = np.asarray(v)
        if v.dtype not in (np.float32, np.float64):
            raise GoldenError(f"v has dtype {v.dtype}, but must be float32 or float64")
        if np.isnan(v).any():
            raise GoldenError("v holds NaN, but must hold numbers")
        with np.errstate(over="ignore"):
            steps = v / self._step_in(v.dtype)
        # Clipping first is rounding first: the ends are integers.
        return np.rint(np.clip(steps, self.format.min, self.format.max)).astype(np.int64)

    def dequantise(self, q: np.ndarray, dtype: type = np.float32) -> np.ndarray:
        """q * step, one product in `dtype`.

        Raises:
            GoldenError: not integers, or outside `format`.
        """
        q = np.asarray(q)
        if q.dtype.kind not in "iu":
            raise GoldenError(f"q has dtype {q.dtype}, but must hold integers")
        if not self.format.contains(q):
            raise GoldenError(
                f"q spans {q.min()} to {q.max()}, but {self.format} allows {self.format.min} to {self.format.max}"
            )
        return q.astype(dtype) * self._step_in(np.dtype(dtype))

    @property
    def power_of_two(self) -> int | None:
        """n if the step is exactly 2**n, as an activation of `golden.schemes.fixed_point` needs, else None."""
        return power_of_two(self.step)

    @property
    def reciprocal_dyadic(self) -> WeightScale | None:
        """2**n / a, a in 1..255, if the step is the float32 nearest to it, else None.

        A float is an integer times a power of two, so that for a > 1 odd it can never be 2**n / a itself.
        """
        return WeightScale.of(self.step)

    def _step_in(self, dtype: np.dtype) -> np.floating:
        with np.errstate(over="ignore", under="ignore"):
            step = dtype.type(self.step)
        if not np.isfinite(step) or step == 0:
            raise GoldenError(f"step is {self.step!r}, but must be finite and above 0 in {dtype}")
        return step


def gradient_scale(values: int, format: IntFormat) -> float:
    """1 / sqrt(values * high): what the paper's section 2.2 multiplies the step's gradient by.

    Args:
        values: number of weights in a layer, or of features in a tensor, 1 or more.
        format: of the integers; its greatest must be 1 or more.

    Raises:
        ConfigurationError: `values` or `format` out of range.
    """
    return 1 / math.sqrt(_positive(values, "values") * _positive(format.max, "the format's greatest integer"))


def initial_step(v: np.ndarray, format: IntFormat) -> float:
    """2 * mean(|v|) / sqrt(high): the step to start training from, for weights or a first batch of activations.

    Raises:
        GoldenError: `v` is empty or not finite.
        ConfigurationError: the format's greatest integer is 0.
    """
    v = np.asarray(v, np.float64)
    if v.size == 0 or not np.isfinite(v).all():
        raise GoldenError(f"v holds {v.size} values, but must hold 1 or more, all finite")
    return 2 * float(np.abs(v).mean()) / math.sqrt(_positive(format.max, "the format's greatest integer"))


def _positive(value: int, name: str) -> int:
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or value < 1:
        raise ConfigurationError(f"{name} is {value!r}, but must be a whole number of 1 or more")
    return int(value)
