# SPDX-License-Identifier: Apache-2.0
"""Changes of a file, each a function of its bytes and of a generator: the same generator makes the same change.

A change that cannot be made, such as one of a field in a file that is no message any more, changes single bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import struct
import zipfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError, Message

from assay.golden.importers import onnx as onnx_importer

Change = Callable[[bytes, np.random.Generator], bytes]

NUMBERS = [
    -1,
    0,
    1,
    2,
    3,
    4,
    7,
    8,
    127,
    -128,
    255,
    256,
    65536,
    1 << 31,
    -(1 << 31),
    1 << 40,
    -(1 << 63),
    (1 << 63) - 1,
]
REALS = [0.0, -0.0, -1.0, 0.5, 1.0, float("nan"), float("inf"), -float("inf"), 1e-45, 1e-30, 3e38, -3e38]
TEXTS = [
    "",
    "x",
    "nowhere",
    "a\nb",
    "\u20ac" * 30,
    "n" * 3000,
    "axis",
    "axes",
    "perm",
    "pads",
    "to",
    "value",
    "mode",
]
# Of every kind of message: how often it is changed. Most others end before an operator is looked at.
WEIGHTS = {"AttributeProto": 6.0, "NodeProto": 4.0, "TensorProto": 4.0, "GraphProto": 1.0}


def messages(message: Message) -> Iterator[Message]:
    """A message and all that it holds."""
    todo = [message]
    while todo:
        current = todo.pop()
        yield current
        for field, value in current.ListFields():
            if field.type == field.TYPE_MESSAGE:
                todo += [value] if hasattr(value, "ListFields") else list(value)


def texts(model: Any) -> list[str]:
    graph = model.graph
    names = [name for node in graph.node for name in (*node.input, *node.output)]
    return [*TEXTS, *names, *(tensor.name for tensor in graph.initializer), *(v.name for v in graph.input)]


def number(rng: np.random.Generator) -> int:
    """A small number, or one of the extremes."""
    return int(rng.integers(-2, 5)) if rng.random() < 0.5 else NUMBERS[rng.integers(len(NUMBERS))]


def change_integers(tensor: Any, rng: np.random.Generator) -> None:
    """One value of a stored list, such as axes or a shape."""
    dtype = np.dtype("<i8" if tensor.data_type == 7 else "<i4")
    values = np.frombuffer(tensor.raw_data[: len(tensor.raw_data) // 8 * 8], dtype).copy()
    if values.size:
        values[rng.integers(values.size)] = np.int64(number(rng)).astype(dtype)
        tensor.raw_data = values.tobytes()


def change_message(model: Any, others: list[Any], rng: np.random.Generator) -> None:
    """One change to one field of one of a model's messages."""
    by_kind: dict[str, list[Message]] = {}
    for message in messages(model):
        by_kind.setdefault(message.DESCRIPTOR.name, []).append(message)
    kinds = sorted(by_kind)
    weights = np.array([WEIGHTS.get(kind, 0.3) for kind in kinds])
    every = by_kind[str(rng.choice(kinds, p=weights / weights.sum()))]
    message = every[int(rng.integers(len(every)))]
    fields = list(message.DESCRIPTOR.fields)
    if message.DESCRIPTOR.name == "TensorProto" and message.data_type in (6, 7) and rng.random() < 0.5:
        change_integers(message, rng)
        return
    if message.DESCRIPTOR.name == "AttributeProto" and rng.random() < 0.8:
        fields = [field for field in fields if field.name in ("i", "f", "s", "t", "ints", "floats")]
    # Half of the time a field that the message has.
    held = [field for field, _ in message.ListFields() if field in fields]
    fields = held if held and rng.random() < 0.7 else fields
    if not fields:
        return
    field = fields[int(rng.integers(len(fields)))]
    value = getattr(message, field.name)
    pool = {
        field.TYPE_STRING: lambda: str(rng.choice(texts(model))),
        field.TYPE_BYTES: lambda: rng.bytes(int(rng.integers(9))),
        field.TYPE_FLOAT: lambda: REALS[rng.integers(len(REALS))],
        field.TYPE_DOUBLE: lambda: REALS[rng.integers(len(REALS))],
        field.TYPE_ENUM: lambda: int(rng.choice([v.number for v in field.enum_type.values])),
        field.TYPE_UINT64: lambda: abs(number(rng)),
        field.TYPE_INT32: lambda: int(np.int32(number(rng) & 0x7FFFFFFF)),
    }.get(field.type, lambda: number(rng))
    if message.DESCRIPTOR.name == "NodeProto" and field.name == "op_type":
        kinds = sorted({kind for _, kind in onnx_importer.OPERATORS})
        message.op_type = str(rng.choice([*kinds, "Loop", "TopK"]))
    elif field.type != field.TYPE_MESSAGE:
        if not hasattr(value, "append"):
            if rng.random() < 0.1:
                message.ClearField(field.name)
            elif field.type == field.TYPE_BYTES and value and rng.random() < 0.8:
                setattr(message, field.name, changed_bytes(value, rng))
            else:
                setattr(message, field.name, pool())
        elif value and rng.random() < 0.7:
            place = int(rng.integers(len(value)))
            if rng.random() < 0.3:
                del value[place]
            else:
                value[place] = pool()
        else:
            value.extend(pool() for _ in range(int(rng.choice([1, 1, 2, 9]))))
    elif not hasattr(value, "append"):
        message.ClearField(field.name)
    elif value and rng.random() < 0.5:
        place = int(rng.integers(len(value)))
        piece = value[place].SerializeToString()
        if rng.random() < 0.5:
            del value[place]
        if rng.random() < 0.7:
            value.add().MergeFromString(piece)
    else:
        # A piece of another file, or of another place of this one.
        donor = others[int(rng.integers(len(others)))]
        name = field.message_type.full_name
        pieces = [m for m in messages(donor) if m.DESCRIPTOR.full_name == name]
        if pieces:
            value.add().CopyFrom(pieces[int(rng.integers(len(pieces)))])


