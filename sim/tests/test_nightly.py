# SPDX-License-Identifier: Apache-2.0
"""The night: its steps are played by short programs that pass, fail, crash, hang, or lack what they need."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from assay.sim import ROOT, nightly
from assay.sim.blocks import discover
from assay.sim.command_line import main, parsers
from assay.sim.nightly import STEPS, Night, Result, Step, chosen, verdict_of

TODAY = r"\d{4}-\d\d-\d\d(_\d+)?"


def fake(name: str, code: str, share: float = 1, report: str = "") -> Step:
    return Step(name, share, lambda night, minutes: [sys.executable, "-c", code], report)


@pytest.fixture
def reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(nightly.outputs, "outputs", lambda block=None: tmp_path)
    return tmp_path / "reports"


def night(monkeypatch: pytest.MonkeyPatch, *steps: Step, words: tuple[str, ...] = ()) -> int:
    monkeypatch.setattr(nightly, "STEPS", steps)
    return main(["nightly", *words], {})


def test_all_steps_pass(
    reports: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = "from pathlib import Path; Path(r'%s').mkdir(); print('assay: fine')" % (reports / "found")
    assert night(monkeypatch, fake("one", "print('hello')"), fake("two", made, report="found")) == 0
    text = capsys.readouterr().out
    assert re.search(r"  one +passed +\d\.\d s .*/one\.log\n", text)
    assert re.search(r"  two +passed +\d\.\d s .*/reports/found\n", text)
    assert re.search(r"PASS  nightly, seed \d+: 2 of 2 steps passed", text)
    (folder,) = (reports / "nightly").iterdir()
    assert re.fullmatch(TODAY, folder.name)
    assert (folder / "one.log").read_text() == "hello\n"
    results = json.loads((folder / "nightly.json").read_text())["steps"]
    assert [(each["step"], each["verdict"]) for each in results] == [("one", "passed"), ("two", "passed")]


@pytest.mark.parametrize(
    ("code", "verdict", "said"),
    [
        ("print('assay: 3 mutants live'); raise SystemExit(1)", "FAILED", "3 mutants live"),
        ("print('assay: yosys is missing'); raise SystemExit(2)", "could not run", "yosys is missing"),
        ("print('assay: pip install'); raise SystemExit(3)", "could not run", "pip install"),
        ("import os; os.kill(os.getpid(), 11)", "ended by SIGSEGV", ""),
        ("import time; time.sleep(60)", "stopped", "it did not end in its 0.0 minutes"),
    ],
)
def test_a_step_that_does_not_pass_does_not_stop_the_rest(
    code: str,
    verdict: str,
    said: str,
    reports: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(nightly, "GRACE_SECONDS", 1.0)
    steps = fake("first", code), fake("second", "print('ran')")
    assert night(monkeypatch, *steps, words=("--minutes", "0.01")) == 1
    text = capsys.readouterr().out
    assert re.search(rf"  first +{verdict} .*{re.escape(said)}\n", text), text
    assert re.search(r"  second +passed ", text)
    assert "1 of 2 steps passed" in text and "FAIL  nightly" in text


def test_a_program_that_is_not_there(reports: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    gone = Step("gone", 1, lambda night, minutes: ["/nowhere/program"])
    assert night(monkeypatch, gone, fake("second", "")) == 1
    text = capsys.readouterr().out
    assert re.search(r"  gone +could not run .*/nowhere/program", text)
    assert re.search(r"  second +passed ", text)


def test_command_that_this_assay_does_not_have(
    reports: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A real command line: a step whose command is unknown is a failure by name."""
    step = Step("unheard", 1, lambda night, minutes: nightly._assay("unheard-of"))
    assert night(monkeypatch, step) == 1
    assert re.search(r"  unheard +could not run .*unheard-of", capsys.readouterr().out)


