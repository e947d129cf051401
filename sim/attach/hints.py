# SPDX-License-Identifier: Apache-2.0
"""Hints: a TOML file in which a user names what the ports' names do not tell.

clock = "ck"                       # or a list
reset = "init_b"                   # or a list
reset_active_low = true            # if the name does not tell
ignore = ["scan_in"]               # an input stays 0, an output is not looked at

[stream.in]                        # the name is free; `direction` is needed only where no port tells it
valid = "strobe"
ready = "go_on"
fields = ["x", "w"]                # payload; left out: the ports that bear the same words as the valid
[stream.out]
latency = 3                        # clocks from an input's beat to the output's beat, for an output without valid
freezes = false                    # an enable marks a beat; by default it stops the whole pipeline, so that the
                                   # latency counts enabled clocks

[memory.weights]
addr = "wa"
read = "wq"                        # also: write, enable, write_enable, strobe, request_ready, response_valid
active_low = ["enable"]
latency = 2                        # clocks from the address to the data read, without response_valid

[control]
start = "kick"                     # also: done, ready, idle

[pins]
mode = 3                           # the value of an input that the bench holds
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.tb.errors import AssayError, unknown
from assay.tb.text_file import read_text, toml_in

if TYPE_CHECKING:  # the command's help shows this module's text, and slang takes its time to load
    from assay.sim.attach.interfaces import Signal
    from assay.sim.attach.pool import Pool

_STREAM = {"direction": str, "valid": str, "ready": str, "fields": list, "latency": int, "freezes": bool}
MEMORY_ROLES = (
    "addr",
    "read",
    "write",
    "enable",
    "write_enable",
    "strobe",
    "request_ready",
    "response_valid",
)
_MEMORY = {**dict.fromkeys(MEMORY_ROLES, str), "active_low": list, "latency": int}
CONTROL_ROLES = ("start", "done", "ready", "idle")
_NAMES = (str, list)


@dataclass
class Hints:
    """What a file of hints says, checked as far as it can be without the design."""

    path: str = ""
    text: str = ""
    clock: list[str] = field(default_factory=list)
    reset: list[str] = field(default_factory=list)
    reset_active_low: bool | None = None
    ignore: list[str] = field(default_factory=list)
    stream: dict[str, dict[str, Any]] = field(default_factory=dict)
    memory: dict[str, dict[str, Any]] = field(default_factory=dict)
    control: dict[str, str] = field(default_factory=dict)
    pins: dict[str, int] = field(default_factory=dict)

    def place(self, word: str) -> str:
        """File and line in which a word stands, for messages."""
        if not self.path:
            return "the command line"
        for number, line in enumerate(self.text.splitlines(), 1):
            if re.search(rf"(?<!\w){re.escape(word)}(?!\w)", line.partition("#")[0]):
                return f"{self.path}:{number}"
        return self.path

    def signal(self, pool: Pool, name: str, what: str) -> Signal:
        """The signal that a hint names.

        Raises:
            AssayError: there is none, or another hint has it already.
        """
        if name not in pool.all:
            raise AssayError(f"{self.place(name)}: {what}: {unknown('port', name, pool.all)}")
        signal = pool.all[name]
        if signal not in pool and signal.direction != "output":  # two streams may look at one output
            raise AssayError(f"{self.place(name)}: {what}: port {name} is named by two hints")
        return signal


def read_hints(path: Path | None) -> Hints:
    """Read a file of hints; without a path, no hints.

    Raises:
        AssayError: it is not TOML, or holds an unknown key or a value of the wrong kind; the message names the line.
    """
    if path is None:
        return Hints()
    text = read_text(path, f"--hints {path}")
    table = toml_in(text, str(path))
    hints = Hints(str(path), text)
    allowed = ("clock", "reset", "reset_active_low", "ignore", "stream", "memory", "control", "pins")
    _check_keys(hints, "", table, allowed)
    hints.clock = _names(hints, "clock", table.get("clock", []))
    hints.reset = _names(hints, "reset", table.get("reset", []))
    hints.ignore = _names(hints, "ignore", table.get("ignore", []))
    if "reset_active_low" in table:
        hints.reset_active_low = _typed(hints, "reset_active_low", table["reset_active_low"], bool)
    for kind, rows in (("stream", _STREAM), ("memory", _MEMORY)):
        for name, section in _typed(hints, kind, table.get(kind, {}), dict).items():
            where = f"{kind}.{name}"
            if not re.fullmatch(r"[a-z]\w*", name):
                raise AssayError(
                    f"{hints.place(name)}: [{where}]: a name is lower case letters, digits and _"
                )
            _check_keys(hints, where, _typed(hints, name, section, dict), rows)
            for key, value in section.items():
                section[key] = _typed(hints, f"{where}.{key}", value, rows[key])
            getattr(hints, kind)[name] = section
    if hints.stream and any(s.get("direction", "in") not in ("in", "out") for s in hints.stream.values()):
        raise AssayError(f'{hints.place("direction")}: direction must be "in" (to the device) or "out"')
    hints.control = _typed(hints, "control", table.get("control", {}), dict)
    _check_keys(hints, "control", hints.control, CONTROL_ROLES)
    hints.pins = _typed(hints, "pins", table.get("pins", {}), dict)
    for name, value in hints.pins.items():
        _typed(hints, f"pins.{name}", value, int)
    return hints


def _check_keys(hints: Hints, where: str, table: dict[str, Any], allowed: Any) -> None:
    for key in table:
        if key not in allowed:
            kind = f"hint in [{where}]" if where else "hint"
            raise AssayError(f"{hints.place(key)}: {unknown(kind, key, allowed)}")


def _typed(hints: Hints, where: str, value: Any, kind: type) -> Any:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        names = {
            str: "a string",
            int: "a whole number",
            bool: "true or false",
            list: "a list",
            dict: "a table",
        }
        raise AssayError(f"{hints.place(where.split('.')[-1])}: {where} = {value!r} must be {names[kind]}")
    if isinstance(value, list) and not all(isinstance(item, str) for item in value):
        raise AssayError(f"{hints.place(where.split('.')[-1])}: {where} must be a list of names")
    return value


def _names(hints: Hints, key: str, value: Any) -> list[str]:
    return [value] if isinstance(value, str) else _typed(hints, key, value, list)
