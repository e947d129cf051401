# SPDX-License-Identifier: Apache-2.0
"""Fuzzes the importers: small real files of every form are changed at random, loaded and run.

    python -m assay.golden.tests.fuzz_importers --seconds 3600 --seed 7

Whatever a file holds, there is a graph that runs, or a `GoldenError` of one short line: no other exception, no more
than `--memory` megabytes, no file that takes longer than `--limit` seconds. A child process does the work under these
limits. A file that breaks a promise is kept under `--findings` with its traceback, and the exit status is 1.

Changes are made to fields of the protobuf message or of the flatbuffer's tables (numbers, names, references, order,
pieces of other files), and to single bytes. The same seed tries the same files in the same order.
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import Message

from assay.golden.errors import GoldenError
from assay.golden.graph import Graph
from assay.golden.importers import onnx as onnx_importer
from assay.golden.importers import tflite as tflite_importer
from assay.golden.tests.typed import closures

VALUES = 1 << 18  # networks of more values than this are loaded, but not run
LONGEST = 2000  # characters of a message

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


class Hang(Exception):
    """A file took longer than it may."""


# --- Files to begin with ---------------------------------------------------------------------------------------------


def onnx_files() -> list[bytes]:
    from assay.golden.tests import test_fixed_point_import, test_onnx_import, test_qonnx_import
    from assay.golden.tests.onnx_files import OnnxFile

    trunc = OnnxFile(13, 2)
    x = trunc.quant(trunc.input((1, 2, 4, 4)), 8, 0.5, signed=0)
    numbers = (np.float32(v) for v in (0.5, 0, 8, 1, 4))
    trunc.node("Trunc", x, *numbers, domain="qonnx.custom_op.general", rounding_mode="FLOOR")
    pools = OnnxFile(12)
    number = np.float32(0.1), np.uint8(7)
    y = pools.node("MaxPool", pools.input((1, 3, 9), np.uint8), kernel_shape=[3], strides=[2], ceil_mode=1)
    y = pools.node("QLinearGlobalAveragePool", y, *number, *number, domain="com.microsoft")
    pools.node("QLinearConcat", *number, y, *number, y, *number, domain="com.microsoft", axis=1)
    return [
        test_onnx_import.network(),
        test_onnx_import.small().bytes(),
        test_onnx_import.integer().bytes(),
        test_qonnx_import.fused().bytes(),
        test_fixed_point_import.small_model(),
        test_fixed_point_import.normalised(),
        trunc.bytes(),
        pools.bytes(),
    ]


def tflite_file(rng: np.random.Generator) -> bytes:
    """A network of many operators, its declarations changed before they are written."""
    from assay.golden.tests.test_tflite_hostile import damage, model

    file, inputs, outputs = model()
    for _ in range(int(rng.integers(4))):
        damage(file, rng)
    ends = [*range(len(file.tensors)), -1, 1 << 20]
    if rng.random() < 0.05:
        inputs = [int(rng.choice(ends)) for _ in range(int(rng.integers(3)))]
    if rng.random() < 0.05:
        outputs = [int(rng.choice(ends)) for _ in range(int(rng.integers(3)))]
    return file.bytes(inputs, outputs)


# --- Changes ---------------------------------------------------------------------------------------------------------


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


def changed_bytes(data: bytes, rng: np.random.Generator) -> bytes:
    """Some bytes replaced, words set to extremes, or a piece cut out or doubled."""
    data = bytearray(data)
    for _ in range(int(rng.choice([1, 1, 2, 5]))):
        if not data:
            break
        place = int(rng.integers(len(data)))
        match int(rng.integers(6)):
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
            case _:
                data[place] = int(rng.choice([0, 1, 127, 128, 255]))
    return bytes(data)


def files(seed: int) -> Iterator[tuple[str, bytes]]:
    """An endless series of changed files: which importer, and the bytes."""
    rng = np.random.default_rng(seed)
    models = [onnx.ModelProto.FromString(data) for data in onnx_files()]
    while True:
        if rng.random() < 0.3:
            data = tflite_file(rng)
            yield "tflite", changed_bytes(data, rng) if rng.random() < 0.4 else data
            continue
        model = onnx.ModelProto()
        model.CopyFrom(models[int(rng.integers(len(models)))])
        for _ in range(int(rng.choice([1, 1, 2, 3, 6]))):
            change_message(model, models, rng)
        data = model.SerializeToString()
        yield "onnx", changed_bytes(data, rng) if rng.random() < 0.15 else data


# --- Promises --------------------------------------------------------------------------------------------------------


def run(form: str, data: bytes) -> bool:
    """Load a file, print its table, and run it if it is small: whether it is a model.

    Raises:
        Exception: any that is no `GoldenError`, or an `AssertionError` for a message of several lines or without end.
    """
    importer = tflite_importer if form == "tflite" else onnx_importer
    try:
        graph = importer.loads(data)
        graph.summary()
        assert not closures(graph), closures(graph)
        if sum(tensor_size(graph, name) for name in graph.tensors) < VALUES:
            inputs = {name: graph.tensors[name] for name in graph.inputs}
            graph.predict({n: t.stacked(np.ones((1, *t.shape), t.dtype)) for n, t in inputs.items()})
        return True
    except GoldenError as error:
        message = str(error)
        assert message and "\n" not in message, f"a message of several lines: {message[:200]!r}"
        assert len(message) < LONGEST, f"a message of {len(message)} characters: {message[:200]!r}"
        return False


def tensor_size(graph: Graph, name: str) -> int:
    return int(np.prod(graph.tensors[name].shape, dtype=object))


def hung(limit: int, signum: int, frame: Any) -> None:
    raise Hang(f"longer than {limit} s")


def work(options: argparse.Namespace) -> int:
    """The child: tries files until the time is over; the present one is in `options.findings` / current."""
    resource.setrlimit(resource.RLIMIT_AS, (options.memory << 20, options.memory << 20))
    signal.signal(signal.SIGALRM, partial(hung, options.limit))
    warnings.simplefilter("error")
    end = time.monotonic() + options.seconds
    found, outcomes = set(), {True: 0, False: 0}
    for number, (form, data) in enumerate(files(options.seed)):
        if time.monotonic() > end:
            break
        current = options.findings / "current"
        current.write_bytes(data)
        signal.alarm(options.limit)
        try:
            outcomes[run(form, data)] += 1
        except Exception as error:
            signal.alarm(0)
            where = [
                frame for frame in traceback.extract_tb(error.__traceback__) if "golden" in frame.filename
            ]
            key = (type(error).__name__, where[-1].filename, where[-1].lineno, str(error)[:20])
            if key not in found:
                found.add(key)
                kept = options.findings / f"{options.seed}_{number}.{form}"
                kept.write_bytes(data)
                kept.with_suffix(f".{form}.txt").write_text(traceback.format_exc())
                print(f"seed {options.seed}, file {number}: {kept}", flush=True)
                print("".join(traceback.format_exception_only(error)).strip()[:300], flush=True)
                print(f"  at {Path(where[-1].filename).name}:{where[-1].lineno}", flush=True)
        finally:
            signal.alarm(0)
    current.unlink(missing_ok=True)
    print(
        f"seed {options.seed}: {sum(outcomes.values())} files, {outcomes[True]} models, {outcomes[False]} rejected, "
        f"{len(found)} findings"
    )
    return 1 if found or not all(outcomes.values()) else 0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m assay.golden.tests.fuzz_importers", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--seconds", type=int, default=60, help="how long (default 60)")
    parser.add_argument("--seed", type=int, default=1, help="of the series of files (default 1)")
    parser.add_argument("--memory", type=int, default=4096, help="address space in MB (default 4096)")
    parser.add_argument("--limit", type=int, default=10, help="seconds for one file (default 10)")
    parser.add_argument(
        "--findings", type=Path, help="folder for files that break a promise (default: a new one)"
    )
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    options.findings = options.findings or Path(tempfile.mkdtemp(prefix="fuzz_importers_"))
    options.findings.mkdir(parents=True, exist_ok=True)
    if options.child:
        return work(options)
    words = [f"--{n}={getattr(options, n)}" for n in ("seconds", "seed", "memory", "limit", "findings")]
    command = [sys.executable, "-m", "assay.golden.tests.fuzz_importers", "--child", *words]
    # More threads of the BLAS take address space, and make no small network faster.
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    try:
        status = subprocess.run(command, env=environment, timeout=options.seconds + 60).returncode
    except subprocess.TimeoutExpired:
        status = "no answer"
    if status not in (0, 1):
        # What no handler in the child could report: a crash, or a loop inside numpy.
        print(f"seed {options.seed}: the process ended with {status} on {options.findings / 'current'}")
    return 0 if status == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
