# SPDX-License-Identifier: Apache-2.0
"""Every variable of make's command line beside the option of ``python -m sim`` that means the same.

This table is what both take and what both print as help. `make help` prints it before anything is installed
(`sim.variables`): standard library only, and any Python 3. A block may have variables of its own beside it.
"""

import re

from assay.tb.options import (
    CASE_OPTIONS,
    NETWORK_OPTIONS,
    PROGRAM_OPTIONS,
    SOAK_OPTIONS,
    VECTOR_OPTIONS,
    Option,
)

RUN_OPTIONS = (
    Option("TOPLEVEL", "--top", "NAME", "block to simulate (default: the first of `make list`)"),
    Option("SIM", "--sim", "NAME", "verilator or icarus", "verilator"),
    Option(
        "SEED",
        "--seed",
        "N",
        "seed of everything random, also COCOTB_RANDOM_SEED (default: a random one, which is printed)",
    ),
    Option(
        "SEEDS",
        "--seeds",
        "N",
        "`make coverage`, `make regress`: number of seeds, from SEED on, with which each test runs; regress takes "
        "lists, too, such as 7,8,20-29, @graded, or @FILE",
        "1",
    ),
    Option(
        "COCOTB_TESTCASE",
        "--test",
        "NAME",
        "test to run; several with commas, or with --test repeated",
    ),
    Option("COCOTB_TEST_FILTER", "--filter", "REGEX", "run the tests whose names match; . runs all"),
    Option(
        "PARAMS",
        "--param",
        "NAME=VALUE",
        "HDL parameter; several in PARAMS with spaces, or with --param repeated",
    ),
    Option(
        "DEFINES",
        "--define",
        "NAME=TEXT",
        "HDL macro; several in DEFINES with spaces, or with --define repeated",
    ),
    Option(
        "DATA",
        "--data",
        "NAME=FILE",
        "file that the HDL reads; several in DATA with spaces, or with --data repeated",
    ),
    Option(
        "COMPILE_ARGS",
        "--compile-arg",
        "FLAG",
        "flag for the simulator's compiler, such as -O0; several in COMPILE_ARGS with spaces, or with "
        "--compile-arg=FLAG repeated",
    ),
    Option(
        "BLOCKS",
        "--blocks",
        "FOLDER",
        "repository with blocks of its own (default: the one that holds the current folder); `make regress`: or names "
        "of blocks, as in TOPLEVEL",
    ),
)

WAVES_OPTIONS = (
    Option(
        "AT",
        "--at",
        "PLACE",
        "`make waves`: a place of a network, such as layer:conv2,row:3,channel:17, in the last run, which is run again",
    ),
)

OUTPUT_OPTIONS = (
    Option("WAVES", "--waves", "", "write the waves of the whole run; those of a failure are always written"),
    Option("GUI", "--gui", "", "write the waves and open them afterwards"),
    Option(
        "COVERAGE",
        "--coverage",
        "",
        "Verilator: count what of the RTL is executed, in another build; `make coverage` reports it",
    ),
    Option(
        "WORDS",
        "--words",
        "",
        "record each word at each port with its time, in another build; simulators then do the same amount of work",
    ),
    Option("XRANDOM", "--x-random", "", "Verilator: draw the initial state from the seed, in place of zeros"),
)

MUTATION_OPTIONS = (
    Option(
        "MODULES",
        "--modules",
        "NAMES",
        "`make mutate`, `mutate-golden`: files to make faults in, without suffix (default: the block's own, or all)",
    ),
    Option(
        "MUTANTS",
        "--mutants",
        "KEYS",
        "`make mutate`, `mutate-golden`: mutants to run, again if their results are known (default: all)",
    ),
    Option(
        "MINUTES",
        "--minutes",
        "N",
        "`make mutate`, `mutate-golden`: time after which no further mutant begins; 0: no limit; `make shrink`, "
        "`fuzz`, `nightly`: time after which it ends (default there: 5, 10, 480); `make regress`: to shrink the run "
        "that stands for a bucket (default there: 2)",
        "0",
    ),
    Option(
        "DAY",
        "--day",
        "TEXT",
        "`make mutate`, `mutate-golden`: chooses what is run where MINUTES are given (default: today's date)",
    ),
    Option(
        "JOBS",
        "--jobs",
        "N",
        "`make mutate`, `mutate-golden`, `make regress`: number of processes that run tests",
        "2",
    ),
)

