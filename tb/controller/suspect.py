# SPDX-License-Identifier: Apache-2.0
"""Which module of the controller a wrong retirement points at: the first field that is unlike, on the way of an
instruction through the pipeline, tells it."""

from __future__ import annotations

from collections.abc import Collection

from assay.golden.controller.instructions import decode

__all__ = ["suspect"]

#: Fields in the order in which the pipeline makes them -> the module that makes them, whatever the instruction is.
_ALWAYS = (
    ("hart", "controller_scheduler: another hart's turn"),
    (
        "intr",
        "controller_csr or controller_timer: an interrupt is taken in another clock, or none is pending",
    ),
    ("pc_rdata", "controller_retire: the pc that the hart went on with"),
    ("insn", "controller_memory: the word that was fetched"),
    ("trap", "controller_decode, or controller_memory's check of addresses: whether the instruction traps"),
    ("cause", "controller_csr: the cause of the trap or interrupt"),
    ("rs1_addr", "controller_decode: the register read"),
    ("rs2_addr", "controller_decode: the register read"),
    ("rs1_rdata", "controller_regfile: the register holds another value than was written to it"),
    ("rs2_rdata", "controller_regfile: the register holds another value than was written to it"),
    ("mem_addr", "controller_alu: the address"),
    ("mem_rmask", "controller_memory: the bytes of the access"),
    ("mem_wmask", "controller_memory: the bytes of the access"),
    ("mem_wdata", "controller_memory: the bytes of the word stored"),
    ("mem_rdata", "controller_memory, or controller_bus for an MVU's register: the word loaded"),
    ("csr", "controller_csr, or controller_bus for an MVU's register: the old value of the CSR"),
    ("rd_addr", "controller_decode: the register written"),
)


def suspect(unlike: Collection[str], insn: int) -> str:
    """The module, and what of it, in a few words; empty where nothing is known.

    Args:
        unlike: fields of the retirement that are not the golden simulator's.
        insn: the instruction.
    """
    for field, module in _ALWAYS:
        if field in unlike:
            return module
    decoded = decode(insn)
    if decoded is None:
        return "controller_csr: what a trap writes" if unlike else ""
    instruction = decoded.instruction
    if "rd_wdata" in unlike:
        if instruction.extension == "M":
            part = "controller_retire (gen_multiply)" if instruction.funct3 < 4 else "controller_divider"
            return f"{part}: the result of {instruction.name}"
        if instruction.format == "load":
            return "controller_memory: the bytes of the word loaded, and their sign"
        if instruction.format in ("csr", "csri"):
            return "controller_retire: what of a CSR goes to rd"
        if instruction.format in ("J", "jalr"):
            return "controller_retire: the return address"
        return f"controller_alu: the result of {instruction.name}"
    if "pc_wdata" in unlike:
        if instruction.format == "B":
            return f"controller_alu: the decision of {instruction.name}, or its target"
        if instruction.format in ("J", "jalr"):
            return f"controller_alu: the target of {instruction.name}"
        return "controller_retire: the next pc"
    return ""
