# SPDX-License-Identifier: Apache-2.0
"""The commands that simulate. The Makefile calls them and passes cocotb's variables as environment."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from assay.golden import GoldenError
from assay.golden.compare import Acceptance
from assay.golden.lowering import Lowering
from assay.sim import (
    ROOT,
    bench,
    cycle,
    differential,
    lint,
    nightly,
    outputs,
    project,
    shown,
    shrink,
    waves,
)
from assay.sim.arguments import (
    OVERRIDES,
    add_build,
    add_option,
    add_run,
    add_simulator,
    add_top,
    assemble,
    check_variables,
    given_options,
    given_parameters,
    given_seed,
    given_words,
    is_on,
    job_of,
    not_empty,
    pairs,
    value_of,
)
from assay.sim.attach.command import add_arguments, new
from assay.sim.blocks import capabilities, discover, find_block, having, is_own, lacking, options
from assay.sim.coverage import command as coverage
from assay.sim.debug import command as debug
from assay.sim.engine import GOLDEN, engines, model_class
from assay.sim.fuzz import command as fuzzing
from assay.sim.job import Job, choose_seed, prepare
from assay.sim.mutation import command as mutation
from assay.sim.mutation.golden import command as golden_mutation
from assay.sim.options import (
    MUTATION_OPTIONS,
    as_typed,
    by_variable,
)
from assay.sim.proofs import prove
from assay.sim.regress import command as regression
from assay.sim.run import add_failure_waves, report, run_job, waves_line
from assay.sim.synth import synth
from assay.sim.testcases import list_tests
from assay.tb.block import Block
from assay.tb.capabilities import Benchmarks, Capability, Command, PlaysCases
from assay.tb.errors import AssayError, sentence, unknown
from assay.tb.options import Option, help_text

INTERRUPTED = 130

BROKEN_PIPE = 141


def main(
    argv: Sequence[str] | None = None,
    blocks: Mapping[str, Block] | None = None,
    program: str = "python -m sim",
) -> int:
    """Run one command; returns the exit status: 0 passed, 1 failed, 2 bad input, 130 interrupted, 141 unread.

    Args:
        argv: the command line's words; None: of this process.
        blocks: what there is to simulate; None: all that can be found.
        program: how the help calls what was typed before the words.
    """
    words = sys.argv[1:] if argv is None else argv
    try:
        signal.signal(signal.SIGTERM, _interrupt)
        if blocks is None:
            blocks = discover(_named_repository(words))
        check_variables(os.environ.get(OVERRIDES, ""), os.environ, blocks)
        arguments = _parser(blocks, program).parse_args(words)
        return arguments.command(arguments, blocks)
    except (AssayError, GoldenError) as error:
        return _refuse(as_typed(str(error), words), getattr(error, "exit_status", AssayError.exit_status))
    except BrokenPipeError:  # whoever read what this prints has gone, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except OSError as error:  # a full disk, a read-only checkout, a file without permission
        return _refuse(sentence(error), AssayError.exit_status)
    except KeyboardInterrupt:
        print(
            "\nassay: interrupted; the simulator was stopped and its unfinished outputs removed",
            file=sys.stderr,
        )
        return INTERRUPTED


def _named_repository(words: Sequence[str]) -> str:
    """The repository of blocks that the command line or the variable names; needed before the options are known."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--blocks", default=value_of("BLOCKS") or "")
    try:
        named = parser.parse_known_args(words)[0].blocks.strip()
        return "" if words[:1] == ["regress"] and not os.path.isdir(named) else named
    except argparse.ArgumentError:  # said by the full parser
        return ""


def _refuse(text: str, status: int) -> int:
    sys.stdout.flush()
    print(f"assay: {text}", file=sys.stderr)
    return status


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _announce(line: str) -> None:
    print(f"assay: {line}", flush=True)


def parsers(program: str, blocks: Mapping[str, Block]) -> dict[str, argparse.ArgumentParser]:
    """The parser of every command, whose description says what it does."""
    listing = argparse.ArgumentParser(program).add_subparsers()
    _add_commands(listing, blocks)
    return dict(listing.choices)


def _parser(blocks: Mapping[str, Block], program: str = "python -m sim") -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program,
        description="Build and run Assay's simulations. Defaults come from the variables that make and cocotb use.",
    )
    _add_commands(parser.add_subparsers(title="commands", required=True, metavar="COMMAND"), blocks)
    return parser


