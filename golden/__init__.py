"""Golden models: the only place in Assay where arithmetic is decided.

    model = golden.load("network.tflite")   # or .onnx
    outputs = model.predict(images)         # the model's own integers, [N, ...]
    tensors = model.trace(images)           # tensor name -> array, in order of execution
    print(model.compare(images, other))     # another model, a framework's runtime, or name -> array
    print(golden.profile(model, images))    # ranges against formats, saturation
    model = golden.load("network.tflite", precision={"conv2": "ap_fixed<8,3,RND,SAT>"})

Importing this package needs numpy alone; a file format's own package is imported when such a file is loaded.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from golden.errors import (
    ChecksumError,
    ConfigurationError,
    DoesNotFitError,
    GoldenError,
    ModelFormatError,
    UnsupportedOperatorError,
)
from golden.formats import IntFormat
from golden.graph import Graph
from golden.network import Layer, Network, Residual
from golden.profile import Profile, profile
from golden.schemes import qonnx
from golden.schemes.ap_fixed import ApFixed

if TYPE_CHECKING:
    from os import PathLike

__all__ = [
    "ApFixed",
    "ChecksumError",
    "ConfigurationError",
    "DoesNotFitError",
    "GoldenError",
    "Graph",
    "IntFormat",
    "Layer",
    "ModelFormatError",
    "Network",
    "Profile",
    "Residual",
    "UnsupportedOperatorError",
    "load",
    "load_network",
    "profile",
]

# Suffix of a model file -> the module whose `load(path)` reads it. Modules, not functions: nothing is
# imported before such a file is asked for.
_IMPORTERS = {".onnx": "golden.importers.onnx", ".tflite": "golden.importers.tflite"}


def load(
    path: str | PathLike[str], precision: Mapping[str, str | IntFormat | ApFixed] | None = None
) -> Network | Graph:
    """Read a model file into an integer network, choosing the importer by the file's suffix, and for ONNX by its nodes.

    Args:
        path: a QONNX file (.onnx with Quant, BipolarQuant or Trunc nodes): one of the pattern that the matrix-vector
            unit runs (`golden.importers.qonnx`) is read into a `Network` of integers, any other into a `Graph`, whose
            input is float32 as the file's. An ONNX file in QDQ or QOperator form (.onnx with QuantizeLinear or QLinear*
            nodes), one with the attributes of the fixed-point scheme, or a TFLite int8 file (.tflite): into a `Graph`.
        precision: name of a layer or tensor -> the format of its result, such as "ap_fixed<8,3,RND,SAT>" or "int4",
            for what the file says otherwise; see `golden.precision`.

    Raises:
        GoldenError: the file is missing, its suffix is unknown, or the format's package is not installed.
        ModelFormatError: the file is damaged or not exact in integers.
        UnsupportedOperatorError: the file uses an operator outside the importer's list.
        ConfigurationError: a precision without meaning, or for a name that is not in the file.
    """
    path = Path(path)
    importer = _IMPORTERS.get(path.suffix.lower())
    if importer is None:
        raise GoldenError(
            f"{path}: suffix {path.suffix!r} is no known model format, use one of {', '.join(_IMPORTERS)}"
        )
    if not path.is_file():
        raise GoldenError(f"{path}: no such model file")
    model = importlib.import_module(importer).load(path)
    return model.with_precision(precision) if precision else model


def load_network(path: str | PathLike[str]) -> Network:
    """`load` for what runs integer networks alone, such as the matrix-vector unit.

    Raises:
        GoldenError: as `load`, or the file is of another scheme.
        ModelFormatError, UnsupportedOperatorError: as `load`, or what takes a QONNX file out of the pattern, by node.
    """
    path = Path(path)
    model = load(path)
    if isinstance(model, Graph) and any(isinstance(node.operator, qonnx.QUANTISERS) for node in model.nodes):
        # Read again, for the reason why it is no network.
        return importlib.import_module("golden.importers.qonnx").load(path)
    if isinstance(model, Graph):
        raise GoldenError(
            f"{path}: an integer network (QONNX) is needed here, but this is another scheme's graph"
        )
    return model
