# SPDX-License-Identifier: Apache-2.0
"""The text of a new block's files: declaration, golden stub, bench, tests, view."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import tb
from sim.attach.interfaces import Axi, Memory, Recognised
from sim.attach.naming import Tensor, side_signals, tensors
from sim.attach.streams import is_control
from sim.attach.wiring import BenchMemory, BenchStream, Wiring

LIBRARY = tb.__name__
"""The package of Assay's benches, as the new files import it."""

MEMORY_WORDS = 4096
"""The largest memory that a new bench answers with, in words; the user changes it."""
AXI_BYTES = 1 << 16
CREDITS = 16
"""Beats of the buffer that a bench puts behind an output without ready."""

_DEVICE_READS = {
    "addr": "address",
    "read": "read_data",
    "write": "write_data",
    "write_enable": "write_enable",
    "strobe": "byte_enable",
    "enable": "request",
    "request_ready": "grant",
    "response_valid": "response_valid",
}
_BENCH_READS = {
    "addr": "address",
    "read": "read_data",
    "write": "write_data",
    "write_enable": "write_enable",
    "strobe": "write_enable",
    "enable": "select",
    "request_ready": "ready",
    "response_valid": "read_valid",
}


@dataclass
class Project:
    """All that the files of a new block are made of."""

    name: str
    found: Recognised
    wiring: Wiring
    root: Path
    icarus: str = ""
    """Why Icarus cannot run it; empty where it can."""

    def __post_init__(self) -> None:
        self.tensors = tensors(self.wiring)
        self.inputs = [t for s in self.wiring.streams if s.stream.into for t in self._of(s)]
        self.outputs = [t for s in self.wiring.streams if not s.stream.into for t in self._of(s)]
        self.memories = self.found.memories
        self.answered = [m for m in self.wiring.memories if m.memory.device_drives]
        self.written = [m.memory.name for m in self.answered if "write" in m.roles]
        self.rams = [port for port in self.found.axis if port.device_is_manager]
        self.written += [port.name for port in self.rams if "awvalid" in port.channels]
        self.pins = {name: value for name, value in self.wiring.pins.items() if self._configures(name)}
        self.jobs = bool(self.answered or self.rams or self.wiring.control.get("start"))
        self.bench = "".join(part.capitalize() for part in self.name.split("_")) + "Bench"

    @property
    def only_verilator(self) -> str:
        """Why Icarus is left out; empty where it is not."""
        return self.wiring.icarus or self.icarus

    def _of(self, stream: BenchStream) -> list[Tensor]:
        return self.tensors.get(stream.stream.name, [])

    def _configures(self, port: str) -> bool:
        """Whether a pin may change what the block computes: then the golden function needs its value."""
        pin = next(p for p in self.found.pins if p.signal.name.replace(".", "_").startswith(port.rstrip("_")))
        return pin.why in ("", "by hint") and not (
            is_control(pin.signal) and _MOVES.intersection(pin.signal.words)
        )


_MOVES = frozenset("flush clear clr abort kill stop test testmode scan dft debug stall".split())