REGRESS_OPTIONS = (
    Option("PLAN", "--plan", "FILE", "`make regress`: what is run, as a TOML file", path=True),
    Option(
        "TIME", "--time", "TIME", "`make regress`: time after which no item begins, such as 90s, 20m or 8h"
    ),
    Option("VARIANTS", "--variants", "REGEX", "`make regress`: run the variants whose names match"),
    Option(
        "NETWORKS",
        "--networks",
        "FILES",
        "`make regress`: networks, with spaces between them, that the blocks run in place of their tests",
    ),
    Option("TIMEOUT", "--timeout", "TIME", "`make regress`: time after which an item is stopped", "30m"),
    Option("ATTEMPTS", "--attempts", "N", "`make regress`: workers that an item may lose", "3"),
    Option(
        "CLUSTER",
        "--cluster",
        "ADDRESS",
        "`make regress`: Dask scheduler, tcp://HOST:PORT or tls://HOST:PORT, or MODULE:FUNCTION that makes a cluster "
        "(default: JOBS workers on this machine)",
    ),
    Option("TLS_CA", "--tls-ca", "FILE", "`make regress`: certificate of the authority, for tls://"),
    Option("TLS_CERT", "--tls-cert", "FILE", "`make regress`: own certificate, for tls://"),
    Option("TLS_KEY", "--tls-key", "FILE", "`make regress`: key of the own certificate, for tls://"),
    Option(
        "RESUME",
        "--resume",
        "NAME",
        "`make regress`: go on with a regression that was interrupted; 1: the last one",
    ),
    Option("DISK", "--disk", "MB", "`make regress`: space that a worker's disk must have left", "1000"),
    Option("MEMORY", "--memory", "MB", "`make regress`: memory that a worker must have left", "500"),
)

KEEP_OPTIONS = (
    Option("NAME", "--name", "NAME", "`make keep`, `make regress`: name of the case, or of the regression"),
    Option("REPLACE", "--replace", "", "`make keep`: a kept case of that name is replaced"),
)

OPTIONS = (
    *RUN_OPTIONS,
    *NETWORK_OPTIONS,
    *VECTOR_OPTIONS,
    *PROGRAM_OPTIONS,
    *SOAK_OPTIONS,
    *CASE_OPTIONS,
    *OUTPUT_OPTIONS,
    *WAVES_OPTIONS,
    *MUTATION_OPTIONS,
    *KEEP_OPTIONS,
    *REGRESS_OPTIONS,
)

MAKE_ONLY = {
    "PYTEST_ARGS": 'arguments for `make test`, such as PYTEST_ARGS="-k NAME"',
    "CHANGED": "1: `make test` leaves out the tests that no change has touched since they passed",
    "EXTRAS": "extra that `make test` installs (default: test, with the reference frameworks; empty: none)",
    "WORKERS": "number of tests that run at a time (default: 2)",
    "RUNS": "folders of runs that `make coverage` reports, with spaces between them (default: it makes the runs)",
    "PROOFS": "proofs that `make prove` makes, with spaces between them (default: all)",
    "UPDATE": "1: `make synth` writes the baselines in place of comparing with them",
    "PYTHON": "interpreter that has all packages; .venv is then not used",
    "BASE_PYTHON": "interpreter that .venv is made from, 3.11 or newer (default: python3)",
}
"""Variables that only the Makefile reads."""

MAY_BE_EMPTY = {"EXTRAS"}
"""Variables whose empty value means something."""

SYNONYMS = {"COCOTB_RANDOM_SEED": "SEED"}
"""Further variables of cocotb's that mean the same."""

VARIABLES = (*(option.variable for option in OPTIONS), *SYNONYMS, *MAKE_ONLY)
"""The variables that make's command line may set for this project."""

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
    parts = re.match(r"(.*?)(: (?:make|python -m \w+|assay) |$)(.*)", message, re.DOTALL)
    assert parts is not None  # for the end of the message is a match
    message, command, rest = parts.groups()
    for option in OPTIONS:
        if option.flag in typed:
            message = re.sub(rf"\b{option.variable}=(?=\S)", f"{option.flag} ", message)
            if len(option.variable) > 1:
                message = re.sub(rf"(?<![-\w]){option.variable}\b", option.flag, message)
    return message + command + rest
