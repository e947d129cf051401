# SPDX-License-Identifier: Apache-2.0
"""From the operations of an .onnx file to a graph: names, constants, quantisations, shapes.

`Reader` keeps what is known of each tensor; the handler of an operator (`handles`) checks the operands and attributes
of a node, describes what it makes, and adds the node. Shapes are inferred, whatever the file says, and are bounded
before any array of that shape exists.
"""

from __future__ import annotations

import math
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
from assay.golden.importers.onnx.file import MAX_ELEMENTS, MAX_RANK, Array, File, Operation, Unread
from assay.golden.schemes import qonnx
from assay.golden.schemes.affine import Affine

__all__ = ["MICROSOFT", "OPERATORS", "Reader", "handles"]

MICROSOFT = "com.microsoft"
# Values that a node may read and compute while a file is loaded (shapes, scales, zero points, indices), beyond as many
# as the file has bytes.
MAX_KNOWN = 1 << 22

# Domain and operator -> its handler. What is not here is rejected by name.
OPERATORS: Handlers[tuple[str, str], Callable[[Reader, Operation], None]] = Handlers()


def handles(*kinds: str, domains: tuple[str, ...] = ("",)) -> Callable[[Callable], Callable]:
    """Decorator: the function reads these operators of these domains."""
    return OPERATORS.of(*((domain, kind) for domain in domains for kind in kinds))


