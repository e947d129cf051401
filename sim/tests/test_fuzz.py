# SPDX-License-Identifier: Apache-2.0
"""The fuzzer: a seed gives the same files, planted faults of every kind are found, made small and read again; what it
has found once stays fixed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("flatbuffers", reason="flatbuffers is missing: pip install flatbuffers")

from assay.sim.attach.filelist import read_sources
from assay.sim.attach.hints import read_hints
from assay.sim.command_line import main
from assay.sim.coverage.exclusions import FILE, read_exclusions
from assay.sim.fuzz import campaign, changes, command
from assay.sim.fuzz.campaign import Campaign, Reader, smaller
from assay.sim.fuzz.forms import forms
from assay.sim.fuzz.inputs import Input, numbered
from assay.sim.fuzz.server import Answer
from assay.sim.mutation.reviews import read_reviews
from assay.sim.run import read_results, read_summary
from assay.tb.block import expand_sources
from assay.tb.cases import read_case
from assay.tb.errors import AssayError
from assay.tb.mvu.mvu_cases import MvuCases


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    with Reader() as made:
        yield made


# ------------------------------------------------------------------------------------------------ files


def test_a_seed_gives_the_same_files() -> None:
    first = [numbered(7, number).content() for number in range(60)]
    forms.cache_clear()
    assert [numbered(7, number).content() for number in range(60)] == first
    assert [numbered(8, number).content() for number in range(60)] != first
    assert len(set(first)) > 50


def test_every_form_reads_its_own_files(reader: Reader) -> None:
    """Unchanged, every small file is a value."""
    for name, form in forms().items():
        assert form.seeds, name
        for origin, data in form.seeds.items():
            answer = reader.read(name, data)
            assert answer.outcome == "value", (name, origin, answer)


@pytest.mark.parametrize("name", list(forms()))
def test_changes_reach_values_and_errors(name: str, reader: Reader) -> None:
    """Of each form some changed files are still read, and some are refused: neither alone would test anything."""
    seen = set()
    for number in range(400):
        answer = reader.read(name, numbered(3, number, (name,)).content())
        assert answer.outcome != "finding", (number, answer)
        seen.add(answer.outcome)
        if seen == {"value", "refused"}:
            return
    assert seen == {"value", "refused"}


def test_a_table_of_a_flatbuffer_is_changed() -> None:
    """The walk without a schema finds the tables of a real file: most changes are of single fields."""
    data = forms()["tflite"].seeds["digits_int8"]
    fields = list(changes._fields(data))
    assert len(fields) > 100
    for seed in range(50):
        changed = changes.changed_tables(data, np.random.default_rng(seed))
        assert len(changed) == len(data)
        assert sum(a != b for a, b in zip(data, changed, strict=True)) <= 8


# ------------------------------------------------------------------------------------------------ planted


PLANTED = """
import ctypes, time, warnings
import numpy as np
from assay.tb import errors
from assay.sim.coverage import exclusions

true = exclusions.read_exclusions

def planted(root):
    text = (root / exclusions.FILE).read_bytes()
    if b"WORD" in text:
        BODY
    return true(root)

exclusions.read_exclusions = planted
"""

BODIES = {
    "KeyError": 'raise KeyError("planted")',
    "SIGSEGV": "ctypes.string_at(0)",
    "hang": "time.sleep(60)",
    "MemoryError": "np.ones(1 << 34)",
    "RuntimeWarning": "np.float32(3e38) * np.float32(10)",
    "exit status 9": "import os; os._exit(9)",
    "SystemExit": "raise SystemExit(3)",
    "message of several lines": 'from assay.golden import GoldenError; raise GoldenError("a\\nb")',
    "empty message": 'raise errors.AssayError("")',
}


@pytest.fixture
def plant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Plants a fault in a reader: in the process that reads, which imports what PYTHONPATH has first."""

    def planted(body: str, word: str = "reason") -> None:
        text = PLANTED.replace("BODY", body).replace("WORD", word)
        (tmp_path / "planted_fault.py").write_text(text, encoding="utf-8")
        # The server's own imports come first: the fault is planted when `forms` is asked for.
        code = "import planted_fault; from assay.sim.fuzz.server import main; import sys; from pathlib import Path; "
        code += "main(int(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3]))"
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        monkeypatch.setattr(campaign, "SERVER", ("-c", code))

    return planted


