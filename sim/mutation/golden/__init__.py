# SPDX-License-Identifier: Apache-2.0
"""Mutation of the golden model: faults in its Python, of which each must fail a test (``make mutate-golden``)."""
