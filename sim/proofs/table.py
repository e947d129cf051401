# SPDX-License-Identifier: Apache-2.0
"""What is proved: one entry for each proof, with its assumptions and bugs that it must find.

The properties are the assertions (`ASSERT`, `ASSERT_STREAM`) of the RTL and, where a promise is about the order of
words, those of a module `<name>_proof.sv` beside this file, which has the RTL inside.
"""

from __future__ import annotations

from assay.sim.proofs.proof import Bug, Proof
from assay.sim.proofs.table_controller import CONTROLLER_PROOFS
from assay.sim.proofs.table_rescale import RESCALE_PROOFS
from assay.sim.proofs.table_tiles import TILE_PROOFS

__all__ = ["PROOFS", "Bug", "Proof"]

ARBITER_HELPERS = ("one_goes_first", "no_circle", "losses_bounded", "order_of_grants")
"""Those of bank_arbiter, wherever it is inside."""

FIFO_HELPERS = ("pointers_in_range", "pointers_apart")
"""Those of fifo, wherever it is inside."""

ARBITER = ("rtl/common/bank_arbiter.sv", "rtl/accelerator/accelerator_arbiter.sv")
ARBITER_PROPERTIES = ("request_stays", "one_at_a_time", "nobody_starves", "longest_ago_wins")
PACKAGES = (
    "rtl/mvu/mvu_pkg.sv",
    "rtl/controller/controller_pkg.sv",
    "rtl/accelerator/accelerator_pkg.sv",
)

