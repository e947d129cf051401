# SPDX-License-Identifier: Apache-2.0
"""Arrows between packages point one way, at the top of a module and inside of functions."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from assay import golden

HOME = Path(golden.__file__).parents[1]
# What stands before a package's name in an import.
PREFIX = golden.__name__.removesuffix("golden")

PACKAGES = ("golden", "vectors", "tb", "sim")
#: Each imports only what stands before it.
GOLDEN = (
    *(
        "table",
        "errors",
        "parameters",
        "picture",
        "compare",
        "formats",
        "registers",
        "rounding",
        "user_files",
        "handlers",
    ),
    *(
        "archives",
        "vector_sets",
        "schemes",
        "layers",
        "operators",
        "precision",
        "network",
        "graph",
        "profile",
    ),
    *("__init__", "importers", "exporters", "runtimes", "bench", "rows"),
    *("controller", "mvu", "accelerator", "codegen", "pe_array", "lowering", "__main__"),
)
#: The front doors, `load` and `Graph.lower`, which import what does the work when they are called.
FRONT = {("__init__", "importers"), ("graph", "lowering")}

#: Fuzzing begins with the small files that the tests of importers make. It runs in a checkout only, and says so.
DATA_OF_TESTS = {("sim/fuzz/forms.py", "golden.tests")}


def sources(package: str) -> list[Path]:
    """A package's modules, but for its tests and for what runs and lint leave behind."""
    files = (HOME / package).rglob("*.py")
    leave = {"tests", "build", "runs", "reports"}
    return sorted(path for path in files if leave.isdisjoint(path.relative_to(HOME).parts[:-1]))


def imported(path: Path) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Line and path, without `PREFIX`, of every module of `PACKAGES` that a file imports; of `from a import b`, a.b."""
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            # Modules that are imported when they are asked for are named in a text.
            names = [node.value] if _is_module(node.value) else []
        elif isinstance(node, ast.ImportFrom):
            if path == HOME / "sim" / "__main__.py" and node.level:
                continue  # it runs where the name assay may not be installed
            assert not node.level, f"{path}:{node.lineno} is a relative import, but must name the package"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            parts = tuple(name.removeprefix(PREFIX).split("."))
            if name.startswith(PREFIX) and parts[0] in PACKAGES:
                yield node.lineno, parts


def _is_module(name: str) -> bool:
    """Whether a text is the name of one of these modules."""
    if not name.startswith(PREFIX) or not name.replace(".", "").isidentifier():
        return False
    path = HOME.joinpath(*name.removeprefix(PREFIX).split("."))
    return "." in name.removeprefix(PREFIX) and (path.with_suffix(".py").is_file() or path.is_dir())


def part_of_golden(parts: tuple[str, ...]) -> str:
    return parts[1] if len(parts) > 1 and parts[1] in GOLDEN else "__init__"


@pytest.mark.parametrize("package", PACKAGES)
def test_packages(package):
    allowed = PACKAGES[: PACKAGES.index(package) + 1]
    files = sources(package)
    assert files
    wrong = [
        f"{path.relative_to(HOME)}:{line} imports {'.'.join(parts)}"
        for path in files
        for line, parts in imported(path)
        if parts[0] not in allowed
        or (
            "tests" in parts and (path.relative_to(HOME).as_posix(), ".".join(parts[:2])) not in DATA_OF_TESTS
        )
    ]
    assert not wrong, f"{package} may import {', '.join(allowed)}, and no tests"


def test_parts_of_golden():
    home = HOME / "golden"
    parts = {path.relative_to(home).parts[0].removesuffix(".py") for path in sources("golden")}
    assert parts == set(GOLDEN)
    wrong, front = [], set()
    for path in sources("golden"):
        here = path.relative_to(home).parts[0].removesuffix(".py")
        for line, parts in imported(path):
            there = part_of_golden(parts)
            if (here, there) in FRONT:
                front.add((here, there))
            elif GOLDEN.index(there) > GOLDEN.index(here):
                wrong.append(f"{path.relative_to(HOME)}:{line} imports {'.'.join(parts)}")
    assert front == FRONT
    assert not wrong, "a part of golden imports only what stands before it in GOLDEN"
