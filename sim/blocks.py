# SPDX-License-Identifier: Apache-2.0
"""Finding blocks: Assay's own, those of a user's repository, those of installed packages.

- Assay's own: ``tb/<block>/block.py`` of this project.
- A repository: a folder with ``tb/<block>/block.py``, the nearest above the current folder, or named by BLOCKS.
- An installed package: an entry point of the group ``assay.blocks``, which names a declaration (``pkg.tb.fifo.block``),
  or the package that holds them (``pkg.tb``).
"""

from __future__ import annotations

import importlib
import importlib.metadata
import re
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType

from assay import tb
from assay.golden.errors import GoldenError
from assay.sim import ROOT, project
from assay.sim.options import OPTIONS
from assay.tb import block as declarations
from assay.tb import capabilities as kinds_of_capability
from assay.tb.block import Block
from assay.tb.capabilities import CAPABILITIES, Capability
from assay.tb.errors import AssayError, unknown
from assay.tb.options import Option

GROUP = "assay.blocks"
"""Entry points of packages with blocks."""

OWN = Path(tb.__file__).resolve().parent

_UNEXPECTED = re.compile(r"(?:\w+\.)*(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'")


def discover(repository: str = "") -> dict[str, Block]:
    """All blocks by name, a repository's first, then Assay's own, then those of packages.

    Args:
        repository: the folder that the user named; empty: the nearest one above the current folder.

    Raises:
        AssayError: a declaration is wrong, with its file and line; two blocks have one name.
    """
    blocks: dict[str, Block] = {}
    for block in (*_of_repository(repository), *_of_folder(OWN, tb.__name__), *_of_packages()):
        other = blocks.setdefault(block.name, block)
        if other.file != block.file:
            raise AssayError(
                f"two blocks are called {block.name}: {other.file} and {block.file}; rename one of the folders"
            )
    _check_options(blocks)
    return blocks


def find_block(name: str, blocks: Mapping[str, Block]) -> Block:
    """The block behind a TOPLEVEL."""
    if name not in blocks:
        raise unknown("TOPLEVEL", name, blocks)
    return blocks[name]


def having(kind: type[Capability], blocks: Mapping[str, Block]) -> list[str]:
    """The names of the blocks that have a capability."""
    return [name for name, block in blocks.items() if block.capability(kind)]


def lacking(block: Block, kind: type[Capability], blocks: Mapping[str, Block], given: str = "") -> AssayError:
    """The error for a capability that a block does not have; `given` is what asked for it, such as ``ELF=a.out``."""
    names = ", ".join(having(kind, blocks)) or "none"
    return AssayError(f"{given and f'{given}: '}{block.name} {kind.lacks}; {kind.having}: {names}")


def capabilities(blocks: Mapping[str, Block]) -> tuple[type[Capability], ...]:
    """The classes of capabilities: Assay's, and those that only a block has."""
    kinds = dict.fromkeys(CAPABILITIES)
    kinds |= dict.fromkeys(type(each) for block in blocks.values() for each in block.capabilities)
    return tuple(kinds)


def options(blocks: Mapping[str, Block]) -> dict[str, Option]:
    """The options of all capabilities, by variable."""
    return {option.variable: option for kind in capabilities(blocks) for option in kind.options}


def _check_options(blocks: Mapping[str, Block]) -> None:
    """Refuse an option of a capability that has the name of another one: by its name an option is found."""
    taken = {key: (option, "Assay itself") for option in OPTIONS for key in _names(option)}
    for kind in capabilities(blocks):
        for option in kind.options:
            for key in _names(option):
                other, owner = taken.setdefault(key, (option, f"capability {kind.__name__}"))
                if other != option:
                    raise AssayError(
                        f"{owner} and capability {kind.__name__} both have an option {key}; rename the latter's"
                    )


def _names(option: Option) -> list[str]:
    return [name for name in (option.variable, option.flag) if name]


def _of_repository(named: str) -> Iterator[Block]:
    """The blocks of a user's repository."""
    if named:
        root = Path(named).expanduser().resolve()
        if not _declarations(root / "tb"):
            raise AssayError(
                f"BLOCKS={named}: {root} is no repository with blocks: it has no tb/<block>/block.py"
            )
    else:
        here = Path.cwd()
        root = next((folder for folder in (here, *here.parents) if _declarations(folder / "tb")), OWN.parent)
    if root / "tb" != OWN:
        project.use(root, named)
        yield from _of_folder(root / "tb", "tb")


def _of_folder(folder: Path, package: str) -> list[Block]:
    """The blocks whose folders are in `folder`, the package `package`."""
    found = [_load(f"{package}.{file.parent.name}.block", file) for file in _declarations(folder)]
    return sorted(found, key=lambda block: (block.order, block.name))


def _of_packages() -> Iterator[Block]:
    """The blocks of installed packages."""
    for point in importlib.metadata.entry_points(group=GROUP):
        module = imported(point.module, f"entry point {point.name} = {point.value!r} of group {GROUP}")
        if hasattr(module, "BLOCK"):
            yield _load(point.module, Path(module.__file__ or ""))
        else:
            folders = [Path(path) for path in getattr(module, "__path__", ())]
            blocks = [block for folder in folders for block in _of_folder(folder, point.module)]
            if not blocks:
                raise AssayError(
                    f"entry point {point.name} = {point.value!r} of group {GROUP}: the module has no BLOCK, and no "
                    "<block>/block.py below it"
                )
            yield from blocks


def _declarations(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/block.py"))


def _load(module_name: str, file: Path) -> Block:
    """The declaration in a file, which is a module of this name.

    Raises:
        AssayError: it is wrong; names file and line, what was found and what would be right.
    """
    module = imported(module_name, str(file))
    if Path(module.__file__ or "").resolve() != file.resolve():
        name = file.parent.name
        raise AssayError(
            f"two blocks are called {name}: {module.__file__} and {file}; rename one of the folders"
        )
    block = getattr(module, "BLOCK", None)
    if not isinstance(block, Block):
        found = "no BLOCK" if block is None else f"BLOCK, a {type(block).__name__}"
        raise AssayError(f"{file}: there is {found}, but there must be BLOCK = Block(__name__, ...)")
    if block.module != module_name:
        raise AssayError(f"{file}: module = {block.module!r}: must be __name__")
    return block


def imported(name: str, place: str) -> ModuleType:
    """A module.

    Args:
        place: its file, or what names it.

    Raises:
        AssayError: it cannot be imported; names `place` and, where the error arose in it, the line.
    """
    try:
        return importlib.import_module(name)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a user's own code may raise anything
        raise AssayError(f"{_place(place, error)}: {_said(error)}") from error


def _place(place: str, error: BaseException) -> str:
    """The place in the declaration where an error arose: its file and line."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}, line {error.lineno}"
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == place]
    return f"{place}, line {lines[-1]}" if lines else place


def _said(error: BaseException) -> str:
    """The error in a declaration."""
    if isinstance(error, (AssayError, GoldenError)):
        return str(error)
    found = _UNEXPECTED.search(str(error))
    for module in (declarations, kinds_of_capability):
        if found and (kind := getattr(module, found[1], None)) is not None:
            return str(unknown(f"field of {found[1]}", found[2], kind.__dataclass_fields__))
    return f"{type(error).__name__}: {error}"


def is_own(block: Block) -> bool:
    """Whether a block is Assay's."""
    return block.file.is_relative_to(ROOT) and block.root not in project.in_use
