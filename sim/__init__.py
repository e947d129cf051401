"""Builds and runs: simulators, targets, the build cache, waves and reports.

The command line is ``python -m sim`` (see ``python -m sim --help``); the Makefile is a thin layer over it.
"""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The checkout: every path in the table of targets is relative to it."""


def shown(path: Path) -> str:
    """A path as a user reads it: relative to the checkout."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
