# SPDX-License-Identifier: Apache-2.0
"""Every variable of make's command line beside the option of ``python -m sim`` that means the same.

This table is what both take and what both print as help (``python -m assay.sim.options`` is `make help`'s part, which runs
before anything is installed: standard library only, and any Python 3). A block may have variables of its own beside it.
"""

import os
import re
import sys

from assay.tb.options import (
    NETWORK_OPTIONS,
    PROGRAM_OPTIONS,
    SOAK_OPTIONS,
    VECTOR_OPTIONS,
    Option,
    help_text,
)

RUN_OPTIONS = (
    Option("TOPLEVEL", "--top", "NAME", "block to simulate (default: the first of `make list`)"),
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
    Option(
        "DEFINES", "--define", "NAME=TEXT", "HDL macro; more in DEFINES with spaces, or by repeating --define"
    ),
    Option(
        "DATA",
        "--data",
        "NAME=FILE",
        "file that the HDL reads; more in DATA with spaces, or by repeating --data",
    ),
    Option(
        "BLOCKS",
        "--blocks",
        "FOLDER",
        "repository with blocks of its own (default: around the current folder)",
    ),
)

OUTPUT_OPTIONS = (
    Option("WAVES", "--waves", "", "write the waves of the whole run; a failure's are written anyway"),
    Option("GUI", "--gui", "", "write the waves and open them afterwards"),
    Option("XRANDOM", "--x-random", "", "Verilator: draw all initial state from the seed instead of zeros"),
)

OPTIONS = (
    *RUN_OPTIONS,
    *NETWORK_OPTIONS,
    *VECTOR_OPTIONS,
    *PROGRAM_OPTIONS,
    *SOAK_OPTIONS,
    *OUTPUT_OPTIONS,
)

MAKE_ONLY = {
    "PYTEST_ARGS": 'arguments for `make test`, such as PYTEST_ARGS="-k NAME"',
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


def as_typed(message, arguments):
    """A message that names variables, with the options in place of those that were typed as options.

    Args:
        message: the text of an error.
        arguments: the words of the command line.
    """
    typed = {word.partition("=")[0] for word in arguments}
    # A command to type is meant as it stands.
    message, command, rest = re.match(
        r"(.*?)(: (?:make|python -m \w+|assay) |$)(.*)", message, re.DOTALL
    ).groups()
    for option in OPTIONS:
        if option.flag in typed:
            message = re.sub(rf"\b{option.variable}=(?=\S)", f"{option.flag} ", message)
            if len(option.variable) > 1:
                message = re.sub(rf"(?<![-\w]){option.variable}\b", option.flag, message)
    return message + command + rest


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
