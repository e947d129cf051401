# SPDX-License-Identifier: Apache-2.0
"""The command line and make's: the same settings under the same names, and a replay command that repeats them all."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assay.sim import ROOT, command_line
from assay.sim.arguments import OVERRIDES, check_variables, job_of
from assay.sim.command_line import main
from assay.sim.job import LARGEST_SEED, Job
from assay.sim.options import (
    MAKE_ONLY,
    MAY_BE_EMPTY,
    MUTATION_OPTIONS,
    OPTIONS,
    REGRESS_OPTIONS,
    RENAMED,
    SYNONYMS,
    VARIABLES,
)
from assay.tb.block import Block, Data
from assay.tb.capabilities import PlaysVectorSets, RunsNetworks, RunsPrograms, Soaks
from assay.tb.options import Option

COMMANDS = (
    *("run", "run-elf", "soak", "waves", "bench", "coverage", "mutate", "mutate-golden", "keep", "regress"),
)
"""Whose help texts name every option."""


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, own_outputs: Path) -> None:
    for name in (OVERRIDES, *VARIABLES):
        monkeypatch.delenv(name, raising=False)


def own_make(arguments: str, folder: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command of make in a shell, as a user types it, without what a make around this test hands down."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MAKE", "MFLAGS", "COCOTB_")) and name not in (*VARIABLES, OVERRIDES)
    }
    return subprocess.run(
        ["bash", "-c", arguments], cwd=folder, env=inherited | environment, capture_output=True, text=True
    )


# ------------------------------------------------------------------------------------------------ help


def test_no_two_options_share_a_name() -> None:
    """By its name an option is found: a second one would be shown, and take its default from, the first."""
    for names in (VARIABLES, [option.flag for option in OPTIONS]):
        assert sorted(names) == sorted(set(names))


def test_help_of_make_names_every_variable_and_its_option() -> None:
    shown = own_make(f"make help PYTHON={shlex.quote(sys.executable)}").stdout
    for option in OPTIONS:
        assert f"\n  {option.variable}=" in shown
        assert f" {option.flag} " in shown
    for name in (*SYNONYMS, *MAKE_ONLY):
        assert name in shown


def test_help_of_the_command_line_names_every_option_and_its_variable(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown = ""
    for command in COMMANDS:
        with pytest.raises(SystemExit):
            main([command, "--help"])
        shown += " ".join(capsys.readouterr().out.split())
    for option in OPTIONS:
        assert option.flag in shown
        assert f"({option.variable})" in shown


@pytest.mark.parametrize("command", ["sim.variables", "sim list", "sim run --help"])
def test_reader_that_leaves_gets_no_traceback(command: str) -> None:
    done = own_make(f"{shlex.quote(sys.executable)} -m {command} | head -n 1")
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1


def test_makefile_uses_no_variable_that_nobody_names() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    ours = {line.partition("?=")[0].strip() for line in text.splitlines() if "?=" in line}
    assert ours <= set(MAKE_ONLY)


# ------------------------------------------------------------------------------------------------ messages

BAD = {
    "TOPLEVEL": "countr",
    "SIM": "verilog",
    "SCALES": "exactly",
    "MODEL": "net.onnx",
    "INPUTS": "x.npy",
    "VECTORS": "set",
    "ELF": "a.out",
    "COCOTB_TESTCASE": "cnts",
    "COCOTB_TEST_FILTER": "(",
    "HARTS": "none",
    "LIMIT": "-1",
    "TOHOST": "there",
    "N": "0",
}
"""A value that the counter refuses, for every option whose refusal names the option."""


@pytest.mark.parametrize(
    "option", [option for option in OPTIONS if option.variable in BAD], ids=lambda o: o.variable
)
def test_errors_name_what_was_typed(
    option: Option, counter: Block, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = BAD[option.variable]
    top = [] if option.variable == "TOPLEVEL" else ["--top", "counter"]
    assert main(["run", *top, option.flag, bad], {"counter": counter}) == 2
    by_flag = capsys.readouterr().err
    monkeypatch.setenv(option.variable, bad)
    assert main(["run", *top], {"counter": counter}) == 2
    by_name = capsys.readouterr().err
    assert option.flag in by_flag and f"{option.variable}=" not in by_flag
    assert f"{option.variable}" in by_name and option.flag not in by_name


@pytest.mark.parametrize("option", [option for option in OPTIONS if option.value], ids=lambda o: o.variable)
@pytest.mark.parametrize("value", ["", " "])
def test_empty_option_is_refused(option: Option, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    others = {
        "AT": "waves",
        "N": "soak",
        "SEEDS": "coverage",
        "NAME": "keep",
        **{each.variable: "mutate" for each in MUTATION_OPTIONS},
        **{each.variable: "regress" for each in REGRESS_OPTIONS},
    }
    with pytest.raises(SystemExit) as ended:
        main([others.get(option.variable, "run"), option.flag, value])
    assert ended.value.code == 2
    assert f"argument {option.flag}: is empty" in capsys.readouterr().err


@pytest.mark.parametrize("name", [name for name in VARIABLES if name not in MAY_BE_EMPTY])
@pytest.mark.parametrize("value", ["", " "])
def test_empty_variable_is_refused(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(OVERRIDES, f"SEED=1 {name}={value} WAVES=1" if name != "SEED" else f"{name}={value}")
    for other in ("SEED", "WAVES"):
        monkeypatch.setenv(other, "1")
    monkeypatch.setenv(name, value)
    assert main(["check"], {}) == 2
    assert capsys.readouterr().err.startswith(f"assay: {name}= is empty; give it a value")


def test_empty_extras_mean_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(OVERRIDES, "EXTRAS=")
    monkeypatch.setenv("EXTRAS", "")
    assert main(["check"], {}) == 0


@pytest.mark.parametrize("name", ["MODEL", "PYTHON", "BASE_PYTHON"])
@pytest.mark.parametrize("value", ["", " ", "$(nothing)", "$$UNSET"])
def test_empty_variable_is_refused_by_make(name: str, value: str, tmp_path: Path) -> None:
    """Through the Makefile: only it knows what a value expands to. A shell hands over `$$UNSET` as nothing."""
    word = f'{name}="$UNSET"' if value == "$$UNSET" else f"{name}={shlex.quote(value)}"
    python = "" if name == "PYTHON" else f"PYTHON={shlex.quote(str(checker(tmp_path)))}"
    done = own_make(f"make list {python} {word}")
    assert done.returncode == 2
    assert f"assay: {name}= is empty; give it a value" in done.stderr


def checker(folder: Path) -> Path:
    """An interpreter for the Makefile that only checks the variables."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\nexec {shlex.quote(sys.executable)} -m sim check\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def test_renamed_variables_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for old, new in RENAMED.items():
        monkeypatch.setenv(OVERRIDES, f"{old}=x")
        assert main(["check"], {}) == 2
        assert capsys.readouterr().err == f"assay: variable {old} has become {new}\n"


