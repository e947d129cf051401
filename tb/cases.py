# SPDX-License-Identifier: Apache-2.0
"""Cases: what a bench has played, as data that can be written, shrunk, kept and played again.

A case is a list of steps, dataclasses of the block, such as a job with all that it reads. Its file is JSON:

    {"format": "assay case 1", "block": "mvu", "parameters": {"Lanes": 8}, "seed": 1, ..., "steps": [...]}

In it a dataclass or a named tuple is a dictionary with its class's name as ``type``; an array is one with its dtype as
``array``, its ``shape``, and its ``values``, or those that are not 0 (``nonzero``, place in C order -> value), or its
bytes (``packed``: little-endian, deflated, base64). A file is data: reading it makes objects of the classes that the
block's `Cases` names, and of no others.
"""

from __future__ import annotations

import base64
import json
import os
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from assay.tb.errors import AssayError
from assay.tb.json_file import write_json
from assay.tb.shrinking import Pass, Search

T = TypeVar("T")

__all__ = [
    "Case",
    "Cases",
    "calmer",
    "each_step",
    "fewer_steps",
    "kept",
    "none_to_play",
    "nonzero_text",
    "read_case",
    "recorded",
    "to_play",
    "varied",
    "write_case",
]

FORMAT = "assay case 1"
RECORD = "ASSAY_RECORD"  #: environment variable: file into which a test writes the case that it plays
STEPS = "steps.json"  #: file of a failed run's folder, where a test that takes long has recorded in that run
CASE = "ASSAY_CASE"  #: environment variable: the case file that a test plays
FOLDER = "cases"  #: beside a block's declaration: its kept cases

_DTYPES = ("bool", *(f"{kind}{bits}" for bits in (8, 16, 32, 64) for kind in ("int", "uint")))
_SHOWN = 64  #: values of an array that are written as text, at most
_LARGEST = 1 << 26  #: elements of an array in a file


@dataclass(frozen=True)
class Case:
    """What a test played, and how it failed.

    Attributes:
        block: its name.
        parameters: all HDL parameters of the build.
        seed: of the run: it decides on stalls.
        simulator: on which it failed.
        steps: what is played, in order.
        defines: HDL macros of the build, beside the block's own.
        x_random: the build draws its initial state from the seed.
        check: how it failed: kind of the failure and where it was seen; empty: it did not, so far.
        message: the failure's sentence.
        origin: the command of the run that failed first.
    """

    block: str
    parameters: Mapping[str, Any]
    seed: int
    simulator: str
    steps: tuple[Any, ...]
    defines: Mapping[str, str] = field(default_factory=dict)
    x_random: bool = False
    check: str = ""
    message: str = ""
    origin: str = ""


class Cases:
    """What a block says of its cases.

    Attributes:
        types: classes of the steps and of what they hold.
    """

    types: tuple[type, ...] = ()

    def check(self, case: Case) -> None:
        """Refuse a case that cannot be played; any error will do."""
        raise NotImplementedError

    def passes(self) -> Iterable[Pass]:
        """What makes a case simpler, in this order."""
        raise NotImplementedError

    def describe(self, case: Case) -> list[str]:
        """The steps in the terms of network and hardware, lines for people."""
        raise NotImplementedError


# -------------------------------------------------------------------------------------------------
# Files
# -------------------------------------------------------------------------------------------------
def write_case(path: Path, case: Case) -> None:
    """Write a case's file, completely or not at all.

    Raises:
        OSError: it cannot be written.
    """
    write_json(path, as_json(case))


def as_json(case: Case) -> dict[str, Any]:
    """The content of a case's file."""
    return {"format": FORMAT, **{each.name: _encode(getattr(case, each.name)) for each in fields(case)}}


