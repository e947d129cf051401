# SPDX-License-Identifier: Apache-2.0
"""Synthesis without a library: ``make synth``, ``python -m sim synth``.

Yosys reads a block's RTL as a synthesis tool sees it, without assertions, and maps it to gates of two inputs. Printed
and compared with the block's baseline, ``synth.json`` beside its declaration: the area, gates, flip-flops and memory
bits of each module, and its longest path of logic. What no design may become is an error (:mod:`.findings`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path as File
from typing import Any

from assay.sim import outputs, shown
from assay.sim.blocks import find_block
from assay.sim.synth.findings import find, of_source
from assay.sim.synth.mapping import Elaborated, elaborate, keys, to_gates
from assay.sim.synth.netlist import (
    TRANSISTORS,
    TRANSISTORS_OF_FLIP_FLOP,
    TRANSISTORS_OF_NAND,
    Instance,
    Memory,
    Module,
    Path,
    Paths,
)
from assay.sim.yosys import check_installed, version
from assay.tb.block import Block, Synth
from assay.tb.errors import AssayError
from assay.tb.json_file import write_json

BASELINE = "synth.json"

Announce = Callable[[str], None]


@dataclass(frozen=True)
class Figures:
    """What a module becomes, without the modules inside it.

    Attributes:
        module: its name in the source.
        instances: how many there are of the same content.
        area: of gates and flip-flops, in NAND gates of two inputs, by their transistors; RAMs are not counted.
        gates: of two inputs, multiplexers among them.
        flip_flops: bits of registers, those of arrays that are no RAM among them.
        memory_bits: of RAMs.
        levels: gates on the longest path between its registers, its ports and those of the modules inside.
    """

    module: str
    instances: int
    area: int
    gates: int
    flip_flops: int
    memory_bits: int
    levels: int

    @classmethod
    def of(cls, instance: Instance, module: str, instances: int) -> Figures:
        counted = instance.module
        flip_flops = sum(len(cell.pins["Q"]) for cell in counted.cells if cell.is_flip_flop)
        gates = [cell for cell in counted.cells if cell.is_gate]
        transistors = sum(TRANSISTORS[cell.type] for cell in gates) + TRANSISTORS_OF_FLIP_FLOP * flip_flops
        return cls(
            module,
            instances,
            round(transistors / TRANSISTORS_OF_NAND),
            len(gates),
            flip_flops,
            sum(Memory.of(cell).bits for cell in counted.cells if cell.is_memory),
            Paths(whole=False).longest(instance).levels,
        )


@dataclass(frozen=True)
class Result:
    """What a block becomes.

    Attributes:
        modules: place in the hierarchy -> figures; modules of the same content stand at the first of their places.
        path: the longest of the whole block, through all modules.
        content: hash of the RTL and of how it is mapped: the same hash has the same figures.
    """

    modules: Mapping[str, Figures]
    path: Path
    content: str

    @classmethod
    def of(cls, design: Elaborated, gates: Mapping[str, Module]) -> Result:
        names = keys(design)
        sources = {key: of_source(name) for name, key in names.items()}
        tree = Instance.tree(gates, names[design.top])
        places: dict[str, list[Instance]] = {}
        for instance in tree.all():
            places.setdefault(instance.module.name, []).append(instance)
        modules = {
            (first.path if first.parent else design.top): Figures.of(first, sources[key], len(others) + 1)
            for key, (first, *others) in places.items()
        }
        return cls(modules, Paths(whole=True).longest(tree), names[design.top])

    def total(self, what: str) -> int:
        """Of all instances: area, gates, flip_flops or memory_bits."""
        return sum(getattr(each, what) * each.instances for each in self.modules.values())

    def text(self) -> str:
        """A table, the largest module first."""
        rows: list[tuple[str, ...]] = [("area", "gates", "flip-flops", "memory bits", "levels", "module")]
        rows.append(
            (
                *(f"{self.total(what):,}" for what in ("area", "gates", "flip_flops", "memory_bits")),
                f"{self.path.levels}",
                "all",
            )
        )
        for place, each in sorted(self.modules.items(), key=lambda item: -item[1].area * item[1].instances):
            times = f" ({each.instances} times, each)" if each.instances > 1 else ""
            name = each.module if place == each.module else f"{each.module} {place}"
            numbers = (each.area, each.gates, each.flip_flops, each.memory_bits, each.levels)
            rows.append((*(f"{number:,}" for number in numbers), name + times))
        widths = [max(len(row[column]) for row in rows) for column in range(5)]
        return "\n".join(
            "  ".join(["", *(f"{cell:>{n}}" for cell, n in zip(row[:5], widths, strict=True)), row[5]])
            for row in rows
        )


def read_design(
    block: Block, synth: Synth, parameters: Mapping[str, int | str], announce: Announce
) -> Elaborated | None:
    """A block's RTL; None if it has become what no design may become, which is printed.

    Raises:
        BuildFailed: it does not elaborate.
    """
    lint = block.lint
    assert lint is not None  # Block checks it
    values = " ".join(f"{name}={value}" for name, value in parameters.items())
    announce(f"synth {block.name}: {lint.top} {values}".rstrip())
    design = elaborate(block, lint, parameters)
    wrong = find(design, synth.registers)
    for text in wrong:
        announce(f"FAILED {text}")
    return None if wrong else design


def map_design(block: Block, design: Elaborated, announce: Announce) -> Result:
    """Map a block's RTL to gates and print its figures.

    Raises:
        BuildFailed: gates form a loop.
    """
    result = Result.of(design, to_gates(design, outputs.build_root(block) / "synth"))
    print(result.text(), flush=True)
    path = result.path
    announce(f"longest path: {path.levels} levels, {path.start} -> {path.end}")
    return result


def run(
    blocks: Iterable[Block],
    given: Mapping[str, int | str],
    update: bool,
    announce: Announce,
    changed: bool = False,
) -> int:
    """Synthesise blocks and compare each with its baseline.

    Args:
        blocks: which declare a synthesis.
        given: parameters beside those of the declaration: then nothing is compared.
        update: write the baselines in place of the comparison.
        announce: prints a line.
        changed: a block whose RTL has the content that its baseline was made of is not mapped to gates again; what no
            design may become is looked for all the same.

    Returns:
        1 if something is wrong with a design or differs from its baseline, else 0.

    Raises:
        AssayError: packages are missing, a baseline cannot be read, or there is nothing to update.
    """
    check_installed("syntheses", "synth")
    if given and update:
        raise AssayError("a baseline is that of the declared parameters; leave PARAMS away")
    failed = 0
    for block in blocks:
        synth = block.synth
        assert synth is not None  # that of the callers
        design = read_design(block, synth, {**synth.parameters, **given}, announce)
        if design is None:
            failed += 1
        elif changed and _is_of(block, design):
            announce(f"ok      {block.name}: the RTL of {shown(block.file.with_name(BASELINE))}")
        else:
            result = map_design(block, design, announce)
            if not given:
                failed += not _hold(block, as_data(result, synth.parameters), update, announce)
    return 1 if failed else 0


def as_data(result: Result, parameters: Mapping[str, int | str]) -> dict[str, Any]:
    """A baseline's content."""
    return {
        "pyosys": version(),
        "content": result.content,
        "parameters": dict(parameters),
        "longest path": asdict(result.path),
        "modules": {place: asdict(each) for place, each in sorted(result.modules.items())},
    }


