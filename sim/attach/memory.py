# SPDX-License-Identifier: Apache-2.0
"""Recognise memory and register ports: an address, data, and what says when they count."""

from __future__ import annotations

from assay.sim.attach.interfaces import Memory, Signal
from assay.sim.attach.names import VALID, has, identifier
from assay.sim.attach.pool import Pool


def _names(text: str) -> frozenset[tuple[str, ...]]:
    return frozenset(tuple(name.split("_")) for name in text.split())


ADDRESS = frozenset({"addr", "address", "adr"})
_READ_WORDS = frozenset({"r", "rd", "read"})
_WRITE_WORDS = frozenset({"w", "wr", "write"})

_DATA = _names(
    "data dat r_data rd_data read_data w_data wr_data write_data q d din dout di do word r_word w_word "
    "data_in data_out in out dat_r dat_w rdat wdat data_r data_w rd_word wr_word dat_i dat_o "
    "rdt dat_miso dat_mosi miso mosi"
)
_ROLES_WITH_ADDRESS = {
    "write_enable": _names("we wen w_en wr wr_en write write_en w wren wnr rnw rw"),
    "strobe": _names(
        "be ben b_en w_strb strb w_mask wmask mask byte_en byteen byteenable bwe bweb w_be wbe sel"
    ),
    "enable": _names(
        "en ena enable ce cen ceb c_en cs csb csn req valid vld me re ren r_en rd rd_en rden read read_en stb r_req"
    ),
    "cycle": _names("cyc"),
}
_ROLES_AGAINST_ADDRESS = {
    "request_ready": _names("gnt grant ready rdy ack a_ready"),
    "response_valid": _names(
        "r_valid rd_valid r_vld rvld read_valid valid vld data_valid r_data_valid rd_data_valid"
    ),
}
_WRITING = ("write", "write_enable", "strobe")
_ACTIVE_LOW = _names("cen c_en ceb csb csn wen w_en bweb")
"""Names that memory compilers give to signals that are active low. `wen` is one only beside another of them."""


def recognise_memories(pool: Pool) -> list[Memory]:
    """Take every memory port out of the pool.

    A memory port has an address, and data read, or data written with a write enable or strobe. Data that travels with
    the address is written, data that travels against it is read. A stream whose payload has an address is none: it has
    a valid, a ready, and no data against it.
    """
    found = []
    for address in [s for s in pool if s.words and s.words[-1] in ADDRESS]:
        if address not in pool:
            continue
        key = address.words[:-1]
        roles = _partners(pool, address, key)
        if not _complete(roles):
            base = _without_way(key)
            if base != key:
                more = _partners(pool, address, base)
                if any(s is not address and _is_address(s, base) for s in pool):
                    writes = bool(_WRITE_WORDS.intersection(key))
                    more = {role: s for role, s in more.items() if (role in _WRITING) == writes}
                roles = more | roles
        if not _complete(roles):
            continue
        pool.take_all(roles.values())
        found.append(
            Memory(
                name=identifier(key, "memory"),
                device_drives=address.direction == "output",
                roles=roles,
                active_low=_active_low(roles, key),
            )
        )
    return found


def _is_address(signal: Signal, base: tuple[str, ...]) -> bool:
    """Whether another address shares the base: then this one claims only what serves its way."""
    return signal.words[-1:] != () and signal.words[-1] in ADDRESS and _without_way(signal.words[:-1]) == base


def _without_way(key: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(word for word in key if word not in _READ_WORDS | _WRITE_WORDS)


def _partners(pool: Pool, address: Signal, key: tuple[str, ...]) -> dict[str, Signal]:
    roles = {"addr": address}
    for signal in pool:
        rest = _rest(signal.words, key)
        if signal is address or rest is None:
            continue
        with_address = signal.direction == address.direction
        if rest in _DATA:
            role = "write" if with_address else "read"
        else:
            table = _ROLES_WITH_ADDRESS if with_address else _ROLES_AGAINST_ADDRESS
            role = next((role for role, names in table.items() if rest in names), "")
        if role == "write_enable" and roles.get("strobe") is None and signal.width > 1:
            role = "strobe"  # a write enable for each byte
        if role:
            roles.setdefault(role, signal)
    if "cycle" in roles and "enable" not in roles:  # Wishbone without a strobe
        roles["enable"] = roles.pop("cycle")
    if "strobe" in roles and roles["strobe"].width == 1 and "write_enable" not in roles:
        roles["write_enable"] = roles.pop("strobe")
    return roles


def _rest(words: tuple[str, ...], key: tuple[str, ...]) -> tuple[str, ...] | None:
    """The words of a name beside those of the key, which must begin or end it."""
    size = len(key)
    if words[:size] == key:
        return words[size:]
    return words[:-size] if words[-size:] == key else None


def _complete(roles: dict[str, Signal]) -> bool:
    if "read" in roles:
        return roles["read"].width > 1
    marked = "write_enable" in roles or "strobe" in roles
    enabled = "enable" in roles and not has(roles["enable"].words, VALID)
    return "write" in roles and (marked or enabled) and "request_ready" not in roles


def _active_low(roles: dict[str, Signal], key: tuple[str, ...]) -> frozenset[str]:
    low = {role for role, signal in roles.items() if _rest(signal.words, key) in _ACTIVE_LOW}
    marked = {role for role, signal in roles.items() if signal.words[-1] == "n"}
    return frozenset(marked | (low if low - {"write_enable"} else set()))
