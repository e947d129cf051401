# SPDX-License-Identifier: Apache-2.0
"""Bench of the MVU. Start at `test_mvu` (what is tested), then `env` (what is built), `jobs` (what is played)."""