def declaration(project: Project) -> str:
    """``block.py``."""
    design, wiring = project.found.design, project.wiring
    sources = [relative(path, project.root) for path in design.files.sources]
    if wiring.text:
        sources.append(f"tb/{project.name}/{wiring.top}.sv")
    given = [p for p in design.parameters if p.given and not wiring.text]
    lines = [f'"""{project.name}: {design.top} of {relative(design.file, project.root)}, as it is."""', ""]
    if given:
        lines += ["from dataclasses import dataclass", ""]
        lines += [f"from {_golden()}.parameters import ParameterSet, parameter"]
    lines += [f"from {LIBRARY}.block import Block, Variant", ""]
    if given:
        lines += ["", "@dataclass(frozen=True)", "class Parameters(ParameterSet):"]
        lines += ['    """Of the RTL, each with the values that the bench has been tried with."""', ""]
        for p in given:
            field = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", p.name).lower()
            lines.append(
                f'    {field}: {type(p.value).__name__} = parameter({p.value!r}, ({p.value!r},), "{p.name}", rtl="{p.name}")'
            )
        lines.append("")
    lines += [
        "",
        "BLOCK = Block(",
        "    __name__,",
        f'    summary="{design.top}",',
        f'    hdl_top="{wiring.top}",',
    ]
    lines += _tuple("sources", sources)
    if design.files.includes:
        lines += _tuple("include_dirs", [relative(path, project.root) for path in design.files.includes])
    if design.files.defines:
        lines.append(f"    defines={_dictionary(design.files.defines)},")
    if given:
        lines.append("    parameters=Parameters,")
    if project.only_verilator:
        lines.append(f"    # {project.only_verilator}.")
        lines.append('    variants=(Variant("default", simulators=("verilator",)),),')
    else:
        lines.append('    variants=(Variant("default"),),')
    lines += _tuple("publish", [name for _, name in wiring.ports])
    return "\n".join([*lines, ")", ""])


def _golden() -> str:
    return LIBRARY.removesuffix("tb") + "golden"


def relative(path: Path | str, root: Path) -> str:
    """A path as the declaration names it: relative to the root unless nothing but ``/`` is common to both."""
    path = Path(path).resolve()
    common = os.path.commonpath([path, root])
    return str(path) if common == os.sep else os.path.relpath(path, root)


def _tuple(name: str, items: list[str]) -> list[str]:
    line = f"    {name}=({', '.join(_quoted(item) for item in items)}{',' if len(items) == 1 else ''}),"
    if len(line) <= 100:
        return [line]
    return [f"    {name}=(", *(f"        {_quoted(item)}," for item in items), "    ),"]


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _dictionary(items: dict[str, object]) -> str:
    inner = ", ".join(
        f"{_quoted(key)}: {_quoted(value) if isinstance(value, str) else value}"
        for key, value in items.items()
    )
    return f"{{{inner}}}"


# ---------------------------------------------------------------------------------------------------------------------
# The golden function
# ---------------------------------------------------------------------------------------------------------------------
def golden(project: Project) -> str:
    """``golden.py``: a function that is still to be written."""
    arguments = [t.name for t in project.inputs]
    arguments += ["memories"] if project.answered or project.rams else []
    arguments += ["pins"] if project.pins else []
    lines = [f'"""What {project.name} computes, in numpy: the single source of truth of its tests."""', ""]
    lines += ["import numpy as np", "", ""]
    kinds = {"memories": "dict[str, np.ndarray]", "pins": "dict[str, int]"}
    typed = ", ".join(f"{name}: {kinds.get(name, 'np.ndarray')}" for name in arguments)
    one = len(project.outputs) == 1 and not project.written
    lines.append(f"def golden({typed}) -> {'np.ndarray' if one else 'dict[str, np.ndarray]'}:")
    lines.append(f'    """The outputs of {project.found.design.top}.')
    lines += ["", *_arguments(project), "", *_returns(project), '    """']
    lines.append(
        f'    raise NotImplementedError("{project.name}: the golden function is not written yet: golden.py")'
    )
    return "\n".join([*lines, ""])


def _arguments(project: Project) -> list[str]:
    if not (project.inputs or project.pins or project.answered or project.rams):
        return ["    It has no inputs."]
    lines = ["    Args:"]
    for t in project.inputs:
        lines.append(f"        {t.name}: {_shape(t)} of {t.dtype}, as np.int64: port {t.port}.")
    if project.answered or project.rams:
        kinds = [f"{m.memory.name} (np.uint64 words)" for m in project.answered]
        kinds += [f"{port.name} (np.uint8)" for port in project.rams]
        lines.append(f"        memories: name to contents before the job: {', '.join(kinds)}.")
    if project.pins:
        lines.append(f"        pins: name to value: {', '.join(project.pins)}.")
    return lines


