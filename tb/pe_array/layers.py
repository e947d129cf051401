# SPDX-License-Identifier: Apache-2.0
"""Random layers of every kind that the mapper has: operators of the golden models on random tensors, as tiles."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from assay.golden import DoesNotFitError
from assay.golden.layers import fixed_point, tflite, tflite_reductions, tflite_tables
from assay.golden.layers.linear import Convolution, Window
from assay.golden.pe_array.clocks import array_bound
from assay.golden.pe_array.mapping import LayerTiles, map_convolution, map_operator
from assay.golden.pe_array.parameters import MAX_KERNEL, MAX_STRIDE, SOFTMAX_DEPTH, PeArrayParameters
from assay.golden.schemes.fixed_point import WeightScale
from assay.golden.schemes.tflite import ACTIVATIONS, Affine, FloatRescale, Rescale
from assay.tb.draws import first_drawn
from assay.tb.pe_array.coverage import PeArrayCoverage
from assay.tb.pe_array.networks import layer_items
from assay.tb.pe_array.stimulus import Stimulus
from assay.tb.pe_array.tiles import TileItem

#: A layer: its operator and its inputs [runs, *shape].
_Made = tuple[Any, list[np.ndarray]]
#: A layer's name, its output by the operator, and its tiles.
_Mapped = tuple[str, np.ndarray, LayerTiles]


class RandomLayers:
    """Draws layers for one build.

    Args:
        stimulus: of the test, whose random numbers are used.
    """

    def __init__(self, stimulus: Stimulus) -> None:
        self.params: PeArrayParameters = stimulus.params
        self.rng, self.random, self.deal = stimulus.rng, stimulus.random, stimulus.deal
        # int8 layers run on wider arrays too; a narrower one has convolutions of its own words.
        self.kinds: tuple[Callable[[], _Made], ...] = (
            self.convolution,
            self.depthwise,
            self.pool,
            self.convolution,
            self.depthwise,
            self.fully_connected,
            self.pair,
            self.pool,
            self.matrix_product,
            self.prelu,
            self.table,
            self.softmax,
            self.reduction,
            self.fixed_point,
        )

    def items(
        self, count: int, most: int, coverage: PeArrayCoverage, fail: Callable[..., None]
    ) -> Iterator[TileItem]:
        """The tiles of `count` random layers of at most about `most` clocks each.

        Args:
            coverage: counts the layers.
            fail: called where the golden array and the golden layer disagree.
        """
        made = 0
        while made < count:
            if made % 4 == 3 or self.params.data_width < 8:
                operator = None
                drawn: _Mapped | None = self.plain(made)
            else:
                operator, inputs = self.deal(*self.kinds)()
                drawn = self._mapped(f"random {made}", operator, inputs)
            if drawn is not None and self._clocks(drawn[2]) <= most:
                if operator is not None:
                    coverage.sample_layer(operator)
                made += 1
                yield from self._played(*drawn, fail)

    def new_items(
        self, draws: int, most: int, coverage: PeArrayCoverage, fail: Callable[..., None]
    ) -> Iterator[TileItem]:
        """The tiles of random layers that hit a bin which none has hit, until none is left.

        Args:
            draws: at most; nearly all of them are not played.
            most, coverage, fail: as for `items`.
        """
        groups = (coverage.layers, coverage.convolutions, coverage.pools)
        for number in range(draws):
            operator, inputs = self.deal(*self.kinds)()
            if not coverage.is_new(operator):
                continue
            drawn = self._mapped(f"new {number}", operator, inputs)
            if drawn is not None and self._clocks(drawn[2]) <= most:
                coverage.sample_layer(operator)
                yield from self._played(*drawn, fail)
                if not any(group.missed() for group in groups):
                    return

    def _mapped(self, name: str, operator: Any, inputs: list[np.ndarray]) -> _Mapped | None:
        """A layer that was drawn; None if it is outside the build's limits."""
        name = f"{name} ({type(getattr(operator, 'operator', operator)).__name__})"
        expected = operator(*inputs)
        try:
            return (
                name,
                expected,
                map_operator(name, operator, inputs, expected.shape[1:], expected.dtype, self.params),
            )
        except DoesNotFitError:
            return None

    def _clocks(self, layer: LayerTiles) -> int:
        return array_bound([place.tile for place in layer.places], self.params)

    @staticmethod
    def _played(
        name: str, expected: np.ndarray, layer: LayerTiles, fail: Callable[..., None]
    ) -> Iterator[TileItem]:
        def compare(output: np.ndarray) -> None:
            if not np.array_equal(output, expected):
                fail(f"golden array and golden layer disagree on layer {name}", kind="golden")

        yield from layer_items(name, layer, compare)

    # -----------------------------------------------------------------------------------------
    # TFLite's operators
    # -----------------------------------------------------------------------------------------
    def integer(self, low: int, high: int) -> int:
        return self.random.randint(low, high)

    def int8(self, *shape: int) -> np.ndarray:
        if self.random.random() < 0.1:
            return self.rng.choice(np.array([-128, 127], np.int8), shape)
        return self.rng.integers(-128, 128, shape).astype(np.int8)

    def affine(self, low: float = 1e-3, high: float = 0.5) -> Affine:
        scale = np.exp(self.random.uniform(np.log(low), np.log(high)))
        zero_point = self.random.choice((-128, 127, 0, self.integer(-128, 127)))
        return Affine(np.array([scale]), np.array([zero_point]), None, np.dtype(np.int8))

    def activation(self) -> str:
        return self.deal(*ACTIVATIONS)

    def window(self, largest: int = MAX_KERNEL) -> tuple[Window, tuple[int, int]]:
        """A window and a map that it fits: any kernel, stride and padding."""
        columns = min(largest, self.params.columns)
        kernel = self.deal("1x1", "square", "square", "any", "any")
        if kernel == "1x1":
            kernel = (1, 1)
        elif kernel == "square":
            kernel = (side := self.deal(*range(2, columns + 1)), side)
        else:
            kernel = (self.deal(*range(1, largest + 1)), self.deal(*range(1, columns + 1)))
        stride = self.deal(*((y, x) for y in range(1, MAX_STRIDE + 1) for x in range(1, MAX_STRIDE + 1)))
        if self.random.random() < 0.5:
            stride = (stride[0], stride[0])
        padding = self.deal("none", "same", "uneven")
        before, after = [0, 0], [0, 0]
        for axis, k in enumerate(kernel):
            if padding == "same":
                before[axis], after[axis] = (k - 1) // 2, k // 2
            elif padding == "uneven":
                before[axis], after[axis] = self.integer(0, k - 1), self.integer(0, k - 1)
        rows, columns = (
            max(1, k - b - a) + self.integer(0, self.deal(3, 6, 16))
            for k, b, a in zip(kernel, before, after, strict=True)
        )
        return Window(kernel, stride, padding=(before[0], before[1], after[0], after[1])), (rows, columns)

    def conv(self, groups: int, each: int, multiplier: int) -> _Made:
        """A convolution of `groups` x `each` input channels, `multiplier` outputs for each group."""
        window, size = self.window()
        weight = self.rng.integers(-127, 128, (groups * multiplier, *window.kernel, each))
        bias = self.rng.integers(-(1 << 14), 1 << 14, len(weight))
        source, target = self.affine(), self.affine(1e-2, 1)
        scale = np.exp(self.rng.uniform(-9, -4, len(weight) if self.integer(0, 2) else 1))
        weights = Affine(
            scale, np.zeros(len(scale), np.int64), 0 if len(scale) > 1 else None, np.dtype(np.int8)
        )
        operator = tflite.Conv2D(
            Convolution(weight, bias, window, int(source.zero_point[0]), groups),
            Rescale.of(tflite.convolution_factors(source, weights, target)),
            target,
            self.activation(),
        )
        return operator, [self.int8(1, self.deal(1, 1, 2), *size, groups * each)]

    def residual_block(self, side: int, channels: int) -> _Made:
        """A 3x3 convolution as in a small ResNet."""
        window = Window((3, 3), padding=(1, 1, 1, 1))
        weight = self.rng.integers(-127, 128, (channels, 3, 3, channels))
        source, target = self.affine(), self.affine(1e-2, 1)
        factor = Rescale.of(np.exp(self.rng.uniform(-9, -7, channels)))
        convolution = Convolution(weight, np.zeros(channels, np.int64), window, int(source.zero_point[0]))
        return tflite.Conv2D(convolution, factor, target, "RELU"), [self.int8(1, 1, side, side, channels)]

    def convolution(self) -> _Made:
        return self.conv(1, self.integer(1, 9), self.deal(1, 2, self.integer(3, 12), self.integer(1, 30)))

    def depthwise(self) -> _Made:
        if self.random.random() < 0.3:
            return self.conv(self.integer(2, 4), self.integer(2, 4), self.integer(1, 4))
        return self.conv(self.integer(2, 12), 1, self.deal(1, 1, 1, 2, 3))

    def fully_connected(self) -> _Made:
        inputs, units, batch = self.integer(1, 60), self.integer(1, 20), self.integer(1, 9)
        source, target = self.affine(), self.affine(1e-2, 1)
        convolution = Convolution(
            self.rng.integers(-128, 128, (units, 1, 1, inputs)),
            self.rng.integers(-5000, 5000, units),
            Window((1, 1)),
            int(source.zero_point[0]),
        )
        factor = np.exp(self.rng.uniform(-9, -4, self.deal(1, units)))
        layer = tflite.Conv2D(convolution, FloatRescale(factor), target, self.activation())
        return tflite.FullyConnected(layer, (batch, units)), [self.int8(1, batch, inputs)]

    def matrix_product(self) -> _Made:
        rows, inner, columns = (self.integer(1, 12) for _ in range(3))
        adjoint = self.deal((False, False), (False, True), (True, False), (True, True))
        a, b = self.int8(1, 2, rows, inner), self.int8(1, self.deal(1, 2), inner, columns)
        a, b = (x.swapaxes(-1, -2) if turned else x for x, turned in zip((a, b), adjoint, strict=True))
        return tflite.BatchMatMul((self.affine(), self.affine()), self.affine(0.1, 2), adjoint), [a, b]

    def pair(self) -> _Made:
        shape = (self.integer(1, 5), self.integer(1, 4), self.integer(1, 20))
        other = self.deal("same", "same", "channels", "one")
        other = {"same": shape, "channels": shape[2:], "one": ()}[other]
        kind = self.deal(tflite.Add, tflite.Multiply, "subtract")
        arguments = (self.affine(), self.affine()), self.affine(1e-2, 1), self.activation()
        operator = tflite.Add(*arguments, subtract=True) if kind == "subtract" else kind(*arguments)
        return operator, [self.int8(1, *shape), self.int8(1, *other)]

    def prelu(self) -> _Made:
        shape = (self.integer(1, 5), self.integer(1, 4), self.integer(1, 20))
        return tflite.Prelu(self.affine(), self.affine(), self.affine(1e-2, 1)), [
            self.int8(1, *shape),
            self.int8(1, *shape[2:]),
        ]

    def table(self) -> _Made:
        kind = self.deal("sigmoid", "tanh", "hard_swish", "leaky_relu", "any")
        source, target = self.affine(1e-2, 0.2), self.affine(1e-2, 0.2)
        if kind == "any":
            values = self.rng.permutation(256).astype(np.uint8).view(np.int8)
        elif kind == "hard_swish":
            values = tflite_tables.hard_swish_table(source, target)
        elif kind == "leaky_relu":
            values = tflite_tables.leaky_relu_table(source, target, self.random.uniform(0, 1))
        else:
            fixed = {"sigmoid": (1 / 256, -128), "tanh": (1 / 128, 0)}[kind]
            target = Affine(np.array([fixed[0]]), np.array([fixed[1]]), None, np.dtype(np.int8))
            make = tflite_tables.logistic_table if kind == "sigmoid" else tflite_tables.tanh_table
            values = make(source, target)
        return tflite_tables.Lookup(values), [self.int8(1, self.integer(1, 6), self.integer(1, 40))]

    def softmax(self) -> _Made:
        """Vectors of one element or more, some of equal elements, with one that towers, or of the ends."""
        length = self.deal(1, 2, self.integer(3, 40), self.integer(3, SOFTMAX_DEPTH))
        x = self.int8(1, self.integer(1, 20 if length < 100 else 2), length)
        for row in x[0]:
            kind = self.deal("any", "any", "equal", "one large", "ends")
            if kind == "equal":
                row[:] = self.integer(-128, 127)
            elif kind == "one large":
                row[:] = -128
                row[self.integer(0, length - 1)] = self.deal(127, self.integer(-127, 127))
            elif kind == "ends":
                row[:] = self.rng.choice(np.array([-128, 127], np.int8), length)
        target = Affine(np.array([1 / 256]), np.array([-128]), None, np.dtype(np.int8))
        return tflite_reductions.Softmax(
            self.affine(), target, self.deal(1.0, self.random.uniform(0.1, 4))
        ), [x]

    def pool(self) -> _Made:
        side = self.deal(*range(1, 9))
        kernel = (side, side) if self.random.random() < 0.7 else (side, self.deal(*range(1, 8)))
        stride = self.deal((1, 1), (2, 2), (2, 1), (3, 3))
        padding = [0, 0, 0, 0]
        if self.deal("none", "some") == "some":
            padding = [self.integer(0, kernel[i % 2] - 1) for i in range(4)]
        size = [max(1, kernel[i] - padding[i] - padding[i + 2]) + self.integer(0, 5) for i in range(2)]
        kind = self.deal(tflite_reductions.MaxPool2D, tflite_reductions.AveragePool2D)
        top, left, bottom, right = padding
        window = Window(kernel, stride, padding=(top, left, bottom, right))
        operator = kind(window, self.affine(), self.activation())
        return operator, [self.int8(1, 1, *size, self.integer(1, 12))]

    def reduction(self) -> _Made:
        shape = tuple(self.integer(1, 7) for _ in range(3))
        axes = tuple(sorted(self.random.sample(range(3), self.integer(1, 2))))
        left = tuple(n for axis, n in enumerate(shape) if axis not in axes)
        count = int(np.prod(shape) // np.prod(left))
        operator = tflite_reductions.Reduce(
            axes, left, count, self.affine(), self.affine(), self.deal(True, False)
        )
        return operator, [self.int8(1, *shape)]

    # -----------------------------------------------------------------------------------------
    # Others
    # -----------------------------------------------------------------------------------------
    def fixed_point(self) -> _Made:
        """An operator of fixed-point ONNX: factors 2**n / a, channels first."""
        channels, outputs = self.integer(1, 5), self.integer(1, 12)
        window, size = self.window(5)
        x = self.int8(1, 1, channels, *size)
        kind = self.deal("conv", "conv", "gemm", "add", "average", "max")
        if kind in ("conv", "gemm"):
            scales = tuple(WeightScale(-self.integer(4, 8), self.integer(1, 255)) for _ in range(outputs))
            kernel = window.kernel if kind == "conv" else (1, 1)
            weight, bias = self.int8(outputs, *kernel, channels), self.rng.integers(-30000, 30000, outputs)
            if kind == "conv":
                return fixed_point.Conv(Convolution(weight, bias, window), scales, -5, -4), [x]
            dense = fixed_point.Conv(Convolution(weight, bias, Window((1, 1))), scales, -5, -4)
            return fixed_point.Gemm(dense), [self.int8(1, 3, channels)]
        if kind == "add":
            return fixed_point.add((-4, -6), -3), [x, x[:, :, ::-1].copy()]
        if kind == "max":
            return fixed_point.MaxPool(window), [x]
        return fixed_point.AveragePool(window, -4, -5, self.deal(True, False)), [x]

    def plain(self, number: int) -> _Mapped:
        """A convolution of words of the array's own width, signed or not: the sums, modulo 2**32, clamped."""
        width = self.params.data_width

        def draw() -> _Mapped | None:
            window, size = self.window()
            channels, outputs = self.integer(1, 6), self.integer(1, 12)
            half = 1 << width - 1
            signed = self.deal(True, False)
            low, high = (-half, half) if signed else (0, 2 * half)
            x = self.rng.integers(low, high, (1, *size, channels))
            weight = self.rng.integers(low, high, (outputs, *window.kernel, channels))
            zero, weight_zero = self.integer(low, high - 1), self.integer(low, high - 1)
            header = {
                "mode.input_signed": int(signed),
                "mode.weight_signed": int(signed),
                "input_zero": zero,
                "low": -half,
                "high": half - 1,
            }
            name = f"random {number} ({width}-bit convolution)"
            dtype = np.dtype(np.int16 if width == 16 else np.int8)
            try:
                layer = map_convolution(
                    name, x, weight, window, self.params, header=header, weight_zero=weight_zero, dtype=dtype
                )
            except DoesNotFitError:
                return None
            convolution = Convolution(
                weight - weight_zero, np.zeros(outputs), window, zero, magnitude=2 * half
            )
            sums = convolution.sums(x).astype(np.int32)
            # Words of 4 bits lie in bytes as they are.
            words = np.clip(sums, -half, half - 1) & 2 * half - 1
            return name, words.astype(f"u{dtype.itemsize}").view(dtype), layer

        return first_drawn(draw, f"a {width}-bit convolution that fits this build", draws=1000)
