# SPDX-License-Identifier: Apache-2.0
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
    NothingComputedError,
    UnsupportedOperatorError,
)
from golden.formats import IntFormat
from golden.graph import Graph
from golden.network import Layer, Network, Residual
from golden.profile import Profile, profile
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
    "NothingComputedError",
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
            unit runs (`golden.importers.onnx_network`) is read into a `Network` of integers, any other into a `Graph`,
            whose input is float32 as the file's. An ONNX file in QDQ or QOperator form (.onnx with QuantizeLinear or
            QLinear* nodes), one with the attributes of the fixed-point scheme, or a TFLite int8 file (.tflite): into a
            `Graph`.
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


def load_network(path: str | PathLike[str], scales: str = "exact") -> Network:
    """Read a model file into an integer network, for what runs those alone: the MVU and the accelerator.

    Args:
        path: an .onnx file in QONNX, QDQ or QOperator form (`golden.importers.onnx_network`), or a TFLite int8 file.
        scales: "exact" refuses a file whose scales, factors and biases are no integers over a power of two: nothing is
            rounded that the file does not round. "nearest" takes the nearest that the hardware holds and rounds half
            up, so that some values are a step away from the framework's; `Network.compare` says which. TFLite's
            arithmetic is of that kind.

    The network ends before softmax and its like at the file's end (`Network.host` names them); an output in float
    becomes one of 16 bits.

    Raises:
        GoldenError: as `load`, or the file is of another scheme.
        ModelFormatError, UnsupportedOperatorError: as `load`, or what makes it no network, by node.
        DoesNotFitError: with scales "nearest", numbers that the hardware does not hold.
        ConfigurationError: other `scales`.
    """
    path = Path(path)
    if path.suffix.lower() == ".onnx" and path.is_file():
        return importlib.import_module("golden.importers.onnx_network").load(path, scales, ends=True)
    if path.suffix.lower() == ".tflite" and scales != "exact":
        return importlib.import_module("golden.importers.tflite_network").load(path, scales)
    load(path)  # says what is wrong with it before this does
    raise GoldenError(
        f"{path}: TFLite's scales are no integers over a power of two, as an integer network needs them; "
        f'scales="nearest" takes the nearest that the hardware holds'
    )
