# SPDX-License-Identifier: Apache-2.0
"""Transfers of AXI4 channels in words, for the waves and the page of a failure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

__all__ = ["AXI"]

_BURST = ("FIXED", "INCR", "WRAP", "reserved burst")
_RESPONSE = ("OKAY", "EXOKAY", "SLVERR", "DECERR")


def _burst(what: str) -> Callable[[Mapping[str, int]], tuple[str, str]]:
    def text(fields: Mapping[str, int]) -> tuple[str, str]:
        beats, size = fields["len"] + 1, 1 << fields["size"]
        kind = _BURST[fields["burst"]]
        return "AXI port", f"{what} 0x{fields['addr']:08x}: {beats} x {size} bytes, {kind}, id {fields['id']}"

    return text


def _answer(fields: Mapping[str, int]) -> tuple[str, str]:
    return "AXI port", f"write answered {_RESPONSE[fields['resp']]}, id {fields['id']}"


def _data(fields: Mapping[str, int]) -> tuple[str, str]:
    last = ", last" if fields["last"] else ""
    if "strb" in fields:
        return "AXI port", f"W 0x{fields['data']:016x} strobes 0x{fields['strb']:02x}{last}"
    return "AXI port", f"R 0x{fields['data']:016x} {_RESPONSE[fields['resp']]}{last}, id {fields['id']}"


#: Stream of a bench with an `AxiManager` -> `Block.describe`.
AXI: dict[str, Callable[[Mapping[str, int]], tuple[str, str]]] = {
    "aw": _burst("write"),
    "ar": _burst("read"),
    "b": _answer,
    "w": _data,
    "r": _data,
}
