# SPDX-License-Identifier: Apache-2.0
"""The command line: ``assay COMMAND``. The Makefile calls it and passes cocotb's variables as environment."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import importlib
import os
import re
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from assay.sim.requirements import check_interpreter

check_interpreter()  # before the imports that an interpreter without them would answer with a traceback

from assay.golden import GoldenError
from assay.golden.compare import Acceptance
from assay.golden.lowering import SCALES, Lowering
from assay.golden.lowering.walk import LAYOUTS
from assay.sim import ROOT, bench, lint, shown, waves
from assay.sim.build import BUILD_ROOT
from assay.sim.errors import AssayError, sentence, unknown
from assay.sim.job import Job, choose_seed
from assay.sim.options import RENAMED, VARIABLES, as_typed, by_variable, help_text
from assay.sim.run import RUN_ROOT, add_failure_waves, report, run_job, waves_line
from assay.sim.targets import TARGETS, Target, find_target
from assay.sim.testcases import list_tests, select_tests

INTERRUPTED = 130

BROKEN_PIPE = 141

REPEATED = ("COCOTB_TESTCASE", "PARAMS")
"""Options that may be repeated; their variables hold a list."""

OVERRIDES = "ASSAY_OVERRIDES"
"""Environment variable: what the Makefile was given on make's command line."""

_FOREIGN = re.compile(
    r"(COCOTB|GPI|PYGPI|VERILATOR|VM|OPT)(_\w+)?|ASSAY_MODELS|CC|CXX|(C|CXX|CPP|LD)FLAGS|LDLIBS|OBJCACHE|V|CI"
)
"""Variables of cocotb, the compilers and the simulators, which make's command line may set as well."""


def main(argv: Sequence[str] | None = None, targets: Mapping[str, Target] = TARGETS) -> int:
    """Run one command; returns the exit status: 0 passed, 1 failed, 2 bad input, 130 interrupted, 141 unread."""
    words = sys.argv[1:] if argv is None else argv
    try:
        signal.signal(signal.SIGTERM, _interrupt)
        check_variables(os.environ.get(OVERRIDES, ""), os.environ)
        arguments = _parser().parse_args(words)
        return arguments.command(arguments, targets)
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


def _refuse(text: str, status: int) -> int:
    sys.stdout.flush()
    print(f"assay: {text}", file=sys.stderr)
    return status


