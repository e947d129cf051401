# SPDX-License-Identifier: Apache-2.0
"""Reads the flatbuffer of a TFLite file into plain Python objects, under checks of every count and size.

The file is untrusted data. It is parsed with PyPI's `tflite` (generated from TFLite's schema), which raises where an
offset leads out of the file; no loop here is longer than the file allows, and no copy is larger than in proportion to
it. What the numbers mean is the matter of `golden.importers.tflite.reader`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

from assay.golden.errors import GoldenError, ModelFormatError, UnsupportedOperatorError

__all__ = ["ACTIVATION", "MAX_RANK", "Operation", "Stored", "Subgraph", "builtin_code", "read"]

MAX_RANK = 8  # axes of a tensor

_IDENTIFIER = b"TFL3"

# Options of each operator: the schema's table, and the fields that are read from it.
ACTIVATION, _STRIDES = "FusedActivationFunction", ("Padding", "StrideH", "StrideW")
_DILATIONS = ("DilationHFactor", "DilationWFactor")
_OPTIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "ADD": ("AddOptions", (ACTIVATION,)),
    "AVERAGE_POOL_2D": ("Pool2DOptions", (*_STRIDES, "FilterHeight", "FilterWidth", ACTIVATION)),
    "BATCH_MATMUL": ("BatchMatMulOptions", ("AdjX", "AdjY")),
    "CALL_ONCE": ("CallOnceOptions", ("InitSubgraphIndex",)),
    "CONCATENATION": ("ConcatenationOptions", ("Axis", ACTIVATION)),
    "CONV_2D": ("Conv2DOptions", (*_STRIDES, *_DILATIONS, ACTIVATION)),
    "CUMSUM": ("CumsumOptions", ("Exclusive", "Reverse")),
    "DEPTHWISE_CONV_2D": ("DepthwiseConv2DOptions", (*_STRIDES, *_DILATIONS, ACTIVATION)),
    "DEPTH_TO_SPACE": ("DepthToSpaceOptions", ("BlockSize",)),
    "DIV": ("DivOptions", (ACTIVATION,)),
    "FULLY_CONNECTED": ("FullyConnectedOptions", (ACTIVATION, "WeightsFormat", "KeepNumDims")),
    "GATHER": ("GatherOptions", ("Axis", "BatchDims")),
    "GELU": ("GeluOptions", ("Approximate",)),
    "L2_NORMALIZATION": ("L2NormOptions", (ACTIVATION,)),
    "LEAKY_RELU": ("LeakyReluOptions", ("Alpha",)),
    "MAX_POOL_2D": ("Pool2DOptions", (*_STRIDES, "FilterHeight", "FilterWidth", ACTIVATION)),
    "MEAN": ("ReducerOptions", ("KeepDims",)),
    "MIRROR_PAD": ("MirrorPadOptions", ("Mode",)),
    "MUL": ("MulOptions", (ACTIVATION,)),
    "PACK": ("PackOptions", ("Axis", "ValuesCount")),
    "REDUCE_ALL": ("ReducerOptions", ("KeepDims",)),
    "REDUCE_ANY": ("ReducerOptions", ("KeepDims",)),
    "REDUCE_MAX": ("ReducerOptions", ("KeepDims",)),
    "REDUCE_MIN": ("ReducerOptions", ("KeepDims",)),
    "REDUCE_PROD": ("ReducerOptions", ("KeepDims",)),
    "RESIZE_BILINEAR": ("ResizeBilinearOptions", ("AlignCorners", "HalfPixelCenters")),
    "RESIZE_NEAREST_NEIGHBOR": ("ResizeNearestNeighborOptions", ("AlignCorners", "HalfPixelCenters")),
    "SOFTMAX": ("SoftmaxOptions", ("Beta",)),
    "SPACE_TO_DEPTH": ("SpaceToDepthOptions", ("BlockSize",)),
    "SPLIT": ("SplitOptions", ("NumSplits",)),
    "SPLIT_V": ("SplitVOptions", ("NumSplits",)),
    "SQUEEZE": ("SqueezeOptions", ()),
    "STRIDED_SLICE": (
        "StridedSliceOptions",
        ("BeginMask", "EndMask", "EllipsisMask", "NewAxisMask", "ShrinkAxisMask", "Offset"),
    ),
    "SUB": ("SubOptions", (ACTIVATION,)),
    "SUM": ("ReducerOptions", ("KeepDims",)),
    "TRANSPOSE_CONV": ("TransposeConvOptions", (*_STRIDES, ACTIVATION)),
    "UNPACK": ("UnpackOptions", ("Num", "Axis")),
    "VAR_HANDLE": ("VarHandleOptions", ("Container", "SharedName")),
}


class _NO_FIELDS:
    """A flatbuffer's table without fields: its vtable of 4 bytes, then the distance back to it."""

    Bytes, Pos = struct.pack("<HHi", 4, 4, 4), 4


