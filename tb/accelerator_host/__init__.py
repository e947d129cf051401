# SPDX-License-Identifier: Apache-2.0
"""Bench of the accelerator's host side alone. Start at `test_accelerator_host`, then `scoreboard`."""
