# SPDX-License-Identifier: Apache-2.0
"""The design of the runner's own tests: a target as the table holds them, outside the table."""

from assay.sim.targets import Parameter, Target

COUNTER = Target(
    name="counter",
    summary="counts",
    hdl_top="counter_tb",
    sources=("sim/tests/counter/counter_tb.sv",),
    test_modules=("assay.sim.tests.counter.bench",),
    default_tests=("counts",),
    parameters={"Width": Parameter(8, range(2, 33), "bits")},
    window_ns=(200, 50),
    timeout_s=10,
)
