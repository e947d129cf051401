# SPDX-License-Identifier: Apache-2.0
"""Mutants as edits of source text, and a source that holds many of them behind a selector.

    x = a + b;   with the mutants 3 (a - b) and 4 (a) becomes
    x = ((mutation_pkg::selected == 32'd3) ? (a - b) : ((mutation_pkg::selected == 32'd4) ? (a) : (a + b)));

One model, compiled once, is then each of its mutants in turn; with 0 selected it is the design itself.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

PACKAGE = """// SPDX-License-Identifier: Apache-2.0
package mutation_pkg;
  int unsigned selected = $c32("(std::getenv(\\"{variable}\\") ? std::atoi(std::getenv(\\"{variable}\\")) : 0)");
endpackage
"""
"""The selector, read when the simulation begins: a run that is forked from another has a value of its own."""

VARIABLE = "ASSAY_MUTANT"
"""Environment variable: the number of the mutant that a model is; 0: none."""


_PHRASES = {
    "width": "{old} without its top bit",
    "sign": "{old} without its sign",
    "hold": "{new} keeps its value: {old} is not assigned",
    "stuck": "the input is always {new}, not {old}",
}
"""Kind of a fault -> how it is described, where that says more than the new text."""


class Edit(NamedTuple):
    """Text in place of other text.

    Attributes:
        start, end: offsets in bytes.
        text: an expression.
    """

    start: int
    end: int
    text: str


@dataclass(frozen=True)
class Mutant:
    """A fault in a design.

    Attributes:
        file: the source.
        kind: of the fault, such as ``operator``.
        edits: what is different; more than one where things are exchanged.
        line: of the first edit, counted from 1.
        text: that line, without the white space around it.
        key: identifies the mutant as long as its line stays as it is, wherever it moves in its file.
        parts: the texts are expressions, which are put in parentheses where they need them.
    """

    file: Path
    kind: str
    edits: tuple[Edit, ...]
    line: int
    text: str
    key: str = ""
    parts: bool = True

    def describe(self, source: bytes) -> str:
        """What is different, in a few words.

        Args:
            source: the content of its file.
        """
        if self.kind in _PHRASES:
            edit = self.edits[0]
            old, new = _short(source[edit.start : edit.end].decode()), _short(edit.text)
            return _PHRASES[self.kind].format(old=old, new=new)
        return "; ".join(_change(source[e.start : e.end].decode(), e.text) for e in self.edits)

    def applied(self, source: bytes) -> bytes:
        """Its file with the fault in it."""
        for edit in sorted(self.edits, reverse=True):
            text = part(edit.text) if self.parts else edit.text
            source = source[: edit.start] + text.encode() + source[edit.end :]
        return source

    def patch(self, root: Path) -> str:
        """The fault as a patch that ``git apply`` takes in the folder `root`."""
        before = self.file.read_bytes()
        name = self.file.relative_to(root).as_posix()
        lines = difflib.unified_diff(
            before.decode().splitlines(keepends=True),
            self.applied(before).decode().splitlines(keepends=True),
            f"a/{name}",
            f"b/{name}",
        )
        return "".join(lines)


def part(text: str) -> str:
    """An expression's text where it is a part of another one."""
    return text if re.fullmatch(r"[\w.:']+(\[[^][]*\])*", text) else f"({text})"


def _change(old: str, new: str) -> str:
    """What is different between two expressions: where both are long, the tokens that are not in both."""
    if max(len(old), len(new)) <= 70:
        return f"{_short(old)} -> {_short(new)}"
    ours, theirs = (re.findall(r"\w+|[^\w\s]+", text) for text in (old, new))
    differences = [
        f"{_short(' '.join(ours[i:j])) or 'nothing'} -> {_short(' '.join(theirs[k:m])) or 'nothing'}"
        for tag, i, j, k, m in difflib.SequenceMatcher(None, ours, theirs, autojunk=False).get_opcodes()
        if tag != "equal" and {*ours[i:j], *theirs[k:m]} - {"(", ")", "((", "))"}
    ]
    return (
        f"in {_short(old)}: {', '.join(differences)}"
        if len(differences) < 4
        else f"{_short(old)} -> {_short(new)}"
    )


def _short(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= 70 else f"{words[:44]} ... {words[-20:]}"


def identified(mutants: Iterable[Mutant], root: Path) -> list[Mutant]:
    """The mutants with their keys, in the order of their places.

    Args:
        root: folder to which the files' names in the keys are relative.
    """
    seen: Counter[str] = Counter()
    found = []
    sources: dict[Path, bytes] = {}
    for mutant in sorted(mutants, key=lambda m: (m.file, m.edits, m.kind)):
        source = sources.setdefault(mutant.file, mutant.file.read_bytes())
        begin = source.rfind(b"\n", 0, mutant.edits[0].start) + 1
        indent = len(source[begin:]) - len(source[begin:].lstrip())
        parts = [
            mutant.file.relative_to(root).as_posix(),
            mutant.text,
            str(mutant.edits[0].start - begin - indent),
            mutant.kind,
            mutant.describe(source),
        ]
        key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:10]
        seen[key] += 1
        if seen[key] > 1:  # an equal line further down
            key = f"{key}.{seen[key]}"
        found.append(replace(mutant, key=key))
    return found


@dataclass
class _Span:
    """An expression that mutants replace, and those inside it."""

    start: int
    end: int
    texts: list[tuple[int, str]] = field(default_factory=list)
    inner: list[_Span] = field(default_factory=list)


def instrumented(source: bytes, mutants: Mapping[int, Mutant]) -> bytes:
    """A source that is each of its mutants when their number is selected.

    Args:
        source: without a fault.
        mutants: those of this file, by their numbers.
    """
    spans: dict[tuple[int, int], _Span] = {}
    for number, mutant in mutants.items():
        for edit in mutant.edits:
            span = spans.setdefault((edit.start, edit.end), _Span(edit.start, edit.end))
            span.texts.append((number, edit.text))
    top = _Span(0, len(source))
    path = [top]
    for span in sorted(spans.values(), key=lambda s: (s.start, -s.end)):
        while span.start >= path[-1].end:
            path.pop()
        assert span.end <= path[-1].end, "expressions lie in each other or apart"
        path[-1].inner.append(span)
        path.append(span)
    return _rendered(source, top)


def _rendered(source: bytes, span: _Span) -> bytes:
    parts = []
    at = span.start
    for inner in span.inner:
        parts += [source[at : inner.start], _rendered(source, inner)]
        at = inner.end
    parts.append(source[at : span.end])
    own = b"".join(parts)
    if not span.texts:
        return own
    # Of the mutants of an expression at most one is selected: the text of each holds no other.
    chosen = "".join(f"((mutation_pkg::selected == 32'd{n}) ? ({text}) : " for n, text in span.texts)
    return b"(" + chosen.encode() + b"(" + own + b")" + b")" * (len(span.texts) + 1)


def by_file(mutants: Mapping[int, Mutant]) -> dict[Path, dict[int, Mutant]]:
    """Numbered mutants for each file."""
    files: dict[Path, dict[int, Mutant]] = defaultdict(dict)
    for number, mutant in mutants.items():
        files[mutant.file][number] = mutant
    return dict(files)


def chosen(mutants: Sequence[Mutant], keys: Iterable[str]) -> list[Mutant]:
    """Those whose key begins with one of `keys`."""
    wanted = tuple(keys)
    return [mutant for mutant in mutants if mutant.key.startswith(wanted)]
