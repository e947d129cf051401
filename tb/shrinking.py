# SPDX-License-Identifier: Apache-2.0
"""The search for a simpler case that still fails: whatever a case is, and however it is played.

A block says in passes what a simpler case is (`Pass`); each pass proposes candidates to a `Search`, which keeps those
that fail. Lists become shorter by ddmin (Zeller and Hildebrandt, "Simplifying and isolating failure-inducing input",
2002), from the end, where what comes after the failure lies.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from assay.golden.errors import ConfigurationError, GoldenError

__all__ = ["Pass", "Search"]

T = TypeVar("T")

Pass = Callable[["Search[Any]"], None]
"""Proposes simpler cases, each made from the best one so far."""


class _Over(Exception):
    """There is no time, or no number of trials, left."""


class Search(Generic[T]):
    """The best case so far, and the trials that improve it.

    Args:
        case: one that fails.
        fails: whether a case does, in the same way; it may take long.
        identity: what tells a case from another: no case is tried twice.
        over: whether the search must end.
        progress: called with each better case.

    Attributes:
        best: the simplest case that fails.
        tried: number of calls of `fails`.
        finished: no pass finds anything simpler; False where `over` has ended the search.
    """

    def __init__(
        self,
        case: T,
        fails: Callable[[T], bool],
        identity: Callable[[T], Hashable],
        over: Callable[[Search[T]], bool] = lambda search: False,
        progress: Callable[[T], None] = lambda case: None,
    ) -> None:
        self.best = case
        self.tried = 0
        self.finished = False
        self._fails = fails
        self._identity = identity
        self._over = over
        self._progress = progress
        self._seen: set[Hashable] = set()

    def run(self, passes: Iterable[Pass]) -> T:
        """Make all passes, again and again, until none finds anything simpler or time is over.

        Returns:
            `best`.

        Raises:
            ConfigurationError: the case does not fail.
        """
        passes = tuple(passes)
        self._seen.add(self._identity(self.best))
        self.tried += 1
        if not self._fails(self.best):
            raise ConfigurationError("the case to be shrunk does not fail")
        try:
            before = None
            while before is not self.best:  # what is gone may have been what the rest was needed for
                before = self.best
                for each in passes:
                    each(self)
            self.finished = True
        except _Over:
            pass
        return self.best

    def accepts(self, make: Callable[[], T]) -> bool:
        """Try a candidate; where it fails, it is `best` from now on.

        Args:
            make: makes it; a `GoldenError` says that there is no such case.
        """
        try:
            candidate = make()
        except GoldenError:
            return False
        identity = self._identity(candidate)
        if identity in self._seen:
            return False
        if self._over(self):
            raise _Over
        self._seen.add(identity)
        self.tried += 1
        if not self._fails(candidate):
            return False
        self.best = candidate
        self._progress(candidate)
        return True

    def leave_out(
        self, parts: Callable[[T], Sequence[Any]], keeping: Callable[[T, list[Any]], T], least: int = 0
    ) -> None:
        """Leave out as many parts of the best case as possible.

        Args:
            parts: of a case, in order.
            keeping: the case with these of its parts alone.
            least: number of parts that must stay.
        """
        size = len(parts(self.best))
        while size:
            at, shorter = len(parts(self.best)), False
            while at > 0:
                now, first = list(parts(self.best)), max(at - size, 0)
                rest = now[:first] + now[at:]
                if len(rest) >= least:
                    shorter |= self.accepts(lambda rest=rest: keeping(self.best, rest))  # type: ignore[misc]
                at = first
            if size == 1 and not shorter:
                break
            size = max(size // 2, 1)

    def lower(self, value: Callable[[T], int], made: Callable[[T, int], T], simplest: int = 0) -> None:
        """Bring a number of the best case as near to the simplest one as possible.

        Args:
            value: of a case.
            made: the case with another value.
        """
        passes, fails = simplest, value(self.best)
        if passes == fails or self.accepts(lambda: made(self.best, simplest)):
            return
        while abs(fails - passes) > 1:
            middle = passes + (fails - passes) // 2
            if middle in (passes, fails):
                middle = fails - (1 if fails > passes else -1)
            if self.accepts(lambda middle=middle: made(self.best, middle)):  # type: ignore[misc]
                fails = middle
            else:
                passes = middle

    def fewer_bits(self, value: Callable[[T], int], made: Callable[[T, int], T]) -> None:
        """Clear as many bits of a number of the best case as possible; arguments as for `lower`."""

        def bits(case: T) -> list[int]:
            return [bit for bit in range(value(case).bit_length()) if value(case) >> bit & 1]

        self.leave_out(bits, lambda case, rest: made(case, sum(1 << bit for bit in rest)))

    def sparse(self, array: Callable[[T], np.ndarray], made: Callable[[T, np.ndarray], T]) -> None:
        """Make an array of integers of the best case zero, else most of it, and of the rest 1 or -1.

        Args:
            array: of a case.
            made: the case with another array.
        """

        def kept(case: T, places: list[int]) -> T:
            before = array(case)
            flat = np.zeros(before.size, before.dtype)
            flat[places] = before.reshape(-1)[places]
            return made(case, flat.reshape(before.shape))

        self.leave_out(lambda case: np.flatnonzero(array(case)).tolist(), kept)

        def changed(place: int) -> Callable[[T, int], T]:
            def change(case: T, value: int) -> T:
                flat = array(case).reshape(-1).copy()
                flat[place] = value
                return made(case, flat.reshape(array(case).shape))

            return change

        for place in np.flatnonzero(array(self.best)).tolist():
            now = int(array(self.best).reshape(-1)[place])
            if abs(now) > 1 and not self.accepts(lambda place=place: changed(place)(self.best, 1)):  # type: ignore[misc]
                self.lower(
                    lambda case, place=place: int(array(case).reshape(-1)[place]),  # type: ignore[misc]
                    changed(place),
                    1 if now > 0 else -1,
                )
