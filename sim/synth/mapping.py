# SPDX-License-Identifier: Apache-2.0
"""From SystemVerilog to words, and from words to gates.

Each distinct module is mapped to gates once: what does not change its gates (the places in the source, the numbers in
generated names, its own name) is taken out of its text, and a hash of the rest names its netlist in the build cache.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.sim.synth.netlist import Memory, Module, read
from assay.sim.yosys import add_sources, read_command, run_yosys, version
from assay.tb.block import Block, Lint, expand_sources

WORDS = (
    "opt_expr",
    "opt_clean",
    "opt -nodffe -nosdff",
    "wreduce",
    "peepopt",
    "opt_clean",
    "alumacc",
    "opt",
    # Not `memory`, which shares ports and makes memories of tables: an array is to stay what the source says.
    "memory_dff",
    "memory_collect",
    "opt",
)
"""Yosys' passes from processes to cells on words."""

GATES = "AND,NAND,OR,NOR,XOR,XNOR,ANDNOT,ORNOT,MUX"

# dch keeps the depth of the adders that techmap makes, which carry in a tree; abc's own script makes ripples of them.
MAPPED = ("techmap", f"abc -script +strash;dch;map -g {GATES}", "opt_clean")
"""Yosys' passes from cells on words to gates of two inputs."""

_METHOD = Path(__file__).read_text(encoding="utf-8")
"""How modules are mapped: a netlist that was made otherwise does not count."""

_GENERATED = re.compile(r"(?<=\s)\$\S+")


@dataclass(frozen=True)
class Elaborated:
    """A design on words.

    Attributes:
        top: name of the top module.
        source: the modules before any optimisation, which hold all that the source says.
        words: the modules after it.
        check: what yosys' ``check`` says of `source`.
        texts: the modules of `words` in yosys' own language (RTLIL).
    """

    top: str
    source: Mapping[str, Module]
    words: Mapping[str, Module]
    check: str
    texts: Mapping[str, str]


def elaborate(block: Block, lint: Lint, parameters: Mapping[str, int | str]) -> Elaborated:
    """Read a block's RTL, without its assertions.

    Raises:
        BuildFailed: it does not elaborate.
    """
    sources = expand_sources(block.root, lint.sources, block.file)
    includes = [*sources.include_dirs, *block.include_paths(), *(path.parent for path in sources.files)]
    defines = {"SYNTHESIS": "1", **sources.defines, **block.defines}
    with tempfile.TemporaryDirectory(prefix="assay_synth_") as name:
        folder = Path(name)
        add_sources(sources.files, dict.fromkeys(includes), folder)
        options = [f"-D {macro}={text}" for macro, text in defines.items()]
        options += [f"-G {parameter}={value}" for parameter, value in parameters.items()]
        commands = [
            read_command(sources.files, lint.top, folder, "--keep-hierarchy --no-synthesis-define", *options),
            f"hierarchy -top {lint.top}",
            "proc -noopt",
            "tee -q -o check.txt check",
            "write_json source.json",
            *WORDS,
            "write_json words.json",
            "write_rtlil words.il",
        ]
        run_yosys(commands, folder)
        return Elaborated(
            lint.top,
            read(json.loads((folder / "source.json").read_text(encoding="utf-8"))),
            read(json.loads((folder / "words.json").read_text(encoding="utf-8"))),
            (folder / "check.txt").read_text(encoding="utf-8"),
            _modules((folder / "words.il").read_text(encoding="utf-8")),
        )


def _modules(text: str) -> dict[str, str]:
    """The modules of a file in RTLIL, without attributes that change nothing."""
    found: dict[str, str] = {}
    lines: list[str] = []
    name = ""
    for line in text.splitlines():
        if line.startswith("module "):
            name, lines = line.split()[1].removeprefix("\\"), []
        elif line == "end":
            found[name] = "\n".join(lines)
        elif name and (not line.lstrip().startswith("attribute ") or "attribute \\init" in line):
            lines.append(line)
    return found


def keys(design: Elaborated) -> dict[str, str]:
    """Module -> a name that it has in common with all modules of the same content; and the same for modules inside."""
    return {name: key for name, (key, _) in _neutral(design).items()}


