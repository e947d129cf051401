# SPDX-License-Identifier: Apache-2.0
"""Retirements in words, for the waves and the page of a failure."""

from __future__ import annotations

from collections.abc import Mapping

from assay.golden.controller.instructions import REGISTER_NAMES, disassemble

__all__ = ["retired"]


def retired(fields: Mapping[str, int]) -> tuple[str, str]:
    """A beat of the trace: its hart, and what it has done: pc, instruction, register or memory written, trap."""
    pc, word = fields["pc_rdata"], fields["insn"]
    text = f"0x{pc:08x} {disassemble(word, pc)}"
    if fields["trap"]:
        return f"hart {fields['hart']}", f"{text}: traps, to 0x{fields['pc_wdata']:08x}"
    if fields["intr"]:
        text = f"(interrupted) {text}"
    if fields["rd_addr"]:
        text += f"; {REGISTER_NAMES[fields['rd_addr']]} = 0x{fields['rd_wdata']:x}"
    if fields.get("mem_wmask"):
        text += f"; [0x{fields['mem_addr']:x}] = 0x{fields['mem_wdata']:x}"
    elif fields.get("mem_rmask"):
        text += f" from [0x{fields['mem_addr']:x}]"
    return f"hart {fields['hart']}", text
