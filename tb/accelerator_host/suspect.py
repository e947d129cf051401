# SPDX-License-Identifier: Apache-2.0
"""Which module of the host side a broken rule of its scoreboard points at."""

from __future__ import annotations

__all__ = ["RULES", "suspect"]

#: Rule, the function that checks it -> the module, and what of it.
RULES = {
    "unit": "accelerator_data_port: what goes to an MVU's memories",
    "register": "accelerator_fabric: what goes to an MVU's registers, from the host or from a hart",
    "register_answer": "accelerator_fabric: whose answer of a register it is",
    "system_rate": "accelerator_fabric: when an access of the system registers passes",
    "check_irq": "accelerator_registers: the interrupt",
    "controller_answer": "accelerator_controller_port: whose answer of the controller it is",
    "hart_answer": "accelerator_fabric: the answer to a hart",
    "answered": "accelerator_fabric: the answer to a hart",
    "b_rises": "accelerator_axi_write: when B comes",
    "b": "accelerator_axi_write: the answer B",
    "r": "accelerator_axi_read: when R comes",
    "start": "accelerator_transposer: when a transfer begins",
    "late_start": "accelerator_transposer: when a transfer begins",
}
#: The same of rules that hold for both directions.
_SIDES = {
    "write": "accelerator_axi_write, or accelerator_decode: where a beat goes, and with what",
    "read": "accelerator_axi_read, or accelerator_decode: what is read for a beat",
}
#: And of those that compare an answer's fields.
_ANSWERS = {
    "B": RULES["b"],
    "R": "accelerator_axi_read, or accelerator_decode: where the word comes from",
}
#: A wrong value of a register of the system, which lies behind the fabric.
_SYSTEM = "accelerator_registers, or accelerator_fabric: what a read of a system register gives"


def suspect(rule: str, message: str) -> str:
    """The module that a broken rule points at, and what of it; empty where nothing is known.

    Args:
        rule: name of the function that checks it, without underscores.
        message: what it says.
    """
    if rule == "answered" and " of the system: expected" in message:
        return _SYSTEM
    if rule == "take":
        return next((module for side, module in _SIDES.items() if f"{side} burst" in message), "")
    if rule == "compare":
        return _ANSWERS.get(message.split(" ")[0].strip(","), "")
    return RULES.get(rule, "")
