# SPDX-License-Identifier: Apache-2.0
"""Bench of the MVUs and their crossbar. Start at `test_mvu_array` (what is tested), then `env` and `crossbar`."""