def check_variables(overrides: str, values: Mapping[str, str]) -> None:
    """Refuse a misspelt or an empty variable of make's command line, which would else be ignored; the environment may
    hold any.

    Args:
        overrides: GNU make's MAKEOVERRIDES: the definitions, white space and backslashes in them escaped.
        values: what the variables hold, the environment.

    Raises:
        AssayError: a name that is neither of `VARIABLES` nor of the tools below, or is almost one of `VARIABLES`; a
            variable without a value, as another one that was empty leaves it.
    """
    for definition in re.findall(r"(?:\\.|[^\s\\])+", overrides, re.DOTALL):
        name = definition.partition("=")[0].rstrip(":+?!")
        if name in RENAMED:
            raise AssayError(f"variable {name} has become {RENAMED[name]}")
        if name in VARIABLES and not values.get(name, "").strip():
            raise AssayError(f"{name}= is empty; give it a value, or leave it away for its default")
        known = name in VARIABLES or (
            _FOREIGN.fullmatch(name) and not difflib.get_close_matches(name, VARIABLES, cutoff=0.85)
        )
        if name and not known:
            raise unknown("variable", name, VARIABLES)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _announce(line: str) -> None:
    print(f"assay: {line}", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sim",
        description="Build and run Assay's simulations. Defaults come from the variables that make and cocotb use.",
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="simulate one target and compare it with its golden model")
    _add(run, "TOPLEVEL", default="mvu")
    _add_run(run)
    names = ("COCOTB_TESTCASE", "COCOTB_TEST_FILTER", "MODEL", "INPUTS")
    names += ("SCALES", "INPUT_FORMAT", "INPUT_LAYOUT", "VECTORS", "ELF")
    for name in (*names, "HARTS", "LIMIT", "TOHOST", "FORCE", "N"):
        _add(run, name)
    run.set_defaults(command=_run)

    program = commands.add_parser(
        "run-elf", help="run a program on the RTL in lock-step with the golden simulator"
    )
    _add(program, "TOPLEVEL", default="controller")
    _add_run(program)
    for name in ("ELF", "HARTS", "LIMIT", "TOHOST", "FORCE"):
        _add(program, name)
    program.set_defaults(command=_run_elf)

    soak = commands.add_parser(
        "soak", help="random programs in lock-step until so many instructions are compared"
    )
    _add(soak, "TOPLEVEL", default="controller")
    _add_run(soak)
    _add(soak, "N", default="10000000")
    soak.set_defaults(command=_soak)

    for name, text in (
        ("predict", "run a network on an engine: its tensors against the golden model's, clocks, answers"),
        ("trace", "run a network on an engine and write every tensor"),
        (
            "compare",
            "hold every tensor of a network on an engine against the golden model's; says what differs first",
        ),
    ):
        _add_predict(commands.add_parser(name, help=text), name)

    listing = commands.add_parser("list", help="list targets, their parameters and their tests")
    listing.set_defaults(command=_list)

    wave = commands.add_parser(
        "waves", help="open, or name, the waveform of the last failure, else of the last run"
    )
    _add(wave, "TOPLEVEL", default="mvu")
    wave.set_defaults(command=_waves)

    speed = commands.add_parser("bench", help="measure simulation speed against a plain C++ harness")
    _add(speed, "TOPLEVEL", default="mvu")
    _add_build(speed)
    speed.set_defaults(command=_bench)

    coverage = commands.add_parser("coverage", help="functional coverage of all runs that are kept, merged")
    _add(coverage, "TOPLEVEL", default="mvu")
    coverage.set_defaults(command=_coverage)

    linting = commands.add_parser("lint", help="verilator -Wall, verible and ruff over the whole project")
    linting.set_defaults(command=_lint)

    check = commands.add_parser(
        "check", help="refuse misspelt variables of make's command line; all commands do"
    )
    check.set_defaults(command=lambda arguments, targets: 0)

    clean = commands.add_parser("clean", help="remove builds, runs and reports")
    clean.set_defaults(command=_clean)
    return parser


def _add(parser: argparse.ArgumentParser, variable: str, default: str | None = None) -> None:
    """The option that means the same as a variable, which else holds; None where neither is given and no default."""
    option = by_variable(variable)
    text = f"{help_text(option._replace(default=default or option.default))} ({variable})"
    text = text.replace("%", "%%")
    if not option.value:
        parser.add_argument(option.flag, dest=option.name, action="store_true", help=text)
        return
    action = parser.add_argument(
        option.flag,
        dest=option.name,
        type=_not_empty,
        metavar=option.value,
        action="append" if variable in REPEATED else "store",
        help=text,
    )
    if variable not in REPEATED:
        action.default = _variable(variable) or default