def _shape(tensor: Tensor) -> str:
    return f"[beats, {tensor.lanes}]" if tensor.lanes > 1 else "[beats]"


def _returns(project: Project) -> list[str]:
    items = [f"{t.name} {_shape(t)} of {t.dtype}" for t in project.outputs]
    if not project.written and len(items) == 1:
        return ["    Returns:", f"        {items[0]}."]
    items += [f"{name}, the whole memory after the job" for name in project.written]
    lines = ["    Returns:", "        a dictionary:"]
    return (
        [*lines, *(f"        - {item}" for item in items)]
        if items
        else ["    Returns:", "        a dictionary."]
    )


# ---------------------------------------------------------------------------------------------------------------------
# The bench
# ---------------------------------------------------------------------------------------------------------------------
def bench(project: Project) -> str:
    """``bench.py``: a `StreamBench` with the ports of the block."""
    wiring = project.wiring
    imports = {"StreamBench"}
    body = [f'    """{project.found.design.top} between random stalls: see `StreamBench`."""', ""]
    body.append(f'    toplevel = "{project.name}"')
    body.append(f'    clock = "{wiring.clock}"')
    if wiring.resets:
        ((name, low),) = wiring.resets
        body += [f'    reset_pin = "{name}"', f"    reset_active_low = {low}"]
    else:
        body.append('    reset_pin = ""')
    frozen = _freezing(project)
    if frozen:
        body.append(f'    enable = "{frozen}"')
    for title, into in (("inputs", True), ("outputs", False)):
        streams = [s for s in wiring.streams if s.stream.into is into]
        if streams:
            imports |= {"Port", "Field"}
            body += [
                f"    {title} = {{",
                *(line for s in streams for line in _port(project, s, frozen)),
                "    }",
            ]
    if project.answered:
        imports.add("MemoryPort")
        body += ["    memories = {", *(line for m in project.answered for line in _memory(m)), "    }"]
    buses = [line for m in wiring.memories if not m.memory.device_drives for line in _pin_port(m)]
    imports |= {"PinPort"} if buses else set()
    lite = [port for port in project.found.axis if port.lite and not port.device_is_manager]
    imports |= {"AxiLitePort"} if lite else set()
    buses += [f'        "{port.name}": AxiLitePort("{port.name}"),' for port in lite]
    if buses:
        body += ["    buses = {", *buses, "    }"]
    pins = {**wiring.pins, **_strobes(wiring.memories)}
    pins |= {name: 0 for role, name in wiring.control.items() if role == "start"}
    if pins:
        body.append(f"    pins = {_dictionary(pins)}")
    body += ["", *_golden_method(project)]
    if project.pins:
        body += [
            "",
            "    def configure(self, **pins):",
            '        """Drive pins, while no beat is under way; the golden function gets their values, too."""',
            "        self.pins = {**self.pins, **pins}",
            "        self.set(**pins)",
        ]
    external = [port for port in project.found.axis if port not in lite]
    if external:
        body += ["", *_axi_agents(project, external)]
    if project.jobs:
        body += ["", *_job(project)]
    head = [f'"""The bench of {project.name}: its ports, and what the tests say of them."""', ""]
    names = sorted({name for port in external for name in _axi_classes(port)})
    if names:
        head += [f"from cocotbext.axi import {', '.join(names)}"]
    if project.jobs and (project.answered or project.rams):
        head.append("import numpy as np")
    if wiring.control.get("done"):
        head.append("import cocotb")
    head.sort(key=lambda line: not line.startswith('"""'))
    imported = [line for line in head[2:] if line] if len(head) > 2 else []
    head = head[:1] + ([""] + sorted(imported, key=_import_order) if imported else [])
    head += [
        "",
        f"from {LIBRARY}.stream_bench import {', '.join(sorted(imports))}",
        "",
        "from .golden import golden",
    ]
    return "\n".join([*head, "", "", f"class {project.bench}(StreamBench):", *body, ""])


