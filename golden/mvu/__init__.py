# SPDX-License-Identifier: Apache-2.0
"""Golden model of the bit-serial matrix-vector unit (MVU); the design is described in ``docs/mvu.md``."""
