# SPDX-License-Identifier: Apache-2.0
"""The module that a wrong retirement points at."""

from __future__ import annotations

import pytest

from assay.golden.controller.instructions import BY_NAME, INSTRUCTIONS
from assay.golden.controller.iss import Retirement
from assay.sim import ROOT
from assay.tb.controller.suspect import suspect

MODULES = {path.stem for path in (ROOT / "rtl" / "controller").glob("*.sv")}


def word(name: str) -> int:
    return BY_NAME[name].match


@pytest.mark.parametrize(
    ("unlike", "name", "said"),
    [
        ({"rd_wdata"}, "srl", "controller_alu: the result of srl"),
        ({"rd_wdata"}, "mulhu", "controller_retire (gen_multiply): the result of mulhu"),
        ({"rd_wdata"}, "remu", "controller_divider: the result of remu"),
        ({"rd_wdata"}, "lb", "controller_memory: the bytes of the word loaded"),
        ({"rd_wdata", "mem_rdata"}, "lw", "controller_memory, or controller_bus"),
        ({"csr", "rd_wdata"}, "csrrw", "controller_csr, or controller_bus"),
        ({"pc_wdata"}, "bltu", "controller_alu: the decision of bltu"),
        ({"pc_wdata"}, "addi", "controller_retire: the next pc"),
        (
            {"rs1_rdata", "rd_wdata", "pc_wdata"},
            "jalr",
            "controller_regfile: the register holds another value",
        ),
        ({"intr", "pc_rdata", "insn"}, "addi", "controller_csr or controller_timer: an interrupt"),
    ],
)
def test_first_field_on_the_way_decides(unlike: set[str], name: str, said: str) -> None:
    assert suspect(unlike, word(name)).startswith(said)


def test_every_field_of_every_instruction_names_a_module_that_there_is() -> None:
    for instruction in INSTRUCTIONS:
        for field in set(Retirement._fields) - {"insn"}:
            text = suspect({field}, word(instruction.name))
            assert text.split(":")[0].split(" ")[0].split(",")[0] in MODULES, (instruction.name, field, text)
    assert suspect(set(), word("addi")) == ""
