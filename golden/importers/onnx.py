# SPDX-License-Identifier: Apache-2.0
"""Reads quantised ONNX models (.onnx): QDQ, QOperator and QONNX, into graphs whose every tensor equals the framework's.

QDQ: QuantizeLinear and DequantizeLinear around float operators, which are executed as they stand, in float32.
QOperator: QLinearConv, QLinearMatMul and operators of domain com.microsoft, in integers. Dynamic quantisation:
DynamicQuantizeLinear, MatMulInteger, ConvInteger. All may be in one file. The reference is onnxruntime's CPU provider
with graph optimisation disabled and one thread (`golden.runtimes.onnxruntime`); `golden.schemes.onnx` and
`golden.layers.onnx`, `onnx_float`, `mlas` and `eigen` say what is exact, and where it comes from.

QONNX: Quant, BipolarQuant, Trunc and their like (`golden.schemes.qonnx`) among float operators; all tensors are
float32, the input included. The reference is the package qonnx (`golden.runtimes.qonnx`), which executes node by node:
its own nodes in numpy, every other in an onnxruntime session of that node alone, to which weights are inputs, not
constants. Float32 sums are those of onnxruntime on one thread; where scales are powers of two and sums stay below
2**24 units, they are the same in every order and on every processor (`golden.layers.mlas.exact_product`). Annotations
of tensors (`quantization_annotation`) change no number here; qonnx rounds what is annotated as integer and is none. A
QONNX file of the pattern in `golden.importers.onnx_network` becomes an integer `Network`.

The file is data: it is parsed with PyPI's `onnx`, copied under checks of every type and size, and only then turned into
operators. Shapes are inferred here, whatever the file says, and are bounded before any array of that shape exists. A
leading axis of an input that has a name instead of a length (a batch) is 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from golden.errors import (
    ConfigurationError,
    DoesNotFitError,
    GoldenError,
    ModelFormatError,
    UnsupportedOperatorError,
)
from golden.graph import Graph, Tensor
from golden.importers import fixed_point, model_file, onnx_network
from golden.importers.onnx_float import FloatOperators
from golden.importers.onnx_graph import EIGHT_BITS, MAX_ELEMENTS, MAX_RANK, QUANTISED, Operation
from golden.layers import onnx as layers
from golden.layers import shaping
from golden.layers.linear import Convolution, Window
from golden.network import Network
from golden.schemes import onnx as scheme
from golden.schemes import qonnx as qonnx_scheme
from golden.schemes.affine import Affine

__all__ = ["MAX_ELEMENTS", "MAX_RANK", "OPERATORS", "load", "loads", "loads_graph"]

MAX_TAPS = 1 << 16  # places of a pooling window

MICROSOFT = "com.microsoft"
# Types of QONNX's scales, zero points and bit widths.
_PARAMETERS = (np.float32, np.float64, np.int8, np.uint8, np.int32, np.int64)
_QUANTISING = (
    "QuantizeLinear",
    "DequantizeLinear",
    "DynamicQuantizeLinear",
    "ConvInteger",
    "MatMulInteger",
    "QGemm",
)


def load(path: Path) -> Graph | Network:
    """Read an .onnx file; see `loads`.

    Raises:
        GoldenError: the file cannot be read, or the package `onnx` is not installed.
        ModelFormatError, UnsupportedOperatorError: see `loads`.
    """
    path = Path(path)
    data = model_file.read(path)
    return loads(data, path.stem)


def loads(data: bytes, name: str = "model") -> Graph | Network:
    """Turn the bytes of an .onnx file into a graph; one with the attributes of the fixed-point scheme as
    `golden.importers.fixed_point.from_model` does. A QONNX file of the pattern in `golden.importers.onnx_network`
    becomes a `Network`.

    Args:
        data: the file.
        name: of the graph; it starts the messages of errors.

    Returns:
        A graph whose tensors have the file's names, axis order and dtypes; int4 and uint4 are held in int8 and uint8.

    Raises:
        GoldenError: the package `onnx` is not installed.
        ModelFormatError: not an ONNX file, damaged, inconsistent, or asking for more than `MAX_ELEMENTS`.
        UnsupportedOperatorError: an operator outside `OPERATORS`, an attribute without definition, or a float model.
    """
    model = model_file.parse_onnx(data, name)
    if _uses_qonnx(model):
        try:
            return onnx_network.from_model(model, name)
        except (ModelFormatError, UnsupportedOperatorError):
            return _graph(model, name)
    own = any(_quantises(node.op_type) for node in model.graph.node)
    if not own and fixed_point.recognises(model):
        return fixed_point.from_model(model, name)
    if not own:
        raise UnsupportedOperatorError(
            f"{name}: the model has {len(model.graph.node)} float nodes and no QuantizeLinear, QLinear* or Quant node, "
            f"but must be quantised; quantise it first"
        )
    return _graph(model, name)


def loads_graph(data: bytes, name: str = "model") -> Graph:
    """`loads` of a QONNX file as a graph, of float32 tensors, also where it has the pattern of a `Network`."""
    return _graph(model_file.parse_onnx(data, name), name)


def _graph(model: Any, name: str) -> Graph:
    try:
        return _Builder(model_file.import_onnx(), model, name, _uses_qonnx(model)).graph()
    except GoldenError as error:
        kind = ModelFormatError if isinstance(error, (ConfigurationError, DoesNotFitError)) else type(error)
        # Names in a damaged file may hold line breaks, but a message is one line.
        raise kind(" ".join(f"{name}: {error}".split())) from None


def _uses_qonnx(model: Any) -> bool:
    return any(node.domain in qonnx_scheme.DOMAINS or node.op_type == "Quant" for node in model.graph.node)


def _quantises(kind: str) -> bool:
    # str() because protobuf gives bytes for what is no text.
    return kind in _QUANTISING or str(kind).startswith("QLinear")


class _Builder(FloatOperators):
    """Turns a model into a `Graph`, one method for each operator."""

    # Quantisation.

    def _quantize(self, operation: Operation) -> None:
        x = self._input(operation, 0, np.float32)
        self._only(operation, "block_size", 0, 0)
        self._only(operation, "precision", 0, 0, 1)
        dtype, bits = np.dtype(np.uint8), None
        if operation.attributes.get("output_dtype"):
            _, dtype, bits = self._type(
                operation.attributes["output_dtype"], f"{operation}: attribute output_dtype"
            )
        if self._has(operation, 2):
            zero = self._input(operation, 2)
            dtype, bits = zero.dtype, zero.quantisation.bits if zero.quantisation else None
        if dtype not in QUANTISED:
            raise UnsupportedOperatorError(
                f"{operation}: the output is {dtype}, but must be of 4, 8 or 16 bits, signed or not"
            )
        affine = self._axis_affine(operation, x, dtype, bits)
        self._output(operation, x.shape, dtype, affine)
        self._add(operation, layers.Quantize(affine))

    def _axis_affine(self, operation: Operation, x: Tensor, dtype: np.dtype, bits: int | None) -> Affine:
        scale = self._constant(operation, 1, "scale", np.float32)
        if scale.size == 1:
            return self._affine(operation, 1, 2, dtype, bits=bits)
        axis = self._axis(operation, operation.attributes.get("axis", 1), len(x.shape))
        return self._affine(operation, 1, 2, dtype, x.shape, axis, bits)

    def _dequantize(self, operation: Operation) -> None:
        x = self._input(operation, 0, *QUANTISED, np.int32)
        self._only(operation, "block_size", 0, 0)
        self._only(operation, "output_dtype", 0, 0, 1)
        affine = self._axis_affine(operation, x, x.dtype, x.quantisation.bits if x.quantisation else None)
        if x.dtype == np.int32 and affine.zero_point.any():
            raise ModelFormatError(
                f"{operation}: zero point is {affine.zero_point[affine.zero_point != 0][0]}, but int32 allows 0 alone"
            )
        self._output(operation, x.shape)
        self._add(operation, layers.Dequantize(affine))

    # Convolutions and products.

    def _conv(self, operation: Operation) -> None:
        x, weight = (self._input(operation, i, np.float32) for i in (0, 1))
        self._fixed_weights(operation, weight)
        groups = self._grouped(operation, x, weight) if self._map(operation, x) else 1
        window = self._window(operation, x.shape[2:], weight.shape[2:])
        data = (0, 1)
        if self._has(operation, 2):
            bias = self._input(operation, 2, np.float32)
            if bias.shape != weight.shape[:1]:
                raise ModelFormatError(
                    f"{operation}: bias has shape {list(bias.shape)}, but must have {list(weight.shape[:1])}"
                )
            data = (0, 1, 2)
        y = self._output(operation, (x.shape[0], weight.shape[0], *self._mapped(window, x.shape[2:])))
        self._bound_columns(operation, x, math.prod(window.kernel), y)
        macs = math.prod(y.shape) * math.prod(weight.shape[1:])
        self._add(operation, self._flat(layers.Conv(window, groups), x), data, macs)

    def _qlinear_conv(self, operation: Operation) -> None:
        x, weight = (self._input(operation, i, *EIGHT_BITS) for i in (0, 3))
        self._only(operation, "channels_last", 0, 0)
        size = self._map(operation, x)
        groups = self._grouped(operation, x, weight)
        window = self._window(operation, size, weight.shape[2:])
        source = self._affine(operation, 1, 2, x.dtype)
        weights = self._affine(operation, 4, 5, weight.dtype, weight.shape, 0)
        target = self._affine(operation, 6, 7, x.dtype)
        values = self._constant(operation, 3, "weight", *EIGHT_BITS).astype(np.int64)
        values = values - weights.zero_point.reshape(-1, *(1,) * (values.ndim - 1))
        bias = np.zeros(len(values), np.int64)
        if self._has(operation, 8):
            bias = self._constant(operation, 8, "bias", np.int32).astype(np.int64)
            if bias.shape != (len(values),):
                raise ModelFormatError(
                    f"{operation}: bias has shape {list(bias.shape)}, but must have [{len(values)}]"
                )
        values = values if values.ndim == 4 else values[:, :, None]
        convolution = Convolution(
            values.transpose(0, 2, 3, 1), bias, window, int(source.zero_point[0]), groups, magnitude=255
        )
        y = self._output(operation, (x.shape[0], len(values), *self._mapped(window, size)), x.dtype, target)
        self._bound_columns(operation, x, math.prod(window.kernel), y)
        operator = layers.QLinearConv(convolution, layers._factor(source, weights, target), target)
        self._add(operation, self._flat(operator, x), (0,), math.prod(y.shape) * values[0].size)

    def _matmul(self, operation: Operation) -> None:
        a, b = (self._input(operation, i, np.float32) for i in (0, 1))
        y = self._output(operation, self._product_shape(operation, a, b))
        packed = len(b.shape) == 2 and self._packed(b)
        self._add(operation, layers.MatMul(packed), (0, 1), math.prod(y.shape) * a.shape[-1])

    def _qlinear_matmul(self, operation: Operation) -> None:
        a, b = (self._input(operation, i, *EIGHT_BITS) for i in (0, 3))
        shape = self._product_shape(operation, a, b)
        source = self._affine(operation, 1, 2, a.dtype)
        weights = self._affine(operation, 4, 5, b.dtype, b.shape, len(b.shape) - 1)
        target = self._affine(operation, 6, 7, a.dtype)
        y = self._output(operation, shape, a.dtype, target)
        operator = layers.QLinearMatMul((source, weights), layers._factor(source, weights, target), target)
        self._add(operation, operator, (0, 3), math.prod(y.shape) * a.shape[-1])

    def _gemm_shape(self, operation: Operation, a: Tensor, b: Tensor) -> tuple[int, int, int]:
        turned = [self._only(operation, name, 0, 0, 1) for name in ("transA", "transB")]
        if len(a.shape) != 2 or len(b.shape) != 2:
            raise ModelFormatError(
                f"{operation}: inputs have shapes {list(a.shape)} and {list(b.shape)}, but must have 2 axes each"
            )
        rows, depth = a.shape[::-1] if turned[0] else a.shape
        inner, columns = b.shape[::-1] if turned[1] else b.shape
        if depth != inner:
            raise ModelFormatError(
                f"{operation}: inputs have shapes {list(a.shape)} and {list(b.shape)}, whose inner axes {depth} and "
                f"{inner} must be equal"
            )
        return rows, depth, columns

    def _addend(self, operation: Operation, c: tuple[int, ...], shape: tuple[int, int]) -> None:
        if len(c) > 2 or any(n not in (1, m) for n, m in zip(c[::-1], shape[::-1], strict=False)):
            raise ModelFormatError(f"{operation}: C has shape {list(c)}, but must broadcast to {list(shape)}")

    def _gemm(self, operation: Operation) -> None:
        a, b = (self._input(operation, i, np.float32) for i in (0, 1))
        self._only(operation, "transA", 0, 0)
        for name in ("alpha", "beta"):
            self._only(operation, name, 1.0, 1.0)
        rows, depth, columns = self._gemm_shape(operation, a, b)
        data = (0, 1)
        if self._has(operation, 2):
            self._addend(operation, self._input(operation, 2, np.float32).shape, (rows, columns))
            data = (0, 1, 2)
        self._output(operation, (rows, columns))
        operator = layers.Gemm(bool(operation.attributes.get("transB", 0)), self._packed(b))
        self._add(operation, operator, data, rows * depth * columns)

    def _qgemm(self, operation: Operation) -> None:
        a, b = (self._input(operation, i, *EIGHT_BITS) for i in (0, 3))
        rows, depth, columns = self._gemm_shape(operation, a, b)
        turned = tuple(bool(operation.attributes.get(name, 0)) for name in ("transA", "transB"))
        source = self._affine(operation, 1, 2, a.dtype)
        weights = self._affine(operation, 4, 5, b.dtype, b.shape, 0 if turned[1] else 1)
        bias = None
        if self._has(operation, 6):
            bias = self._constant(operation, 6, "C", np.int32).astype(np.int64)
            self._addend(operation, bias.shape, (rows, columns))
        factor = np.float32(self._number(operation, "alpha", 1.0)) * source.scale * weights.scale
        target = None
        if self._has(operation, 7):
            target = self._affine(operation, 7, 8, a.dtype)
            factor = factor / target.scale
        self._output(operation, (rows, columns), np.float32 if target is None else a.dtype, target)
        operator = layers.QLinearMatMul((source, weights), factor, target, bias, turned)
        self._add(operation, operator, (0, 3), rows * depth * columns)

    # Element by element.

    def _qlinear_binary(self, operation: Operation) -> None:
        a = self._input(operation, 0, *EIGHT_BITS)
        b = self._input(operation, 3, a.dtype.type)
        sources = self._affine(operation, 1, 2, a.dtype), self._affine(operation, 4, 5, a.dtype)
        target = self._affine(operation, 6, 7, a.dtype)
        self._output(operation, self._broadcast(operation, a, b), a.dtype, target)
        kind = layers.QLinearAdd if operation.kind == "QLinearAdd" else layers.QLinearMul
        self._add(operation, kind(sources, target), (0, 3))

    def _relu(self, operation: Operation) -> None:
        x = self._input(operation, 0, np.float32, np.int8)
        self._copied(operation, x, x.shape)
        self._add(operation, layers.Clip(0, None))

    def _clip(self, operation: Operation) -> None:
        x = self._input(operation, 0, np.float32, *EIGHT_BITS)
        bounds = []
        for position, name in ((1, "min"), (2, "max")):
            if self._has(operation, position):
                bounds.append(self._single(operation, position, name, x.dtype.type).item())
            elif name in operation.attributes:
                bounds.append(self._number(operation, name, 0.0))
            else:
                bounds.append(None)
        # A bound need not be one of the values that a quantiser of float32 gives.
        if x.dtype == np.float32:
            self._output(operation, x.shape)
        else:
            self._copied(operation, x, x.shape)
        self._add(operation, layers.Clip(*bounds))

    def _table(self, operation: Operation) -> None:
        x = self._input(operation, 0, *EIGHT_BITS)
        source, target = self._affine(operation, 1, 2, x.dtype), self._affine(operation, 3, 4, x.dtype)
        if operation.kind == "QLinearSigmoid":
            function: Callable[[np.ndarray], np.ndarray] = scheme.logistic
        else:
            function = layers.LeakyRelu(self._number(operation, "alpha", 0.01))
        self._output(operation, x.shape, x.dtype, target)
        self._add(operation, layers.Table(scheme.table(function, source, target)))

    def _qlinear_softmax(self, operation: Operation) -> None:
        x = self._input(operation, 0, *EIGHT_BITS)
        source, target = self._affine(operation, 1, 2, x.dtype), self._affine(operation, 3, 4, x.dtype)
        opset = operation.attributes.get("opset")
        if not isinstance(opset, int):
            raise ModelFormatError(f"{operation}: attribute opset is {opset}, but must be an integer")
        rank = len(x.shape)
        axis = self._axis(operation, operation.attributes.get("axis", -1 if opset >= 13 else 1), rank)
        if opset < 13 and axis != rank - 1:
            raise UnsupportedOperatorError(
                f"{operation}: attribute axis is {axis} at opset {opset}, but must be the last, {rank - 1}"
            )
        self._output(operation, x.shape, x.dtype, target)
        exponentials = scheme.softmax_table(source.scale[0], x.shape[axis])
        self._add(operation, layers.QLinearSoftmax(axis, exponentials, target))

    # QONNX.

    def _quantiser(self, operation: Operation, quantiser: Any, x: Tensor, *broadcast: np.ndarray) -> None:
        """Adds the node of a `golden.schemes.qonnx` object, whose parameters broadcast to x's shape."""
        for values in broadcast:
            try:
                fits = np.broadcast_shapes(values.shape, x.shape) == x.shape
            except ValueError:
                fits = False
            if not fits:
                raise UnsupportedOperatorError(
                    f"{operation}: a scale or zero point has shape {list(values.shape)}, but must broadcast to "
                    f"{list(x.shape)}"
                )
        self._output(operation, x.shape, np.float32, quantiser)
        self._add(operation, quantiser)

    def _parameter(self, operation: Operation, position: int, what: str) -> np.ndarray:
        return self._constant(operation, position, what, *_PARAMETERS)

    def _bit_width(self, operation: Operation, position: int, what: str) -> float:
        return float(self._single(operation, position, what, *_PARAMETERS))

    def _flag(self, operation: Operation, name: str, default: int | None = None) -> bool:
        """An attribute of 0 or 1, which must be there if it has no default."""
        return bool(self._only(operation, name, default, 0, 1))

    def _rounding(self, operation: Operation, default: str) -> str:
        return str(operation.attributes.get("rounding_mode", default))

    def _quant(self, operation: Operation) -> None:
        x = self._input(operation, 0, np.float32)
        scale = self._parameter(operation, 1, "scale")
        zero_point = self._parameter(operation, 2, "zero point")
        quantiser = qonnx_scheme.Quant(
            scale,
            zero_point,
            self._bit_width(operation, 3, "bit width"),
            self._flag(operation, "signed"),
            self._flag(operation, "narrow"),
            self._rounding(operation, "ROUND"),
        )
        self._quantiser(operation, quantiser, x, scale, zero_point)

    def _bipolar_quant(self, operation: Operation) -> None:
        x = self._input(operation, 0, np.float32)
        scale = self._parameter(operation, 1, "scale")
        self._quantiser(operation, qonnx_scheme.BipolarQuant(scale), x, scale)

    def _trunc(self, operation: Operation) -> None:
        """Version 2, of six inputs, from version 2 of the domain on."""
        x = self._input(operation, 0, np.float32)
        scale = self._parameter(operation, 1, "scale")
        zero_point = self._parameter(operation, 2, "zero point")
        input_bits = self._bit_width(operation, 3, "input bit width")
        mode = self._rounding(operation, "FLOOR")
        if self._opsets.get(operation.domain, 1) < 2:
            bits = self._bit_width(operation, 4, "output bit width")
            quantiser = qonnx_scheme.Trunc(scale, zero_point, input_bits, bits, mode=mode)
            self._quantiser(operation, quantiser, x, scale, zero_point)
            return
        output_scale = self._parameter(operation, 4, "output scale")
        quantiser = qonnx_scheme.Trunc(
            scale,
            zero_point,
            input_bits,
            self._bit_width(operation, 5, "output bit width"),
            output_scale,
            self._flag(operation, "signed", 1),
            self._flag(operation, "narrow", 0),
            mode,
        )
        self._quantiser(operation, quantiser, x, scale, zero_point, output_scale)

    def _multi_threshold(self, operation: Operation) -> None:
        x = self._input(operation, 0, np.float32)
        rank = len(x.shape)
        # A missing layout follows from the rank; what is none of these has its channels in axis 1.
        guess = {2: "NC", 3: "NWC", 4: "NCHW"}.get(rank, "")
        layout = operation.attributes.get("data_layout") or guess
        axis = layout.index("C") if "C" in layout else 1
        thresholds = self._constant(operation, 1, "thresholds", np.float32)
        if axis >= rank or rank < 2:
            raise ModelFormatError(
                f"{operation}: attribute data_layout is {layout}, but the input has shape {list(x.shape)}"
            )
        quantiser = qonnx_scheme.MultiThreshold(
            thresholds,
            self._number(operation, "out_scale", 1.0),
            self._number(operation, "out_bias", 0.0),
            axis,
        )
        if len(thresholds) not in (1, x.shape[axis]):
            raise ModelFormatError(
                f"{operation}: thresholds have shape {list(thresholds.shape)}, but must be for 1 or {x.shape[axis]} "
                f"channels"
            )
        self._quantiser(operation, quantiser, x)

    def _float_quant(self, operation: Operation) -> None:
        raise UnsupportedOperatorError(
            f"{operation}: operator FloatQuant rounds by a float32 logarithm, which is not the same on every machine; "
            f"integer quantisers are supported: BipolarQuant, IntQuant, Quant, Trunc"
        )

    # Pooling.

    def _pooled(self, operation: Operation, x: Tensor) -> tuple[Window, tuple[int, ...], tuple[int, int]]:
        """The window, the shape of the result, and how many rows and columns of the padding ceil_mode adds."""
        size = self._map(operation, x)
        ceil = self._only(operation, "ceil_mode", 0, 0, 1)
        self._only(operation, "storage_order", 0, 0)
        window = self._window(operation, size, None)
        if math.prod(window.kernel) > MAX_TAPS:
            raise ModelFormatError(
                f"{operation}: attribute kernel_shape is {list(window.kernel)}, but must hold at most {MAX_TAPS} places"
            )
        for axis in (0, 1):
            if max(window.padding[axis], window.padding[axis + 2]) >= window.kernel[axis]:
                raise ModelFormatError(
                    f"{operation}: attribute pads is {list(window.padding)}, but must be below the kernel "
                    f"{list(window.kernel)}"
                )
        beyond = (0, 0)
        if ceil and operation.attributes.get("auto_pad", "NOTSET") == "NOTSET":
            window, beyond = _rounded_up(window, (1, *size) if len(size) == 1 else size)
        return window, (*x.shape[:2], *self._mapped(window, size)), beyond

    def _blocked(self, x: Tensor) -> bool:
        """Whether pooling takes vectors of channels.

        In a session of its own, which optimises, a node of pooling is moved to the layout NCHWc if the channels fill
        blocks: of 16 with AVX512, which is assumed here, of 8 without it. Source: core/optimizer/nchwc_transformer.cc.
        """
        return self._node_by_node and len(x.shape) == 4 and x.shape[1] % 16 == 0

    def _pool_order(self, x: Tensor, window: Window) -> str:
        """How MLAS takes a window: see `golden.layers.onnx.MaxPool`."""
        if self._blocked(x):
            return "rows"
        if window.dilation != (1, 1):
            return "scalars"
        size = x.shape[2:] if len(x.shape) == 4 else (1, *x.shape[2:])
        if window.kernel == size and window.stride == (1, 1) and not any(window.padding):
            return "map"
        # The vector kernel's limits: mlas/lib/pooling.cpp, `MlasPool`; its buffer holds 2048 - 64 columns.
        width = x.shape[-1] + window.padding[1] + window.padding[3]
        vectors = window.stride[1] <= 2 and max(window.kernel) <= 32 and width <= 1984
        return "columns" if len(x.shape) == 4 and vectors else "scalars"

    def _max_pool(self, operation: Operation) -> None:
        x = self._input(operation, 0, np.float32, *EIGHT_BITS)
        window, shape, _ = self._pooled(operation, x)
        self._copied(operation, x, shape)
        self._add(operation, self._flat(layers.MaxPool(window, self._pool_order(x, window)), x))

    def _average_pool(self, operation: Operation) -> None:
        x = self._input(operation, 0, np.float32)
        window, shape, beyond = self._pooled(operation, x)
        self._only(operation, "dilations", [1] * len(x.shape[2:]), [1] * len(x.shape[2:]))
        include = bool(self._only(operation, "count_include_pad", 0, 0, 1))
        self._output(operation, shape)
        # Where padding counts and windows may be partial, older opsets are computed as opset 19 is.
        older = self._opset < 19 and not (include and operation.attributes.get("ceil_mode"))
        order = self._pool_order(x, window) if older else "scalars"
        if order == "map":
            operator: Any = layers.GlobalAveragePool()
        else:
            operator = self._flat(layers.AveragePool(window, include, order == "columns", beyond), x)
        self._add(operation, operator)

    def _qlinear_average_pool(self, operation: Operation) -> None:
        x = self._input(operation, 0, *EIGHT_BITS)
        self._only(operation, "channels_last", 0, 0)
        window, shape, beyond = self._pooled(operation, x)
        include = bool(self._only(operation, "count_include_pad", 0, 0, 1))
        source, target = self._affine(operation, 1, 2, x.dtype), self._affine(operation, 3, 4, x.dtype)
        self._output(operation, shape, x.dtype, target)
        self._add(
            operation, self._flat(layers.QLinearAveragePool(window, include, source, target, beyond), x)
        )

    def _global_average_pool(self, operation: Operation) -> None:
        x = self._input(operation, 0, np.float32)
        self._output(operation, (*x.shape[:2], *(1 for _ in self._map(operation, x))))
        operator: Any = layers.GlobalAveragePool()
        if self._blocked(x):
            operator = layers.AveragePool(Window(x.shape[2:]), include_pad=False, by_columns=False)
        self._add(operation, operator)

    def _qlinear_global_average_pool(self, operation: Operation) -> None:
        x = self._input(operation, 0, *EIGHT_BITS)
        self._only(operation, "channels_last", 0, 0)
        source, target = self._affine(operation, 1, 2, x.dtype), self._affine(operation, 3, 4, x.dtype)
        self._output(operation, (*x.shape[:2], *(1 for _ in self._map(operation, x))), x.dtype, target)
        self._add(operation, layers.QLinearGlobalAveragePool(source, target))

    # Shapes.

    def _node_constant(self, operation: Operation) -> None:
        if len(operation.outputs) != 1:
            raise ModelFormatError(f"{operation} has {len(operation.outputs)} outputs, but must have 1")
        name = operation.outputs[0]
        values = operation.attributes
        if "value" in values:
            self._keep(name, *self._tensor_attribute(operation, "value"))
            return
        for key, dtype in (
            ("float", np.float32),
            ("floats", np.float32),
            ("int", np.int64),
            ("ints", np.int64),
        ):
            if f"value_{key}" in values:
                self._keep(name, np.array(values[f"value_{key}"], dtype))
                return
        raise UnsupportedOperatorError(f"{operation} must hold a tensor or numbers")

    def _identity(self, operation: Operation) -> None:
        x = self._input(operation, 0)
        if x.name in self._constants:
            # Names of zero points and weights may stand behind an Identity.
            if len(operation.outputs) != 1:
                raise ModelFormatError(f"{operation} has {len(operation.outputs)} outputs, but must have 1")
            bits = x.quantisation.bits if x.quantisation else None
            self._keep(operation.outputs[0], self._constants[x.name], bits)
            self._aliases.add(operation.outputs[0])
            return
        self._output(operation, x.shape, x.dtype, x.quantisation)
        self._add(operation, shaping.Reshape(x.shape))

    def _concatenated(self, operation: Operation, tensors: list[Tensor]) -> tuple[int, tuple[int, ...]]:
        if "axis" not in operation.attributes:
            raise ModelFormatError(f"{operation}: attribute axis is missing")
        first = tensors[0]
        axis = self._axis(operation, operation.attributes["axis"], max(1, len(first.shape)))
        for tensor in tensors:
            rest = [t.shape[:axis] + t.shape[axis + 1 :] for t in (tensor, first)]
            if rest[0] != rest[1] or len(tensor.shape) != len(first.shape) or tensor.dtype != first.dtype:
                raise ModelFormatError(
                    f"{operation}: inputs are {first.dtype} {list(first.shape)} and {tensor.dtype} "
                    f"{list(tensor.shape)}, but must differ in axis {axis} alone"
                )
        total = sum(tensor.shape[axis] for tensor in tensors)
        return axis, (*first.shape[:axis], total, *first.shape[axis + 1 :])

    def _concat(self, operation: Operation) -> None:
        tensors = [self._input(operation, i) for i in range(len(operation.inputs))]
        if not tensors:
            raise ModelFormatError(f"{operation} has 0 inputs, but must have 1 or more")
        axis, shape = self._concatenated(operation, tensors)
        self._output(operation, shape, tensors[0].dtype)
        self._add(operation, shaping.Concatenate(axis), tuple(range(len(tensors))))

    def _qlinear_concat(self, operation: Operation) -> None:
        positions = tuple(range(2, len(operation.inputs), 3))
        if not positions or len(operation.inputs) % 3 != 2:
            raise ModelFormatError(
                f"{operation} has {len(operation.inputs)} inputs, but must have 2 and three for each tensor"
            )
        tensors = [self._input(operation, i, *EIGHT_BITS) for i in positions]
        axis, shape = self._concatenated(operation, tensors)
        target = self._affine(operation, 0, 1, tensors[0].dtype)
        tables = []
        for position, tensor in zip(positions, tensors, strict=True):
            source = self._affine(operation, position + 1, position + 2, tensor.dtype)
            tables.append(scheme.table(lambda x: x, source, target))
        self._output(operation, shape, target.dtype, target)
        self._add(operation, layers.QLinearConcat(axis, tuple(tables)), positions)

    def _qlinear_where(self, operation: Operation) -> None:
        condition = self._input(operation, 0, np.bool_)
        a = self._input(operation, 1, *EIGHT_BITS)
        b = self._input(operation, 4, a.dtype.type)
        target = self._affine(operation, 7, 8, a.dtype)
        tables = [
            scheme.table(lambda x: x, self._affine(operation, i + 1, i + 2, a.dtype), target) for i in (1, 4)
        ]
        self._output(operation, self._broadcast(operation, condition, a, b), a.dtype, target)
        self._add(operation, layers.QLinearWhere(tuple(tables)), (0, 1, 4))

    def _flatten(self, operation: Operation) -> None:
        x = self._input(operation, 0)
        rank = len(x.shape)
        axis = operation.attributes.get("axis", 1)
        if not isinstance(axis, int) or not -rank <= axis <= rank:
            raise ModelFormatError(f"{operation}: attribute axis is {axis}, but must be {-rank} to {rank}")
        axis = axis + rank if axis < 0 else axis
        shape = (math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))
        self._copied(operation, x, shape)
        self._add(operation, shaping.Reshape(shape))

    def _reshape(self, operation: Operation) -> None:
        x = self._input(operation, 0)
        empty = self._only(operation, "allowzero", 0, 0, 1)
        wanted = self._given(operation, 1, "shape")
        if wanted is None:
            raise ModelFormatError(f"{operation}: shape is missing")
        size = math.prod(x.shape)
        shape = [x.shape[i] if n == 0 and i < len(x.shape) and not empty else n for i, n in enumerate(wanted)]
        known = math.prod(n for n in shape if n != -1)
        derived = [size // known if n == -1 and known else n for n in shape]
        if shape.count(-1) > 1 or min(derived, default=1) < 1 or math.prod(derived) != size:
            raise ModelFormatError(
                f"{operation}: shape is {wanted}, but must hold the {size} values of {list(x.shape)}"
            )
        self._copied(operation, x, tuple(derived))
        self._add(operation, shaping.Reshape(tuple(derived)))

    def _transpose(self, operation: Operation) -> None:
        x = self._input(operation, 0)
        rank = len(x.shape)
        permutation = operation.attributes.get("perm", list(range(rank))[::-1])
        if not isinstance(permutation, list) or sorted(permutation) != list(range(rank)):
            raise ModelFormatError(
                f"{operation}: attribute perm is {permutation}, but must hold each axis of {list(x.shape)} once"
            )
        self._copied(operation, x, tuple(x.shape[axis] for axis in permutation))
        self._add(operation, shaping.Transpose(tuple(permutation)))

    def _squeeze(self, operation: Operation) -> None:
        x = self._input(operation, 0)
        given = self._given(operation, 1, "axes")
        rank = len(x.shape)
        axes = [i for i, n in enumerate(x.shape) if n == 1] if given is None else given
        numbers = self._axes(operation, axes, rank)
        for axis in numbers:
            if x.shape[axis] != 1:
                raise ModelFormatError(
                    f"{operation}: axis {axis} has length {x.shape[axis]}, but must have 1"
                )
        shape = tuple(n for axis, n in enumerate(x.shape) if axis not in numbers)
        self._copied(operation, x, shape)
        self._add(operation, shaping.Reshape(shape))

    def _unsqueeze(self, operation: Operation) -> None:
        x = self._input(operation, 0)
        given = self._given(operation, 1, "axes")
        if given is None or len(given) > MAX_RANK:
            raise ModelFormatError(f"{operation}: axes are {given}, but must be 1 to {MAX_RANK} numbers")
        rank = len(x.shape) + len(given)
        numbers = self._axes(operation, given, rank)
        rest = iter(x.shape)
        shape = tuple(1 if axis in numbers else next(rest) for axis in range(rank))
        self._copied(operation, x, shape)
        self._add(operation, shaping.Reshape(shape))

    def _pad(self, operation: Operation) -> None:
        x = self._input(operation, 0)
        mode = self._only(operation, "mode", "constant", "constant", "edge", "reflect", "wrap")
        pads = self._given(operation, 1, "pads")
        rank = len(x.shape)
        axes = range(rank)
        if self._has(operation, 3):
            axes = self._axes(operation, self._integers(operation, 3, "axes"), rank)
        if pads is None or len(pads) != 2 * len(axes) or not all(0 <= n <= MAX_ELEMENTS for n in pads):
            raise ModelFormatError(
                f"{operation}: pads are {pads}, but must be {2 * len(axes)} numbers of 0 to {MAX_ELEMENTS}"
            )
        longest = {"reflect": -1, "wrap": 0}.get(mode)
        if longest is not None:
            for i, axis in enumerate(axes):
                if max(pads[i], pads[i + len(axes)]) > x.shape[axis] + longest:
                    raise ModelFormatError(
                        f"{operation}: pads are {pads}, but mode {mode} must not add more than "
                        f"{list(x.shape)} has to repeat"
                    )
        pairs = [(0, 0)] * rank
        for i, axis in enumerate(axes):
            pairs[axis] = (pads[i], pads[i + len(axes)])
        fill = 0
        if self._has(operation, 2):
            fill = self._single(operation, 2, "constant value", x.dtype.type).item()
        elif "value" in operation.attributes:
            fill = self._number(operation, "value", 0.0)
        shape = tuple(n + sum(p) for n, p in zip(x.shape, pairs, strict=True))
        if mode == "constant" and x.dtype == np.float32 and fill:
            self._output(operation, shape)
        else:
            self._copied(operation, x, shape)
        if mode == "constant":
            self._add(operation, shaping.Pad(tuple(pairs), fill))
        else:
            added = [(axis, pair) for axis, pair in enumerate(pairs) if any(pair)]
            places = ((axis, np.pad(np.arange(x.shape[axis]), pair, mode=mode)) for axis, pair in added)
            self._add(operation, shaping.Take(tuple(places)))

    def _slice(self, operation: Operation) -> None:
        x = self._input(operation, 0)
        rank = len(x.shape)
        starts, ends = self._given(operation, 1, "starts"), self._given(operation, 2, "ends")
        axes = self._given(operation, 3, "axes")
        if starts is None or ends is None:
            raise ModelFormatError(f"{operation}: starts or ends are missing")
        axes = list(range(len(starts))) if axes is None else axes
        steps = self._integers(operation, 4, "steps") if self._has(operation, 4) else [1] * len(starts)
        if len({len(starts), len(ends), len(axes), len(steps)}) != 1 or 0 in steps:
            raise ModelFormatError(
                f"{operation}: starts, ends, axes, steps are {starts}, {ends}, {axes}, {steps}, but must be as many "
                f"each, no step 0"
            )
        begins, strides, sizes = [0] * rank, [1] * rank, list(x.shape)
        for axis, start, end, step in zip(
            self._axes(operation, axes, rank), starts, ends, steps, strict=True
        ):
            length = x.shape[axis]
            # ONNX clamps to -1 (before the first) where a negative step runs down; Python's slice does so, too.
            begin, stop, stride = slice(start, end, step).indices(length)
            begins[axis], strides[axis] = begin, stride
            sizes[axis] = len(range(begin, stop, stride))
        self._copied(operation, x, tuple(sizes))
        self._add(operation, shaping.Slice(tuple(begins), tuple(strides), tuple(sizes), tuple(sizes)))

    def _split(self, operation: Operation) -> None:
        x = self._input(operation, 0)
        axis = self._axis(operation, operation.attributes.get("axis", 0), len(x.shape))
        length, parts = x.shape[axis], len(operation.outputs)
        sizes = self._given(operation, 1, "split")
        if sizes is None:
            number = operation.attributes.get("num_outputs", parts)
            part = -(-length // max(1, parts))
            sizes = [part] * (parts - 1) + [length - part * (parts - 1)]
            uneven = "num_outputs" not in operation.attributes and length % max(1, parts)
            if number != parts or uneven:
                raise ModelFormatError(
                    f"{operation}: axis {axis} of {length} values does not divide into {parts} outputs"
                )
        if len(sizes) != parts or min(sizes, default=0) < 1 or sum(sizes) != length:
            raise ModelFormatError(
                f"{operation}: {parts} outputs of sizes {sizes} do not divide axis {axis} of {length} values"
            )
        for position, size in enumerate(sizes):
            self._copied(operation, x, (*x.shape[:axis], size, *x.shape[axis + 1 :]), position)
        self._add(operation, shaping.Split(axis, tuple(sizes)))


def _rounded_up(window: Window, size: tuple[int, int]) -> tuple[Window, tuple[int, int]]:
    """The window with so much more padding at the ends that a last, partial window counts (ceil_mode), and how much.

    A window that would begin in the padding at the end is left out.
    Source: `PoolAttributes::ComputeSizePadDilations`, providers/cpu/nn/pool_attributes.h.
    """
    pads, beyond = list(window.padding), []
    for axis in (0, 1):
        stride, extent = window.stride[axis], window.extent[axis]
        padded = size[axis] + pads[axis] + pads[axis + 2]
        count = -(-(padded - extent) // stride) + 1
        if (count - 1) * stride >= size[axis] + pads[axis]:
            count -= 1
        beyond.append(max(0, (count - 1) * stride + extent - padded))
        pads[axis + 2] += beyond[-1]
    return replace(window, padding=tuple(pads)), (beyond[0], beyond[1])


# Domain and operator -> the method that builds it. What is not here is refused by name.
OPERATORS: dict[tuple[str, str], Callable[[_Builder, Operation], None]] = {
    ("", "Abs"): _Builder._number_unary,
    ("", "Add"): _Builder._arithmetic,
    ("", "And"): _Builder._logical,
    ("", "ArgMax"): _Builder._arg_extreme,
    ("", "ArgMin"): _Builder._arg_extreme,
    ("", "AveragePool"): _Builder._average_pool,
    ("", "BatchNormalization"): _Builder._batch_norm,
    ("", "Cast"): _Builder._cast,
    ("", "Ceil"): _Builder._unary,
    ("", "Celu"): _Builder._unary,
    ("", "Clip"): _Builder._clip,
    ("", "Concat"): _Builder._concat,
    ("", "Constant"): _Builder._node_constant,
    ("", "ConstantOfShape"): _Builder._constant_of_shape,
    ("", "Conv"): _Builder._conv,
    ("", "ConvInteger"): _Builder._conv_integer,
    ("", "ConvTranspose"): _Builder._conv_transpose,
    ("", "Cos"): _Builder._unary,
    ("", "DepthToSpace"): _Builder._depth_to_space,
    ("", "DequantizeLinear"): _Builder._dequantize,
    ("", "Div"): _Builder._arithmetic,
    ("", "Dropout"): _Builder._dropout,
    ("", "DynamicQuantizeLinear"): _Builder._dynamic_quantize,
    ("", "Elu"): _Builder._unary,
    ("", "Equal"): _Builder._comparison,
    ("", "Erf"): _Builder._unary,
    ("", "Exp"): _Builder._unary,
    ("", "Expand"): _Builder._expand,
    ("", "Flatten"): _Builder._flatten,
    ("", "Floor"): _Builder._unary,
    ("", "Gather"): _Builder._gather,
    ("", "GatherElements"): _Builder._gather_elements,
    ("", "Gelu"): _Builder._unary,
    ("", "Gemm"): _Builder._gemm,
    ("", "GlobalAveragePool"): _Builder._global_average_pool,
    ("", "GlobalMaxPool"): _Builder._global_max_pool,
    ("", "Greater"): _Builder._comparison,
    ("", "GreaterOrEqual"): _Builder._comparison,
    ("", "HardSigmoid"): _Builder._unary,
    ("", "HardSwish"): _Builder._unary,
    ("", "Identity"): _Builder._identity,
    ("", "InstanceNormalization"): _Builder._instance_norm,
    ("", "LayerNormalization"): _Builder._layer_norm,
    ("", "LeakyRelu"): _Builder._unary,
    ("", "Less"): _Builder._comparison,
    ("", "LessOrEqual"): _Builder._comparison,
    ("", "Log"): _Builder._unary,
    ("", "LogSoftmax"): _Builder._softmax,
    ("", "MatMul"): _Builder._matmul,
    ("", "MatMulInteger"): _Builder._matmul_integer,
    ("", "Max"): _Builder._extreme,
    ("", "MaxPool"): _Builder._max_pool,
    ("", "Min"): _Builder._extreme,
    ("", "Mish"): _Builder._unary,
    ("", "Mod"): _Builder._mod,
    ("", "Mul"): _Builder._arithmetic,
    ("", "Neg"): _Builder._number_unary,
    ("", "Not"): _Builder._logical,
    ("", "Or"): _Builder._logical,
    ("", "PRelu"): _Builder._prelu,
    ("", "Pad"): _Builder._pad,
    ("", "Pow"): _Builder._pow,
    ("", "QLinearConv"): _Builder._qlinear_conv,
    ("", "QLinearMatMul"): _Builder._qlinear_matmul,
    ("", "QuantizeLinear"): _Builder._quantize,
    ("", "RMSNormalization"): _Builder._layer_norm,
    ("", "Range"): _Builder._range,
    ("", "Reciprocal"): _Builder._unary,
    ("", "ReduceL2"): _Builder._reduce,
    ("", "ReduceMax"): _Builder._reduce,
    ("", "ReduceMean"): _Builder._reduce,
    ("", "ReduceMin"): _Builder._reduce,
    ("", "ReduceProd"): _Builder._reduce,
    ("", "ReduceSum"): _Builder._reduce,
    ("", "ReduceSumSquare"): _Builder._reduce,
    ("", "Relu"): _Builder._relu,
    ("", "Reshape"): _Builder._reshape,
    ("", "Resize"): _Builder._resize,
    ("", "Round"): _Builder._unary,
    ("", "Selu"): _Builder._unary,
    ("", "Shape"): _Builder._shape,
    ("", "Sigmoid"): _Builder._unary,
    ("", "Sign"): _Builder._number_unary,
    ("", "SimplifiedLayerNormalization"): _Builder._layer_norm,
    ("", "Sin"): _Builder._unary,
    ("", "Size"): _Builder._size,
    ("", "Slice"): _Builder._slice,
    ("", "Softmax"): _Builder._softmax,
    ("", "Softplus"): _Builder._unary,
    ("", "Softsign"): _Builder._unary,
    ("", "SpaceToDepth"): _Builder._depth_to_space,
    ("", "Split"): _Builder._split,
    ("", "Sqrt"): _Builder._unary,
    ("", "Squeeze"): _Builder._squeeze,
    ("", "Sub"): _Builder._arithmetic,
    ("", "Tanh"): _Builder._unary,
    ("", "Tile"): _Builder._tile,
    ("", "Transpose"): _Builder._transpose,
    ("", "Trilu"): _Builder._trilu,
    ("", "Unsqueeze"): _Builder._unsqueeze,
    ("", "Upsample"): _Builder._resize,
    ("", "Where"): _Builder._where,
    ("", "Xor"): _Builder._logical,
    (MICROSOFT, "DequantizeLinear"): _Builder._dequantize,
    (MICROSOFT, "Gelu"): _Builder._unary,
    (MICROSOFT, "QGemm"): _Builder._qgemm,
    (MICROSOFT, "QLinearAdd"): _Builder._qlinear_binary,
    (MICROSOFT, "QLinearAveragePool"): _Builder._qlinear_average_pool,
    (MICROSOFT, "QLinearConcat"): _Builder._qlinear_concat,
    (MICROSOFT, "QLinearConv"): _Builder._qlinear_conv,
    (MICROSOFT, "QLinearGlobalAveragePool"): _Builder._qlinear_global_average_pool,
    (MICROSOFT, "QLinearLeakyRelu"): _Builder._table,
    (MICROSOFT, "QLinearMul"): _Builder._qlinear_binary,
    (MICROSOFT, "QLinearSigmoid"): _Builder._table,
    (MICROSOFT, "QLinearSoftmax"): _Builder._qlinear_softmax,
    (MICROSOFT, "QLinearWhere"): _Builder._qlinear_where,
    (MICROSOFT, "QuantizeLinear"): _Builder._quantize,
}
for _domain in qonnx_scheme.DOMAINS:
    OPERATORS[_domain, "BipolarQuant"] = _Builder._bipolar_quant
    OPERATORS[_domain, "FloatQuant"] = _Builder._float_quant
    OPERATORS[_domain, "IntQuant"] = OPERATORS[_domain, "Quant"] = _Builder._quant
    OPERATORS[_domain, "MultiThreshold"] = _Builder._multi_threshold
    OPERATORS[_domain, "Trunc"] = _Builder._trunc
_Builder.operators = OPERATORS
