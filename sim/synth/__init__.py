# SPDX-License-Identifier: Apache-2.0
"""What the RTL becomes in gates: see :mod:`assay.sim.synth.synth`."""