def changed_bytes(content: bytes, rng: np.random.Generator) -> bytes:
    """Some bytes replaced, words set to extremes, a piece cut out or doubled, or all that follows lost."""
    data = bytearray(content)
    for _ in range(int(rng.choice([1, 1, 2, 5]))):
        if not data:
            break
        place = int(rng.integers(len(data)))
        match int(rng.integers(7)):
            case 0:
                data[place] = int(rng.integers(256))
            case 1:
                data[place] ^= 1 << int(rng.integers(8))
            case 2:
                word = NUMBERS[rng.integers(len(NUMBERS))] & 0xFFFFFFFF
                place &= ~3
                data[place : place + 4] = word.to_bytes(4, "little")
            case 3:
                del data[place : place + int(rng.integers(1, 9))]
            case 4:
                data[place:place] = data[place : place + int(rng.integers(1, 17))]
            case 5:
                if rng.random() < 0.2:
                    del data[place:]
            case _:
                data[place] = int(rng.choice([0, 1, 127, 128, 255]))
    return bytes(data)


def changed_model(others: Sequence[Any]) -> Change:
    """A change to one field of one message of an ONNX file.

    Args:
        others: models of which pieces may be put in.
    """

    def change(data: bytes, rng: np.random.Generator) -> bytes:
        try:
            model = onnx.ModelProto.FromString(data)
        except (DecodeError, RecursionError):
            return changed_bytes(data, rng)
        try:
            change_message(model, list(others), rng)
        except (TypeError, ValueError):  # a value that the field cannot hold
            return changed_bytes(data, rng)
        return model.SerializeToString()

    return change


# --- Flatbuffers -----------------------------------------------------------------------------------------------------


def changed_tables(data: bytes, rng: np.random.Generator) -> bytes:
    """A field of one of a flatbuffer's tables: set to an extreme, missing, or another table's or vector's.

    The walk knows no schema. What a reference leads to is a table where the number there leads to a table of offsets
    that fits into the file, else a vector.
    """
    found = list(_fields(data))
    if not found:
        return changed_bytes(data, rng)
    changed = bytearray(data)
    entry, place, size, target = found[int(rng.integers(len(found)))]
    choice = rng.random()
    if choice < 0.15:
        struct.pack_into("<H", changed, entry, 0)  # the field is missing
    elif target and choice < 0.4:
        # It leads where another reference does: a piece in two places, or of another type.
        others = [t for *_, t in found if t > place] or [target]
        struct.pack_into("<I", changed, place, others[int(rng.integers(len(others)))] - place)
    elif target:
        _change_vector(changed, target, rng)
    else:
        _set(changed, place, size, rng)
    return bytes(changed)


