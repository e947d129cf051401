# SPDX-License-Identifier: Apache-2.0
"""The registry in which an importer or the lowering finds the one function for an operator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["Handlers"]

Key = TypeVar("Key")
Handler = TypeVar("Handler", bound=Callable[..., Any])


class Handlers(dict[Key, Handler]):
    """Operator -> the one function for it.

    Raises:
        ValueError: an operator is given a second handler.
    """

    def of(self, *operators: Key) -> Callable[[Handler], Handler]:
        """Decorator: the function is that of these operators."""

        def register(function: Handler) -> Handler:
            for operator in operators:
                if operator in self:
                    raise ValueError(f"operator {operator} has a handler already: {self[operator].__name__}")
                self[operator] = function
            return function

        return register
