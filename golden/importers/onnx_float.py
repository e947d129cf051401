# SPDX-License-Identifier: Apache-2.0
"""ONNX's operators between quantised ones: element by element, norms, reductions, shapes; dynamic quantisation.

Checks of a node's operands and attributes, and the shape of what it makes; what it computes is in
`golden.layers.onnx_float`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from golden.errors import ModelFormatError, UnsupportedOperatorError
from golden.graph import Tensor
from golden.importers.onnx_graph import EIGHT_BITS, MAX_ELEMENTS, MAX_RANK, Builder, Operation
from golden.layers import eigen, shaping
from golden.layers import onnx as layers
from golden.layers import onnx_float as floats
from golden.layers.linear import Convolution
from golden.schemes import onnx as scheme

__all__ = ["FloatOperators"]

_NUMBERS = (np.float32, np.int64, np.int32, np.int8, np.uint8)
_WHOLE = (np.int64, np.int32)
# Operator -> function of its operands.
_FUNCTIONS: dict[str, Callable[..., np.ndarray]] = {
    "Abs": np.abs,
    "Add": np.add,
    "And": np.logical_and,
    "Ceil": np.ceil,
    "Cos": floats.in_float64(np.cos),
    "Div": floats.quotient,
    "Equal": np.equal,
    "Erf": scheme.erf,
    "Exp": scheme.exp,
    "Floor": np.floor,
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
    "HardSwish": floats.hard_swish,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
    "Log": eigen.log,
    "Max": np.maximum,
    "Min": np.minimum,
    "Mish": floats.mish,
    "Mul": np.multiply,
    "Neg": np.negative,
    "Not": np.logical_not,
    "Or": np.logical_or,
    "Reciprocal": np.reciprocal,
    "Round": np.rint,
    "Sigmoid": scheme.logistic,
    "Sign": np.sign,
    "Sin": floats.in_float64(np.sin),
    "Softplus": floats.softplus,
    "Softsign": floats.softsign,
    "Sqrt": np.sqrt,
    "Sub": np.subtract,
    "Tanh": scheme.tanh,
    "Xor": np.logical_xor,
}


class FloatOperators(Builder):
    """One method for each operator, or for each family of one shape rule."""

    # Element by element.

    def _elementwise(
        self, operation: Operation, function: Callable[..., np.ndarray], tensors: list[Tensor], dtype: Any
    ) -> None:
        self._output(operation, self._broadcast(operation, *tensors), dtype)
        self._add(operation, floats.Elementwise(function), tuple(range(len(tensors))))

    def _operands(self, operation: Operation, count: int, *dtypes: type) -> list[Tensor]:
        """`count` operands of one and the same of `dtypes`."""
        self._count(operation, count)
        first = self._input(operation, 0, *dtypes)
        return [first, *(self._input(operation, i, first.dtype.type) for i in range(1, count))]

    def _count(self, operation: Operation, count: int) -> None:
        if len(operation.inputs) != count:
            raise ModelFormatError(f"{operation} has {len(operation.inputs)} inputs, but must have {count}")

    def _unary(self, operation: Operation) -> None:
        function = _FUNCTIONS.get(operation.kind)
        if operation.kind == "Elu":
            function = functools.partial(floats.elu, alpha=self._number(operation, "alpha", 1.0))
        elif operation.kind == "Celu":
            alpha = self._number(operation, "alpha", 1.0)
            if np.float32(alpha) == 0:
                raise ModelFormatError(f"{operation}: attribute alpha is {alpha}, but must not be 0")
            function = functools.partial(floats.celu, alpha=alpha)
        elif operation.kind == "Selu":
            alpha = self._number(operation, "alpha", 1.67326319217681884765625)
            gamma = self._number(operation, "gamma", 1.05070102214813232421875)
            function = functools.partial(floats.selu, alpha=alpha, gamma=gamma)
        elif operation.kind == "HardSigmoid":
            alpha, beta = self._number(operation, "alpha", 0.2), self._number(operation, "beta", 0.5)
            function = functools.partial(floats.hard_sigmoid, alpha=alpha, beta=beta)
        elif operation.kind == "LeakyRelu":
            function = layers.LeakyRelu(self._number(operation, "alpha", 0.01))
        elif operation.kind == "Gelu":
            approximate = self._only(operation, "approximate", "none", "none", "tanh")
            function = functools.partial(floats.gelu, approximate=approximate)
        (x,) = self._operands(operation, 1, np.float32)
        self._elementwise(operation, function, [x], np.float32)

    def _number_unary(self, operation: Operation) -> None:
        """Of floats or integers: Abs, Neg, Sign."""
        (x,) = self._operands(operation, 1, np.float32, np.int64, np.int32)
        self._elementwise(operation, _FUNCTIONS[operation.kind], [x], x.dtype)

    def _arithmetic(self, operation: Operation) -> None:
        tensors = self._operands(operation, 2, np.float32, *_WHOLE)
        self._elementwise(operation, _FUNCTIONS[operation.kind], tensors, tensors[0].dtype)

    def _mod(self, operation: Operation) -> None:
        fmod = self._only(operation, "fmod", 0, 0, 1)
        tensors = self._operands(operation, 2, *((np.float32,) if fmod else _WHOLE))
        self._elementwise(operation, np.fmod if fmod else np.mod, tensors, tensors[0].dtype)

    def _pow(self, operation: Operation) -> None:
        self._count(operation, 2)
        x, exponent = self._input(operation, 0, np.float32), self._input(operation, 1, np.float32, *_WHOLE)
        # A list of one exponent counts as one; several are each the C library's.
        self._elementwise(operation, floats.power, [x, exponent], np.float32)

    def _extreme(self, operation: Operation) -> None:
        tensors = self._operands(operation, max(1, len(operation.inputs)), *_NUMBERS)
        function = _FUNCTIONS[operation.kind]
        self._elementwise(
            operation, lambda *arrays: functools.reduce(function, arrays), tensors, tensors[0].dtype
        )

    def _comparison(self, operation: Operation) -> None:
        kinds = (*_NUMBERS, np.bool_) if operation.kind == "Equal" else _NUMBERS
        tensors = self._operands(operation, 2, *kinds)
        self._elementwise(operation, _FUNCTIONS[operation.kind], tensors, np.bool_)

    def _logical(self, operation: Operation) -> None:
        tensors = self._operands(operation, 1 if operation.kind == "Not" else 2, np.bool_)
        self._elementwise(operation, _FUNCTIONS[operation.kind], tensors, np.bool_)

    def _where(self, operation: Operation) -> None:
        self._count(operation, 3)
        condition, a = self._input(operation, 0, np.bool_), self._input(operation, 1)
        b = self._input(operation, 2, a.dtype.type)
        self._elementwise(operation, np.where, [condition, a, b], a.dtype)

    def _prelu(self, operation: Operation) -> None:
        x, slope = self._operands(operation, 2, np.float32)
        if self._broadcast(operation, x, slope) != x.shape:
            raise ModelFormatError(
                f"{operation}: slope has shape {list(slope.shape)}, but must broadcast to {list(x.shape)}"
            )
        self._elementwise(operation, floats.prelu, [x, slope], np.float32)

    def _cast(self, operation: Operation) -> None:
        self._count(operation, 1)
        x = self._input(operation, 0)
        _, dtype, bits = self._type(operation.attributes.get("to", 0), f"{operation}: attribute to")
        if bits or (x.quantisation is not None and getattr(x.quantisation, "bits", None)):
            raise UnsupportedOperatorError(
                f"{operation}: attribute to asks for 4 bits, but must be 8 or more"
            )
        self._output(operation, x.shape, dtype)
        self._add(operation, floats.Cast(dtype))

    def _dropout(self, operation: Operation) -> None:
        if self._has(operation, 2) and bool(self._single(operation, 2, "training_mode", np.bool_)):
            raise UnsupportedOperatorError(f"{operation}: training_mode is true, but must be false")
        x = self._input(operation, 0)
        self._copied(operation, x, x.shape)
        self._add(operation, shaping.Reshape(x.shape))

    # Norms and reductions.

    def _softmax(self, operation: Operation) -> None:
        x = self._input(operation, 0, np.float32)
        rank = len(x.shape)
        axis = self._axis(operation, operation.attributes.get("axis", -1 if self._opset >= 13 else 1), rank)
        # Before opset 13 all axes from this one on are one.
        axes = (axis,) if self._opset >= 13 else tuple(range(axis, rank))
        self._output(operation, x.shape)
        self._add(operation, floats.Softmax(axes, operation.kind == "LogSoftmax"))

    def _vector(self, operation: Operation, position: int, what: str, length: int) -> None:
        shape = self._input(operation, position, np.float32).shape
        if shape != (length,):
            raise ModelFormatError(f"{operation}: {what} has shape {list(shape)}, but must have [{length}]")

    def _layer_norm(self, operation: Operation) -> None:
        x = self._input(operation, 0, np.float32)
        axis = self._axis(operation, operation.attributes.get("axis", -1), len(x.shape))
        self._only(operation, "stash_type", 1, 1)
        data = (0, 1, 2) if self._has(operation, 2) else (0, 1)
        for position in data[1:]:
            given = self._input(operation, position, np.float32).shape
            if math.prod(given) != math.prod(x.shape[axis:]) or given[-1:] != x.shape[-1:]:
                raise ModelFormatError(
                    f"{operation}: input {position} has shape {list(given)}, but must have {list(x.shape[axis:])}"
                )
        simplified = operation.kind in ("SimplifiedLayerNormalization", "RMSNormalization")
        self._output(operation, x.shape)
        epsilon = self._number(operation, "epsilon", 1e-5)
        self._add(operation, floats.LayerNormalization(axis, epsilon, simplified), data)

    def _instance_norm(self, operation: Operation) -> None:
        x = self._channelled(operation)
        for position, what in ((1, "scale"), (2, "bias")):
            self._vector(operation, position, what, x.shape[1])
        self._output(operation, x.shape)
        epsilon = self._number(operation, "epsilon", 1e-5)
        self._add(operation, floats.InstanceNormalization(epsilon), (0, 1, 2))

    def _channelled(self, operation: Operation) -> Tensor:
        x = self._input(operation, 0, np.float32)
        if len(x.shape) < 2:
            raise ModelFormatError(
                f"{operation}: tensor {x.name!r} has shape {list(x.shape)}, but must be [B, C, ...]"
            )
        return x

    def _batch_norm(self, operation: Operation) -> None:
        x = self._channelled(operation)
        self._only(operation, "training_mode", 0, 0)
        self._only(operation, "spatial", 1, 1)
        for position, what in ((1, "scale"), (2, "bias"), (3, "mean"), (4, "variance")):
            self._vector(operation, position, what, x.shape[1])
        self._output(operation, x.shape)
        epsilon = self._number(operation, "epsilon", 1e-5)
        self._add(operation, floats.BatchNormalization(epsilon), (0, 1, 2, 3, 4))

    def _reduce(self, operation: Operation) -> None:
        kinds = (np.float32,)
        if operation.kind in ("ReduceMax", "ReduceMin"):
            kinds = _NUMBERS
        elif operation.kind == "ReduceProd":
            kinds = _WHOLE
        elif operation.kind == "ReduceSum":
            kinds = (np.float32, *_WHOLE)
        x = self._input(operation, 0, *kinds)
        rank = len(x.shape)
        given = self._given(operation, 1, "axes")
        keep = bool(self._only(operation, "keepdims", 1, 0, 1))
        if not given:
            nothing = self._only(operation, "noop_with_empty_axes", 0, 0, 1)
            given = [] if nothing else list(range(rank))
        axes = tuple(sorted(self._axes(operation, given, rank)))
        shape = [1 if i in axes else n for i, n in enumerate(x.shape) if keep or i not in axes]
        self._output(operation, tuple(shape), x.dtype)
        self._add(operation, floats.Reduce(operation.kind, axes, keep))

    def _arg_extreme(self, operation: Operation) -> None:
        x = self._input(operation, 0, *_NUMBERS)
        axis = self._axis(operation, operation.attributes.get("axis", 0), len(x.shape))
        keep = bool(self._only(operation, "keepdims", 1, 0, 1))
        last = bool(self._only(operation, "select_last_index", 0, 0, 1))
        kept = (1,) if keep else ()
        self._output(operation, (*x.shape[:axis], *kept, *x.shape[axis + 1 :]), np.int64)
        self._add(operation, floats.ArgExtreme(axis, keep, operation.kind == "ArgMax", last))

    # Dynamic quantisation and integer products.

    def _dynamic_quantize(self, operation: Operation) -> None:
        x = self._input(operation, 0, np.float32)
        self._output(operation, x.shape, np.uint8)
        self._output(operation, (), np.float32, position=1)
        self._output(operation, (), np.uint8, position=2)
        self._add(operation, floats.DynamicQuantizeLinear())

    def _matmul_integer(self, operation: Operation) -> None:
        a, b = (self._input(operation, i, *EIGHT_BITS) for i in (0, 1))
        shape = self._product_shape(operation, a, b)
        data, given = [0, 1], []
        for position, tensor, length in ((2, a, a.shape[-2]), (3, b, b.shape[-1])):
            given.append(self._has(operation, position))
            if given[-1]:
                point = self._input(operation, position, tensor.dtype.type)
                if point.shape not in ((), (1,), (length,)):
                    raise UnsupportedOperatorError(
                        f"{operation}: zero point {point.name!r} has shape {list(point.shape)}, but must hold 1 or "
                        f"{length} value(s)"
                    )
                data.append(position)
        y = self._output(operation, shape, np.int32)
        macs = math.prod(y.shape) * a.shape[-1]
        self._add(operation, floats.MatMulInteger(tuple(given)), tuple(data), macs)

    def _conv_integer(self, operation: Operation) -> None:
        x, weight = (self._input(operation, i, *EIGHT_BITS) for i in (0, 1))
        size = self._map(operation, x)
        groups = self._grouped(operation, x, weight)
        window = self._window(operation, size, weight.shape[2:])
        values = self._constant(operation, 1, "weight", *EIGHT_BITS).astype(np.int64)
        if self._has(operation, 3):
            zeros = self._constant(operation, 3, "weight zero point", weight.dtype.type).astype(np.int64)
            if zeros.shape not in ((), (1,), (len(values),)):
                raise UnsupportedOperatorError(
                    f"{operation}: weight zero point has shape {list(zeros.shape)}, but must hold 1 or {len(values)} "
                    f"value(s)"
                )
            values = values - zeros.reshape(-1, *(1,) * (values.ndim - 1))
        given = self._has(operation, 2)
        if given and self._input(operation, 2, x.dtype.type).shape not in ((), (1,)):
            raise UnsupportedOperatorError(
                f"{operation}: zero point of x has several values, but must have 1"
            )
        values = values if values.ndim == 4 else values[:, :, None]
        bias = np.zeros(len(values), np.int64)
        convolution = Convolution(values.transpose(0, 2, 3, 1), bias, window, 0, groups, magnitude=255)
        y = self._output(operation, (x.shape[0], len(values), *self._mapped(window, size)), np.int32)
        self._bound_columns(operation, x, math.prod(window.kernel), y)
        operator = self._flat(floats.ConvInteger(convolution, given), x)
        self._add(operation, operator, (0, 2) if given else (0,), math.prod(y.shape) * values[0].size)

    def _conv_transpose(self, operation: Operation) -> None:
        x, weight = (self._input(operation, i, np.float32) for i in (0, 1))
        size = self._map(operation, x)
        groups = operation.attributes.get("group", 1)
        if not isinstance(groups, int) or not 1 <= groups <= x.shape[1]:
            raise ModelFormatError(f"{operation}: attribute group is {groups}, but must be 1 to {x.shape[1]}")
        if len(weight.shape) != len(x.shape) or weight.shape[0] != x.shape[1] or x.shape[1] % groups:
            raise ModelFormatError(
                f"{operation}: weights have shape {list(weight.shape)} for input {list(x.shape)} and group {groups}, "
                f"but must have {x.shape[1]} input channels"
            )
        self._fixed_weights(operation, weight)
        rank = len(size)
        window = self._window(operation, size, weight.shape[2:])
        extra = operation.attributes.get("output_padding", [0] * rank)
        if not isinstance(extra, list) or len(extra) != rank or not all(0 <= n <= 1 << 16 for n in extra):
            raise ModelFormatError(
                f"{operation}: attribute output_padding is {extra}, but must be {rank} numbers of 0 to {1 << 16}"
            )
        if (
            "output_shape" in operation.attributes
            or operation.attributes.get("auto_pad", "NOTSET") != "NOTSET"
        ):
            raise UnsupportedOperatorError(
                f"{operation}: output_shape and auto_pad are not supported, but pads are"
            )
        rows, extra = (1, *size) if rank == 1 else size, [0, *extra] if rank == 1 else extra
        out = tuple(
            (n - 1) * s + e - before - after + more
            for n, s, e, before, after, more in zip(
                rows, window.stride, window.extent, window.padding[:2], window.padding[2:], extra, strict=True
            )
        )
        if min(out) < 1:
            raise ModelFormatError(f"{operation}: the output would be {list(out)}, but must be 1 or more")
        outputs = weight.shape[1] * groups
        self._output(operation, (x.shape[0], outputs, *out[2 - rank :]))
        columns = outputs * math.prod(window.kernel) * math.prod(size)
        if columns > MAX_ELEMENTS:
            raise ModelFormatError(
                f"{operation}: {columns} products of inputs and weights, but at most {MAX_ELEMENTS} are allowed"
            )
        data = (0, 1)
        if self._has(operation, 2):
            self._vector(operation, 2, "bias", outputs)
            data = (0, 1, 2)
        transposed = self._packed(weight) and weight.shape[1] * math.prod(window.kernel) > 1
        operator = floats.ConvTranspose(
            window, groups, out, layers.float_product if transposed else layers.product_of_transposed
        )
        self._add(operation, self._flat(operator, x), data, columns * x.shape[1] // groups)

    # Shapes and values that move.

    def _given_values(self, operation: Operation, values: np.ndarray) -> None:
        self._output(operation, values.shape, values.dtype)
        self._add(operation, floats.Fixed(values), ())

    def _shape(self, operation: Operation) -> None:
        shape = self._input(operation, 0).shape
        rank = len(shape)
        start, end = operation.attributes.get("start", 0), operation.attributes.get("end", rank)
        if not isinstance(start, int) or not isinstance(end, int):
            raise ModelFormatError(
                f"{operation}: attributes start and end are {start} and {end}, but must be integers"
            )
        self._given_values(operation, np.array(shape[slice(start, end)], np.int64))

    def _size(self, operation: Operation) -> None:
        self._given_values(operation, np.array(math.prod(self._input(operation, 0).shape), np.int64))

    def _range(self, operation: Operation) -> None:
        first = self._input(operation, 0, np.float32, *_WHOLE).dtype.type
        start, limit, delta = (
            self._single(operation, i, what, first) for i, what in enumerate(("start", "limit", "delta"))
        )
        if delta == 0 or not np.isfinite([start, limit, delta]).all():
            raise ModelFormatError(f"{operation}: delta is {delta}, but must be finite and not 0")
        count = max(0, math.ceil((float(limit) - float(start)) / float(delta)))
        self._bounded(operation, (count,))
        self._given_values(operation, (start + np.arange(count).astype(first) * delta).astype(first))

    def _bounded(self, operation: Operation, shape: Any) -> None:
        if len(shape) > MAX_RANK or min(shape, default=0) < 0 or math.prod(shape) > MAX_ELEMENTS:
            raise ModelFormatError(
                f"{operation}: the output would have shape {list(shape)[: MAX_RANK + 1]}, but must have at most "
                f"{MAX_RANK} axes of 0 or more and {MAX_ELEMENTS} values"
            )

    def _constant_of_shape(self, operation: Operation) -> None:
        shape = tuple(self._integers(operation, 0, "shape"))
        self._bounded(operation, shape)
        value = np.zeros(1, np.float32)
        if "value" in operation.attributes:
            value, _ = self._tensor_attribute(operation, "value")
        if value.size != 1:
            raise ModelFormatError(f"{operation}: attribute value has {value.size} values, but must have 1")
        self._given_values(operation, np.broadcast_to(value.reshape(-1)[0], shape))

    def _gather(self, operation: Operation) -> None:
        data, indices = self._input(operation, 0), self._input(operation, 1, *_WHOLE)
        axis = self._axis(operation, operation.attributes.get("axis", 0), len(data.shape))
        self._check_indices(operation, indices, data.shape[axis])
        shape = (*data.shape[:axis], *indices.shape, *data.shape[axis + 1 :])
        self._copied(operation, data, shape)
        self._add(operation, floats.Gather(axis, str(operation)), (0, 1))

    def _check_indices(self, operation: Operation, indices: Tensor, length: int) -> None:
        values = self._value(indices.name)
        if values is not None and values.size and not -length <= values.min() <= values.max() < length:
            raise ModelFormatError(
                f"{operation}: indices are {values.min()} to {values.max()}, but must be {-length} to {length - 1}"
            )

    def _gather_elements(self, operation: Operation) -> None:
        data, indices = self._input(operation, 0), self._input(operation, 1, *_WHOLE)
        axis = self._axis(operation, operation.attributes.get("axis", 0), len(data.shape))
        others = [i for i in range(len(data.shape)) if i != axis]
        if len(indices.shape) != len(data.shape) or any(indices.shape[i] > data.shape[i] for i in others):
            raise ModelFormatError(
                f"{operation}: indices have shape {list(indices.shape)}, but must fit into {list(data.shape)}"
            )
        self._check_indices(operation, indices, data.shape[axis])
        self._copied(operation, data, indices.shape)
        self._add(operation, floats.GatherElements(axis, str(operation)), (0, 1))

    def _expand(self, operation: Operation) -> None:
        x = self._input(operation, 0)
        wanted = self._integers(operation, 1, "shape")
        self._bounded(operation, wanted)
        try:
            shape = np.broadcast_shapes(x.shape, tuple(wanted))
        except ValueError:
            raise ModelFormatError(
                f"{operation}: shape is {wanted}, but {list(x.shape)} must broadcast to it"
            ) from None
        self._copied(operation, x, shape)
        self._add(operation, shaping.Broadcast(shape))

    def _tile(self, operation: Operation) -> None:
        x = self._input(operation, 0)
        repeats = self._integers(operation, 1, "repeats")
        if len(repeats) != len(x.shape) or not all(1 <= n <= MAX_ELEMENTS for n in repeats):
            raise ModelFormatError(
                f"{operation}: repeats are {repeats}, but must be {len(x.shape)} numbers of 1 to {MAX_ELEMENTS}"
            )
        self._copied(operation, x, tuple(n * r for n, r in zip(x.shape, repeats, strict=True)))
        self._add(operation, shaping.Tile(tuple(repeats)))

    def _trilu(self, operation: Operation) -> None:
        x = self._input(operation, 0)
        if len(x.shape) < 2:
            raise ModelFormatError(
                f"{operation}: tensor {x.name!r} has shape {list(x.shape)}, but must be a matrix"
            )
        k = int(self._single(operation, 1, "k", np.int64)) if self._has(operation, 1) else 0
        reach = sum(x.shape[-2:])
        self._copied(operation, x, x.shape)
        upper = bool(self._only(operation, "upper", 1, 0, 1))
        self._add(operation, floats.Trilu(upper, max(-reach, min(k, reach))))

    def _depth_to_space(self, operation: Operation) -> None:
        x = self._input(operation, 0)
        block = operation.attributes.get("blocksize")
        if len(x.shape) != 4 or not isinstance(block, int) or not 1 <= block <= 1 << 16:
            raise ModelFormatError(
                f"{operation}: attribute blocksize is {block} for {list(x.shape)}, but must be 1 or "
                f"more, for 4 axes"
            )
        batch, channels, height, width = x.shape
        if operation.kind == "DepthToSpace":
            mode = self._only(operation, "mode", "DCR", "DCR", "CRD")
            divides = channels % block**2 == 0
            shape = (batch, channels // block**2, height * block, width * block)
            operator: Any = floats.DepthToSpace(block, mode == "CRD")
        else:
            divides = height % block == 0 and width % block == 0
            shape = (batch, channels * block**2, height // block, width // block)
            operator = floats.SpaceToDepth(block)
        if not divides:
            raise ModelFormatError(
                f"{operation}: attribute blocksize is {block}, but must divide {list(x.shape)}"
            )
        self._copied(operation, x, shape)
        self._add(operation, operator)

    def _resize(self, operation: Operation) -> None:
        x = self._input(operation, 0, np.float32, *EIGHT_BITS)
        rank = len(x.shape)
        for name, value in (("antialias", 0), ("exclude_outside", 0), ("axes", None)):
            self._only(operation, name, value, value)
        self._only(operation, "keep_aspect_ratio_policy", "stretch", "stretch")
        mode = self._only(operation, "mode", "nearest", "nearest", "linear")
        old = operation.kind == "Upsample" or self._opset < 11
        place = self._only(
            operation, "coordinate_transformation_mode", "asymmetric" if old else "half_pixel",
            "half_pixel", "asymmetric", "pytorch_half_pixel", "align_corners",
        )  # fmt: skip
        rounding = self._only(
            operation, "nearest_mode", "floor" if old else "round_prefer_floor",
            "round_prefer_floor", "round_prefer_ceil", "floor", "ceil",
        )  # fmt: skip
        shape, scales = self._resized(operation, x, 1 if old else 2)
        if mode == "linear" and x.dtype == np.float32:
            self._output(operation, shape)  # means need not be values that a quantiser of float32 gives
        else:
            self._copied(operation, x, shape)
        if shape == x.shape:
            self._add(operation, shaping.Reshape(shape))
            return
        coordinates = [
            _coordinates(place, n, out, scale) for n, out, scale in zip(x.shape, shape, scales, strict=True)
        ]
        if mode == "nearest":
            changed = [i for i, scale in enumerate(scales) if shape[i] != x.shape[i] or scale != 1]
            places = ((i, _nearest(coordinates[i], rounding, x.shape[i])) for i in changed)
            self._add(operation, shaping.Take(tuple(places)))
            return
        if rank not in (2, 4) or shape[:-2] != x.shape[:-2]:
            raise UnsupportedOperatorError(
                f"{operation}: {list(x.shape)} to {list(shape)} in mode linear, but 2 or 4 axes must change in the "
                f"last two alone"
            )
        pairs = zip(coordinates[-2:], x.shape[-2:], strict=True)
        self._add(operation, floats.ResizeLinear(*(_neighbours(c, n) for c, n in pairs)))

    def _resized(
        self, operation: Operation, x: Tensor, position: int
    ) -> tuple[tuple[int, ...], list[np.float32]]:
        """The shape of the result, and its ratio to the input's for each axis."""
        if self._has(operation, position) and self._constant(operation, position, "scales", np.float32).size:
            scales = list(self._constant(operation, position, "scales", np.float32).ravel())
            if len(scales) != len(x.shape) or not all(0 < s <= 1 << 16 for s in scales):
                raise ModelFormatError(
                    f"{operation}: scales are {[float(s) for s in scales]}, but must be {len(x.shape)} numbers above 0"
                )
            shape = tuple(int(np.float32(n) * s) for n, s in zip(x.shape, scales, strict=True))
        else:
            shape = tuple(self._integers(operation, position + 1, "sizes"))
            if len(shape) != len(x.shape):
                raise ModelFormatError(
                    f"{operation}: sizes are {list(shape)}, but must be {len(x.shape)} numbers"
                )
            scales = [np.float32(out) / np.float32(n) for out, n in zip(shape, x.shape, strict=True)]
        return shape, scales

    def _global_max_pool(self, operation: Operation) -> None:
        x = self._channelled(operation)
        axes = tuple(range(2, len(x.shape)))
        self._output(operation, (*x.shape[:2], *(1 for _ in axes)))
        self._add(operation, floats.Reduce("ReduceMax", axes, True))


