# SPDX-License-Identifier: Apache-2.0
"""Mutation of the RTL: faults, one at a time, of which each must fail a test (``make mutate``)."""
