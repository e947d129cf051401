# SPDX-License-Identifier: Apache-2.0
"""The documentation: links and anchors lead somewhere, lines are wrapped, sources have their own names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
TEXTS = [
    path
    for folder in ("docs", "golden", "rtl", "sim", "tb", "vectors")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.suffix in (".md", ".py", ".sv", ".svh", ".S", ".c", ".h")
    and not {"build", "runs", "reports"} & set(path.relative_to(ROOT).parts)
]
WIDTH = 100


def page_name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def prose(page: Path) -> Iterator[tuple[int, str]]:
    """Number and text of the lines that are neither code, fenced or indented, nor blank."""
    fenced = False
    paragraph = False
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced and line.strip() and (paragraph or not line.startswith("    ")):
            yield number, line
            paragraph = True
            continue
        paragraph = False


@cache
def anchors(page: Path) -> frozenset[str]:
    """The anchors that GitHub gives a page's headings."""
    seen: Counter[str] = Counter()
    found = set()
    for _, line in prose(page):
        heading = re.match(r"#{1,6} +(.*)", line)
        if heading:
            text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1]).strip().lower()
            slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
            found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
            seen[slug] += 1
    return frozenset(found)


def links(page: Path) -> Iterator[tuple[int, str]]:
    """Line and target of every relative link."""
    for number, line in prose(page):
        for target in re.findall(r"\]\(([^)\s]+)", re.sub(r"`[^`]*`", "", line)):
            if not re.match(r"[a-z]+:", target):
                yield number, target


def test_parts_of_a_page(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# The `x` of y, z\n\ntext [a](b.md#c) `[no](link)`\n    continued\n\n    code [no](link)\n\n"
        "## Twice\n```\n# comment\n```\n## Twice\n[d](https://e)\n"
    )
    assert anchors(page) == {"the-x-of-y-z", "twice", "twice-1"}
    assert list(links(page)) == [(3, "b.md#c")]
    assert [number for number, _ in prose(page)] == [1, 3, 4, 8, 12, 13]


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_links(page):
    """Every relative link names a file or folder of the repository and, behind #, one of its headings."""
    for number, target in links(page):
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        place = f"{page_name(page)}, line {number}: link to {target}"
        assert file.exists(), f"{place}: there is no {path}"
        assert file.is_relative_to(ROOT), f"{place} leaves the repository"
        if anchor:
            assert anchor in anchors(file), f"{place}: the headings are {sorted(anchors(file))}"


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_lines_are_wrapped(page):
    """Prose has at most WIDTH columns; a table's row, and a link's target, may be longer."""
    for number, line in prose(page):
        text = re.sub(r"\]\([^)]*\)", "]", line)
        assert line.startswith("|") or len(text) <= WIDTH, (
            f"{page_name(page)}, line {number}: {len(text)} columns"
        )


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_products_are_code(page):
    """Two asterisks outside a code span are emphasis, and vanish: a*b + c*d is written between backquotes."""
    for number, line in prose(page):
        for text in line.split("|") if line.startswith("|") else [line]:
            plain = re.sub(r"`[^`]*`|\*\*[^*]+\*\*|(?<!\w)\*[^*\s][^*]*\*(?!\w)", "", text)
            assert len(re.findall(r"(?<=[^\s\\])\*+(?=\S)", plain)) < 2, (
                f"{page_name(page)}, line {number}: {text}"
            )


def test_every_page_can_be_found():
    """Links lead from the README to every page, over other pages if need be."""
    found: set[Path] = set()
    new = {ROOT / "README.md"}
    while new:
        found |= new
        targets = {
            (page.parent / target.partition("#")[0]).resolve() for page in new for _, target in links(page)
        }
        new = {path for path in targets if path.suffix == ".md" and path.is_file()} - found
    assert not [page_name(page) for page in PAGES if page not in found]


def test_glossary_is_in_order():
    terms = re.findall(
        r"^\*\*(.+?)\*\*:", (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert len(terms) > 50
    assert terms == sorted(terms, key=str.lower)


def test_sources_have_their_own_names():
    """Not a number that somebody once gave them."""
    internal = re.compile(r"\bdocuments? \d{3}\b", re.IGNORECASE)
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in [ROOT / "README.md", *TEXTS]
        if path != Path(__file__)
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if internal.search(line)
    ]
    assert not found


def test_named_sources_are_on_the_page():
    page = (ROOT / "docs" / "sources.md").read_text(encoding="utf-8")
    code = "\n".join(
        path.read_text(encoding="utf-8")
        for path in TEXTS
        if path.suffix == ".py" and "tests" not in path.parts
    )
    names = (
        "BARVINN",
        "Kraken",
        "LiteRT",
        "gemmlowp",
        "onnxruntime",
        "Eigen",
        "QONNX",
        "hls4ml",
        "QKeras",
        "XNNPACK",
    )
    for name in (*names, "ACCESS guide", "Learned Step Size Quantization", "RISC-V Instruction Set Manual"):
        assert name in page, name
    for address in re.findall(r"https://github\.com/[\w-]+/[\w.-]*\w", code):
        assert address in page, f"{address} is named in the code, but not in docs/sources.md"
