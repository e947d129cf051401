"""Reading a model file: data of bounded size, nothing of which is executed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from golden.errors import GoldenError, ModelFormatError
from golden.graph import Graph

__all__ = ["MAX_FILE_BYTES", "load", "read"]

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
        return path.read_bytes()
    except FileNotFoundError:
        raise GoldenError(f"{path}: no such model file") from None
    except OSError as error:
        raise GoldenError(f"{path} cannot be read: {error.strerror}") from None


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
