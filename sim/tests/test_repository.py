# SPDX-License-Identifier: Apache-2.0
"""Blocks of a user's repository: found, run and replayed where the user is, with outputs in his folder."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from assay.sim import ROOT
from assay.sim.tests.repository import assay, declare, write

pytestmark = pytest.mark.simulation


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("their repository"))


def typed(output: str, before: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Type a command that was printed."""
    found = re.search(
        rf"{before} *(?:.* \()?(?:python -m )?\w+ ((?:run|waves) .*?)(?: opens it\))?$", output, re.MULTILINE
    )
    assert found, output
    return assay(folder, *shlex.split(found[1]))


def test_runs_and_is_replayed_where_it_was_typed(repository: Path, simulator: str) -> None:
    for folder in (repository, repository / "rtl"):
        done = assay(folder, "run", "--sim", simulator, "--seed", "5", "--test", "scales")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "PASS  scaler (Width=8 Mode=plain)" in done.stdout
        assert "to replay: " in done.stdout and "make" not in done.stdout
        again = typed(done.stdout, "to replay:", folder)
        assert again.returncode == 0 and "seed 5" in again.stdout
    assert (repository / "assay_out/runs").is_dir() and (repository / "assay_out/build").is_dir()
    assert (repository / "assay_out/.gitignore").read_text() == "*\n"
    assert not list((ROOT / "sim").glob("*/scaler-*"))


def test_failure_leaves_waves_of_a_top_without_a_line_for_them(repository: Path, simulator: str) -> None:
    done = assay(repository, "run", "--sim", simulator, "--seed", "5", "--test", "is_wrong")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "first failure    x = 0: expected 2, seen 1" in done.stdout
    shown = typed(done.stdout, r"assay:       waves", repository)
    assert shown.returncode == 0, shown.stderr
    assert "view.tcl" in shown.stdout and "replay: " in shown.stdout
    (waves,) = repository.glob(f"assay_out/runs/scaler-{simulator}-5-is_wrong/waves.*")
    assert waves.stat().st_size > 0
    failed = typed(shown.stdout, "replay:", repository)
    assert failed.returncode == 1 and "expected 2, seen 1" in failed.stdout


def test_string_parameter_macro_and_data_file_are_in_the_replay(repository: Path, simulator: str) -> None:
    words = ["--param", "Mode=plus", "--define", "OFFSET=8'h20", "--data", "factors.hex=data/others.hex"]
    options = ["--sim", simulator, "--frames", "2"]
    done = assay(repository, "run", *words, *options, FACTOR_OFFSET="32")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "saw              53 in 8 words" in done.stdout  # 0x14 + 0x20 + 1
    replay = re.search(r"replay +(.*)", done.stdout)[1]
    for word in (*words, *options):
        assert shlex.quote(word) in replay
    assert "--test" not in replay
    runs = len(list((repository / "assay_out/runs").glob("scaler-*")))
    assert assay(repository, "run", *options).returncode == 0
    assert len(list((repository / "assay_out/runs").glob("scaler-*"))) == runs + 1


def test_data_that_is_compiled_in_is_part_of_the_build(
    tmp_path: Path, require_simulator: Callable[[str], None]
) -> None:
    require_simulator("icarus")
    write(tmp_path)
    rtl, block = tmp_path / "rtl/scaler.v", tmp_path / "tb/scaler/block.py"
    rtl.write_text('`include "offset.vh"\n' + rtl.read_text(encoding="utf-8"), encoding="utf-8")
    text = block.read_text(encoding="utf-8")
    compiled = 'Data("offset.vh", meaning="offset", included=True)'
    text = text.replace('"factors"),)', f'"factors"), {compiled})')
    block.write_text(text, encoding="utf-8")
    done = assay(tmp_path, "run", "--sim", "icarus")
    assert done.returncode == 2 and "scaler needs a data file offset.vh: give one with DATA=" in done.stderr
    for offset in ("16", "48"):
        (tmp_path / "mine.vh").write_text(f"`define OFFSET {offset}\n", encoding="utf-8")
        words = ["--sim", "icarus", "--data", "offset.vh=mine.vh", "--seed", "6"]
        done = assay(tmp_path, "run", *words, FACTOR_OFFSET=offset)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "building scaler" in done.stdout


def test_list(repository: Path) -> None:
    done = assay(repository, "list")
    assert done.returncode == 0
    first, *rest = done.stdout.splitlines()
    assert first == "scaler: scales"
    assert "  PARAMS=Mode=...  what is added; plain, plus; default plain" in rest
    assert "  DATA=factors.hex=...  factors; default data/factors.hex" in rest
    assert any(line.startswith("loopback: ") for line in rest)


