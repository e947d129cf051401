# SPDX-License-Identifier: Apache-2.0
"""onnxruntime's CPU provider without optimisation, keeping every tensor: the reference for ONNX graphs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from assay.golden.errors import GoldenError, RuntimeEndedError
from assay.golden.graph import Graph
from assay.golden.importers import model_file
from assay.golden.runtimes.exact_products import PRECISE, make_exact, products_saturate

__all__ = ["OnnxRuntime", "trace_rows"]


class OnnxRuntime:
    """An .onnx model in onnxruntime (PyPI onnxruntime), CPUExecutionProvider, one thread.

    One thread, because the order of float32 sums depends on the number of threads; see `golden.layers.mlas`.

    Args:
        model: path, or the file's bytes.
        graph: the same file as `golden.load` reads it: its names are the file's.
        progress: wraps the runs of a call to `trace`, as tqdm does.
        optimised: False is ORT_DISABLE_ALL, every node executed as written and every tensor kept. True is
            ORT_ENABLE_ALL, which fuses DequantizeLinear, operator and QuantizeLinear into integer kernels; then only
            the model's own outputs are kept, as more outputs would forbid fusing.

    Raises:
        GoldenError: onnxruntime is not installed, or refuses the model.
    """

    def __init__(
        self,
        model: Path | bytes,
        graph: Graph,
        progress: Callable[[range], Iterable[int]] = iter,
        optimised: bool = False,
    ) -> None:
        try:
            import onnx
            import onnxruntime
        except ImportError:
            raise GoldenError(
                "comparing with onnxruntime needs the packages onnx and onnxruntime, "
                "install them with: pip install onnx onnxruntime"
            ) from None
        levels = onnxruntime.GraphOptimizationLevel
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimised else levels.ORT_DISABLE_ALL
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._graph = graph
        self._progress = progress
        # Python has no numbers of 4 bits: what holds them is not fetched.
        tensors = [name for node in graph.nodes for name in node.outputs if not _nibbles(graph, name)]
        self._names = [name for name in graph.outputs if not _nibbles(graph, name)] if optimised else tensors
        data = model if isinstance(model, bytes) else model_file.read(Path(model))
        try:
            content = onnx.load_model_from_string(data)
            declared = {output.name for output in content.graph.output}
            content.graph.output.extend(
                onnx.helper.make_empty_tensor_value_info(name) for name in self._names if name not in declared
            )
            if products_saturate():
                make_exact(content, graph)
                if optimised and not _int8_activations(graph):
                    options.add_session_config_entry(*PRECISE)
            self._session = onnxruntime.InferenceSession(
                content.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's errors have no common base class
            raise GoldenError(f"onnxruntime refuses the model: {' '.join(str(error).split())}") from None

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """One run on arrays of the file's own shapes: name -> array of every kept tensor.

        Raises:
            RuntimeEndedError: an operator has no result for its input (an integer division by zero, say).
        """
        try:
            return dict(zip(self._names, self._session.run(self._names, dict(inputs)), strict=True))
        except Exception as error:  # as above
            raise RuntimeEndedError(f"onnxruntime ends the run: {' '.join(str(error).split())}") from None

    def trace(self, x: np.ndarray | Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run N inputs one after the other and give every kept tensor, shaped as `Graph.trace` shapes it.

        Args:
            x: an input that `Graph.trace` takes.
        """
        return trace_rows(self._graph, x, self._names, self.run, self._progress)


def trace_rows(
    graph: Graph,
    x: np.ndarray | Mapping[str, np.ndarray],
    names: list[str],
    run: Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]],
    progress: Callable[[range], Iterable[int]],
) -> dict[str, np.ndarray]:
    """Call `run` on each of the N inputs in `x`, in the file's own shapes, and stack what it gives as `Graph.trace`
    does."""
    x = x if isinstance(x, Mapping) else {graph.inputs[0]: x}
    shaped: dict[str, Any] = {
        name: np.asarray(a).reshape(len(a), *graph.tensors[name].shape) for name, a in x.items()
    }
    kept: dict[str, list[np.ndarray]] = {name: [] for name in [*x, *names]}
    for row in progress(range(len(next(iter(shaped.values()))))):
        # Copied, so that every array starts where numpy and onnxruntime align it, and is one if it has no axes.
        inputs = {name: np.array(array[row]) for name, array in shaped.items()}
        for name, array in (inputs | run(inputs)).items():
            kept[name].append(array)
    return {name: graph.tensors[name].stacked(np.stack(a)) for name, a in kept.items()}


def _int8_activations(graph: Graph) -> bool:
    """Whether an operator gives int8. Their kernels are exact, and `PRECISE` would leave some without any."""
    return any(graph.tensors[name].dtype == np.int8 for node in graph.nodes for name in node.outputs)


def _nibbles(graph: Graph, name: str) -> bool:
    tensor = graph.tensors[name]
    return tensor.dtype.kind in "iu" and getattr(tensor.quantisation, "bits", None) == 4