def _neutral(design: Elaborated) -> dict[str, tuple[str, str]]:
    """Module -> key and text, in which generated names are numbered afresh and modules inside are called by keys."""
    done: dict[str, tuple[str, str]] = {}

    def add(name: str) -> tuple[str, str]:
        if name not in done:
            numbers: dict[str, str] = {}

            def numbered(found: re.Match[str]) -> str:
                return numbers.setdefault(found[0], f"$n{len(numbers)}")

            lines = []
            for line in design.texts[name].splitlines():
                if line.startswith("  cell "):
                    _, kind, cell = line.split()
                    inner = kind.removeprefix("\\")
                    if inner in design.texts:
                        kind = f"\\{add(inner)[0]}"
                    line = f"  cell {kind} {_GENERATED.sub(numbered, f' {cell}')[1:]}"
                elif not line.startswith("    parameter "):
                    line = _GENERATED.sub(numbered, line)
                lines.append(line)
            text = "\n".join(lines)
            done[name] = (
                "m" + hashlib.sha256("\n".join([version(), _METHOD, text]).encode()).hexdigest()[:16],
                text,
            )
        return done[name]

    for name in design.texts:
        add(name)
    return done


def to_gates(design: Elaborated, cache: Path) -> dict[str, Module]:
    """The modules of a design as gates, flip-flops and RAMs.

    Args:
        cache: folder of netlists, which are taken from it or added to it.

    Returns:
        key (:func:`keys`) -> module, whose instances are of keys, too.
    """
    neutral = _neutral(design)
    texts = dict(neutral.values())
    missing = [key for key in texts if not _file(cache, key).is_file()]
    if missing:
        arrays = {
            f"{neutral[name][0]}/{cell.name}"
            for name, module in design.words.items()
            for cell in module.cells
            if neutral[name][0] in missing and cell.is_memory and not Memory.of(cell).is_ram
        }
        for key in missing:
            own = [array for array in arrays if array.startswith(f"{key}/")]
            _keep(_file(cache, key), _map(key, texts, own))
    found: dict[str, Any] = {}
    for key in texts:
        found[key] = json.loads(_file(cache, key).read_text(encoding="utf-8"))
    return read({"modules": found})


def _map(key: str, texts: Mapping[str, str], arrays: Iterable[str]) -> dict[str, Any]:
    """Map a module, of which some arrays are flip-flops; as yosys' JSON has it.

    It is mapped alone, with the ports of the modules inside: what else yosys has read decides on the names that it
    generates, and these on the order in which ABC works.
    """
    inside = {
        line.split()[1].removeprefix("\\") for line in texts[key].splitlines() if line.startswith("  cell \\")
    }
    with tempfile.TemporaryDirectory(prefix="assay_synth_") as name:
        folder = Path(name)
        text = "".join(
            f"attribute \\blackbox 1\nmodule \\{inner}\n{_ports(texts[inner])}\nend\n"
            for inner in sorted(inside)
        )
        (folder / "words.il").write_text(f"{text}module \\{key}\n{texts[key]}\nend\n", encoding="utf-8")
        run_yosys(
            [
                "read_rtlil words.il",
                *(f"memory_map {array}" for array in sorted(arrays)),
                *MAPPED,
                "write_json gates.json",
            ],
            folder,
        )
        found: dict[str, Any] = json.loads((folder / "gates.json").read_text(encoding="utf-8"))["modules"]
        return found[key]


def _ports(text: str) -> str:
    """The lines of a module's text in RTLIL that declare its ports."""
    return "\n".join(
        line for line in text.splitlines() if re.match(r"  wire (.* )?(input|output|inout) \d+ ", line)
    )


def _file(cache: Path, key: str) -> Path:
    return cache / f"{key}.json"


def _keep(path: Path, module: Mapping[str, Any]) -> None:
    """Write a module's netlist, without what nobody reads, completely or not at all."""
    cells = {
        name: {
            "type": cell["type"],
            "connections": cell["connections"],
            "parameters": cell["parameters"] if cell["type"] == "$mem_v2" else {},
        }
        for name, cell in module["cells"].items()
    }
    nets = {name: {"bits": net["bits"]} for name, net in module["netnames"].items() if not net["hide_name"]}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    text = json.dumps({"ports": module["ports"], "cells": cells, "netnames": nets})
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)