def test_make_takes_the_blocks_of_a_repository(repository: Path, tmp_path: Path) -> None:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    python = f"PYTHON={shlex.quote(sys.executable)}"

    def make(command: str) -> str:
        words = ["bash", "-c", f"{command} {python}"]
        done = subprocess.run(words, cwd=ROOT, env=inherited, capture_output=True, text=True)
        return done.stdout + done.stderr

    where = shlex.quote(str(repository))
    said = make(f"make TOPLEVEL=scaler BLOCKS={where} SEED=4 COCOTB_TESTCASE=is_wrong")
    replay = re.search(r"replay +(make .*)", said)[1]
    assert f"BLOCKS={where}" in replay
    assert "expected 2, seen 1" in make(replay)
    opens = re.search(r"\((make waves .*) opens it\)", said)[1]
    assert "view.tcl" in make(opens)


def test_warnings_of_a_foreign_file_are_waived(tmp_path: Path, simulator: str) -> None:
    folder = write(tmp_path / "one")
    plain = assay(folder, "run", "--sim", simulator)
    assert plain.returncode == 0
    if simulator == "verilator":  # Icarus has no warning of this file
        assert "WIDTHTRUNC" in plain.stdout
    block = (folder / "tb/scaler/block.py").read_text(encoding="utf-8")
    for codes in ('"*"', '"WIDTHTRUNC", "WIDTHEXPAND"'):
        waived = block.replace("    window_ns", f'    waive={{"rtl/*.v": ({codes},)}},\n    window_ns')
        (folder / "tb/scaler/block.py").write_text(waived, encoding="utf-8")
        quiet = assay(folder, "run", "--sim", simulator)
        assert quiet.returncode == 0 and "Warning" not in quiet.stdout and "warning:" not in quiet.stdout


def test_package_with_an_entry_point(tmp_path: Path) -> None:
    """An installed package whose blocks are found from any folder; outputs go to the current one."""
    package = write(tmp_path / "site" / "their_ip")
    for file in (package / "tb").rglob("*.py"):
        text = file.read_text(encoding="utf-8").replace("from tb.scaler", "from their_ip.tb.scaler")
        file.write_text(text, encoding="utf-8")
    (package / "__init__.py").touch()
    info = tmp_path / "site" / "their_ip-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: their-ip\nVersion: 1\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[assay.blocks]\nip = their_ip.tb\n", encoding="utf-8")
    path = os.pathsep.join([str(tmp_path / "site"), str(ROOT), *filter(None, sys.path)])
    here = tmp_path / "here"
    here.mkdir()
    done = assay(here, "run", "--top", "scaler", PYTHONPATH=path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(here.glob("assay_out/runs/scaler-*"))
    (info / "entry_points.txt").write_text("[assay.blocks]\nip = their_ip.lost\n", encoding="utf-8")
    done = assay(here, "list", PYTHONPATH=path)
    assert done.returncode == 2 and "entry point ip = 'their_ip.lost' of group assay.blocks" in done.stderr


# ------------------------------------------------------------------------------------------------ bad input

HEAD = "from ASSAY_TB.block import Block, Data, Lint, Variant\n"


def declaration(fields: str) -> str:
    return f'{HEAD}BLOCK = Block(\n    __name__,\n    summary="x",\n    hdl_top="x",\n    {fields},\n)\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            declaration("sources=(),\n    paramters=None"),
            "line 2: unknown field of Block 'paramters' (did you mean parameters?); allowed: module, summary, ",
        ),
        (declaration('sources="rtl/x.sv"'), "line 2: sources = 'rtl/x.sv': must be ('rtl/x.sv',)"),
        (declaration('sources=(), variants=(Variant("a", test="."),)'), "unknown field of Variant 'test'"),
        (
            declaration('sources=(), variants=(Variant("a", {"W": 1}),)'),
            "line 2: unknown parameter of bad 'W'; allowed: none",
        ),
        (
            declaration('sources=(), variants=(Variant("a", simulators=("vcs",)),)'),
            "of variant a 'vcs'; allowed:",
        ),
        (declaration('sources=(), variants=(Variant("a", tests="("),)'), "is not a regular expression"),
        (
            "from ASSAY_TB.capabilities import Soaks\n"
            + declaration("sources=(), capabilities=(Soaks(), Soaks())"),
            "line 3: capabilities: Soaks stands there twice, must be once",
        ),
        (
            "from OWN_TB.scaler.model import ScalerParameters\n"
            + declaration('sources=(), parameters=ScalerParameters, narrowed={"Width": (4, 32)}'),
            "line 3: width = 32: must be from 4 to 16",
        ),
        (
            declaration('sources=(), defaults={"Width": 4}'),
            "line 2: unknown parameter 'Width'; allowed: none",
        ),
        (f"{HEAD}BLOCK = Block(__name__)\n", "line 2: TypeError: Block.__init__() missing 3 required"),
        (f"{HEAD}BLOCK = Block('bad', 'x', 'x', ())\n", "module = 'bad': must be __name__"),
        (f"{HEAD}BLOCK = Block(\n", "line 2: SyntaxError: "),
        (f"{HEAD}import nothing_of_this_name\n", "line 2: ModuleNotFoundError: No module named"),
        (f"{HEAD}block = 1\n", "there is no BLOCK, but there must be BLOCK = Block(__name__, ...)"),
        (f"{HEAD}BLOCK = 1\n", "there is BLOCK, a int, but there must be BLOCK = Block("),
    ],
)
def test_declaration_that_is_wrong_is_one_message_with_its_place(
    text: str, said: str, tmp_path: Path
) -> None:
    write(tmp_path)
    file = declare(tmp_path, "bad", text)
    done = assay(tmp_path, "list")
    assert done.returncode == 2
    assert done.stderr.startswith(f"assay: {file}") and said in done.stderr
    assert done.stderr.count("\n") == 1 and done.stdout == ""


