# SPDX-License-Identifier: Apache-2.0
"""The build cache: what makes a build another build, and what an interrupted or a simultaneous one leaves."""

from __future__ import annotations

import dataclasses
import os
import shutil
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from assay.sim import build, outputs
from assay.sim.build import BuildSpec, ensure_build, instantiated
from assay.sim.sealed import SEAL
from assay.sim.simulators import find_simulator
from assay.tb.block import Block, expand_sources
from assay.tb.errors import AssayError, BuildFailed


@pytest.fixture
def spec(counter: Block, own_outputs: Path, require_simulator) -> BuildSpec:
    """A build of a copy of the counter that a test may edit. Icarus, as it compiles in no time."""
    require_simulator("icarus")
    root = own_outputs / "checkout"
    shutil.copytree(counter.root / "sim/tests/counter", root / "sim/tests/counter")
    (root / "include").mkdir()
    (root / "include/counter.svh").write_text("// included\n", encoding="utf-8")
    return BuildSpec(
        dataclasses.replace(counter, root=root, include_dirs=("include",)),
        find_simulator("icarus"),
        {"Width": 8},
    )


def builds_of(spec: BuildSpec) -> list[Path]:
    return [path for path in outputs.build_root().iterdir() if path.is_dir()]


def test_second_build_compiles_nothing(spec: BuildSpec) -> None:
    announced: list[str] = []
    folder = ensure_build(spec, announced.append)
    assert announced
    announced.clear()
    product = (folder / "sim.vvp").stat().st_mtime_ns
    assert ensure_build(spec, announced.append) == folder
    assert announced == []
    assert (folder / "sim.vvp").stat().st_mtime_ns == product


def test_key_follows_contents_not_times(spec: BuildSpec) -> None:
    key = spec.key()
    source = spec.block.source_files()[0]
    text = source.read_text(encoding="utf-8")
    source.write_text(text + "// changed\n", encoding="utf-8")
    assert spec.key() != key
    source.write_text(text, encoding="utf-8")
    assert spec.key() == key
    include = spec.block.include_paths()[0] / "counter.svh"
    include.write_text(include.read_text(encoding="utf-8") + "// changed\n", encoding="utf-8")
    assert spec.key() != key


def test_key_follows_parameters_flags_and_tools(spec: BuildSpec) -> None:
    verilator = dataclasses.replace(spec, simulator=find_simulator("verilator"))
    newer = dataclasses.replace(verilator.simulator, version="5.99")
    others = [
        spec,
        dataclasses.replace(spec, parameters={"Width": 9}),
        verilator,
        dataclasses.replace(verilator, simulator=newer),
        dataclasses.replace(verilator, trace="vcd"),
        dataclasses.replace(verilator, x_random=True),
        dataclasses.replace(verilator, block=dataclasses.replace(verilator.block, publish=("clk_i",))),
    ]
    assert len({other.key() for other in others}) == len(others)


def test_interrupted_build_is_not_taken_for_a_finished_one(
    spec: BuildSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: object, **options: object) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(build, "run_logged", interrupted)
        with pytest.raises(KeyboardInterrupt):
            ensure_build(spec)
    assert builds_of(spec) == []
    assert (ensure_build(spec) / "sim.vvp").is_file()


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda path: os.truncate(path, 100), "sim.vvp has 100 of "),
        (lambda path: os.truncate(path, 0), "sim.vvp has 0 of "),
        (
            lambda path: path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:]),
            "other contents",
        ),
        (lambda path: path.unlink(), "sim.vvp is missing"),
        (lambda path: path.with_name(SEAL).unlink(), f"{SEAL} is missing"),
        (lambda path: path.with_name(SEAL).write_text("{"), f"{SEAL} is no list of contents"),
        (lambda path: path.with_name(SEAL).write_text("[1]"), f"{SEAL} is no list of contents"),
        (lambda path: path.with_name("build.json").unlink(), "build.json is missing"),
    ],
)
def test_damaged_build_is_built_again(spec: BuildSpec, harm: Callable[[Path], object], said: str) -> None:
    program = ensure_build(spec) / "sim.vvp"
    before = program.stat().st_size
    harm(program)
    announced: list[str] = []
    assert ensure_build(spec, announced.append) / "sim.vvp" == program
    assert program.stat().st_size == before
    assert (
        "is damaged (" in announced[0] and said in announced[0] and announced[0].endswith("it is built again")
    )
    announced.clear()
    ensure_build(spec, announced.append)
    assert announced == []