def test_time_is_shared(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """MINUTES scales all of it, whatever steps are chosen."""
    shares = sum(step.share for step in STEPS)
    assert shares == float(nightly.MINUTES)
    assert main(["nightly", "--list", "--minutes", "60", "--seed", "7"], {}) == 0
    listed = capsys.readouterr().out
    for step in STEPS:
        found = re.search(rf"^{step.name} +([\d.]+) min  assay {step.name}\b(.*)$", listed, re.MULTILINE)
        assert found and float(found[1]) == pytest.approx(60 * step.share / shares, abs=0.06)
        assert step.name in ("mutate", "mutate-golden", "prove") or "--seed 7" in found[2]
    assert main(["nightly", "--list", "--minutes", "60", "--steps", "fuzz,prove"], {}) == 0
    assert "36.0 min  assay fuzz --minutes 36 " in capsys.readouterr().out


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_commands_of_the_steps_are_commands(step: Step) -> None:
    """Each step's words are ones that the command line takes."""
    known = parsers("assay", discover(str(ROOT)))
    typed = step.command(Night(3, "2026-01-01"), 1.5)
    assert typed[:3] == [sys.executable, "-m", "assay.sim"]
    known[typed[3]].parse_args(typed[4:])


def test_settings_of_the_night_are_not_those_of_its_steps(
    reports: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """make passes MINUTES and SEED as environment, which a step would take for its own."""
    for name in ("MINUTES", "SEED", "TOPLEVEL", "ASSAY_OVERRIDES"):
        monkeypatch.setenv(name, "5")
    monkeypatch.setenv("ASSAY_OVERRIDES", "MINUTES=5")
    names = ("MINUTES", "SEED", "TOPLEVEL", "ASSAY_OVERRIDES")
    code = f"import os; print(*(name for name in {names} if name in os.environ))"
    assert night(monkeypatch, fake("one", code)) == 0
    (log,) = (reports / "nightly").glob("*/one.log")
    assert log.read_text() == "\n"


def test_a_second_night_of_a_day_has_its_own_folder(reports: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        assert night(monkeypatch, fake("one", ""), words=("--day", "2026-01-01")) == 0
    assert {path.name for path in (reports / "nightly").iterdir()} == {"2026-01-01", "2026-01-01_2"}


def test_ctrl_c_ends_the_night_with_a_report(tmp_path: Path) -> None:
    """A real process: the step that runs is ended with what it started, those behind it are not begun."""
    code = f"""
import sys
from pathlib import Path
from assay.sim import nightly
from assay.sim.command_line import main
from assay.sim.tests.test_nightly import fake
nightly.outputs.outputs = lambda block=None: Path({str(tmp_path)!r})
slow = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
nightly.STEPS = (fake("first", "print(1)"), fake("second", slow), fake("third", "print(3)"))
sys.exit(main(["nightly"], {{}}))
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    end = time.monotonic() + 60
    log = None
    while time.monotonic() < end and not (log and log[0].read_text().strip()):
        log = list(tmp_path.glob("reports/nightly/*/second.log"))
        time.sleep(0.1)
    assert log
    child = int(log[0].read_text())
    process.send_signal(signal.SIGINT)
    text, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert re.search(r"  first +passed ", text)
    assert re.search(r"  second +interrupted ", text)
    assert re.search(r"  third +not run ", text)
    assert "FAIL  nightly" in text and "1 of 3 steps passed" in text
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
    results = json.loads((log[0].parent / "nightly.json").read_text())["steps"]
    assert [each["verdict"] for each in results] == ["passed", "interrupted", "not run"]


def test_a_users_repository_has_fewer_steps() -> None:
    assert [step.name for step in chosen((), theirs=True)] == ["regress", "mutate", "differential"]
    assert chosen((), theirs=False) == list(STEPS)


def test_bad_input_is_refused(
    reports: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["nightly", "--steps", "fuz"], {}) == 2
    assert "unknown step 'fuz' (did you mean fuzz?)" in capsys.readouterr().err
    assert main(["nightly", "--minutes", "x"], {}) == 2
    assert main(["nightly", "--minutes", "0"], {}) == 2
    assert main(["nightly", "--day", "../x"], {}) == 2
    assert "--day ../x: must be" in capsys.readouterr().err
    assert main(["nightly", "--seed", "x"], {}) == 2
    assert not reports.exists()


def test_verdicts() -> None:
    assert [verdict_of(n) for n in (0, 1, 2, 3, 130, -9)] == [
        *("passed", "FAILED", "could not run", "could not run", "interrupted", "ended by SIGKILL")
    ]
    assert Result("a", "passed").passed and not Result("a", "could not run").passed