def _hold(block: Block, data: Mapping[str, Any], update: bool, announce: Announce) -> bool:
    """Compare figures with a block's baseline, or write it; prints what differs."""
    file = block.file.with_name(BASELINE)
    old = _baseline(file) if file.is_file() else None
    changed = ["no baseline"] if old is None else differences(old, data)
    if update:
        if changed or old is None or old.get("content") != data["content"]:
            write_json(file, data)
            announce(f"{block.name}: wrote {shown(file)}; look at what changed, and commit it")
        else:
            announce(f"{block.name}: {shown(file)} is up to date")
        return True
    for text in changed:
        announce(f"CHANGED {block.name}: {text}")
    if changed:
        announce(f"        if this is meant: make synth TOPLEVEL={block.name} UPDATE=1")
    else:
        announce(f"ok      {block.name}: equal to {shown(file)}")
    return not changed


def _is_of(block: Block, design: Elaborated) -> bool:
    """Whether a block's baseline was made of this design."""
    file = block.file.with_name(BASELINE)
    return file.is_file() and bool(_baseline(file).get("content") == keys(design)[design.top])


def _baseline(file: File) -> Mapping[str, Any]:
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        data["pyosys"], data["parameters"], data["longest path"], data["modules"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise AssayError(
            f"{shown(file)} is no baseline ({type(error).__name__}: {error}); write it with make synth UPDATE=1"
        ) from None
    return data


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What differs between two baselines, a sentence for each module."""
    found = []
    for name in ("pyosys", "parameters"):
        if old[name] != new[name]:
            found.append(f"{name}: {_said(old[name])} -> {_said(new[name])}")
    before, after = old["modules"], new["modules"]
    for place in sorted({*before, *after}):
        if place not in after:
            found.append(f"{before[place]['module']} {place}: is gone")
        elif place not in before:
            found.append(f"{after[place]['module']} {place}: is new, area {after[place]['area']:,}")
        else:
            found += _moved(f"{after[place]['module']} {place}", before[place], after[place])
    return found + _moved("longest path", old["longest path"], new["longest path"])


def _moved(title: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    parts = [
        f"{name.replace('_', ' ')} {_said(old.get(name))} -> {_said(value)}"
        for name, value in new.items()
        if old.get(name) != value
    ]
    return [f"{title}: {', '.join(parts)}"] if parts else []


def _said(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{name}={each}" for name, each in value.items()) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value)


def chosen(top: str, blocks: Mapping[str, Block]) -> Sequence[Block]:
    """The block of this name; all that declare a synthesis, if it is empty.

    Raises:
        AssayError: there is no such block, or it declares none.
    """
    having = [block for block in blocks.values() if block.synth]
    if not top and having:
        return having
    names = ", ".join(block.name for block in having) or "none"
    if not top or find_block(top, blocks) not in having:
        raise AssayError(
            f"{top or 'each block'} has no synth=Synth(...) in its declaration; blocks that have it: {names}"
        )
    return [blocks[top]]
