# SPDX-License-Identifier: Apache-2.0
"""The proofs of the rescaling unit against golden's definitions, at full width."""

from __future__ import annotations

from assay.sim.proofs.proof import Bug, Proof

RESCALE = "rtl/common/rescale.sv"
PACKAGE = "rtl/common/rescale_pkg.sv"

RESCALE_PROOFS = (
    Proof(
        name="rescale",
        claim="operands and results of the product are those of the three modes' definitions, at full width",
        top="rescale_proof",
        sources=(PACKAGE, RESCALE, "sim/proofs/rescale_proof.sv"),
        properties=(
            "operand_as_defined",
            "multiplier_as_defined",
            "double_rounding_as_defined",
            "float64_as_defined",
            "rational_as_defined",
        ),
        assumptions={
            "one_mode": "a factor has one mode",
            "shifts_are_limited": "rescale_pkg::shift_amounts limits them, and gives one direction",
            "product_in_range": "a product of two numbers is no more than that of the largest two",
        },
        cuts={"t:$mul r:Y_WIDTH>=53 %i": "the products of stage 1"},
        induction=4,
        bugs_by_induction=True,
        bugs=(
            Bug(
                RESCALE,
                "&& !(negative2_q[v] && product_q[v][29:0] == '0)",
                "",
                "double_rounding_as_defined",
            ),
            Bug(
                RESCALE,
                "33'(halved[32:1]) + 33'(halved[0])",
                "33'(halved[32:1])",
                "double_rounding_as_defined",
            ),
            Bug(RESCALE, "top = top | (top >> 8)", "top = top | (top >> 7)", "float64_as_defined"),
            Bug(RESCALE, "magnitude[32:31] != '0;", "magnitude[32] != '0;", "float64_as_defined"),
            Bug(RESCALE, "33'(halved[0] & divisor_i[v/Share*8])", "33'(halved[0])", "operand_as_defined"),
            Bug(RESCALE, "shifted[63:31] != '0", "shifted[63:33] != '0", "operand_as_defined"),
            Bug(RESCALE, "7'd31 + 7'(log_i", "7'd32 + 7'(log_i", "rational_as_defined"),
        ),
    ),
    Proof(
        name="reciprocal",
        claim="each divisor's reciprocal is as close as the quotient of every number below 2**31 needs it",
        top="reciprocal_proof",
        sources=(PACKAGE, "sim/proofs/reciprocal_proof.sv"),
        properties=("reciprocal_as_defined",),
        clocks=2,
        bugs=(
            Bug(PACKAGE, "(power + 64'(a) - 64'd1)", "power", "reciprocal_as_defined"),
            Bug(PACKAGE, "if (a > (1 << (i - 1))) l = i", "if (a > (1 << i)) l = i", "reciprocal_as_defined"),
        ),
    ),
)
