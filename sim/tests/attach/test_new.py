# SPDX-License-Identifier: Apache-2.0
"""``new``: benches that run at once, fail until the golden function is written, pass then, and find a planted bug."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from assay.sim.command_line import main
from assay.sim.regression import require
from assay.sim.tests.attach.goldens import GOLDENS
from assay.sim.tests.repository import assay, python

RTL = Path(__file__).parent / "rtl"
SOURCES = {path.stem.lower(): path for path in sorted(RTL.glob("*.*v"))}
ONLY_VERILATOR = ("alu_struct", "sum_lanes")


def new(folder: Path, name: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Attach to one of the blocks, as a user types it in his repository."""
    source = SOURCES[name]
    hints = source.with_suffix(".toml")
    words = (*words, "--hints", f"rtl/{hints.name}") if hints.exists() else words
    return assay(folder, "new", name, "--rtl", f"rtl/{source.name}", "--top", source.stem, *words)


def write_golden(folder: Path, name: str, body: str = "") -> None:
    file = folder / "tb" / name / "golden.py"
    head, stub, _ = file.read_text().partition("    raise NotImplementedError")
    assert stub
    file.write_text(f"{head}    {body or GOLDENS[name]}\n")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A user's repository with RTL and nothing else; the path has a space."""
    folder = tmp_path / "their work"
    shutil.copytree(RTL, folder / "rtl")
    return folder


