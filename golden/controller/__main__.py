# SPDX-License-Identifier: Apache-2.0
"""`python -m assay.golden.controller COMMAND`: the simulator's speed, random programs as text."""

from __future__ import annotations

import argparse
import sys
import time

from assay.golden.controller.instructions import encode
from assay.golden.controller.iss import Iss, start
from assay.golden.controller.memory_map import IMEM_BASE
from assay.golden.controller.parameters import ControllerParameters
from assay.golden.controller.programs import KINDS, random_program
from assay.golden.errors import GoldenError

_ROUNDS = 3  #: the best counts


def _loop() -> bytes:
    """Sums an array for ever: arithmetic, loads, stores of all sizes, a branch."""
    words = [
        encode("lui", rd=2, imm=IMEM_BASE + 0x8000 >> 12),
        encode("lw", rd=4, rs1=2),
        encode("add", rd=3, rs1=3, rs2=4),
        encode("xor", rd=5, rs1=4, rs2=3),
        encode("srai", rd=6, rs1=5, imm=3),
        encode("slt", rd=7, rs1=6, rs2=3),
        encode("lbu", rd=8, rs1=2, imm=1),
        encode("sh", rs1=2, rs2=8, imm=2),
        encode("sw", rs1=2, rs2=3, imm=4),
        encode("addi", rd=1, rs1=1, imm=1),
        encode("bne", rs1=1, rs2=0, imm=-36),
        encode("jal", imm=-40),
    ]
    return b"".join(word.to_bytes(4, "little") for word in words)


def _bench(options: argparse.Namespace) -> int:
    def stepped(iss: Iss, count: int, harts: int) -> None:
        step = iss.step_fast
        for _ in range(count // harts):
            for hart in range(harts):
                step(hart)

    for harts in (1, 8):
        for name, count, function in (
            ("run", options.count, lambda iss, n, h: iss.run(n)),
            ("step_fast, for lock-step", options.count, stepped),
            ("run, readable", options.count // 10, lambda iss, n, h: iss.run(n, readable=True)),
        ):
            best = 0.0
            for _ in range(_ROUNDS):
                iss = start(ControllerParameters(), _loop(), harts)
                function(iss, 1000, harts)
                began = time.perf_counter()
                function(iss, count, harts)
                best = max(best, count / (time.perf_counter() - began))
            print(f"{harts} harts, {name:26s} {best:12,.0f} instructions/s")
    return 0


def _program(options: argparse.Namespace) -> int:
    parameters = ControllerParameters(mul_div=int(options.mul_div))
    program = random_program(options.seed, parameters, None, options.length, options.kind)
    print(f"# {program.description}\n{program.listing()}")
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Run one command; gives the exit status."""
    parser = argparse.ArgumentParser(prog="python -m assay.golden.controller", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    bench = commands.add_parser("bench", help="Measure the simulator, on one thread.")
    bench.add_argument(
        "--count", type=int, default=500_000, metavar="N", help="instructions (default 500000)"
    )
    bench.set_defaults(command=_bench)
    program = commands.add_parser("program", help="Print a random program.")
    program.add_argument("--seed", type=int, default=0)
    program.add_argument("--kind", choices=list(KINDS), default="mixed")
    program.add_argument("--length", type=int, default=2000, metavar="N", help="lines (default 2000)")
    program.add_argument("--mul-div", action="store_true", help="with the M extension")
    program.set_defaults(command=_program)
    options = parser.parse_args(arguments)
    try:
        return options.command(options)
    except GoldenError as error:
        print(f"golden.controller: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
