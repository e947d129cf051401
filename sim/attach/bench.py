# SPDX-License-Identifier: Apache-2.0
"""The text of a new block's bench: a `StreamBench` with the block's ports."""

from __future__ import annotations

from collections.abc import Iterable

from assay.sim.attach.interfaces import Memory
from assay.sim.attach.naming import side_signals
from assay.sim.attach.plan import Plan
from assay.sim.attach.render import LIBRARY, dictionary, quoted
from assay.sim.attach.wiring import BenchMemory, BenchStream

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


def bench(plan: Plan) -> str:
    """``bench.py``: a `StreamBench` with the ports of the block."""
    wiring = plan.wiring
    imports = {"StreamBench"}
    body = [f'    """{plan.found.design.top} between random stalls: see `StreamBench`."""', ""]
    body.append(f'    toplevel = "{plan.name}"')
    body.append(f'    clock = "{wiring.clock}"')
    if wiring.resets:
        ((name, low),) = wiring.resets
        body += [f'    reset_pin = "{name}"', f"    reset_active_low = {low}"]
    else:
        body.append('    reset_pin = ""')
    frozen = _freezing(plan)
    if frozen:
        body.append(f'    enable = "{frozen}"')
    for title, into in (("inputs", True), ("outputs", False)):
        streams = [s for s in wiring.streams if s.stream.into is into]
        if streams:
            imports |= {"Port", "Field"}
            body += [
                f"    {title} = {{",
                *(line for s in streams for line in _port(plan, s, frozen)),
                "    }",
            ]
    memories = [line for m in plan.answered for line in _memory(m)]
    memories += [f'        "{port.name}": AxiMemoryPort("{port.name}", {AXI_BYTES}),' for port in plan.rams]
    imports |= ({"MemoryPort"} if plan.answered else set()) | ({"AxiMemoryPort"} if plan.rams else set())
    if memories:
        body += ["    memories = {", *memories, "    }"]
    buses = [line for m in wiring.memories if not m.memory.device_drives for line in _pin_port(m)]
    imports |= {"PinPort"} if buses else set()
    for port in plan.found.axis:
        if not port.device_is_manager:
            kind = "AxiLitePort" if port.lite else "AxiPort"
            imports.add(kind)
            buses.append(f'        "{port.name}": {kind}("{port.name}"),')
    if buses:
        body += ["    buses = {", *buses, "    }"]
    pins = {**wiring.pins, **_strobes(wiring.memories)}
    pins |= {name: 0 for role, name in wiring.control.items() if role == "start"}
    if pins:
        body.append(f"    pins = {dictionary(pins)}")
    body += ["", *_golden_method(plan)]
    if plan.pins:
        body += [
            "",
            "    def configure(self, **pins):",
            '        """Drive pins, while no beat is under way; the golden function gets their values, too."""',
            "        self.pins = {**self.pins, **pins}",
            "        self.set(**pins)",
        ]
    if plan.jobs:
        body += ["", *_job(plan)]
    head = [f'"""The bench of {plan.name}: its ports, and what the tests say of them."""', ""]
    if plan.rams:
        head.append("import numpy as np")
    if wiring.control.get("done"):
        head.append("import cocotb")
    head = [*head[:2], *sorted(head[2:], key=_import_order), *([""] if head[2:] else [])]
    head += [
        f"from {LIBRARY}.stream_bench import {', '.join(sorted(imports))}",
        "",
        "from .golden import golden",
    ]
    return "\n".join([*head, "", "", f"class {plan.bench}(StreamBench):", *body, ""])


def _import_order(line: str) -> tuple[bool, str]:
    return line.startswith("from"), line


def _freezing(plan: Plan) -> str:
    """The port that enables the whole pipeline; empty where there is none."""
    outputs = [s.stream for s in plan.wiring.streams if not s.stream.into]
    for stream in plan.wiring.streams:
        if stream.stream.into and stream.stream.style == "enable" and any(o.freezes for o in outputs):
            return stream.valid
    return ""