@pytest.mark.parametrize("kind", list(BODIES))
def test_planted_fault_is_found(
    kind: str, plant: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(BODIES[kind])
    monkeypatch.setattr(campaign, "SMALLER_SECONDS", 0.0)
    with Reader(limit=2) as reader:
        series = Campaign(1, ("exclusions",))
        series.run(0, 2, reader, lambda line: None)
        kinds = {finding.answer.kind for finding in series.findings.values()}
    assert kinds == {kind}, series.findings
    (finding,) = series.findings.values()
    # What raised is named; a place is Assay's own, and the fault is in a file of the test's.
    assert kind == "exit status 9" or "planted_fault.py" in finding.answer.trace


def test_a_finding_is_made_small_and_read_again(
    plant: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    plant('raise KeyError("planted")', "pattern")
    monkeypatch.setattr(command.outputs, "outputs", lambda block=None: tmp_path)
    words = ["fuzz", "--seed", "2", "--inputs", "6", "--forms", "exclusions"]
    assert main(words, {}) == 1
    text = capsys.readouterr().out
    (found,) = re.findall(r"FAIL  (KeyError at .*)", text)
    assert "from a exclusions file" in found and "7 bytes" in found
    (place,) = (tmp_path / "reports" / "fuzz").iterdir()
    assert (place / "input.toml").read_bytes() == b"pattern"
    record = json.loads((place / "finding.json").read_text())
    assert record["kind"] == "KeyError" and record["seed"] == 2 and record["times"] > 1
    whole = numbered(2, record["number"], ("exclusions",)).content()
    assert (place / "original.toml").read_bytes() == whole
    assert "planted" in (place / "trace.txt").read_text()
    assert main(["fuzz", "--replay", str(place)], {}) == 1
    assert "FAIL  " in capsys.readouterr().out
    monkeypatch.setattr(campaign, "SERVER", ("-m", "assay.sim.fuzz.server"))
    assert main(["fuzz", "--replay", str(place)], {}) == 0
    assert "one clear message" in capsys.readouterr().out


def test_steps_that_are_not_needed_are_left_out() -> None:
    class Needs(Reader):
        """Fails where step 5 was made."""

        def read(self, form: str, data: bytes) -> Answer:
            wanted = Input("hints", "all", (5,)).content()
            return Answer("finding", "X", "y") if len(data) >= len(wanted) // 2 else Answer("refused")

    made, _ = smaller(Input("hints", "all", (1, 2, 5, 9)), Answer("finding", "X", "y"), Needs())
    assert len(made.steps) == 1


def test_bad_input_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["fuzz", "--forms", "onyx"], {}) == 2
    assert "unknown form 'onyx' (did you mean onnx?)" in capsys.readouterr().err
    assert main(["fuzz", "--minutes", "-1"], {}) == 2
    assert main(["fuzz", "--replay", str(tmp_path)], {}) == 2
    assert "holds no finding" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------ found


def test_a_short_time_of_fuzzing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    """The first files of a seed, always the same; `make fuzz` goes on."""
    monkeypatch.setattr(command.outputs, "outputs", lambda block=None: tmp_path)
    assert main(["fuzz", "--seed", "1", "--inputs", "800"], {}) == 0, capsys.readouterr().out
    assert re.search(r"PASS  fuzz, seed 1: 800 files in \d+ s .* 0 findings", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("said", "data"),
    [
        ("must be UTF-8 text, but byte 0 of it is not", b"\xff"),
        ("must be text, but character 0 of it is NUL", b"\0"),
        ("nested too deeply", b"a = " + b"[" * 5000),
    ],
)
def test_settings_that_are_no_text(said: str, data: bytes, tmp_path: Path) -> None:
    """Found by the fuzzer: each ended in an exception with its traceback."""
    (tmp_path / "tb").mkdir()
    for path in (tmp_path / "x.toml", tmp_path / FILE, tmp_path / "x.f"):
        path.write_bytes(data)
    for read in (
        lambda: read_hints(tmp_path / "x.toml"),
        lambda: read_reviews(tmp_path / "x.toml"),
        lambda: read_exclusions(tmp_path),
    ):
        with pytest.raises(AssayError, match=said):
            read()
    if "nested" not in said:
        for read in (lambda: read_sources([tmp_path / "x.f"]), lambda: expand_sources(tmp_path, ("x.f",))):
            with pytest.raises(AssayError, match=said):
                read()


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ("x.f, line 1: no closing quotation", "'a"),
        ("x.f: the file list includes itself", "-f x.f"),
        (r"source file .*a\.\.a+ named in .* does not exist", "a" * 5000),
        (r"include folder .*a\.\.a+ named in .* does not exist", "+incdir+" + "a" * 5000),
    ],
)
def test_file_lists_that_cannot_be_read(said: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "x.f").write_text(text, encoding="utf-8")
    with pytest.raises(AssayError, match=said) as caught:
        expand_sources(tmp_path, ("x.f",))
    assert len(str(caught.value)) < 1000
    if "quotation" not in said:
        with pytest.raises(AssayError):
            read_sources([tmp_path / "x.f"])


@pytest.mark.parametrize("change", [{"stalls": "x"}, {"x": "x"}, {"traffic": [1, 2]}])
def test_a_case_with_a_value_of_another_kind(change: dict, tmp_path: Path) -> None:
    """Found by the fuzzer: it was read, and its description failed."""
    data = json.loads(next(iter(forms()["case"].seeds.values())))
    data["steps"][0].update(change)
    path = tmp_path / "case.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(AssayError, match="cannot be played"):
        read_case(path, MvuCases(), "mvu")


def test_what_a_run_left_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "summary.json").write_text("[" * 100_000)
    with pytest.raises(AssayError, match="summary that is not JSON"):
        read_summary(tmp_path)
    text = forms()["results"].seeds["run"].decode().replace("10.0", "x")
    (tmp_path / "results.xml").write_text(text)
    assert read_results(tmp_path / "results.xml") == []
