# SPDX-License-Identifier: Apache-2.0
"""One wave file with the design's signals and the tracks: an FST file, written through GTKWave's own library."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from assay.sim.debug.tracks import Track
from assay.sim.debug.wavedata import INSTALL
from assay.sim.wavefile import damage
from assay.tb.errors import AssayError, MissingExtra

__all__ = ["add_tracks"]


def add_tracks(source: Path, target: Path, tracks: Sequence[Track]) -> None:
    """Copy an FST file and add tracks.

    Args:
        source: as a simulator has written it.
        target: written in one step; may be `source`.
        tracks: to add.

    Raises:
        MissingExtra: pylibfst is not installed.
        AssayError: the source cannot be read, or the target not be written.
    """
    try:
        from pylibfst import ffi, lib
    except ImportError:
        raise MissingExtra(f"tracks in the waves need pylibfst; install it with: {INSTALL}") from None
    partial = target.with_name(f".{target.name}.partial")
    reader = lib.fstReaderOpen(str(source).encode())
    if reader == ffi.NULL:
        raise AssayError(f"{source.name} cannot be read as an FST file")
    writer = lib.fstWriterCreate(str(partial).encode(), 1)
    if writer == ffi.NULL:
        lib.fstReaderClose(reader)
        raise AssayError(f"{partial} cannot be written")
    try:
        tick = 10.0 ** (lib.fstReaderGetTimescale(reader) + 12)  # in ps
        lib.fstWriterSetPackType(writer, lib.FST_WR_PT_LZ4)
        lib.fstWriterSetTimescale(writer, lib.fstReaderGetTimescale(reader))
        lib.fstWriterSetVersion(writer, lib.fstReaderGetVersionString(reader))
        lib.fstWriterSetDate(writer, lib.fstReaderGetDateString(reader))
        handles = _copy_hierarchy(lib, ffi, reader, writer)
        _copy_changes(lib, ffi, reader, writer, handles, _declare(lib, writer, tracks, tick))
    except BaseException:
        lib.fstWriterClose(writer)
        partial.unlink(missing_ok=True)
        raise
    finally:
        lib.fstReaderClose(reader)
    lib.fstWriterClose(writer)
    if problem := damage(partial):  # its writer reports no full disk
        partial.unlink(missing_ok=True)
        raise AssayError(f"the waves with tracks cannot be written: {target.name} {problem}")
    partial.replace(target)


def _copy_hierarchy(lib: Any, ffi: Any, reader: Any, writer: Any) -> dict[int, int]:
    """Scopes, signals and enumerations; gives the writer's handle for each of the reader's."""
    handles: dict[int, int] = {}
    lib.fstReaderIterateHierRewind(reader)
    while (entry := lib.fstReaderIterateHier(reader)) != ffi.NULL:
        if entry.htyp == lib.FST_HT_SCOPE:
            scope = entry.u.scope
            lib.fstWriterSetScope(writer, scope.typ, scope.name, scope.component)
        elif entry.htyp == lib.FST_HT_UPSCOPE:
            lib.fstWriterSetUpscope(writer)
        elif entry.htyp == lib.FST_HT_VAR:
            var = entry.u.var
            made = lib.fstWriterCreateVar(
                writer, var.typ, var.direction, var.length, var.name, handles.get(var.handle, 0)
            )
            handles.setdefault(var.handle, made)
        elif entry.htyp == lib.FST_HT_ATTRBEGIN:
            attribute = entry.u.attr
            lib.fstWriterSetAttrBegin(writer, attribute.typ, attribute.subtype, attribute.name, attribute.arg)
        elif entry.htyp == lib.FST_HT_ATTREND:
            lib.fstWriterSetAttrEnd(writer)
    return handles


def _declare(
    lib: Any, writer: Any, tracks: Sequence[Track], tick: float
) -> Iterator[tuple[int, int, str | bytes]]:
    """Declare the tracks; gives an iterator over all their changes: time, handle, text or bits."""
    streams = []
    opened: list[str] = []
    for track in sorted(tracks, key=lambda track: track.path.split(".")[:-1]):
        wanted = track.path.split(".")[:-1]
        while opened != wanted[: len(opened)]:
            lib.fstWriterSetUpscope(writer)
            opened.pop()
        for name in wanted[len(opened) :]:
            lib.fstWriterSetScope(writer, lib.FST_ST_VCD_MODULE, name.encode(), b"")
            opened.append(name)
        kind = lib.FST_VT_VCD_REG if track.bits else lib.FST_VT_GEN_STRING
        handle = lib.fstWriterCreateVar(writer, kind, lib.FST_VD_IMPLICIT, track.bits, track.name.encode(), 0)
        streams.append(_changes(track, handle, tick))
    for _ in opened:
        lib.fstWriterSetUpscope(writer)
    return heapq.merge(*streams, key=lambda change: change[0])


def _changes(track: Track, handle: int, tick: float) -> Iterator[tuple[int, int, str | bytes]]:
    mask = (1 << track.bits) - 1
    for time, value in track.changes:
        if track.bits:
            yield round(time / tick), handle, format(int(value) & mask, f"0{track.bits}b").encode()
        else:
            yield round(time / tick), handle, str(value)


def _copy_changes(
    lib: Any,
    ffi: Any,
    reader: Any,
    writer: Any,
    handles: dict[int, int],
    added: Iterator[tuple[int, int, str | bytes]],
) -> None:
    """All changes of both in the order of time."""
    now = -1
    pending = next(added, None)
    failed: list[BaseException] = []

    def move(time: int) -> None:
        nonlocal now
        if time > now:
            now = time
            lib.fstWriterEmitTimeChange(writer, time)

    def emit_added(until: float) -> None:
        nonlocal pending
        while pending is not None and pending[0] <= until:
            time, handle, value = pending
            move(time)
            if isinstance(value, str):
                text = value.encode()
                lib.fstWriterEmitVariableLengthValueChange(writer, handle, text, len(text))
            else:
                lib.fstWriterEmitValueChange(writer, handle, value)
            pending = next(added, None)

    def copy(time: int, handle: int, value: Any, length: int | None) -> None:
        if failed:  # an exception cannot leave a callback from C
            return
        try:
            if time > now:
                emit_added(time - 1)
                move(time)
            if length is None:
                lib.fstWriterEmitValueChange(writer, handles[handle], value)
            else:
                lib.fstWriterEmitVariableLengthValueChange(writer, handles[handle], value, length)
        except BaseException as error:
            failed.append(error)

    fixed = ffi.callback(
        "void(void *, uint64_t, fstHandle, const unsigned char *)",
        lambda _, time, handle, value: copy(time, handle, value, None),
    )
    varying = ffi.callback(
        "void(void *, uint64_t, fstHandle, const unsigned char *, uint32_t)",
        lambda _, time, handle, value, length: copy(time, handle, value, length),
    )
    lib.fstReaderSetFacProcessMaskAll(reader)
    lib.fstReaderIterBlocks2(reader, fixed, varying, ffi.NULL, ffi.NULL)
    if failed:
        raise failed[0]
    emit_added(float("inf"))
