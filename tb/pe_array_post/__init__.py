# SPDX-License-Identifier: Apache-2.0
"""Bench of the PE array's output stage alone: every rounding and every operation on many values."""
