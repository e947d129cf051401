# SPDX-License-Identifier: Apache-2.0
"""A block's declaration: all that the runner knows about it stands in ``tb/<block>/block.py``.

    from assay.tb.block import Block, Variant

    BLOCK = Block(
        __name__,
        summary="first in, first out",
        hdl_top="fifo_tb",
        sources=("rtl/fifo.sv", "tb/fifo/fifo_tb.sv"),
        parameters=FifoParameters,
        variants=(Variant("deep", {"Depth": 64}),),
    )

The block's name is that of the folder. Its paths are relative to its root: the folder that holds ``tb``. The cocotb
tests are in ``test_<block>.py`` beside the declaration, and the signals that a waveform viewer shows first in
``<block>.view``. `sim.blocks` finds declarations.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from assay.golden.errors import ConfigurationError
from assay.golden.parameters import Parameter, ParameterSet
from assay.golden.table import short
from assay.tb.capabilities import Capability
from assay.tb.errors import AssayError, MissingExtra, unknown
from assay.tb.text_file import read_text

__all__ = [
    "AXI_PROTOCOL",
    "BURSTS",
    "BURSTS_WAIVERS",
    "Block",
    "Data",
    "Extra",
    "Lint",
    "Sources",
    "Synth",
    "Variant",
    "expand_sources",
]

AGENTS_HDL = Path(__file__).resolve().parent / "agents" / "hdl"
"""On every block's include path: the HDL of Assay's agents."""

BURSTS = str(AGENTS_HDL / "bursts.f")
"""Source entry: the burst adapters between Python and a stream (``burst_ports.svh``)."""

AXI_PROTOCOL = str(AGENTS_HDL / "axi_protocol.sv")
"""Source entry: the rules of AXI4 as assertions at a port, whoever drives it (module ``axi_protocol``)."""

PROBE = str(AGENTS_HDL / "assay_probe.sv")
PORTS = ("*_i", "*_ni", "*_o")
"""What of a bench's top is published to VPI where a declaration says nothing else."""

BURSTS_WAIVERS = str(AGENTS_HDL / "bursts_lint.vlt")

SIMULATORS = ("verilator", "icarus")

_CAPABILITY = TypeVar("_CAPABILITY", bound=Capability)


@dataclass(frozen=True)
class Variant:
    """One configuration of a block that the regression runs.

    Attributes:
        name: of the configuration.
        parameters: HDL parameters that are not the default's.
        simulators: on which it runs.
        tests: regular expression, searched in the test's name: the cocotb tests that it runs.
        x_random: start all state from values drawn from the seed (Verilator; Icarus simulates X itself).
        defines: macros of the HDL, as in `Block`.
    """

    name: str
    parameters: Mapping[str, int | str] = field(default_factory=dict)
    simulators: tuple[str, ...] = SIMULATORS
    tests: str = "."
    x_random: bool = False
    defines: Mapping[str, str] = field(default_factory=dict)

    def runs(self, test: str) -> bool:
        """Whether it runs a cocotb test."""
        return bool(re.search(self.tests, test))


@dataclass(frozen=True)
class Lint:
    """The RTL that ``lint`` elaborates alone, without the bench.

    Attributes:
        top: the module.
        sources: as in `Block`.
        waivers: Verilator control files (``.vlt``), which say with reasons what it may not complain about.
    """

    top: str
    sources: tuple[str, ...]
    waivers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Synth:
    """How ``synth`` synthesises the RTL of `Block.lint`; its baseline is ``synth.json`` beside the declaration.

    Attributes:
        parameters: HDL parameters of its top; small ones, as each gate of it is computed.
        registers: ``module.array`` -> why it is made of flip-flops, though it has enough words for a memory.
    """

    parameters: Mapping[str, int | str] = field(default_factory=dict)
    registers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Data:
    """A file that the HDL reads while it is simulated (``$readmemh("weights.hex")``) or includes.

    A run finds it in its folder under its name; `make` replaces it with ``DATA="weights.hex=mine.hex"``.

    Attributes:
        name: by which the HDL opens it.
        default: path of the file where the user gives none; empty: the user must give one.
        meaning: a few words for lists.
        included: it is read with `` `include`` or otherwise when the HDL is compiled, so that each content is a build.
    """

    name: str
    default: str = ""
    meaning: str = ""
    included: bool = False


