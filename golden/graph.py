# SPDX-License-Identifier: Apache-2.0
"""Directed graphs of named tensors: whole networks as their framework runs them, every tensor bit by bit.

A node applies one operator to tensors and constants and makes tensors; nodes are stored, and executed, in an order
in which every tensor is made before it is read. Arrays keep the framework's own axis order and dtype.

Batches: a framework's file fixes the shape of every tensor, usually with a batch axis of 1. A graph runs N
independent executions ("runs") at once: inside, every array has one more leading axis, of N runs (or of 1, for what
is the same in all runs), so an operator that moves or removes the file's own batch axis stays correct. Outside,
that axis takes the place of the file's leading axis where this is 1: [1, 32, 32, 3] in the file is [N, 32, 32, 3]
for the caller, [3, 40] is [N, 3, 40].

State: a variable keeps its value from one call to the next, one value for each of the N runs: N parallel streams.
`reset()` returns to the initial values.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.golden import table
from assay.golden.compare import Comparison, compare_traces, trace_of
from assay.golden.errors import ConfigurationError, GoldenError
from assay.golden.precision import Format, Precision, parse, unknown_name
from assay.golden.table import short

if TYPE_CHECKING:
    from assay.golden.network import Network

__all__ = ["AssignVariable", "Graph", "Node", "ReadVariable", "Tensor"]


@dataclass(frozen=True, eq=False)
class Tensor:
    """What is known of a tensor before anything runs.

    Attributes:
        name: unique in its graph.
        shape: as in the model file.
        dtype: numpy dtype of its values.
        quantisation: what its integers stand for (an object of `golden.schemes`), or None.
        index: its place in the model file's list of tensors, or None.
        precision: what every value is brought into beyond what the file says, or None; see `Graph.with_precision`.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    quantisation: Any = None
    index: int | None = None
    precision: Precision | None = None

    def fitted(self, values: np.ndarray) -> np.ndarray:
        """The values as `precision` leaves them."""
        return values if self.precision is None else self.precision(values)

    def stacked(self, runs: np.ndarray) -> np.ndarray:
        """The array for the caller of `runs`, `[N, *shape]`: `[N, *shape[1:]]` if the leading axis is 1."""
        return runs.reshape(runs.shape[:1] + self.shape[1:]) if self.shape[:1] == (1,) else runs


@dataclass(frozen=True)
class ReadVariable:
    """Operator that gives a variable's present value."""

    variable: str


@dataclass(frozen=True)
class AssignVariable:
    """Operator that keeps its input as a variable's value; it makes no tensor."""

    variable: str


@dataclass(frozen=True, eq=False)
class Node:
    """One application of an operator.

    Attributes:
        name: unique in its graph.
        kind: the framework's name of the operator, such as CONV_2D.
        operator: takes one array `[N or 1, *shape]` per input; gives one such array, or a tuple of them.
        inputs, outputs: names of tensors or constants, and of tensors.
        macs: multiplications of one run, for the summary.
    """

    name: str
    kind: str
    operator: Callable[..., Any]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    macs: int = 0


