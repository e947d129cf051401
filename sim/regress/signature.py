# SPDX-License-Identifier: Apache-2.0
"""What is alike in failures of one cause: a failed run as a small dictionary, from which buckets are made.

Numbers, hexadecimal words and the names of layers and jobs are left out, for they are the seed's. The keys, which are
texts where nothing else is said:

- ``block``; ``check``: the kind of the failure and the stream or rule at which it was seen, or the assertion's name;
- ``kind``: the failure's own (`tb.report`), or ``assertion``, ``bench``, ``crash``, ``timeout``, ``build``, ``lost``;
- ``module``: of the RTL that the bench or an assertion blames, several as ``a or b``; ``stage``: what of it;
- ``unit``: the kind of unit that is to blame, as ``MVU``, also where no module of it is known;
- ``stream``; ``fields``: of its beat that are unlike, a list;
- ``at``: lanes of the beat that are unlike, axis to list of numbers; ``place``: the same as a class, such as
  ``lane 3``, ``last row``, ``every second lane``; empty: no pattern in this run;
- ``also``: a list with ``check`` and ``module`` of the run's other failures, as one text each;
- ``planted``: true where the test plants a fault of its own;
- ``message``: for people; ``time_ns`` and ``clocks`` until the failure, numbers, -1: unknown.

A key without content is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from assay.sim.mutation.judge import CRASHED, FELL_OVER, KILLED, TIMED_OUT, judge
from assay.sim.run import Outcome
from assay.tb.report import headline

__all__ = ["ITSELF", "PLANTED", "normalised", "place_of", "signature", "signature_of_error"]

ITSELF = "itself"
"""The stage of a failure that is some unit's, of which no module is known."""

PLANTED = "the planted fault of "
"""So begins the message of a test that has not found its planted fault."""

_MESSAGE = 300  #: characters of a message that are kept
_ALSO = 4  #: other failures of a run that are kept
_MOST_LANES = 64  #: of an axis that are kept

_NAMES = re.compile(
    r"\b(layer|job|tile|play|tensor|network|program|node) "
    r"(?:of )?(?!(?:began|ended|has|had|is|was|of|the|a|does|did)\b)[^\s,;:]+"
)
_NUMBERS = re.compile(r"\b0x[0-9a-fA-F_]+|\b\d+(?:,\d{3})*(?:\.\d+)?\b|(?<=[A-Za-z_])\d+\b")
_MODULES = re.compile(r"\b[a-z][a-z0-9]*(?:_[a-z0-9]+)+\b")
_UNIT = re.compile(r"\b([A-Z]\w*|hart|unit|core) \d+\b")
_HDL_ERROR = re.compile(
    r"the HDL (?:raised an error|called \$stop)(?: at [\d,.]+ ns)?: (?P<file>\S+?):\d+(?:: (?P<text>.*))?"
)
_LANES = re.compile(r"\b(\w+)\[\(q\*(?P<rows>\d+) \+ r\)\*(?P<bits>\d+)\] is")
_ONE_BIT_LANES = re.compile(r"\b(\w+)\[i\] is")
_LANE = re.compile(r"\(lane (\d+)\)")
_KINDS = {FELL_OVER: "bench", CRASHED: "crash", TIMED_OUT: "timeout"}


def normalised(text: str) -> str:
    """A text without what changes from seed to seed: numbers become ``#``, names of layers, jobs and the like ``*``."""
    return _NUMBERS.sub("#", _NAMES.sub(r"\1 *", text.strip()))


def signature(outcome: Outcome) -> dict[str, Any]:
    """The signature of a failed run. Never raises: whatever a bench has left, the failure itself is told."""
    try:
        return _signature(outcome)
    except Exception as error:
        said = (
            "; ".join(outcome.problems) or f"its summary is not understood: {type(error).__name__}: {error}"
        )
        return {**signature_of_error(said), "block": outcome.job.block.name}


