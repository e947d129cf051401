# SPDX-License-Identifier: Apache-2.0
"""Bench of the PE array. Start at `test_pe_array` (what is tested), then `env` (what is built), `tiles` (played)."""
