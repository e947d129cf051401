# SPDX-License-Identifier: Apache-2.0
"""The table of targets: everything the runner knows about a block. Adding a block is one entry in ``TARGETS``."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from assay.golden.accelerator.parameters import LANES, AcceleratorParameters
from assay.golden.controller.parameters import MAX_HARTS, ControllerParameters
from assay.golden.mvu.parameters import CROSSBAR_PORTS, MvuParameters
from assay.golden.pe_array.parameters import PeArrayParameters
from assay.sim import ROOT
from assay.sim.errors import AssayError, unknown


@dataclass(frozen=True)
class Parameter:
    """An integer HDL parameter that a user may set with ``PARAMS="Name=value"``."""

    default: int
    allowed: range | tuple[int, ...]
    meaning: str

    @property
    def allowed_text(self) -> str:
        if isinstance(self.allowed, range) and self.allowed.step == 1:
            return f"{self.allowed.start} to {self.allowed.stop - 1}"
        return ", ".join(map(str, self.allowed))


@dataclass(frozen=True)
class Variant:
    """One configuration of a target that the pytest regression runs."""

    name: str
    parameters: Mapping[str, int] = field(default_factory=dict)
    simulators: tuple[str, ...] = ("verilator", "icarus")
    tests: str = "."
    """Regular expression, searched in the test's name: which cocotb tests this variant runs."""
    x_random: bool = False
    """Start all state from values drawn from the seed (Verilator; Icarus simulates X itself)."""


@dataclass(frozen=True)
class Benchmark:
    """What ``make bench`` measures: see :mod:`sim.bench`."""

    tests: Mapping[str, str]
    """cocotb tests, each with what it measures. The first leaves ``traffic.bin`` and ``expected.bin``, the harness's
    commands and answers; each leaves ``speed.json`` with ``clocks`` and ``seconds``."""
    harness: str
    """C++ source that plays the same traffic on the target's RTL alone; prints clocks and seconds."""
    harness_meaning: str = "plain C++ harness"


@dataclass(frozen=True)
class Target:
    """A TOPLEVEL: its HDL, its bench and how the regression exercises it."""

    name: str
    summary: str
    """One line for ``make help`` and ``assay list``."""
    hdl_top: str
    """The module under the simulator's root, whose ports the bench drives."""
    sources: tuple[str, ...]
    """HDL in compile order, packages first. A ``.f`` entry is a file list whose paths are relative to itself."""
    test_modules: tuple[str, ...]
    """Python modules that hold the cocotb tests."""
    default_tests: tuple[str, ...] = ()
    """Tests of a plain ``make TOPLEVEL=...``; empty: all of them."""
    include_dirs: tuple[str, ...] = ("rtl/common", "tb/agents/hdl")
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    variants: tuple[Variant, ...] = ()
    publish: tuple[str, ...] = ("*_i", "*_ni", "*_o")
    """Names (wildcards allowed) in ``hdl_top`` that the bench reaches through VPI in Verilator. Those ending in
    ``_o`` are published for reading only. Each published signal costs speed: publish ports, nothing deeper."""
    repeated: tuple[str, ...] = ()
    """Modules of which there are many instances: Verilator keeps them apart, so that g++ compiles less."""
    timing: bool = False
    """True if the HDL itself contains delays (``#5``), such as a clock generated in SystemVerilog."""
    window_ns: tuple[int, int] = (10_000, 1_000)
    """How much of the time before and after a failure its waveform shows."""
    timeout_s: int = 600
    """A simulation that takes longer than this is stopped and counts as failed."""
    lint_top: str = ""
    """The RTL module that lint elaborates alone, without the bench; empty: no RTL of its own."""
    lint_sources: tuple[str, ...] = ()
    coverage: str = ""
    """``module:class`` of the functional coverage; its attribute ``groups`` holds the cover groups."""
    workload_check: str = ""
    """``module:function`` that refuses, before a simulation, models and inputs that the target cannot run; called
    as ``function(model, inputs, parameters, lowering)``, where empty paths mean the target's own. Empty: takes no
    models."""
    vector_test: str = ""
    """cocotb test that plays a vector set (VECTORS=folder); empty: none does."""
    vector_parameters: str = ""
    """``module:function`` that reads a vector set, checks it and gives the HDL parameters it was made for."""
    elf_test: str = ""
    """cocotb test that runs a program (ELF=path); empty: none does."""
    elf_check: str = ""
    """``module:function`` that refuses, before a simulation, a program that the target cannot run; called as
    ``function(path, parameters)``."""
    soak_test: str = ""
    """cocotb test that goes on until N instructions have retired (``make soak``); empty: none does."""
    benchmark: Benchmark | None = None
    """What ``make bench`` measures."""
    engine: str = ""
    """Python module whose cocotb test ``serve`` plays what `engine_model` sends; empty: the target runs no networks of
    :mod:`sim.engine`."""
    engine_model: str = ""
    """``module:class`` of the model that sends it, a :class:`sim.model.EngineModel`."""
    root: Path = ROOT

    def source_files(self) -> list[Path]:
        """All HDL files in compile order, file lists expanded, each once."""
        return expand_sources(self.root, self.sources)

    def include_paths(self) -> list[Path]:
        return [self.root / name for name in self.include_dirs]

    def view_file(self) -> Path:
        """The signals that a waveform viewer shows first."""
        return self.root / "sim" / "views" / f"{self.name}.view"

    def resolve_parameters(self, given: Mapping[str, str | int]) -> dict[str, int]:
        """All parameters of a build: the defaults, overridden by what the user gave, checked."""
        resolved = {name: parameter.default for name, parameter in self.parameters.items()}
        for name, text in given.items():
            if name not in self.parameters:
                raise unknown(f"parameter of {self.name}", name, self.parameters)
            parameter = self.parameters[name]
            try:
                value = int(str(text), 0)
            except ValueError:
                value = None
            if value is None or value not in parameter.allowed:
                raise AssayError(
                    f"parameter {name}={text} of {self.name}: allowed are {parameter.allowed_text}"
                )
            resolved[name] = value
        return resolved


