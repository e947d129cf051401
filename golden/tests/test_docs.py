# SPDX-License-Identifier: Apache-2.0
"""The documentation: links lead somewhere, sources have their own names, and what the code names is on the page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TEXTS = [
    path
    for folder in ("docs", "golden", "rtl", "sim", "tb", "vectors")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.suffix in (".md", ".py", ".sv", ".svh", ".S", ".c", ".h")
    and not {"build", "runs", "reports"} & set(path.relative_to(ROOT).parts)
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_to_files(page):
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
        if not re.match(r"[a-z]+:", target):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


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