def files(folder: Path) -> list[str]:
    """What a repository holds beside its RTL and outputs."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(str(path) for path in found if path.parts[0] not in ("rtl", "assay_out"))


def test_files(repository: Path) -> None:
    done = new(repository, "requant_axis", "--param", "SHIFT=5")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "requant_axis (rtl/requant_axis.sv:3), 10 ports, ACC_W=20, SHIFT=5"
    assert done.stdout.splitlines()[-1].startswith("next: write tb/requant_axis/golden.py, then: assay run")
    written = [f"tb/requant_axis/{n}" for n in ("__init__.py", "bench.py", "block.py", "golden.py")]
    written += [
        "tb/requant_axis/requant_axis.view",
        "tb/requant_axis/test_requant_axis.py",
        "tests/test_rtl.py",
    ]
    assert [name for name in files(repository) if not name.endswith(".pyc")] == written
    listed = assay(repository, "list")
    assert "requant_axis: requant_axis\n  PARAMS=SHIFT=...  SHIFT; 5; default 5\n" in listed.stdout

    (repository / "tb/requant_axis/golden.py").write_text("mine")
    again = new(repository, "requant_axis")
    assert again.returncode == 2
    assert "tb/requant_axis exists already; nothing was written" in again.stderr
    assert (repository / "tb/requant_axis/golden.py").read_text() == "mine"


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["9lives"], 2, "NAME '9lives': must be lower case letters, digits and _"),
        (["lambda"], 2, "NAME 'lambda': must be"),
        (["mvu"], 2, "tb/mvu/block.py has this name already; give another one"),
        (["a", "--rtl", "rtl/gone.sv"], 2, "--rtl rtl/gone.sv: there is no such file"),
        (["a", "--rtl", "rtl/odd_names.toml"], 2, "a source file ends in"),
        (
            ["a", "--top", "divider"],
            2,
            "--top divider: no such module (did you mean divide?); the sources have divide",
        ),
        (["a", "--param", "SHIFT"], 2, "--param SHIFT: must be NAME=VALUE"),
        (["a", "--param", "WIDTH=3"], 2, "unknown parameter of divide 'WIDTH'; allowed: none"),
        (["a", "--include", "inc"], 2, "--include: the include folder"),
        (["a", "--define", "2=3"], 2, "define '2=3': a define is NAME or NAME=VALUE"),
        (["a", "--hints", "none.toml"], 2, "--hints none.toml: No such file or directory"),
        (["a", "--clock", "tick"], 2, "the command line: clock: unknown port 'tick'"),
        (["a", "--out", "nowhere"], 2, "--out nowhere: there is no such folder"),
        (["a", "--rtl", "rtl/broken.sv"], 1, "rtl/broken.sv:2:14: error: expected expression"),
    ],
)
def test_bad_input_leaves_nothing(
    repository: Path,
    words: list[str],
    status: int,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (repository / "rtl" / "broken.sv").write_text(
        "module divide (input clk);\n  assign x = = 3;\nendmodule\n"
    )
    given = [*words]
    for flag, value in (("--rtl", "rtl/divide.sv"), ("--top", "divide")):
        given += [] if flag in words else [flag, value]
    monkeypatch.chdir(repository)
    assert main(["new", *given]) == status
    error = capsys.readouterr().err
    assert says in error, error
    assert files(repository) == []


@pytest.mark.simulation
@pytest.mark.parametrize("name", ["requant_axis", "dot_sram"])
def test_fails_until_the_golden_function_is_written(repository: Path, name: str) -> None:
    require("icarus")
    assert new(repository, name).returncode == 0
    done = assay(repository, "run", "--top", name, "--sim", "icarus", "--test", "random_beats")
    assert done.returncode == 1
    assert "compared         0 values in 0 words" in done.stdout
    assert "is not written yet" in done.stdout


@pytest.mark.simulation
def test_all_styles_on_icarus(repository: Path) -> None:
    """Each bench passes with its golden function, through the pytest module that comes with it."""
    require("icarus")
    names = [name for name in SOURCES if name not in ONLY_VERILATOR]
    for name in names:
        done = new(repository, name)
        assert done.returncode == 0, done.stderr
        write_golden(repository, name)
    done = python(repository, "-m", "pytest", "-q", "-k", "icarus and random_beats", "tests")
    assert f"{len(names)} passed" in done.stdout, done.stdout


@pytest.mark.simulation
@pytest.mark.parametrize("name", ONLY_VERILATOR)
def test_structures_and_arrays_on_verilator(repository: Path, name: str) -> None:
    require("verilator")
    done = new(repository, name)
    assert "only Verilator: Icarus" in done.stdout or shutil.which("iverilog") is None
    write_golden(repository, name)
    done = assay(repository, "run", "--top", name)
    assert done.returncode == 0, done.stdout


@pytest.mark.simulation
@pytest.mark.parametrize(
    ("name", "right", "wrong", "says"),
    [
        # Round down instead of half up, for one value in 64 and a half of the rest.
        ("requant_axis", "(SHIFT - 1)", "(SHIFT - 2)", ["m_axis[", " instead of ", "beat "]),
        # The last result of each job is lost.
        ("dot_sram", "ymem_we    = read_q", "ymem_we    = read_q & busy_q", ["ymem[", " instead of "]),
        # A word is overwritten when the FIFO is full.
        (
            "max_fifo",
            "{~read_q[2], read_q[1:0]}",
            "{~read_q[2], ~read_q[1:0]}",
            ["port out: a waiting beat was altered", "beat "],
        ),
        # The handshake of the input forgets the one of the output.
        ("relu_2001", "~dout_vld | dout_rdy", "1'b1", ["a waiting beat was "]),
    ],
)
def test_a_planted_bug_is_named(repository: Path, name: str, right: str, wrong: str, says: list[str]) -> None:
    require("icarus")
    source = repository / "rtl" / SOURCES[name].name
    text = source.read_text()
    assert right in text
    source.write_text(text.replace(right, wrong))
    assert new(repository, name).returncode == 0
    write_golden(repository, name)
    done = assay(repository, "run", "--top", name, "--sim", "icarus", "--seed", "3")
    assert done.returncode == 1
    first = next(line for line in done.stdout.splitlines() if "first failure" in line)
    assert all(words in first for words in says), first
    assert f"assay waves --top {name}" in done.stdout


def test_file_lists_stay_lists(repository: Path) -> None:
    """A list that a declaration reads alike is named in it; another one is expanded."""
    (repository / "rtl" / "all.f").write_text("+define+FAST\ndivide.sv\n")
    (repository / "rtl" / "all.vc").write_text("-f all.f\n-DSLOW\n")
    for name, entry, line in (
        ("one", "rtl/all.f", 'sources=("rtl/all.f", "tb/one/one_tb.sv"),'),
        ("two", "rtl/all.vc", 'defines={"FAST": "1", "SLOW": "1"},'),
    ):
        done = assay(repository, "new", name, "--rtl", entry, "--top", "divide")
        assert done.returncode == 0, done.stderr
        assert line in (repository / "tb" / name / "block.py").read_text()
