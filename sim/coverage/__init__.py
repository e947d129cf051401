# SPDX-License-Identifier: Apache-2.0
"""Coverage of runs, merged: what of the RTL was executed, which bins were hit, by which test (docs/howto/coverage.md).

- `assay.sim.coverage.runs`: what a run leaves, kept with what it was made from, and read again.
- `assay.sim.coverage.code`: Verilator's counts of lines, branches, expressions and toggles.
- `assay.sim.coverage.functional`: the benches' cover groups.
- `assay.sim.coverage.exclusions`: what need not be covered, with reasons.
- `assay.sim.coverage.page`, `lcov`, `ucis`: the report and the files for other tools.
- `assay.sim.coverage.command`: the command ``coverage``.
"""
