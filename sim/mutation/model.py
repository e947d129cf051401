# SPDX-License-Identifier: Apache-2.0
"""Models that hold many mutants: which faults a block has, and the block whose sources hold them."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from assay.sim import outputs, shown
from assay.sim.build import literal
from assay.sim.elaborate import Elaborated, elaborate
from assay.sim.mutation.mutant import PACKAGE, VARIABLE, Mutant, by_file, instrumented
from assay.tb.block import AGENTS_HDL, Block, expand_sources
from assay.tb.errors import AssayError, BuildFailed, unknown


def mutable_files(block: Block, modules: Sequence[str] = ()) -> list[Path]:
    """The sources of a block in which faults are made: the RTL that it verifies, without that of its bench.

    Args:
        modules: names of files, without suffix; empty: those in the folder of the last one in compile order, the
            top's, and what they share with other blocks (``common``).

    Raises:
        AssayError: a block without RTL of its own, or a file that it does not have.
    """
    files = design_files(block)
    if not files:
        raise AssayError(f"{block.name} has no RTL beside its bench: there is nothing to make faults in")
    for name in modules:
        if name not in files:
            raise unknown(f"module of {block.name}", name, files)
    if modules:
        return [files[name] for name in modules]
    home = list(files.values())[-1].parent
    return [path for path in files.values() if path.parent in (home, home.parent / "common")]


def design_files(block: Block) -> dict[str, Path]:
    """The sources of a block without its bench's, by their names without suffix, in the order in which they compile."""
    bench = (block.root / "tb", AGENTS_HDL)
    return {
        path.stem: path
        for path in block.source_files()
        if not any(path.is_relative_to(folder) for folder in bench) and path.suffix != ".vlt"
    }


def elaborated(
    block: Block, parameters: Mapping[str, int | str], sources: Iterable[Path] | None = None
) -> Elaborated:
    """A block's design.

    Args:
        parameters: of the build: a fault is one for these.
        sources: in place of the block's own.

    Raises:
        BuildFailed: the design does not elaborate.
    """
    design = elaborate(
        block.hdl_top,
        block.source_files() if sources is None else sources,
        block.include_paths(),
        block.resolve_defines({}),
        {name: literal(value) for name, value in parameters.items()},
    )
    if errors := design.errors():
        raise BuildFailed(f"{block.name} does not elaborate:\n{errors}")
    return design


def mutated(block: Block, numbered: Mapping[int, Mutant], name: str) -> Block:
    """The block with sources that are each of the mutants when it is selected.

    Args:
        numbered: the mutants by their numbers, from 1.
        name: of the folder that holds these sources.
    """
    texts = {path: instrumented(path.read_bytes(), mutants) for path, mutants in by_file(numbered).items()}
    # Campaigns that go on at the same time may have other mutants of the same module.
    content = hashlib.sha256(b"\0".join(texts.values())).hexdigest()[:16]
    folder = outputs.made(outputs.build_root(block)) / "mutation" / f"{block.name}-{name}-{content}"
    folder.mkdir(parents=True, exist_ok=True)
    sources = [_written(folder / "mutation_pkg.sv", PACKAGE.format(variable=VARIABLE).encode())]
    for path in block.source_files():
        text = texts.get(path)
        sources.append(path if text is None else _written(folder / path.name, text))
    expanded = expand_sources(block.root, block.sources, block.file)
    return replace(
        block,
        sources=tuple(map(str, sources)),
        include_dirs=tuple(map(str, block.include_paths()[:-1])),
        defines={**expanded.defines, **block.defines},
    )


def _written(path: Path, content: bytes) -> Path:
    """A file with this content; one that has it stays as it is."""
    if not path.is_file() or path.read_bytes() != content:
        handle, name = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(name, path)
    return path


def illegal(block: Block, numbered: Mapping[int, Mutant], parameters: Mapping[str, int | str]) -> set[int]:
    """The mutants that do not elaborate, found by halves.

    Raises:
        BuildFailed: the design does not elaborate without them.
    """
    bad: set[int] = set()

    def elaborates(numbers: Sequence[int]) -> bool:
        some = {number: numbered[number] for number in numbers}
        with tempfile.TemporaryDirectory(prefix="assay-") as scratch:
            texts = {path: instrumented(path.read_bytes(), each) for path, each in by_file(some).items()}
            package = Path(scratch) / "mutation_pkg.sv"
            package.write_text(PACKAGE.format(variable=VARIABLE).replace("$c32", "$system"), encoding="utf-8")
            sources = [package]
            for path in block.source_files():
                if path in texts:
                    copy = Path(scratch) / path.name
                    copy.write_bytes(texts[path])
                    sources.append(copy)
                else:
                    sources.append(path)
            try:
                elaborated(block, parameters, sources)
            except BuildFailed:
                return False
        return True

    def search(numbers: Sequence[int]) -> None:
        if not numbers or elaborates(numbers):
            return
        if len(numbers) == 1:
            bad.add(numbers[0])
            return
        middle = len(numbers) // 2
        search(numbers[:middle])
        search(numbers[middle:])

    if not elaborates([]):
        raise BuildFailed(
            f"{block.name} does not elaborate with the package {shown(Path('mutation_pkg.sv'))}"
        )
    search(sorted(numbered))
    return bad
