# SPDX-License-Identifier: Apache-2.0
"""The module that a broken rule of the host side points at."""

from __future__ import annotations

import ast
import re

from assay.sim import ROOT
from assay.tb.accelerator_host.suspect import RULES, suspect

MODULES = {path.stem for path in (ROOT / "rtl" / "accelerator").glob("*.sv")}
SCOREBOARD = ROOT / "tb" / "accelerator_host" / "scoreboard.py"


def rules() -> set[str]:
    """The functions of the scoreboard that raise what is wrong."""
    tree = ast.parse(SCOREBOARD.read_text(encoding="utf-8"))
    return {
        function.name.strip("_")
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Raise) and "_WrongError" in ast.dump(node)
    }


def test_every_rule_has_a_module_that_there_is() -> None:
    known = rules()
    assert known - {"take", "compare", "write", "clock"} == set(RULES)
    said = [*RULES.values(), *(suspect("take", f"the {side} burst: expected") for side in ("write", "read"))]
    said += [suspect("compare", f"{channel} of the burst: id is 1") for channel in "BR"]
    system = suspect(
        "answered", "the answer of hart 2 to a read of register clocksh of the system: expected 0x1, seen 0x0"
    )
    assert system.startswith("accelerator_registers")
    said.append(system)
    for text in said:
        assert set(re.findall(r"accelerator_\w+", text)) <= MODULES
        assert re.match(r"accelerator_\w+", text)
    assert suspect("clock", "an address of aw is taken") == ""
