# SPDX-License-Identifier: Apache-2.0
"""The package qonnx, every tensor kept: the execution QONNX graphs are held to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from assay.golden.errors import GoldenError, RuntimeEndedError
from assay.golden.graph import Graph
from assay.golden.importers import model_file
from assay.golden.runtimes.onnxruntime import trace_rows

__all__ = ["QonnxRuntime"]


class QonnxRuntime:
    """A QONNX model in `qonnx.core.onnx_exec.execute_onnx` (PyPI qonnx), node by node.

    qonnx opens a session of onnxruntime for each node of each run, with as many threads as the machine has. Here a
    node's session is opened once, with one thread, because the order of float32 sums depends on their number (see
    `golden.layers.mlas`); its own nodes are qonnx's Python as it stands.

    Args:
        model: path, or the file's bytes.
        graph: the same file as `golden.load` reads it: its names, shapes and dtypes are given to qonnx, which demands
            that all are known.
        progress: wraps the runs of a call to `trace`, as tqdm does.

    Raises:
        GoldenError: qonnx is not installed.
        ModelFormatError: not an ONNX file.
    """

    def __init__(
        self, model: Path | bytes, graph: Graph, progress: Callable[[range], Iterable[int]] = iter
    ) -> None:
        onnx = model_file.import_onnx()
        try:
            import onnxruntime
            from qonnx.core import onnx_exec
            from qonnx.core.modelwrapper import ModelWrapper
        except ImportError:
            raise GoldenError(
                "comparing with qonnx needs the packages qonnx and onnxruntime, "
                "install them with: pip install qonnx onnxruntime"
            ) from None
        self._executor = onnx_exec
        self._graph = graph
        self._progress = progress
        self._names = [name for node in graph.nodes for name in node.outputs]
        self._sessions = _Sessions(onnx, onnxruntime)
        content = model_file.parse_onnx(
            model if isinstance(model, bytes) else model_file.read(Path(model)), "the model"
        )
        del content.graph.value_info[:]
        outer = list(content.graph.input), list(content.graph.output)
        del content.graph.input[:]
        del content.graph.output[:]
        given = {tensor.name for tensor in content.graph.initializer}
        described = {name: _value_info(onnx, tensor) for name, tensor in graph.tensors.items()}
        for tensor in content.graph.initializer:
            described.setdefault(
                tensor.name, onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            )
        inputs = [value.name for value in outer[0] if value.name not in given]
        outputs = [value.name for value in outer[1]]
        content.graph.input.extend(described[name] for name in inputs)
        content.graph.output.extend(described[name] for name in outputs)
        content.graph.value_info.extend(
            value for name, value in described.items() if name not in (*inputs, *outputs)
        )
        self._model = ModelWrapper(content)

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """One run on arrays of the file's own shapes: name -> array of every node's output.

        Raises:
            RuntimeEndedError: qonnx lacks what a node asks for, or an operator has no result for its input.
        """
        try:
            with mock.patch.object(self._executor, "rt", self._sessions):
                context = self._executor.execute_onnx(
                    self._model, dict(inputs), return_full_exec_context=True
                )
        except Exception as error:  # qonnx raises what Python and onnxruntime raise
            text = " ".join(str(error).split()) or type(error).__name__
            raise RuntimeEndedError(f"qonnx ends the run: {text}") from None
        return {name: context[name] for name in self._names}

    def trace(self, x: np.ndarray | Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run N inputs one after the other and give every tensor, shaped as `Graph.trace` shapes it.

        Args:
            x: an input that `Graph.trace` takes.
        """
        return trace_rows(self._graph, x, self._names, self.run, self._progress)


# qonnx gives a node's model the newest IR version that the package onnx knows, which onnxruntime may not yet take. The
# version says how a file is laid out; every one that has the model's opset means the same.
_IR_VERSION = 10


class _Sessions:
    """Stands for the module onnxruntime in qonnx: sessions of one thread, each kept for the next run."""

    def __init__(self, onnx: Any, onnxruntime: Any) -> None:
        self._onnx = onnx
        self._onnxruntime = onnxruntime
        self._open: dict[bytes, Any] = {}

    def InferenceSession(self, content: bytes) -> Any:
        """Of the model in `content`."""
        if content not in self._open:
            options = self._onnxruntime.SessionOptions()
            options.intra_op_num_threads = options.inter_op_num_threads = 1
            options.log_severity_level = 3
            model = self._onnx.ModelProto.FromString(content)
            model.ir_version = min(model.ir_version, _IR_VERSION)
            self._open[content] = self._onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        return self._open[content]


def _value_info(onnx: Any, tensor: Any) -> Any:
    kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(tensor.dtype))
    return onnx.helper.make_tensor_value_info(tensor.name, kind, list(tensor.shape))
