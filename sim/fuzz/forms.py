# SPDX-License-Identifier: Apache-2.0
"""The forms of files that users give: small ones to begin with, what may be changed in them, and how they are read.

The small files are those that the tests of the importers make, so this needs Assay's checkout.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
import json
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from assay import vectors
from assay.golden.vector_sets import packed
from assay.sim.fuzz import changes
from assay.sim.fuzz.changes import Change
from assay.tb.errors import AssayError, MissingTool

NEEDED = ("flatbuffers", "onnx", "pytest", "tflite")
"""Packages of the tests that make the small files."""

VALUES = 1 << 18
"""Networks of more values than this are loaded, but not run."""


@dataclass(frozen=True)
class Form:
    """One form of a user's files.

    Attributes:
        suffix: of its files.
        weight: how often it comes.
        seeds: name -> content.
        changes: each with how often it is made.
        read: reads a file as the product does; returns whether there is a value, raises what the product raises.
    """

    suffix: str
    weight: float
    seeds: Mapping[str, bytes]
    changes: tuple[tuple[float, Change], ...]
    read: Callable[[Path], bool]


@cache
def forms() -> dict[str, Form]:
    """All forms by name.

    Raises:
        AssayError: there is no checkout, and so no small files.
        MissingTool: a package is not installed.
    """
    if importlib.util.find_spec("assay.golden.tests") is None:
        raise AssayError("fuzz changes files that Assay's tests make, so it runs in Assay's checkout")
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        raise MissingTool(f"fuzz needs {', '.join(missing)}: pip install 'assay[test]'")
    return {
        "onnx": _onnx(),
        "tflite": _tflite(),
        "inputs": _inputs(),
        "set": _sets(),
        "elf": _elf(),
        "case": _case(),
        **_settings(),
    }


def _tests(name: str) -> Any:
    """A module of the golden model's tests, which have no types."""
    return importlib.import_module(f"assay.golden.tests.{name}")


# --- Networks --------------------------------------------------------------------------------------------------------


def _onnx() -> Form:
    import onnx

    from assay.golden.importers import onnx as importer

    fixed_point, qdq, qonnx = (_tests(f"test_{name}_import") for name in ("fixed_point", "onnx", "qonnx"))
    OnnxFile = _tests("onnx_files").OnnxFile
    trunc = OnnxFile(13, 2)
    x = trunc.quant(trunc.input((1, 2, 4, 4)), 8, 0.5, signed=0)
    numbers = (np.float32(v) for v in (0.5, 0, 8, 1, 4))
    trunc.node("Trunc", x, *numbers, domain="qonnx.custom_op.general", rounding_mode="FLOOR")
    pools = OnnxFile(12)
    number = np.float32(0.1), np.uint8(7)
    y = pools.node("MaxPool", pools.input((1, 3, 9), np.uint8), kernel_shape=[3], strides=[2], ceil_mode=1)
    y = pools.node("QLinearGlobalAveragePool", y, *number, *number, domain="com.microsoft")
    pools.node("QLinearConcat", *number, y, *number, y, *number, domain="com.microsoft", axis=1)
    seeds = {
        "qdq": qdq.network(),
        "small": qdq.small().bytes(),
        "integer": qdq.integer().bytes(),
        "qonnx": qonnx.fused().bytes(),
        "fixed point": fixed_point.small_model(),
        "normalised": fixed_point.normalised(),
        "trunc": trunc.bytes(),
        "pools": pools.bytes(),
        "digits_mixed": vectors.path("digits/digits_mixed.onnx").read_bytes(),
    }
    models = [onnx.ModelProto.FromString(data) for data in seeds.values()]
    change = changes.changed_model(models)
    return Form(
        "onnx", 6, seeds, ((8, change), (1, changes.changed_bytes)), lambda path: _run(importer, path)
    )


def _tflite() -> Form:
    from assay.golden.importers import tflite as importer

    seeds = {
        "operators": _rebuilt(b"", np.random.default_rng(0), 0),
        "digits_int8": vectors.path("digits/digits_int8.tflite").read_bytes(),
    }
    each = ((2, _rebuilt), (3, changes.changed_tables), (1, changes.changed_bytes))
    return Form("tflite", 4, seeds, each, lambda path: _run(importer, path))


