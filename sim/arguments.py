# SPDX-License-Identifier: Apache-2.0
"""What a command line and make's variables say: options as arguments of a parser, and what was given, checked.

Each option means the same as a variable, which holds where the option is not typed.
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import shlex
from collections.abc import Mapping, Sequence

from assay.sim.blocks import find_block, options
from assay.sim.job import Job, choose_seed, prepare
from assay.sim.options import MAY_BE_EMPTY, RENAMED, VARIABLES, by_variable
from assay.sim.testcases import select_tests
from assay.tb.block import Block
from assay.tb.errors import AssayError, unknown
from assay.tb.options import Option, help_text

REPEATED = ("COCOTB_TESTCASE", "PARAMS", "DEFINES", "DATA", "COMPILE_ARGS")
"""Options that may be repeated; their variables hold a list."""

OVERRIDES = "ASSAY_OVERRIDES"
"""Environment variable: what the Makefile was given on make's command line."""

_FOREIGN = re.compile(
    r"(COCOTB|GPI|PYGPI|VERILATOR|VM|OPT)(_\w+)?|ASSAY_MODELS|CC|CXX|(C|CXX|CPP|LD)FLAGS|LDLIBS|OBJCACHE|V|CI"
)
"""Variables of cocotb, the compilers and the simulators, which make's command line may set as well."""


def check_variables(overrides: str, values: Mapping[str, str], blocks: Mapping[str, Block]) -> None:
    """Refuse a misspelt or an empty variable of make's command line, which would else be ignored; the environment may
    hold any.

    Args:
        overrides: GNU make's MAKEOVERRIDES: the definitions, white space and backslashes in them escaped.
        values: what the variables hold, the environment.
        blocks: whose capabilities may have variables beside `VARIABLES`.

    Raises:
        AssayError: a name that is neither of `VARIABLES` nor of the tools below, or is almost one of `VARIABLES`; a
            variable without a value, as another one that was empty leaves it.
    """
    variables = (*VARIABLES, *(name for name in options(blocks) if name not in VARIABLES))
    for definition in re.findall(r"(?:\\.|[^\s\\])+", overrides, re.DOTALL):
        name = definition.partition("=")[0].rstrip(":+?!")
        if name in RENAMED:
            raise AssayError(f"variable {name} has become {RENAMED[name]}")
        if name in variables and name not in MAY_BE_EMPTY and not values.get(name, "").strip():
            raise AssayError(f"{name}= is empty; give it a value, or leave it away for its default")
        known = name in variables or (
            _FOREIGN.fullmatch(name) and not difflib.get_close_matches(name, variables, cutoff=0.85)
        )
        if name and not known:
            raise unknown("variable", name, variables)


def add_option(parser: argparse.ArgumentParser, option: Option, default: str | None = None) -> None:
    """The option that means the same as a variable, which else holds; None where neither is given and no default."""
    variable = option.variable
    text = f"{help_text(option._replace(default=default or option.default))} ({variable})"
    text = text.replace("%", "%%")
    if not option.value:
        parser.add_argument(option.flag, dest=option.name, action="store_true", help=text)
        return
    action = parser.add_argument(
        option.flag,
        dest=option.name,
        type=not_empty,
        metavar=option.value,
        action="append" if variable in REPEATED else "store",
        help=text,
    )
    if variable not in REPEATED:
        action.default = value_of(variable) or default


def add_top(parser: argparse.ArgumentParser, default: str | None) -> None:
    """Which block, and where blocks are."""
    option = by_variable("TOPLEVEL")
    add_option(parser, option._replace(text=option.text.partition(" (")[0]), default)
    add_option(parser, by_variable("BLOCKS"))


def not_empty(text: str) -> str:
    """The type of arguments that must say something."""
    if not text.strip():
        raise argparse.ArgumentTypeError("is empty; give it a value, or leave it away for its default")
    return text


def add_run(parser: argparse.ArgumentParser) -> None:
    """The arguments of every command that runs a simulation."""
    add_simulator(parser)
    add_build(parser)
    for name in ("DEFINES", "DATA", "COMPILE_ARGS", "WAVES", "GUI", "XRANDOM", "WORDS", "COVERAGE"):
        add_option(parser, by_variable(name))


def add_simulator(parser: argparse.ArgumentParser) -> None:
    """Which simulator."""
    add_option(parser, by_variable("SIM"), default="verilator")


