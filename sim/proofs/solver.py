# SPDX-License-Identifier: Apache-2.0
"""Bitwuzla as a program, which yosys-smtbmc starts: its package has a library only.

``python -m assay.sim.proofs.solver`` reads commands of SMT-LIB from the standard input and answers each at once.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

SOLVER = "bitwuzla"
"""Its name for yosys-smtbmc, and that of its package."""

TIME_LIMIT = 600
"""Seconds that it may take for one question. It ends by itself, as whoever asked may be gone."""


def make_program(folder: Path) -> None:
    """Write the program, by the name that yosys-smtbmc looks for, into a folder."""
    program = folder / SOLVER
    command = shlex.join([sys.executable, "-m", __spec__.name])
    program.write_text(f"#!/bin/sh\nexec {command}\n", encoding="utf-8")
    program.chmod(0o755)


def commands(lines: Iterable[str]) -> Iterator[str]:
    """The commands of a text, each when its last line has come."""
    depth, quoted = 0, False
    command: list[str] = []
    for line in lines:
        for place, letter in enumerate(line):
            if letter == "|":
                quoted = not quoted
            elif quoted:
                continue
            elif letter == ";":
                line = line[:place] + "\n"
                break
            else:
                depth += (letter == "(") - (letter == ")")
        command.append(line)
        if depth == 0 and not quoted:
            if text := "".join(command).strip():
                yield text
            command = []


def main() -> int:
    """Answer commands until the end of the input or ``(exit)``; 1 if there is an error in one."""
    import bitwuzla

    options = bitwuzla.Options()
    options.set(bitwuzla.Option.PRODUCE_MODELS, True)
    options.set(bitwuzla.Option.TIME_LIMIT_PER, 1000 * TIME_LIMIT)
    parser = bitwuzla.Parser(bitwuzla.TermManager(), options)
    for command in commands(sys.stdin):
        if command == "(exit)":
            break
        try:
            parser.parse(command, False, False)
        except bitwuzla.BitwuzlaException as error:
            print(f"bitwuzla: {error}", file=sys.stderr)
            return 1
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
