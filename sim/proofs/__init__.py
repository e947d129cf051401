# SPDX-License-Identifier: Apache-2.0
"""Proofs of the RTL's properties for all inputs: see :mod:`assay.sim.proofs.table` for what is proved."""