def test_runtime_library_is_compiled_once(spec: BuildSpec, require_simulator) -> None:
    """By the first build that needs an object of it, and again if it is damaged."""
    require_simulator("verilator")
    verilator = dataclasses.replace(spec, simulator=find_simulator("verilator"))
    outputs.build_root().mkdir(parents=True)
    compiled, announced = [], []

    def build_with(number: int, *names: str, trace: str = "") -> list[str]:
        """The objects that a build compiles; all of them are there in the end."""
        folder = spec.block.root / f"obj{number}"
        folder.mkdir()
        lines = "".join(f"  {name} \\\n" for name in names)
        (folder / "Vtop_classes.mk").write_text(f"VM_GLOBAL_FAST += \\\n{lines}\nVM_GLOBAL_SLOW += \\\n\n")
        compiled.clear()

        def compile_objects(missing: Sequence[str]) -> None:
            compiled.extend(missing)
            for name in missing:
                (folder / name).write_text(f"object {name}", encoding="utf-8")

        shared = build._RuntimeObjects(dataclasses.replace(verilator, trace=trace), announced.append)
        shared.provide(folder, compile_objects)
        assert all((folder / f"{name}.o").read_text() == f"object {name}.o" for name in names)
        return compiled

    assert build_with(1, "verilated", "verilated_vpi") == ["verilated.o", "verilated_vpi.o"]
    assert build_with(2, "verilated", "verilated_vpi") == []
    assert build_with(3, "verilated", "verilated_vcd_c", trace="vcd") == ["verilated_vcd_c.o"]
    assert build_with(4, "verilated", "verilated_vpi", "verilated_vcd_c") == []
    (folder,) = outputs.build_root().glob("verilated-*")
    (folder / "verilated.o").write_text("half an", encoding="utf-8")
    assert build_with(5, "verilated") == ["verilated.o"]
    assert "verilated.o has 7 of 18 bytes" in announced[0]


def test_build_that_finds_no_space_says_so(spec: BuildSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(command: object, cwd: object, environment: object, log: Path, **options: object) -> int:
        log.write_text("fatal error: error writing to /tmp/x.s: No space left on device\n", encoding="utf-8")
        return 1

    monkeypatch.setattr(build, "run_logged", full)
    with pytest.raises(BuildFailed, match=r"does not compile with icarus .*: No space left on device; see "):
        ensure_build(spec)
    assert builds_of(spec) == []


def test_leftovers_of_a_killed_build_are_replaced(spec: BuildSpec) -> None:
    outputs.build_root().mkdir(parents=True)
    partial = spec.folder().with_name(f".{spec.folder().name}.partial")
    partial.mkdir()
    (partial / "sim.vvp").write_text("half a program", encoding="utf-8")
    folder = ensure_build(spec)
    assert builds_of(spec) == [folder]
    assert (folder / "sim.vvp").read_text(encoding="utf-8") != "half a program"


def test_simultaneous_builds_compile_once(spec: BuildSpec) -> None:
    announced: list[str] = []
    threads = [threading.Thread(target=ensure_build, args=(spec, announced.append)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([line for line in announced if line.startswith("building")]) == 1


def test_builds_unused_for_the_longest_time_are_removed(
    spec: BuildSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "BUILDS_KEPT", 2)
    folders = [ensure_build(dataclasses.replace(spec, parameters={"Width": width})) for width in (2, 3, 4)]
    assert [folder.is_dir() for folder in folders] == [False, True, True]


def test_file_lists(tmp_path: Path) -> None:
    (tmp_path / "rtl").mkdir()
    for name in ("pkg.sv", "a.sv", "b.sv", "top.sv"):
        (tmp_path / "rtl" / name).touch()
    (tmp_path / "rtl" / "inner.f").write_text("pkg.sv // the package\na.sv\n", encoding="utf-8")
    (tmp_path / "rtl" / "outer.f").write_text(
        "# all of it\n-f inner.f\na.sv b.sv\n+incdir+.+../rtl\n+define+A=1+B\n", encoding="utf-8"
    )
    sources = expand_sources(tmp_path, ("rtl/outer.f", "rtl/top.sv"))
    assert [path.name for path in sources.files] == ["pkg.sv", "a.sv", "b.sv", "top.sv"]
    assert sources.include_dirs == [tmp_path / "rtl"]
    assert sources.defines == {"A": "1", "B": "1"}
    for word, said in (
        ("-y lib", "option '-y' in .*outer.f, line 2: allowed are -f, "),
        ("+libext+.v", "option '.libext..v' in .*outer.f, line 2"),
        ("+incdir+lost", "include folder .*lost named in .*outer.f, line 2 does not exist"),
        ("lost.sv", "source file .*lost.sv named in .*outer.f, line 2 does not exist"),
    ):
        (tmp_path / "rtl" / "outer.f").write_text(f"a.sv\n{word}\n", encoding="utf-8")
        with pytest.raises(AssayError, match=said):
            expand_sources(tmp_path, ("rtl/outer.f",))


def test_bound_instances_stand_in_the_module_for_icarus(tmp_path: Path) -> None:
    """What `bind` says, for a compiler that does not know it; sources without either stay as they are."""
    design, other, probes = (tmp_path / name for name in ("design.sv", "other.sv", "probes.sv"))
    design.write_text("module a;\nendmodule\nmodule top;\n  a x ();\nendmodule : top\n")
    other.write_text("module b;\nendmodule\n")
    probes.write_text("module p;\nendmodule\n\nbind top p #(\n  .W(3)\n) u_p (.*);\nbind b p u_p ();\n")
    made = instantiated([design, other, probes], tmp_path / "out")
    texts = [path.read_text() for path in made]
    assert (
        texts[0]
        == "module a;\nendmodule\nmodule top;\n  a x ();\n  p #(\n  .W(3)\n) u_p (.*);\nendmodule : top\n"
    )
    assert texts[1] == "module b;\n  p u_p ();\nendmodule\n"
    assert "bind" not in texts[2]
    assert instantiated([other], tmp_path / "none") == [other]
    assert not (tmp_path / "none").exists()
    probes.write_text("bind c p u_p ();\n")
    with pytest.raises(BuildFailed, match="binds to a module c, which no source has"):
        instantiated([design, probes], tmp_path / "out")
