# SPDX-License-Identifier: Apache-2.0
"""`python -m assay.tb.controller program`: a random program as text."""

from __future__ import annotations

import argparse
import sys

from assay.golden.controller.parameters import ControllerParameters
from assay.golden.errors import GoldenError
from assay.tb.controller.program_maker import KINDS, random_program


def main(arguments: list[str] | None = None) -> int:
    """Run one command; gives the exit status."""
    parser = argparse.ArgumentParser(prog="python -m assay.tb.controller", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    program = commands.add_parser("program", help="Print a random program.")
    program.add_argument("--seed", type=int, default=0)
    program.add_argument("--kind", choices=list(KINDS), default="mixed")
    program.add_argument("--length", type=int, default=2000, metavar="N", help="lines (default 2000)")
    program.add_argument("--mul-div", action="store_true", help="with the M extension")
    options = parser.parse_args(arguments)
    try:
        parameters = ControllerParameters(mul_div=int(options.mul_div))
        made = random_program(options.seed, parameters, None, options.length, options.kind)
    except GoldenError as error:
        print(f"tb.controller: {error}", file=sys.stderr)
        return 2
    print(f"# {made.description}\n{made.listing()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