def _add_commands(commands: Any, blocks: Mapping[str, Block]) -> None:
    def add(name: str, text: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")

    first = next(iter(blocks), "")

    run = add("run", "simulate one block and compare it with its golden model")
    add_top(run, first)
    add_run(run)
    for name in ("COCOTB_TESTCASE", "COCOTB_TEST_FILTER"):
        add_option(run, by_variable(name))
    for option in options(blocks).values():
        add_option(run, option)
    run.set_defaults(command=_run)

    for kind in capabilities(blocks):
        if kind.command is not None:
            special = add(kind.command.name, kind.command.text)
            add_top(special, next(iter(having(kind, blocks)), first))
            add_run(special)
            for option in kind.options:
                default = kind.command.default if option.variable == kind.command.variable else None
                add_option(special, option, default or None)
            special.set_defaults(command=_run_special, kind=kind, special=kind.command)

    for name, text in (
        (
            "predict",
            "run a network on an engine, compare its tensors with the golden model's, print clocks and outputs",
        ),
        ("trace", "run a network on an engine and write every tensor"),
        (
            "compare",
            "run a network on an engine and compare every tensor with the golden model's",
        ),
    ):
        _add_predict(add(name, text), name, blocks)

    attaching = add("new", "attach Assay to RTL as it is: read a module's ports, write a bench that runs")
    add_arguments(attaching)
    attaching.set_defaults(command=new)

    listing = add("list", "list blocks, their parameters and their tests")
    add_option(listing, by_variable("BLOCKS"))
    listing.set_defaults(command=_list)

    wave = add(
        "waves", "open, or name, the waveform of the last failure or, if there is none, of the last run"
    )
    add_top(wave, first)
    add_option(wave, by_variable("AT"))
    wave.set_defaults(command=_waves)

    explaining = add("explain", debug.HELP)
    add_top(explaining, first)
    explaining.set_defaults(command=_explain)

    asking = add("wave", debug.ASK_HELP)
    asking.add_argument("question", help="expression over signals, and perhaps `for more than N clocks`")
    add_top(asking, first)
    asking.add_argument("--limit", type=int, default=20, metavar="N", help="lines at most (default: 20)")
    asking.set_defaults(command=_ask)

    shrinking = add("shrink", shrink.SHRINK_HELP)
    add_top(shrinking, next(iter(having(PlaysCases, blocks)), first))
    add_option(shrinking, by_variable("MINUTES")._replace(text="time after which it ends"), shrink.MINUTES)
    shrinking.set_defaults(command=lambda arguments, blocks: shrink.shrink(arguments, blocks, _announce))

    keeping = add("keep", shrink.KEEP_HELP)
    add_top(keeping, next(iter(having(PlaysCases, blocks)), first))
    for name in ("NAME", "REPLACE"):
        add_option(keeping, by_variable(name))
    add_option(
        keeping, by_variable("CASE")._replace(text="case to keep (default: the last one that was shrunk)")
    )
    keeping.set_defaults(command=lambda arguments, blocks: shrink.keep(arguments, blocks, _announce))

    speed = add("bench", "measure simulation speed against a plain C++ harness")
    add_top(speed, next(iter(having(Benchmarks, blocks)), first))
    add_build(speed)
    speed.set_defaults(command=_bench)

    turn = add("bench-cycle", "measure the time from an edit of one line of HDL to the verdict")
    add_top(turn, first)
    turn.set_defaults(
        command=lambda arguments, blocks: cycle.measure(find_block(arguments.top, blocks), _announce)
    )

    covering = add("coverage", coverage.HELP)
    add_top(covering, None)
    add_option(covering, by_variable("SEED")._replace(text="first seed, also COCOTB_RANDOM_SEED"), "1")
    add_option(covering, by_variable("SEEDS"), "1")
    coverage.add_arguments(covering)
    covering.set_defaults(command=_coverage)

    linting = add(
        "lint",
        "lint the blocks' RTL with verilator -Wall; in Assay's checkout, run verible, ruff and mypy, too",
    )
    add_option(linting, by_variable("BLOCKS"))
    linting.set_defaults(command=_lint)

    proving = add(
        "prove", "prove properties of Assay's RTL for all inputs, and find the bugs planted for each"
    )
    proving.add_argument("names", nargs="*", metavar="NAME", help="proof to make (default: all)")
    proving.add_argument("--list", action="store_true", help="print what is proved and assumed, and end")
    proving.set_defaults(command=_prove)

    mutating = add("mutate", mutation.HELP)
    add_top(mutating, None)
    add_option(mutating, by_variable("SEED")._replace(text="seed of the bench"), mutation.SEED)
    add_option(mutating, by_variable("PARAMS"))
    for option in MUTATION_OPTIONS:
        add_option(mutating, option, option.default or None)
    mutation.add_arguments(mutating)
    mutating.set_defaults(command=_mutate)

    regressing = add("regress", regression.HELP)
    add_top(regressing, None)
    for option in regression.OPTIONS:
        add_option(regressing, option, option.default or None)
    regression.add_arguments(regressing, value_of("RESUME"), not_empty)
    regressing.set_defaults(command=_regress)

    differing = add("differential", differential.HELP)
    add_top(differing, None)
    add_option(differing, by_variable("SEED")._replace(text="seed of all runs"), differential.SEED)
    add_option(differing, by_variable("PARAMS"))
    differing.set_defaults(
        command=lambda arguments, blocks: differential.differential(
            arguments,
            blocks,
            lambda block: given_parameters(arguments, block),
            given_seed(arguments),
            _announce,
        )
    )

    fuzz = add("fuzz", fuzzing.HELP)
    add_option(fuzz, by_variable("SEED")._replace(text="seed of the series of files"))
    add_option(
        fuzz, by_variable("MINUTES")._replace(text="time after which it ends; 0: no limit"), fuzzing.MINUTES
    )
    fuzzing.add_arguments(fuzz)
    fuzz.set_defaults(
        command=lambda arguments, blocks: fuzzing.fuzz(arguments, given_seed(arguments), _announce)
    )

    night = add("nightly", nightly.HELP)
    add_option(night, by_variable("SEED")._replace(text="seed of all steps (default: the day's)"))
    add_option(night, by_variable("MINUTES")._replace(text="time of all steps together"), nightly.MINUTES)
    add_option(
        night, by_variable("DAY")._replace(text="chooses the samples of mutants (default: today's date)")
    )
    add_option(night, by_variable("BLOCKS"))
    nightly.add_arguments(night)
    night.set_defaults(
        command=lambda arguments, blocks: nightly.nightly(arguments, blocks, arguments.seed, _announce)
    )

    synthesis = add("synth", "synthesise blocks' RTL to gates and compare the figures with the baseline")
    add_top(synthesis, None)
    add_option(synthesis, by_variable("PARAMS"))
    synthesis.add_argument("--update", action="store_true", help="write the baseline in place of comparing")
    synthesis.add_argument(
        "--changed", action="store_true", help="map only a block whose RTL is not that of its baseline"
    )
    synthesis.set_defaults(command=_synth)

    mutating_golden = add("mutate-golden", golden_mutation.HELP)
    for option in MUTATION_OPTIONS:
        add_option(mutating_golden, option, option.default or None)
    golden_mutation.add_arguments(mutating_golden)
    mutating_golden.set_defaults(
        command=lambda arguments, blocks: golden_mutation.mutate(arguments, _announce)
    )

    check = add("check", "reject misspelt variables of make's command line, as all commands do")
    check.set_defaults(command=lambda arguments, blocks: 0)

    extra = add("extra", "name the extra of pyproject.toml that a block needs, for make")
    add_top(extra, first)
    extra.set_defaults(command=_extra)

    clean = add("clean", "remove builds, runs and reports")
    add_option(clean, by_variable("BLOCKS"))
    clean.set_defaults(command=_clean)


def _add_predict(parser: argparse.ArgumentParser, name: str, blocks: Mapping[str, Block]) -> None:
    """The arguments of predict, trace and compare."""
    known = engines(blocks)
    default = next(iter(known), GOLDEN)
    parser.add_argument("model", help="model file, or the name of one of the project's own networks")
    parser.add_argument(
        "--engine", default=default, help=f"golden, or a block that runs networks (default: {default})"
    )
    given = parser.add_mutually_exclusive_group()
    given.add_argument(
        "--inputs",
        default="",
        metavar="FILE",
        help="file of the inputs: .npy [N, ...], or .npz by input name; as the model file takes them, or integers of a "
        "lowered network",
    )
    given.add_argument(
        "--random",
        type=int,
        default=1,
        metavar="N",
        help="number of random inputs, in place of --inputs (default: 1); test images for the project's own networks",
    )
    parser.add_argument(
        "--jobs",
        type=int,
        default=1,
        metavar="N",
        help="number of simulators; the engine spreads the inputs over them, or the layers, each from its golden input",
    )
    parser.add_argument(
        "--runtime",
        action="store_true",
        help="compare with the framework's own runtime, in place of its golden arithmetic",
    )
    Acceptance.add_options(parser)
    for option, names in _engine_options(known).items():
        text = f"{help_text(option)} (engines {', '.join(names)})"
        if option.value:
            parser.add_argument(option.flag, default="", metavar=option.value, help=text)
        else:
            parser.add_argument(option.flag, action="store_true", help=text)
    Lowering.add_options(parser, "exact, where the engine runs lowered networks")
    parser.add_argument(
        "--output", default="", metavar="FILE", help=".npz file to write, with the engine's tensors"
    )
    add_option(parser, by_variable("BLOCKS"))
    add_simulator(parser)
    add_build(parser)
    parser.set_defaults(command=_predict, action=name)


def _engine_options(known: Mapping[str, Block]) -> dict[Option, list[str]]:
    """The options of the engines' models, each with the engines that have it."""
    found: dict[Option, list[str]] = {}
    for name, block in known.items():
        for option in model_class(block, known).options:
            found.setdefault(option, []).append(name)
    return found


def _run(arguments: argparse.Namespace, blocks: Mapping[str, Block]) -> int:
    return _run_and_report(arguments, job_of(arguments, blocks))


def _run_special(arguments: argparse.Namespace, blocks: Mapping[str, Block]) -> int:
    """The command of a capability: its test with its variables."""
    kind: type[Capability] = arguments.kind
    special: Command = arguments.special
    block = find_block(arguments.top, blocks)
    capability = block.capability(kind)
    known = {option.variable: option for option in kind.options}
    given = given_options(arguments, known)
    if capability is None:
        raise lacking(block, kind, blocks)
    if special.variable not in given:
        option = known[special.variable]
        raise AssayError(
            f"{special.name} has nothing to run: give {option.variable}={option.value} or {option.flag} {option.value}"
        )
    parameters, _ = prepare(block, given, given_parameters(arguments, block), blocks)
    return _run_and_report(arguments, assemble(arguments, block, (capability.test,), parameters, given))


def _extra(arguments: argparse.Namespace, blocks: Mapping[str, Block]) -> int:
    block = find_block(arguments.top, blocks)
    if block.extra is not None:
        print(block.extra.name)
    return 0


def _run_and_report(arguments: argparse.Namespace, job: Job) -> int:
    outcome = run_job(job, _announce, live=lambda line: print(line, flush=True))
    status = 0 if outcome.passed else 1
    with contextlib.suppress(KeyboardInterrupt):  # from here on the verdict is out and stands
        for line in report(outcome):
            _announce(line)
        if not outcome.passed:
            if outcome.waves is None:
                add_failure_waves(outcome, _announce)
                if outcome.waves is not None:
                    _announce(f"      {'waves':<16} {waves_line(job.block, outcome.waves)}")
            if outcome.waves is not None:
                debug.follow(job.block, outcome.folder, _announce)
        if outcome.waves is not None and (arguments.gui or is_on("GUI")):
            waves.show(job.block, outcome.folder, _announce)
    return status


def _predict(arguments: argparse.Namespace, blocks: Mapping[str, Block]) -> int:
    from assay.sim import predict  # the networks' packages are not needed for anything else

    known = engines(blocks)
    if arguments.engine not in (GOLDEN, *known):
        raise unknown("engine", arguments.engine, (GOLDEN, *known))
    block = known.get(arguments.engine)
    given = {}
    if block is not None:
        given = given_parameters(arguments, block)
    elif arguments.param:
        raise AssayError(f"--param {arguments.param[0]}: engine {arguments.engine} has no hardware")
    names = [option.name for option in _engine_options(known)]
    return predict.run(
        predict.Order(
            model=arguments.model,
            block=block,
            random=arguments.random,
            inputs=arguments.inputs,
            jobs=arguments.jobs,
            runtime=arguments.runtime,
            output=arguments.output,
            simulator=arguments.sim,
            seed=given_seed(arguments),
            parameters=given,
            options={name: value for name in names if (value := getattr(arguments, name))},
            lowering=Lowering.of(arguments),
            acceptance=Acceptance.of(arguments),
            command=arguments.action,
        ),
        _announce,
    )


def _list(arguments: argparse.Namespace, blocks: Mapping[str, Block]) -> int:
    for block in blocks.values():
        defaults = block.resolve_parameters({})
        print(f"{block.name}: {block.summary}")
        for name, parameter in block.table.items():
            print(
                f"  PARAMS={name}=...  {parameter.meaning}; {parameter.allowed_text}; default {defaults[name]}"
            )
        for name, text in block.defines.items():
            print(f"  DEFINES={name}=...  default {text}")
        for data in block.data:
            print(f"  DATA={data.name}=...  {data.meaning}; default {data.default or 'none'}")
        for name, test in list_tests(block).items():
            mark = " (default)" if name in block.default_tests else ""
            print(
                f"  COCOTB_TESTCASE={name}{mark}  {(test.doc or '').strip().partition(chr(10))[0]}".rstrip()
            )
    return 0


def _waves(arguments: argparse.Namespace, blocks: Mapping[str, Block]) -> int:
    block = find_block(arguments.top, blocks)
    at = arguments.at or value_of("AT")
    folder = waves.at_place(block, at, _announce) if at else waves.last_run(block, _announce)
    waves.show(block, folder, _announce)
    return 0


def _explain(arguments: argparse.Namespace, blocks: Mapping[str, Block]) -> int:
    block = find_block(arguments.top, blocks)
    debug.show(block, waves.last_run(block, _announce), _announce)
    return 0


def _ask(arguments: argparse.Namespace, blocks: Mapping[str, Block]) -> int:
    block = find_block(arguments.top, blocks)
    folder = waves.last_run(block, _announce)
    return debug.answer(block, folder, arguments.question, arguments.limit, _announce)


def _bench(arguments: argparse.Namespace, blocks: Mapping[str, Block]) -> int:
    block = find_block(arguments.top, blocks)
    benchmarks = block.capability(Benchmarks)
    if benchmarks is None:
        raise lacking(block, Benchmarks, blocks)
    block.check_extra(benchmarks.tests)
    return bench.run(block, benchmarks, given_parameters(arguments, block), given_seed(arguments), _announce)


def _coverage(arguments: argparse.Namespace, blocks: Mapping[str, Block]) -> int:
    seed = choose_seed(value_of("COCOTB_RANDOM_SEED") or arguments.seed)
    return coverage.coverage(arguments, blocks, seed, _announce)


def _lint(arguments: argparse.Namespace, blocks: Mapping[str, Block]) -> int:
    theirs = [block for block in blocks.values() if block.root in project.in_use]
    whole = not theirs and (ROOT / "Makefile").is_file()  # an installed Assay is not its user's to lint
    return lint.run(theirs or [b for b in blocks.values() if is_own(b)], whole, _announce)


def _prove(arguments: argparse.Namespace, blocks: Mapping[str, Block]) -> int:
    if arguments.list:
        print(prove.listing(arguments.names))
        return 0
    return prove.run(arguments.names, _announce)


def _mutate(arguments: argparse.Namespace, blocks: Mapping[str, Block]) -> int:
    seed = choose_seed(value_of("COCOTB_RANDOM_SEED") or arguments.seed)
    return mutation.mutate(
        arguments, blocks, lambda block: given_parameters(arguments, block), seed, _announce
    )


def _regress(arguments: argparse.Namespace, blocks: Mapping[str, Block]) -> int:
    arguments.coverage = arguments.coverage or is_on("COVERAGE")
    arguments.seed = arguments.seed or value_of("COCOTB_RANDOM_SEED")
    parameters = pairs("parameter", given_words(arguments, "PARAMS"))
    return regression.regress(arguments, blocks, parameters, _announce)


def _synth(arguments: argparse.Namespace, blocks: Mapping[str, Block]) -> int:
    known = synth.chosen(arguments.top or "", blocks)
    given = given_parameters(arguments, known[0])
    return synth.run(known, given, arguments.update, _announce, arguments.changed)


def _clean(arguments: argparse.Namespace, blocks: Mapping[str, Block]) -> int:
    theirs = [block for block in blocks.values() if block.root in project.in_use]
    root = outputs.outputs(theirs[0] if theirs else None)
    for folder in (root / name for name in ("build", "runs", "reports")):
        if folder.is_dir():
            shutil.rmtree(folder)
            _announce(f"removed {shown(folder)}")
    if root.name == outputs.FOLDER and {path.name for path in root.glob("*")} == {".gitignore"}:
        shutil.rmtree(root)
    return 0
