# SPDX-License-Identifier: Apache-2.0
"""Memory port: words by address over a request and a response stream."""

from __future__ import annotations

import numpy as np

from assay.tb.agents.request_response import RequestResponse


class MemoryPort(RequestResponse):
    """A word-addressed memory; see `RequestResponse` for the protocol, the arguments and lost accesses."""

    async def write(self, address: int, words: np.ndarray) -> None:
        """Write uint8[n, word_bytes] (or unsigned integers [n] up to 64 bits) from word `address` on."""
        await self.write_at(address + np.arange(len(words)), words)

    async def read(self, address: int, count: int) -> np.ndarray:
        """`count` words from word `address` on, uint8[count, word_bytes]."""
        return await self.read_at(address + np.arange(count))
