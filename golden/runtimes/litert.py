# SPDX-License-Identifier: Apache-2.0
"""LiteRT's interpreter with its reference kernels, keeping every tensor: the reference for TFLite graphs."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

from assay.golden.errors import GoldenError, RuntimeEndedError
from assay.golden.graph import Graph
from assay.golden.importers import model_file

__all__ = ["KERNELS", "LiteRt", "abort_reasons", "known_deviations"]

KERNELS = ("reference", "optimised")


class LiteRt:
    """A .tflite model in LiteRT (PyPI ai-edge-litert), one thread, all tensors kept.

    Args:
        model: path, or the file's bytes.
        graph: the same file as `golden.load` reads it: its names for LiteRT's tensors.
        progress: wraps the runs of a call to `trace`, as tqdm does.
        kernels: "reference" is the op resolver BUILTIN_REF. "optimised" is the interpreter's default, which hands what
            it can to XNNPACK; so that XNNPACK keeps them, all tensors are made outputs of the model.
        outputs_only: keep only the inputs and the model's outputs: nothing slows the kernels down then.

    Raises:
        GoldenError: LiteRT is not installed, or refuses the model.
    """

    def __init__(
        self,
        model: Path | bytes,
        graph: Graph,
        progress: Callable[[range], Iterable[int]] = iter,
        kernels: str = "reference",
        outputs_only: bool = False,
    ) -> None:
        if kernels not in KERNELS:
            raise GoldenError(f"kernels is {kernels!r}, but must be one of {', '.join(KERNELS)}")
        try:
            from ai_edge_litert import interpreter
        except ImportError:
            raise GoldenError(
                "comparing with LiteRT needs the package ai-edge-litert, "
                "install it with: pip install ai-edge-litert"
            ) from None
        data = model if isinstance(model, bytes) else model_file.read(Path(model))
        self._graph = graph
        self._progress = progress
        made = [name for node in graph.nodes for name in node.outputs]
        self._names = [*graph.inputs, *(graph.outputs if outputs_only else made)]
        try:
            if kernels == "reference":
                data = _of_first_versions(data)
                resolver = interpreter.OpResolverType.BUILTIN_REF
            elif outputs_only:
                resolver = interpreter.OpResolverType.AUTO
            else:
                places = [index for name in made if (index := graph.tensors[name].index) is not None]
                data = _with_outputs(data, places)
                resolver = interpreter.OpResolverType.AUTO
            self._interpreter = interpreter.Interpreter(
                model_content=data,
                experimental_op_resolver_type=resolver,
                experimental_preserve_all_tensors=kernels == "reference" and not outputs_only,
                num_threads=1,
            )
            self._interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise GoldenError(f"LiteRT refuses the model: {' '.join(str(error).split())}") from None

    def run(self, inputs: Mapping[str, np.ndarray]) -> None:
        """One run on arrays of the file's own shapes; a streaming model advances by one step.

        Raises:
            RuntimeEndedError: an operator has no result for its input (a division by zero, say).
        """
        try:
            for name, array in inputs.items():
                self._interpreter.set_tensor(self._graph.tensors[name].index, array)
            self._interpreter.invoke()
        except (RuntimeError, ValueError) as error:
            raise RuntimeEndedError(f"LiteRT ends the run: {' '.join(str(error).split())}") from None

    def tensor(self, name: str) -> np.ndarray:
        """A tensor after the last run."""
        return self._interpreter.get_tensor(self._graph.tensors[name].index)

    def trace(self, x: np.ndarray | Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run N inputs one after the other and give every tensor, shaped as `Graph.trace` shapes it.

        LiteRT has one state: the rows of a streaming model's input are successive steps of one stream, which equals
        `Graph.trace` for one row at a time.

        Args:
            x: an input that `Graph.trace` takes.
        """
        x = x if isinstance(x, Mapping) else {self._graph.inputs[0]: x}
        runs = len(next(iter(x.values())))
        shaped = {
            name: np.asarray(a).reshape(runs, *self._graph.tensors[name].shape) for name, a in x.items()
        }
        kept: dict[str, list[np.ndarray]] = {name: [] for name in self._names}
        for run in self._progress(range(runs)):
            self.run({name: np.asarray(array[run]) for name, array in shaped.items()})
            for name, arrays in kept.items():
                arrays.append(self.tensor(name))
        return {name: self._graph.tensors[name].stacked(np.stack(a)) for name, a in kept.items()}


def known_deviations(graph: Graph) -> list[str]:
    """Nodes where the installed LiteRT is known not to follow its own source, one sentence each."""
    return [
        f"node {node.name!r} ({node.kind}): LiteRT's reference kernel reads int8 as uint8 up to ai-edge-litert 2.3.0, "
        f"unlike its source and its optimised kernel, so that this tensor and what is computed from it differ"
        for node in graph.nodes
        if node.kind == "SUM"
    ]


# From a sum of exponentials of this much on, the reference SOFTMAX divides by 2**32, which its own check forbids.
_LARGEST_SUM = 512


def abort_reasons(graph: Graph) -> list[str]:
    """Why LiteRT's reference kernels may have called abort() in a run of this graph, one clause for each node."""
    return [
        f"node {node.name!r} (SOFTMAX) does so where the exponentials of a row, relative to its largest value, sum to "
        f"{_LARGEST_SUM} or more"
        for node in graph.nodes
        if node.kind == "SOFTMAX" and graph.tensors[node.outputs[0]].shape[-1] >= _LARGEST_SUM
    ]


def _of_first_versions(data: bytes) -> bytes:
    """The file with version 1 of the operators that BUILTIN_REF lists under too few versions.

    Its kernels of DEPTH_TO_SPACE and TILE do take int8, but they are not registered under the versions that a
    converter writes for that. Nothing but the resolver reads the number.
    """
    import tflite

    changed = bytearray(data)
    model = tflite.Model.GetRootAsModel(data, 0)
    for index in range(model.OperatorCodesLength()):
        code = model.OperatorCodes(index)
        kind = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        if (
            kind in (tflite.BuiltinOperator.DEPTH_TO_SPACE, tflite.BuiltinOperator.TILE)
            and code.Version() > 1
        ):
            struct.pack_into("<i", changed, code._tab.Pos + code._tab.Offset(8), 1)
    return bytes(changed)


def _with_outputs(data: bytes, tensors: list[int]) -> bytes:
    """The file with these tensors as the outputs of its first subgraph: a vector of theirs is put behind its end."""
    import tflite

    graph = tflite.Model.GetRootAsModel(data, 0).Subgraphs(0)
    field = graph._tab.Pos + graph._tab.Offset(8)
    changed = bytearray(data)
    changed += bytes(-len(changed) % 4)
    at = len(changed)
    changed += struct.pack(f"<I{len(tensors)}i", len(tensors), *tensors)
    struct.pack_into("<I", changed, field, at - field)  # an offset counts from where it stands
    return bytes(changed)