def _fields(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Of each field of each table: its entry in the table of offsets, its place, size, and where it leads, or 0."""
    todo, seen = [int.from_bytes(data[:4], "little")], set()
    while todo:
        table = todo.pop()
        offsets = _offsets(data, table)
        if table in seen or not offsets:
            continue
        seen.add(table)
        places = sorted({table + offset for _, offset in offsets})
        for entry, offset in offsets:
            place = table + offset
            following = [p for p in places if p > place]
            size = min((following[0] - place) if following else 4, 8)
            target = place + int.from_bytes(data[place : place + 4], "little") if size >= 4 else 0
            target = target if place < target < len(data) - 4 else 0
            yield entry, place, size, target
            if not target:
                continue
            if _offsets(data, target):
                todo.append(target)
                continue
            length = int.from_bytes(data[target : target + 4], "little")
            if length <= 512:
                for item in range(target + 4, min(target + 4 + 4 * length, len(data) - 4), 4):
                    inner = item + int.from_bytes(data[item : item + 4], "little")
                    if item < inner < len(data) - 4 and _offsets(data, inner):
                        todo.append(inner)


def _offsets(data: bytes, table: int) -> list[tuple[int, int]]:
    """Entries and offsets of the fields of a table; none where there is no table."""
    if not 4 <= table <= len(data) - 4:
        return []
    start = table - int.from_bytes(data[table : table + 4], "little", signed=True)
    if not 0 <= start <= len(data) - 4:
        return []
    size, inline = struct.unpack_from("<HH", data, start)
    if not (4 <= size <= 128 and size % 2 == 0 and 4 <= inline <= 512 and start + size <= len(data)):
        return []
    offsets = struct.unpack_from(f"<{size // 2 - 2}H", data, start + 4)
    if any(offset >= inline or table + offset + 4 > len(data) for offset in offsets):
        return []
    return [(start + 4 + 2 * n, offset) for n, offset in enumerate(offsets) if offset]


def _change_vector(data: bytearray, target: int, rng: np.random.Generator) -> None:
    length = int.from_bytes(data[target : target + 4], "little")
    if rng.random() < 0.3 or not length:
        struct.pack_into("<I", data, target, number(rng) & 0xFFFFFFFF)
        return
    size = int(rng.choice([1, 4, 4, 8]))
    place = target + 4 + size * int(rng.integers(min(length, 1 << 16)))
    if place + size <= len(data):
        _set(data, place, size, rng)


def _set(data: bytearray, place: int, size: int, rng: np.random.Generator) -> None:
    """A number of so many bytes: an extreme, or a real number that is one."""
    size = max(1, min(size, len(data) - place))
    if size >= 4 and rng.random() < 0.4:
        word = struct.pack("<f", REALS[rng.integers(len(REALS))])
    else:
        word = (number(rng) & ((1 << 8 * size) - 1)).to_bytes(size, "little")
    data[place : place + len(word)] = word


# --- Text ------------------------------------------------------------------------------------------------------------

WEIRD: tuple[Any, ...] = (
    *(None, True, -1, 0, 1, 2**31, 2**63, 10**30, 1.5, float("nan"), float("inf"), "", "x", "a\0b", "\udcff"),
    *("line\nbreak", "../x", "/dev/zero", "y" * 100_000, [], {}, [[]], [None], [-1, 2**40], {"a": 1}),
)


def changed_json(data: bytes, rng: np.random.Generator) -> bytes:
    """One value of a JSON text: another one, missing, twice, or the whole nested deeply."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return changed_bytes(data, rng)
    places: list[tuple[Any, Any]] = []
    todo = [value]
    while todo:
        held = todo.pop()
        keys = list(held) if isinstance(held, dict) else range(len(held)) if isinstance(held, list) else []
        places += [(held, key) for key in keys]
        todo += [held[key] for key in keys]
    if rng.random() < 0.02:
        return b"[" * int(rng.choice([1000, 100_000])) + data
    if not places:
        return json.dumps(WEIRD[rng.integers(len(WEIRD))]).encode()
    held, key = places[int(rng.integers(len(places)))]
    choice = rng.random()
    if choice < 0.15:
        del held[key]
    elif choice < 0.3 and isinstance(held, list):
        held.insert(key, held[key])
    elif choice < 0.45:
        other, name = places[int(rng.integers(len(places)))]
        held[key] = json.loads(json.dumps(other[name]))
    elif choice < 0.6 and isinstance(held[key], (int, float)):
        held[key] = number(rng)
    else:
        held[key] = WEIRD[rng.integers(len(WEIRD))]
    return json.dumps(value).encode("utf-8", "surrogatepass")


_VALUE = re.compile(rb'"[^"\n]*"|-?\d[\d.]*|\btrue\b|\bfalse\b|[A-Za-z_][\w.]*')
_VALUES = (
    *(b"0", b"-1", b"1e999", b"9" * 40, b"nan", b"true", b'""', b'"x"', b"[]", b"{}", b"[[1]]", b'"""', b"$X", b"${X}"),
    *(b"2026-13-01", b"1979-05-27", b'"a\\nb"', b'"(("', b"-f", b"+incdir+", b"\xff\xfe", b"\0", b"'", b"/dev/zero"),
    *(b"input.f", b'"' + b"y" * 5000 + b'"', b"[" * 2000, b"{a=" * 2000, b"a." * 3000),
)  # fmt: skip


def changed_text(data: bytes, rng: np.random.Generator) -> bytes:
    """One word or one line of a text: another one, missing, or twice."""
    words = list(_VALUE.finditer(data))
    choice = rng.random()
    if choice < 0.6 and words:
        word = words[int(rng.integers(len(words)))]
        value = _VALUES[rng.integers(len(_VALUES))]
        if rng.random() < 0.3:
            value = words[int(rng.integers(len(words)))][0]
        return data[: word.start()] + value + data[word.end() :]
    if choice < 0.85 and data:
        lines = data.splitlines(keepends=True)
        place = int(rng.integers(len(lines)))
        lines[place : place + 1] = [] if rng.random() < 0.5 else [lines[place]] * 2
        return b"".join(lines)
    return changed_bytes(data, rng)


# --- Arrays and archives ---------------------------------------------------------------------------------------------

_HEADER = re.compile(rb"'descr': '([^']*)'|'fortran_order': (\w+)|'shape': (\([^)]*\))")
_HEADERS = (
    *(b"'descr': '<f8'", b"'descr': '|O'", b"'descr': '<i8'", b"'descr': '<U3'", b"'descr': '>i2'", b"'descr': '|V4'"),
    *(b"'descr': '<c16'", b"'descr': '|b1'", b"'descr': 'M8[s]'", b"'descr': [('a','<i4')]", b"'fortran_order': True"),
    *(b"'shape': ()", b"'shape': (0,)", b"'shape': (-1,)", b"'shape': (1, 1, 1)", b"'shape': (99999999999,)"),
    *(b"'shape': (4294967296, 4294967296)", b"'shape': (1.5,)", b"'shape': 'x'", b"'shape': (0, 10**70)"),
)  # fmt: skip


def changed_array(data: bytes, rng: np.random.Generator) -> bytes:
    """The header of an .npy file, or a number in it."""
    found = list(_HEADER.finditer(data))
    if found and rng.random() < 0.6:
        one = found[int(rng.integers(len(found)))]
        return data[: one.start()] + _HEADERS[rng.integers(len(_HEADERS))] + data[one.end() :]
    if len(data) > 160 and rng.random() < 0.5:
        changed = bytearray(data)
        _set(changed, 128 + 4 * int(rng.integers((len(data) - 128) // 4)), int(rng.choice([4, 8])), rng)
        return bytes(changed)
    return changed_bytes(data, rng)


def changed_archive(data: bytes, rng: np.random.Generator) -> bytes:
    """A file in a zip archive, packed again with a checksum that is right; or one that is missing, or twice.

    A manifest in it, which names the sha256 of the others, is made to fit, so that what it guards is reached.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
    except Exception:  # a damaged archive brings about many kinds of errors
        return changed_bytes(data, rng)
    if not files:
        return changed_bytes(data, rng)
    name = sorted(files)[int(rng.integers(len(files)))]
    before = hashlib.sha256(files[name]).hexdigest().encode()
    choice = rng.random()
    if choice < 0.05:
        files.pop(name)
    elif choice < 0.1:
        files["x.npy"] = files[name]
    elif name.endswith(".json"):
        files[name] = changed_json(files[name], rng)
    elif name.endswith(".npz"):
        files[name] = changed_archive(files[name], rng)
    elif name.endswith(".npy"):
        files[name] = changed_array(files[name], rng)
    else:
        files[name] = changed_bytes(files[name], rng)
    if name in files and "manifest.json" in files and rng.random() < 0.9:
        after = hashlib.sha256(files[name]).hexdigest().encode()
        files["manifest.json"] = files["manifest.json"].replace(before, after)
    return packed(files)


def packed(files: dict[str, bytes]) -> bytes:
    """A zip archive of files: the same bytes for the same files."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return content.getvalue()


# --- Programs --------------------------------------------------------------------------------------------------------


def changed_elf(data: bytes, rng: np.random.Generator) -> bytes:
    """A field of the header, of a program's header or of a section's; or single bytes."""
    if len(data) < 52 or rng.random() < 0.3:
        return changed_bytes(data, rng)
    changed = bytearray(data)
    programs, sections = struct.unpack_from("<II", data, 28)
    counts = struct.unpack_from("<HHHH", data, 42)
    tables = [
        (16, 52),
        (programs, programs + counts[0] * counts[1]),
        (sections, sections + counts[2] * counts[3]),
    ]
    first, last = tables[int(rng.integers(len(tables)))]
    place = first + 2 * int(rng.integers(max(1, (last - first) // 2)))
    if place + 4 > len(data):
        return changed_bytes(data, rng)
    _set(changed, place, int(rng.choice([2, 4])), rng)
    return bytes(changed)
