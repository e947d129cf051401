# SPDX-License-Identifier: Apache-2.0
"""The translation units of a model by Verilator.

g++ spends most of a small model's time on headers: one unit holds all of its files, and the main program. A larger
model has as many units as the machine has cores; what runs once is then apart and not optimised.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

DIVIDED = 5 << 19
"""Bytes of generated C++ from which a model has several units: g++ takes some 6 s for them."""

LARGE = 6 << 20
"""Bytes from which a model is compiled for a quick answer."""

OPTIMISATION = ("OPT_FAST=-O1", "OPT_FAST=-Og")
"""Of a model, and of a large one. -O2 takes half as long again to compile and is as fast; -Og compiles in half the
time, and a large model, whose speed is that of its memory, is 5 % slower."""


def arrange(folder: Path) -> list[str]:
    """Write the units of a model that Verilator has put into ``folder``. Returns make's variables that name them."""
    (makefile,) = (path for path in folder.glob("V*.mk") if not path.stem.endswith("_classes"))
    prefix = makefile.stem
    classes = (folder / f"{prefix}_classes.mk").read_text(encoding="utf-8")
    # Verilator's own rules for the files of its command line name them with their full paths.
    main = re.findall(r"^\w+\.o: (/.*\.cpp) *$", makefile.read_text(encoding="utf-8"), re.MULTILINE)
    fast = [*main, *(str(folder / f"{name}.cpp") for name in _names(classes, "FAST"))]
    slow = [str(folder / f"{name}.cpp") for name in _names(classes, "SLOW")]
    size = {name: os.stat(name).st_size for name in (*fast, *slow)}
    divided = sum(size.values()) > DIVIDED
    units: list[list[str]] = [[] for _ in range((os.cpu_count() or 1) if divided else 1)]
    for name in sorted(fast, key=size.__getitem__, reverse=True):
        min(units, key=lambda unit: sum(map(size.__getitem__, unit))).append(name)
    if not divided:
        units[0] += slow
    names = [f"unit{number}" for number in range(len(units))]
    for name, files in {
        **dict(zip(names, units, strict=True)),
        **({"unit_slow": slow} if divided else {}),
    }.items():
        text = "".join(f'#include "{file}"\n' for file in files)
        (folder / f"{name}.cpp").write_text(text, encoding="utf-8")
    for header in ("none.fast.gch", "none.slow.gch"):  # the rules want a precompiled one
        (folder / header).touch()
    return [
        *("VM_PARALLEL_BUILDS=1", "VM_USER_CLASSES=", "VM_SUPPORT_FAST=", "VM_SUPPORT_SLOW="),
        *("VK_PCH_H=none", "VK_PCH_I_FAST=", "VK_PCH_I_SLOW="),
        f"VM_CLASSES_FAST={' '.join(names)}",
        f"VM_CLASSES_SLOW={'unit_slow' if divided else ''}",
        OPTIMISATION[sum(size.values()) > LARGE],
    ]


def runtime(folder: Path) -> list[str]:
    """The names of the files of Verilator's run-time library that a model needs, without suffixes."""
    (classes,) = folder.glob("V*_classes.mk")
    return _names(classes.read_text(encoding="utf-8"), "FAST|SLOW", "GLOBAL")


def _names(classes: str, speed: str, kind: str = "CLASSES|SUPPORT") -> list[str]:
    lists = re.findall(rf"^VM_(?:{kind})_(?:{speed}) \+= \\\n((?:\s+\w+ \\\n)*)", classes, re.MULTILINE)
    return " ".join(lists).replace("\\", "").split()