def expand_sources(root: Path, entries: Sequence[str]) -> list[Path]:
    """Expand file lists (``.f``: one path a line, ``//`` or ``#`` comments, ``-f`` nests) into source files."""
    files: dict[Path, None] = {}

    def add(path: Path, named_in: str) -> None:
        if not path.is_file():
            raise AssayError(f"source file {path} named in {named_in} does not exist")
        if path.suffix == ".f":
            add_list(path)
        else:
            files.setdefault(path)

    def add_list(filelist: Path) -> None:
        for line in filelist.read_text(encoding="utf-8").splitlines():
            line = line.partition("//")[0]
            words = shlex.split(line, comments=True)
            for word in words:
                if word != "-f":
                    add((filelist.parent / word).resolve(), str(filelist))

    for entry in entries:
        add((root / entry).resolve(), "the table of targets")
    return list(files)


MVU = MvuParameters()
PE_ARRAY = PeArrayParameters()
CONTROLLER = ControllerParameters()
ACCELERATOR = AcceleratorParameters()
_MEMORIES = tuple(1 << n for n in range(8, 17))
_BANKS = tuple(1 << n for n in range(1, 7))
_DEPTHS = tuple(1 << n for n in range(4, 13))
_POWERS = tuple(1 << n for n in range(1, 16))

# Small arrays of the PE array's regression: odd sizes, one vector, one lane, each width.
_SMALL = {"Rows": 3, "Columns": 6, "Vectors": 2, "Lanes": 2, "WeightDepth": 256, "PixelDepth": 128}
_WIDE = {**_SMALL, "Rows": 2, "Columns": 9, "DataWidth": 16}
_NARROW = {**_SMALL, "Rows": 4, "Columns": 5, "DataWidth": 4, "Vectors": 1, "Lanes": 1}

# What the controller's further variants run.
_FEW = "^(programs|random_programs|random_interrupts|registers)$"

TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        Target(
            name="mvu",
            summary="bit-serial matrix-vector unit",
            hdl_top="mvu_tb",
            sources=("rtl/mvu/mvu.f", "tb/agents/hdl/bursts.f", "tb/mvu/mvu_tb.sv"),
            lint_top="mvu",
            lint_sources=("rtl/mvu/mvu.f",),
            test_modules=("assay.tb.mvu.test_mvu",),
            timing=True,
            default_tests=("real_layers",),
            coverage="assay.tb.mvu.coverage:MvuCoverage",
            workload_check="assay.tb.mvu.networks:check",
            vector_test="vector_set",
            vector_parameters="assay.golden.mvu.vectors:parameters",
            benchmark=Benchmark(
                {"speed": "bench at transaction level", "speed_stalled": "bench with random stalls"},
                harness="tb/mvu/harness.cpp",
            ),
            parameters={
                "Lanes": Parameter(MVU.lanes, (8, 16, 32, 64), "multiplier lanes, and channels a word"),
                "AccWidth": Parameter(MVU.acc_width, range(16, 31), "accumulator bits"),
            },
            variants=(
                Variant("lanes64", {"Lanes": 64}),
                Variant("lanes8", {"Lanes": 8}),
                Variant(
                    "lanes8-xrandom", {"Lanes": 8}, simulators=("verilator",), tests="reset", x_random=True
                ),
            ),
        ),
        Target(
            name="mvu_array",
            summary="matrix-vector units and the crossbar between them",
            hdl_top="mvu_array_tb",
            repeated=("mvu",),
            sources=(
                "rtl/accelerator/mvu_array.f",
                "tb/agents/hdl/bursts.f",
                "tb/mvu_array/mvu_array_tb.sv",
            ),
            lint_top="mvu_array",
            lint_sources=("rtl/accelerator/mvu_array.f",),
            test_modules=("assay.tb.mvu_array.test_mvu_array",),
            timing=True,
            default_tests=("random_rounds", "storms"),
            coverage="assay.tb.mvu_array.coverage:CrossbarCoverage",
            parameters={
                "Mvus": Parameter(ACCELERATOR.mvus, range(1, CROSSBAR_PORTS + 1), "units"),
                "Lanes": Parameter(MVU.lanes, LANES, "multiplier lanes, and channels a word"),
                "WeightDepth": Parameter(MVU.weight_depth, _DEPTHS, "weight words of a unit"),
            },
            variants=(
                Variant("4x8", {"Mvus": 4, "Lanes": 8, "WeightDepth": 64}),
                Variant("8x64", simulators=("verilator",), tests="random_rounds|storms"),
                Variant(
                    "3x8-xrandom",
                    {"Mvus": 3, "Lanes": 8, "WeightDepth": 64},
                    simulators=("verilator",),
                    tests="reset",
                    x_random=True,
                ),
            ),
        ),
        Target(
            name="pe_array",
            summary="array of multiply-accumulate elements for int8 networks",
            hdl_top="pe_array_tb",
            sources=("rtl/pe_array/pe_array.f", "tb/agents/hdl/bursts.f", "tb/pe_array/pe_array_tb.sv"),
            lint_top="pe_array",
            lint_sources=("rtl/pe_array/pe_array.f",),
            test_modules=("assay.tb.pe_array.test_pe_array",),
            timing=True,
            default_tests=("real_layers",),
            coverage="assay.tb.pe_array.coverage:PeArrayCoverage",
            workload_check="assay.tb.pe_array.networks:check",
            engine="assay.tb.pe_array.engine",
            engine_model="assay.sim.pe_array:ArrayModel",
            vector_test="vector_set",
            vector_parameters="assay.golden.pe_array.vectors:parameters",
            benchmark=Benchmark(
                {"speed": "bench at transaction level", "speed_stalled": "bench with random stalls"},
                harness="tb/pe_array/harness.cpp",
            ),
            parameters={
                "Rows": Parameter(PE_ARRAY.rows, range(1, 33), "output rows computed at a time"),
                "Columns": Parameter(PE_ARRAY.columns, range(2, 257), "elements in each row"),
                "DataWidth": Parameter(
                    PE_ARRAY.data_width, (4, 8, 16), "bits of an operand and of an output"
                ),
                "Vectors": Parameter(PE_ARRAY.vectors, (1, 2, 4, 8), "pixel vectors in a beat"),
                "Lanes": Parameter(PE_ARRAY.lanes, range(1, 17), "output channels rescaled in a clock"),
                "WeightDepth": Parameter(PE_ARRAY.weight_depth, _POWERS, "beats of weights in a tile"),
                "PixelDepth": Parameter(PE_ARRAY.pixel_depth, _POWERS, "beats of the pixel buffer"),
            },
            variants=(
                Variant("8x24", simulators=("verilator",)),
                Variant(
                    "3x6",
                    _SMALL,
                    simulators=("icarus",),
                    tests="real|random|stalls|clear|reset|wrong_packets|registers",
                ),
                Variant("2x9w16", _WIDE, simulators=("icarus",), tests="random_tiles|corners"),
                # One build for both: narrow words, and registers that start with anything.
                Variant("4x5w4", _NARROW, simulators=("verilator",), tests="random|reset", x_random=True),
            ),
        ),
        Target(
            name="pe_array_post",
            summary="the PE array's output stage alone: every rounding on many values",
            hdl_top="pe_array_post_tb",
            sources=(
                "rtl/pe_array/pe_array.f",
                "tb/agents/hdl/bursts.f",
                "tb/pe_array_post/pe_array_post_tb.sv",
            ),
            test_modules=("assay.tb.pe_array_post.test_pe_array_post",),
            timing=True,
            parameters={
                "Rows": Parameter(8, range(1, 33), "rows"),
                "Columns": Parameter(24, range(2, 257), "words of a table's beat"),
                "DataWidth": Parameter(8, (4, 8, 16), "bits of a word"),
                "Lanes": Parameter(4, range(1, 17), "lanes"),
            },
            variants=(
                Variant("w8", simulators=("verilator",)),
                Variant("w4", {"DataWidth": 4, "Rows": 7, "Columns": 5}, simulators=("verilator",)),
                Variant("w16", {"DataWidth": 16, "Lanes": 3}, simulators=("verilator",)),
                Variant("small", {"Rows": 3, "Lanes": 2, "Columns": 7}, simulators=("icarus",)),
            ),
        ),
        Target(
            name="controller",
            summary="RISC-V barrel controller, in lock-step with its instruction-set simulator",
            hdl_top="controller_tb",
            sources=(
                "rtl/controller/controller.f",
                "tb/agents/hdl/bursts.f",
                "tb/controller/controller_tb.sv",
            ),
            lint_top="controller",
            lint_sources=("rtl/controller/controller.f",),
            test_modules=("assay.tb.controller.test_controller",),
            timing=True,
            default_tests=("programs", "random_programs", "random_interrupts"),
            coverage="assay.tb.controller.coverage:ControllerCoverage",
            elf_test="elf",
            elf_check="assay.tb.controller.elf:check",
            soak_test="soak",
            benchmark=Benchmark({"speed": "bench in lock-step"}, harness="tb/controller/harness.cpp"),
            parameters={
                "Harts": Parameter(CONTROLLER.harts, range(1, MAX_HARTS + 1), "hardware threads"),
                "ImemWords": Parameter(CONTROLLER.imem_words, _MEMORIES, "words of instruction memory"),
                "DmemWords": Parameter(CONTROLLER.dmem_words, _MEMORIES, "words of data memory"),
                "Skip": Parameter(CONTROLLER.skip, (0, 1), "slots of harts that wait go to others"),
                "MulDiv": Parameter(CONTROLLER.mul_div, (0, 1), "M extension"),
            },
            variants=(
                Variant("8harts", simulators=("verilator",)),
                Variant(
                    "2harts",
                    {"Harts": 2, "ImemWords": 4096, "DmemWords": 1024},
                    simulators=("icarus",),
                    tests=rf"{_FEW}|planted_(result|line)",
                ),
                Variant("strict", {"Skip": 0}, simulators=("verilator",), tests=_FEW),
                Variant(
                    "3harts-m", {"Harts": 3, "MulDiv": 1, "Skip": 0}, simulators=("verilator",), tests=_FEW
                ),
                Variant("16harts-m", {"Harts": 16, "MulDiv": 1}, simulators=("verilator",), tests=_FEW),
                Variant("1hart", {"Harts": 1}, simulators=("verilator",), tests=_FEW),
                Variant("8harts-xrandom", simulators=("verilator",), tests="resets", x_random=True),
            ),
        ),
        Target(
            name="accelerator",
            summary="MVUs, crossbar, controller and host port: networks from the host's input to its output",
            hdl_top="accelerator_tb",
            repeated=("mvu",),
            sources=(
                "rtl/accelerator/accelerator.f",
                "tb/agents/hdl/bursts.f",
                "tb/accelerator/accelerator_tb.sv",
            ),
            lint_top="accelerator",
            lint_sources=("rtl/accelerator/accelerator.f",),
            test_modules=("assay.tb.accelerator.test_accelerator",),
            timing=True,
            default_tests=("real_networks", "random_networks"),
            coverage="assay.tb.accelerator.coverage:AcceleratorCoverage",
            workload_check="assay.tb.accelerator.networks:check",
            vector_test="vector_set",
            vector_parameters="assay.golden.codegen.files:parameters",
            engine="assay.tb.accelerator.engine",
            engine_model="assay.sim.accelerator:AcceleratorModel",
            parameters={
                "Mvus": Parameter(ACCELERATOR.mvus, range(1, CROSSBAR_PORTS + 1), "units, and harts"),
                "Lanes": Parameter(MVU.lanes, LANES, "multiplier lanes, and channels a word"),
                "DataBanks": Parameter(MVU.data_banks, _BANKS, "banks of a data memory"),
                "BankDepth": Parameter(MVU.bank_depth, _DEPTHS, "words of a bank"),
                "WeightDepth": Parameter(MVU.weight_depth, _DEPTHS, "weight words of a unit"),
                "ChannelDepth": Parameter(MVU.channel_depth, _DEPTHS, "scaler and bias entries of a unit"),
                "ImemWords": Parameter(CONTROLLER.imem_words, _MEMORIES, "words of instruction memory"),
                "DmemWords": Parameter(CONTROLLER.dmem_words, _MEMORIES, "words of data memory"),
                "Skip": Parameter(CONTROLLER.skip, (0, 1), "slots of harts that wait go to others"),
            },
            variants=(
                Variant("4x8", {"Mvus": 4, "Lanes": 8}, simulators=("verilator",)),
                Variant(
                    "2x8",
                    {"Mvus": 2, "Lanes": 8, "ImemWords": 2048, "DmemWords": 1024},
                    simulators=("icarus",),
                    tests="random_networks|contention|resets|planted_flipped_bit",
                ),
                Variant("8x64", simulators=("verilator",), tests="real_networks"),
            ),
        ),
        Target(
            name="accelerator_axi",
            summary="the accelerator's host port alone, under cocotbext-axi's manager",
            hdl_top="accelerator_axi_tb",
            sources=("rtl/accelerator/accelerator.f", "tb/accelerator_axi/accelerator_axi_tb.sv"),
            test_modules=("assay.tb.accelerator_axi.test_accelerator_axi",),
            timing=True,
            publish=("clk_i", "manager_clk_i", "rst_ni", "s_axi_*"),
            parameters={
                "Mvus": Parameter(2, range(2, CROSSBAR_PORTS + 1), "units, and harts"),
                "Lanes": Parameter(64, (64,), "bits of a data memory's word: here a whole beat"),
            },
            variants=(Variant("2x64", simulators=("icarus",)),),
        ),
        Target(
            name="loopback",
            summary="the benches' own agents, on a FIFO and a memory with planted faults",
            hdl_top="loopback_tb",
            sources=("tb/agents/hdl/bursts.f", "tb/loopback/loopback_tb.sv"),
            lint_top="loopback_tb",
            lint_sources=("tb/agents/hdl/bursts.f", "tb/loopback/loopback_tb.sv"),
            test_modules=("assay.tb.loopback.test_loopback",),
            timing=True,
            variants=(Variant("default"),),
        ),
    )
}


def find_target(name: str, targets: Mapping[str, Target] = TARGETS) -> Target:
    """The target behind a TOPLEVEL."""
    if name not in targets:
        raise unknown("TOPLEVEL", name, targets)
    return targets[name]