def _rebuilt(data: bytes, rng: np.random.Generator, most: int = 4) -> bytes:
    """A network of many operators, of which declarations are changed before they are written; `data` is dropped."""
    hostile = _tests("test_tflite_hostile")
    file, inputs, outputs = hostile.model()
    for _ in range(int(rng.integers(most)) if most else 0):
        hostile.damage(file, rng)
    ends = [*range(len(file.tensors)), -1, 1 << 20]
    if most and rng.random() < 0.05:
        inputs = [int(rng.choice(ends)) for _ in range(int(rng.integers(3)))]
    if most and rng.random() < 0.05:
        outputs = [int(rng.choice(ends)) for _ in range(int(rng.integers(3)))]
    return bytes(file.bytes(inputs, outputs))


def _run(importer: Any, path: Path) -> bool:
    """Load a network, print its table and, if it is small, run it and what it is lowered to."""
    from assay.golden import GoldenError

    graph = importer.load(path)
    graph.summary()
    found = _tests("typed").closures(graph)
    assert not found, found
    size = sum(int(np.prod(tensor.shape, dtype=object)) for tensor in graph.tensors.values())
    if size < VALUES:
        inputs = {name: graph.tensors[name] for name in graph.inputs}
        graph.predict({name: t.stacked(np.ones((1, *t.shape), t.dtype)) for name, t in inputs.items()})
        try:
            network = graph.lower("nearest")
        except GoldenError:  # most networks cannot be lowered: this one was read all the same
            return True
        network.predict(np.zeros((1, *network.input_shape), np.int64) + network.input_format.min)
    return True


# --- Data ------------------------------------------------------------------------------------------------------------


def _inputs() -> Form:
    from assay.golden.importers import tflite as importer
    from assay.golden.rows import read_rows

    graph = importer.load(vectors.path("digits/digits_int8.tflite"))
    (name,) = graph.inputs
    rows = np.zeros((2, *graph.tensors[name].shape[1:]), graph.tensors[name].dtype)
    one = io.BytesIO()
    np.save(one, rows)

    def read(path: Path) -> bool:
        given = read_rows(path, graph)
        graph.predict({key: values[:2] for key, values in given.items()})
        return True

    each = ((3, changes.changed_array), (3, changes.changed_archive), (1, changes.changed_bytes))
    return Form("npz", 2, {"npy": one.getvalue(), "npz": packed({name: rows})}, each, read)


def _sets() -> Form:
    SETS = _tests("test_altered_sets").SETS
    seeds = {}
    for name, (write, _) in SETS.items():
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder) / "set")
            files = sorted((Path(folder) / "set").iterdir())
            seeds[name] = changes.packed({path.name: path.read_bytes() for path in files})

    def read(path: Path) -> bool:
        with _unpacked(path) as folder:
            manifest = folder / "manifest.json"
            form = ""
            if manifest.is_file():
                try:
                    form = str(json.loads(manifest.read_text(encoding="utf-8")).get("format"))
                except (ValueError, AttributeError, RecursionError):
                    form = ""
            kind = next((name for name in SETS if name in form), next(iter(SETS)))
            SETS[kind][1](folder)
        return True

    return Form("zip", 2, seeds, ((1, changes.changed_archive),), read)


