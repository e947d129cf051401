# SPDX-License-Identifier: Apache-2.0
"""A block for the tests of mutation, which no discovery finds: its bench overlooks some faults."""
