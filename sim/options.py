# SPDX-License-Identifier: Apache-2.0
"""Every variable of make's command line beside the option of ``python -m sim`` that means the same.

This table is what both take and what both print as help (``python -m assay.sim.options`` is `make help`'s part, which runs
before anything is installed: standard library only, and any Python 3).
"""

import os
import re
import sys
from typing import NamedTuple


class Option(NamedTuple):
    """One setting of a run."""

    variable: str
    flag: str
    value: str
    """What stands for its value in the help; empty: a switch, which a variable sets with 1."""
    text: str
    default: str = ""

    @property
    def name(self):
        """Of the attribute that holds its value once the command line is read."""
        return self.flag.lstrip("-").replace("-", "_")


OPTIONS = (
    Option("TOPLEVEL", "--top", "NAME", "what to simulate; `make list` shows all", "mvu"),
    Option("SIM", "--sim", "NAME", "verilator or icarus", "verilator"),
    Option(
        "SEED",
        "--seed",
        "N",
        "seed of all that is random, also COCOTB_RANDOM_SEED (default: random, printed)",
    ),
    Option(
        "COCOTB_TESTCASE",
        "--test",
        "NAME",
        "run this test; more with commas, or by repeating --test",
    ),
    Option("COCOTB_TEST_FILTER", "--filter", "REGEX", "run the tests that this expression finds; . runs all"),
    Option(
        "PARAMS",
        "--param",
        "NAME=VALUE",
        "HDL parameter; more in PARAMS with spaces, or by repeating --param",
    ),
    Option("MODEL", "--model", "FILE", "run this network, not the project's own"),
    Option("INPUTS", "--inputs", "FILE", "its inputs, integers [N, H, W, C] as .npy (default: random)"),
    Option(
        "SCALES",
        "--scales",
        "exact|nearest",
        "its scales as they are, or the nearest that the hardware has",
        "exact",
    ),
    Option(
        "INPUT_FORMAT",
        "--input-format",
        "FORMAT",
        "of its float input without a quantiser: u8, ap_fixed<8,3>",
    ),
    Option("INPUT_LAYOUT", "--input-layout", "NCHW|NHWC", "of its input, where no operator decides that"),
    Option("VECTORS", "--vectors", "FOLDER", "play this vector set"),
    Option("ELF", "--elf", "FILE", "run this program on the controller"),
    Option("HARTS", "--harts", "MASK", "the harts that run it", "1"),
    Option("LIMIT", "--limit", "N", "instructions after which it is ended", "10000000"),
    Option("TOHOST", "--tohost", "ADDRESS", "its odd value ends the program (default: of the symbol tohost)"),
    Option("FORCE", "--force", "", "run the program whatever extensions its flags ask for"),
    Option("N", "--instructions", "N", "instructions that `make soak` compares", "10000000"),
    Option("WAVES", "--waves", "", "write the waves of the whole run; a failure's are written anyway"),
    Option("GUI", "--gui", "", "write the waves and open them afterwards"),
    Option("XRANDOM", "--x-random", "", "Verilator: draw all initial state from the seed instead of zeros"),
)

MAKE_ONLY = {
    "PYTEST_ARGS": 'arguments for `make test`, such as PYTEST_ARGS="-k mvu"',
    "WORKERS": "how many tests run at a time (default: 2)",
    "PYTHON": "an interpreter that has all packages: .venv is then left alone",
    "BASE_PYTHON": "the interpreter that .venv is made from, 3.11 or newer (default: python3)",
}
"""Variables that only the Makefile reads."""

SYNONYMS = {"COCOTB_RANDOM_SEED": "SEED"}
"""Further variables of cocotb's that mean the same."""

VARIABLES = (*(option.variable for option in OPTIONS), *SYNONYMS, *MAKE_ONLY)
"""What make's command line may set for this project."""

RENAMED = {"IMAGES": "INPUTS", "ASSAY_SCALES": "SCALES"}


def by_variable(name):
    """The option whose variable is ``name``."""
    return next(option for option in OPTIONS if option.variable == name)


def help_text(option):
    """What an option does and what it is by default."""
    return f"{option.text} (default: {option.default})" if option.default else option.text


def as_typed(message, arguments):
    """A message that names variables, with the options in place of those that were typed as options.

    Args:
        message: the text of an error.
        arguments: the words of the command line.
    """
    typed = {word.partition("=")[0] for word in arguments}
    message, make, command = message.partition(": make ")  # a command to type is meant as it stands
    for option in OPTIONS:
        if option.flag in typed:
            message = re.sub(rf"\b{option.variable}=(?=\S)", f"{option.flag} ", message)
            if len(option.variable) > 1:
                message = re.sub(rf"(?<![-\w]){option.variable}\b", option.flag, message)
    return message + make + command


def main():
    """Print the variables for `make help`."""
    lines = ["", "Variables, each with the option of `python -m sim` that means the same"]
    for option in OPTIONS:
        word = f"{option.variable}={option.value or 1}"
        lines.append(f"  {word:<25} {option.flag:<15} {help_text(option)}")
    lines += ["", "Variables of make alone"]
    lines += [f"  {name + '=':<25} {text}" for name, text in MAKE_ONLY.items()]
    try:
        print("\n".join(lines), flush=True)
    except BrokenPipeError:  # as `make help | head` leaves it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
