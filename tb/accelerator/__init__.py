# SPDX-License-Identifier: Apache-2.0
"""Bench of the accelerator. Start at `test_accelerator` (what is tested), then `env` (what is built), `host` (what the
host does), `passive` (the blocks' own scoreboards, watching), `tensors` (end to end)."""
