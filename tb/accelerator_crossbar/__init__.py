# SPDX-License-Identifier: Apache-2.0
"""Bench of the crossbar alone, whose destinations stall. Start at `test_accelerator_crossbar`."""
