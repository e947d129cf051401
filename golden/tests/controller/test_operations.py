# SPDX-License-Identifier: Apache-2.0
"""Operations of the instruction table in other languages. That they say the same is held elsewhere: the compiled
simulator runs beside the readable one, and the SystemVerilog module is proved equal to the RTL."""

from __future__ import annotations

import pytest

from assay.golden.controller import compiled, instruction_model
from assay.golden.controller.instructions import INSTRUCTIONS
from assay.golden.controller.operations import translate

LANGUAGES = [compiled.CPP, instruction_model.VERILOG]


@pytest.mark.parametrize("language", LANGUAGES, ids=lambda language: language.name)
@pytest.mark.parametrize(
    "operation", ["rs1 // rs2", "rs1 ** 2", "not rs1", "max(rs1, rs2)", "1 < rs1 < 3", "rs1 and rs2"]
)
def test_an_operation_that_cannot_be_translated(operation, language):
    with pytest.raises(ValueError, match=f"cannot be translated to {language.name.replace('+', '.')}"):
        translate(operation, language)


def test_every_row_is_in_the_module():
    text = instruction_model.render("writer")
    assert all(text.count(f"    // {instruction.name}\n    if (") == 1 for instruction in INSTRUCTIONS)
    # Bits of an immediate are where its instruction has them: jal's, Vol. I section 2.3.
    assert "{insn_i[31], insn_i[19:12], insn_i[20], insn_i[30:21], 1'b0}" in text
