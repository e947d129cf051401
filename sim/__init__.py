# SPDX-License-Identifier: Apache-2.0
"""Builds and runs: simulators, blocks, the build cache, waves and reports.

The command line is ``python -m sim`` (see ``python -m sim --help``); the Makefile is a thin layer over it. From Python:
``sim.load(model, engine=NAME)`` gives a network on simulated hardware (see :mod:`sim.engine`).
"""

import os
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
"""The checkout."""


def shown(path: Path) -> str:
    """A path as a user reads it: relative to the current folder, where it is below that."""
    here = os.getcwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def load(*arguments: Any, **options: Any) -> Any:
    """A network on simulated hardware: see :func:`sim.engine.load`, which is imported when needed."""
    from assay.sim.engine import load as load_engine

    return load_engine(*arguments, **options)