# ------------------------------------------------------------------------------------------------ replay


@pytest.fixture(scope="module")
def accepting() -> Block:
    """A block that accepts every setting and runs nothing."""
    from assay.sim.tests.counter.block import BLOCK as COUNTER

    return replace(
        COUNTER,
        defines={"EMPTY": "", "TEXT": "1"},
        data=(Data("a.hex", __file__), Data("b.hex", __file__)),
        capabilities=(
            RunsNetworks(accept),
            PlaysVectorSets(no_parameters, test="counts"),
            RunsPrograms(accept, test="never_ends"),
            Soaks(test="raises_hdl_error"),
        ),
    )


def no_parameters(folder: Path) -> dict[str, int]:
    return {}


def accept(*arguments: object) -> None:
    pass


NAMES = st.text("ab1 .,$'\"\\#:=%&*?~(){}[]|<>;!`^é-", min_size=1, max_size=12).filter(
    lambda name: name.strip() and not name.startswith("-")
)
TEXTS = st.text("ab1 .,'\"\\#:=%&*?~(){}[]|<>;!`^é-", max_size=12)
NUMBERS = st.integers(1, LARGEST_SEED).map(str)
JOBS = st.fixed_dictionaries(
    {
        "seed": st.integers(0, LARGEST_SEED),
        "simulator": st.sampled_from(["verilator", "icarus"]),
        "tests": st.sampled_from(
            [("counts",), ("raises_hdl_error",), ("never_ends",), ("fails_at_5000_ns", "counts"), "all"]
        ),
        "parameters": st.sampled_from([{}, {"Width": 5}]),
        "x_random": st.booleans(),
        "coverage": st.booleans(),
        "compile_args": st.lists(TEXTS.filter(str.strip).map(lambda text: f"-D{text}"), max_size=2).map(
            tuple
        ),
        "words": st.booleans(),
        "waves": st.booleans(),
        "defines": st.dictionaries(st.sampled_from(["EMPTY", "TEXT"]), TEXTS),
        "data": st.dictionaries(st.sampled_from(["a.hex", "b.hex"]), TEXTS.filter(str.strip)),
        "given": st.fixed_dictionaries(
            {"MODEL": NAMES, "ELF": NAMES},
            optional={
                "INPUTS": NAMES,
                "VECTORS": NAMES,
                "SCALES": st.sampled_from(["exact", "nearest"]),
                "HARTS": st.just("1"),
                "LIMIT": NUMBERS,
                "TOHOST": NUMBERS.map(lambda n: hex(int(n))),
                "N": NUMBERS,
                "FORCE": st.just("1"),
            },
        ),
    }
).filter(lambda job: not job["coverage"] or job["simulator"] == "verilator")
NOT_TYPED = {"block", "environment", "name_suffix"}
"""A job's fields that no user sets."""


