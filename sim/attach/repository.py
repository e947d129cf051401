# SPDX-License-Identifier: Apache-2.0
"""Put the files of a new block into a user's repository: all of them, or none."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from assay.sim.attach import render
from assay.sim.attach.bench import bench
from assay.sim.attach.plan import Plan
from assay.tb.errors import AssayError

REGRESSION = Path("tests") / "test_rtl.py"
"""The pytest module of a user's repository; one serves all its blocks."""


def write(plan: Plan) -> list[Path]:
    """Write ``tb/<name>/`` and, where there is none, the pytest module.

    Returns:
        the files, relative to the repository.

    Raises:
        AssayError: ``tb/<name>`` exists already.
    """
    name, root = plan.name, plan.root
    folder = root / "tb" / name
    if folder.exists():
        raise AssayError(f"{folder} exists already; nothing was written: remove it, or give another NAME")
    files = {
        "__init__.py": f'"""The bench of {name}."""\n',
        "block.py": render.declaration(plan),
        "golden.py": render.golden(plan),
        "bench.py": bench(plan),
        f"test_{name}.py": render.tests(plan),
        f"{name}.view": render.view(plan),
    }
    if plan.wiring.text:
        files[f"{plan.wiring.top}.sv"] = plan.wiring.text
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