@contextmanager
def _unpacked(path: Path) -> Iterator[Path]:
    """A folder with the files of an archive; what is no archive gives an empty one."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            with zipfile.ZipFile(path) as archive:
                for name in archive.namelist():
                    (Path(folder) / Path(name).name).write_bytes(archive.read(name))
        except Exception:  # the archive is how the folder travels, and nothing that a user gives
            pass
        yield Path(folder)


def _elf() -> Form:
    from assay.golden.codegen.elf import executable
    from assay.golden.controller.memory_map import IMEM_BASE
    from assay.golden.controller.parameters import ControllerParameters
    from assay.tb.controller.elf import load_elf

    words = np.arange(64, dtype=np.uint32)
    data_base = IMEM_BASE + 4 * ControllerParameters().imem_words
    symbols = {"_start": IMEM_BASE, "tohost": data_base, "data": data_base + 4}
    data = executable(words, words, (IMEM_BASE, data_base), symbols, IMEM_BASE)

    def read(path: Path) -> bool:
        load_elf(path, ControllerParameters()).image(ControllerParameters())
        return True

    return Form("elf", 2, {"program": data}, ((1, changes.changed_elf),), read)


def _case() -> Form:
    from assay.tb.cases import kept, read_case
    from assay.tb.mvu.mvu_cases import MvuCases

    folder = Path(importlib.import_module("assay.tb.mvu.block").__file__ or "").parent
    seeds = {path.stem: path.read_bytes() for path in kept(folder)}

    def read(path: Path) -> bool:
        MvuCases().describe(read_case(path, MvuCases(), "mvu"))
        return True

    return Form("json", 1, seeds, ((4, changes.changed_json), (1, changes.changed_bytes)), read)


# --- Settings --------------------------------------------------------------------------------------------------------

_HINTS = b"""\
clock = "clk"
reset = ["rst_n"]
reset_active_low = true
ignore = ["scan_en"]
[stream.x]
direction = "in"
valid = "x_valid"
ready = "x_ready"
fields = ["x_data"]
latency = 2
[memory.weights]
addr = "w_addr"
read = "w_rdata"
active_low = ["w_en"]
[control]
start = "go"
[pins]
mode = 3
"""
_LIST = b"""\
+incdir+.  // headers
+define+WIDTH=8+DEBUG
-DMORE=1
input.f.sv
-f other.f
"""
_RESULTS = b"""\
<testsuites name="results"><testsuite name="all"><testcase name="a" classname="t" time="1.5">
<properties><property name="sim_time_stop" value="10.0"/></properties></testcase>
<testcase name="b"><failure message="wrong"/></testcase></testsuite></testsuites>
"""
_SUMMARY = b"""\
{"name": "a", "passed": true, "values_compared": 3, "clocks": 4, "failures": [{"kind": "x", "time_ns": 5}]}
"""


def _settings() -> dict[str, Form]:
    """Settings and lists that people write, and what runs leave and other commands read."""
    from assay.sim.attach.filelist import read_sources
    from assay.sim.attach.hints import read_hints
    from assay.sim.coverage.exclusions import FILE, read_exclusions
    from assay.sim.mutation.reviews import REVIEWED, read_reviews
    from assay.sim.run import read_results, read_summary
    from assay.tb.block import expand_sources

    def exclusions(path: Path) -> bool:
        with _beside(path, FILE) as root:
            read_exclusions(root)
        return True

    def listed(path: Path) -> bool:
        with _beside(path, Path("input.f")) as root:
            for name in ("input.f.sv", "other.sv"):
                (root / name).write_text("module m; endmodule\n", encoding="utf-8")
            (root / "other.f").write_text("other.sv\n", encoding="utf-8")
            try:
                read_sources([root / "input.f"])
            except AssayError:
                expand_sources(root, ("input.f",))
        return True

    def summary(path: Path) -> bool:
        with _beside(path, Path("summary.json")) as root:
            read_summary(root)
        return True

    root = Path(importlib.import_module("assay.tb").__file__ or "").parent
    reviews = {
        p.stem: p.read_bytes()[:4000].rpartition(b"\n[")[0] for p in sorted(REVIEWED.glob("*.toml"))[:2]
    }
    excluded = {"own": (root / "exclusions.toml").read_bytes()[:4000].rpartition(b"\n[[")[0]}
    text = ((1, changes.changed_text),)
    tree = ((4, changes.changed_json), (1, changes.changed_bytes))
    return {
        "hints": Form("toml", 1, {"all": _HINTS}, text, lambda path: bool(read_hints(path))),
        "reviews": Form("toml", 1, reviews, text, lambda path: bool(read_reviews(path))),
        "exclusions": Form("toml", 1, excluded, text, exclusions),
        "filelist": Form("f", 1, {"list": _LIST}, text, listed),
        "summary": Form("json", 0.5, {"run": _SUMMARY}, tree, summary),
        "results": Form("xml", 0.5, {"run": _RESULTS}, text, lambda path: bool(read_results(path))),
    }


@contextmanager
def _beside(path: Path, name: Path) -> Iterator[Path]:
    """A folder that holds a file under the name by which it is looked for."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / name).parent.mkdir(parents=True, exist_ok=True)
        (Path(folder) / name).write_bytes(path.read_bytes())
        yield Path(folder)