def read_case(path: Path, kind: Cases, block: str) -> Case:
    """Read a case's file and check that it can be played.

    Args:
        kind: the block's.
        block: name of the block that is to play it.

    Raises:
        AssayError: no such file, or no case of this block; names the file and what is wrong.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise AssayError(f"{path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise AssayError(f"{path}: no case, for it is not JSON that can be read: {error}") from None
    if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
        raise AssayError(f"{path}: no case: its format must be {FORMAT!r}")
    if content.get("block") != block:
        raise AssayError(f"{path}: a case of block {content.get('block')}, not of {block}")
    try:
        case = Case(**_decode(content, {each.__name__: each for each in kind.types}))
        int(case.seed)
        kind.check(case)
        kind.describe(case)  # else what people see of it would fail later
    except Exception as error:  # whatever its content brings about
        raise AssayError(f"{path}: cannot be played: {type(error).__name__}: {error}") from None
    return case


def kept(folder: Path) -> list[Path]:
    """The kept cases of the block whose declaration, or tests, stand in a folder, by name."""
    return sorted((folder / FOLDER).glob("*.json"))


def to_play(kind: Cases, block: str, tests: str) -> list[Case]:
    """What a block's test of cases plays: the case in CASE, else those of the kept ones that are for this build.

    Args:
        kind: the block's.
        block: its name.
        tests: file of its tests.

    Raises:
        AssayError: as `read_case`.
    """
    if os.environ.get(CASE):
        return [read_case(Path(os.environ[CASE]), kind, block)]
    parameters = json.loads(os.environ.get("ASSAY_PARAMS", "{}"))
    cases = (read_case(path, kind, block) for path in kept(Path(tests).parent))
    return [case for case in cases if dict(case.parameters) == parameters]


def none_to_play(tests: str) -> bool:
    """Whether a block's test of cases has nothing to do, so that it is to be skipped; `tests` as for `to_play`."""
    return not os.environ.get(CASE) and not kept(Path(tests).parent)


def recorded(step: object) -> Any:
    """A step as it is now, in the form of a file: what is changed later does not change it."""
    return _encode(step)


