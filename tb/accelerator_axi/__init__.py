# SPDX-License-Identifier: Apache-2.0
"""The accelerator's host port under somebody else's AXI manager: see `test_accelerator_axi`."""