def signature_of_error(text: str) -> dict[str, Any]:
    """That of an item without a run to judge: HDL that does not compile, a time limit, a lost worker."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()] or ["no message"]
    # Of a compiler's output the first error says more than the line that announces it.
    telling = next((line for line in lines if re.search(r"%Error|\berror:", line)), lines[0])
    found = re.search(r"([\w./+-]+\.(?:svh?|vh?|py))\b", telling)
    kind = "error"
    for word, name in (("compile", "build"), ("did not end within", "timeout"), ("went away", "lost")):
        if word in text:
            kind = name
            break
    return _filled(
        {
            "kind": kind,
            "check": normalised(re.sub(r"(?:[\w.+-]*/)+", "", telling))[:_MESSAGE],
            "module": PurePosixPath(found[1]).stem if found and kind == "build" else "",
            "message": headline(telling)[0],
            "time_ns": -1,
            "clocks": -1,
        }
    )


def _signature(outcome: Outcome) -> dict[str, Any]:
    verdict = judge(outcome)
    told = [each for each in outcome.summary.get("failures") or [] if isinstance(each, Mapping)]
    # A fault that was planted may have hidden another one.
    failures = [each["found"] if isinstance(each.get("found"), Mapping) else each for each in told]
    # The first failure is nearest to the cause, unless a later one alone knows who is to blame.
    failure = next((each for each in failures if each.get("cause")), failures[0] if failures else {})
    common = {
        "block": outcome.job.block.name,
        "time_ns": -1 if outcome.failure_ns is None else outcome.failure_ns,
        "clocks": max(-1, int(failure.get("cycle", -1))),
        # The test has a fault of its own, which is no good to look at another one.
        "planted": any("found" in each or str(each.get("message")).startswith(PLANTED) for each in told),
    }
    assertions = [each for problem in outcome.problems for each in _HDL_ERROR.finditer(problem)]
    if assertions and verdict.state == KILLED:
        first = assertions[0]
        return _filled(
            {
                **common,
                "kind": "assertion",
                "check": verdict.check if verdict.check.startswith("assertion") else "assertion: $stop",
                "module": PurePosixPath(first["file"]).stem,
                "message": headline(first["text"] or first[0])[0],
                "also": [_brief(each) for each in failures[:_ALSO]],
            }
        )
    if not failure or verdict.state != KILLED:
        check = verdict.check or verdict.message.partition("\n")[0] or "failed without a word"
        if verdict.state == FELL_OVER:  # the place in the bench's code tells one fall from another
            found = re.search(r"\((\S+), line \d+, in (\S+)\)", verdict.message)
            check += f": {found[1]}, {found[2]}" if found else f": {verdict.message.partition(chr(10))[0]}"
        return _filled(
            {
                **common,
                "kind": _KINDS.get(verdict.state, "test"),
                "check": normalised(check)[:_MESSAGE],
                "stage": normalised(verdict.message.partition("\n")[0])[:_MESSAGE]
                if verdict.check == "test failed"
                else "",
                "message": headline(verdict.message or "; ".join(outcome.problems) or "no message")[0],
                "also": [_brief(each) for each in failures[:_ALSO]],
            }
        )
    kind = str(failure.get("kind") or "error")
    stream = normalised(str(failure.get("stream") or ""))
    module, stage, unit = _blame(str(failure.get("cause") or ""))
    fields, at, sizes = _unlike(failure)
    message = str(failure.get("message") or "no message")
    if not (module or stage or unit or fields):
        # Nothing but its sentence tells this failure from another one of its kind.
        stage = normalised(_sentence(message))[:_MESSAGE]
    if not unit and (found := _UNIT.search(message)):
        unit = found[1]
    return _filled(
        {
            **common,
            "kind": kind,
            "check": f"{kind}: {stream}" if stream else kind,
            "module": module,
            "stage": stage,
            "unit": unit,
            "stream": stream,
            "fields": fields,
            "at": at,
            "place": place_of(at, sizes),
            "message": (str(failure.get("headline") or "") or headline(message)[0])[:_MESSAGE],
            "also": [_brief(each) for each in failures if each is not failure][:_ALSO],
        }
    )


def _filled(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not False and value not in ("", [], {})}


def _sentence(message: str) -> str:
    """The part of a message that is not the seed's: its first line up to what it found."""
    return re.split(r"; |: expected|, expected", message.partition("\n")[0])[0]


def _brief(failure: Mapping[str, Any]) -> str:
    """A failure as `also` holds it."""
    stream = normalised(str(failure.get("stream") or ""))
    check = f"{failure.get('kind')}: {stream}" if stream else str(failure.get("kind"))
    module = _blame(str(failure.get("cause") or ""))[0]
    return f"{check}; {module}" if module else check


