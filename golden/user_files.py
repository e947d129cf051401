# SPDX-License-Identifier: Apache-2.0
"""Reading files from outside in bounded time and memory, as data: nothing in them is executed.

A path may name a FIFO without a writer, a device without an end, a folder, or a sparse file of a terabyte. An archive
may promise a terabyte in a kilobyte, or arrays that are larger than its content. Each of these is a `GoldenError`.
"""

from __future__ import annotations

import json
import math
import os
import stat
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, BinaryIO

import numpy as np

from assay.golden.errors import GoldenError

__all__ = ["LARGEST_ARRAYS", "array_file", "arrays_in", "content", "json_in", "opened", "shown"]

# Bytes of an .npy or .npz file's arrays, once unpacked: more than the inputs of any network here.
LARGEST_ARRAYS = 1 << 31
_MOST_ARRAYS = 1 << 16
_PART = 1 << 20  # bytes that are read at once

# What numpy, zipfile and zlib raise for a damaged file. numpy reads an array's header as a Python literal.
_DAMAGE = (
    ValueError, TypeError, KeyError, EOFError, OverflowError, NotImplementedError, RuntimeError, RecursionError,
    MemoryError, SyntaxError, struct.error, zlib.error, tokenize.TokenError, zipfile.BadZipFile, zipfile.LargeZipFile,
    OSError,
)  # fmt: skip


@contextmanager
def opened(path: str | os.PathLike[str], largest: int) -> Iterator[tuple[BinaryIO, int]]:
    """A regular file, links followed, of at most `largest` bytes, and its size.

    Raises:
        GoldenError: it is something else, larger, cannot be read, or has a name that no file can have.
    """
    try:
        # Without O_NONBLOCK to open a FIFO waits for somebody to write.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except (OSError, ValueError) as error:
        raise GoldenError(f"{shown(path)} cannot be read: {_reason(error)}") from None
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise GoldenError(
                f"{shown(path)} cannot be read: it is {_kind(found.st_mode)}, but must be a file"
            )
        if found.st_size > largest:
            raise GoldenError(
                f"{shown(path)} cannot be read: it has {found.st_size} bytes, but may have {largest} at most"
            )
        with os.fdopen(handle, "rb", closefd=False) as file:
            yield file, found.st_size
    finally:
        os.close(handle)


def content(path: str | os.PathLike[str], largest: int) -> bytes:
    """The bytes of a file; arguments and errors as of `opened`."""
    with opened(path, largest) as (file, size):
        try:
            # read() takes as much memory as it is asked for; a file may grow, or be one that tells no size.
            parts = [file.read(size + 1)]
            while parts[-1] and sum(map(len, parts)) <= largest:
                parts.append(file.read(1 << 20))
        except (OSError, MemoryError) as error:
            raise GoldenError(f"{shown(path)} cannot be read: {_reason(error)}") from None
    # Joined without the empty last part, a file that was read at once is not copied.
    read = b"".join(filter(None, parts))
    if len(read) > largest:
        raise GoldenError(
            f"{shown(path)} cannot be read: it has more than {largest} bytes, the most it may have"
        )
    return read


def array_file(path: str | os.PathLike[str]) -> np.ndarray | dict[str, np.ndarray]:
    """The array of an .npy file, or the arrays of an .npz file by name.

    Raises:
        GoldenError: as `opened`; or damaged, or holding what is no number.
    """
    with opened(path, LARGEST_ARRAYS) as (file, size):
        try:
            archive = file.read(2) == b"PK"
            file.seek(0)
            return arrays_in(file) if archive else _array(file, size)
        except _DAMAGE as error:
            raise GoldenError(
                f"{shown(path)} cannot be read: it is not an .npy or .npz file of numbers ({_reason(error)})"
            ) from None


