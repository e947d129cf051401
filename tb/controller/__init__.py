# SPDX-License-Identifier: Apache-2.0
"""Bench of the controller: lock-step with the instruction-set simulator."""