def _port(plan: Plan, stream: BenchStream, frozen: str) -> list[str]:
    kind, side = stream.stream, side_signals(stream)
    fields = []
    for t in plan.of(stream):
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
    idle = [quoted(stream.fields[name]) for name, role in side.items() if role == "idle"]
    if idle and kind.into:
        inner.append(f"idle=({', '.join(idle)}{',' if len(idle) == 1 else ''})")
    if not kind.into and not stream.valid:
        inner.append(f"latency={kind.latency}")
    if not kind.into and not stream.ready and plan.inputs and plan.found.clock:
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
    signals = f"            {dictionary(roles)},"
    if len(signals) > 100:
        inner = "".join(f"                {quoted(role)}: {quoted(name)},\n" for role, name in roles.items())
        signals = f"            {{\n{inner}            }},"
    items = [signals, *(f"            {option}," for option in options)]
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
    return [f'        "{port.memory.name}": PinPort({dictionary(roles)}{latency}),']


def _strobes(memories: Iterable[BenchMemory]) -> dict[str, int]:
    """Byte enables beside a write enable: the bench writes whole words."""
    return {
        m.roles["strobe"]: (1 << m.memory.roles["strobe"].width) - 1
        for m in memories
        if not m.memory.device_drives and "strobe" in m.roles and "write_enable" in m.roles
    }


def _golden_method(plan: Plan) -> list[str]:
    pins = ", pins=self.pins" if plan.pins else ""
    if not plan.jobs:
        return ["    def golden(self, **tensors):", f"        return golden(**tensors{pins})"]
    memories = ", memories=memories" if plan.answered or plan.rams else ""
    return [
        f"    def golden(self, {'memories, ' if memories else ''}**tensors):",
        f"        return golden(**tensors{memories}{pins})",
    ]


def _job(plan: Plan) -> list[str]:
    """A job: memories filled, the device started, beats moved, memories compared."""
    control = plan.wiring.control
    lines = [
        "    async def job(self, **tensors):",
        '        """One job, from filled memories to compared ones."""',
    ]
    memories = bool(plan.answered or plan.rams)
    if memories:
        lines.append("        memories = {}")
    if plan.answered:
        lines += [
            f"        for name in {tuple(m.memory.name for m in plan.answered)}:".replace("'", '"'),
            "            memory = self.memories[name]",
            '            words = [int.from_bytes(self.rng.bytes(64), "little") for _ in memory.words]',
            "            memory.load([word % (1 << memory.width) for word in words])",
            "            memories[name] = memory.read()",
        ]
    for port in plan.rams:
        lines += [
            f'        memories["{port.name}"] = self.rng.integers(0, 256, {AXI_BYTES}, np.uint8)',
            f'        self.memories["{port.name}"].load(memories["{port.name}"])',
        ]
    lines.append(f"        made = self.golden({'memories, ' if memories else ''}**tensors)")
    if plan.outputs:
        one = len(plan.outputs) == 1 and not plan.written
        if one:
            lines.append(f"        self.expect({plan.outputs[0].name}=made)")
        else:
            names = ", ".join(quoted(t.name) for t in plan.outputs)
            comma = "," if len(plan.outputs) == 1 else ""
            lines.append(f"        self.expect(**{{name: made[name] for name in ({names}{comma})}})")
    if control.get("done"):
        lines.append(f'        done = cocotb.start_soon(self.wait_for("{control["done"]}"))')
    if control.get("start"):
        lines.append(f'        await self.pulse("{control["start"]}")')
    if plan.inputs:
        lines.append("        await self.send(**tensors)")
    if control.get("done"):
        lines += ["        await done", "        await self.clocks(2)"]
    if plan.outputs:
        lines.append("        await self.drain()")
    elif not control.get("done"):
        lines.append("        await self.clocks(1000)  # nothing tells when the job is done")
    for name in plan.written:
        if name in [m.memory.name for m in plan.answered]:
            lines.append(f'        self.check("{name}", self.memories["{name}"].read(), made["{name}"])')
        else:
            seen = f'np.frombuffer(self.memories["{name}"].read(), np.uint8)'
            lines.append(f'        self.check("{name}", {seen}, made["{name}"])')
    return lines