def _import_order(line: str) -> tuple[bool, str]:
    return line.startswith("from"), line


def _freezing(project: Project) -> str:
    """The port that enables the whole pipeline; empty where there is none."""
    outputs = [s.stream for s in project.wiring.streams if not s.stream.into]
    for stream in project.wiring.streams:
        if stream.stream.into and stream.stream.style == "enable" and any(o.freezes for o in outputs):
            return stream.valid
    return ""


def _port(project: Project, stream: BenchStream, frozen: str) -> list[str]:
    kind, side = stream.stream, side_signals(stream)
    fields = []
    for t in project._of(stream):
        options = [f'"{t.port}"']
        options += [f"bits={t.bits}"] if t.bits else []
        options += ["signed=True"] if t.signed else []
        fields.append(f'"{t.name}": Field({", ".join(options)})')
    inner = [f"{{{', '.join(fields)}}}"]
    if len(inner[0]) > 80:
        inner = ["{\n" + "".join(f"                {f},\n" for f in fields) + "            }"]
    if stream.valid and stream.valid != frozen:
        inner.append(f'valid="{stream.valid}"')
    if stream.ready:
        inner.append(f'ready="{stream.ready}"')
    inner += [f'{role}="{stream.fields[name]}"' for name, role in side.items() if role in ("last", "keep")]
    idle = [_quoted(stream.fields[name]) for name, role in side.items() if role == "idle"]
    if idle and kind.into:
        inner.append(f"idle=({', '.join(idle)},)")
    if not kind.into and not stream.valid:
        inner.append(f"latency={kind.latency}")
    if not kind.into and not stream.ready and project.inputs and project.found.clock:
        inner.append(f"credits={CREDITS}")
    line = f'        "{kind.name}": Port({", ".join(inner)}),'
    if len(line) <= 100 and "\n" not in line:
        return [line]
    return [f'        "{kind.name}": Port(', *(f"            {item}," for item in inner), "        ),"]


def _memory(port: BenchMemory) -> list[str]:
    memory = port.memory
    roles = {}
    for role, name in port.roles.items():
        if role == "strobe" and "write_enable" not in port.roles:
            role = "write_enable"
        if role in _DEVICE_READS or role == "write_enable":
            roles[_DEVICE_READS[role]] = name
    address, data = memory.roles["addr"], memory.roles.get("read") or memory.roles["write"]
    options = [f"depth={min(1 << address.width, MEMORY_WORDS)}"]
    if "grant" in roles and "response_valid" not in roles:
        options.append("latency=0")  # the word comes with the grant
    elif memory.latency != 1:
        options.append(f"latency={memory.latency}")
    if byte_addresses(memory) and data.width > 8:
        options.append("byte_addresses=True")
    items = [f"            {_dictionary(roles)},", *(f"            {option}," for option in options)]
    return [f'        "{memory.name}": MemoryPort(', *items, "        ),"]


def byte_addresses(memory: Memory) -> bool:
    """Whether an address counts bytes: that of a processor's bus does, 32 bits wide and with strobes or read alone."""
    return memory.roles["addr"].width >= 32


def _pin_port(port: BenchMemory) -> list[str]:
    if port.memory.device_drives:
        return []
    roles: dict[str, str] = {}
    for role, name in port.roles.items():
        if role == "strobe" and "write_enable" in port.roles:
            continue
        if role in _BENCH_READS:
            roles[_BENCH_READS[role]] = name
    if "write_data" not in roles and "select" in roles:
        roles["read_enable"] = roles.pop("select")
    latency = "" if port.memory.latency == 1 else f", latency={port.memory.latency}"
    return [f'        "{port.memory.name}": PinPort({_dictionary(roles)}{latency}),']


