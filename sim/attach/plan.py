# SPDX-License-Identifier: Apache-2.0
"""What the files of a new block are made of, once everything that a bench must know is known."""

from __future__ import annotations

import keyword
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from assay.sim.attach.interfaces import Recognised
from assay.sim.attach.naming import Tensor, tensors
from assay.sim.attach.recognise import fatal
from assay.sim.attach.streams import is_control
from assay.sim.attach.wiring import BenchStream, Wiring, wire
from assay.tb.errors import AssayError

_MOVES = frozenset(
    {"flush", "clear", "clr", "abort", "kill", "stop", "test", "testmode", "scan", "dft", "debug", "stall"}
)
"""Words of pins that do not take part in what a block computes."""


class Plan:
    """All that the files of a new block are made of.

    Args:
        name: of the block.
        found: all its ports.
        root: the repository.

    Attributes:
        inputs, outputs: tensors of the streams.
        answered: memories that the bench is; `rams`: AXI ports behind which it is one.
        written: names of those that the device writes.
        pins: configuration pins, which the golden function needs.
        jobs: a test starts the device and waits for its end; else beats move freely.
        bench: name of the bench's class.
        only_verilator: why Icarus is left out; empty where it is not.
    """

    def __init__(self, name: str, found: Recognised, root: Path) -> None:
        self.name = name
        self.found = found
        self.wiring = wire(found, name)
        self.root = root.resolve()
        self.only_verilator = self.wiring.icarus or _refused_by_icarus(found, self.wiring)
        self.tensors = tensors(self.wiring)
        self.inputs = [t for s in self.wiring.streams if s.stream.into for t in self.of(s)]
        self.outputs = [t for s in self.wiring.streams if not s.stream.into for t in self.of(s)]
        self.answered = [m for m in self.wiring.memories if m.memory.device_drives]
        self.written = [m.memory.name for m in self.answered if "write" in m.roles]
        self.rams = [port for port in self.found.axis if port.device_is_manager]
        self.written += [port.name for port in self.rams if "awvalid" in port.channels]
        self.pins = {name: value for name, value in self.wiring.pins.items() if self._configures(name)}
        self.jobs = bool(self.answered or self.rams or self.wiring.control.get("start"))
        self.bench = "".join(part.capitalize() for part in self.name.split("_")) + "Bench"

    def of(self, stream: BenchStream) -> list[Tensor]:
        """The tensors of a stream."""
        return self.tensors.get(stream.stream.name, [])

    def _configures(self, port: str) -> bool:
        """Whether a pin may change what the block computes: then the golden function needs its value."""
        pin = next(p for p in self.found.pins if p.signal.name.replace(".", "_").startswith(port.rstrip("_")))
        return pin.why in ("", "by hint") and not (
            is_control(pin.signal) and _MOVES.intersection(pin.signal.words)
        )


def check_name(name: str) -> None:
    """Refuse a name that cannot be a folder, a Python package and a SystemVerilog identifier at once."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise AssayError(
            f"NAME {name!r}: must be lower case letters, digits and _, beginning with a letter, no keyword"
        )


def make_plan(name: str, found: Recognised, root: Path) -> Plan:
    """What the files of the new block are made of.

    Raises:
        AssayError: something was not recognised that a bench must know; one line for each, with its hint.
    """
    doubts = fatal(found.doubts)
    if doubts:
        lines = [f"{d.signal.port.place}: port {d.signal.name} {d.text}; hint: {d.hint}" for d in doubts]
        raise AssayError(
            f"{found.design.top}: these ports need a hint (--hints FILE.toml):\n" + "\n".join(lines)
        )
    return Plan(name, found, root)


def _refused_by_icarus(found: Recognised, wiring: Wiring) -> str:
    """Why Icarus does not compile the design: its first error; empty if it does, or is not installed."""
    design = found.design
    if shutil.which("iverilog") is None:
        return ""
    with tempfile.TemporaryDirectory() as folder:
        sources = [str(path) for path in design.files.sources]
        if wiring.text:
            top = Path(folder) / f"{wiring.top}.sv"
            top.write_text(wiring.text, encoding="utf-8")
            sources.append(str(top))
        words = ["iverilog", "-g2012", "-t", "null", "-s", wiring.top]
        words += [f"-I{path}" for path in design.files.includes]
        words += [f"-D{name}={value}" for name, value in design.files.defines.items()]
        if not wiring.text:
            quoted = {
                p.name: f'"{p.value}"' if p.is_string else p.value for p in design.parameters if p.given
            }
            words += [f"-P{wiring.top}.{name}={value}" for name, value in quoted.items()]
        done = subprocess.run([*words, *sources], capture_output=True, text=True, timeout=120, check=False)
    if done.returncode == 0:
        return ""
    lines = [line for line in done.stderr.splitlines() if re.search(r"error|sorry", line)]
    first = re.sub(r"^\S*/", "", (lines or done.stderr.splitlines() or ["no message"])[0])
    return f"Icarus does not compile it: {first}"