@dataclass
class Stored:
    """A tensor as the file has it; `data` is a part of the file itself, empty where the tensor has no values."""

    index: int
    name: str
    shape: tuple[int, ...]
    type: str
    data: memoryview
    scale: tuple[float, ...]
    zero_point: tuple[int, ...]
    axis: int


@dataclass
class Operation:
    """An operator's use as the file has it; a missing optional input is -1."""

    name: str
    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"node {self.name!r} ({self.kind})"

    def has(self, position: int) -> bool:
        """Whether there is an input at `position`."""
        return position < len(self.inputs) and self.inputs[position] != -1


@dataclass
class Subgraph:
    """Tensors, their uses in order of execution, and the indices of the tensors that go in and out."""

    tensors: list[Stored]
    operations: list[Operation]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def _import_parser() -> Any:
    try:
        import tflite
    except ImportError:
        raise GoldenError(
            "reading .tflite files needs the package tflite, install it with: pip install tflite"
        ) from None
    return tflite


def read(data: bytes) -> list[Subgraph]:
    """Copy a .tflite file's subgraphs, the main one first.

    Raises:
        GoldenError: the package `tflite` is not installed.
        ModelFormatError: not a TFLite file, or a damaged one.
        UnsupportedOperatorError: a tensor is stored in a way that is not supported (sparse, outside the flatbuffer).
    """
    parser = _import_parser()
    if len(data) < 8 or data[4:8] != _IDENTIFIER:
        raise ModelFormatError(
            f"not a TFLite model: bytes 4 to 7 are {data[4:8]!r}, but must be {_IDENTIFIER!r}"
        )
    try:
        return _Reader(parser, data).subgraphs()
    except GoldenError:
        raise
    # What the generated parser raises where an offset or a length leads out of the file.
    except (
        struct.error,
        IndexError,
        ValueError,
        TypeError,
        OverflowError,
        AttributeError,
        RecursionError,
    ) as error:
        raise ModelFormatError(
            f"the file is damaged: an offset or a length in it is wrong ({error})"
        ) from None


