# SPDX-License-Identifier: Apache-2.0
"""Operators of whole networks: exact sums (`linear`), moving data (`shaping`), and one module a framework."""