def _encode(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return _encode_array(value)
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if value is None or isinstance(value, (str, float)):
        return value
    if is_dataclass(value):
        return {"type": type(value).__name__} | {
            each.name: _encode(getattr(value, each.name)) for each in fields(value) if each.init
        }
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {"type": type(value).__name__} | {
            name: _encode(each) for name, each in value._asdict().items()
        }
    if isinstance(value, Mapping):
        if all(isinstance(key, str) for key in value) and not {"type", "array", "pairs"} & set(value):
            return {key: _encode(each) for key, each in value.items()}
        return {"pairs": [[_encode(key), _encode(each)] for key, each in value.items()]}
    if isinstance(value, (tuple, list)):
        return [_encode(each) for each in value]
    raise TypeError(f"a case cannot hold a {type(value).__name__}")


def _encode_array(array: np.ndarray) -> dict[str, Any]:
    described: dict[str, Any] = {"array": array.dtype.name, "shape": list(array.shape)}
    if array.size <= _SHOWN:
        return described | {"values": " ".join(str(int(each)) for each in array.reshape(-1))}
    places = np.flatnonzero(array)
    if len(places) <= _SHOWN:
        flat = array.reshape(-1)
        return described | {"nonzero": {str(place): int(flat[place]) for place in places}}
    content = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
    return described | {"packed": base64.b64encode(zlib.compress(content, 9)).decode()}


def _decode(value: Any, types: Mapping[str, type]) -> Any:
    if isinstance(value, list):
        return tuple(_decode(each, types) for each in value)
    if not isinstance(value, dict):
        return value
    if "type" in value:
        if value["type"] not in types:
            raise ValueError(f"type {value['type']!r} is none of {', '.join(types)}")
        return types[value["type"]](
            **{key: _decode(each, types) for key, each in value.items() if key != "type"}
        )
    if "array" in value:
        return _decode_array(value)
    if "pairs" in value:
        return {_decode(key, types): _decode(each, types) for key, each in value["pairs"]}
    return {key: _decode(each, types) for key, each in value.items()}


def _decode_array(value: Mapping[str, Any]) -> np.ndarray:
    if value["array"] not in _DTYPES:
        raise ValueError(f"array of {value['array']!r}: must be one of {', '.join(_DTYPES)}")
    dtype, shape = np.dtype(value["array"]), tuple(int(each) for each in value["shape"])
    size = 1
    for each in shape:
        size *= each
    if min(shape, default=0) < 0 or size > _LARGEST:
        raise ValueError(f"array of shape {list(shape)}: must have at most {_LARGEST} elements")
    if "values" in value:
        return np.array([int(word) for word in value["values"].split()], dtype).reshape(shape)
    if "nonzero" in value:
        flat = np.zeros(size, dtype)
        for place, each in value["nonzero"].items():
            flat[int(place)] = int(each)
        return flat.reshape(shape)
    content = zlib.decompressobj().decompress(base64.b64decode(value["packed"]), size * dtype.itemsize + 1)
    return np.frombuffer(content, dtype.newbyteorder("<")).astype(dtype).reshape(shape)


# -------------------------------------------------------------------------------------------------
# Passes that all cases share
# -------------------------------------------------------------------------------------------------
def varied(step: T, **values: Any) -> T:
    """`dataclasses.replace` for attributes whose names are worked out."""
    return replace(step, **values)  # type: ignore[type-var]


def fewer_steps(search: Search[Case]) -> None:
    """The last step alone, which most failures belong to; else as few as possible."""
    steps = search.best.steps
    if len(steps) > 1:
        search.accepts(lambda: replace(search.best, steps=steps[-1:]))
    search.leave_out(lambda case: case.steps, lambda case, rest: replace(case, steps=tuple(rest)), least=1)


def calmer(search: Search[Any], step: Callable[[Any], Any], made: Callable[[Any, Any], Any]) -> None:
    """No stalls for a step with ``stalls``, a mapping; else as few and as rare as possible. For `each_step`."""

    def stalled(case: Any, stalls: Any) -> Any:
        return made(case, varied(step(case), stalls=dict(stalls)))

    search.leave_out(lambda case: list(step(case).stalls.items()), stalled)
    for name in step(search.best).stalls:
        search.lower(
            lambda case, name=name: step(case).stalls[name],  # type: ignore[misc]
            lambda case, value, name=name: stalled(case, {**step(case).stalls, name: value}),  # type: ignore[misc]
        )


def each_step(
    simplify: Callable[[Search[Case], Callable[[Case], Any], Callable[[Case, Any], Case]], None],
) -> Pass:
    """A pass that simplifies one step after the other, the last one first.

    Args:
        simplify: called with the search, a function that gives the step of a case, and one that gives the case with
            another step in its place.
    """

    def simplified(search: Search[Case]) -> None:
        for number in reversed(range(len(search.best.steps))):

            def step(case: Case, number: int = number) -> Any:
                return case.steps[number]

            def made(case: Case, step: Any, number: int = number) -> Case:
                return replace(case, steps=(*case.steps[:number], step, *case.steps[number + 1 :]))

            simplify(search, step, made)

    return simplified


def nonzero_text(array: np.ndarray, most: int = 6) -> str:
    """The values of an array that are not 0, the first of them with their places: text for people."""
    places = np.argwhere(array)
    if not len(places):
        return f"{list(array.shape)}: all 0"
    if array.size > 1 and (array == array.flat[0]).all():
        return f"{list(array.shape)}: all {int(array.flat[0])}"
    shown = [
        f"[{','.join(map(str, place))}] = {int(array[tuple(place)])}" for place in places[:most].tolist()
    ]
    rest = f", {len(places) - most} more" if len(places) > most else ""
    return (
        f"{list(array.shape)}: {', '.join(shown)}{rest}; the others are 0"
        if len(places) < array.size
        else (f"{list(array.shape)}: {', '.join(shown)}{rest}")
    )