def arrays_in(file: BinaryIO, largest: int = LARGEST_ARRAYS) -> dict[str, np.ndarray]:
    """The arrays of an .npz file, `largest` bytes of them at most.

    Raises:
        GoldenError: not such a file, damaged, encrypted, larger, or holding what is no number.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            size = sum(entry.file_size for entry in entries)
            names = {entry.filename for entry in entries}
            if len(entries) > _MOST_ARRAYS or len(names) < len(entries):
                raise GoldenError(f"it holds {len(entries)} arrays under {len(names)} names")
            if size > largest:
                raise GoldenError(f"its arrays have {size} bytes, but may have {largest} at most")
            return {entry.filename.removesuffix(".npy"): _entry(archive, entry) for entry in entries}
    except GoldenError:
        raise
    except _DAMAGE as error:
        raise GoldenError(f"it is not an archive of arrays: {_reason(error)}") from None


def json_in(data: bytes) -> Any:
    """The value of a JSON text in UTF-8.

    Raises:
        GoldenError: it is none, or is nested too deeply.
    """
    try:
        return json.loads(data.decode("utf-8"))
    except ValueError as error:
        raise GoldenError(f"it is not JSON: {_reason(error)}") from None
    except (RecursionError, MemoryError):
        raise GoldenError("its JSON is nested too deeply") from None


def _entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> np.ndarray:
    if entry.flag_bits & 1:
        raise GoldenError(f"array {shown(entry.filename)} is encrypted, but must not be")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise GoldenError(
            f"array {shown(entry.filename)} is compressed by method {entry.compress_type}, but must be by deflate"
        )
    # What is unpacked ends with the size that the archive names, whatever lies behind; then the checksum decides.
    with archive.open(entry) as file:
        return _array(file, entry.file_size)


def _array(file: IO[bytes], size: int) -> np.ndarray:
    """The array in an .npy file of so many bytes; its header must promise what is there, before memory is taken."""
    start = file.read(8)
    if start[:6] != b"\x93NUMPY" or tuple(start[6:]) not in ((1, 0), (2, 0)):
        raise GoldenError("it does not start as an .npy file of version 1 or 2")
    header = np.lib.format.read_array_header_1_0 if start[6] == 1 else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = header(file)
    length = 10 if start[6] == 1 else 12
    if dtype.hasobject or dtype.kind not in "biufc":
        raise GoldenError(f"it holds {dtype}, but must hold numbers")
    if any(n < 0 for n in shape) or len(shape) > 32:
        raise GoldenError(f"its shape is {list(shape)[:33]}")
    promised = math.prod(shape) * dtype.itemsize
    # The header is padded to a multiple of 16 or 64 bytes, of at most 10,000, as numpy reads it.
    if not promised <= size - length <= promised + 20_000:
        raise GoldenError(f"its header promises {promised} bytes of numbers, but it has {size} in all")
    array = np.empty(shape[::-1] if fortran else shape, dtype)
    flat, at = array.reshape(-1).view(np.uint8), 0
    while at < promised:
        part = file.read(min(promised - at, _PART))
        if not part:
            raise GoldenError(
                f"its header promises {promised} bytes of numbers, but {promised - at} are missing"
            )
        flat[at : at + len(part)] = np.frombuffer(part, np.uint8)
        at += len(part)
    if file.read(1):
        raise GoldenError(f"more follows the {promised} bytes of numbers that its header promises")
    return array.T if fortran else array


def shown(name: str | os.PathLike[str], most: int = 300) -> str:
    """A name, or any text, for a message of one line: what no terminal shows is escaped, the middle of a long one is
    left out."""
    text = os.fspath(name)
    text = text if isinstance(text, str) else os.fsdecode(text)
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return text if len(text) <= most else f"{text[: most // 2]}...{text[-most // 2 + 3 :]}"


def _reason(error: BaseException) -> str:
    if isinstance(error, (RecursionError, MemoryError)):
        return "it asks for more than there is"
    return shown(str(getattr(error, "strerror", None) or str(error) or type(error).__name__))


def _kind(mode: int) -> str:
    names = (
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISFIFO, "a FIFO"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISCHR, "a device"),
        (stat.S_ISBLK, "a device"),
    )
    return next((name for test, name in names if test(mode)), "no file")