def _coordinates(mode: str, length: int, out: int, scale: np.float32) -> np.ndarray:
    """Where each of `out` values lies in an axis of `length`, in float32.

    Source: `GetOriginalCoordinateFromResizedCoordinate`, providers/cpu/tensor/upsamplebase.h.
    """
    x = np.arange(out).astype(np.float32)
    half = np.float32(0.5)
    if length == out and scale == 1:
        return x
    if mode == "asymmetric":
        return x / scale
    if mode == "align_corners":
        return x * np.float32(length - 1) / np.float32(out - 1) if out > 1 else x * np.float32(0)
    if mode == "pytorch_half_pixel" and out == 1:
        return x * np.float32(0)
    return (x + half) / scale - half


def _nearest(x: np.ndarray, rounding: str, length: int) -> np.ndarray:
    """Index of the value nearest to each coordinate; less than 1e-6 from the middle of two, it is in the middle.

    Source: `UpsampleBase::GetNearestPixelFunction`, providers/cpu/tensor/upsamplebase.h.
    """
    x = x.astype(np.float64)
    low = np.floor(x)
    middle = np.abs(x - low - 0.5) < 1e-6
    if rounding == "floor":
        y = np.floor(x)
    elif rounding == "ceil":
        y = np.ceil(x)
    elif rounding == "round_prefer_ceil":
        y = np.where(middle, low + 1, np.floor(x + 0.5))
    else:
        y = np.where(middle, low, np.floor(x + 0.5))
    return np.clip(y, 0, length - 1).astype(np.int64)


def _neighbours(x: np.ndarray, length: int) -> tuple[np.ndarray, ...]:
    """Indices of the two values around each coordinate, and its distances to them."""
    x = np.clip(x, np.float32(0), np.float32(length - 1))
    first = np.minimum(x.astype(np.int64), length - 1)
    second = np.minimum(first + 1, length - 1)
    near, far = (np.abs(x - i.astype(np.float32)) for i in (first, second))
    same = first == second
    half = np.float32(0.5)
    return first, second, np.where(same, half, near), np.where(same, half, far)
