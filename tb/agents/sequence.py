# SPDX-License-Identifier: Apache-2.0
"""The one sequence that most tests need."""

from __future__ import annotations

from collections.abc import Iterable

from pyuvm import uvm_sequence, uvm_sequence_item

__all__ = ["ItemSequence"]


class ItemSequence(uvm_sequence):
    """Plays the given items in order, each as soon as the driver is done with the one before; they may be made as
    they are needed."""

    def __init__(self, name: str, items: Iterable[uvm_sequence_item]) -> None:
        super().__init__(name)
        self.items = items

    async def body(self) -> None:
        for item in self.items:
            await self.start_item(item)
            await self.finish_item(item)