def add_build(parser: argparse.ArgumentParser) -> None:
    """What is built and drawn: parameters and the seed."""
    add_option(parser, by_variable("SEED"))
    add_option(parser, by_variable("PARAMS"))


def value_of(name: str) -> str | None:
    """What a variable holds; None: nothing."""
    return os.environ.get(name) or None


def is_on(name: str) -> bool:
    """A variable that is on or off, in the words that cocotb accepts."""
    value = (value_of(name) or "0").lower()
    if value in ("1", "yes", "y", "on", "true", "enable"):
        return True
    if value in ("0", "no", "n", "off", "false", "disable"):
        return False
    raise AssayError(f"{name}={os.environ[name]}: allowed are 0 and 1")


def given_parameters(arguments: argparse.Namespace, block: Block) -> dict[str, int | str]:
    """The HDL parameters the user gave, checked."""
    given = pairs("parameter", arguments.param or re.split(r"[\s,]+", value_of("PARAMS") or ""))
    resolved = block.resolve_parameters(given)
    return {name: resolved[name] for name in given}


def pairs(what: str, words: Sequence[str]) -> dict[str, str]:
    """Words of the form NAME=VALUE; where ``what`` is a macro, NAME alone stands for NAME=1."""
    given: dict[str, str] = {}
    for word in filter(None, words):
        name, equals, value = word.partition("=")
        if not equals and what != "macro":
            raise AssayError(f"{what} {word!r} is not of the form NAME=VALUE")
        given[name] = value if equals else "1"
    return given


def given_words(arguments: argparse.Namespace, variable: str) -> list[str]:
    """A list that was given by options, else by a variable in a shell's quoting."""
    text = value_of(variable) or ""
    try:
        return getattr(arguments, by_variable(variable).name) or shlex.split(text)
    except ValueError as error:
        raise AssayError(f"{variable}={text}: {error}") from None


def given_options(arguments: argparse.Namespace, known: Mapping[str, Option]) -> dict[str, str]:
    """The capabilities' variables that the user gave."""
    given = {}
    for variable, option in known.items():
        value = getattr(arguments, option.name, None)
        if not option.value:
            value = "1" if value or is_on(variable) else ""
        if value:
            given[variable] = value
    return given


def given_seed(arguments: argparse.Namespace) -> int:
    """The seed that the user gave, or a random one."""
    return choose_seed(arguments.seed or value_of("COCOTB_RANDOM_SEED"))


def job_of(arguments: argparse.Namespace, blocks: Mapping[str, Block]) -> Job:
    """The job that the arguments of `add_top` and `add_run` ask for."""
    block = find_block(arguments.top, blocks)
    testcases = arguments.test or [value_of("COCOTB_TESTCASE") or ""]
    testcases = [name for text in testcases for name in re.split(r"[\s,]+", text) if name]
    given = given_options(arguments, options(blocks))
    parameters, own = prepare(block, given, given_parameters(arguments, block), blocks)
    tests = select_tests(block, testcases or ([] if arguments.filter else own), arguments.filter)
    return assemble(arguments, block, tests, parameters, given)


def assemble(
    arguments: argparse.Namespace,
    block: Block,
    tests: tuple[str, ...],
    parameters: Mapping[str, int | str],
    given: Mapping[str, str],
) -> Job:
    """The job of checked settings."""
    job = Job(
        block=block,
        simulator=arguments.sim,
        seed=given_seed(arguments),
        tests=tests,
        parameters=parameters,
        defines=pairs("macro", given_words(arguments, "DEFINES")),
        data=pairs("data file", given_words(arguments, "DATA")),
        given=given,
        x_random=arguments.x_random or is_on("XRANDOM"),
        coverage=arguments.coverage or is_on("COVERAGE"),
        compile_args=tuple(given_words(arguments, "COMPILE_ARGS")),
        words=arguments.words or is_on("WORDS"),
        waves=arguments.waves or arguments.gui or is_on("WAVES") or is_on("GUI"),
    )
    if job.coverage and job.simulator == "icarus":
        raise AssayError("COVERAGE=1: Icarus Verilog counts no coverage; leave SIM=icarus away")
    block.resolve_defines(job.defines)
    block.resolve_data(job.data)
    block.check_extra(tests)
    return job