class Reader:
    """Turns a file into a `Graph`, operation by operation.

    Attributes:
        opset: version of ONNX's own operators; `opsets` those of every domain.
        node_by_node: whether the reference executes each node in a session of its own, as QONNX's does.
        tensors: what is known of each tensor by now.
        constants: values that are in the file.
        fixed: names of what does not depend on the graph's inputs.

    Raises:
        UnsupportedOperatorError: an operator outside `OPERATORS`.
    """

    def __init__(self, file: File, name: str) -> None:
        self._file = file
        self._name = name
        self.opsets = file.opsets
        self.opset = file.opsets.get("", 0)
        self.node_by_node = uses_qonnx(file)
        self.tensors: dict[str, Tensor] = {}
        self.constants: dict[str, np.ndarray] = {}
        self.fixed: set[str] = set()
        self._nodes: list[Node] = []
        # What nodes compute from constants and shapes alone: how, and, of what was asked for, the values.
        self._recipes: dict[str, Node] = {}
        self._known: dict[str, np.ndarray] = {}
        # Constants under another name, which onnxruntime does not pack beforehand.
        self._aliases: set[str] = set()
        self._made: list[str] = []  # what the present node makes
        for operation in file.operations:
            _check(operation)
        for function in file.functions:
            if function in OPERATORS:
                raise UnsupportedOperatorError(
                    f"the file defines the function {function[1]} itself, but must use ONNX's operator of that name"
                )

    def graph(self) -> Graph:
        """The graph of all operations, of those constants that they read."""
        for name, array in self._file.constants.items():
            self.keep(name, array)
        inputs = self._file.inputs
        for name, (shape, dtype) in inputs.items():
            self.tensors[name] = _described(name, shape, dtype)
        for operation in self._file.operations:
            self._made = []
            try:
                # What overflows becomes infinite, and is rejected where it may not be.
                with np.errstate(all="ignore"):
                    OPERATORS[operation.domain, operation.kind](self, operation)
            except (ConfigurationError, DoesNotFitError) as error:
                raise ModelFormatError(f"{operation}: {error}") from None
        outputs = self._file.outputs
        for name in outputs:
            if name not in self.tensors:
                raise ModelFormatError(f"graph output {name!r} is made by no node")
        if not outputs or len(set(outputs)) != len(outputs):
            raise ModelFormatError(
                f"the graph has the outputs {list(outputs)}, but must have 1 or more, each once"
            )
        used = {name for node in self._nodes for name in node.inputs} | set(outputs)
        constants = {name: array for name, array in self.constants.items() if name in used}
        made = {*inputs, *(name for node in self._nodes for name in node.outputs)}
        return Graph(
            name=self._name,
            tensors={n: t for n, t in self.tensors.items() if n in made or n in constants},
            inputs=tuple(inputs),
            outputs=outputs,
            nodes=self._ordered(),
            constants=constants,
        )

    def _ordered(self) -> tuple[Node, ...]:
        """The nodes in the file's order, but what is computed from constants alone just before it is read.

        Files often begin with the dequantisation of all weights, which would then all be floats at the same time.
        """
        waiting = {name: node for node in self._nodes for name in node.outputs if name in self.fixed}
        ordered: dict[str, Node] = {}
        for last in self._nodes:
            stack = [] if self.fixed.issuperset(last.outputs) else [last]
            while stack:
                before = [waiting[name] for name in stack[-1].inputs if name in waiting]
                before = [node for node in before if node.name not in ordered]
                if before:
                    stack += before
                else:
                    node = stack.pop()
                    ordered[node.name] = node
        return tuple({**ordered, **{node.name: node for node in self._nodes}}.values())

    # What a node reads.

    def keep(self, name: str, array: Array) -> None:
        """Take values into the constants."""
        if name in self.tensors:
            raise ModelFormatError(f"tensor {name!r} is given twice")
        # Without a scale of its own, a constant of 4 bits still has its range.
        values, bits = array.values, array.bits
        about = Affine(np.ones(1), np.zeros(1), None, values.dtype, bits) if bits else None
        self.tensors[name] = Tensor(name, values.shape, values.dtype, about)
        self.constants[name] = values
        self.fixed.add(name)

    def keep_alias(self, name: str, constant: Tensor) -> None:
        """Another name of a constant."""
        bits = constant.quantisation.bits if constant.quantisation else None
        self.keep(name, Array(self.constants[constant.name], bits))
        self._aliases.add(name)

    def input(self, operation: Operation, position: int, *dtypes: type) -> Tensor:
        """An operand, of one of `dtypes` if any are given."""
        if not operation.has(position):
            raise ModelFormatError(f"{operation}: input {position} is missing")
        name = operation.inputs[position]
        if name not in self.tensors:
            raise ModelFormatError(f"{operation}: tensor {name!r} is read before any node makes it")
        tensor = self.tensors[name]
        if any(n < 1 for n in tensor.shape):
            raise ModelFormatError(
                f"{operation}: tensor {name!r} has shape {list(tensor.shape)}, but every axis must be 1 or more"
            )
        if dtypes and tensor.dtype not in dtypes:
            raise UnsupportedOperatorError(
                f"{operation}: tensor {name!r} is {tensor.dtype}, but must be "
                f"{' or '.join(np.dtype(d).name for d in dtypes)}"
            )
        return tensor

    def constant(self, operation: Operation, position: int, what: str, *dtypes: type) -> np.ndarray:
        """The values of an operand that must be in the file."""
        if not operation.has(position):
            raise ModelFormatError(f"{operation}: {what} (input {position}) is missing")
        name = operation.inputs[position]
        values = self.value(name)
        if values is None:
            raise UnsupportedOperatorError(
                f"{operation}: {what} {name!r} is computed by the network, but must be a constant"
            )
        if values.dtype not in dtypes:
            raise UnsupportedOperatorError(
                f"{operation}: {what} {name!r} is {values.dtype}, "
                f"but must be {' or '.join(np.dtype(d).name for d in dtypes)}"
            )
        return values

    def value(self, name: str) -> np.ndarray | None:
        """The values of a tensor that the file alone decides, or None; computed when first asked for."""
        wanted = [name] if name in self._recipes and name not in self._known else []
        while wanted:
            node = self._recipes[wanted[-1]]
            missing = [n for n in node.inputs if n not in self.constants and n not in self._known]
            if missing:
                wanted += missing
                continue
            with np.errstate(all="ignore"):
                made = node.operator(*(self.value(n)[None] for n in node.inputs))
            for output, array in zip(node.outputs, made if isinstance(made, tuple) else (made,), strict=True):
                self._known[output] = array[0]
            wanted.pop()
        return self.constants.get(name, self._known.get(name))

    def packed(self, tensor: Tensor) -> bool:
        """Whether onnxruntime prepares a matrix when it loads the file: a stored one, under its own name.

        The execution node by node gives even weights to the session of each node as inputs.
        """
        return tensor.name in self.constants and tensor.name not in self._aliases and not self.node_by_node

    def fixed_weights(self, operation: Operation, weight: Tensor) -> None:
        if weight.name not in self.fixed:
            raise UnsupportedOperatorError(
                f"{operation}: weights {weight.name!r} depend on the graph's inputs, but must be fixed by the file"
            )

    def single(self, operation: Operation, position: int, what: str, *dtypes: type) -> Any:
        values = self.constant(operation, position, what, *dtypes)
        if values.size != 1:
            raise UnsupportedOperatorError(f"{operation}: {what} has {values.size} values, but must have 1")
        return values.reshape(-1)[0]

    def integers(self, operation: Operation, position: int, what: str) -> list[int]:
        return [int(v) for v in self.constant(operation, position, what, np.int32, np.int64).ravel()]

    def given(self, operation: Operation, position: int, name: str) -> list[int] | None:
        """Integers given as an input, or by older opsets as an attribute, or not at all."""
        if operation.has(position):
            return self.integers(operation, position, name)
        value = operation.attributes.get(name)
        if value is not None and not isinstance(value, list):
            raise ModelFormatError(f"{operation}: attribute {name} is {value}, but must be a list")
        return value

    def affine(
        self,
        operation: Operation,
        scale: int,
        zero_point: int,
        dtype: np.dtype,
        shape: tuple[int, ...] | None = None,
        axis: int | None = None,
        bits: int | None = None,
    ) -> Affine:
        """The quantisation given by the inputs at `scale` and `zero_point`; per axis only if `shape` is given."""
        scales = self.constant(operation, scale, "scale", np.float32)
        zeros = np.zeros(scales.shape, np.int64)
        if operation.has(zero_point):
            zeros = self.constant(operation, zero_point, "zero point", dtype.type)
        for what, values in (("scale", scales), ("zero point", zeros)):
            lengths = (1,) if shape is None else (1, shape[axis])
            if values.ndim > 1 or values.size not in lengths:
                raise UnsupportedOperatorError(
                    f"{operation}: {what} has shape {list(values.shape)}, but must hold "
                    f"{' or '.join(map(str, sorted(set(lengths))))} value(s)"
                )
        count = max(scales.size, zeros.size)
        scales, zeros = (np.broadcast_to(v.reshape(-1), (count,)) for v in (scales, zeros))
        return Affine(scales, zeros.astype(np.int64), axis if count > 1 else None, dtype, bits)

    def output(
        self,
        operation: Operation,
        shape: tuple[int, ...],
        dtype: np.dtype | type = np.float32,
        quantisation: Affine | None = None,
        position: int = 0,
    ) -> Tensor:
        if position >= len(operation.outputs) or not operation.outputs[position]:
            raise ModelFormatError(f"{operation}: output {position} is missing")
        name = operation.outputs[position]
        if name in self.tensors:
            raise ModelFormatError(f"{operation}: tensor {name!r} is made twice")
        self.tensors[name] = _described(name, shape, dtype, quantisation)
        self._made.append(name)
        return self.tensors[name]

    def copied(self, operation: Operation, x: Tensor, shape: tuple[int, ...], position: int = 0) -> Tensor:
        """An output that holds values of `x`; along an axis that moves, a quantisation is no longer told."""
        about = x.quantisation if x.quantisation is None or not x.quantisation.per_axis else None
        return self.output(operation, shape, x.dtype, about, position)

    def add(
        self, operation: Operation, operator: Callable[..., Any], data: tuple[int, ...] = (0,), macs: int = 0
    ) -> None:
        outputs = tuple(name for name in operation.outputs if name)
        if outputs != tuple(self._made):
            extra = next((name for name in outputs if name not in self._made), outputs[-1])
            raise UnsupportedOperatorError(f"{operation}: output {extra!r} is one too many")
        inputs = tuple(operation.inputs[position] for position in data)
        if self.fixed.issuperset(inputs):
            self.fixed.update(outputs)
        node = Node(operation.name, operation.kind, operator, inputs, outputs, macs)
        self._nodes.append(node)
        known = all(name in self.constants or name in self._recipes for name in inputs)
        size = sum(math.prod(self.tensors[name].shape) for name in (*inputs, *outputs))
        if known and size <= MAX_KNOWN + self._file.size and macs == 0:
            self._recipes.update(dict.fromkeys(outputs, node))


