# SPDX-License-Identifier: Apache-2.0
"""Names of tensors: one for each field of a stream, different over the whole block."""

from __future__ import annotations

import keyword
from collections import Counter
from dataclasses import dataclass

from assay.sim.attach.interfaces import Signal
from assay.sim.attach.wiring import BenchStream, Wiring

_TELLS_NOTHING = frozenset({"data", "payload", "bits", "token", "d", "q"})
_RESERVED = frozenset({"self", "pins", "params", "memories", "np"})


@dataclass(frozen=True)
class Tensor:
    """A field of a stream as the bench and the golden function call it.

    Attributes:
        name: an identifier.
        port: of the bench's top.
        width: bits of the port.
        bits: of an element; 0: a beat carries one.
        lanes: elements in a beat.
        signed: two's complement.
    """

    name: str
    port: str
    width: int
    bits: int
    lanes: int
    signed: bool

    @property
    def element_bits(self) -> int:
        return self.bits or self.width

    @property
    def dtype(self) -> str:
        """What an element is, for docstrings."""
        kind = "np.int64" if self.element_bits < 64 else "Python integers"
        return f"{self.element_bits}-bit {'' if self.signed else 'unsigned '}integers ({kind})"


def tensors(wiring: Wiring) -> dict[str, list[Tensor]]:
    """Stream name to its tensors; the end of a packet and AXI4-Stream's side signals are none."""
    fields = [(s, f) for s in wiring.streams for f in payload(s)]
    count = Counter(name for _, name in fields)
    found: dict[str, list[Tensor]] = {}
    taken: set[str] = set()
    for stream, name in fields:
        plain = count[name] == 1 and name not in _TELLS_NOTHING
        single = len(payload(stream)) == 1 and name in _TELLS_NOTHING
        text = name if plain else stream.stream.name if single else f"{stream.stream.name}_{name}"
        while keyword.iskeyword(text) or text in _RESERVED or text in taken:
            text += "_data" if single else "_"
        taken.add(text)
        signal = stream.stream.fields.get(name)
        found.setdefault(stream.stream.name, []).append(_tensor(text, stream.fields[name], signal))
    return found


def payload(stream: BenchStream) -> list[str]:
    """The fields of a stream that carry tensors."""
    side = side_signals(stream)
    return [name for name in stream.fields if name not in side]


def side_signals(stream: BenchStream) -> dict[str, str]:
    """The fields without a tensor, each with its role: ``last``, ``keep``, or ``idle`` for what is driven with 0."""
    found = {}
    axis = stream.stream.style.startswith("AXI4-Stream")
    for name, signal in stream.stream.fields.items():
        if signal is stream.stream.last:
            found[name] = "last"
        elif axis and name in ("keep", "strb", "user", "id", "dest") and len(stream.fields) > len(found) + 1:
            found[name] = "keep" if name == "keep" else "idle"
    return found


def _tensor(name: str, port: str, signal: Signal | None) -> Tensor:
    if signal is None:  # the bit that stands for a beat without payload
        return Tensor(name, port, 1, 0, 1, False)
    declared = signal.port
    whole = signal.width == declared.width
    bits = declared.element_bits if whole and declared.element_bits < signal.width else 0
    lanes = signal.width // bits if bits else 1
    return Tensor(name, port, signal.width, bits, lanes, declared.signed)
