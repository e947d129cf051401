# SPDX-License-Identifier: Apache-2.0
"""The proofs of the controller against its definition, golden's instruction table, and of its divider."""

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
SOURCES = (
    *CONTROLLER,
    "sim/proofs/controller_instruction.sv",
    "sim/proofs/controller_record.sv",
    "sim/proofs/controller_proof.sv",
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

PARTS_OF_IT = (
    "bus_request_stable",
    "answers_have_room",
    "response_stable",
)
"""What modules inside promise by themselves."""

INSIDE = (
    "request_room",
    "next_in_turn",
    "one_in_flight",
    "pointers_in_range",
    "pointers_apart",
    *PARTS_OF_IT,
)
"""Assertions of the controller and of the modules inside."""

STATE_HELPERS = (
    "flight_is_one_slot",
    "parked_is_out",
    "waits_is_parked",
    "record_has_slot",
    "restart_is_idle",
    "x_is_its_word",
    "m_is_its_word",
    "m_is_its_result",
    "interrupt_has_first_phase",
    "slots_have_its_pc",
    "slots_have_its_phase",
    "slots_have_its_interrupt",
    "slots_have_its_word",
    "slots_have_its_register",
    "clears_an_idle_hart",
    "register_kept",
    "register_is_cleared",
    "hold_kept",
    "pc_kept",
    "flags_kept",
    "order_kept",
    "csrs_kept",
    "counters_kept",
    "word_kept",
    "devices_kept",
    "queue_is_who_waits",
    "later_is_behind_last",
    "pointers_in_range",
    "pointers_apart",
)

ANSWERS = {"response_expected": "the bus answers requests only"}

DIVIDER = "rtl/controller/controller_divider.sv"

CONTROLLER_PROOFS = (
    Proof(
        name="controller_divider",
        claim="each division is answered once, in order, to its hart, after 32 clocks, with the quotient or remainder "
        "that the specification defines, for all operands, and its result waits without a change",
        top="controller_divider_proof",
        parameters=({"Harts": 2},),
        sources=("rtl/common/fifo.sv", DIVIDER, "sim/proofs/controller_divider_proof.sv"),
        properties=(
            "answer_stable",
            "answer_taken_before_next",
            "answer_in_time",
            "answer_to_its_hart",
            "digits_are_the_quotient",
            "quotient_as_defined",
            "remainder_as_defined",
            "division_by_zero_as_defined",
            "overflow_as_defined",
        ),
        helpers=(
            "queues_agree",
            "steps_agree",
            "job_kept",
            "digits_kept",
            "product_and_remainder",
            "remainder_is_small",
            "by_zero_all_ones",
            "by_one_itself",
            "pointers_in_range",
            "pointers_apart",
        ),
        assumptions={"request_room": "a hart has one request under way"},
        bugs_by_induction=True,
        bugs=(
            Bug(DIVIDER, "done_q      <= bit_q == '1", "done_q      <= bit_q == 5'd3", "answer_in_time"),
            Bug(
                DIVIDER,
                "{quotient_q[30:0], !difference[32]}",
                "{quotient_q[30:0], difference[32]}",
                "digits_kept",
            ),
            Bug(
                DIVIDER,
                "difference[32] ? shifted[31:0]",
                "difference[31] ? shifted[31:0]",
                "product_and_remainder",
            ),
            Bug(
                DIVIDER,
                "difference = shifted - {1'b0",
                "difference = shifted - 33'd1 - {1'b0",
                "remainder_is_small",
            ),
            Bug(DIVIDER, "(!funct[1] && divisor[31])", "divisor[31]", "job_kept"),
            Bug(DIVIDER, " && (funct[1] || divisor != '0)", "", "job_kept"),
            Bug(
                DIVIDER,
                "{hart_i, funct_i, dividend_i, divisor_i}",
                "{hart_i, funct_i, divisor_i, dividend_i}",
                "queues_agree",
            ),
            Bug(DIVIDER, "negate_q ? -magnitude", "negate_q ? ~magnitude", "remainder_as_defined"),
            Bug(
                DIVIDER,
                "remainder_wanted_q ? remainder_q",
                "remainder_wanted_q && remainder_q != '0 ? remainder_q",
                "overflow_as_defined",
            ),
            Bug(DIVIDER, "hart_o    = hart_q", "hart_o    = queued ? hart : hart_q", "answer_to_its_hart"),
        ),
    ),
    Proof(
        name="controller_instruction",
        claim="each record of RVFI is what golden's instruction table says of its word, pc and operands",
        top="controller_proof",
        parameters=({"Harts": 2},),
        sources=SOURCES,
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
    Proof(
        name="controller_state",
        claim="registers, pc, CSRs, interrupts, memories and timer are at each record what all before it made of them",
        top="controller_proof",
        parameters=({"Harts": 2, "State": 1},),
        sources=SOURCES,
        properties=(
            "register_gives_last_write",
            "pc_follows",
            "interrupt_is_shown",
            "interrupt_when_due",
            "issues_only_if_free",
            "csr_as_defined",
            "word_is_what_memory_holds",
            "load_gives_last_store",
            "device_as_defined",
            "order_counts",
            "one_in_flight",
            "next_in_turn",
            "request_room",
            "errors_kept",
        ),
        helpers=STATE_HELPERS,
        elsewhere=(
            *(name for name in RECORD if name not in ("trap_as_defined", "constants_of_a_record")),
            *PARTS_OF_IT,
        ),
        assumptions={
            **ANSWERS,
            "answered_after_taken": "the bus answers a request after it has taken it",
            "host_req_stable": "the host keeps a request until it is taken (accelerator_controller_port)",
            "mark_stays": "the solver looks at one hart, register and word",
            "trap_as_defined": "proved by controller_instruction",
            "constants_of_a_record": "proved by controller_instruction",
        },
        bugs_by_induction=True,
        bugs=(
            Bug(
                "rtl/controller/controller_csr.sv",
                "status_mie_q[hart_i]  <= status_mpie_q[hart_i];\n        status_mpie_q[hart_i] <= 1'b1;",
                "status_mie_q[hart_i]  <= status_mpie_q[hart_i];\n        status_mpie_q[hart_i] <= 1'b0;",
                "csrs_kept",
            ),
            Bug(
                "rtl/controller/controller_csr.sv",
                "inhibit ? cycles_new : cycles_new - clock_next",
                "inhibit ? cycles_new : cycles_new - clock_q",
                "counters_kept",
            ),
            Bug(
                "rtl/controller/controller_csr.sv",
                "(pending_q & ~restart & ~(one & {Harts{mvu_clear}})) | (one & {Harts{mvu_set}}) | mvu_irq_i",
                "((pending_q | mvu_irq_i) & ~restart & ~(one & {Harts{mvu_clear}})) | (one & {Harts{mvu_set}})",
                "csrs_kept",
            ),
            Bug(
                "rtl/controller/controller_csr.sv",
                "on_external[irq_hart_i] ? 5'(IrqExternal) : on_software[irq_hart_i] ? 5'(IrqSoftware)",
                "on_software[irq_hart_i] ? 5'(IrqSoftware) : on_external[irq_hart_i] ? 5'(IrqExternal)",
                "slots_have_its_interrupt",
            ),
            Bug(
                "rtl/controller/controller_memory.sv",
                "size_i[0] ? {2{wdata[15:0]}}",
                "size_i[0] ? {16'b0, wdata[15:0]}",
                "word_kept",
            ),
            Bug(
                "rtl/controller/controller_timer.sv",
                "write_compare && one[h] ? mtimecmp_d",
                "write_compare ? mtimecmp_d",
                "devices_kept",
            ),
            Bug(
                "rtl/controller/controller_scheduler.sv",
                "(parked_q & ~one_answer) | (one_m & {Harts{m_park_i}})",
                "(parked_q & ~one_answer) | (one_m & {Harts{m_park_i && !answer_valid_i}})",
                "waits_is_parked",
            ),
            Bug(
                "rtl/controller/controller_csr.sv",
                "CsrMinstreth, CsrInstreth: rdata_o = retired[63:32]",
                "CsrMinstreth, CsrInstreth: rdata_o = cycles[63:32]",
                "csr_as_defined",
            ),
        ),
    ),
)
