# SPDX-License-Identifier: Apache-2.0
"""Builds small fixed-point ONNX files, right or broken on purpose."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

BITS = {"input": 8, "weight": 8, "output": 8, "bias": 16, "A": 8, "B": 8}


def scaled(prefixes: str, **scales: float) -> dict[str, Any]:
    """The attributes <prefix>_scale and <prefix>_bitdepth; a scale of None leaves both away."""
    attributes: dict[str, Any] = {}
    for prefix in prefixes.split():
        if prefix in scales:
            attributes[f"{prefix}_scale"] = float(scales[prefix])
        attributes[f"{prefix}_bitdepth"] = BITS[prefix]
    return attributes


class ModelFile:
    """A file in the making: nodes are appended, arrays stored under names that are given back."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.arrays: list[onnx.TensorProto] = []

    def array(self, values: np.ndarray) -> str:
        name = f"c{len(self.arrays)}"
        self.arrays.append(numpy_helper.from_array(values, name))
        return name

    def node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        attributes = {k: v for k, v in attributes.items() if v is not None}
        self.nodes.append(helper.make_node(kind, inputs, [output], name=f"n_{output}", **attributes))
        return output

    def layer(
        self,
        kind: str,
        x: str,
        output: str,
        weight: np.ndarray,
        scales: list[float],
        source: float,
        target: float,
        bias: np.ndarray | None = None,
        **attributes: Any,
    ) -> str:
        """Conv or Gemm (weights by output first) with integers `weight` and `bias`."""
        real = np.array(scales, np.float64)
        stored = (weight * real.reshape(-1, *(1,) * (weight.ndim - 1))).astype(np.float32)
        inputs = [x, self.array(stored.T if kind == "MatMul" else stored)]
        described = {
            **scaled("input output", input=source, output=target),
            "weight_ch_scales": [float(np.float32(s)) for s in scales],
            "weight_bitdepth": 8,
        }
        if bias is not None:
            inputs.append(self.array((bias * real * source).astype(np.float32)))
            described["bias_bitdepth"] = 16
        if kind == "Gemm":
            described["transB"] = 1
        return self.node(kind, inputs, output, **(described | attributes))

    def model(
        self, inputs: dict[str, tuple[Any, ...]], outputs: list[str], dtype: int = TensorProto.FLOAT
    ) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            "test",
            [helper.make_tensor_value_info(name, dtype, shape) for name, shape in inputs.items()],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
            self.arrays,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)

    def bytes(self, inputs: dict[str, tuple[Any, ...]], outputs: list[str]) -> bytes:
        return self.model(inputs, outputs).SerializeToString()