@dataclass(frozen=True)
class Extra:
    """Something beside Assay's own packages that some of the block's tests need.

    Attributes:
        name: the extra of pyproject.toml that installs it.
        missing: gives what is missing as a sentence with the command that installs it; empty if nothing is.
        tests: the cocotb tests that need it.
    """

    name: str
    missing: Callable[[], str]
    tests: tuple[str, ...]


@dataclass(frozen=True)
class Block:
    """A TOPLEVEL: its HDL, its bench, and what it can do.

    Attributes:
        module: ``__name__`` of the declaration.
        summary: one line for lists.
        hdl_top: the module under the simulator's root, whose ports the bench drives.
        sources: HDL in compile order, packages first; a ``.f`` entry is a file list with paths relative to itself.
        test_modules: modules beside the declaration that hold the cocotb tests; empty: ``test_<block>``.
        default_tests: tests of a plain run; empty: all of them.
        include_dirs: folders of `` `include``; that of Assay's agents is always one.
        defines: macros of the HDL -> text, for every run; a run may set more with DEFINES.
        data: files that the HDL reads.
        parameters: the dataclass in ``golden`` that knows defaults and ranges; None: the block has none.
        top_parameters: HDL names of those of its parameters that `hdl_top` has; empty: all.
        defaults: HDL names -> values in place of the dataclass's defaults.
        narrowed: HDL names -> those of the allowed values that this bench can do, where it cannot do all.
        variants: what the regression runs.
        small: HDL names -> values of a small build in which everything still happens: for what runs the bench very
            often.
        capabilities: what the block can do beyond its own tests.
        coverage: class of the functional coverage, whose ``groups`` are the cover groups; None: it has none.
        lint: the RTL that is linted alone; None: no RTL of its own.
        synth: how this RTL is synthesised; None: it is not.
        waive: source (wildcards allowed) -> codes of Verilator's warnings that are not shown of it, ``*`` for all
            warnings of both simulators.
        publish: names (wildcards allowed) in `hdl_top` that the bench reaches through VPI in Verilator. Those ending
            in ``_o`` are published for reading only. Each published signal costs speed: publish ports, and nothing
            deeper but counters whose ends no run reaches, as ``module.signal``, which a test sets near them.
        probes: HDL that builds for waves hold beside the rest: instances of ``assay_probe`` along the data path, bound
            into the design (``bind``), as `tb.debug` describes them.
        waits: for what a unit waits in a clock, in words, from a reader of values and the unit's path below the top;
            empty where it goes on. The reader's ``value(path)`` is that of `tb.agents.inside.Inside`, or of waves.
        describe: stream of the bench -> function of a beat's fields, by name, that gives the track that the beat is of,
            such as "hart 2", and what it says in words: for the waves and the page of a failure.
        inspect: modules of the design -> their variables that the bench reads after a failure, to name its cause
            (`tb.agents.inside`): memories and registers, nothing that is combinational. Published for reading only.
        repeated: modules with many instances: Verilator keeps them apart, so that g++ compiles less.
        timing: whether the HDL itself contains delays (``#5``), such as a clock generated in SystemVerilog.
        window_ns: how much of the time before and after a failure its waveform shows.
        timeout_s: a simulation that takes longer is stopped and counts as failed.
        extra: what some tests need beside Assay's own packages.
        library: gives C++ files, name -> text, that make the bench faster: where there is a compiler, a run finds
            those called ``*.cpp``, compiled into one library, under the path in ``ASSAY_LIBRARY``.
        order: place in lists; the first block with a capability is the default of its command.
        root: the folder to which paths are relative; ``Path()``: the one that holds ``tb``.
    """

    module: str
    summary: str
    hdl_top: str
    sources: tuple[str, ...]
    test_modules: tuple[str, ...] = ()
    default_tests: tuple[str, ...] = ()
    include_dirs: tuple[str, ...] = ()
    defines: Mapping[str, str] = field(default_factory=dict)
    data: tuple[Data, ...] = ()
    parameters: type[ParameterSet] | None = None
    top_parameters: tuple[str, ...] = ()
    defaults: Mapping[str, int | str] = field(default_factory=dict)
    narrowed: Mapping[str, range | tuple[int, ...] | tuple[str, ...]] = field(default_factory=dict)
    variants: tuple[Variant, ...] = ()
    small: Mapping[str, int | str] = field(default_factory=dict)
    capabilities: tuple[Capability, ...] = ()
    coverage: Callable[[], Any] | None = None
    lint: Lint | None = None
    synth: Synth | None = None
    waive: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    publish: tuple[str, ...] = PORTS
    probes: tuple[str, ...] = ()
    waits: Callable[[Any, str], str] | None = None
    describe: Mapping[str, Callable[[Mapping[str, int]], tuple[str, str]]] = field(default_factory=dict)
    inspect: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    repeated: tuple[str, ...] = ()
    timing: bool = False
    window_ns: tuple[int, int] = (10_000, 1_000)
    timeout_s: int = 600
    extra: Extra | None = None
    library: Callable[[], Mapping[str, str]] | None = None
    order: int = 100
    root: Path = Path()

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if str(each.type).startswith("tuple") and not isinstance(value, tuple):
                example = f"({value!r},)" if isinstance(value, str) else "a tuple"
                raise AssayError(f"{each.name} = {value!r}: must be {example}")
        root = self.file.parents[2] if self.root == Path() else self.root.resolve()
        object.__setattr__(self, "root", root)
        kinds = [type(each) for each in self.capabilities]
        for kind in kinds:
            if kinds.count(kind) > 1:
                raise AssayError(f"capabilities: {kind.__name__} stands there twice, must be once")
        table = {} if self.parameters is None else self.parameters.table()
        for name in (*self.top_parameters, *self.defaults, *self.narrowed):
            if name not in table:
                raise unknown("parameter", name, table)
        for name, values in self.narrowed.items():
            for value in values:
                table[name].check(value)
        self.resolve_parameters(self.defaults)
        self.resolve_parameters(self.small)
        if self.synth is not None and self.lint is None:
            raise AssayError("synth: must stand beside lint, which names the RTL")
        for variant in self.variants:
            self.resolve_parameters(variant.parameters)
            for simulator in variant.simulators:
                if simulator not in SIMULATORS:
                    raise unknown(f"simulator of variant {variant.name}", simulator, SIMULATORS)
            _expression(f"tests of variant {variant.name}", variant.tests)

    @property
    def file(self) -> Path:
        """The declaration."""
        path = sys.modules[self.module].__file__ if self.module in sys.modules else None
        if path is None:
            raise AssayError(f"module = {self.module!r}: must be __name__, the name of the module itself")
        return Path(path).resolve()

    @property
    def name(self) -> str:
        """The TOPLEVEL: the name of the declaration's folder."""
        return self.file.parent.name

    @property
    def tests(self) -> tuple[str, ...]:
        """The full names of the modules that hold the cocotb tests."""
        return tuple(map(self.beside, self.test_modules or (f"test_{self.name}",)))

    def beside(self, module: str) -> str:
        """The full name of a module beside the declaration."""
        package = sys.modules[self.module].__package__
        return f"{package}.{module}" if package else module

    @property
    def table(self) -> dict[str, Parameter]:
        """The HDL parameters that a user may set, by name."""
        table = {} if self.parameters is None else self.parameters.table()
        return {
            name: replace(table[name], allowed=self.narrowed[name]) if name in self.narrowed else table[name]
            for name in self.top_parameters or table
        }

    def capability(self, kind: type[_CAPABILITY]) -> _CAPABILITY | None:
        """The block's capability of a class, if it has it."""
        return next((each for each in self.capabilities if isinstance(each, kind)), None)

    def check_extra(self, tests: Iterable[str]) -> None:
        """Refuse tests that need packages which are not installed.

        Raises:
            MissingExtra: names one of them and what is missing.
        """
        if self.extra is None:
            return
        needing = sorted(set(self.extra.tests).intersection(tests))
        if needing and (missing := self.extra.missing()):
            raise MissingExtra(f"test {needing[0]} of {self.name}: {missing}")

    def source_files(self) -> list[Path]:
        """All HDL files in compile order, file lists expanded, each once."""
        return self._expanded.files

    def probe_files(self) -> list[Path]:
        """The HDL files of its probes, in compile order; none for a block without."""
        return expand_sources(self.root, (PROBE, *self.probes), self.file).files if self.probes else []

    @property
    def _expanded(self) -> Sources:
        return expand_sources(self.root, self.sources, self.file)

    def include_paths(self) -> list[Path]:
        """The folders of `` `include``, in order."""
        own = [self.path_of("include folder", name) for name in self.include_dirs]
        return [*own, *self._expanded.include_dirs, AGENTS_HDL]

    def view_file(self) -> Path:
        """The signals that a waveform viewer shows first."""
        return self.file.with_name(f"{self.name}.view")

    def path_of(self, what: str, entry: str) -> Path:
        """A path of the declaration.

        Args:
            what: it is, for the message.
            entry: as the declaration has it.

        Raises:
            AssayError: there is no such file or folder.
        """
        path = self.root / entry
        if not path.exists():
            raise AssayError(f"{what} {path} named in {_line(self.file, entry)} does not exist")
        return path.resolve()

    def resolve_parameters(self, given: Mapping[str, str | int]) -> dict[str, int | str]:
        """All parameters of a build: the defaults, overridden by what the user gave, checked.

        Raises:
            AssayError: an unknown name, or a value that is not allowed.
            ConfigurationError: values that do not go together.
        """
        table = self.table
        resolved = {name: self.defaults.get(name, each.default) for name, each in table.items()}
        for name, text in given.items():
            if name not in table:
                raise unknown(f"parameter of {self.name}", name, table)
            try:
                resolved[name] = table[name].read(text)
            except ConfigurationError as error:
                raise AssayError(f"parameter {name}={text} of {self.name}: {error}") from None
        if self.parameters is not None and not self.top_parameters:
            self.parameters.of_rtl(resolved)
        return resolved

    def resolve_defines(self, given: Mapping[str, str]) -> dict[str, str]:
        """All macros of a build. One that no source mentions is refused, for it would do nothing.

        Raises:
            AssayError: a name that is none, or that no source mentions.
        """
        mine = {**self._expanded.defines, **self.defines}
        names = set(given) - set(mine)
        if names:
            included = [p for folder in self.include_paths()[:-1] for p in folder.iterdir() if p.is_file()]
            text = "\n".join(p.read_text(errors="replace") for p in [*self.source_files(), *included])
            code = re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.DOTALL)
            used = re.findall(r"`(?:(?:ifdef|ifndef|elsif)\s+)?([A-Za-z_]\w*)", code)
            known = set(used) - _DIRECTIVES
            for name in sorted(names - known):
                raise unknown(f"macro of {self.name}", name, sorted(known))
        return {**mine, **given}

    def resolve_data(self, given: Mapping[str, str]) -> dict[str, Path]:
        """The files that the HDL reads, by the names it opens them by.

        Raises:
            AssayError: an unknown name, a file that is not there, or one that must be given and is not.
        """
        known = {each.name: each for each in self.data}
        for name in given:
            if name not in known:
                raise unknown(f"data file of {self.name}", name, known)
        files = {}
        for name, each in known.items():
            if name not in given and not each.default:
                raise AssayError(f"{self.name} needs a data file {name}: give one with DATA={name}=FILE")
            path = Path(given[name]).absolute() if name in given else self.root / each.default
            if not path.is_file():
                where = (
                    f"DATA={name}={given[name]}"
                    if name in given
                    else f"data file {name} of {_line(self.file, each.default)}"
                )
                raise AssayError(f"{where}: {path} does not exist")
            files[name] = path
        return files


