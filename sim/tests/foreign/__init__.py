# SPDX-License-Identifier: Apache-2.0
"""Blocks in other houses' styles and benches for them, as a user of the library writes them: the tests of
`tb.stream_bench` and of the agents by signal names."""

from sim.targets import Target

FOREIGN = Target(
    name="foreign",
    summary="small blocks of other styles",
    hdl_top="foreign",
    sources=("sim/tests/foreign/foreign.sv",),
    test_modules=("sim.tests.foreign.bench",),
    publish=("*",),
    timeout_s=60,
)
