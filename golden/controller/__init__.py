# SPDX-License-Identifier: Apache-2.0
"""The RISC-V barrel controller: instruction table, CSRs, memory map, instruction-set simulator, random programs.

See docs/controller.md. `iss.Iss` is the architecture state of all harts; `instructions.INSTRUCTIONS` the one table
from which decoder, disassembler, assembler and random generator come; `csrs.CSRS` the one table of CSRs.
"Vol. I" and "Vol. II" are The RISC-V Instruction Set Manual, volumes I (unprivileged) and II (privileged), 20240411.
"""
