# SPDX-License-Identifier: Apache-2.0
"""Writes small .tflite files, one operator or a few, for tests that have no model at hand."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
import numpy.typing as npt
import tflite

__all__ = ["ModelFile"]

_TYPES = {
    np.dtype(np.float32): tflite.TensorType.FLOAT32,
    np.dtype(np.int8): tflite.TensorType.INT8,
    np.dtype(np.uint8): tflite.TensorType.UINT8,
    np.dtype(np.int16): tflite.TensorType.INT16,
    np.dtype(np.int32): tflite.TensorType.INT32,
    np.dtype(np.int64): tflite.TensorType.INT64,
    np.dtype(np.bool_): tflite.TensorType.BOOL,
}


@dataclass
class _Tensor:
    shape: tuple[int, ...]
    type: int
    scale: list[float]
    zero_point: list[int]
    axis: int
    data: bytes | None
    name: str


@dataclass
class _Operator:
    kind: str
    inputs: list[int]
    outputs: list[int]
    table: str
    options: dict[str, Any]


@dataclass
class ModelFile:
    """A model being written: declare tensors and operators, then ask for `bytes`."""

    tensors: list[_Tensor] = field(default_factory=list)
    operators: list[_Operator] = field(default_factory=list)
    # LiteRT lists every operator here under version 1, but for this one.
    versions: dict[str, int] = field(default_factory=lambda: {"BROADCAST_TO": 2})
    # Whether the older of the two fields for an operator's number is written too.
    older_codes: bool = True

    def tensor(
        self,
        shape: tuple[int, ...],
        scale: float | Sequence[float] = (),
        zero_point: int | Sequence[int] = (),
        dtype: npt.DTypeLike = np.int8,
        axis: int = 0,
        name: str | None = None,
    ) -> int:
        """Declare a tensor without values; gives its index."""
        scales = [float(s) for s in np.atleast_1d(scale)]
        zero_points = [int(z) for z in np.atleast_1d(zero_point)]
        name = f"t{len(self.tensors)}" if name is None else name
        kind = dtype if isinstance(dtype, int) else _TYPES[np.dtype(dtype)]
        self.tensors.append(_Tensor(tuple(shape), kind, scales, zero_points, axis, None, name))
        return len(self.tensors) - 1

    def constant(
        self,
        values: np.ndarray,
        scale: float | Sequence[float] = (),
        zero_point: int | Sequence[int] = (),
        axis: int = 0,
        name: str | None = None,
    ) -> int:
        """Declare a tensor with values; gives its index."""
        index = self.tensor(values.shape, scale, zero_point, values.dtype, axis, name)
        self.tensors[index].data = values.tobytes()
        return index

    def operator(
        self, kind: str, inputs: list[int], outputs: list[int], table: str = "", **options: Any
    ) -> None:
        """Use an operator; `options` are fields of the schema's `table`, as in StrideH=2."""
        self.operators.append(_Operator(kind, list(inputs), list(outputs), table, options))

    def bytes(self, inputs: list[int], outputs: list[int]) -> builtins.bytes:
        """The file."""
        b = flatbuffers.Builder(1024)
        buffers = [self._buffer(b, None)] + [self._buffer(b, t.data) for t in self.tensors if t.data]
        places = iter(range(1, len(buffers)))
        tensors = [self._tensor(b, t, next(places) if t.data else 0) for t in self.tensors]
        kinds = sorted({operator.kind for operator in self.operators})
        codes = [self._code(b, kind) for kind in kinds]
        operators = [self._operator(b, operator, kinds) for operator in self.operators]
        vectors = [b.CreateNumpyVector(np.array(v, np.int32)) for v in (inputs, outputs)]
        all_tensors, all_operators = self._offsets(b, tensors), self._offsets(b, operators)
        tflite.SubGraphStart(b)
        tflite.SubGraphAddTensors(b, all_tensors)
        tflite.SubGraphAddInputs(b, vectors[0])
        tflite.SubGraphAddOutputs(b, vectors[1])
        tflite.SubGraphAddOperators(b, all_operators)
        graph = tflite.SubGraphEnd(b)
        all_codes, graphs, all_buffers = (self._offsets(b, offsets) for offsets in (codes, [graph], buffers))
        tflite.ModelStart(b)
        tflite.ModelAddVersion(b, 3)
        tflite.ModelAddOperatorCodes(b, all_codes)
        tflite.ModelAddSubgraphs(b, graphs)
        tflite.ModelAddBuffers(b, all_buffers)
        b.Finish(tflite.ModelEnd(b), file_identifier=b"TFL3")
        return bytes(b.Output())

    @staticmethod
    def _offsets(b: flatbuffers.Builder, offsets: list[int]) -> int:
        b.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            b.PrependUOffsetTRelative(offset)
        return b.EndVector()

    @staticmethod
    def _buffer(b: flatbuffers.Builder, data: builtins.bytes | None) -> int:
        if data is not None:
            b.StartVector(1, len(data), 16)
            b.head -= len(data)
            b.Bytes[b.head : b.head + len(data)] = data
            data = b.EndVector()
        tflite.BufferStart(b)
        if data is not None:
            tflite.BufferAddData(b, data)
        return tflite.BufferEnd(b)

    @staticmethod
    def _tensor(b: flatbuffers.Builder, tensor: _Tensor, buffer: int) -> int:
        name = b.CreateString(tensor.name)
        shape = b.CreateNumpyVector(np.array(tensor.shape, np.int32))
        quantisation = None
        if tensor.scale:
            scale = b.CreateNumpyVector(np.array(tensor.scale, np.float32))
            zero_point = b.CreateNumpyVector(np.array(tensor.zero_point, np.int64))
            tflite.QuantizationParametersStart(b)
            tflite.QuantizationParametersAddScale(b, scale)
            tflite.QuantizationParametersAddZeroPoint(b, zero_point)
            tflite.QuantizationParametersAddQuantizedDimension(b, tensor.axis)
            quantisation = tflite.QuantizationParametersEnd(b)
        tflite.TensorStart(b)
        tflite.TensorAddName(b, name)
        tflite.TensorAddShape(b, shape)
        tflite.TensorAddType(b, tensor.type)
        tflite.TensorAddBuffer(b, buffer)
        if quantisation is not None:
            tflite.TensorAddQuantization(b, quantisation)
        return tflite.TensorEnd(b)

    def _code(self, b: flatbuffers.Builder, kind: str) -> int:
        number = getattr(tflite.BuiltinOperator, kind)
        custom = b.CreateString("Custom") if kind == "CUSTOM" else None
        tflite.OperatorCodeStart(b)
        if self.older_codes:
            tflite.OperatorCodeAddDeprecatedBuiltinCode(b, min(number, 127))
        tflite.OperatorCodeAddBuiltinCode(b, number)
        tflite.OperatorCodeAddVersion(b, self.versions.get(kind, 1))
        if custom is not None:
            tflite.OperatorCodeAddCustomCode(b, custom)
        return tflite.OperatorCodeEnd(b)

    @staticmethod
    def _operator(b: flatbuffers.Builder, operator: _Operator, kinds: list[str]) -> int:
        vectors = [b.CreateNumpyVector(np.array(v, np.int32)) for v in (operator.inputs, operator.outputs)]
        table = None
        if operator.table:
            values = {
                name: b.CreateNumpyVector(np.array(value, np.int32)) if isinstance(value, list) else value
                for name, value in operator.options.items()
            }
            getattr(tflite, f"{operator.table}Start")(b)
            for name, value in values.items():
                getattr(tflite, f"{operator.table}Add{name}")(b, value)
            table = getattr(tflite, f"{operator.table}End")(b)
        tflite.OperatorStart(b)
        tflite.OperatorAddOpcodeIndex(b, kinds.index(operator.kind))
        tflite.OperatorAddInputs(b, vectors[0])
        tflite.OperatorAddOutputs(b, vectors[1])
        if table is not None:
            tflite.OperatorAddBuiltinOptionsType(b, getattr(tflite.BuiltinOptions, operator.table))
            tflite.OperatorAddBuiltinOptions(b, table)
        return tflite.OperatorEnd(b)
