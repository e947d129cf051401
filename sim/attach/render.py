# SPDX-License-Identifier: Apache-2.0
"""The text of a new block's files: declaration, golden stub, tests, view. The bench is in :mod:`sim.attach.bench`."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

from assay import tb
from assay.sim.attach.filelist import FileList
from assay.sim.attach.naming import Tensor
from assay.sim.attach.plan import Plan
from assay.tb.block import expand_sources
from assay.tb.errors import AssayError

LIBRARY = tb.__name__
"""The package of Assay's benches, as the new files import it."""


def declaration(plan: Plan) -> str:
    """``block.py``."""
    design, wiring = plan.found.design, plan.wiring
    sources, includes, defines = _inputs(design.files, plan.root)
    if wiring.text:
        sources.append(f"tb/{plan.name}/{wiring.top}.sv")
    given = [p for p in design.parameters if p.given and not wiring.text]
    lines = [f'"""{plan.name}: {design.top} of {relative(design.file, plan.root)}, as it is."""', ""]
    if given:
        lines += ["from dataclasses import dataclass", ""]
        lines += [f"from {_golden()}.parameters import ParameterSet, parameter"]
    lines += [f"from {LIBRARY}.block import Block, Variant", ""]
    if given:
        lines += ["", "@dataclass(frozen=True)", "class Parameters(ParameterSet):"]
        lines += ['    """Of the RTL, each with the values that the bench has been tried with."""', ""]
        for p in given:
            field = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", p.name).lower()
            kind, value = type(p.value).__name__, repr(p.value)
            lines.append(f'    {field}: {kind} = parameter({value}, ({value},), "{p.name}", rtl="{p.name}")')
        lines.append("")
    lines += [
        "",
        "BLOCK = Block(",
        "    __name__,",
        f'    summary="{design.top}",',
        f'    hdl_top="{wiring.top}",',
    ]
    lines += _tuple("sources", sources)
    if includes:
        lines += _tuple("include_dirs", includes)
    if defines:
        lines.append(f"    defines={dictionary(defines)},")
    if given:
        lines.append("    parameters=Parameters,")
    if plan.only_verilator:
        lines.append(f"    # {plan.only_verilator}.")
        lines.append('    variants=(Variant("default", simulators=("verilator",)),),')
    else:
        lines.append('    variants=(Variant("default"),),')
    lines += _tuple("publish", [name for _, name in wiring.ports])
    return "\n".join([*lines, ")", ""])


def _inputs(files: FileList, root: Path) -> tuple[list[str], list[str], dict[str, str]]:
    """Sources, include folders and defines of the declaration: file lists stay where a declaration reads them alike."""
    entries = [relative(path, root) for path in files.entries]
    with contextlib.suppress(AssayError):
        read = expand_sources(root, entries)
        includes = [*files.own_includes, *read.include_dirs]
        if (read.files, includes, {**files.own_defines, **read.defines}) == (
            files.sources,
            files.includes,
            files.defines,
        ):
            return entries, [relative(path, root) for path in files.own_includes], files.own_defines
    expanded = [relative(path, root) for path in files.sources]
    return expanded, [relative(path, root) for path in files.includes], files.defines


def _golden() -> str:
    return LIBRARY.removesuffix("tb") + "golden"


def relative(path: Path | str, root: Path) -> str:
    """A path as the declaration names it: relative to the root unless nothing but ``/`` is common to both."""
    path = Path(path).resolve()
    common = os.path.commonpath([path, root])
    return str(path) if common == os.sep else os.path.relpath(path, root)


def _tuple(name: str, items: list[str]) -> list[str]:
    line = f"    {name}=({', '.join(quoted(item) for item in items)}{',' if len(items) == 1 else ''}),"
    if len(line) <= 100:
        return [line]
    return [f"    {name}=(", *(f"        {quoted(item)}," for item in items), "    ),"]


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def dictionary(items: dict[str, int] | dict[str, str]) -> str:
    """A dictionary as Python text; long numbers in hexadecimal."""

    def text(value: int | str) -> str:
        if isinstance(value, str):
            return quoted(value)
        return str(value) if value < 1 << 64 else hex(value)

    return f"{{{', '.join(f'{quoted(key)}: {text(value)}' for key, value in items.items())}}}"


def golden(plan: Plan) -> str:
    """``golden.py``: a function that is still to be written."""
    arguments = [t.name for t in plan.inputs]
    arguments += ["memories"] if plan.answered or plan.rams else []
    arguments += ["pins"] if plan.pins else []
    lines = [f'"""What {plan.name} computes, in numpy: the single source of truth of its tests."""', ""]
    lines += ["import numpy as np", "", ""]
    kinds = {"memories": "dict[str, np.ndarray]", "pins": "dict[str, int]"}
    typed = [f"{name}: {kinds.get(name, 'np.ndarray')}" for name in arguments]
    one = len(plan.outputs) == 1 and not plan.written
    head = f"def golden({', '.join(typed)}) -> {'np.ndarray' if one else 'dict[str, np.ndarray]'}:"
    if len(head) > 100:
        head = (
            head.replace("(", "(\n    ", 1)
            .replace(", ", ",\n    ", len(typed) - 1)
            .replace(") ->", ",\n) ->")
        )
    lines.append(head)
    lines.append(f'    """The outputs of {plan.found.design.top}.')
    lines += ["", *_arguments(plan), "", *_returns(plan), '    """']
    lines.append(
        f'    raise NotImplementedError("{plan.name}: the golden function is not written yet: golden.py")'
    )
    return "\n".join([*lines, ""])


