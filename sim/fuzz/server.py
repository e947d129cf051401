# SPDX-License-Identifier: Apache-2.0
"""The process that reads changed files, one after the other, under limits of time and memory.

    python -m assay.sim.fuzz.server MEGABYTES SECONDS FOLDER

It imports everything once, says ``ready``, and then answers each request: a line of JSON with ``form`` and ``size``,
followed by the file's bytes. The answer is a line of JSON, an `Answer`. A crash of the process is an answer, too; its
place stands in the folder's ``crash.txt``.
"""

from __future__ import annotations

import faulthandler
import json
import os
import resource
import signal
import sys
import traceback
import warnings
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

PACKAGES = ("golden", "vectors", "tb", "sim")

LONGEST = 2000
"""Characters of a message."""

CRASH = "crash.txt"


@dataclass(frozen=True)
class Answer:
    """What came of a file.

    Attributes:
        outcome: "value", "refused", or "finding".
        kind: of a finding: the exception, "hang", or the signal that ended the process.
        place: of a finding: file and line of Assay's in which it was raised.
        message, trace: of a finding.
    """

    outcome: str
    kind: str = ""
    place: str = ""
    message: str = ""
    trace: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """Findings with the same one are the same."""
        return self.kind, self.place


class Hang(BaseException):
    """A file took longer than it may; no handler of errors takes this for one of them."""


def main(memory: int, limit: float, folder: Path) -> None:
    """Serve until the input ends."""
    requests, answers = os.fdopen(0, "rb"), os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what a reader prints is no answer
    with (folder / CRASH).open("w") as crash:
        faulthandler.enable(crash)
        from assay.sim.fuzz.forms import forms

        known = forms()
        resource.setrlimit(resource.RLIMIT_AS, (memory << 20, memory << 20))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(signal.SIGALRM, partial(_hung, limit))
        warnings.simplefilter("error")
        print("ready", file=answers, flush=True)
        while line := requests.readline():
            asked = json.loads(line)
            path = folder / f"input.{known[asked['form']].suffix}"
            path.write_bytes(requests.read(asked["size"]))
            answer = judged(partial(known[asked["form"]].read, path), limit)
            print(json.dumps(asdict(answer)), file=answers, flush=True)


def judged(read: Any, limit: float) -> Answer:
    """Read a file and judge what comes of it."""
    from assay.golden.errors import GoldenError
    from assay.tb.errors import AssayError

    signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        value = read()
        signal.setitimer(signal.ITIMER_REAL, 0)
        return Answer("value" if value else "refused")
    except (GoldenError, AssayError) as error:
        signal.setitimer(signal.ITIMER_REAL, 0)
        message = str(error)
        if not message:
            return _finding(error, "empty message")
        if isinstance(error, GoldenError) and ("\n" in message or len(message) >= LONGEST):
            return _finding(error, "message of several lines" if "\n" in message else "message without end")
        return Answer("refused")
    except Hang as error:
        return _finding(error, "hang")
    except BaseException as error:
        signal.setitimer(signal.ITIMER_REAL, 0)
        return _finding(error, type(error).__name__)


def _finding(error: BaseException, kind: str) -> Answer:
    frames = traceback.extract_tb(error.__traceback__)
    trace = "".join(traceback.format_exception(error))
    text = (str(error) or type(error).__name__)[:500]
    return Answer(
        "finding", kind, place_of([(f.filename, f.lineno or 0) for f in frames]), text, trace[-8000:]
    )


def place_of(frames: list[tuple[str, int]]) -> str:
    """The innermost of the places, outermost first, that is Assay's, this package apart."""
    root = Path(__file__).resolve().parents[2]
    for name, line in reversed(frames):
        path = Path(os.path.realpath(name))
        if path.is_relative_to(root) and "tests" not in path.parts:
            part = path.relative_to(root)
            if part.parts[0] in PACKAGES and path.parent != Path(__file__).resolve().parent:
                return f"{part}:{line}"
    return "outside of Assay"


def _hung(limit: float, number: int, frame: Any) -> None:
    raise Hang(f"longer than {limit:g} s")


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3]))
