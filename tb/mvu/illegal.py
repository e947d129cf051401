# SPDX-License-Identifier: Apache-2.0
"""How to make a legal MVU job illegal: every term of the rules in `golden.mvu.functional`, each at its bound."""

from __future__ import annotations

from assay.golden.mvu.functional import Configuration, Registers
from assay.tb.mvu.jobs import JobItem


def break_rules(item: JobItem, broken: list[tuple[str, Registers]]) -> None:
    """Change an item's registers so that it is illegal by these terms."""
    item.registers = dict(item.registers)
    for _, changed in broken:
        for register, fields in changed.items():
            before = item.registers.get(register, {})
            before = dict(before) if isinstance(before, dict) else {"value": before}
            assert isinstance(fields, dict)
            item.registers[register] = {**before, **fields}
    item.set_name(f"illegal: {', '.join(name for name, _ in broken)}")
    item.output = None
    item.locate = f"job {item.get_name()}, output word {{}}".format


def terms(registers: Registers) -> list[tuple[str, Registers]]:
    """Every term of the rules of a legal configuration: its name, and the fields that break it.

    Args:
        registers: of a legal job that has no padding or acc_select 4.
    """
    fields = Configuration(registers).fields
    found: list[tuple[str, Registers]] = []
    for operand in ("weight", "input", "output"):
        found += [(f"{operand} of {n} bits", {"mvuprecision": {operand: n}}) for n in (0, 17, 32, 63)]
    found += [
        (f"residual of {n} bits", {"mvuprecision": {"residual": n}, "mvuconfig1": {"residual": 1}})
        for n in (0, 17, 32, 63)
    ]
    found += [(f"msb {n}", {"mvuquant": {"msb": n}}) for n in (48, 63)]
    found += [
        (f"msb {n - 2} of {n} bits", {"mvuquant": {"msb": n - 2}, "mvuprecision": {"output": n}})
        for n in (2, 16)
    ]
    found.append(("acc_select 7", {"mvuconfig1": {"acc_select": 7}}))
    single = {"mvuprecision": {"weight": 1, "input": 1}}
    found.append(("acc_select 7 of one pair of planes", {"mvuconfig1": {"acc_select": 7}, **single}))
    acc_select = fields["mvuconfig1"]["acc_select"]
    for name, pool_select in (("one above acc_select", acc_select + 1), ("7", 7)):
        pool = {"mvuconfig1": {"pool_select": pool_select}, "mvucommand": {"max_pool": 1}}
        found.append((f"pool_select {name}", pool))
    pairs = f"mvuwlength{acc_select + 1}"
    length = fields[pairs]["value"]
    for name, other in (
        ("one longer", length + 1),
        ("one shorter", length - 1 if length else 2),
        *((f"another in bit {bit}", length ^ 1 << bit) for bit in range(16)),
    ):
        found.append((f"plane pairs {name}", {pairs: {"value": other}}))
    found.append(("countdown 0", {"mvucommand": {"countdown": 0}}))
    padded: dict[str, dict[str, int]] = {
        "mvukernel": {"width": 3, "height": 2, "blocks": 1, "pad_left": 0, "pad_top": 0},
        "mvuishape": {"width": 5, "height": 5},
        "mvustride": dict.fromkeys(("x", "y", "group_x", "group_y"), 1),
        "mvuconfig1": {"padding": 1},
    }
    for register, field, value in (
        *(("mvukernel", name, 0) for name in ("width", "height", "blocks")),
        *(("mvuishape", name, 0) for name in ("width", "height")),
        *(("mvustride", name, 0) for name in ("x", "y", "group_x", "group_y")),
        *(("mvukernel", "pad_left", n) for n in (3, 4, 15)),
        *(("mvukernel", "pad_top", n) for n in (2, 3, 15)),
    ):
        broken = {**padded, register: {**padded[register], field: value}}
        found.append((f"padding with {field} {value}", broken))
    found.append(("padding with acc_select 5", _other_acc_select(registers, padded)))
    return found


def _other_acc_select(registers: Registers, padded: dict[str, dict[str, int]]) -> Registers:
    """A padded job whose loops are in order but for acc_select, which is 5."""
    planes = Configuration(registers).fields["mvuwlength5"]["value"]
    return {**padded, "mvuconfig1": {"padding": 1, "acc_select": 5}, "mvuwlength6": {"value": planes}}
