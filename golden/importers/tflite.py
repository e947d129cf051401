# SPDX-License-Identifier: Apache-2.0
"""Reads TFLite int8 models (.tflite) into graphs whose every tensor equals LiteRT's reference kernels.

The file is untrusted data: `golden.importers.tflite_file` copies it into plain Python objects under checks of every
count and size, and only then it is turned into operators (`_Builder`). Shapes are inferred from the inputs' shapes and
the operators, as LiteRT does, and are bounded before any array of that shape exists.

Streaming models keep their state in variables: VAR_HANDLE names one, CALL_ONCE's subgraph gives it its initial value,
READ_VARIABLE and ASSIGN_VARIABLE become `golden.graph`'s.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from golden.errors import (
    ConfigurationError,
    DoesNotFitError,
    ModelFormatError,
    UnsupportedOperatorError,
)
from golden.graph import AssignVariable, Graph, Node, ReadVariable, Tensor
from golden.importers import model_file
from golden.importers.tflite_file import ACTIVATION, MAX_RANK, Operation, Stored, Subgraph, read
from golden.layers import shaping
from golden.layers import tflite as layers
from golden.layers import tflite_tables as tables
from golden.layers.linear import Convolution, TransposedConvolution, Window
from golden.schemes.tflite import (
    ACTIVATIONS,
    Affine,
    FloatRescale,
    Rescale,
    activation_range,
    round_half_away,
)

__all__ = ["MAX_ELEMENTS", "OPERATORS", "load", "loads"]

# Bounds of what a file may ask for.
MAX_ELEMENTS = 1 << 26  # values of one tensor in one run, or of a padded map
MAX_KERNEL = 1 << 16  # places of a convolution's or pooling's window
MAX_AXIS = 1 << 20  # rows or columns of a resized map, whose places times 1024 must stay within 32 bits

# How far a converter's rounding may put two scales apart that are meant to be one, where values are only moved
# (pooling, padding): the tolerance that TFLite's own kernels have had.
_NEARLY = 1e-6

_DTYPES = {
    "FLOAT32": np.dtype(np.float32),
    "INT8": np.dtype(np.int8),
    "UINT8": np.dtype(np.uint8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "BOOL": np.dtype(np.bool_),
}

# What to do about activations of another dtype.
_HINTS = {
    "float32": "; quantise the model to int8 first, inside and not only its weights",
    "int16": "; models of int16 activations (16x8) are not supported, quantise to int8",
    "uint8": "; models of uint8 inside are not supported, quantise to int8 (uint8 inputs and outputs are)",
}

# Numbers that operators of `_EXACT` take as they are.
_PLAIN = (np.dtype(np.float32), np.dtype(np.int32), np.dtype(np.int64))

_COMPARISONS = {
    "EQUAL": np.equal,
    "GREATER": np.greater,
    "GREATER_EQUAL": np.greater_equal,
    "LESS": np.less,
    "LESS_EQUAL": np.less_equal,
    "NOT_EQUAL": np.not_equal,
}
# Between DEQUANTIZE and QUANTIZE a converter leaves what has no int8 kernel in float32. These operators are exactly
# rounded in IEEE 754, so that numpy's float32 has the bits of C's; exponentials and the like are not, and are refused.
_FLOAT_ONLY = {
    "CEIL": np.ceil,
    "DIV": np.divide,
    "FLOOR": np.floor,
    "ROUND": np.rint,
    "RSQRT": lambda x: np.float32(1) / np.sqrt(x),
    "SIGN": np.sign,
    "SQRT": np.sqrt,
    "SQUARE": np.square,
}
_EXACT: dict[str, Callable[..., np.ndarray]] = {
    **_COMPARISONS,
    **_FLOAT_ONLY,
    "ABS": np.abs,
    "ADD": np.add,
    "ADD_N": lambda *tensors: functools.reduce(np.add, tensors),
    "LOGICAL_AND": np.logical_and,
    "LOGICAL_NOT": np.logical_not,
    "LOGICAL_OR": np.logical_or,
    "MAXIMUM": np.maximum,
    "MINIMUM": np.minimum,
    "MUL": np.multiply,
    "NEG": np.negative,
    "PRELU": lambda x, alpha: np.where(x >= 0, x, x * alpha),
    "SQUARED_DIFFERENCE": lambda a, b: (a - b) * (a - b),
    "SUB": np.subtract,
}

_TABLES = {
    "ABS": tables.abs_table,
    "ELU": tables.elu_table,
    "EXP": tables.exp_table,
    "HARD_SWISH": tables.hard_swish_table,
    "LOG": tables.log_table,
    "LOGISTIC": tables.logistic_table,
    "RSQRT": tables.rsqrt_table,
    "SQRT": tables.sqrt_table,
    "TANH": tables.tanh_table,
}


def load(path: Path) -> Graph:
    """Read a .tflite file; see `loads`.

    Raises:
        GoldenError: the file cannot be read, or the package `tflite` is not installed.
        ModelFormatError, UnsupportedOperatorError: see `loads`.
    """
    return model_file.load(path, loads)


def loads(data: bytes, name: str = "model") -> Graph:
    """Turn the bytes of a .tflite file into a graph.

    Args:
        data: the file.
        name: of the graph.

    Returns:
        A graph whose tensors have the file's names, axis order and dtypes; a name that is empty or used twice gets
        "#" and the tensor's index behind it. Tensors' `index` is LiteRT's tensor index.

    Raises:
        GoldenError: the package `tflite` is not installed.
        ModelFormatError: not a TFLite file, damaged, inconsistent, or asking for more than `MAX_ELEMENTS`.
        UnsupportedOperatorError: an operator outside `OPERATORS`, a float model, or an attribute without definition.
    """
    graphs = read(data)
    return _Builder(graphs, name).graph()


class _Builder:
    """Turns the file's first subgraph into a `Graph`, one method for each operator."""

    def __init__(self, subgraphs: list[Subgraph], name: str) -> None:
        self._subgraphs = subgraphs
        self._stored = subgraphs[0].tensors
        self._name = name
        self._names = _unique_names(self._stored)
        self._tensors: dict[int, Tensor] = {}
        self._constants: dict[int, np.ndarray] = {}
        self._handles: dict[int, str] = {}
        self._variables: dict[str, np.ndarray] = {}
        self._nodes: list[Node] = []
        self._made = 0  # outputs of the present operation that are described

    def graph(self) -> Graph:
        main = self._subgraphs[0]
        for index in main.inputs:
            self._tensors[index] = self._declared(index, self._stored[index].shape)
        for operation in main.operations:
            if operation.kind not in OPERATORS:
                raise UnsupportedOperatorError(
                    f"{operation}: this operator is not among those supported: {', '.join(OPERATORS)}"
                )
            self._made = 0
            try:
                OPERATORS[operation.kind](self, operation)
            except (ConfigurationError, DoesNotFitError) as error:
                raise ModelFormatError(f"{operation}: {error}") from None
        for index in main.outputs:
            self._find(index, "graph output")
        if not main.outputs:
            raise ModelFormatError("the graph has 0 outputs, but must have 1 or more")
        used = {name for node in self._nodes for name in node.inputs} | {self._names[i] for i in main.outputs}
        return Graph(
            name=self._name,
            tensors={tensor.name: tensor for tensor in self._tensors.values()},
            inputs=tuple(self._names[i] for i in main.inputs),
            outputs=tuple(self._names[i] for i in main.outputs),
            nodes=tuple(self._nodes),
            constants={self._names[i]: a for i, a in self._constants.items() if self._names[i] in used},
            variables=self._variables,
        )

    # Tensors.

    def _declared(self, index: int, shape: tuple[int, ...]) -> Tensor:
        """Describe a tensor of the file that has `shape`, checking its type, size and quantisation."""
        stored = self._stored[index]
        where = f"tensor {self._names[index]!r}"
        if stored.type not in _DTYPES:
            hint = "; quantise the model to int8" if stored.type == "FLOAT16" else ""
            raise UnsupportedOperatorError(
                f"{where} has type {stored.type}, but must have one of {', '.join(_DTYPES)}{hint}"
            )
        if any(n < 1 for n in shape) or math.prod(shape) > MAX_ELEMENTS:
            raise ModelFormatError(
                f"{where} has shape {list(shape)}, but every axis must be 1 or more and their product at most "
                f"{MAX_ELEMENTS}"
            )
        return Tensor(
            self._names[index], shape, _DTYPES[stored.type], self._quantisation(stored, shape), index
        )

    def _quantisation(self, stored: Stored, shape: tuple[int, ...]) -> Affine | None:
        dtype = _DTYPES[stored.type]
        # A bias has the scale of its layer's sums and indices have none: nothing is computed from either.
        if not stored.scale or dtype.kind not in "iu" or dtype.itemsize > 2:
            return None
        where = f"tensor {self._names[stored.index]!r}"
        if len(stored.scale) > 1 and (
            not 0 <= stored.axis < len(shape) or shape[stored.axis] != len(stored.scale)
        ):
            raise ModelFormatError(
                f"{where} of shape {list(shape)} has {len(stored.scale)} scales along axis {stored.axis}, "
                f"but must have as many as that axis is long"
            )
        zero_point = stored.zero_point or (0,) * len(stored.scale)
        try:
            return Affine(
                np.array(stored.scale, np.float32),
                np.array(zero_point, np.int64),
                stored.axis if len(stored.scale) > 1 else None,
                dtype,
            )
        except ConfigurationError as error:
            raise ModelFormatError(f"{where}: {error}") from None

    def _find(self, index: int, reader: object) -> Tensor:
        """The tensor that an operator reads: made before, or a constant of the file."""
        if index in self._tensors:
            return self._tensors[index]
        stored = self._stored[index]
        where = f"{reader}: tensor {self._names[index]!r}"
        if not len(stored.data):
            raise ModelFormatError(
                f"{where} is read, but no node before makes it and the file holds no values for it"
            )
        tensor = self._declared(index, stored.shape)
        expected = math.prod(stored.shape) * tensor.dtype.itemsize
        if len(stored.data) != expected:
            raise ModelFormatError(
                f"{where} of shape {list(stored.shape)} and type {stored.type} holds {len(stored.data)} bytes, "
                f"but must hold {expected}"
            )
        array = np.frombuffer(stored.data, tensor.dtype.newbyteorder("<")).reshape(stored.shape)
        if tensor.dtype.kind == "f" and not np.isfinite(array).all():
            raise ModelFormatError(f"{where} holds NaN or infinity, but must be finite")
        self._tensors[index], self._constants[index] = tensor, array
        return tensor

    def _input(self, operation: Operation, position: int) -> Tensor:
        if position >= len(operation.inputs) or operation.inputs[position] == -1:
            raise ModelFormatError(f"{operation}: input {position} is missing")
        index = operation.inputs[position]
        if index in self._handles:
            raise ModelFormatError(
                f"{operation}: input {position} is the variable {self._handles[index]!r}, but must be a tensor"
            )
        return self._find(index, operation)

    def _has(self, operation: Operation, position: int) -> bool:
        return position < len(operation.inputs) and operation.inputs[position] != -1

    def _is_computed(self, index: int) -> bool:
        """Whether the network makes the tensor, so that its values are not known before it runs."""
        return index in self._tensors and index not in self._constants

    def _constant(self, operation: Operation, position: int, what: str, *dtypes: type) -> np.ndarray:
        """The values of an input that must be in the file, of one of `dtypes`."""
        tensor = self._input(operation, position)
        if operation.inputs[position] not in self._constants:
            raise UnsupportedOperatorError(
                f"{operation}: {what} {tensor.name!r} is computed by the network, but must be a constant"
            )
        if tensor.dtype not in dtypes:
            raise UnsupportedOperatorError(
                f"{operation}: {what} {tensor.name!r} is {tensor.dtype}, "
                f"but must be {' or '.join(np.dtype(d).name for d in dtypes)}"
            )
        return self._constants[operation.inputs[position]]

    def _integers(self, operation: Operation, position: int, what: str) -> list[int]:
        return [int(v) for v in self._constant(operation, position, what, np.int32, np.int64).ravel()]

    def _quantised(self, operation: Operation, tensor: Tensor, *dtypes: type) -> Affine:
        """The per-tensor quantisation of an operand, int8 unless `dtypes` say otherwise."""
        dtypes = dtypes or (np.int8,)
        allowed = " or ".join(np.dtype(d).name for d in dtypes)
        if tensor.dtype not in dtypes:
            hint = _HINTS.get(tensor.dtype.name, "")
            raise UnsupportedOperatorError(
                f"{operation}: tensor {tensor.name!r} is {tensor.dtype}, but must be {allowed}{hint}"
            )
        if tensor.quantisation is None or tensor.quantisation.per_axis:
            count = 0 if tensor.quantisation is None else tensor.quantisation.scale.size
            raise ModelFormatError(f"{operation}: tensor {tensor.name!r} has {count} scales, but must have 1")
        return tensor.quantisation

    def _output(self, operation: Operation, shape: tuple[int, ...], position: int = 0) -> Tensor:
        """Describe an output; its shape is what the operator gives, whatever the file says."""
        if position >= len(operation.outputs):
            raise ModelFormatError(f"{operation}: output {position} is missing")
        index = operation.outputs[position]
        if index in self._tensors or index in self._handles:
            raise ModelFormatError(f"{operation}: tensor {self._names[index]!r} is made twice")
        self._tensors[index] = self._declared(index, shape)
        self._made += 1
        return self._tensors[index]

    def _copied(
        self, operation: Operation, source: Tensor, shape: tuple[int, ...], position: int = 0
    ) -> Tensor:
        """An output that holds the very integers of `source`."""
        target = self._output(operation, shape, position)
        if target.dtype != source.dtype:
            raise ModelFormatError(
                f"{operation}: output {target.name!r} is {target.dtype}, but must be {source.dtype} as its input is"
            )
        return target

    def _add(
        self, operation: Operation, operator: Callable[..., Any], data: tuple[int, ...] = (0,), macs: int = 0
    ) -> None:
        """Append a node that reads the inputs at the positions `data`; sizes computed from sizes (SHAPE, then
        STRIDED_SLICE, PACK...) are computed now and become constants, not nodes."""
        if self._made != len(operation.outputs):
            raise ModelFormatError(
                f"{operation} has {len(operation.outputs)} outputs, but must have {self._made}"
            )
        sources = [operation.inputs[position] for position in data]
        made = [self._tensors[index] for index in operation.outputs if index in self._tensors]
        sizes = all(t.dtype in (np.int32, np.int64) and math.prod(t.shape) <= MAX_RANK**2 for t in made)
        if sources and made and sizes and all(index in self._constants for index in sources):
            values = operator(*(self._constants[index][None] for index in sources))
            for index, value in zip(
                operation.outputs, values if isinstance(values, tuple) else (values,), strict=True
            ):
                self._constants[index] = value[0]
            return
        inputs = tuple(self._names[index] for index in sources)
        outputs = tuple(self._names[index] for index in operation.outputs)
        self._nodes.append(Node(operation.name, operation.kind, operator, inputs, outputs, macs))

    def _activation(self, operation: Operation, target: Affine) -> str:
        activation = operation.options[ACTIVATION]
        if activation not in ACTIVATIONS:
            raise UnsupportedOperatorError(
                f"{operation}: fused activation is {activation}, but must be one of {', '.join(ACTIVATIONS)}"
            )
        activation_range(activation, target)
        return activation

    # Convolutions and products.

    def _window(self, operation: Operation, x: Tensor, kernel: tuple[int, int]) -> Window:
        """Where an operator with padding SAME or VALID reads in `x`; the padded map's size is bounded."""
        options, size, outer = operation.options, x.shape[1:3], x.shape[0] * x.shape[3]
        stride = options["StrideH"], options["StrideW"]
        dilation = options.get("DilationHFactor", 1), options.get("DilationWFactor", 1)
        for name, values in (("stride", stride), ("dilation", dilation), ("kernel", kernel)):
            if min(values) < 1 or max(values) > 1 << 16:
                raise ModelFormatError(f"{operation}: {name} is {values}, but must be 1 to {1 << 16}")
        if options["Padding"] not in ("SAME", "VALID"):
            raise ModelFormatError(f"{operation}: padding is {options['Padding']}, but must be SAME or VALID")
        padding = (0, 0, 0, 0)
        if options["Padding"] == "SAME":
            # As many outputs as strides begin in the map; an odd row or column goes below and to the right.
            total = [
                max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0)
                for n, s, k, d in zip(size, stride, kernel, dilation, strict=True)
            ]
            padding = total[0] // 2, total[1] // 2, total[0] - total[0] // 2, total[1] - total[1] // 2
        window = Window(kernel, stride, dilation, padding)
        padded = (size[0] + padding[0] + padding[2]) * (size[1] + padding[1] + padding[3])
        if padded * outer > MAX_ELEMENTS or math.prod(kernel) > MAX_KERNEL:
            raise ModelFormatError(
                f"{operation}: kernel {kernel} with dilation {dilation} has {math.prod(kernel)} places and "
                f"pads the map to {padded * outer} values, but at most {MAX_KERNEL} and {MAX_ELEMENTS} are allowed"
            )
        return window

    def _rank(self, operation: Operation, tensor: Tensor, *ranks: int) -> None:
        if len(tensor.shape) not in ranks:
            raise ModelFormatError(
                f"{operation}: tensor {tensor.name!r} has shape {list(tensor.shape)}, "
                f"but must have {' or '.join(map(str, ranks))} axes"
            )

    def _weights(self, operation: Operation, rank: int, axis: int) -> tuple[np.ndarray, Affine, int]:
        """Weights as int64, their quantisation and the length of the output axis."""
        values = self._constant(operation, 1, "weights", np.int8)
        tensor = self._input(operation, 1)
        self._rank(operation, tensor, rank)
        if tensor.quantisation is None:
            raise ModelFormatError(
                f"{operation}: weights {tensor.name!r} have 0 scales, but must have 1 or more"
            )
        quantisation = tensor.quantisation
        if quantisation.per_axis and quantisation.axis != axis:
            raise ModelFormatError(
                f"{operation}: weights {tensor.name!r} have scales along axis {quantisation.axis}, "
                f"but must have them along axis {axis}"
            )
        if quantisation.zero_point.any() and (quantisation.per_axis or rank == 4):
            raise UnsupportedOperatorError(
                f"{operation}: weights {tensor.name!r} have zero point {quantisation.zero_point.max()}, but must have 0"
            )
        return values.astype(np.int64) - quantisation.zero_point[0], quantisation, values.shape[axis]

    def _bias(self, operation: Operation, outputs: int, position: int = 2) -> np.ndarray:
        if not self._has(operation, position):
            return np.zeros(outputs, np.int64)
        bias = self._constant(operation, position, "bias", np.int32)
        if bias.size != outputs:
            raise ModelFormatError(f"{operation}: bias has {bias.size} values, but must have {outputs}")
        return bias.astype(np.int64).ravel()

    def _convolution(self, operation: Operation) -> None:
        depthwise = operation.kind == "DEPTHWISE_CONV_2D"
        x = self._input(operation, 0)
        source = self._quantised(operation, x)
        self._rank(operation, x, 4)
        weight, quantisation, outputs = self._weights(operation, 4, 3 if depthwise else 0)
        channels = x.shape[3]
        if depthwise:
            if weight.shape[0] != 1 or outputs % channels:
                raise ModelFormatError(
                    f"{operation}: weights have shape {list(weight.shape)}, but must be 1 x rows x columns x "
                    f"a multiple of the input's {channels} channels"
                )
            weight, groups = weight.transpose(3, 1, 2, 0), channels
        else:
            groups = channels // weight.shape[3]
            if channels % weight.shape[3] or outputs % groups:
                raise ModelFormatError(
                    f"{operation}: weights have shape {list(weight.shape)}, which do not divide the input's {channels} "
                    f"channels and their own {outputs} outputs into equal groups"
                )
        window = self._window(operation, x, weight.shape[1:3])
        y = self._output(operation, (x.shape[0], *window.output_size(x.shape[1:3]), outputs))
        target = self._quantised(operation, y)
        layer = layers.Conv2D(
            Convolution(weight, self._bias(operation, outputs), window, int(source.zero_point[0]), groups),
            Rescale.of(layers.convolution_factors(source, quantisation, target)),
            target,
            self._activation(operation, target),
        )
        self._add(operation, layer, macs=math.prod(y.shape) * weight[0].size)

    def _transpose_conv(self, operation: Operation) -> None:
        shape = self._integers(operation, 0, "output shape")
        x = self._input(operation, 2)
        source = self._quantised(operation, x)
        self._rank(operation, x, 4)
        weight, quantisation, outputs = self._weights(operation, 4, 0)
        if len(shape) != 4 or shape[0] != x.shape[0] or weight.shape[3] != x.shape[3] or shape[3] != outputs:
            raise ModelFormatError(
                f"{operation}: output shape is {shape} and weights have shape {list(weight.shape)}, "
                f"but must be {x.shape[0]} x rows x columns x {outputs}, and end in the input's {x.shape[3]} channels"
            )
        y = self._output(operation, tuple(shape))
        target = self._quantised(operation, y)
        # The padding is that of the convolution from the output to the input.
        window = self._window(operation, y, weight.shape[1:3])
        if window.output_size(y.shape[1:3]) != x.shape[1:3]:
            raise ModelFormatError(
                f"{operation}: a convolution of the output's {shape[1:3]} pixels would give "
                f"{list(window.output_size(y.shape[1:3]))}, but the input has {list(x.shape[1:3])}"
            )
        convolution = TransposedConvolution(
            weight,
            self._bias(operation, outputs, 3),
            y.shape[1:3],
            window.stride,
            window.padding[:2],
            int(source.zero_point[0]),
        )
        layer = layers.TransposeConv(
            convolution,
            Rescale.of(layers.convolution_factors(source, quantisation, target)),
            target,
            self._activation(operation, target),
        )
        self._add(operation, layer, (2,), macs=math.prod(x.shape[:3]) * weight.size)

    def _fully_connected(self, operation: Operation) -> None:
        options = operation.options
        if options["WeightsFormat"] != 0:
            raise UnsupportedOperatorError(
                f"{operation}: weights format is {options['WeightsFormat']}, but must be 0 (row-major)"
            )
        x = self._input(operation, 0)
        source = self._quantised(operation, x)
        weight, quantisation, outputs = self._weights(operation, 2, 0)
        inputs = weight.shape[1]
        keep = options["KeepNumDims"]
        if math.prod(x.shape) % inputs or (keep and x.shape[-1:] != (inputs,)):
            raise ModelFormatError(
                f"{operation}: input {x.name!r} has shape {list(x.shape)}, but must hold vectors of {inputs}"
            )
        shape = (*x.shape[:-1], outputs) if keep else (math.prod(x.shape) // inputs, outputs)
        y = self._output(operation, shape)
        target = self._quantised(operation, y)
        layer = layers.Conv2D(
            Convolution(
                weight[:, None, None, :],
                self._bias(operation, outputs),
                Window((1, 1)),
                int(source.zero_point[0]),
                magnitude=128,
            ),
            FloatRescale(layers.convolution_factors(source, quantisation, target)),
            target,
            self._activation(operation, target),
        )
        self._add(operation, layers.FullyConnected(layer, y.shape), macs=math.prod(y.shape) * inputs)

    def _batch_matmul(self, operation: Operation) -> None:
        tensors = self._input(operation, 0), self._input(operation, 1)
        sources = tuple(self._quantised(operation, tensor) for tensor in tensors)
        adjoint = bool(operation.options["AdjX"]), bool(operation.options["AdjY"])
        for tensor in tensors:
            self._rank(operation, tensor, 2, 3, 4, 5)
        (*lead_a, rows, inner), (*lead_b, inner_b, columns) = (
            (*t.shape[:-2], *(t.shape[-2:][::-1] if swap else t.shape[-2:]))
            for t, swap in zip(tensors, adjoint, strict=True)
        )
        if inner != inner_b:
            raise ModelFormatError(
                f"{operation}: inputs have {inner} columns and {inner_b} rows to multiply, but must have as many"
            )
        shape = (*self._broadcast(operation, tuple(lead_a), tuple(lead_b)), rows, columns)
        target = self._quantised(operation, self._output(operation, shape))
        operator = layers.BatchMatMul(sources, target, adjoint)
        self._add(operation, operator, (0, 1), macs=math.prod(shape) * inner)

    # Element by element.

    def _broadcast(self, operation: Operation, *shapes: tuple[int, ...]) -> tuple[int, ...]:
        try:
            return np.broadcast_shapes(*shapes)
        except ValueError:
            raise ModelFormatError(
                f"{operation}: shapes {' and '.join(str(list(s)) for s in shapes)} differ, "
                f"but must be equal or 1 in each axis"
            ) from None

    def _pair(self, operation: Operation) -> tuple[Tensor, Tensor, tuple[int, ...]]:
        """Two operands of one dtype, and the shape they broadcast to."""
        a, b = self._input(operation, 0), self._input(operation, 1)
        if a.dtype != b.dtype:
            raise ModelFormatError(
                f"{operation}: inputs are {a.dtype} and {b.dtype}, but must be of one dtype"
            )
        return a, b, self._broadcast(operation, a.shape, b.shape)

    def _binary(self, operation: Operation) -> None:
        a, b, shape = self._pair(operation)
        if a.dtype in _PLAIN:
            self._unquantised(operation, a, shape)
            return
        sources = self._quantised(operation, a), self._quantised(operation, b)
        target = self._quantised(operation, self._output(operation, shape))
        if operation.kind == "SQUARED_DIFFERENCE":
            self._add(operation, layers.Pairwise(layers.SquaredDifference(sources, target)), (0, 1))
            return
        activation = self._activation(operation, target)
        if operation.kind == "DIV":
            operator: Any = layers.Divide(sources, target, activation)
            operator = layers.Defined(layers.Pairwise(operator), 1, sources[1], "zero", str(operation))
            self._add(operation, operator, (0, 1))
            return
        if operation.kind == "MUL":
            operator = layers.Multiply(sources, target, activation)
        else:
            operator = layers.Add(sources, target, activation, subtract=operation.kind == "SUB")
        self._add(operation, layers.Pairwise(operator), (0, 1))

    def _unquantised(self, operation: Operation, x: Tensor, shape: tuple[int, ...]) -> None:
        """An operator of `_EXACT` on float32 or int32 and int64: `_PLAIN` dtypes."""
        if operation.kind == "LEAKY_RELU":
            alpha = np.float32(operation.options["Alpha"])
            function: Callable[..., np.ndarray] = lambda x: np.maximum(x, x * alpha)  # noqa: E731
        else:
            function = _EXACT.get(operation.kind, np.positive)
        if operation.kind in _FLOAT_ONLY and x.dtype != np.float32:
            raise UnsupportedOperatorError(
                f"{operation}: tensor {x.name!r} is {x.dtype}, but must be float32 or int8"
            )
        y = self._output(operation, shape)
        expected = np.dtype(np.bool_) if operation.kind in _COMPARISONS else x.dtype
        if y.dtype != expected:
            raise ModelFormatError(f"{operation}: output {y.name!r} is {y.dtype}, but must be {expected}")
        fused = operation.options.get(ACTIVATION, "NONE")
        activation = operation.kind if operation.kind in ACTIVATIONS else fused
        if activation not in ACTIVATIONS:
            raise UnsupportedOperatorError(
                f"{operation}: fused activation is {activation}, but must be one of {', '.join(ACTIVATIONS)}"
            )
        self._add(operation, layers.Unquantised(function, activation), tuple(range(len(operation.inputs))))

    def _add_n(self, operation: Operation) -> None:
        """ADD_N, which has no int8 kernel: one sum after the other."""
        tensors = self._several(operation)
        for tensor in tensors:
            if tensor.dtype not in (np.float32, np.int32) or tensor.shape != tensors[0].shape:
                raise UnsupportedOperatorError(
                    f"{operation}: tensor {tensor.name!r} is {tensor.dtype} {list(tensor.shape)}, "
                    f"but must be float32 or int32 {list(tensors[0].shape)}"
                )
        self._unquantised(operation, tensors[0], tensors[0].shape)

    def _extreme_of_two(self, operation: Operation) -> None:
        """MAXIMUM and MINIMUM: of integers of one scale, the integers'."""
        a, b, shape = self._pair(operation)
        if a.dtype not in _PLAIN:
            self._quantised(operation, a, np.int8, np.uint8, np.int16)
            y = self._copied(operation, a, shape)
            for tensor in (a, b):
                self._same_scale(operation, tensor.quantisation, y.quantisation)
            self._add(operation, layers.Unquantised(_EXACT[operation.kind]), (0, 1))
            return
        self._unquantised(operation, a, shape)

    def _comparison(self, operation: Operation) -> None:
        a, b, shape = self._pair(operation)
        if a.dtype in _PLAIN or a.dtype == np.bool_:
            self._unquantised(operation, a, shape)
            return
        sources = self._quantised(operation, a), self._quantised(operation, b)
        y = self._output(operation, shape)
        if y.dtype != np.bool_:
            raise ModelFormatError(f"{operation}: output {y.name!r} is {y.dtype}, but must be bool")
        self._add(operation, layers.Comparison(_EXACT[operation.kind], sources), (0, 1))

    def _logical(self, operation: Operation) -> None:
        tensors = self._several(operation)
        if len(tensors) != (1 if operation.kind == "LOGICAL_NOT" else 2) or tensors[0].dtype != np.bool_:
            raise ModelFormatError(
                f"{operation}: has {len(tensors)} inputs of {tensors[0].dtype}, "
                f"but must have {1 if operation.kind == 'LOGICAL_NOT' else 2} of bool"
            )
        self._unquantised(operation, tensors[0], self._broadcast(operation, *(t.shape for t in tensors)))

    def _select(self, operation: Operation) -> None:
        condition, a, b = (self._input(operation, position) for position in range(3))
        if condition.dtype != np.bool_ or a.dtype != b.dtype:
            raise ModelFormatError(
                f"{operation}: inputs are {condition.dtype}, {a.dtype} and {b.dtype}, "
                f"but must be bool and two of one dtype"
            )
        rows = operation.kind == "SELECT" and condition.shape != a.shape
        if rows and (a.shape != b.shape or condition.shape not in ((), (1,), a.shape[:1])):
            raise ModelFormatError(
                f"{operation}: inputs have shapes {list(condition.shape)}, {list(a.shape)} and {list(b.shape)}, "
                f"but must have one shape, or the condition one value for each place of the first axis"
            )
        rows = rows and condition.shape == a.shape[:1]
        shape = a.shape if rows else self._broadcast(operation, condition.shape, a.shape, b.shape)
        y = self._copied(operation, a, shape)
        for tensor in (a, b):
            self._same_scale(operation, tensor.quantisation, y.quantisation)
        self._add(operation, layers.Select(rows), (0, 1, 2))

    def _cast(self, operation: Operation) -> None:
        x = self._input(operation, 0)
        self._add(operation, layers.Cast(self._output(operation, x.shape).dtype))

    def _prelu(self, operation: Operation) -> None:
        x, alpha = self._input(operation, 0), self._input(operation, 1)
        if x.dtype == alpha.dtype == np.float32:
            self._unquantised(operation, x, self._broadcast(operation, x.shape, alpha.shape))
            return
        sources = self._quantised(operation, x), self._quantised(operation, alpha)
        if self._broadcast(operation, x.shape, alpha.shape) != x.shape:
            raise ModelFormatError(
                f"{operation}: alpha has shape {list(alpha.shape)}, but must broadcast to {list(x.shape)}"
            )
        target = self._quantised(operation, self._output(operation, x.shape))
        self._add(operation, layers.Pairwise(layers.Prelu(*sources, target)), (0, 1))

    def _unary(self, operation: Operation) -> None:
        x = self._input(operation, 0)
        if x.dtype == np.float32 and operation.kind in (*_EXACT, *ACTIVATIONS, "LEAKY_RELU"):
            self._unquantised(operation, x, x.shape)
            return
        source = self._quantised(operation, x)
        target = self._quantised(operation, self._output(operation, x.shape))
        if operation.kind in ACTIVATIONS:
            table = tables.relu_table(source, target, operation.kind)
        elif operation.kind == "LEAKY_RELU":
            alpha = operation.options["Alpha"]
            if not math.isfinite(alpha):
                raise ModelFormatError(f"{operation}: alpha is {alpha}, but must be finite")
            table = tables.leaky_relu_table(source, target, alpha)
        elif operation.kind == "GELU":
            table = tables.gelu_table(source, target, operation.options["Approximate"])
        else:
            if operation.kind == "LOGISTIC" and target.scale[0] != 1 / 256:
                raise ModelFormatError(
                    f"{operation}: output has scale {target.scale[0]}, but must have {1 / 256}"
                )
            table = _TABLES[operation.kind](source, target)
        operator: Any = tables.Lookup(table)
        if operation.kind in ("RSQRT", "SQRT"):
            operator = layers.Defined(operator, 0, source, "negative", str(operation))
        self._add(operation, operator)

    def _float_unary(self, operation: Operation) -> None:
        x = self._input(operation, 0)
        if x.dtype != np.float32:
            raise UnsupportedOperatorError(
                f"{operation}: tensor {x.name!r} is {x.dtype}, but must be float32"
            )
        self._unquantised(operation, x, x.shape)

    def _softmax(self, operation: Operation) -> None:
        x = self._input(operation, 0)
        source = self._quantised(operation, x)
        target = self._quantised(operation, self._output(operation, x.shape))
        if not x.shape:
            raise ModelFormatError(f"{operation}: input {x.name!r} has 0 axes, but must have 1 or more")
        if abs(target.scale[0] - 1 / 256) > 0.001 / 256 or target.zero_point[0] != -128:
            raise ModelFormatError(
                f"{operation}: output has scale {target.scale[0]} and zero point {target.zero_point[0]}, "
                f"but must have {1 / 256} and -128"
            )
        self._add(operation, layers.Softmax(source, target, operation.options["Beta"]))

    def _l2_normalization(self, operation: Operation) -> None:
        x = self._input(operation, 0)
        source = self._quantised(operation, x)
        target = self._quantised(operation, self._output(operation, x.shape))
        if not x.shape or x.shape[-1] > 1 << 15:
            raise ModelFormatError(
                f"{operation}: input {x.name!r} has shape {list(x.shape)}, but its last axis must hold 1 to {1 << 15} "
                f"values, whose squares add up within 32 bits"
            )
        if target.scale[0] != 1 / 128 or target.zero_point[0] != 0 or operation.options[ACTIVATION] != "NONE":
            raise ModelFormatError(
                f"{operation}: output has scale {target.scale[0]}, zero point {target.zero_point[0]} and activation "
                f"{operation.options[ACTIVATION]}, but must have {1 / 128}, 0 and NONE"
            )
        self._add(operation, layers.L2Normalize(source))

    def _log_softmax(self, operation: Operation) -> None:
        x = self._input(operation, 0)
        source = self._quantised(operation, x)
        target = self._quantised(operation, self._output(operation, x.shape))
        if not x.shape or x.shape[-1] > 1 << 12:
            raise ModelFormatError(
                f"{operation}: input {x.name!r} has shape {list(x.shape)}, but its last axis must hold 1 to {1 << 12} "
                f"values, whose exponentials add up within 12 bits"
            )
        if target.scale[0] != 1 / 16 or target.zero_point[0] != 127:
            raise ModelFormatError(
                f"{operation}: output has scale {target.scale[0]} and zero point {target.zero_point[0]}, "
                f"but must have {1 / 16} and 127"
            )
        self._add(operation, layers.LogSoftmax(source))

    def _quantize(self, operation: Operation) -> None:
        x = self._input(operation, 0)
        y = self._output(operation, x.shape)
        target = self._quantised(operation, y, np.int8, np.uint8)
        if x.dtype == np.float32:
            self._add(operation, layers.Quantize(target))
            return
        source = self._quantised(operation, x, np.int8, np.uint8, np.float32)
        self._add(operation, tables.Lookup(tables.requantize_table(source, target)))

    def _dequantize(self, operation: Operation) -> None:
        x = self._input(operation, 0)
        source = self._quantised(operation, x, np.int8, np.uint8)
        y = self._output(operation, x.shape)
        if y.dtype != np.float32:
            raise ModelFormatError(f"{operation}: output {y.name!r} is {y.dtype}, but must be float32")
        self._add(operation, layers.Dequantize(source))

    # Windows and reductions.

    def _pool(self, operation: Operation) -> None:
        x = self._input(operation, 0)
        source = self._quantised(operation, x)
        self._rank(operation, x, 4)
        kernel = operation.options["FilterHeight"], operation.options["FilterWidth"]
        window = self._window(operation, x, kernel)
        y = self._output(operation, (x.shape[0], *window.output_size(x.shape[1:3]), x.shape[3]))
        target = self._quantised(operation, y)
        self._same_scale(operation, source, target, _NEARLY)
        make = layers.MaxPool2D if operation.kind == "MAX_POOL_2D" else layers.AveragePool2D
        self._add(operation, make(window, target, self._activation(operation, target)))

    def _same_scale(
        self, operation: Operation, source: Affine | None, target: Affine | None, tolerance: float = 0
    ) -> None:
        """Refuse an output whose integers would mean something else than the input's they are made of."""
        if source is None or target is None:
            same = source is target
        else:
            same = np.array_equal(source.zero_point, target.zero_point) and np.allclose(
                source.scale, target.scale, rtol=0, atol=tolerance
            )
        if not same:
            raise UnsupportedOperatorError(
                f"{operation}: output is {target}, but must have the input's scale and zero point, {source}"
            )

    def _axes(self, operation: Operation, position: int, rank: int) -> tuple[int, ...]:
        """Axes from a constant input: not negative, in ascending order, each once."""
        axes = self._integers(operation, position, "axes")
        for axis in axes:
            self._axis(operation, axis, rank)
        return tuple(sorted({axis % rank for axis in axes}))

    def _axis(self, operation: Operation, axis: int, rank: int) -> int:
        if not -rank <= axis < rank:
            raise ModelFormatError(f"{operation}: axis is {axis}, but must be {-rank} to {rank - 1}")
        return axis % rank

    def _reduce(self, operation: Operation) -> None:
        x = self._input(operation, 0)
        source = self._quantised(operation, x)
        axes, shape = self._reduced(operation, x)
        target = self._quantised(operation, self._output(operation, shape))
        count = math.prod(x.shape[axis] for axis in axes)
        self._add(operation, layers.Reduce(axes, shape, count, source, target, mean=operation.kind == "MEAN"))

    def _reduce_extreme(self, operation: Operation) -> None:
        x = self._input(operation, 0)
        if x.dtype not in _PLAIN:
            self._quantised(operation, x, np.int8, np.uint8, np.int16)
        axes, shape = self._reduced(operation, x)
        y = self._copied(operation, x, shape)
        self._same_scale(operation, x.quantisation, y.quantisation)
        function = np.max if operation.kind == "REDUCE_MAX" else np.min
        self._add(operation, layers.ReduceSame(function, axes, shape))

    def _reduce_product(self, operation: Operation) -> None:
        """REDUCE_PROD of sizes; of int8 it is not supported."""
        x = self._input(operation, 0)
        if x.dtype not in (np.int32, np.int64):
            raise UnsupportedOperatorError(
                f"{operation}: tensor {x.name!r} is {x.dtype}, but must be int32 or int64"
            )
        axes, shape = self._reduced(operation, x)
        self._copied(operation, x, shape)
        self._add(operation, layers.ReduceSame(np.prod, axes, shape))

    def _reduce_logic(self, operation: Operation) -> None:
        x = self._input(operation, 0)
        if x.dtype != np.bool_:
            raise ModelFormatError(f"{operation}: tensor {x.name!r} is {x.dtype}, but must be bool")
        axes, shape = self._reduced(operation, x)
        self._copied(operation, x, shape)
        function = np.any if operation.kind == "REDUCE_ANY" else np.all
        self._add(operation, layers.ReduceSame(function, axes, shape))

    def _cumsum(self, operation: Operation) -> None:
        """CUMSUM, which has no int8 kernel."""
        x = self._input(operation, 0)
        if x.dtype not in _PLAIN:
            raise UnsupportedOperatorError(
                f"{operation}: tensor {x.name!r} is {x.dtype}, but must be float32, int32 or int64"
            )
        axes = self._integers(operation, 1, "axis")
        if len(axes) != 1:
            raise ModelFormatError(f"{operation}: has {len(axes)} axes, but must have 1")
        axis = self._axis(operation, axes[0], len(x.shape))
        self._copied(operation, x, x.shape)
        options = bool(operation.options["Exclusive"]), bool(operation.options["Reverse"])
        self._add(operation, layers.CumulativeSum(axis, *options))

    def _reduced(self, operation: Operation, x: Tensor) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Axes of a reduction and the shape without them."""
        axes = self._axes(operation, 1, len(x.shape))
        keep = operation.options["KeepDims"]
        return axes, tuple(1 if i in axes else n for i, n in enumerate(x.shape) if keep or i not in axes)

    def _arg_extreme(self, operation: Operation) -> None:
        x = self._input(operation, 0)
        axes = self._integers(operation, 1, "axis")
        if len(axes) != 1:
            raise ModelFormatError(f"{operation}: has {len(axes)} axes, but must have 1")
        axis = self._axis(operation, axes[0], len(x.shape))
        y = self._output(operation, x.shape[:axis] + x.shape[axis + 1 :])
        if y.dtype not in (np.int32, np.int64):
            raise ModelFormatError(f"{operation}: output {y.name!r} is {y.dtype}, but must be int32 or int64")
        function = np.argmax if operation.kind == "ARG_MAX" else np.argmin
        self._add(operation, layers.ArgExtreme(function, axis, y.dtype))

    # Moving values.

    def _reshape(self, operation: Operation) -> None:
        x = self._input(operation, 0)
        size = math.prod(x.shape)
        if operation.kind == "RESHAPE":
            shape = self._new_shape(operation, size)
        elif operation.kind == "SQUEEZE":
            axes = operation.options["SqueezeDims"]
            axes = [self._axis(operation, axis, len(x.shape)) for axis in axes] or range(len(x.shape))
            explicit = bool(operation.options["SqueezeDims"])
            for axis in axes if explicit else ():
                if x.shape[axis] != 1:
                    raise ModelFormatError(f"{operation}: axis {axis} is {x.shape[axis]} long, but must be 1")
            shape = tuple(n for i, n in enumerate(x.shape) if n != 1 or i not in axes)
        else:
            (axis,) = self._integers(operation, 1, "axis")[:1] or [0]
            axis = self._axis(operation, axis, len(x.shape) + 1)
            shape = (*x.shape[:axis], 1, *x.shape[axis:])
        self._copied(operation, x, shape)
        self._add(operation, shaping.Reshape(shape))

    def _new_shape(self, operation: Operation, size: int) -> tuple[int, ...]:
        """RESHAPE's target: its constant second input, else the output's shape in the file; one -1 is derived."""
        if self._has(operation, 1) and not self._is_computed(operation.inputs[1]):
            shape = self._integers(operation, 1, "shape")
        else:
            shape = list(self._stored[operation.outputs[0]].shape) if operation.outputs else []
        known = math.prod(n for n in shape if n != -1)
        derived = [size // known if n == -1 and known else n for n in shape]
        if shape.count(-1) > 1 or min(derived, default=1) < 1 or math.prod(derived) != size:
            raise ModelFormatError(f"{operation}: shape is {shape}, but must hold the input's {size} values")
        return tuple(derived)

    def _transpose(self, operation: Operation) -> None:
        x = self._input(operation, 0)
        permutation = self._integers(operation, 1, "permutation")
        axes = [self._axis(operation, axis, max(1, len(x.shape))) for axis in permutation]
        if sorted(axes) != list(range(len(x.shape))):
            raise ModelFormatError(
                f"{operation}: permutation is {permutation}, but must hold each axis of {list(x.shape)} once"
            )
        self._copied(operation, x, tuple(x.shape[axis] for axis in axes))
        self._add(operation, shaping.Transpose(tuple(axes)))

    def _paddings(
        self, operation: Operation, position: int, what: str, axes: int
    ) -> tuple[tuple[int, int], ...]:
        """How many values come before and after each of `axes` axes, from a constant input."""
        values = self._integers(operation, position, what)
        if len(values) != 2 * axes or not all(0 <= n <= MAX_ELEMENTS for n in values):
            raise ModelFormatError(
                f"{operation}: {what} are {values}, but must be two of 0 to {MAX_ELEMENTS} for each of {axes} axes"
            )
        return tuple(zip(values[::2], values[1::2], strict=True))

    def _pad(self, operation: Operation) -> None:
        x = self._input(operation, 0)
        pairs = self._paddings(operation, 1, "paddings", len(x.shape))
        y = self._copied(operation, x, tuple(n + sum(p) for n, p in zip(x.shape, pairs, strict=True)))
        self._same_scale(operation, x.quantisation, y.quantisation, _NEARLY)
        fill = 0 if y.quantisation is None else int(y.quantisation.zero_point[0])
        if operation.kind == "PADV2":
            constant = self._constant(operation, 2, "constant", x.dtype.type)
            if constant.size != 1:
                raise ModelFormatError(f"{operation}: constant has {constant.size} values, but must have 1")
            fill = constant.item()
        self._add(operation, shaping.Pad(pairs, fill))

    def _concatenation(self, operation: Operation) -> None:
        if operation.options[ACTIVATION] != "NONE":
            raise UnsupportedOperatorError(
                f"{operation}: fused activation is {operation.options[ACTIVATION]}, but must be NONE"
            )
        tensors = self._several(operation)
        axis = self._axis(operation, operation.options["Axis"], len(tensors[0].shape))
        for tensor in tensors:
            rest = [t.shape[:axis] + t.shape[axis + 1 :] for t in (tensor, tensors[0])]
            if rest[0] != rest[1] or len(tensor.shape) != len(tensors[0].shape):
                raise ModelFormatError(
                    f"{operation}: inputs have shapes {list(tensors[0].shape)} and {list(tensor.shape)}, "
                    f"but must differ in axis {axis} alone"
                )
        shape = list(tensors[0].shape)
        shape[axis] = sum(tensor.shape[axis] for tensor in tensors)
        y = self._copied(operation, tensors[0], tuple(shape))
        for tensor in tensors:
            self._same_scale(operation, tensor.quantisation, y.quantisation)
        self._add(operation, shaping.Concatenate(axis), tuple(range(len(tensors))))

    def _several(self, operation: Operation) -> list[Tensor]:
        tensors = [self._input(operation, position) for position in range(len(operation.inputs))]
        if not tensors:
            raise ModelFormatError(f"{operation} has 0 inputs, but must have 1 or more")
        for tensor in tensors:
            if tensor.dtype != tensors[0].dtype:
                raise ModelFormatError(
                    f"{operation}: inputs are {tensors[0].dtype} and {tensor.dtype}, but must be of one dtype"
                )
        return tensors

    def _pack(self, operation: Operation) -> None:
        tensors = self._several(operation)
        shape = tensors[0].shape
        if any(tensor.shape != shape for tensor in tensors):
            raise ModelFormatError(f"{operation}: inputs have unlike shapes, but must all be {list(shape)}")
        axis = self._axis(operation, operation.options["Axis"], len(shape) + 1)
        y = self._copied(operation, tensors[0], (*shape[:axis], len(tensors), *shape[axis:]))
        for tensor in tensors:
            self._same_scale(operation, tensor.quantisation, y.quantisation)
        self._add(operation, shaping.Stack(axis), tuple(range(len(tensors))))

    def _shape(self, operation: Operation) -> None:
        """SHAPE: known before anything runs, so it becomes a constant and no node."""
        x = self._input(operation, 0)
        y = self._output(operation, (len(x.shape),))
        if y.dtype not in (np.int32, np.int64):
            raise ModelFormatError(f"{operation}: output {y.name!r} is {y.dtype}, but must be int32 or int64")
        self._constants[operation.outputs[0]] = np.array(x.shape, y.dtype)

    def _strided_slice(self, operation: Operation) -> None:
        x = self._input(operation, 0)
        options = operation.options
        for name in ("EllipsisMask", "NewAxisMask", "Offset"):
            if options[name]:
                raise UnsupportedOperatorError(f"{operation}: {name} is {options[name]}, but must be 0")
        bounds = [self._integers(operation, i, w) for i, w in ((1, "begin"), (2, "end"), (3, "strides"))]
        if len({len(values) for values in bounds}) != 1 or len(bounds[0]) > len(x.shape):
            raise ModelFormatError(
                f"{operation}: begin, end and strides are {bounds}, but must be as many each, and at most one for each "
                f"axis of {list(x.shape)}"
            )
        begins, strides, sizes, shape = [], [], [], []
        for axis, length in enumerate(x.shape):
            begin, end, stride, shrink = 0, length, 1, False
            if axis < len(bounds[0]):
                begin, end, stride = (values[axis] for values in bounds)
                shrink = bool(options["ShrinkAxisMask"] >> axis & 1)
                if stride == 0 or (shrink and (stride != 1 or not -length <= begin < length)):
                    raise ModelFormatError(
                        f"{operation}: axis {axis} of {length} values has begin {begin} and stride {stride}, "
                        f"but must begin within it, and have stride 1 where it is dropped, not 0 elsewhere"
                    )
                # Python's slices clip as TFLite's do; a mask bit is a bound left out.
                low = None if options["BeginMask"] >> axis & 1 else begin
                high = None if options["EndMask"] >> axis & 1 else end
                if shrink:
                    begin = (0 if low is None else begin) % length
                    end = begin + 1
                else:
                    begin, end, stride = slice(low, high, stride).indices(length)
            size = len(range(begin, end, stride))
            begins.append(begin)
            strides.append(stride)
            sizes.append(size)
            if not shrink:
                shape.append(size)
        self._copied(operation, x, tuple(shape))
        self._add(operation, shaping.Slice(tuple(begins), tuple(strides), tuple(sizes), tuple(shape)))

    def _split(self, operation: Operation) -> None:
        parts = operation.options["NumSplits"]
        by_sizes = operation.kind == "SPLIT_V"
        x = self._input(operation, 0 if by_sizes else 1)
        axes = self._integers(operation, 2 if by_sizes else 0, "axis")
        if len(axes) != 1 or len(operation.outputs) != parts or parts < 1:
            raise ModelFormatError(
                f"{operation}: has {len(axes)} axes, {parts} splits and {len(operation.outputs)} outputs, "
                f"but must have one axis and an output for each split"
            )
        axis = self._axis(operation, axes[0], len(x.shape))
        length = x.shape[axis]
        sizes = self._integers(operation, 1, "sizes") if by_sizes else [length // parts] * parts
        if sizes.count(-1) == 1:
            sizes[sizes.index(-1)] = length - (sum(sizes) + 1)
        if len(sizes) != parts or min(sizes) < 1 or sum(sizes) != length:
            raise ModelFormatError(
                f"{operation}: {parts} splits of sizes {sizes} do not divide axis {axis} of {length} values"
            )
        for position, size in enumerate(sizes):
            self._copied(operation, x, (*x.shape[:axis], size, *x.shape[axis + 1 :]), position)
        self._add(operation, shaping.Split(axis, tuple(sizes)), (0,) if by_sizes else (1,))

    def _top_k(self, operation: Operation) -> None:
        x = self._input(operation, 0)
        count = self._integers(operation, 1, "k")
        if not x.shape or len(count) != 1 or not 0 < count[0] <= x.shape[-1] or x.dtype == np.bool_:
            raise ModelFormatError(
                f"{operation}: k is {count}, but must be one of 1 to the last axis of {x.dtype} {list(x.shape)}"
            )
        y = self._copied(operation, x, (*x.shape[:-1], *count))
        self._same_scale(operation, x.quantisation, y.quantisation)
        places = self._output(operation, y.shape, 1)
        if places.dtype != np.int32:
            raise UnsupportedOperatorError(f"{operation}: output 1 is {places.dtype}, but must be int32")
        self._add(operation, layers.TopK(*count))

    def _unpack(self, operation: Operation) -> None:
        x = self._input(operation, 0)
        axis = self._axis(operation, operation.options["Axis"], len(x.shape))
        parts = operation.options["Num"]
        if not parts == x.shape[axis] == len(operation.outputs):
            raise ModelFormatError(
                f"{operation}: has {parts} parts and {len(operation.outputs)} outputs, "
                f"but axis {axis} has {x.shape[axis]} values"
            )
        for position in range(parts):
            y = self._copied(operation, x, x.shape[:axis] + x.shape[axis + 1 :], position)
            self._same_scale(operation, x.quantisation, y.quantisation)
        self._add(operation, shaping.Unstack(axis))

    def _slice(self, operation: Operation) -> None:
        x = self._input(operation, 0)
        begin, size = (self._integers(operation, i, w) for i, w in ((1, "begin"), (2, "size")))
        if len(begin) != len(x.shape) or len(size) != len(x.shape):
            raise ModelFormatError(
                f"{operation}: begin and size are {begin} and {size}, but must have a value for each axis of "
                f"{list(x.shape)}"
            )
        size = [length - low if n == -1 else n for n, low, length in zip(size, begin, x.shape, strict=True)]
        for low, n, length in zip(begin, size, x.shape, strict=True):
            if low < 0 or n < 1 or low + n > length:
                raise ModelFormatError(
                    f"{operation}: begin {begin} and size {size} do not lie within {list(x.shape)}"
                )
        shape = tuple(size)
        self._copied(operation, x, shape)
        self._add(operation, shaping.Slice(tuple(begin), (1,) * len(shape), shape, shape))

    def _gather(self, operation: Operation) -> None:
        x, places = self._input(operation, 0), self._input(operation, 1)
        if places.dtype not in (np.int16, np.int32, np.int64):
            raise ModelFormatError(
                f"{operation}: indices {places.name!r} are {places.dtype}, but must be int16, int32 or int64"
            )
        axis = self._axis(operation, operation.options["Axis"], len(x.shape))
        batches = operation.options["BatchDims"]
        batches += len(places.shape) if batches < 0 else 0
        if not 0 <= batches <= min(axis, len(places.shape)) or x.shape[:batches] != places.shape[:batches]:
            raise ModelFormatError(
                f"{operation}: batch axes are {batches}, but must be 0 to {min(axis, len(places.shape))} and alike in "
                f"{list(x.shape)} and {list(places.shape)}"
            )
        y = self._copied(operation, x, (*x.shape[:axis], *places.shape[batches:], *x.shape[axis + 1 :]))
        self._same_scale(operation, x.quantisation, y.quantisation)
        self._add(operation, shaping.Gather(axis, batches, str(operation)), (0, 1))

    def _reverse(self, operation: Operation) -> None:
        x = self._input(operation, 0)
        axes = self._axes(operation, 1, len(x.shape))
        self._copied(operation, x, x.shape)
        places = tuple((axis, tuple(range(x.shape[axis] - 1, -1, -1))) for axis in axes)
        self._add(operation, shaping.Take(places))

    def _mirror_pad(self, operation: Operation) -> None:
        x = self._input(operation, 0)
        pairs = self._paddings(operation, 1, "paddings", len(x.shape))
        mode = operation.options["Mode"]
        if mode not in (0, 1):
            raise ModelFormatError(f"{operation}: mode is {mode}, but must be 0 (REFLECT) or 1 (SYMMETRIC)")
        places = []
        for axis, (length, pair) in enumerate(zip(x.shape, pairs, strict=True)):
            if max(pair) > length - 1 + mode:
                raise ModelFormatError(
                    f"{operation}: paddings of axis {axis} are {pair}, but at most {length - 1 + mode} values can be "
                    f"mirrored"
                )
            if any(pair):
                # The edge itself is repeated in mode SYMMETRIC alone.
                before, after = range(pair[0] - mode, -mode, -1), range(length - 2 + mode, -1, -1)
                places.append((axis, (*before, *range(length), *after[: pair[1]])))
        y = self._copied(operation, x, tuple(n + sum(p) for n, p in zip(x.shape, pairs, strict=True)))
        self._same_scale(operation, x.quantisation, y.quantisation)
        self._add(operation, shaping.Take(tuple(places)))

    def _tile(self, operation: Operation) -> None:
        x = self._input(operation, 0)
        repeats = self._integers(operation, 1, "multiples")
        if len(repeats) != len(x.shape) or min(repeats, default=1) < 1:
            raise ModelFormatError(
                f"{operation}: multiples are {repeats}, but must be 1 or more for each axis of {list(x.shape)}"
            )
        self._copied(operation, x, tuple(n * r for n, r in zip(x.shape, repeats, strict=True)))
        self._add(operation, shaping.Tile(tuple(repeats)))

    def _broadcast_to(self, operation: Operation) -> None:
        """BROADCAST_TO and FILL, whose first input is the shape."""
        data, shape_from = (1, 0) if operation.kind == "FILL" else (0, 1)
        x = self._input(operation, data)
        shape = self._integers(operation, shape_from, "shape")
        if any(n < 1 for n in shape) or len(shape) > MAX_RANK or (operation.kind == "FILL" and x.shape):
            raise ModelFormatError(
                f"{operation}: shape is {shape} and the value's {list(x.shape)}, but must hold 1 to {MAX_RANK} lengths "
                f"of 1 or more, and FILL takes one value"
            )
        if self._broadcast(operation, x.shape, tuple(shape)) != tuple(shape):
            raise ModelFormatError(f"{operation}: shape {list(x.shape)} does not broadcast to {shape}")
        self._copied(operation, x, tuple(shape))
        self._add(operation, shaping.Broadcast(tuple(shape)), (data,))

    def _resize(self, operation: Operation) -> None:
        x = self._input(operation, 0)
        self._rank(operation, x, 4)
        size = self._integers(operation, 1, "size")
        corners, centers = operation.options["AlignCorners"], operation.options["HalfPixelCenters"]
        nearest = operation.kind == "RESIZE_NEAREST_NEIGHBOR"
        if len(size) != 2 or not all(0 < n <= MAX_AXIS for n in (*size, *x.shape[1:3])):
            raise ModelFormatError(
                f"{operation}: maps of {x.shape[1:3]} are resized to {size}, "
                f"but both must have rows and columns of 1 to {MAX_AXIS}"
            )
        if corners and centers and not nearest:
            raise ModelFormatError(
                f"{operation}: aligns corners and has half-pixel centres, but must not do both"
            )
        if not nearest:
            self._quantised(operation, x)
        y = self._copied(operation, x, (x.shape[0], *size, x.shape[3]))
        self._same_scale(operation, x.quantisation, y.quantisation)
        if nearest:
            places = (nearest_places(n, m, corners, centers) for n, m in zip(x.shape[1:3], size, strict=True))
            self._add(operation, shaping.Take(tuple(zip((1, 2), places, strict=True))))
        else:
            self._add(operation, layers.ResizeBilinear(tuple(size), bool(corners), bool(centers)))

    def _depth_to_space(self, operation: Operation) -> None:
        x = self._input(operation, 0)
        self._rank(operation, x, 4)
        block = operation.options["BlockSize"]
        batch, height, width, channels = x.shape
        if block < 1 or channels % (block * block):
            raise ModelFormatError(
                f"{operation}: block size is {block}, but must be 1 or more and its square divide {channels} channels"
            )
        self._copied(operation, x, (batch, height * block, width * block, channels // (block * block)))
        self._add(operation, shaping.DepthToSpace(block))

    def _space_and_batch(self, operation: Operation) -> None:
        """SPACE_TO_BATCH_ND and BATCH_TO_SPACE_ND, over the one or two axes behind the first."""
        x = self._input(operation, 0)
        self._rank(operation, x, 3, 4)
        block = self._integers(operation, 1, "block")
        if len(block) != len(x.shape) - 2 or not all(0 < n <= MAX_AXIS for n in block):
            raise ModelFormatError(
                f"{operation}: block is {block}, but must be 1 to {MAX_AXIS} for each middle axis of {list(x.shape)}"
            )
        to_batch = operation.kind == "SPACE_TO_BATCH_ND"
        pairs = self._paddings(operation, 2, "paddings" if to_batch else "crops", len(block))
        inner, area = x.shape[1:-1], math.prod(block)
        if to_batch:
            inner = [n + sum(p) for n, p in zip(inner, pairs, strict=True)]
            fits = all(n % b == 0 for n, b in zip(inner, block, strict=True))
            shape = (x.shape[0] * area, *(n // b for n, b in zip(inner, block, strict=True)), x.shape[-1])
        else:
            fits = x.shape[0] % area == 0
            inner = [n * b - sum(p) for n, b, p in zip(inner, block, pairs, strict=True)]
            shape = (x.shape[0] // area, *inner, x.shape[-1])
        if not fits:
            raise ModelFormatError(
                f"{operation}: block {block} does not divide the {'padded map' if to_batch else 'batch'} of "
                f"{list(x.shape)}"
            )
        y = self._copied(operation, x, shape)
        self._same_scale(operation, x.quantisation, y.quantisation)
        if to_batch:
            fill = 0 if y.quantisation is None else int(y.quantisation.zero_point[0])
            self._add(operation, shaping.SpaceToBatch(tuple(block), pairs, fill))
        else:
            self._add(operation, shaping.BatchToSpace(tuple(block), pairs))

    def _space_to_depth(self, operation: Operation) -> None:
        x = self._input(operation, 0)
        self._rank(operation, x, 4)
        block = operation.options["BlockSize"]
        batch, height, width, channels = x.shape
        if block < 1 or height % block or width % block:
            raise ModelFormatError(
                f"{operation}: block size is {block}, but must be 1 or more and divide {height} rows and "
                f"{width} columns"
            )
        self._copied(operation, x, (batch, height // block, width // block, block * block * channels))
        self._add(operation, shaping.SpaceToDepth(block))

    # State.

    def _variable(self, operation: Operation) -> str:
        options = operation.options
        return "/".join(name for name in (options["Container"], options["SharedName"]) if name)

    def _var_handle(self, operation: Operation) -> None:
        if len(operation.outputs) != 1:
            raise ModelFormatError(f"{operation} has {len(operation.outputs)} outputs, but must have 1")
        self._handles[operation.outputs[0]] = self._variable(operation)

    def _call_once(self, operation: Operation) -> None:
        """Read the initial values that the called subgraph assigns; it may hold nothing else."""
        index = operation.options["InitSubgraphIndex"]
        if not 0 < index < len(self._subgraphs):
            raise ModelFormatError(
                f"{operation}: subgraph is {index}, but must be one of 1 to {len(self._subgraphs) - 1}"
            )
        inner = _Builder([self._subgraphs[index]], self._name)
        for inside in self._subgraphs[index].operations:
            if inside.kind == "VAR_HANDLE":
                inner._var_handle(inside)
            elif inside.kind == "ASSIGN_VARIABLE":
                variable = inner._handle(inside)
                tensor = inner._input(inside, 1)
                value = inner._constant(inside, 1, "initial value", tensor.dtype.type)
                self._variables[variable] = value
            else:
                raise UnsupportedOperatorError(
                    f"{operation}: its subgraph holds {inside}, but may hold VAR_HANDLE and ASSIGN_VARIABLE alone"
                )

    def _handle(self, operation: Operation) -> str:
        if not operation.inputs or operation.inputs[0] not in self._handles:
            raise ModelFormatError(f"{operation}: input 0 must be a variable from VAR_HANDLE")
        return self._handles[operation.inputs[0]]

    def _initial(self, operation: Operation) -> tuple[str, np.ndarray]:
        variable = self._handle(operation)
        if variable not in self._variables:
            raise ModelFormatError(
                f"{operation}: variable {variable!r} has no initial value, but CALL_ONCE must give it one before"
            )
        return variable, self._variables[variable]

    def _read_variable(self, operation: Operation) -> None:
        variable, initial = self._initial(operation)
        y = self._output(operation, initial.shape)
        if y.dtype != initial.dtype:
            raise ModelFormatError(
                f"{operation}: output is {y.dtype}, but variable {variable!r} is {initial.dtype}"
            )
        self._add(operation, ReadVariable(variable), ())

    def _assign_variable(self, operation: Operation) -> None:
        variable, initial = self._initial(operation)
        x = self._input(operation, 1)
        if x.shape != initial.shape or x.dtype != initial.dtype:
            raise ModelFormatError(
                f"{operation}: value is {x.dtype} {list(x.shape)}, but variable {variable!r} is {initial.dtype} "
                f"{list(initial.shape)}"
            )
        self._add(operation, AssignVariable(variable), (1,))


def nearest_places(length: int, size: int, align_corners: bool, half_pixel_centers: bool) -> tuple[int, ...]:
    """For each of `size` output rows the input row, of `length`, that RESIZE_NEAREST_NEIGHBOR takes, in float32.

    Source: `GetNearestNeighbor`, internal/reference/resize_nearest_neighbor.h.
    """
    corners = align_corners and size > 1
    scale = (
        np.float32(length - 1) / np.float32(size - 1) if corners else np.float32(length) / np.float32(size)
    )
    offset = np.float32(0.5 if half_pixel_centers else 0)
    place = (np.arange(size).astype(np.float32) + offset) * scale
    place = round_half_away(place) if align_corners else np.floor(place)
    return tuple(np.clip(place, 0, length - 1).astype(np.int64).tolist())


def _unique_names(tensors: list[Stored]) -> list[str]:
    counts: dict[str, int] = {}
    for tensor in tensors:
        counts[tensor.name] = counts.get(tensor.name, 0) + 1
    return [t.name if t.name and counts[t.name] == 1 else f"{t.name}#{t.index}" for t in tensors]


# Operator -> the method that builds it. What is not here is refused by name.
OPERATORS: dict[str, Callable[[_Builder, Operation], None]] = {
    "ABS": _Builder._unary,
    "ADD": _Builder._binary,
    "ADD_N": _Builder._add_n,
    "ARG_MAX": _Builder._arg_extreme,
    "ARG_MIN": _Builder._arg_extreme,
    "ASSIGN_VARIABLE": _Builder._assign_variable,
    "AVERAGE_POOL_2D": _Builder._pool,
    "BATCH_MATMUL": _Builder._batch_matmul,
    "BATCH_TO_SPACE_ND": _Builder._space_and_batch,
    "BROADCAST_TO": _Builder._broadcast_to,
    "CALL_ONCE": _Builder._call_once,
    "CAST": _Builder._cast,
    "CEIL": _Builder._float_unary,
    "CONCATENATION": _Builder._concatenation,
    "CONV_2D": _Builder._convolution,
    "CUMSUM": _Builder._cumsum,
    "DEPTHWISE_CONV_2D": _Builder._convolution,
    "DEPTH_TO_SPACE": _Builder._depth_to_space,
    "DEQUANTIZE": _Builder._dequantize,
    "DIV": _Builder._binary,
    "ELU": _Builder._unary,
    "EQUAL": _Builder._comparison,
    "EXP": _Builder._unary,
    "EXPAND_DIMS": _Builder._reshape,
    "FILL": _Builder._broadcast_to,
    "FLOOR": _Builder._float_unary,
    "FULLY_CONNECTED": _Builder._fully_connected,
    "GATHER": _Builder._gather,
    "GELU": _Builder._unary,
    "GREATER": _Builder._comparison,
    "GREATER_EQUAL": _Builder._comparison,
    "HARD_SWISH": _Builder._unary,
    "L2_NORMALIZATION": _Builder._l2_normalization,
    "LEAKY_RELU": _Builder._unary,
    "LESS": _Builder._comparison,
    "LESS_EQUAL": _Builder._comparison,
    "LOG": _Builder._unary,
    "LOGICAL_AND": _Builder._logical,
    "LOGICAL_NOT": _Builder._logical,
    "LOGICAL_OR": _Builder._logical,
    "LOGISTIC": _Builder._unary,
    "LOG_SOFTMAX": _Builder._log_softmax,
    "MAXIMUM": _Builder._extreme_of_two,
    "MAX_POOL_2D": _Builder._pool,
    "MEAN": _Builder._reduce,
    "MINIMUM": _Builder._extreme_of_two,
    "MIRROR_PAD": _Builder._mirror_pad,
    "MUL": _Builder._binary,
    "NEG": _Builder._float_unary,
    "NOT_EQUAL": _Builder._comparison,
    "PACK": _Builder._pack,
    "PAD": _Builder._pad,
    "PADV2": _Builder._pad,
    "PRELU": _Builder._prelu,
    "QUANTIZE": _Builder._quantize,
    "READ_VARIABLE": _Builder._read_variable,
    "REDUCE_ALL": _Builder._reduce_logic,
    "REDUCE_ANY": _Builder._reduce_logic,
    "REDUCE_MAX": _Builder._reduce_extreme,
    "REDUCE_MIN": _Builder._reduce_extreme,
    "REDUCE_PROD": _Builder._reduce_product,
    "RELU": _Builder._unary,
    "RELU6": _Builder._unary,
    "RELU_0_TO_1": _Builder._unary,
    "RELU_N1_TO_1": _Builder._unary,
    "RESHAPE": _Builder._reshape,
    "RESIZE_BILINEAR": _Builder._resize,
    "RESIZE_NEAREST_NEIGHBOR": _Builder._resize,
    "REVERSE_V2": _Builder._reverse,
    "ROUND": _Builder._float_unary,
    "RSQRT": _Builder._unary,
    "SELECT": _Builder._select,
    "SELECT_V2": _Builder._select,
    "SHAPE": _Builder._shape,
    "SIGN": _Builder._float_unary,
    "SLICE": _Builder._slice,
    "SOFTMAX": _Builder._softmax,
    "SPACE_TO_BATCH_ND": _Builder._space_and_batch,
    "SPACE_TO_DEPTH": _Builder._space_to_depth,
    "SPLIT": _Builder._split,
    "SPLIT_V": _Builder._split,
    "SQRT": _Builder._unary,
    "SQUARE": _Builder._float_unary,
    "SQUARED_DIFFERENCE": _Builder._binary,
    "SQUEEZE": _Builder._reshape,
    "STRIDED_SLICE": _Builder._strided_slice,
    "SUB": _Builder._binary,
    "SUM": _Builder._reduce,
    "TANH": _Builder._unary,
    "TILE": _Builder._tile,
    "TOPK_V2": _Builder._top_k,
    "TRANSPOSE": _Builder._transpose,
    "TRANSPOSE_CONV": _Builder._transpose_conv,
    "UNPACK": _Builder._unpack,
    "VAR_HANDLE": _Builder._var_handle,
}
