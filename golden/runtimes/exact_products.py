# SPDX-License-Identifier: Apache-2.0
"""onnxruntime's integer operators, made exact on x86 processors without VNNI.

There its kernels for uint8 activations with int8 weights add pairs of products in 16 bits, saturated
(https://github.com/microsoft/onnxruntime/pull/12088). Those for uint8 weights do not. So weights and their zero point
are moved up by 128, which changes no difference of the two: what onnxruntime's own session.x64quantprecision does, but
for weights that are computed and without optimisation, too.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from assay.golden.graph import Graph

__all__ = ["PRECISE", "make_exact", "products_saturate"]

PRECISE = ("session.x64quantprecision", "1")
"""Entry of a session's configuration: the same for operators that optimisation makes."""

_INPUTS = {
    "ConvInteger": (0, 1, 3),
    "MatMulInteger": (0, 1, 3),
    "QLinearConv": (0, 3, 5),
    "QLinearMatMul": (0, 3, 5),
    "QGemm": (0, 3, 5),
}
"""Operator to its inputs: activations, weights, and the weights' zero point."""

_SHIFT = 128


@cache
def products_saturate() -> bool:
    """Whether sums of two products of uint8 and int8 that 16 bits cannot hold come out wrong on this processor."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    depth = 64
    weights = numpy_helper.from_array(np.full((depth, 16), 127, np.int8), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["x", "w"], ["y"])],
        "products",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, [1, depth])],
        [helper.make_tensor_value_info("y", TensorProto.INT32, [1, 16])],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (seen,) = session.run(["y"], {"x": np.full((1, depth), 255, np.uint8)})
    return bool((seen != depth * 255 * 127).any())


def make_exact(model: Any, graph: Graph) -> None:
    """Give the integer operators of a model uint8 weights where they have int8 ones and uint8 activations, in place.

    Args:
        model: onnx.ModelProto.
        graph: of the same file, which knows the dtypes.
    """
    from onnx import TensorProto, helper, numpy_helper

    body = model.graph
    stored = {each.name: each.data_type for each in body.initializer}
    moved: dict[str, str] = {}
    nodes = []

    def is_of(name: str, kind: int) -> bool:
        if name in stored:
            return bool(stored[name] == kind)
        tensor = graph.tensors.get(name)
        return tensor is not None and helper.np_dtype_to_tensor_dtype(tensor.dtype) == kind

    def constant(value: np.ndarray, name: str) -> str:
        if name not in stored:
            array = numpy_helper.from_array(value, name)
            body.initializer.append(array)
            stored[name] = array.data_type
        return name

    def up(name: str) -> str:
        """The tensor of int8, moved up."""
        if not name:  # a zero point that is left away is 0
            return constant(np.array(_SHIFT, np.uint8), "assay.moved")
        if name not in moved:
            words = [f"assay.{what}.{name}" for what in ("wide", "sum", "moved")]
            shift = constant(np.array(_SHIFT, np.int32), "assay.shift")
            nodes.append(helper.make_node("Cast", [name], words[:1], to=TensorProto.INT32))
            nodes.append(helper.make_node("Add", [words[0], shift], words[1:2]))
            nodes.append(helper.make_node("Cast", words[1:2], words[2:], to=TensorProto.UINT8))
            moved[name] = words[2]
        return moved[name]

    for node in body.node:
        places = _INPUTS.get(node.op_type)
        if places is not None:
            activations, weights, zero = places
            if is_of(node.input[activations], TensorProto.UINT8) and is_of(
                node.input[weights], TensorProto.INT8
            ):
                node.input.extend([""] * (zero + 1 - len(node.input)))
                node.input[weights], node.input[zero] = up(node.input[weights]), up(node.input[zero])
        nodes.append(node)
    del body.node[:]
    body.node.extend(nodes)
