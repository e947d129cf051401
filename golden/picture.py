# SPDX-License-Identifier: Apache-2.0
"""Figures as files: what the plots of comparison and profile share. Needs matplotlib when one is drawn."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

from assay.golden.errors import GoldenError

__all__ = ["figure", "save"]


def figure(what: str, size: tuple[float, float]) -> Any:
    """An empty matplotlib figure that no window system is needed for.

    Args:
        what: is drawn, for the message.
        size: width and height in inches.

    Raises:
        GoldenError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise GoldenError(
            f"drawing {what} needs the package matplotlib, install it with: pip install matplotlib"
        ) from None
    made = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(made)
    return made


def save(figure: Any, path: str | PathLike[str]) -> Path:
    """Write a figure in the format that the path's suffix names; returns the path.

    Raises:
        GoldenError: the suffix is none of matplotlib's formats, or the file cannot be written.
    """
    path = Path(path)
    try:
        figure.savefig(path, bbox_inches="tight")
    except OSError as error:
        raise GoldenError(f"{path} cannot be written: {error.strerror}") from None
    except ValueError:
        allowed = ", ".join(sorted(f".{suffix}" for suffix in figure.canvas.get_supported_filetypes()))
        raise GoldenError(
            f"{path}: suffix {path.suffix!r} is no picture format, use one of {allowed}"
        ) from None
    return path
