# SPDX-License-Identifier: Apache-2.0
"""`assay COMMAND MODEL ...`: golden models from the command line.

Exit status: 0 done, and for compare all exact; 1 compare found a difference, or the block that vectors or cycles are
for can do no layer of the network; 2 bad input, said in one sentence.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from assay import golden
from assay.golden import archives, codegen, user_files
from assay.golden.accelerator.parameters import AcceleratorParameters
from assay.golden.codegen.networks import NETWORKS
from assay.golden.codegen.planner import MAPPINGS
from assay.golden.compare import Acceptance, compare_traces
from assay.golden.errors import GoldenError
from assay.golden.graph import Graph
from assay.golden.lowering import Lowering
from assay.golden.mvu import vectors as mvu_vectors
from assay.golden.mvu.parameters import MvuParameters
from assay.golden.network import Network
from assay.golden.pe_array import vectors as pe_array_vectors
from assay.golden.pe_array.clocks import layer_clocks, table
from assay.golden.pe_array.parameters import PeArrayParameters
from assay.golden.pe_array.plan import ArrayPlan
from assay.golden.pe_array.shapes import SHAPES
from assay.golden.rows import count, random_rows, read_rows, traced
from assay.golden.runtimes.choice import runtime_of
from assay.golden.runtimes.litert import KERNELS

# What the BLAS libraries take their number of threads from.
_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


def main(arguments: list[str] | None = None, program: str = "python -m golden") -> int:
    """Run one command; gives the exit status.

    Args:
        arguments: the words of the command line.
        program: how the help calls what was typed before them.
    """
    options = _parser(program).parse_args(arguments)
    try:
        return options.command(options)
    except GoldenError as error:
        print(f"golden: {error}", file=sys.stderr)
        return getattr(error, "exit_status", 2)
    except BrokenPipeError:  # whoever read what this prints has gone, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        print("\ngolden: interrupted", file=sys.stderr)
        return 130


def parsers(program: str) -> dict[str, argparse.ArgumentParser]:
    """The parser of every command, whose description says what it does."""
    listing = argparse.ArgumentParser(program).add_subparsers()
    _add_commands(listing)
    return {name: sub for name, sub in listing.choices.items() if sub.prog.endswith(f" {name}")}


def _parser(program: str = "python -m golden") -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program, description="Bit-exact golden models of quantised networks."
    )
    _add_commands(parser.add_subparsers(required=True, metavar="COMMAND"))
    return parser


def _add_commands(commands: Any) -> None:
    def command(
        name: str, function: Callable[[argparse.Namespace], int], text: str, *aliases: str
    ) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text, aliases=aliases)
        sub.set_defaults(command=function)
        sub.add_argument("model", type=Path, help="model file: .tflite or .onnx")
        return sub

    _lowering_options(command("summary", _summary, "Print the network's nodes, shapes, numbers and work."))
    for name, function, text in (
        ("predict", _predict, "Run the network and write its outputs."),
        ("trace", _trace, "Run the network, print every tensor's range, and write all tensors."),
        ("compare", _compare, "Compare every tensor with the framework's runtime, another model or a file."),
        ("profile", _profile, "Run the network and print ranges and saturation of tensors and weights."),
    ):
        sub = command(name, function, text)
        source = sub.add_mutually_exclusive_group()
        source.add_argument(
            "--inputs",
            type=Path,
            metavar="FILE",
            help="file of the inputs: .npy [N, ...], or .npz by input name; rows of a streaming network are its steps",
        )
        source.add_argument(
            "--random",
            type=int,
            default=8,
            metavar="N",
            help="number of random inputs, in place of --inputs (default 8)",
        )
        sub.add_argument("--seed", type=int, default=0, help="seed of the random inputs (default 0)")
        sub.add_argument(
            "--precision",
            action="append",
            default=[],
            metavar="NAME=FORMAT",
            help="give the result of a layer this format, such as conv2=ap_fixed<8,3,RND,SAT> or conv2=int4; "
            "may be repeated",
        )
        _lowering_options(sub)
        if name == "compare":
            Acceptance.add_options(sub)
            other = sub.add_mutually_exclusive_group()
            other.add_argument(
                "other",
                type=Path,
                nargs="?",
                metavar="other",
                help="model to compare with, by the names of tensors, in place of the framework's runtime",
            )
            sub.add_argument(
                "--kernels",
                choices=KERNELS,
                default="reference",
                help="kernels of LiteRT: the reference kernels (default), or those of its default interpreter, which "
                "rounds differently; the report says in which nodes, and why",
            )
            other.add_argument(
                "--reference",
                type=Path,
                metavar="FILE",
                help=".npz file of tensors by name to compare with, in place of the framework's runtime",
            )
        if name in ("compare", "profile"):
            sub.add_argument(
                "--plot",
                type=Path,
                metavar="FILE",
                help="also draw a picture into this file (needs matplotlib)",
            )
        else:
            sub.add_argument(
                "--output", type=Path, help=f"{'.npz' if name == 'trace' else '.npy or .npz'} file to write"
            )
    sub = command("vectors", _vectors, "Write layers as files that a block's bench plays (VECTORS=folder).")
    sub.add_argument(
        "--block", choices=_VECTORS, default="mvu", help="block whose bench plays the files (default mvu)"
    )
    sub.add_argument("--layers", default="", metavar="A,B", help="names of the layers (default: all)")
    sub.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="folder to write; it may hold an older vector set, which is replaced",
    )
    _array_options(sub)
    _lowering_options(sub)
    _image_options(sub)
    sub = command("cycles", _cycles, "Print the clocks of every layer on the PE array.")
    sub.description = (
        f"{sub.description} MODEL may also be {' or '.join(SHAPES)}: the shapes of its convolutions."
    )
    _array_options(sub)
    sub = command(
        "codegen", _codegen, "Map the network to the accelerator: configurations, memory map, clocks, files."
    )
    sub.description = f"{sub.description} MODEL may also be {' or '.join(NETWORKS)}, with random weights."
    _lowering_options(sub)
    sub.add_argument(
        "--output", type=Path, metavar="FOLDER", help="folder to write, with images, firmware and vectors"
    )
    sub.add_argument(
        "--mapping",
        choices=("auto", *MAPPINGS),
        default="auto",
        help="how layers are distributed over the MVUs; auto (default) takes the one with fewer predicted clocks",
    )
    sub.add_argument(
        "--fold",
        choices=("auto", "no"),
        default="auto",
        help="whether the host may lay out whole kernel windows for the first layer (default auto)",
    )
    for name, value in AcceleratorParameters().rtl.items():
        option = re.sub("(?<=[a-z])(?=[A-Z])", "-", name).lower()
        sub.add_argument(
            f"--{option}",
            type=int,
            dest=name,
            metavar="N",
            help=f"parameter {name} of the accelerator (default {value})",
        )
    _image_options(sub)
    sub.add_argument("--compat", action="store_true", help="print only BARVINN's table for the same shapes")
    sub = command(
        "bench-model",
        _bench,
        "Measure the network's speed here, in LiteRT, XNNPACK, onnxruntime and as einsum convolutions, on one thread.",
        "bench",
    )
    sub.add_argument(
        "--batch",
        type=int,
        metavar="N",
        help="number of inputs in a batch (default 64, or up to 1024 of a small network)",
    )
    sub.add_argument(
        "--seconds",
        type=float,
        default=1.0,
        metavar="S",
        help="how long each figure is measured; the best round counts (default 1)",
    )
    sub.add_argument("--seed", type=int, default=0, help="seed of the random inputs (default 0)")


def _lowering_options(parser: argparse.ArgumentParser) -> None:
    Lowering.add_options(parser, "the framework's own arithmetic")


def _load(options: argparse.Namespace) -> Graph | Network:
    precision = _precision(getattr(options, "precision", []))
    lowering = Lowering.of(options)
    if not any(lowering):
        return golden.load(options.model, precision)
    network = lowering(golden.load(options.model))
    return network.with_precision(precision) if precision else network


def _image_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--inputs",
        type=Path,
        metavar="FILE",
        help="file of one input: .npy or .npz [1, ...] (default: a random one)",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the random input (default 0)")


def _array_options(parser: argparse.ArgumentParser) -> None:
    default = PeArrayParameters()
    parser.add_argument("--rows", type=int, default=default.rows, help="rows of the PE array (default 8)")
    parser.add_argument(
        "--columns", "--cols", type=int, default=default.columns, help="columns of the PE array (default 24)"
    )
    parser.add_argument(
        "--vectors", type=int, help="pixel vectors of the PE array (default 8, or as many as columns allow)"
    )
    parser.add_argument(
        "--lanes",
        type=int,
        help="lanes of the PE array (default 4, or as many as columns allow) or of the MVU (default 64)",
    )
    for name in ("data_width", "weight_depth", "pixel_depth"):
        value = getattr(default, name)
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(
            option,
            type=int,
            default=value,
            metavar="N",
            help=f"parameter {name} of the PE array (default {value})",
        )
    parser.add_argument(
        "--strict", action="store_true", help="reject a network if a layer would be left to the host"
    )


def _array(options: argparse.Namespace) -> PeArrayParameters:
    columns = max(1, options.columns)
    default = PeArrayParameters()
    return PeArrayParameters(
        rows=options.rows,
        columns=options.columns,
        vectors=min(default.vectors, 1 << columns.bit_length() - 1)
        if options.vectors is None
        else options.vectors,
        lanes=min(default.lanes, columns) if options.lanes is None else options.lanes,
        data_width=options.data_width,
        weight_depth=options.weight_depth,
        pixel_depth=options.pixel_depth,
    )


def _profile(options: argparse.Namespace) -> int:
    model = _load(options)
    progress = partial(tqdm, desc="golden", unit="batch", disable=None)
    profile = golden.profile(model, _rows(model, options), progress=progress)
    print(profile)
    if options.plot is not None:
        print(f"wrote {profile.plot(options.plot)}")
    return 0


def _vectors(options: argparse.Namespace) -> int:
    model = _load(options)
    options.random = 1
    jobs = _VECTORS[options.block](model, options)
    for job in jobs:
        print(job)
    print(
        f"wrote {len(jobs)} jobs to {options.out}; play them with: "
        f"make TOPLEVEL={options.block} VECTORS={shlex.quote(str(options.out))}"
    )
    return 0


def _mvu_vectors(model: Graph | Network, options: argparse.Namespace) -> list[str]:
    if not isinstance(model, Network):
        model = golden.load(options.model).lower()
    (row,) = _one_row(model, options).values()
    params = MvuParameters() if options.lanes is None else MvuParameters(lanes=options.lanes)
    return mvu_vectors.write(model, row[0], params, options.out, *_chosen(options))


def _pe_array_vectors(model: Graph | Network, options: argparse.Namespace) -> list[str]:
    if not isinstance(model, Graph):
        raise GoldenError(f"{options.model}: block pe_array runs graphs (TFLite files), not integer networks")
    row = _one_row(model, options)
    left_out = ArrayPlan(model, _array(options), options.strict).left_out()
    jobs = pe_array_vectors.write(model, row, _array(options), options.out, *_chosen(options))
    if left_out and not options.layers:
        print(f"left to the host, not in the set:{left_out}")
    return jobs


_VECTORS = {"mvu": _mvu_vectors, "pe_array": _pe_array_vectors}


def _one_row(model: Graph | Network, options: argparse.Namespace) -> dict[str, np.ndarray]:
    rows = _rows(model, options)
    rows = rows if isinstance(rows, dict) else {"": rows}
    if count(rows) != 1:
        raise GoldenError(f"{options.inputs} holds {count(rows)} images, but a vector set has one")
    return rows


def _chosen(options: argparse.Namespace) -> tuple[list[str], str]:
    """Names of layers, and where the vectors come from."""
    layers = [name for name in options.layers.split(",") if name]
    return layers, f"{options.model}, {options.inputs or f'random image of seed {options.seed}'}"


def _cycles(options: argparse.Namespace) -> int:
    parameters = _array(options)
    left_out = ""
    shapes = SHAPES.get(str(options.model))
    if shapes is not None:
        layers = ((shape.name, "CONV", shape.macs, shape.tiles(parameters).tiles) for shape in shapes)
    else:
        plan = ArrayPlan(golden.load(options.model), parameters, options.strict)
        plan.demand_layers()
        left_out = plan.left_out()
        layers = ((node.name, node.kind, node.macs, plan.tiles(node).tiles) for node in plan.layers)
    print("\n".join(table(layer_clocks(layers, parameters), parameters)))
    if left_out:
        print(f"left to the host, not counted:{left_out}")
    return 0


def _codegen(options: argparse.Namespace) -> int:
    from assay.golden.accelerator.system import System
    from assay.golden.codegen import files, report

    given = {name: getattr(options, name) for name in AcceleratorParameters().rtl}
    params = AcceleratorParameters.of_rtl({name: value for name, value in given.items() if value is not None})
    make = NETWORKS.get(str(options.model))
    network = Lowering.of(options)(golden.load(options.model)) if make is None else make()
    if options.compat:
        print("\n".join(report.compat(network, params.mvu.lanes)))
        return 0
    plan = codegen.plan(network, params, options.mapping, None if options.fold == "auto" else False)
    system = System(params, functional=False)
    system.load(plan)
    run = system.run()
    parts = (
        "\n".join(report.configuration(plan)),
        "\n".join(report.memory_map(plan)),
        str(system.report(run)),
    )
    print("\n\n".join(parts))
    if options.output is not None:
        options.random = 1
        (row,) = _one_row(network, options).values()
        origin = f"{options.model}, {options.inputs or f'random image of seed {options.seed}'}"
        written = files.write(plan, row[0], options.output, origin)
        print(
            f"wrote {len(written)} files to {options.output}; play them with: "
            f"make TOPLEVEL=accelerator VECTORS={shlex.quote(str(options.output))}"
        )
    return 0


def _bench(options: argparse.Namespace) -> int:
    if any(os.environ.get(name) != "1" for name in _THREADS):
        # Numpy's BLAS reads this once, when it is loaded.
        environment = {**os.environ, **dict.fromkeys(_THREADS, "1")}
        return subprocess.run(
            [sys.executable, "-m", "assay.golden", *sys.argv[1:]], env=environment
        ).returncode
    from assay.golden import bench

    model = golden.load(options.model)
    batch = bench.default_batch(model) if options.batch is None else options.batch
    if batch < 1:
        raise GoldenError(f"--batch is {batch}, but must be 1 or more")
    lines, sound = bench.run(options.model, model, batch, options.seed, options.seconds)
    print("\n".join(lines))
    return 0 if sound else 2


def _summary(options: argparse.Namespace) -> int:
    print(_load(options).summary())
    return 0


def _predict(options: argparse.Namespace) -> int:
    model = _load(options)
    results = _run(model, _rows(model, options), model.outputs)
    if options.output is None:
        with np.printoptions(threshold=200, linewidth=110):
            for name, values in results.items():
                print(f"{name}: {values.dtype} {list(values.shape)}\n{values}")
    elif options.output.suffix == ".npy" and len(results) == 1:
        _write(options.output, lambda path: np.save(path, next(iter(results.values()))))
    else:
        archives.write_npz(options.output, results)
        print(f"wrote {options.output}")
    return 0


def _trace(options: argparse.Namespace) -> int:
    model = _load(options)
    tensors = _run(model, _rows(model, options))
    for name, values in tensors.items():
        print(f"{name}: {values.dtype} {list(values.shape)}, {values.min()} to {values.max()}")
    if options.output is not None:
        archives.write_npz(options.output, tensors)
        print(f"wrote {options.output}")
    return 0


def _compare(options: argparse.Namespace) -> int:
    if any(Lowering.of(options)) and options.reference is None and options.other is None:
        return _compare_network(options)
    model = _load(options)
    rows = _rows(model, options)
    reference = _reference(options, model, rows)
    comparison = compare_traces(_run(model, rows), reference, model.inputs, model.quantisations)
    print(comparison)
    if (
        isinstance(model, Graph)
        and not comparison.exact
        and options.reference is None
        and options.other is None
    ):
        for line in _why(options, model, reference):
            print(line)
    if options.plot is not None:
        print(f"wrote {comparison.plot(options.plot)}")
    return 0 if comparison.exact else 1


def _compare_network(options: argparse.Namespace) -> int:
    """An integer network against the framework's runtime: each layer on the runtime's own inputs, then all in turn."""
    acceptance = Acceptance.of(options)
    network = _load(options)
    assert isinstance(network, Network)  # as the options of the lowering are given
    if options.precision:
        raise GoldenError(
            "--scales and --precision together have no runtime, name another model or --reference"
        )
    graph = golden.load(options.model)
    rows = _rows(graph, options)
    theirs = network.integers(_reference(options, graph, rows))
    x = theirs[network.input]
    alone = compare_traces(network.trace(x, theirs), theirs, network.inputs)
    comparison = network.compare(x, theirs)
    print(f"each layer on the reference's inputs:\n{alone}\n\nthe network on its own:\n{comparison}")
    if options.plot is not None:
        print(f"wrote {comparison.plot(options.plot)}")
    accepted = all(map(acceptance.takes, comparison.tensors))
    if accepted and not comparison.exact:
        print(f"accepted: {acceptance}")
    return 0 if accepted else 1


def _reference(options: argparse.Namespace, model: Graph | Network, rows: Any) -> dict[str, np.ndarray]:
    """The reference of the model's tensors: a file, another model, or the framework's runtime."""
    if options.reference is not None:
        reference = user_files.array_file(options.reference)
        if not isinstance(reference, dict):
            raise GoldenError(f"{options.reference}: holds one array, but must be an .npz of tensors by name")
        return reference
    if options.other is not None:
        other = (
            golden.load(options.other)
            if not any(Lowering.of(options))
            else Lowering.of(options)(golden.load(options.other))
        )
        named = rows if isinstance(rows, dict) else {"": rows}
        if len(other.inputs) != 1 or len(named) != 1:
            return _run(other, rows)
        # A network's only input may be called otherwise there.
        (values,) = named.values()
        return _run(other, values)
    if not isinstance(model, Graph):
        raise GoldenError(
            f"{options.model}: an integer network has no runtime, name another model or a file by --reference"
        )
    return runtime_of(options.model, model, options.kernels)[0].trace(rows)


def _why(options: argparse.Namespace, model: Graph, reference: dict[str, np.ndarray]) -> list[str]:
    """Why the framework's runtime differs, as far as that is known."""
    if options.model.suffix.lower() != ".tflite":
        return []
    from assay.golden.runtimes import litert, xnnpack

    if options.kernels == "optimised" and not model.variables:
        return xnnpack.explained(model, reference)
    return litert.known_deviations(model)


