# SPDX-License-Identifier: Apache-2.0
"""From the operations of a .tflite file to a graph: names, constants, quantisations, shapes.

Shapes are inferred from the inputs' shapes and the operators, as LiteRT does, and are bounded before any array of that
shape exists.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from assay.golden.errors import (
    ConfigurationError,
    DoesNotFitError,
    ModelFormatError,
    UnsupportedOperatorError,
)
from assay.golden.graph import Graph, Node, Tensor
from assay.golden.handlers import Handlers
from assay.golden.importers.tflite.file import MAX_RANK, Operation, Stored, Subgraph
from assay.golden.schemes.tflite import (
    Affine,
)

# Bounds of what a file may ask for.
MAX_ELEMENTS = 1 << 26  # values that the network computes for one tensor in one run, or of a padded map

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

# Numbers that operators of `_EXACT` (elementwise) take as they are.
PLAIN = (np.dtype(np.float32), np.dtype(np.int32), np.dtype(np.int64))


# Operator -> its handler. What is not here is rejected by name.
OPERATORS: Handlers[str, Callable[[Reader, Operation], None]] = Handlers()
handles = OPERATORS.of


class Reader:
    """Turns the file's first subgraph into a `Graph`, operation by operation.

    Attributes:
        subgraphs: of the file; `stored` are the first one's tensors, and `names` what each is called here.
        tensors: index -> what is known of it by now.
        constants: index -> values that do not depend on the network's inputs.
        handles: index of a tensor that stands for a variable -> the variable.
        variables: name -> initial value.
    """

    def __init__(self, subgraphs: list[Subgraph], name: str) -> None:
        self.subgraphs = subgraphs
        self.stored = subgraphs[0].tensors
        self.name = name
        self.names = _unique_names(self.stored)
        self.tensors: dict[int, Tensor] = {}
        self.constants: dict[int, np.ndarray] = {}
        self.handles: dict[int, str] = {}
        self.variables: dict[str, np.ndarray] = {}
        self._nodes: list[Node] = []
        self._made = 0  # outputs of the present operation that are described

    def graph(self) -> Graph:
        main = self.subgraphs[0]
        if not main.inputs:
            raise ModelFormatError(
                "the graph has 0 inputs, but must have 1 or more: its values would never change"
            )
        for index in main.inputs:
            shape = self.stored[index].shape
            # A batch axis without a length, as some tools write it.
            self.tensors[index] = self.declared(index, (1, *shape[1:]) if shape[:1] == (-1,) else shape)
        for operation in main.operations:
            if operation.kind not in OPERATORS:
                raise UnsupportedOperatorError(
                    f"{operation}: this operator is not among those supported: {', '.join(sorted(OPERATORS))}"
                )
            self._made = 0
            try:
                # What overflows becomes infinite, as in C, and is rejected where it may not be.
                with np.errstate(all="ignore"):
                    OPERATORS[operation.kind](self, operation)
            except (ConfigurationError, DoesNotFitError) as error:
                raise ModelFormatError(f"{operation}: {error}") from None
        for index in main.outputs:
            self.find(index, "graph output")
        if not main.outputs:
            raise ModelFormatError("the graph has 0 outputs, but must have 1 or more")
        used = {name for node in self._nodes for name in node.inputs} | {self.names[i] for i in main.outputs}
        return Graph(
            name=self.name,
            tensors={tensor.name: tensor for tensor in self.tensors.values()},
            inputs=tuple(self.names[i] for i in main.inputs),
            outputs=tuple(self.names[i] for i in main.outputs),
            nodes=tuple(self._nodes),
            constants={self.names[i]: a for i, a in self.constants.items() if self.names[i] in used},
            variables=self.variables,
        )

    def declared(self, index: int, shape: tuple[int, ...], bounded: bool = True) -> Tensor:
        """Describe a tensor of the file that has `shape`, checking its type, quantisation and, unless the file holds
        its values, size."""
        stored = self.stored[index]
        where = f"tensor {self.names[index]!r}"
        if stored.type not in _DTYPES:
            hint = "; quantise the model to int8" if stored.type == "FLOAT16" else ""
            raise UnsupportedOperatorError(
                f"{where} has type {stored.type}, but must have one of {', '.join(_DTYPES)}{hint}"
            )
        if any(n < 1 for n in shape) or (bounded and math.prod(shape) > MAX_ELEMENTS):
            limit = f" and their product at most {MAX_ELEMENTS}" if bounded else ""
            raise ModelFormatError(
                f"{where} has shape {list(shape)}, but every axis must be 1 or more{limit}"
            )
        return Tensor(
            self.names[index], shape, _DTYPES[stored.type], self._quantisation(stored, shape), index
        )

    def _quantisation(self, stored: Stored, shape: tuple[int, ...]) -> Affine | None:
        dtype = _DTYPES[stored.type]
        # A bias has the scale of its layer's sums and indices have none: nothing is computed from either.
        if not stored.scale or dtype.kind not in "iu" or dtype.itemsize > 2:
            return None
        where = f"tensor {self.names[stored.index]!r}"
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

    def find(self, index: int, reader: object) -> Tensor:
        """The tensor that an operator reads: made before, or a constant of the file."""
        if index in self.tensors:
            return self.tensors[index]
        stored = self.stored[index]
        where = f"{reader}: tensor {self.names[index]!r}"
        if not len(stored.data):
            raise ModelFormatError(
                f"{where} is read, but no node before makes it and the file holds no values for it"
            )
        tensor = self.declared(index, stored.shape, bounded=False)
        expected = math.prod(stored.shape) * tensor.dtype.itemsize
        if len(stored.data) != expected:
            raise ModelFormatError(
                f"{where} of shape {list(stored.shape)} and type {stored.type} holds {len(stored.data)} bytes, "
                f"but must hold {expected}"
            )
        array = np.frombuffer(stored.data, tensor.dtype.newbyteorder("<")).reshape(stored.shape)
        if tensor.dtype.kind == "f" and not np.isfinite(array).all():
            raise ModelFormatError(f"{where} holds NaN or infinity, but must be finite")
        self.tensors[index], self.constants[index] = tensor, array
        return tensor

    def input(self, operation: Operation, position: int) -> Tensor:
        if position >= len(operation.inputs) or operation.inputs[position] == -1:
            raise ModelFormatError(f"{operation}: input {position} is missing")
        index = operation.inputs[position]
        if index in self.handles:
            raise ModelFormatError(
                f"{operation}: input {position} is the variable {self.handles[index]!r}, but must be a tensor"
            )
        return self.find(index, operation)

    def is_computed(self, index: int) -> bool:
        """Whether the network makes the tensor, so that its values are not known before it runs."""
        return index in self.tensors and index not in self.constants

    def constant(self, operation: Operation, position: int, what: str, *dtypes: type) -> np.ndarray:
        """The values of an input that must be in the file, of one of `dtypes`."""
        tensor = self.input(operation, position)
        if operation.inputs[position] not in self.constants:
            raise UnsupportedOperatorError(
                f"{operation}: {what} {tensor.name!r} is computed by the network, but must be a constant"
            )
        if tensor.dtype not in dtypes:
            raise UnsupportedOperatorError(
                f"{operation}: {what} {tensor.name!r} is {tensor.dtype}, "
                f"but must be {' or '.join(np.dtype(d).name for d in dtypes)}"
            )
        return self.constants[operation.inputs[position]]

    def integers(self, operation: Operation, position: int, what: str) -> list[int]:
        return [int(v) for v in self.constant(operation, position, what, np.int32, np.int64).ravel()]

    def quantised(self, operation: Operation, tensor: Tensor, *dtypes: type) -> Affine:
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

    def output(self, operation: Operation, shape: tuple[int, ...], position: int = 0) -> Tensor:
        """Describe an output; its shape is what the operator gives, whatever the file says."""
        if position >= len(operation.outputs):
            raise ModelFormatError(f"{operation}: output {position} is missing")
        index = operation.outputs[position]
        if index in self.tensors or index in self.handles:
            raise ModelFormatError(f"{operation}: tensor {self.names[index]!r} is made twice")
        self.tensors[index] = self.declared(index, shape)
        self._made += 1
        return self.tensors[index]

    def copied(
        self, operation: Operation, source: Tensor, shape: tuple[int, ...], position: int = 0
    ) -> Tensor:
        """An output that holds the very integers of `source`."""
        target = self.output(operation, shape, position)
        if target.dtype != source.dtype:
            raise ModelFormatError(
                f"{operation}: output {target.name!r} is {target.dtype}, but must be {source.dtype} as its input is"
            )
        return target

    def add(
        self, operation: Operation, operator: Callable[..., Any], data: tuple[int, ...] = (0,), macs: int = 0
    ) -> None:
        """Append a node that reads the inputs at the positions `data`; sizes computed from sizes (SHAPE, then
        STRIDED_SLICE, PACK...) are computed now and become constants, not nodes."""
        if self._made != len(operation.outputs):
            raise ModelFormatError(
                f"{operation} has {len(operation.outputs)} outputs, but must have {self._made}"
            )
        sources = [operation.inputs[position] for position in data]
        made = [self.tensors[index] for index in operation.outputs if index in self.tensors]
        sizes = all(t.dtype in (np.int32, np.int64) and math.prod(t.shape) <= MAX_RANK**2 for t in made)
        if sources and made and sizes and all(index in self.constants for index in sources):
            values = operator(*(self.constants[index][None] for index in sources))
            for index, value in zip(
                operation.outputs, values if isinstance(values, tuple) else (values,), strict=True
            ):
                self.constants[index] = value[0]
            return
        inputs = tuple(self.names[index] for index in sources)
        outputs = tuple(self.names[index] for index in operation.outputs)
        self._nodes.append(Node(operation.name, operation.kind, operator, inputs, outputs, macs))


def _unique_names(tensors: list[Stored]) -> list[str]:
    """The tensors' names; one that is empty or used twice gets the index behind it, as often as it takes."""
    counts = Counter(tensor.name for tensor in tensors)
    once = {name for name, count in counts.items() if name and count == 1}
    taken, names = set(once), []
    for tensor in tensors:
        name = tensor.name
        if name not in once:
            name = f"{name}#{tensor.index}"
            while name in taken:
                name = f"{name}#{tensor.index}"
            taken.add(name)
        names.append(name)
    return names
