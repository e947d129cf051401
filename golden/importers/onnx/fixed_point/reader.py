# SPDX-License-Identifier: Apache-2.0
"""From the operations of a fixed-point file to a graph of int8 tensors: scales, constants, shapes, nodes."""

from __future__ import annotations

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
from assay.golden.importers.onnx.file import Operation
from assay.golden.importers.onnx.fixed_point.attributes import Checked, checked_shape, coherent_scales
from assay.golden.schemes.fixed_point import (
    INPUT,
    Activation,
)

# Operator -> its handler. What is not here is rejected by name.
OPERATORS: Handlers[str, Callable[[Reader, Operation], None]] = Handlers()
handles = OPERATORS.of


class Reader:
    """Checks the scales of all operations together, then turns each into a node.

    Attributes:
        file: operations, constants, inputs and outputs, as `attributes.checked` gives them.
        uses: how often each tensor is read.
        readers: name -> the last operation whose first input it is.
        exponents: name -> exponent of its scale.
        from_input: tensors that are the network's input, transposed or reshaped at most.
        folded: names of batch normalisations that are in the layer before them.
    """

    def __init__(self, file: Checked, name: str) -> None:
        self.file = file
        self._name = name
        self.uses = Counter(name for operation in file.operations for name in operation.inputs)
        self.uses.update(file.outputs)
        self.readers = {name: operation for operation in file.operations for name in operation.inputs[:1]}
        self.exponents: dict[str, int] = {}
        self.tensors: dict[str, Tensor] = {}
        self.constants: dict[str, np.ndarray] = {}
        self._nodes: list[Node] = []
        self.from_input: set[str] = set(file.inputs)
        self.folded: set[str] = set()

    def graph(self) -> Graph:
        self.exponents = coherent_scales(self.file.operations)
        for name, shape in self.file.inputs.items():
            self.tensors[name] = self.described(name, shape, f"graph input {name!r}")
            if len(shape) == 4:
                try:
                    INPUT.check(f"graph input {name!r}", *shape[1:])
                except ConfigurationError as error:
                    raise ModelFormatError(str(error)) from None
        for operation in self.file.operations:
            try:
                with np.errstate(all="ignore"):
                    OPERATORS[operation.kind](self, operation)
            except (ConfigurationError, DoesNotFitError) as error:
                raise ModelFormatError(f"{operation}: {error}") from None
        if not self.file.outputs:
            raise ModelFormatError("the graph has 0 outputs, but must have 1 or more")
        for name in self.file.outputs:
            if name not in self.tensors:
                raise ModelFormatError(f"graph output {name!r} is made by no node")
        return Graph(
            name=self._name,
            tensors=self.tensors,
            inputs=tuple(self.file.inputs),
            outputs=self.file.outputs,
            nodes=tuple(self._nodes),
            constants=self.constants,
        )

    def described(self, name: str, shape: tuple[int, ...], where: str) -> Tensor:
        if name not in self.exponents:
            raise ModelFormatError(
                f"{where} has no scale, but a node that makes it or reads it must give one, such as input_scale"
            )
        return Tensor(name, shape, np.dtype(np.int8), Activation(self.exponents[name]))

    def input(self, operation: Operation, position: int = 0) -> Tensor:
        """A tensor that the network computes, or its input."""
        if position >= len(operation.inputs) or not operation.inputs[position]:
            raise ModelFormatError(f"{operation}: input {position} is missing")
        name = operation.inputs[position]
        if name in self.tensors:
            return self.tensors[name]
        if name in self.file.constants:
            raise UnsupportedOperatorError(
                f"{operation}: input {position} {name!r} is stored in the file, but must be computed by the network"
            )
        raise ModelFormatError(f"{operation}: tensor {name!r} is read, but no node before makes it")

    def stored(self, operation: Operation, position: int, what: str, kind: str = "f") -> np.ndarray:
        """The values of an input that must be in the file: floats, or integers for `kind` i."""
        if position >= len(operation.inputs) or not operation.inputs[position]:
            raise ModelFormatError(f"{operation}: input {position}, {what}, is missing")
        name = operation.inputs[position]
        if name not in self.file.constants:
            raise UnsupportedOperatorError(
                f"{operation}: {what} {name!r} is not stored in the file, but must be a constant"
            )
        values = self.file.constants[name]
        if values.dtype.kind != kind:
            raise UnsupportedOperatorError(
                f"{operation}: {what} {name!r} is {values.dtype}, but must be {'float32' if kind == 'f' else 'int64'}"
            )
        return values

    def add(
        self,
        operation: Operation,
        operator: Callable[..., Any],
        shape: tuple[int, ...],
        inputs: tuple[str, ...],
        macs: int = 0,
        output: str | None = None,
    ) -> None:
        """Append a node and describe what it makes."""
        output = output or operation.outputs[0]
        if output in self.tensors or output in self.file.constants:
            raise ModelFormatError(f"{operation}: tensor {output!r} is made twice")
        where = f"{operation}: tensor {output!r}"
        self.tensors[output] = self.described(output, checked_shape(shape, where), where)
        self._nodes.append(Node(operation.name, operation.kind, operator, inputs, (output,), macs))

    def exponents_of(self, operation: Operation, inputs: tuple[str, ...]) -> tuple[tuple[int, ...], int]:
        """Exponents of the scales of inputs and output."""
        return tuple(self.exponents[name] for name in inputs), self.exponents[operation.outputs[0]]


def broadcast(operation: Operation, a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    try:
        return tuple(np.broadcast_shapes(a, b))
    except ValueError:
        raise ModelFormatError(
            f"{operation}: shapes {list(a)} and {list(b)} differ, but must be equal or 1, from the last axis on"
        ) from None
