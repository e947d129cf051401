# SPDX-License-Identifier: Apache-2.0
"""Bench of the agents themselves: a loopback of a FIFO and a memory, with faults planted in it."""