def _strobes(memories: Iterable[BenchMemory]) -> dict[str, int]:
    """Byte enables beside a write enable: the bench writes whole words."""
    return {
        m.roles["strobe"]: (1 << m.memory.roles["strobe"].width) - 1
        for m in memories
        if not m.memory.device_drives and "strobe" in m.roles and "write_enable" in m.roles
    }


def _golden_method(project: Project) -> list[str]:
    pins = ", pins=self.pins" if project.pins else ""
    if not project.jobs:
        return ["    def golden(self, **tensors):", f"        return golden(**tensors{pins})"]
    memories = ", memories=memories" if project.answered or project.rams else ""
    return [
        f"    def golden(self, {'memories, ' if memories else ''}**tensors):",
        f"        return golden(**tensors{memories}{pins})",
    ]


def _axi_classes(port: Axi) -> tuple[str, str]:
    kind = "Lite" if port.lite else ""
    half = (
        ""
        if {"awvalid", "arvalid"} <= port.channels.keys()
        else "Write"
        if "awvalid" in port.channels
        else "Read"
    )
    return f"Axi{kind}{'Ram' if port.device_is_manager else 'Master'}{half}", f"Axi{kind}{half}Bus"


def _axi_agents(project: Project, ports: list[Axi]) -> list[str]:
    wiring = project.wiring
    reset = (
        f", self.dut.{wiring.resets[0][0]}, reset_active_level={not wiring.resets[0][1]}"
        if wiring.resets
        else ""
    )
    lines = [
        "    def end_of_elaboration_phase(self):",
        "        super().end_of_elaboration_phase()",
        "        self.axi = {",
    ]
    for port in ports:
        agent, bus = _axi_classes(port)
        size = f", size={AXI_BYTES}" if port.device_is_manager else ""
        lines.append(f'            "{port.name}": {agent}(')
        lines.append(
            f'                {bus}.from_prefix(self.dut, "{port.name}"), self.dut.{wiring.clock}{reset}{size}'
        )
        lines.append("            ),")
    return [*lines, "        }"]


def _job(project: Project) -> list[str]:
    """A job: memories filled, the device started, beats moved, memories compared."""
    control = project.wiring.control
    lines = [
        "    async def job(self, **tensors):",
        '        """One job, from filled memories to compared ones."""',
    ]
    memories = bool(project.answered or project.rams)
    if memories:
        lines.append("        memories = {}")
    if project.answered:
        lines += [
            "        for name, memory in self.memories.items():",
            '            drawn = [int.from_bytes(self.rng.bytes(memory.width // 8 + 1), "little") for _ in memory.words]',
            "            memory.load([word & ((1 << memory.width) - 1) for word in drawn])",
            "            memories[name] = memory.read()",
        ]
    for port in project.rams:
        lines += [
            f'        memories["{port.name}"] = self.rng.integers(0, 256, {AXI_BYTES}, np.uint8)',
            f'        self.axi["{port.name}"].write(0, memories["{port.name}"].tobytes())',
        ]
    lines.append(f"        made = self.golden({'memories, ' if memories else ''}**tensors)")
    if project.outputs:
        one = len(project.outputs) == 1 and not project.written
        if one:
            lines.append(f"        self.expect({project.outputs[0].name}=made)")
        else:
            names = ", ".join(_quoted(t.name) for t in project.outputs)
            lines.append(f"        self.expect(**{{name: made[name] for name in ({names},)}})")
    if control.get("done"):
        lines.append(f'        done = cocotb.start_soon(self.wait_for("{control["done"]}"))')
    if control.get("start"):
        lines.append(f'        await self.pulse("{control["start"]}")')
    if project.inputs:
        lines.append("        await self.send(**tensors)")
    if control.get("done"):
        lines += ["        await done", "        await self.clocks(2)"]
    if project.outputs:
        lines.append("        await self.drain()")
    elif not control.get("done"):
        lines.append("        await self.clocks(1000)  # nothing tells when the job is done")
    for name in project.written:
        if name in [m.memory.name for m in project.answered]:
            lines.append(f'        self.check("{name}", self.memories["{name}"].read(), made["{name}"])')
        else:
            seen = f'np.frombuffer(self.axi["{name}"].read(0, {AXI_BYTES}), np.uint8)'
            lines.append(f'        self.check("{name}", {seen}, made["{name}"])')
    return lines


