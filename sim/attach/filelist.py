# SPDX-License-Identifier: Apache-2.0
"""The source files of a foreign design, from paths and file lists."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from assay.golden.table import short
from assay.tb.errors import AssayError
from assay.tb.text_file import read_text

_SOURCES = (".v", ".sv")
_HEADERS = (".svh", ".vh")
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_PACKAGE = re.compile(r"^\s*package\s+(?:automatic\s+|static\s+)?(\w+)\s*;", re.MULTILINE)
_USE = re.compile(r"\b(\w+)\s*::")
_IGNORED = re.compile(r"^(-sv|-timescale.*|-sverilog|-full64|\+libext\+.*|-Wno-.*|--timing)$")
"""Options of other simulators that do not change what a design is."""


@dataclass
class FileList:
    """What a compiler needs: sources in compile order, include folders, defines; each path absolute.

    Attributes:
        entries: files and lists as the user gave them.
        own_includes, own_defines: those that the user gave beside them.
    """

    entries: list[Path] = field(default_factory=list)
    own_includes: list[Path] = field(default_factory=list)
    own_defines: dict[str, str] = field(default_factory=dict)
    sources: list[Path] = field(default_factory=list)
    includes: list[Path] = field(default_factory=list)
    defines: dict[str, str] = field(default_factory=dict)


def read_sources(
    entries: Sequence[str | Path],
    includes: Sequence[str | Path] = (),
    defines: Sequence[str] = (),
) -> FileList:
    """Expand what the user gave: source files and file lists.

    A file list holds paths, ``-f`` and ``-F`` (another list), ``+incdir+``, ``-I``, ``+define+``, ``-D``, ``-v``, and
    comments from ``//`` or ``#`` on. ``$NAME`` and ``${NAME}`` stand for environment variables. A path is relative to
    the list that names it or, if there is no such file, to the current directory.

    A header (``.svh``, ``.vh``) among the files gives its folder to ``include``; packages come before their users.

    Raises:
        AssayError: a file that does not exist, or an option that is not understood, with the list and its line.
    """
    found = FileList()
    for text in includes:
        _add_include(found, Path(text).resolve(), "--include")
    for text in defines:
        _add_define(found, text)
    found.own_includes, found.own_defines = [*found.includes], {**found.defines}
    for entry in entries:
        path = Path(entry)
        if not path.is_file():
            raise AssayError(f"--rtl {entry}: there is no such file")
        found.entries.append(path.resolve())
        _add_file(found, path.resolve(), ())
    found.sources = in_compile_order(found.sources)
    if not found.sources:
        raise AssayError(f"--rtl {' '.join(map(str, entries))}: the lists name no source file")
    return found


def _add_file(found: FileList, path: Path, within: tuple[Path, ...]) -> None:
    if path.suffix in (".f", ".flist", ".vc", ".lst"):
        if path in within:
            raise AssayError(f"{path}: the file list includes itself")
        _add_list(found, path, (*within, path))
    elif path.suffix in (".vhd", ".vhdl"):
        raise AssayError(f"{path}: VHDL is not supported, only Verilog and SystemVerilog are")
    elif path.suffix in _HEADERS:
        _add_include(found, path.parent, str(path))
    elif path.suffix not in _SOURCES:
        raise AssayError(f"{path}: a source file ends in {' or '.join(_SOURCES)}, a file list in .f")
    elif path not in found.sources:
        found.sources.append(path)


def _add_list(found: FileList, path: Path, within: tuple[Path, ...]) -> None:
    for number, line in enumerate(read_text(path).splitlines(), 1):
        where = f"{path}:{number}"
        words = iter(re.sub(r"(^|\s)(//|#).*", "", line).split())
        for word in words:
            word = _expand(word, where)
            if word in ("-f", "-F", "-v", "-I"):
                operand = next(words, None)
                if operand is None:
                    raise AssayError(f"{where}: {word} must be followed by a path on the same line")
                operand = _expand(operand, where)
                if word == "-I":
                    _add_include(found, _locate(operand, path.parent), where)
                else:
                    _add_file(found, _existing(operand, path.parent, where), within)
            elif word.startswith("+incdir+"):
                for folder in word.split("+")[2:]:
                    _add_include(found, _locate(folder, path.parent), where)
            elif word.startswith("-I"):
                _add_include(found, _locate(word[2:], path.parent), where)
            elif word.startswith("+define+"):
                for definition in word.split("+")[2:]:
                    _add_define(found, definition)
            elif word.startswith("-D"):
                _add_define(found, word[2:])
            elif word.startswith(("-", "+")):
                if not _IGNORED.match(word):
                    raise AssayError(
                        f"{where}: option {word} is not understood; allowed are -f, -F, -v, -I, -D, "
                        "+incdir+ and +define+"
                    )
            else:
                _add_file(found, _existing(word, path.parent, where), within)


def in_compile_order(sources: Sequence[Path]) -> list[Path]:
    """The files in the order given, but each behind those with the packages that it names: ``rtl/*.sv`` has none."""
    texts = {path: _COMMENT.sub("", path.read_text(encoding="utf-8", errors="replace")) for path in sources}
    home = {name: path for path, text in texts.items() for name in _PACKAGE.findall(text)}
    ordered: dict[Path, None] = {}

    def place(path: Path, above: tuple[Path, ...]) -> None:
        if path in ordered or path in above:
            return
        for name in _USE.findall(texts[path]):
            if name in home:
                place(home[name], (*above, path))
        ordered.setdefault(path)

    for path in sources:
        place(path, ())
    return list(ordered)


def _expand(word: str, where: str) -> str:
    expanded = os.path.expandvars(re.sub(r"\$\((\w+)\)", r"${\1}", word))
    missing = re.search(r"\$\{?(\w+)", expanded)
    if missing:
        raise AssayError(f"{where}: the environment variable {missing[1]} is not set")
    return expanded


def _locate(word: str, folder: Path) -> Path:
    beside = (folder / word).resolve()
    # os.path answers also for names that no file can have.
    return beside if os.path.exists(beside) else Path(word).resolve()


def _existing(word: str, folder: Path, where: str) -> Path:
    path = _locate(word, folder)
    if not os.path.isfile(path):
        raise AssayError(
            f"{where}: there is no file {short(word, 300)} beside the list or in the current directory"
        )
    return path


def _add_include(found: FileList, path: Path, where: str) -> None:
    if not os.path.isdir(path):
        raise AssayError(f"{where}: the include folder {short(str(path), 300)} does not exist")
    if path not in found.includes:
        found.includes.append(path)


def _add_define(found: FileList, text: str) -> None:
    name, equals, value = text.partition("=")
    if not re.fullmatch(r"[A-Za-z_]\w*", name):
        raise AssayError(f"define {text!r}: a define is NAME or NAME=VALUE")
    found.defines[name] = value if equals else "1"
