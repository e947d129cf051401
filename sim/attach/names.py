# SPDX-License-Identifier: Apache-2.0
"""The words of a port's name.

A name is split at ``_``, at ``.`` (a structure's member) and where lower case turns to upper case. The mark of
direction that a naming style adds (``_i``, ``_o``, ``_ni``, ``i_``, ``o_``) is taken off if it agrees with the port's
direction. A word that ends in a role is split before it: ``tdata`` is ``t`` and ``data``, ``awvalid`` is ``aw`` and
``valid``.
"""

from __future__ import annotations

import re

VALID = frozenset({"valid", "vld", "val", "dv", "v"})
READY = frozenset({"ready", "rdy", "yumi"})
"""``v`` and ``yumi`` are BaseJump STL's: a yumi takes the beat that it sees, so it may be high only beside a valid."""
LAST = frozenset({"last", "eop", "eof"})
DIRECTIONS = frozenset({"in", "out", "i", "o", "input", "output"})
"""Words that tell nothing beside the port's direction, when a valid looks for its ready."""

_CAMEL = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z0-9]+|[A-Z]+[0-9]*|[0-9]+")
_STEM = "t|w|r|aw|ar|b|a|d|c|x|y|p|m|s|q|v|i|o|in|out|din|dout|rd|wr|u|px|pix"
_GLUED = re.compile(
    rf"({_STEM}|data|addr)(valid|vld|ready|rdy)|({_STEM})(data|addr|last|resp)|(t|w|b|r|aw|ar)(user|id)"
    r"|(t)(keep|strb|dest)|(w|b)(strb|strobe|mask)|(c|w|r|b|rd|wr|d)(en)"
    r"|(aw|ar)(len|size|burst|lock|cache|prot|qos|region|atop)"
)


def words(name: str, direction: str) -> tuple[str, ...]:
    """The words of a name, in lower case."""
    found: list[str] = []
    port, _, member = name.partition(".")
    parts = _without_direction([part for part in port.split("_") if part], direction)
    for part in [*parts, *re.split(r"[._]", member)] if member else parts:
        pieces = [part] if part.isupper() or part.islower() else _CAMEL.findall(part)
        found += [piece.lower() for piece in pieces]
    split: list[str] = []
    for word in found:
        glued = _GLUED.fullmatch(word)
        split += [part for part in glued.groups() if part] if glued else [word]
    # BaseJump STL says of a ready who waits for whom.
    return tuple(
        w for at, w in enumerate(split) if not (w in ("and", "then") and at and split[at - 1] == "ready")
    )


def _without_direction(found: list[str], direction: str) -> list[str]:
    marks = {"input": {"i", "ni", "pi"}, "output": {"o", "no", "po"}, "inout": {"io"}}.get(direction, set())
    if len(found) > 1 and found[-1].lower() in marks:
        # _ni: a name that is active low keeps that mark as a word of its own.
        return found[:-1] + (["n"] if found[-1][0] in "nN" else [])
    if len(found) > 1 and found[0].lower() in marks:
        return found[1:]
    return found


def without(found: tuple[str, ...], role: frozenset[str]) -> tuple[str, ...]:
    """The words without those of a role."""
    return tuple(word for word in found if word not in role)


def has(found: tuple[str, ...], role: frozenset[str]) -> bool:
    """Whether a word is of a role."""
    return any(word in role for word in found)


def belongs(found: tuple[str, ...], key: tuple[str, ...]) -> bool:
    """Whether a name begins or ends with the words of an interface."""
    size = len(key)
    return size > 0 and (found[:size] == key or found[-size:] == key)


def identifier(found: tuple[str, ...], default: str) -> str:
    """A name for an interface or a field: its words joined."""
    text = "_".join(found)
    return text if re.fullmatch(r"[a-z]\w*", text) else f"{default}_{text}".rstrip("_")
