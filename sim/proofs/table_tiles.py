# SPDX-License-Identifier: Apache-2.0
"""The proofs of what moves the PE array's tiles: sequencer and drain."""

from __future__ import annotations

from assay.sim.proofs.proof import Bug, Proof

TILE_PROOFS = (
    Proof(
        name="pe_array_sequencer",
        claim="a completed column waits for the drain without a change, and nothing moves meanwhile",
        top="pe_array_sequencer",
        parameters=({"Rows": 2, "WeightDepth": 4},),
        sources=(
            "rtl/common/rescale_pkg.sv",
            "rtl/pe_array/pe_array_pkg.sv",
            "rtl/pe_array/pe_array_sequencer.sv",
        ),
        properties=("columns_stable",),
        assumptions={
            "step_ends_by_the_last_column": "a tile's output columns fit its map (golden.pe_array checks the header)"
        },
        bugs=(
            Bug(
                "rtl/pe_array/pe_array_sequencer.sv",
                "assign advance = !complete3_q || capture_ready_i;",
                "assign advance = !complete3_q || capture_ready_i || valid_i;",
                "columns_stable",
            ),
            Bug(
                "rtl/pe_array/pe_array_sequencer.sv",
                "      keep3_q     <= keep2_q;\n    end\n",
                "      keep3_q     <= keep2_q;\n    end else begin\n      keep3_q <= keep2_q;\n    end\n",
                "columns_stable",
            ),
        ),
    ),
    Proof(
        name="pe_array_drain",
        claim="each column goes on as all of its groups, in order, unchanged, with its own entries, and each waits "
        "without a change",
        top="pe_array_drain_proof",
        parameters=({"Columns": 3, "Lanes": 2}, {"Columns": 2, "Lanes": 1}),
        sources=(
            "rtl/common/rescale_pkg.sv",
            "rtl/pe_array/pe_array_pkg.sv",
            "rtl/pe_array/pe_array_drain.sv",
            "sim/proofs/pe_array_drain_proof.sv",
        ),
        properties=(
            "groups_stable",
            "values_stable",
            "valid_while_column",
            "never_overwritten",
            "starts_in_time",
            "last_with_the_last_group",
            "entries_of_the_group",
            "columns_unchanged",
            "keeps_the_channels",
        ),
        helpers=("column_inside", "groups_counted", "entries_known"),
        assumptions={
            "header_stays": "a tile's header stays until its last column has gone (pe_array_weights)",
            "channels_fit": "a tile has from one to Columns channels (golden.pe_array checks the header)",
            "columns_of_a_tile_follow": "the sequencer ends a tile before it begins the next",
            "entries_stay": "the memory of the entries keeps what it has read (ram_1r1w)",
        },
        bugs=(
            Bug(
                "rtl/pe_array/pe_array_drain.sv",
                "!give || last_group ? '0 : group_q + 1'b1",
                "last_group ? '0 : group_q + 1'b1",
                "entries_of_the_group",
            ),
            Bug(
                "rtl/pe_array/pe_array_drain.sv",
                "assign ready_o    = !valid_q || (give && last_group);",
                "assign ready_o    = !valid_q || give;",
                "never_overwritten",
            ),
            Bug(
                "rtl/pe_array/pe_array_drain.sv",
                "if (give && last_group && last_q) loaded_q <= 1'b0;",
                "if (give && last_group && last_q && !capture) loaded_q <= 1'b0;",
                "entries_of_the_group",
            ),
            Bug(
                "rtl/pe_array/pe_array_drain.sv",
                "9'(entry.source_column) < 9'(Columns - 1) ?",
                "9'(entry.source_column) < 9'(Columns) ?",
                "columns_unchanged",
            ),
        ),
    ),
)