def _arguments(plan: Plan) -> list[str]:
    if not (plan.inputs or plan.pins or plan.answered or plan.rams):
        return ["    It has no inputs."]
    lines = ["    Args:"]
    for t in plan.inputs:
        lines.append(f"        {t.name}: {_shape(t)} of {t.dtype}: port {t.port}.")
    if plan.answered or plan.rams:
        kinds = [f"{m.memory.name} (np.uint64 words)" for m in plan.answered]
        kinds += [f"{port.name} (np.uint8)" for port in plan.rams]
        lines.append(f"        memories: name to contents before the job: {', '.join(kinds)}.")
    if plan.pins:
        lines.append(f"        pins: name to value: {', '.join(plan.pins)}.")
    return lines


def _shape(tensor: Tensor) -> str:
    return f"[beats, {tensor.lanes}]" if tensor.lanes > 1 else "[beats]"


def _returns(plan: Plan) -> list[str]:
    items = [f"{t.name} {_shape(t)} of {t.dtype}" for t in plan.outputs]
    if not plan.written and len(items) == 1:
        return ["    Returns:", f"        {items[0]}."]
    items += [f"{name}, the whole memory after the job" for name in plan.written]
    lines = ["    Returns:", "        a dictionary:"]
    return (
        [*lines, *(f"        - {item}" for item in items)]
        if items
        else ["    Returns:", "        a dictionary."]
    )


def tests(plan: Plan) -> str:
    """``test_<name>.py``: the cocotb tests."""
    call = "job" if plan.jobs else "play"
    lines = [
        f'"""cocotb tests of {plan.name}: a test says what is played, the bench stalls and compares."""',
        "",
        f"from .bench import {plan.bench}",
        "",
        "",
    ]
    if plan.inputs:
        lines += [
            "def stimulus(bench, beats):",
            '    """Inputs of so many beats: all values that fit, the smallest and the largest more often."""',
            "    return {",
            *(f'        "{t.name}": bench.random("{t.name}", {_draw(t)}),' for t in plan.inputs),
            "    }",
            "",
            "",
        ]
    lines += [f"@{plan.bench}.test", "async def random_beats(self):"]
    configure = [f"        self.configure({_drawn_pins(plan)})"] if plan.pins and plan.jobs else []
    if plan.inputs:
        lines += [
            '    """Packets of many lengths; every port stalls at random."""',
            "    for beats in (1, 2, 3, 7, 40, 200):",
            *configure,
            f"        await self.{call}(**stimulus(self, beats))",
            "",
            "",
            f"@{plan.bench}.test",
            "async def full_rate(self):",
            '    """One long packet without stalls."""',
            "    self.stall(0)",
            f"    await self.{call}(**stimulus(self, self.pick(verilator=2000, icarus=300)))",
        ]
    else:
        lines += [
            '    """Several times; every port stalls at random."""',
            "    for _ in range(8):",
            *configure,
            f"        await self.{call}()",
        ]
    return "\n".join([*lines, ""])


def _drawn_pins(plan: Plan) -> str:
    widths = {s.name.replace(".", "_"): s.width for s in (p.signal for p in plan.found.pins)}
    return ", ".join(
        f"{name}=int(self.rng.integers(1 << {min(widths.get(name, 1), 62)}))" for name in plan.pins
    )


def _draw(tensor: Tensor) -> str:
    return f"(beats, {tensor.lanes})" if tensor.lanes > 1 else "(beats,)"


def view(plan: Plan) -> str:
    """``<name>.view``: the signals that a waveform viewer shows first."""
    wiring = plan.wiring
    lines = [
        f"# What a viewer shows first of {plan.name}. Paths are below {wiring.top}; a [Heading] starts a group."
    ]
    groups = {"Clock and reset": [wiring.clock, *(name for name, _ in wiring.resets)]}
    for stream in wiring.streams:
        way = "in" if stream.stream.into else "out"
        groups[f"Stream {stream.stream.name}, {way}"] = [
            name for name in (stream.valid, stream.ready, *stream.fields.values()) if name
        ]
    for memory in wiring.memories:
        groups[f"Memory {memory.memory.name}"] = list(memory.roles.values())
    for port in plan.found.axis:
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
    return f'''"""The cocotb tests of this repository's blocks: a pytest item for each variant, simulator and test."""

from pathlib import Path

import pytest

from {library}sim.regression import Item, items, simulate

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("item", items(ROOT), ids=str)
def test_rtl(item: Item, record_property) -> None:
    simulate(item, record_property)
'''