@dataclass(eq=False)
class Graph:
    """A network that can `predict`, `trace`, `compare` and `reset`.

    Attributes:
        name: of the network.
        tensors: name -> Tensor of every input, every node's output and every constant.
        inputs, outputs: names.
        nodes: in order of execution.
        constants: name -> array of its tensor's shape and dtype.
        variables: name of a state variable -> its initial value, an array of the model's own shape.

    Raises:
        ConfigurationError: a name that is unknown, made twice, or read before it is made.
    """

    name: str
    tensors: dict[str, Tensor]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    variables: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        made = set(self.inputs) | set(self.constants)
        names: set[str] = set()
        for node in self.nodes:
            where = f"node {node.name!r} ({node.kind})"
            if node.name in names:
                raise ConfigurationError(f"{where}: another node has that name, but names must be unique")
            names.add(node.name)
            for name in node.inputs:
                if name not in made:
                    raise ConfigurationError(f"{where}: tensor {name!r} is read before any node makes it")
            for name in node.outputs:
                if name in made:
                    raise ConfigurationError(f"{where}: tensor {name!r} is made twice")
                made.add(name)
            if isinstance(node.operator, (ReadVariable, AssignVariable)):
                variable = node.operator.variable
                if variable not in self.variables:
                    raise ConfigurationError(
                        f"{where}: variable {variable!r} has no initial value, "
                        f"but those that have are {', '.join(map(repr, self.variables)) or 'none'}"
                    )
        for name in self.outputs:
            if name not in made:
                raise ConfigurationError(f"graph {self.name}: output {name!r} is made by no node")
        for name in made:
            if name not in self.tensors:
                raise ConfigurationError(f"graph {self.name}: tensor {name!r} has no shape and dtype")
        self._state: dict[str, np.ndarray] = {}

    @property
    def state(self) -> dict[str, np.ndarray]:
        """Present value of each variable, `[N, *shape]`, or its initial value `[1, *shape]` before a call."""
        return {name: self._state.get(name, initial[None]) for name, initial in self.variables.items()}

    def reset(self) -> None:
        """Give every state variable its initial value; the next call may have another number of streams."""
        self._state = {}

    def predict(self, x: np.ndarray | Mapping[str, np.ndarray]) -> np.ndarray | dict[str, np.ndarray]:
        """Run the network on N inputs; a network with state advances each of its N streams by one step.

        Args:
            x: the input as described in the module's head, of exactly its tensor's dtype; a mapping from names
                for a network with several inputs.

        Returns:
            The output, or a dict from names to arrays for a network with several outputs.

        Raises:
            GoldenError: a wrong name, shape or dtype, NaN or infinity, or another number of streams than the
                state has.
        """
        wanted = set(self.outputs)
        values = self._run(x, keep=wanted.__contains__)
        if len(self.outputs) == 1:
            return values[self.outputs[0]]
        return {name: values[name] for name in self.outputs}

    def trace(self, x: np.ndarray | Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run the network on N inputs and keep every tensor, the inputs first, then in order of execution.

        Arguments and errors as for `predict`; the state advances as it does there.
        """
        return self._run(x, keep=lambda name: True)

    def compare(
        self, x: np.ndarray | Mapping[str, np.ndarray], reference: Mapping[str, np.ndarray] | Any
    ) -> Comparison:
        """Trace the network and hold every tensor against a reference's.

        Args:
            x: as for `predict`.
            reference: tensor name -> array (names it lacks are not compared), or a model with `trace`: another
                graph or network, or one of `golden.runtimes`. A graph with state advances. Floats where this graph has
                quantised integers are compared with the real values.

        Raises:
            GoldenError: as for `predict`, or nothing that this graph computes could be compared.
        """
        theirs = trace_of(reference, x)
        return compare_traces(self.trace(x), theirs, self.inputs, self.quantisations)

    @property
    def quantisations(self) -> dict[str, Any]:
        """Tensor name -> what its integers stand for, of the tensors of which that is known."""
        return {
            name: tensor.quantisation
            for name, tensor in self.tensors.items()
            if tensor.quantisation is not None
        }

    def lower(
        self, scales: str = "exact", input_format: str | Format | None = None, input_layout: str = ""
    ) -> Network:
        """The network of integer layers that a matrix-vector unit runs; see `golden.lowering.lower`.

        Args:
            scales: "exact": equal to this graph in every tensor for every input, or rejected. "nearest": the nearest
                that the hardware holds.
            input_format, input_layout: of a float input without a quantiser.
        """
        # A lowering is made of graphs, so it is imported when it is asked for, as importers are.
        return importlib.import_module("assay.golden.lowering").lower(
            self, scales, input_format, input_layout
        )

    def with_precision(self, precision: Mapping[str, str | Format]) -> Graph:
        """A graph whose named tensors have other formats; this one stays as it is, and state begins anew there.

        Args:
            precision: name of a tensor, or of a node for all that it makes -> format, such as "ap_fixed<8,3,RND,SAT>"
                or "int4"; `golden.precision` says what each means. Inputs may be named, constants not.

        Raises:
            ConfigurationError: an unknown name, a tensor named twice, or a format without meaning for it.
        """
        nodes = {node.name: node.outputs for node in self.nodes}
        made = [*self.inputs, *(name for outputs in nodes.values() for name in outputs)]
        changed: dict[str, Tensor] = {}
        for given, text in precision.items():
            outputs = (given,) if given in made else nodes.get(given, ())
            if not outputs:
                raise unknown_name(f"graph {self.name}", given, [*nodes, *made])
            for name in outputs:
                if name in changed:
                    raise ConfigurationError(
                        f"graph {self.name}: the precision of tensor {name!r} is given twice"
                    )
                tensor = self.tensors[name]
                fitted = Precision(name, parse(text), tensor.dtype, tensor.quantisation)
                changed[name] = replace(tensor, precision=fitted)
        return replace(self, tensors=self.tensors | changed)

    def _run(self, x: Any, keep: Callable[[str], bool]) -> dict[str, np.ndarray]:
        values = self._checked_inputs(x)
        runs = len(next(iter(values.values()))) if values else 1
        state = self._checked_state(runs)
        kept = {name: self._stacked(name, values[name], runs) for name in values if keep(name)}
        values.update({name: constant[None] for name, constant in self.constants.items()})
        kept.update({n: self._stacked(n, values[n], runs) for n in self.outputs if n in self.constants})
        left = self._readers()
        for node in self.nodes:
            arrays = [values[name] for name in node.inputs]
            for name in node.inputs:
                left[name] -= 1
                if not left[name]:
                    del values[name]
            if isinstance(node.operator, ReadVariable):
                made: Any = state[node.operator.variable]
            elif isinstance(node.operator, AssignVariable):
                state[node.operator.variable] = np.broadcast_to(arrays[0], (runs, *arrays[0].shape[1:]))
                continue
            else:
                # Infinity and NaN are values of float tensors, no faults to be reported.
                with np.errstate(all="ignore"):
                    made = node.operator(*arrays)
            for name, array in zip(node.outputs, made if isinstance(made, tuple) else (made,), strict=True):
                array = self.tensors[name].fitted(array)
                if keep(name):
                    kept[name] = self._stacked(name, array, runs)
                if left.get(name):
                    values[name] = array
        # Only a call that came to its end changes the state.
        self._state = state
        return kept

    def _readers(self) -> dict[str, int]:
        """How often each tensor is still to be read: after the last time its memory is released."""
        count: dict[str, int] = {}
        for node in self.nodes:
            for name in node.inputs:
                count[name] = count.get(name, 0) + 1
        return count

    def _stacked(self, name: str, array: np.ndarray, runs: int) -> np.ndarray:
        return self.tensors[name].stacked(np.broadcast_to(array, (runs, *array.shape[1:])))

    def _checked_inputs(self, x: Any) -> dict[str, np.ndarray]:
        if not isinstance(x, Mapping):
            if len(self.inputs) != 1:
                raise GoldenError(
                    f"graph {self.name} has the inputs {', '.join(map(repr, self.inputs))}, "
                    f"but was given one array: give a dict from these names"
                )
            x = {self.inputs[0]: x}
        if set(x) != set(self.inputs):
            raise GoldenError(
                f"inputs are named {', '.join(map(repr, x)) or 'nothing'}, "
                f"but graph {self.name} takes {', '.join(map(repr, self.inputs))}"
            )
        values = {name: self._checked_input(self.tensors[name], x[name]) for name in self.inputs}
        lengths = {name: len(array) for name, array in values.items()}
        if len(set(lengths.values())) > 1:
            raise GoldenError(f"inputs hold {lengths} runs, but must hold the same number each")
        return values

    def _checked_input(self, tensor: Tensor, x: Any) -> np.ndarray:
        x = np.asarray(x)
        rest = tensor.shape[1:] if tensor.shape[:1] == (1,) else tensor.shape
        if x.shape[1:] != rest or x.ndim != len(rest) + 1:
            expected = ", ".join(["N", *map(str, rest)])
            raise GoldenError(
                f"input {tensor.name!r} has shape {list(x.shape)}, but graph {self.name} takes [{expected}]"
            )
        if x.dtype != tensor.dtype:
            raise GoldenError(
                f"input {tensor.name!r} has dtype {x.dtype}, but graph {self.name} takes {tensor.dtype}"
            )
        if x.dtype.kind == "f" and not np.isfinite(x).all():
            raise GoldenError(f"input {tensor.name!r} holds NaN or infinity, but must be finite")
        return tensor.fitted(x).reshape((len(x), *tensor.shape))

    def _checked_state(self, runs: int) -> dict[str, np.ndarray]:
        """A copy of the state for `runs` streams."""
        state = {}
        for name, value in self.state.items():
            if name in self._state and len(value) != runs:
                raise GoldenError(
                    f"input holds {runs} streams, but the state of graph {self.name} holds {len(value)}: "
                    f"give as many, or call reset() first"
                )
            state[name] = np.broadcast_to(value, (runs, *value.shape[1:]))
        return state

    def summary(self) -> str:
        """A table of inputs, nodes with what they make, outputs and variables. Ends without newline.

        A node's inputs are given by the nodes that make them; long names of tensors lose their middle.
        """
        header = ("node", "operator", "from", "tensor", "shape", "numbers", "MACs")
        makers = {name: short(node.name, 100) for node in self.nodes for name in node.outputs}
        rows = [header]
        for name in self.inputs:
            rows.append((short(name), "input", "", short(name), *self._described(name), ""))
        for node in self.nodes:
            data = [makers.get(name, short(name)) for name in node.inputs if name not in self.constants]
            if isinstance(node.operator, ReadVariable):
                data = [f"state {short(node.operator.variable)}"]
            macs = f"{node.macs:,}" if node.macs else ""
            made = [(short(name), *self._described(name)) for name in node.outputs]
            if isinstance(node.operator, AssignVariable):
                made = [(f"state {short(node.operator.variable)}", "", "")]
            for number, described in enumerate(made):
                about = ("", "", "") if number else (short(node.name, 100), node.kind, ", ".join(data))
                rows.append((*about, *described, "" if number else macs))
        for name in self.outputs:
            rows.append(("", "output", makers.get(name, ""), short(name), *self._described(name), ""))
        for name, initial in self.variables.items():
            rows.append(("", "state", "", short(name), _by(initial.shape), str(initial.dtype), ""))
        macs = sum(node.macs for node in self.nodes)
        lines = [f"graph {self.name}: {len(self.nodes)} nodes, {macs:,} MACs a run"]
        return "\n".join([*lines, *table.lines(rows)])

    def _described(self, name: str) -> tuple[str, str]:
        tensor = self.tensors[name]
        numbers = tensor.dtype if tensor.quantisation is None else tensor.quantisation
        override = "" if tensor.precision is None else f", {tensor.precision}"
        return _by(tensor.shape), f"{numbers}{override}"


def _by(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "scalar"
