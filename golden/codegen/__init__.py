# SPDX-License-Identifier: Apache-2.0
"""Integer networks to memory images and firmware of the accelerator. See docs/accelerator.md.

`plan` maps a network; the types of what it gives are in the module of the same name, `golden.codegen.plan`.
"""

from assay.golden.codegen.folding import fold
from assay.golden.codegen.planner import plan

__all__ = ["fold", "plan"]