def test_every_field_of_a_job_is_drawn() -> None:
    drawn = {
        *("seed", "simulator", "tests", "parameters", "x_random", "coverage", "waves"),
        *("defines", "data", "given", "compile_args", "words"),
    }
    assert {field.name for field in fields(Job)} == drawn | NOT_TYPED


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(drawn=JOBS)
def test_replay_command_gives_the_same_job(
    drawn: dict, accepting: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through a shell and the Makefile: the interpreter that it starts is one that writes its environment down."""
    from assay.sim.testcases import select_tests

    if drawn["tests"] == "all":
        drawn["tests"] = select_tests(accepting, test_filter=".")
    job = Job(accepting, **drawn)
    monkeypatch.setattr(Block, "resolve_data", lambda self, given: {})  # the files are not there
    again = read_back(job.replay, accepting, tmp_path, monkeypatch)
    assert _absolute(again) == _absolute(job)


def _absolute(job: Job) -> Job:
    return replace(
        job, given={**job.given, **{name: str(Path(path).absolute()) for name, path in job.paths.items()}}
    )


def read_back(command: str, block: Block, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    """The job that ``python -m sim`` makes of a command of make."""
    spy, seen = folder / "spy", folder / "environment"
    spy.write_text(f'#!/bin/sh\nenv -0 > "{seen}"\n', encoding="utf-8")
    spy.chmod(0o755)
    done = own_make(f"{command} PYTHON={shlex.quote(str(spy))}")
    assert done.returncode == 0, done.stderr
    environment = dict(word.split("=", 1) for word in seen.read_text().split("\0") if word)
    with monkeypatch.context() as patch:
        for name in (OVERRIDES, *VARIABLES):
            patch.delenv(name, raising=False)
            if name in environment:
                patch.setenv(name, environment[name])
        blocks = {"counter": block}
        check_variables(environment[OVERRIDES], environment, blocks)
        arguments = command_line._parser(blocks).parse_args(["run"])
        return job_of(arguments, blocks)


def test_settings_of_the_special_commands_are_replayed(
    accepting: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `make run-elf` and `make soak` simulate is what `make` simulates when it is replayed, its time limit too."""
    made: list[Job] = []
    monkeypatch.setattr(command_line, "_run_and_report", lambda arguments, job: made.append(job) or 0)
    for words in (
        ["run-elf", "--elf", "a b.elf", "--limit", "9", "--tohost", "0x80", "--force"],
        ["soak", "--instructions", "77", "--waves"],
        ["run", "--model", "q's.onnx", "--inputs", "$x.npy", "--scales", "nearest", "--gui"],
    ):
        assert main([*words, "--top", "counter", "--seed", "5"], {"counter": accepting}) == 0
        again = read_back(made[-1].replay, accepting, tmp_path, monkeypatch)
        assert again == made[-1]
        assert again.timeout_s == made[-1].timeout_s
    assert [job.timeout_s for job in made] == [10, None, 10]