def _not_empty(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("is empty; give it a value, or leave it away for its default")
    return text


def _add_run(parser: argparse.ArgumentParser) -> None:
    """What every command that runs a simulation takes."""
    _add_sim(parser)
    _add_build(parser)
    for name in ("WAVES", "GUI", "XRANDOM"):
        _add(parser, name)


def _add_predict(parser: argparse.ArgumentParser, command: str) -> None:
    """The arguments of predict, trace and compare."""
    parser.add_argument("model", help="model file, or the name of one of the project's own networks")
    parser.add_argument(
        "--engine", default="pe_array", help="golden, or a target that runs networks (default: pe_array)"
    )
    given = parser.add_mutually_exclusive_group()
    given.add_argument(
        "--inputs",
        default="",
        metavar="FILE",
        help="inputs to run: .npy [N, ...], or .npz by input name; of the model file, or a lowered network's integers",
    )
    given.add_argument(
        "--random",
        type=int,
        default=1,
        metavar="N",
        help="or N inputs drawn with the seed (default: 1); of the project's own networks, N of their test images",
    )
    parser.add_argument(
        "--jobs",
        type=int,
        default=1,
        metavar="N",
        help="simulators; with more than one the PE array runs every layer from its golden input, spread over them, "
        "and the accelerator spreads the inputs",
    )
    parser.add_argument(
        "--runtime",
        action="store_true",
        help="hold what the engine is given against the framework's own runtime, not its golden arithmetic",
    )
    Acceptance.add_options(parser)
    parser.add_argument(
        "--strict", action="store_true", help="reject a network of which a layer would be left to the host"
    )
    parser.add_argument(
        "--mapping", default="", help="of the accelerator: auto, distributed or pipelined (default: auto)"
    )
    Lowering.add_options(parser, "on the accelerator exact")
    parser.add_argument("--output", default="", metavar="FILE", help="write the engine's tensors as .npz")
    _add_sim(parser)
    _add_build(parser)
    parser.set_defaults(command=_predict, action=command)


def _add_sim(parser: argparse.ArgumentParser) -> None:
    _add(parser, "SIM", default="verilator")


def _add_build(parser: argparse.ArgumentParser) -> None:
    _add(parser, "SEED")
    _add(parser, "PARAMS")


def _variable(name: str) -> str | None:
    return os.environ.get(name) or None


def _switch(name: str) -> bool:
    """A variable that is on or off, in the words that cocotb accepts."""
    value = (_variable(name) or "0").lower()
    if value in ("1", "yes", "y", "on", "true", "enable"):
        return True
    if value in ("0", "no", "n", "off", "false", "disable"):
        return False
    raise AssayError(f"{name}={os.environ[name]}: allowed are 0 and 1")


def _parameters(arguments: argparse.Namespace, target: Target) -> dict[str, int]:
    """The HDL parameters the user gave, checked."""
    words = arguments.param or re.split(r"[\s,]+", _variable("PARAMS") or "")
    given: dict[str, str] = {}
    for word in filter(None, words):
        name, equals, value = word.partition("=")
        if not equals:
            raise AssayError(f"parameter {word!r} is not of the form NAME=VALUE")
        given[name] = value
    resolved = target.resolve_parameters(given)
    return {name: resolved[name] for name in given}


def _vector_parameters(target: Target, folder: str, given: Mapping[str, int]) -> dict[str, int]:
    """The parameters of a build for a vector set: what the set was made for must agree with what the user gave."""
    if not target.vector_test:
        raise AssayError(f"VECTORS={folder}: {target.name} plays no vector sets")
    module, _, function = target.vector_parameters.partition(":")
    wanted = getattr(importlib.import_module(module), function)(Path(folder))
    wanted = {name: value for name, value in wanted.items() if name in target.parameters}
    for name, value in given.items():
        if wanted.get(name, value) != value:
            raise AssayError(
                f"parameter {name}={value}: vector set {folder} was made for {name}={wanted[name]}"
            )
    target.resolve_parameters(wanted)
    defaults = target.resolve_parameters({})
    return {**given, **{name: value for name, value in wanted.items() if value != defaults[name]}}


def _check_workload(target: Target, arguments: argparse.Namespace, parameters: Mapping[str, int]) -> None:
    """Refuse a damaged or unfit model before anything is built."""
    lowering = Lowering.of(arguments)
    for name, allowed in (("SCALES", SCALES), ("INPUT_LAYOUT", LAYOUTS)):
        if (value := lowering.variables.get(name)) and value not in allowed:
            raise unknown(name, value, allowed)
    for name, value in (("INPUTS", arguments.inputs), *lowering.variables.items()):
        if value and not arguments.model:
            raise AssayError(f"{name}={value} without MODEL: it belongs to a model of your own")
    if target.workload_check:
        module, _, function = target.workload_check.partition(":")
        check = getattr(importlib.import_module(module), function)
        resolved = target.resolve_parameters(parameters)
        check(arguments.model or "", arguments.inputs or "", resolved, lowering)
    elif arguments.model:
        raise AssayError(f"MODEL={arguments.model}: {target.name} runs no models of its user's")


def _check_elf(target: Target, path: str, parameters: Mapping[str, int], settings: Mapping[str, str]) -> None:
    """Refuse a program that the target cannot run, before anything is built."""
    if not target.elf_test:
        raise AssayError(f"ELF={path}: {target.name} runs no programs")
    module, _, function = target.elf_check.partition(":")
    getattr(importlib.import_module(module), function)(path, target.resolve_parameters(parameters), settings)


def _number(name: str, text: str) -> str:
    """A positive number of make's command line, as it was given."""
    try:
        if int(text, 0) > 0:
            return text
    except ValueError:
        pass
    raise AssayError(f"{name}={text}: must be a positive integer")


def _settings(arguments: argparse.Namespace, target: Target, parameters: Mapping[str, int]) -> dict[str, str]:
    """The settings of programs and soaks that were given, checked."""
    settings = {
        name: _number(name, text)
        for name in ("HARTS", "LIMIT", "TOHOST", "N")
        if (text := getattr(arguments, by_variable(name).name, None))
    }
    if "HARTS" in settings:
        count = target.resolve_parameters(parameters).get("Harts", 1)
        if int(settings["HARTS"], 0) >> count:
            raise AssayError(
                f"HARTS={settings['HARTS']}: a mask of {count} harts is at most 0x{(1 << count) - 1:x}"
            )
    if arguments.force or _switch("FORCE"):
        settings["FORCE"] = "1"
    return settings


def _job(arguments: argparse.Namespace, targets: Mapping[str, Target]) -> Job:
    target = find_target(arguments.top, targets)
    testcases = arguments.test or [_variable("COCOTB_TESTCASE") or ""]
    testcases = [name for text in testcases for name in re.split(r"[\s,]+", text) if name]
    parameters = _parameters(arguments, target)
    own: list[str] = []  # the test that a user's file is for
    if arguments.vectors:
        parameters = _vector_parameters(target, arguments.vectors, parameters)
        own = [target.vector_test]
    _check_workload(target, arguments, parameters)
    settings = _settings(arguments, target, parameters)
    settings |= Lowering.of(arguments).variables
    if arguments.elf:
        _check_elf(target, arguments.elf, parameters, settings)
        own = [target.elf_test]
    tests = select_tests(target, testcases or ([] if arguments.filter else own), arguments.filter)
    return _assemble(arguments, target, tests, parameters, settings)


def _run(arguments: argparse.Namespace, targets: Mapping[str, Target]) -> int:
    return _run_and_report(arguments, _job(arguments, targets))


def _run_elf(arguments: argparse.Namespace, targets: Mapping[str, Target]) -> int:
    target = find_target(arguments.top, targets)
    if not arguments.elf:
        raise AssayError("no program: name one with ELF=path or --elf path")
    parameters = _parameters(arguments, target)
    settings = _settings(arguments, target, parameters)
    _check_elf(target, arguments.elf, parameters, settings)
    return _run_and_report(arguments, _assemble(arguments, target, (target.elf_test,), parameters, settings))


def _soak(arguments: argparse.Namespace, targets: Mapping[str, Target]) -> int:
    target = find_target(arguments.top, targets)
    if not target.soak_test:
        having = [name for name, other in targets.items() if other.soak_test]
        raise AssayError(f"{target.name} has no soak; targets that have one: {', '.join(having) or 'none'}")
    settings = {"N": _number("N", arguments.instructions)}
    parameters = _parameters(arguments, target)
    return _run_and_report(arguments, _assemble(arguments, target, (target.soak_test,), parameters, settings))


def _assemble(
    arguments: argparse.Namespace,
    target: Target,
    tests: tuple[str, ...],
    parameters: Mapping[str, int],
    settings: Mapping[str, str],
) -> Job:
    """The job of checked settings."""
    files = {name: getattr(arguments, name, None) or "" for name in ("model", "inputs", "vectors", "elf")}
    return Job(
        target=target,
        simulator=arguments.sim,
        seed=_seed(arguments),
        tests=tests,
        parameters=parameters,
        settings=settings,
        x_random=arguments.x_random or _switch("XRANDOM"),
        waves=arguments.waves or arguments.gui or _switch("WAVES") or _switch("GUI"),
        **files,
    )


def _seed(arguments: argparse.Namespace) -> int:
    return choose_seed(arguments.seed or _variable("COCOTB_RANDOM_SEED"))


def _run_and_report(arguments: argparse.Namespace, job: Job) -> int:
    outcome = run_job(job, _announce, live=lambda line: print(line, flush=True))
    status = 0 if outcome.passed else 1
    with contextlib.suppress(KeyboardInterrupt):  # from here on the verdict is out and stands
        for line in report(outcome):
            _announce(line)
        if not outcome.passed and outcome.waves is None:
            add_failure_waves(outcome, _announce)
            if outcome.waves is not None:
                _announce(f"      {'waves':<16} {waves_line(outcome)}")
        if outcome.waves is not None and (arguments.gui or _switch("GUI")):
            waves.show(job.target, outcome.folder, _announce)
    return status


def _predict(arguments: argparse.Namespace, targets: Mapping[str, Target]) -> int:
    from assay.sim import predict  # the networks' packages are not needed for anything else

    if arguments.engine not in predict.engines():
        raise unknown("engine", arguments.engine, predict.engines())
    given = {}
    if arguments.engine in targets:
        given = _parameters(arguments, targets[arguments.engine])
    elif arguments.param:
        raise AssayError(f"--param {arguments.param[0]}: engine {arguments.engine} has no hardware")
    return predict.run(
        predict.Order(
            model=arguments.model,
            engine=arguments.engine,
            random=arguments.random,
            inputs=arguments.inputs,
            jobs=arguments.jobs,
            runtime=arguments.runtime,
            output=arguments.output,
            simulator=arguments.sim,
            seed=_seed(arguments),
            parameters=given,
            mapping=arguments.mapping,
            lowering=Lowering.of(arguments),
            strict=arguments.strict,
            acceptance=Acceptance.of(arguments),
            command=arguments.action,
        ),
        _announce,
    )


def _list(arguments: argparse.Namespace, targets: Mapping[str, Target]) -> int:
    for target in targets.values():
        print(f"{target.name}: {target.summary}")
        for name, parameter in target.parameters.items():
            print(
                f"  PARAMS={name}=...  {parameter.meaning}; {parameter.allowed_text}; default {parameter.default}"
            )
        for name, test in list_tests(target).items():
            mark = " (default)" if name in target.default_tests else ""
            print(
                f"  COCOTB_TESTCASE={name}{mark}  {(test.doc or '').strip().partition(chr(10))[0]}".rstrip()
            )
    return 0


def _waves(arguments: argparse.Namespace, targets: Mapping[str, Target]) -> int:
    target = find_target(arguments.top, targets)
    waves.show(target, waves.last_run(target, _announce), _announce)
    return 0


def _bench(arguments: argparse.Namespace, targets: Mapping[str, Target]) -> int:
    target = find_target(arguments.top, targets)
    if target.benchmark is None:
        having = [name for name, other in targets.items() if other.benchmark]
        raise AssayError(
            f"{target.name} has no benchmark; targets that have one: {', '.join(having) or 'none'}"
        )
    return bench.run(target, _parameters(arguments, target), _seed(arguments), _announce)


def _coverage(arguments: argparse.Namespace, targets: Mapping[str, Target]) -> int:
    target = find_target(arguments.top, targets)
    if not target.coverage:
        raise AssayError(f"{target.name} has no functional coverage")
    from assay.tb.coverage import CoverageError  # numpy's, which the other commands of this kind do without

    module, _, name = target.coverage.partition(":")
    groups = getattr(importlib.import_module(module), name)().groups
    runs = 0
    for folder in sorted(RUN_ROOT.glob(f"{target.name}-*")):
        files = [folder / f"coverage_{group.name}.json" for group in groups]
        runs += any(path.is_file() for path in files)
        for group, path in zip(groups, files, strict=True):
            if path.is_file():
                try:
                    group.merge_file(path)
                except CoverageError as error:
                    raise AssayError(f"{error}; remove it, or run again what made it") from None
    if not runs:
        raise AssayError(
            f"no run of {target.name} with coverage is kept; make one with: make TOPLEVEL={target.name}"
        )
    _announce(f"coverage of {target.name} over {runs} runs")
    for group in groups:
        print(group.text())
    return 0


def _lint(arguments: argparse.Namespace, targets: Mapping[str, Target]) -> int:
    return lint.run(targets.values(), _announce)


def _clean(arguments: argparse.Namespace, targets: Mapping[str, Target]) -> int:
    for folder in (BUILD_ROOT, RUN_ROOT, ROOT / "sim" / "reports"):
        if folder.is_dir():
            shutil.rmtree(folder)
            _announce(f"removed {shown(folder)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