PROOFS = (
    Proof(
        name="fifo",
        claim="words come out in order, none is lost or comes twice, and it never holds more than its depth",
        top="fifo_proof",
        parameters=({"Depth": 5}, {"Depth": 2}, {"Depth": 8}),
        sources=("rtl/common/fifo.sv", "sim/proofs/fifo_proof.sv"),
        properties=(
            "never_overflows",
            "ready_while_room",
            "valid_while_word",
            "counts",
            "marked_word_in_order",
        ),
        helpers=(*FIFO_HELPERS, "marked_word_inside", "marked_word_kept"),
        bugs=(
            Bug(
                "rtl/common/fifo.sv",
                "if (pop) rptr_q <= rptr_q == PtrWidth'(Depth - 1)",
                "if (pop) rptr_q <= rptr_q == PtrWidth'(Depth)",
                "marked_word_in_order",
            ),
            Bug("rtl/common/fifo.sv", "wvalid_i & wready_o", "wvalid_i", "ready_while_room"),
        ),
    ),
    Proof(
        name="packet_fifo",
        claim="committed words come out in order, none is lost or comes twice, dropped and open ones never come out",
        top="packet_fifo_proof",
        parameters=({"Depth": 4}, {"Depth": 2}),
        sources=("rtl/common/ram_1r1w.sv", "rtl/common/packet_fifo.sv", "sim/proofs/packet_fifo_proof.sv"),
        properties=(
            "holds_no_more_than_depth",
            "reads_only_committed",
            "never_overflows",
            "ready_while_room",
            "only_committed_words",
            "word_is_shown_in_the_next_clock",
            "marked_word_in_order",
        ),
        helpers=(
            "committed_words_inside",
            "open_words_inside",
            "marked_word_inside",
            "marked_word_kept",
        ),
        bugs=(
            Bug(
                "rtl/common/packet_fifo.sv",
                "if (wcommit_i && !wdrop_i)",
                "if (wcommit_i)",
                "reads_only_committed",
            ),
            Bug(
                "rtl/common/packet_fifo.sv",
                "wdrop_i ? commit_q : wptr_q + 1'b1",
                "wptr_q + 1'b1",
                "marked_word_in_order",
            ),
        ),
    ),
    Proof(
        name="bank_arbiter",
        claim="a bank has one user at a time and is never idle while it is asked for; nobody loses N times in a row",
        top="bank_arbiter_proof",
        parameters=({"NumReq": 3}, {"NumReq": 2}, {"NumReq": 4}),
        sources=("rtl/common/bank_arbiter.sv", "sim/proofs/bank_arbiter_proof.sv"),
        properties=("nobody_starves", "longest_ago_wins", "only_requests", "exclusive", "work_conserving"),
        helpers=ARBITER_HELPERS,
        bugs=(
            Bug(
                "rtl/common/bank_arbiter.sv",
                "if (i != j && gnt[i] && !gnt[j]) begin",
                "if (i != j && gnt[i] && req_i[j] && !gnt[j]) begin",
                "longest_ago_wins",
            ),
            Bug(
                "rtl/common/bank_arbiter.sv",
                "before_q <= before_d;",
                "before_q <= before_q;",
                "nobody_starves",
            ),
            Bug(
                "rtl/common/bank_arbiter.sv",
                "req_i[j] && same_bank[i*NumReq+j]",
                "same_bank[i*NumReq+j]",
                "work_conserving",
            ),
        ),
    ),
    Proof(
        name="mvu_agu",
        claim="the address is base + sum of index * stride, and the indices count as nested loops do",
        top="mvu_agu_proof",
        parameters=({"Loops": 4}, {"Loops": 2}, {"Loops": 3}),
        sources=("rtl/mvu/mvu_agu.sv", "sim/proofs/mvu_agu_proof.sv"),
        properties=("address_of_the_indices", "jump_of_the_innermost"),
        helpers=("indices_counted", "indices_in_range"),
        bugs=(
            Bug(
                "rtl/mvu/mvu_agu.sv",
                "addr_q <= addr_q + delta",
                "addr_q <= addr_q + delta + 1",
                "address_of_the_indices",
            ),
            Bug(
                "rtl/mvu/mvu_agu.sv",
                "else if (jump < IndexWidth'(k)) count_q",
                "else if (jump + 1'b1 < IndexWidth'(k)) count_q",
                "jump_of_the_innermost",
            ),
        ),
    ),
    Proof(
        name="mvu_serialiser",
        claim="blocks come out in order, each as its planes, the most significant first, none lost and none twice",
        top="mvu_serialiser_proof",
        parameters=({"Lanes": 2}, {"Lanes": 1}),
        sources=(
            "rtl/mvu/mvu_pkg.sv",
            "rtl/common/fifo.sv",
            "rtl/mvu/mvu_agu.sv",
            "rtl/mvu/mvu_serialiser.sv",
            "sim/proofs/mvu_serialiser_proof.sv",
        ),
        properties=(
            "block_has_room",
            "valid_while_block",
            "freed_with_last_plane",
            "planes_in_order",
            "address_stays",
        ),
        helpers=(
            "planes_counted",
            "blocks_counted",
            "marked_block_inside",
            "marked_block_kept",
            *FIFO_HELPERS,
        ),
        assumptions={
            "begun_only_where_room": "the sequencer begins only outputs that fit (mvu_sequencer)",
            "precision_is_legal": "the registers accept no job with another precision",
            "precision_stays": "a job's configuration stays until all of its words are written",
        },
        bugs=(
            Bug(
                "rtl/mvu/mvu_serialiser.sv",
                "assign plane      = 4'(precision_i - 5'd1) - plane_q",
                "assign plane      = plane_q",
                "planes_in_order",
            ),
            Bug(
                "rtl/mvu/mvu_serialiser.sv",
                ".rready_i(taken_i && last_plane)",
                ".rready_i(last_plane)",
                "valid_while_block",
            ),
        ),
    ),
    Proof(
        name="accelerator_arbiter",
        claim="one user at a time, which stays until its transfer; at most N - 1 transfers of others before one's own",
        top="accelerator_arbiter_proof",
        parameters=({"NumReq": 4}, {"NumReq": 2}, {"NumReq": 3}),
        sources=(
            "rtl/common/bank_arbiter.sv",
            "rtl/accelerator/accelerator_arbiter.sv",
            "sim/proofs/accelerator_arbiter_proof.sv",
        ),
        properties=(
            "one_at_a_time",
            "only_requests",
            "work_conserving",
            "granted_stays",
            "nobody_waits_longer",
            "nobody_starves",
            "longest_ago_wins",
        ),
        helpers=(*ARBITER_HELPERS, "granted_is_last", "waiting_bounded", "waits_for_one"),
        assumptions={"request_stays": "a requester that is granted keeps its request until the transfer"},
        bugs=(
            Bug(
                "rtl/accelerator/accelerator_arbiter.sv",
                "held_q <= ready_i ? '0 : gnt_o",
                "held_q <= '0",
                "granted_stays",
            ),
            Bug(
                "rtl/common/bank_arbiter.sv",
                "before_q <= before_d;",
                "before_q <= before_q;",
                "nobody_starves",
            ),
        ),
    ),
    Proof(
        name="accelerator_crossbar",
        claim="each word reaches each unit of its dest once and unchanged, and no other; offers are stable",
        top="accelerator_crossbar_proof",
        parameters=({"Mvus": 3}, {"Mvus": 2}),
        sources=(
            "rtl/common/bank_arbiter.sv",
            "rtl/accelerator/accelerator_arbiter.sv",
            "rtl/accelerator/accelerator_crossbar.sv",
            "sim/proofs/accelerator_crossbar_proof.sv",
        ),
        properties=(
            "xbi_stable",
            "each_unit_once",
            "request_stays",
            "one_at_a_time",
            "word_arrives_unchanged",
            "offered_to_its_units",
            "offered_once",
            "asked_for_is_offered",
            "taken_when_all_have_it",
            "offer_has_source",
            "nobody_starves",
            "longest_ago_wins",
        ),
        helpers=(*ARBITER_HELPERS, "served_is_known", "had_only_by_its_units"),
        assumptions={
            "xbo_stable": "a unit keeps a word, its address and its dest until it is taken",
            "address_names_source": "addresses differ by source; the crossbar does not look at them",
        },
        bugs=(
            Bug(
                "rtl/accelerator/accelerator_crossbar.sv",
                "& {Mvus{xbo_valid_i[s]}} & ~served_q[s*Mvus+:Mvus]",
                "& {Mvus{xbo_valid_i[s]}}",
                "taken_when_all_have_it",
            ),
            Bug(
                "rtl/accelerator/accelerator_arbiter.sv",
                "held_q <= ready_i ? '0 : gnt_o",
                "held_q <= '0",
                "xbi_stable",
            ),
        ),
    ),
    Proof(
        name="accelerator_fabric",
        claim="requests to units and answers to controller and host wait without a change; a slot has one state",
        top="accelerator_fabric",
        parameters=({"Mvus": 2},),
        sources=(*PACKAGES, *ARBITER, "rtl/accelerator/accelerator_fabric.sv"),
        properties=(
            "unit_req_stable",
            "bus_rsp_stable",
            "write_rsp_stable",
            "read_rsp_stable",
            "one_state",
            *ARBITER_PROPERTIES,
        ),
        helpers=ARBITER_HELPERS,
        assumptions={
            "bus_req_stable": "the controller keeps a request until it is taken (controller_bus)",
            "write_req_stable": "the host's writer keeps a request (accelerator_axi_write)",
            "read_req_stable": "the host's reader keeps a request (accelerator_axi_read)",
            "hart_exists": "the controller has as many harts as there are units",
            "answer_expected": "units answer reads only",
            "unit_rsp_expected": "units answer reads only",
            "pending_after_write": "a unit has a second job only after the write that starts it",
        },
        bugs=(
            Bug(
                "rtl/accelerator/accelerator_fabric.sv",
                "(wait_q[s] && exists[s] && !accepted[s])",
                "1'b0",
                "unit_req_stable",
            ),
            Bug(
                "rtl/accelerator/accelerator_fabric.sv",
                "(done_q[s] && !leave[s])",
                "1'b0",
                "write_rsp_stable",
            ),
        ),
    ),
    Proof(
        name="accelerator_axi_read",
        claim="R and the requests of the host's reader wait without a change; each word asked for has a place",
        top="accelerator_axi_read",
        parameters=({"Mvus": 2, "Lanes": 8},),
        sources=(
            *PACKAGES,
            "rtl/common/fifo.sv",
            "rtl/accelerator/accelerator_decode.sv",
            "rtl/accelerator/accelerator_axi_read.sv",
        ),
        properties=("r_stable", "reg_req_stable", "ctl_req_stable", "mem_stable", "answers_have_room"),
        helpers=FIFO_HELPERS,
        assumptions={
            "ar_stable": "the host keeps ARVALID and its fields until ARREADY, as AXI4 demands",
            "answer_expected": "registers and controller answer requests only",
        },
        clocks=8,
        induction=0,
        bugs=(
            Bug(
                "rtl/accelerator/accelerator_axi_read.sv",
                "to_registers && !sent_q && (room || low_q)",
                "to_registers && !sent_q && (room || low_q) && rready_i",
                "reg_req_stable",
            ),
            Bug("rtl/common/fifo.sv", "rdata_o  = mem[rptr_q]", "rdata_o  = mem[wptr_q]", "r_stable"),
        ),
    ),
    Proof(
        name="accelerator_axi_write",
        claim="B and the requests of the host's writer wait without a change",
        top="accelerator_axi_write",
        parameters=({"Mvus": 2, "Lanes": 8},),
        sources=(
            *PACKAGES,
            "rtl/common/fifo.sv",
            "rtl/accelerator/accelerator_decode.sv",
            "rtl/accelerator/accelerator_axi_write.sv",
        ),
        properties=("b_stable", "reg_req_stable", "ctl_req_stable", "mem_stable", "tr_stable"),
        helpers=FIFO_HELPERS,
        assumptions={
            "aw_stable": "the host keeps AWVALID and its fields until AWREADY, as AXI4 demands",
            "w_stable": "the host keeps WVALID and its fields until WREADY, as AXI4 demands",
            "answer_expected": "registers and controller answer requests only",
        },
        clocks=8,
        induction=0,
        bugs=(
            Bug("rtl/common/fifo.sv", "rdata_o  = mem[rptr_q]", "rdata_o  = mem[wptr_q]", "reg_req_stable"),
            Bug(
                "rtl/accelerator/accelerator_axi_write.sv",
                "to_controller && !sent_q",
                "to_controller && !sent_q && bready_i",
                "ctl_req_stable",
            ),
        ),
    ),
    Proof(
        name="accelerator_controller_port",
        claim="requests of the host to the controller wait without a change",
        top="accelerator_controller_port",
        sources=(*ARBITER, "rtl/accelerator/accelerator_controller_port.sv"),
        properties=("host_req_stable", *ARBITER_PROPERTIES),
        helpers=ARBITER_HELPERS,
        assumptions={
            "write_req_stable": "the host's writer keeps a request (accelerator_axi_write)",
            "read_req_stable": "the host's reader keeps a request (accelerator_axi_read)",
            "answer_expected": "the controller answers requests only",
        },
        bugs=(
            Bug(
                "rtl/accelerator/accelerator_controller_port.sv",
                ".ready_i(host_req_ready_i)",
                ".ready_i(1'b1)",
                "host_req_stable",
            ),
        ),
    ),
    Proof(
        name="accelerator_data_port",
        claim="writer and reader keep what they ask a data memory for until it is taken, and take turns",
        top="accelerator_data_port",
        parameters=({"Mvus": 2, "Lanes": 1},),
        sources=(*ARBITER, "rtl/accelerator/accelerator_data_port.sv"),
        properties=ARBITER_PROPERTIES,
        helpers=ARBITER_HELPERS,
        assumptions={
            "write_stable": "the host's writer keeps a word (accelerator_axi_write)",
            "read_stable": "the host's reader keeps a request (accelerator_axi_read)",
            "one_unit_is_read": "the host's reader names one unit",
            "one_answer_at_a_time": "the reader asks for words of one unit at a time",
        },
        bugs=(
            Bug(
                "rtl/accelerator/accelerator_data_port.sv",
                "read_ready_o  = read_taken != '0",
                "read_ready_o  = reads != '0",
                "request_stays",
            ),
        ),
    ),
    Proof(
        name="accelerator_registers",
        claim="answers of the accelerator's registers wait without a change",
        top="accelerator_registers",
        parameters=({"Mvus": 2},),
        sources=(*PACKAGES, "rtl/accelerator/accelerator_registers.sv"),
        properties=("response_stable",),
        assumptions={"request_stable": "the fabric keeps a request (accelerator_fabric)"},
        bugs=(
            Bug(
                "rtl/accelerator/accelerator_registers.sv",
                "req_ready_o  = !rsp_valid_q || rsp_ready_i",
                "req_ready_o  = 1'b1",
                "response_stable",
            ),
        ),
    ),
    Proof(
        name="controller_bus",
        claim="requests of the harts to the bus wait without a change",
        top="controller_bus",
        parameters=({"Harts": 2},),
        sources=(
            "rtl/controller/controller_pkg.sv",
            "rtl/common/fifo.sv",
            "rtl/controller/controller_bus.sv",
        ),
        properties=("bus_request_stable",),
        helpers=FIFO_HELPERS,
        assumptions={
            "request_room": "a hart has one request under way",
            "response_expected": "the bus answers requests only",
        },
        bugs=(
            Bug(
                "rtl/common/fifo.sv", "rdata_o  = mem[rptr_q]", "rdata_o  = mem[wptr_q]", "bus_request_stable"
            ),
        ),
    ),
    Proof(
        name="controller_host",
        claim="answers to the host wait without a change, and each has a place",
        top="controller_host",
        parameters=({"Harts": 2},),
        sources=(
            "rtl/controller/controller_pkg.sv",
            "rtl/common/fifo.sv",
            "rtl/controller/controller_host.sv",
        ),
        properties=("response_stable", "answers_have_room"),
        helpers=FIFO_HELPERS,
        bugs=(
            Bug(
                "rtl/controller/controller_host.sv",
                "count + {2'b0, answer_q} < 3'(Depth)",
                "count < 3'(Depth)",
                "answers_have_room",
            ),
        ),
    ),
    Proof(
        name="pe_array_regs",
        claim="answers of the PE array's registers wait without a change",
        top="pe_array_regs",
        sources=(
            "rtl/common/rescale_pkg.sv",
            "rtl/pe_array/pe_array_pkg.sv",
            "rtl/pe_array/pe_array_regs.sv",
        ),
        properties=("response_stable",),
        bugs=(
            Bug(
                "rtl/pe_array/pe_array_regs.sv",
                "(req_write_i || !rsp_valid_q || rsp_ready_i)",
                "1'b1",
                "response_stable",
            ),
        ),
    ),
    *TILE_PROOFS,
    *RESCALE_PROOFS,
    *CONTROLLER_PROOFS,
)