_DIRECTIVES = {
    *("begin_keywords", "celldefine", "default_nettype", "define", "else", "elsif", "end_keywords"),
    *("endcelldefine", "endif", "ifdef", "ifndef", "include", "line", "nounconnected_drive", "pragma"),
    *("resetall", "timescale", "unconnected_drive", "undef", "undefineall"),
}


def _line(file: Path, entry: str) -> str:
    """The file, with the line in which it names `entry`."""
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        if f'"{entry}"' in line or f"'{entry}'" in line:
            return f"{file}, line {number}"
    return str(file)


def _expression(what: str, text: str) -> None:
    try:
        re.compile(text)
    except re.error as error:
        raise AssayError(f"{what} {text!r} is not a regular expression: {error}") from None


class Sources(NamedTuple):
    """The files of a list of sources.

    Attributes:
        files: HDL in compile order, each once.
        include_dirs: of ``+incdir+``.
        defines: of ``+define+``.
    """

    files: list[Path]
    include_dirs: list[Path]
    defines: dict[str, str]


def expand_sources(root: Path, entries: Sequence[str], declaration: Path | None = None) -> Sources:
    """Expand file lists: ``.f``, paths and options as words, ``//`` or ``#`` comments.

    The options are ``-f LIST``, ``+incdir+FOLDER`` and ``+define+NAME=TEXT``; paths are relative to the list.

    Args:
        root: the entries are relative to it.
        entries: paths.
        declaration: file in which the entries stand, for messages.

    Raises:
        AssayError: a file does not exist, or an option is none of these; names the list and the line.
    """
    files: dict[Path, None] = {}
    include_dirs: dict[Path, None] = {}
    defines: dict[str, str] = {}

    def add(path: Path, place: str, within: tuple[Path, ...] = ()) -> None:
        if not os.path.isfile(path):  # it answers also for names that no file can have
            raise AssayError(f"source file {short(str(path), 300)} named in {place} does not exist")
        if path.suffix == ".f":
            add_list(path, within)
        else:
            files.setdefault(path)

    def add_list(filelist: Path, within: tuple[Path, ...]) -> None:
        if filelist in within:
            raise AssayError(f"{filelist}: the file list includes itself")
        for number, line in enumerate(read_text(filelist).splitlines(), 1):
            place = f"{filelist}, line {number}"
            try:
                words = shlex.split(line.partition("//")[0], comments=True)
            except ValueError as error:
                raise AssayError(f"{place}: {str(error)[:1].lower()}{str(error)[1:]}") from None
            for word in words:
                option, _, value = word[1:].partition("+") if word.startswith("+") else ("", "", word)
                if option == "incdir":
                    for name in value.split("+"):
                        folder = (filelist.parent / name).resolve()
                        if not os.path.isdir(folder):
                            raise AssayError(
                                f"include folder {short(str(folder), 300)} named in {place} does not exist"
                            )
                        include_dirs.setdefault(folder)
                elif option == "define":
                    for each in value.split("+"):
                        name, equals, text = each.partition("=")
                        defines[name] = text if equals else "1"
                elif option or (word.startswith("-") and word != "-f"):
                    raise AssayError(
                        f"option {word!r} in {place}: allowed are -f, +incdir+ and +define+; name the files"
                    )
                elif word != "-f":
                    add((filelist.parent / word).resolve(), place, (*within, filelist))

    for entry in entries:
        add((root / entry).resolve(), _line(declaration, entry) if declaration else "the list of sources")
    return Sources(list(files), list(include_dirs), defines)
