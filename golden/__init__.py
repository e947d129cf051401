# SPDX-License-Identifier: Apache-2.0
"""Golden models: the only place in Assay where arithmetic is decided.

    model = golden.load("network.tflite")   # or .onnx: a Graph, the framework's own arithmetic
    outputs = model.predict(images)         # the model's own integers, [N, ...]
    tensors = model.trace(images)           # tensor name -> array, in order of execution
    print(model.compare(images, other))     # another model, a framework's runtime, or name -> array
    print(golden.profile(model, images))    # ranges against formats, saturation
    network = model.lower(scales="nearest") # a Network of integer layers: what a matrix-vector unit runs
    model = golden.load("network.tflite", precision={"conv2": "ap_fixed<8,3,RND,SAT>"})

Importing this package needs numpy alone; a file format's own package is imported when such a file is loaded.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from assay.golden.errors import (
    ChecksumError,
    ConfigurationError,
    DoesNotFitError,
    GoldenError,
    ModelFormatError,
    NothingComputedError,
    UnsupportedOperatorError,
)
from assay.golden.formats import IntFormat
from assay.golden.graph import Graph
from assay.golden.network import Layer, Network, Residual
from assay.golden.profile import Profile, profile
from assay.golden.schemes.ap_fixed import ApFixed

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
    "profile",
]

# Suffix of a model file -> the module whose `load(path)` reads it. Modules, not functions: nothing is
# imported before such a file is asked for.
_IMPORTERS = {".onnx": "assay.golden.importers.onnx", ".tflite": "assay.golden.importers.tflite"}


def load(
    path: str | PathLike[str], precision: Mapping[str, str | IntFormat | ApFixed] | None = None
) -> Graph:
    """Read a model file into a graph: its framework's own arithmetic, layout and dtypes, every tensor bit by bit.

    Args:
        path: an .onnx file in QDQ, QOperator or QONNX form (`golden.importers.onnx`), or with the attributes of the
            fixed-point scheme; or a TensorFlow Lite int8 file, .tflite (`golden.importers.tflite`).
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