def _precision(words: list[str]) -> dict[str, str]:
    """Name of a layer -> text of its format; names may hold "=", formats do not."""
    given: dict[str, str] = {}
    for word in words:
        name, equals, text = word.rpartition("=")
        if not equals:
            raise GoldenError(f"--precision {word} is not of the form NAME=FORMAT")
        if name in given:
            raise GoldenError(f"--precision gives {name!r} twice")
        given[name] = text
    return given


def _run(
    model: Any, rows: Any, wanted: tuple[str, ...] | None = None, what: str = "golden"
) -> dict[str, np.ndarray]:
    """Trace all rows and keep the tensors `wanted`, or all."""
    with tqdm(total=count(rows), desc=what, unit="row", disable=None, delay=1) as bar:
        return traced(model, rows, wanted, bar.update)


def _rows(model: Graph | Network, options: argparse.Namespace) -> Any:
    """The input rows: an array, or a dict by the names of a graph's inputs."""
    if options.inputs is not None:
        return read_rows(options.inputs, model)
    if options.random < 1:
        raise GoldenError(f"--random is {options.random}, but must be 1 or more")
    if options.seed < 0:
        raise GoldenError(f"--seed is {options.seed}, but must be 0 or more")
    return random_rows(model, options.random, np.random.default_rng(options.seed))


def _write(path: Path, write: Callable[[Path], None]) -> None:
    try:
        write(path)
    except OSError as error:
        raise GoldenError(f"{path} cannot be written: {error.strerror}") from None
    print(f"wrote {path}")


if __name__ == "__main__":
    sys.exit(main())
