# SPDX-License-Identifier: Apache-2.0
"""Reading a model file: data of bounded size, nothing of which is executed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from assay.golden import user_files
from assay.golden.errors import GoldenError, ModelFormatError
from assay.golden.graph import Graph

__all__ = ["MAX_FILE_BYTES", "import_onnx", "load", "parse_onnx", "read"]

# Of one protobuf message, and what a flatbuffer's signed 32-bit offsets reach.
MAX_FILE_BYTES = (1 << 31) - 1


def read(path: Path) -> bytes:
    """The bytes of a model file.

    Raises:
        GoldenError: the file is missing or cannot be read.
        ModelFormatError: it is larger than any model file can be; it is not read then.
    """
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise ModelFormatError(
                f"{path} has {size} bytes, but a {path.suffix} file has at most {MAX_FILE_BYTES}"
            )
    except FileNotFoundError:
        raise GoldenError(f"{user_files.shown(path)}: no such model file") from None
    except (OSError, ValueError) as error:
        if isinstance(error, GoldenError):
            raise
    return user_files.content(path, MAX_FILE_BYTES)  # which says what else is wrong with it


def load(path: Path, loads: Callable[[bytes, str], Graph]) -> Graph:
    """The graph that an importer's `loads` makes of a file's bytes and of its name without the suffix.

    Raises:
        GoldenError: as `read` and `loads`; the latter's messages begin with the path.
    """
    path = Path(path)
    data = read(path)
    try:
        return loads(data, path.stem)
    except GoldenError as error:
        raise type(error)(f"{path}: {error}") from None


def import_onnx() -> Any:
    """The package `onnx`, which parses and writes .onnx files.

    Raises:
        GoldenError: it is not installed.
    """
    try:
        import onnx
        import onnx.helper
        import onnx.numpy_helper
    except ImportError:
        raise GoldenError("ONNX files need the package onnx: pip install onnx") from None
    return onnx


def parse_onnx(data: bytes, name: str) -> Any:
    """The `onnx.ModelProto` in the bytes of an .onnx file; `name` starts the messages of errors.

    Raises:
        GoldenError: the package `onnx` is not installed.
        ModelFormatError: not an ONNX file, or one that is cut off before its graph or opset.
    """
    onnx = import_onnx()
    from google.protobuf.message import DecodeError

    try:
        model = onnx.ModelProto.FromString(data)
    except (DecodeError, RecursionError):
        raise ModelFormatError(f"{name}: not an ONNX file, or one that is cut off or altered") from None
    if not model.graph.node or not model.opset_import:
        raise ModelFormatError(
            f"{name}: not an ONNX file, or one that is cut off: it holds no complete graph"
        )
    return model
