# SPDX-License-Identifier: Apache-2.0
"""The proofs of the whole controller against its definition, golden's instruction table."""

from __future__ import annotations

from assay.sim.proofs.proof import Bug, Proof

_PARTS = ("decode", "alu", "regfile", "ram", "timer", "memory", "csr", "scheduler", "bus", "divider", "host")
CONTROLLER = (
    "rtl/controller/controller_pkg.sv",
    "rtl/controller/rvfi_pkg.sv",
    "rtl/controller/controller_decode_pkg.sv",
    "rtl/common/fifo.sv",
    *(f"rtl/controller/controller_{part}.sv" for part in _PARTS),
    "rtl/controller/controller_retire.sv",
    "rtl/controller/controller.sv",
)

RECORD = (
    "trap_as_defined",
    "cause_as_defined",
    "fetch_fault_has_no_word",
    "operands_as_defined",
    "rd_as_defined",
    "result_as_defined",
    "pc_as_defined",
    "access_as_defined",
    "nothing_else_is_read",
    "constants_of_a_record",
)
"""What a record says by itself."""

INSIDE = (
    "request_room",
    "bus_request_stable",
    "next_in_turn",
    "one_in_flight",
    "answers_have_room",
    "response_stable",
    "pointers_in_range",
    "pointers_apart",
)
"""Assertions of the controller's modules."""

ANSWERS = {"response_expected": "the bus answers requests only"}

CONTROLLER_PROOFS = (
    Proof(
        name="controller_instruction",
        claim="each record of RVFI is what golden's instruction table says of its word, pc and operands",
        top="controller_instruction_proof",
        parameters=({"Harts": 2},),
        sources=(
            *CONTROLLER,
            "sim/proofs/controller_instruction.sv",
            "sim/proofs/controller_instruction_proof.sv",
        ),
        properties=RECORD,
        helpers=("errors_kept",),
        elsewhere=INSIDE,
        assumptions=ANSWERS,
        induction=4,
        bugs_by_induction=True,
        bugs=(
            Bug(
                "rtl/controller/controller_alu.sv",
                "(second ^ {32{subtract}}) + 32'(subtract)",
                "(second ^ {32{subtract}})",
                "result_as_defined",
            ),
            Bug(
                "rtl/controller/controller_decode.sv",
                "insn_i[7], insn_i[30:25], insn_i[11:8]",
                "insn_i[8], insn_i[30:25], insn_i[11:8]",
                "pc_as_defined",
            ),
            Bug(
                "rtl/controller/controller_retire.sv",
                "extend_q      <= !insn_i[14]",
                "extend_q      <= 1'b1",
                "result_as_defined",
            ),
            Bug(
                "rtl/controller/controller_memory.sv",
                "addr[31:3] == MtimeBase[31:3]",
                "addr[31:4] == MtimeBase[31:4]",
                "access_as_defined",
            ),
            Bug(
                "rtl/controller/controller.sv",
                "m_jump && m_result[1]",
                "m_jump && m_result[1] && !m_decoded.branch",
                "trap_as_defined",
            ),
        ),
    ),
)
