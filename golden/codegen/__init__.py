# SPDX-License-Identifier: Apache-2.0
"""Integer networks to memory images and firmware of the accelerator: `plan` maps a network. See docs/accelerator.md."""

from assay.golden.codegen.planner import plan

__all__ = ["plan"]
