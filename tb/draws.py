# SPDX-License-Identifier: Apache-2.0
"""Random things that must fulfil a condition: drawn until one does, but not for ever."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from assay.tb.errors import AssayError

__all__ = ["DRAWS", "first_drawn"]

DRAWS = 50_000  #: after which a condition counts as one that nothing fulfils

_T = TypeVar("_T")


def first_drawn(draw: Callable[[], _T | None], what: str, draws: int = DRAWS) -> _T:
    """The first thing drawn that is one.

    Args:
        draw: gives one, or None where what it drew does not do.
        what: is drawn, for the message.
        draws: at most.

    Raises:
        AssayError: none of so many does: the condition is too narrow, which would otherwise be a run without end.
    """
    for _ in range(draws):
        drawn = draw()
        if drawn is not None:
            return drawn
    raise AssayError(f"{what}: none in {draws:,} draws; the condition leaves none, or hardly any")
