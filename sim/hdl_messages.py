# SPDX-License-Identifier: Apache-2.0
"""What the HDL itself says in a simulator's output: its errors, and who ended the simulation."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from assay.tb.block import Block

__all__ = ["HdlError", "HdlMessages"]

_ERROR = re.compile(r"(?:\[(?P<ps>\d+)\] %(?:Error|Fatal)|(?:ERROR|FATAL)): (?P<place>.*?:\d+): (?P<text>.*)")
"""``$error`` and ``$fatal`` as Verilator (with the time in ps) and as Icarus print them."""

_ICARUS_TIME = re.compile(r" +Time: (?P<ps>\d+) +Scope: (?P<scope>\S+)")
"""The line that Icarus prints after them."""

_SCOPE = re.compile(r"Assertion failed in (?P<scope>\S+): ")
"""What Verilator puts before the text."""

_ENDED = re.compile(r"(?:-|-Info:) (?P<place>\S.*:\d+): Verilog (?P<task>\$finish|\$stop)\b")
"""``$finish`` and ``$stop`` as Verilator prints them; those of the program itself have no file."""

STOP = "$stop"
"""The text of the error that a ``$stop`` is."""

_ICARUS_STOP = "** VVP Stop(0) **"
_ICARUS_NOW = re.compile(r"\*\* Current simulation time is (?P<ps>\d+) ticks")

_NAMED = 3
"""Places that a message lists at most."""


@dataclass(frozen=True)
class HdlError:
    """An error that the HDL raised.

    Attributes:
        place: file and line.
        text: of its message.
        ns: simulation time; None: unknown.
        scope: the instance; empty: unknown, or named by the text.
    """

    place: str
    text: str
    ns: float | None = None
    scope: str = ""

    def __str__(self) -> str:
        when = "" if self.ns is None else f" at {self.ns:,.0f} ns"
        where = f"\nin {self.scope}" if self.scope else ""
        said = "called $stop" if self.text == STOP else "raised an error"
        return f"the HDL {said}{when}: {self.place}{'' if self.text == STOP else f': {self.text}'}{where}"


class HdlMessages:
    """Reads a simulator's output line by line.

    Args:
        block: that is simulated.

    Attributes:
        errors: in the order they were raised; a ``$stop`` is one.
    """

    def __init__(self, block: Block) -> None:
        self._block = block
        self._finished = ""  # the place of a $finish
        self._open: str = ""  # what the next line of Icarus tells more of
        self.errors: list[HdlError] = []

    def read(self, line: str) -> None:
        """A line of the output."""
        if found := _ERROR.match(line):
            ps, text = found["ps"], found["text"]
            scope = ""
            if before := _SCOPE.match(text):
                scope, text = before["scope"], text[before.end() :]
            error = HdlError(self._place(found["place"]), text, int(ps) / 1000 if ps else None, scope)
            self.errors.append(_tidy(error))
            self._open = "" if ps else "error"
        elif self._open == "error" and (found := _ICARUS_TIME.match(line)):
            last = self.errors[-1]
            self.errors[-1] = _tidy(HdlError(last.place, last.text, int(found["ps"]) / 1000, found["scope"]))
            self._open = ""
        elif found := _ENDED.match(line):
            place = self._place(found["place"])
            if found["task"] == "$finish":
                self._finished = place
            elif all(place != error.place for error in self.errors):  # else it is an $error's own
                self.errors.append(HdlError(place, STOP))
        elif line.startswith(_ICARUS_STOP):
            self._open = "stop"
        elif self._open == "stop" and (found := _ICARUS_NOW.match(line)):
            self._open = ""
            if not any(error.text == STOP for error in self.errors):
                places = _listed(self._statements(STOP))
                self.errors.append(HdlError(places or "in the HDL", STOP, int(found["ps"]) / 1000))

    def why_it_ended(self) -> list[str]:
        """Who ended the simulation before its tests, as a sentence; empty: nobody is known to have."""
        if self._finished:
            return [f"the HDL ended the simulation: {self._finished}: $finish"]
        places = _listed(self._statements("$finish"))
        return [f"the HDL ended the simulation, perhaps with this $finish: {places}"] if places else []

    def _place(self, place: str) -> str:
        """File and line with the path from the block's root, as far as it is known."""
        name, _, line = place.rpartition(":")
        files = [path for path in self._block.source_files() if path.name == Path(name).name]
        if len(files) != 1:
            return place
        path = files[0]
        return (
            f"{path.relative_to(self._block.root) if path.is_relative_to(self._block.root) else path}:{line}"
        )

    def _statements(self, task: str) -> list[str]:
        """The places where the sources call a system task."""
        found = []
        for path in self._block.source_files():
            for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
                if re.search(re.escape(task) + r"\b", line.partition("//")[0]):
                    found.append(self._place(f"{path}:{number}"))
        return found


def _tidy(error: HdlError) -> HdlError:
    """Without what stands there twice: the scope and the time in the text."""
    text = error.text
    if error.ns is not None:
        text = re.sub(rf" at {error.ns:.0f} ?ns\b", "", text)
    if error.scope:
        text = text.replace(f" in {error.scope}", "")
    return HdlError(error.place, text, error.ns, error.scope)


def _listed(places: Sequence[str]) -> str:
    more = len(places) - _NAMED
    return ", ".join(places[:_NAMED]) + (f" and {more} more" if more > 0 else "")
