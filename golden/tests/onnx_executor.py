# SPDX-License-Identifier: Apache-2.0
"""Executes QONNX files with ONNX's reference evaluator: the independent opinion the golden networks are held
to."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun


class Quant(OpRun):
    """QONNX's Quant as its specification defines it, in the arithmetic of its input (float32)."""

    op_domain = "qonnx.custom_op.general"

    def _run(self, x, scale, zero_point, bits, signed=None, narrow=None, rounding_mode=None):
        bits = int(bits)
        low = (-(2 ** (bits - 1)) + narrow) if signed else 0
        high = (2 ** (bits - 1) - 1) if signed else (2**bits - 1 - narrow)
        roundings = {
            "ROUND": np.round,
            "FLOOR": np.floor,
            "HALF_UP": lambda v: np.sign(v) * np.floor(np.abs(v) + np.float32(0.5)),
        }
        y = roundings[rounding_mode](np.clip(x / scale + zero_point, np.float32(low), np.float32(high)))
        return (((y - zero_point) * scale).astype(np.float32),)


def execute(content: bytes, x: np.ndarray) -> dict[str, np.ndarray]:
    """Every tensor that an ONNX file's nodes compute from the NHWC input `x`, float32 under their names.

    Four-dimensional tensors come back in NHWC order, matrices [N, K] as [N, 1, 1, K], so that they can be
    compared with `Network.trace`.
    """
    model = onnx.load_model_from_string(content)
    made = {output.name for output in model.graph.output}
    for node in model.graph.node:
        extra = [name for name in node.output if name not in made]
        model.graph.output.extend(
            helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in extra
        )
    x = x.transpose(0, 3, 1, 2).astype(np.float32)
    if len(model.graph.input[0].type.tensor_type.shape.dim) == 2:
        x = x.reshape(len(x), -1)
    evaluator = ReferenceEvaluator(model, new_ops=[Quant])
    tensors = zip(evaluator.output_names, evaluator.run(None, {model.graph.input[0].name: x}), strict=True)
    return {
        name: values.transpose(0, 2, 3, 1) if values.ndim == 4 else _matrix(values)
        for name, values in tensors
    }


def _matrix(values: np.ndarray) -> np.ndarray:
    return values[:, None, None, :] if values.ndim == 2 else values
