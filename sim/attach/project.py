# SPDX-License-Identifier: Apache-2.0
"""Put the files of a new block into a user's repository: all of them, or none."""

from __future__ import annotations

import keyword
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from sim.attach import render
from sim.attach.design import Design
from sim.attach.interfaces import Recognised
from sim.attach.recognise import fatal
from sim.attach.wiring import Wiring, wire
from tb.errors import AssayError

REGRESSION = Path("tests") / "test_rtl.py"
"""The pytest module of a user's repository; one serves all its blocks."""


def check_name(name: str) -> None:
    """Refuse a name that cannot be a folder, a Python package and a SystemVerilog identifier at once."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise AssayError(f"NAME {name!r}: must be lower case letters, digits and _, beginning with a letter")


def plan(name: str, found: Recognised, root: Path) -> render.Project:
    """What the files of the new block are made of.

    Raises:
        AssayError: something was not recognised that a bench must know; one line for each, with its hint.
    """
    doubts = fatal(found.doubts)
    if doubts:
        lines = [f"{d.signal.port.place}: port {d.signal.name} {d.text}; hint: {d.hint}" for d in doubts]
        raise AssayError(
            f"{found.design.top}: these ports need a hint (--hints FILE.toml):\n" + "\n".join(lines)
        )
    wiring = wire(found, name)
    return render.Project(name, found, wiring, root.resolve(), icarus=refused_by_icarus(found.design, wiring))


def refused_by_icarus(design: Design, wiring: Wiring) -> str:
    """Why Icarus does not compile the design: its first error; empty if it does, or is not installed."""
    if shutil.which("iverilog") is None:
        return ""
    with tempfile.TemporaryDirectory() as folder:
        sources = [str(path) for path in design.files.sources]
        if wiring.text:
            top = Path(folder) / f"{wiring.top}.sv"
            top.write_text(wiring.text, encoding="utf-8")
            sources.append(str(top))
        words = ["iverilog", "-g2012", "-t", "null", "-s", wiring.top]
        words += [f"-I{path}" for path in design.files.includes]
        words += [
            f"-D{name}={value}" if value else f"-D{name}" for name, value in design.files.defines.items()
        ]
        if not wiring.text:
            quoted = {
                p.name: f'"{p.value}"' if p.is_string else p.value for p in design.parameters if p.given
            }
            words += [f"-P{wiring.top}.{name}={value}" for name, value in quoted.items()]
        done = subprocess.run([*words, *sources], capture_output=True, text=True, timeout=120, check=False)
    if done.returncode == 0:
        return ""
    lines = [line for line in done.stderr.splitlines() if re.search(r"error|sorry", line)]
    first = re.sub(r"^\S*/", "", (lines or done.stderr.splitlines() or ["no message"])[0])
    return f"Icarus does not compile it: {first}"


def write(project: render.Project) -> list[Path]:
    """Write ``tb/<name>/`` and, where there is none, the pytest module.

    Returns:
        the files, relative to the repository.

    Raises:
        AssayError: ``tb/<name>`` exists already.
    """
    name, root = project.name, project.root
    folder = root / "tb" / name
    if folder.exists():
        raise AssayError(f"{folder} exists already; nothing was written: remove it, or give another NAME")
    files = {
        "__init__.py": f'"""The bench of {name}."""\n',
        "block.py": render.declaration(project),
        "golden.py": render.golden(project),
        "bench.py": render.bench(project),
        f"test_{name}.py": render.tests(project),
        f"{name}.view": render.view(project),
    }
    if project.wiring.text:
        files[f"{project.wiring.top}.sv"] = project.wiring.text
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=folder.parent) as partial:
        inner = Path(partial) / name
        inner.mkdir()
        for file, text in files.items():
            (inner / file).write_text(text, encoding="utf-8")
        os.rename(inner, folder)
    written = [Path("tb") / name / file for file in files]
    regression = root / REGRESSION
    if not regression.exists():
        regression.parent.mkdir(exist_ok=True)
        regression.write_text(render.regression(), encoding="utf-8")
        written.append(REGRESSION)
    return written