# ---------------------------------------------------------------------------------------------------------------------
# Tests and view
# ---------------------------------------------------------------------------------------------------------------------
def tests(project: Project) -> str:
    """``test_<name>.py``: the cocotb tests."""
    call = "job" if project.jobs else "play"
    drawn = ", ".join(f'{t.name}=self.random("{t.name}", {_draw(t)})' for t in project.inputs)
    lines = [
        f'"""cocotb tests of {project.name}: a test says what is played, the bench stalls and compares."""',
        "",
    ]
    lines += [f"from .bench import {project.bench}", "", ""]
    lines += [f"@{project.bench}.test", "async def random_beats(self):"]
    if project.inputs:
        lines += [
            '    """Random values in packets of many lengths; every port stalls at random."""',
            "    for beats in (1, 2, 3, 7, 40, 200):",
            f"        await self.{call}({drawn})",
        ]
        lines += ["", "", f"@{project.bench}.test", "async def full_rate(self):"]
        lines += [
            '    """No stalls at all: one long packet."""',
            "    self.stall(0)",
            "    beats = self.pick(verilator=2000, icarus=300)",
            f"    await self.{call}({drawn})",
        ]
    else:
        lines += [
            '    """Several jobs; every port stalls at random."""',
            "    for _ in range(8):",
            *([f"        self.configure({_drawn_pins(project)})"] if project.pins else []),
            f"        await self.{call}()",
        ]
    return "\n".join([*lines, ""])


def _drawn_pins(project: Project) -> str:
    widths = {s.name.replace(".", "_"): s.width for s in (p.signal for p in project.found.pins)}
    return ", ".join(
        f"{name}=int(self.rng.integers(1 << {min(widths.get(name, 1), 62)}))" for name in project.pins
    )


def _draw(tensor: Tensor) -> str:
    return f"(beats, {tensor.lanes})" if tensor.lanes > 1 else "(beats,)"


def view(project: Project) -> str:
    """``<name>.view``: the signals that a waveform viewer shows first."""
    wiring = project.wiring
    lines = [
        f"# What a viewer shows first of {project.name}. Paths are below {wiring.top}; a [Heading] starts a group."
    ]
    groups = {"Clock and reset": [wiring.clock, *(name for name, _ in wiring.resets)]}
    for stream in wiring.streams:
        way = "in" if stream.stream.into else "out"
        groups[f"Stream {stream.stream.name}, {way}"] = [
            name for name in (stream.valid, stream.ready, *stream.fields.values()) if name
        ]
    for memory in wiring.memories:
        groups[f"Memory {memory.memory.name}"] = list(memory.roles.values())
    for port in project.found.axis:
        groups[f"AXI {port.name}"] = [f"{port.name}_{channel}" for channel in port.channels]
    groups["Control"] = list(wiring.control.values())
    groups["Pins and status"] = [*wiring.pins, *wiring.status]
    for title, names in groups.items():
        if names:
            lines += [f"[{title}]", *names, ""]
    return "\n".join(lines)


def regression() -> str:
    """The pytest module: every block of the repository, on every simulator."""
    library = LIBRARY.removesuffix("tb")
    return f'''"""The cocotb tests of this repository's blocks as pytest items, one for each variant, simulator and test."""

from pathlib import Path

import pytest

from {library}sim.regression import Item, items, simulate

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("item", items(ROOT), ids=str)
def test_rtl(item: Item, record_property) -> None:
    simulate(item, record_property)
'''