def test_two_blocks_of_one_name(tmp_path: Path) -> None:
    write(tmp_path)
    file = declare(tmp_path, "loopback", declaration("sources=()"))
    done = assay(tmp_path, "list")
    assert done.returncode == 2
    assert "two blocks are called loopback: " in done.stderr and str(file) in done.stderr
    assert str(ROOT / "tb/loopback/block.py") in done.stderr


@pytest.mark.parametrize(
    ("changed", "words", "said"),
    [
        ({"rtl__scaler.f": "scaler.v\nlost.v\n"}, [], "named in {folder}/rtl/scaler.f, line 2 does not exist"),
        ({}, ["--define", "OFSET=1"], "unknown macro of scaler 'OFSET' (did you mean OFFSET?); allowed: OFFSET"),
        ({}, ["--data", "factor.hex=x"], "unknown data file of scaler 'factor.hex' (did you mean factors.hex?)"),
        ({}, ["--data", "factors.hex=x"], "--data factors.hex=x: {folder}/x does not exist"),
        ({}, ["--data", "factors.hex"], "data file 'factors.hex' is not of the form NAME=VALUE"),
        ({}, ["--param", "Mode=minus"], "parameter Mode=minus of scaler: allowed are plain, plus"),
        ({}, ["--elf", "a.out"], "--elf a.out: scaler runs no programs; blocks that run them: controller"),
        ({}, ["--top", "loopback", "--frames", "2"], "FRAMES=2: loopback repeats nothing; blocks that repeat: scaler"),
    ],
)  # fmt: skip
def test_run_refuses(changed: dict[str, str], words: list[str], said: str, tmp_path: Path) -> None:
    write(tmp_path, **changed)
    done = assay(tmp_path, "run", *words)
    assert done.returncode == 2
    assert said.format(folder=tmp_path) in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "assay_out/runs").exists()


def test_test_module_that_is_wrong_is_one_message_with_its_place(tmp_path: Path) -> None:
    write(tmp_path)
    file = tmp_path / "tb/scaler/test_scaler.py"
    file.write_text("import cocotb\n\ncocotb.tests()\n", encoding="utf-8")
    done = assay(tmp_path, "run")
    assert done.returncode == 2
    assert done.stderr.startswith(f"assay: {file}, line 3: AttributeError: ") and done.stderr.count("\n") == 1
    file.unlink()
    done = assay(tmp_path, "list")
    assert done.returncode == 2
    assert f"test module {file} of block scaler does not exist; {tmp_path}/tb/scaler/block.py" in done.stderr


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[1:0] place = x;", "[1:0] place = x", r"rtl/scaler\.v:\d+"),
        ("Offset +", "lost +", r"rtl/scaler\.v:\d+.*lost"),
        ("module scaler", "module scalar", "scaler"),
    ],
)
def test_top_that_does_not_elaborate(old: str, new: str, said: str, tmp_path: Path, simulator: str) -> None:
    write(tmp_path)
    file = tmp_path / "rtl/scaler.v"
    file.write_text(file.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    done = assay(tmp_path, "run", "--sim", simulator)
    assert done.returncode == 1
    assert re.search(rf"^assay: scaler does not compile with {simulator} \S+: .*{said}.*; see ", done.stderr)
    assert done.stderr.count("\n") == 1


def test_folder_without_blocks(tmp_path: Path) -> None:
    done = assay(tmp_path, "list", "--blocks", str(tmp_path))
    assert done.returncode == 2
    assert "is no repository with blocks: it has no tb/<block>/block.py" in done.stderr