def _blame(cause: str) -> tuple[str, str, str]:
    """Module, stage and unit that a cause names, as ``mvu_post of MVU 3, as if there were no bias``.

    A cause that names nothing but a unit (``MVU 3 itself: ...``) gives the unit, and `ITSELF` as the stage. One that
    names no module gives its beginning as the module: it is what the bench blames.
    """
    if not cause:
        return "", "", ""
    head, _, rest = re.sub(r", as if ", ": as if ", cause, count=1).partition(": ")
    found = _UNIT.search(head)
    unit = found[1] if found else ""
    names = list(dict.fromkeys(_MODULES.findall(re.sub(r"\([^)]*\)", "", head))))
    if names:
        return " or ".join(names), normalised(rest)[:_MESSAGE], unit
    if head.endswith(" itself"):
        return "", ITSELF, unit
    return normalised(head)[:_MESSAGE], normalised(rest)[:_MESSAGE], unit


def _unlike(failure: Mapping[str, Any]) -> tuple[list[str], dict[str, list[int]], dict[str, int]]:
    """The unlike fields of a beat, the lanes of them by axis, and how long each axis is."""
    expected, seen = (_beat(str(failure.get(key) or "")) for key in ("expected", "seen"))
    unlike = {name: value ^ seen[name][0] for name, (value, _) in expected.items() if name in seen}
    fields = [name for name, bits in unlike.items() if bits]
    where = str(failure.get("where") or "")
    if (found := _LANES.search(where)) and unlike.get(found[1]):
        rows, bits = int(found["rows"]), int(found["bits"])
        lanes = _lanes(unlike[found[1]], bits)
        entries = max(1, -(-expected[found[1]][1] // (rows * bits)))
        at = {
            "row": sorted({lane % rows for lane in lanes}),
            "entry": sorted({lane // rows for lane in lanes}),
        }
        return fields, at, {"row": rows, "entry": entries}
    if (found := _ONE_BIT_LANES.search(where)) and unlike.get(found[1]):
        return fields, {"lane": _lanes(unlike[found[1]], 1)[:_MOST_LANES]}, {"lane": expected[found[1]][1]}
    if found := _LANE.search(where):
        return fields, {"lane": [int(found[1])]}, {}
    return fields, {}, {}


def _beat(text: str) -> dict[str, tuple[int, int]]:
    """Field to its value and its width in bits, of a beat as ``data=0x20 addr=0x0400``."""
    found = re.finditer(r"(\w+)=0x([0-9a-f]+)", text)
    return {each[1]: (int(each[2], 16), 4 * len(each[2])) for each in found}


def _lanes(unlike: int, bits: int) -> list[int]:
    """The lanes of so many bits that have a bit set."""
    return list(dict.fromkeys(at // bits for at in _bits(unlike)))


def _bits(number: int) -> Iterator[int]:
    while number:
        lowest = number & -number
        yield lowest.bit_length() - 1
        number ^= lowest


def place_of(at: Mapping[str, Sequence[int]], sizes: Mapping[str, int]) -> str:
    """Numbers along axes as a class, such as ``row 2``, ``last lane`` or ``every second lane``.

    Args:
        at: axis to its numbers, ascending.
        sizes: axis to its length, where that is known.
    """
    said = []
    for axis, numbers in at.items():
        size = sizes.get(axis, 0)
        step = numbers[1] - numbers[0] if len(numbers) > 1 else 0
        if size == 1 or not numbers:
            continue
        if len(numbers) == 1:
            said.append(f"last {axis}" if size and numbers[0] == size - 1 else f"{axis} {numbers[0]}")
        elif _is_comb(numbers, size):
            words = {2: "second", 3: "third", 4: "fourth"}
            said.append(f"every {words.get(step, f'{step}th')} {axis}")
    return ", ".join(said)


def _is_comb(numbers: Sequence[int], size: int) -> bool:
    """Whether these are every second one of so many, every third, and so on."""
    if len(numbers) < 3:
        return False
    step = numbers[1] - numbers[0]
    whole = numbers[0] < step and size - numbers[-1] <= step
    return step > 1 and whole and list(numbers) == list(range(numbers[0], numbers[-1] + 1, step))
