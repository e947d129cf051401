# SPDX-License-Identifier: Apache-2.0
"""Repositories of users: their modules can be imported, here and in the simulator's process, under their own names.

The simulator's process imports this module first where a block is of such a repository; it finds the folder in the
environment. A repository may have packages called as others that are imported already; they then share the name.
"""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

FOLDER = "ASSAY_PROJECT"
"""Environment variable of the simulator's process: the repository of the block that is simulated."""

in_use: dict[Path, str] = {}
"""Repositories whose blocks are known, each with the text by which the user named it; empty: it was found."""


def use(root: Path, named: str = "") -> None:
    """Let the modules of a repository be imported, before all others of their names."""
    in_use[root] = named
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    for folder in root.iterdir():
        package = sys.modules.get(folder.name)
        path = getattr(package, "__path__", None)
        if path is not None and folder.is_dir() and str(folder) not in path:
            path.append(str(folder))


def python_path() -> str:
    """PYTHONPATH of the simulator's process, where no repository of a user may hide what Assay imports."""
    return os.pathsep.join(path for path in sys.path if Path(path or os.curdir).resolve() not in in_use)


if FOLDER in os.environ:
    use(Path(os.environ[FOLDER]))
    # cocotb takes this for a module of tests.
    warnings.filterwarnings("ignore", message=f"No tests were discovered in module: {__name__}")