class _Reader:
    """Copies the file into plain objects. No loop is longer than the file, no copy larger."""

    def __init__(self, parser: Any, data: bytes) -> None:
        self._parser = parser
        self._data = data
        # Entries of a flatbuffer may share what they point to, so that a small file could ask for many copies of a
        # long name; all names and vectors copied together stay in proportion to the file.
        self._bytes_left = 16 * len(data)
        self._kinds = _names_of(parser.BuiltinOperator)
        self._types = _names_of(parser.TensorType)
        self._activations = _names_of(parser.ActivationFunctionType)
        self._paddings = _names_of(parser.Padding)

    def subgraphs(self) -> list[Subgraph]:
        model = self._parser.Model.GetRootAsModel(self._data, 0)
        if model.Version() != 3:
            raise ModelFormatError(f"the file has schema version {model.Version()}, but must have 3")
        codes = [
            self._code(model.OperatorCodes(i))
            for i in self._range(model.OperatorCodesLength(), "operator codes")
        ]
        count = self._range(model.SubgraphsLength(), "subgraphs")
        if not count:
            raise ModelFormatError("the file has 0 subgraphs, but must have 1 or more")
        return [self._subgraph(model, model.Subgraphs(i), codes) for i in count]

    def _range(self, length: int, what: str) -> range:
        """Indices of a vector whose entries take 4 bytes or more of the file each."""
        if length > len(self._data) // 4:
            raise ModelFormatError(
                f"the file says it has {length} {what}, but its {len(self._data)} bytes hold at most "
                f"{len(self._data) // 4}"
            )
        return range(length)

    def _code(self, code: Any) -> str:
        number = builtin_code(code)
        kind = self._kinds.get(number, f"operator {number}")
        if kind == "CUSTOM":
            return f"CUSTOM {self._text(code.CustomCode())[:80]!r}"
        return kind

    def _subgraph(self, model: Any, graph: Any, codes: list[str]) -> Subgraph:
        tensors = [
            self._tensor(model, graph.Tensors(i), i) for i in self._range(graph.TensorsLength(), "tensors")
        ]
        operations = []
        for i in self._range(graph.OperatorsLength(), "operators"):
            operator = graph.Operators(i)
            if not 0 <= operator.OpcodeIndex() < len(codes):
                raise ModelFormatError(
                    f"node {i} has operator code {operator.OpcodeIndex()}, but the file has {len(codes)}"
                )
            kind = codes[operator.OpcodeIndex()]
            operation = Operation(f"{kind.split(' ')[0].lower()}_{i}", kind, (), ())
            inputs = self._indices(operator, "Inputs", len(tensors), f"{operation}: input", optional=True)
            outputs = self._indices(operator, "Outputs", len(tensors), f"{operation}: output")
            operation.inputs, operation.outputs = inputs, outputs
            operation.options = self._options(operation, operator)
            operations.append(operation)
        inputs = self._indices(graph, "Inputs", len(tensors), "graph input")
        outputs = self._indices(graph, "Outputs", len(tensors), "graph output")
        return Subgraph(tensors, operations, inputs, outputs)

    def _indices(
        self, table: Any, field: str, count: int, what: str, optional: bool = False
    ) -> tuple[int, ...]:
        values = self._vector(table, field)
        for value in values:
            if not (0 <= value < count or (optional and value == -1)):
                raise ModelFormatError(f"{what} is tensor {value}, but must be one of 0 to {count - 1}")
        return values

    def _take(self, count: int) -> None:
        """Count bytes that are about to be copied."""
        self._bytes_left -= count
        if self._bytes_left < 0:
            raise ModelFormatError(
                f"names and vectors add up to more than {16 * len(self._data)} bytes, "
                f"but at most 16 times the file are allowed"
            )

    def _text(self, stored: bytes | None) -> str:
        self._take(len(stored or b""))
        return (stored or b"").decode(errors="replace")

    def _vector(self, table: Any, field: str) -> tuple[Any, ...]:
        length = getattr(table, f"{field}Length")()
        if length == 0:
            return ()
        self._take(4 * length)
        return tuple(getattr(table, f"{field}AsNumpy")().tolist())

    def _tensor(self, model: Any, tensor: Any, index: int) -> Stored:
        name = self._text(tensor.Name())
        where = f"tensor {index} {name!r}"
        shape = self._vector(tensor, "Shape")
        if len(shape) > MAX_RANK:
            raise ModelFormatError(f"{where} has {len(shape)} axes, but at most {MAX_RANK} are allowed")
        if tensor.Sparsity() is not None:
            raise UnsupportedOperatorError(f"{where} is stored sparse, but must be stored dense")
        if not 0 <= tensor.Buffer() < model.BuffersLength():
            raise ModelFormatError(
                f"{where} has buffer {tensor.Buffer()}, but the file has {model.BuffersLength()}"
            )
        buffer = model.Buffers(tensor.Buffer())
        if buffer.Offset() > 1:
            raise UnsupportedOperatorError(
                f"{where} is stored behind the flatbuffer, but must be stored in it"
            )
        data = memoryview(buffer.DataAsNumpy() if buffer.DataLength() else b"")
        quantisation = tensor.Quantization()
        scale: tuple[float, ...] = ()
        zero_point: tuple[int, ...] = ()
        axis = 0
        if quantisation is not None:
            if quantisation.DetailsType() != 0:
                raise UnsupportedOperatorError(f"{where} has custom quantisation, but must have scales")
            scale, zero_point = self._vector(quantisation, "Scale"), self._vector(quantisation, "ZeroPoint")
            axis = quantisation.QuantizedDimension()
        kind = self._types.get(tensor.Type(), f"type {tensor.Type()}")
        return Stored(index, name, shape, kind, data, scale, zero_point, axis)

    def _options(self, operation: Operation, operator: Any) -> dict[str, Any]:
        if operation.kind not in _OPTIONS:
            return {}
        table_name, fields = _OPTIONS[operation.kind]
        stored = operator.BuiltinOptions()
        table = getattr(self._parser, table_name)()
        if stored is None:
            # As in LiteRT, and as some writers mean it: every field has the schema's default.
            stored = _NO_FIELDS
        elif operator.BuiltinOptionsType() != getattr(self._parser.BuiltinOptions, table_name):
            raise ModelFormatError(
                f"{operation} has options of type {operator.BuiltinOptionsType()}, but must have {table_name}"
            )
        table.Init(stored.Bytes, stored.Pos)
        values = {name: getattr(table, name)() for name in fields}
        if operation.kind == "SQUEEZE":
            values["SqueezeDims"] = self._vector(table, "SqueezeDims")
        for name, names in ((ACTIVATION, self._activations), ("Padding", self._paddings)):
            if name in values:
                values[name] = names.get(values[name], f"number {values[name]}")
        for name in ("Container", "SharedName"):
            if name in values:
                values[name] = self._text(values[name])
        return values


def builtin_code(code: Any) -> int:
    """The operator's number of an OperatorCode, in the newer of the schema's two fields or the older.

    The parser's own `BuiltinCode` answers with the older field, which some writers leave at its default, 0 (ADD).
    """
    field = code._tab.Offset(10)
    newer = struct.unpack_from("<i", code._tab.Bytes, code._tab.Pos + field)[0] if field else 0
    return max(newer, code.DeprecatedBuiltinCode())


def _names_of(enumeration: type) -> dict[int, str]:
    """Value -> name of one of the schema's enumerations."""
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}