def uses_qonnx(file: File) -> bool:
    """Whether the file has operators of QONNX, so that the package qonnx is its reference."""
    return any(o.domain in qonnx.DOMAINS or o.kind == "Quant" for o in file.operations)


def _check(operation: Operation) -> None:
    if (operation.domain, operation.kind) not in OPERATORS:
        inside = f" of domain {operation.domain}" if operation.domain else ""
        allowed = sorted({kind for _, kind in OPERATORS})
        raise UnsupportedOperatorError(
            f"{operation}: operator {operation.kind}{inside} is not among those supported: {', '.join(allowed)}"
        )
    for name, value in operation.attributes.items():
        if isinstance(value, Unread):
            raise UnsupportedOperatorError(
                f"{operation}: attribute {name} is of type {value.type}, but must be a number, a string, a tensor or a "
                f"list of numbers"
            )


def _described(
    name: str, shape: tuple[int, ...], dtype: np.dtype, quantisation: Affine | None = None
) -> Tensor:
    if len(shape) > MAX_RANK or any(n < 1 for n in shape) or math.prod(shape) > MAX_ELEMENTS:
        raise ModelFormatError(
            f"tensor {name!r} has shape {list(shape)}, but must have at most {MAX_RANK} axes of 1 or more and "
            f"{MAX_ELEMENTS} values"
        )
    return Tensor(name, tuple(int(n) for n in shape), np.dtype(dtype), quantisation)
