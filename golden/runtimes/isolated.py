# SPDX-License-Identifier: Apache-2.0
"""A framework's runtime in a process of its own, because a runtime may end the process that it runs in.

LiteRT's kernels call abort() if one of their checks fails (their int8 SOFTMAX does so for 512 equal values), and an
operator may divide integers by zero in hardware. Here both raise `RuntimeEndedError`, which names the row and what
happened. The price is the start of a Python process with numpy and the framework, about half a second. Commands always
pay it; tests of many small files use the classes of the runtimes themselves.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from assay.golden.errors import GoldenError, RuntimeEndedError
from assay.golden.graph import Graph
from assay.golden.runtimes.litert import LiteRt, abort_reasons
from assay.golden.runtimes.onnxruntime import OnnxRuntime
from assay.golden.runtimes.qonnx import QonnxRuntime
from assay.golden.schemes.qonnx import QUANTISERS

__all__ = ["Isolated", "best_of_rounds", "of_file"]

# After so many seconds no other round begins.
_SECONDS = 1.0

_CLASSES = {"LiteRT": LiteRt, "onnxruntime": OnnxRuntime, "qonnx": QonnxRuntime}

# What a signal means here, for those that a framework's fault ends in.
_SIGNALS = {
    "SIGABRT": "a check in its own code failed",
    "SIGBUS": "it read or wrote memory that is not its own",
    "SIGFPE": "an integer division by zero, or one that overflows",
    "SIGILL": "an instruction that this processor lacks",
    "SIGKILL": "the system ended it, perhaps for want of memory",
    "SIGSEGV": "it read or wrote memory that is not its own",
}


class Isolated:
    """A runtime of `golden.runtimes` that is started anew, in a process of its own, for each call.

    Args:
        name: LiteRT, onnxruntime or qonnx.
        model: path, or the file's bytes.
        graph: the same file as `golden.load` reads it.
        progress: wraps the rows of a call, as tqdm does.
        options: for the runtime's class.
    """

    def __init__(
        self,
        name: str,
        model: Path | bytes,
        graph: Graph,
        progress: Callable[[range], Iterable[int]] = iter,
        **options: Any,
    ) -> None:
        self.name = name
        self._model = model
        self._graph = graph
        self._progress = progress
        self._options = options

    def trace(self, x: np.ndarray | Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The result of the runtime's own `trace`.

        Raises:
            GoldenError: as the runtime's.
            RuntimeEndedError: its process ended before the result was there.
        """
        return self._call("trace", x)

    def seconds(self, x: np.ndarray | Mapping[str, np.ndarray]) -> float:
        """Processor time of one row of `x`, `[N, ...]`, each run alone: the best of a few rounds over all rows, after
        one run that does not count.

        Raises:
            GoldenError, RuntimeEndedError: as of `trace`.
        """
        return self._call("seconds", x)

    def _call(self, method: str, x: np.ndarray | Mapping[str, np.ndarray]) -> Any:
        x = x if isinstance(x, Mapping) else {self._graph.inputs[0]: x}
        order = self.name, self._model, _outline(self._graph), self._options, method, dict(x)
        rows = range(len(next(iter(x.values()))) if x else 0)
        started = 0
        with _child() as (child, errors):
            assert child.stdin is not None  # it is a pipe
            try:
                pickle.dump(order, child.stdin, protocol=5)
                child.stdin.close()
                shown = iter(self._progress(rows)) if method == "trace" else iter(())
                for kind, content in _answers(child.stdout):
                    if kind == "row":
                        started = content + 1
                        next(shown, None)
                    elif kind == "error":
                        raise content
                    else:
                        next(shown, None)  # ends the bar
                        return content
            except (BrokenPipeError, EOFError, pickle.UnpicklingError):
                pass
            raise RuntimeEndedError(self._ended(child.wait(), started, rows, errors))

    def _ended(self, status: int, started: int, rows: range, errors: Any) -> str:
        """The message for a process that ended without an answer."""
        if status < 0:
            name = signal.Signals(-status).name if -status in set(signal.Signals) else f"signal {-status}"
            how = f"was ended by {name}" + (f" ({_SIGNALS[name]})" if name in _SIGNALS else "")
        else:
            how = f"ended with status {status}"
        where = f"at row {started - 1} of {len(rows)}" if started else "before the first row"
        errors.seek(0)
        lines = [line.strip() for line in errors.read().decode(errors="replace").splitlines() if line.strip()]
        said = f"; its last words: {' '.join(lines[-1].split())[:200]}" if lines else ""
        known = abort_reasons(self._graph) if self.name == "LiteRT" and "SIGABRT" in how else []
        return "; ".join(
            [f"{self.name} has no result for this model: its process {how} {where}{said}", *known]
        )


def of_file(
    path: Path,
    graph: Graph,
    progress: Callable[[str, range], Iterable[int]] = lambda _, rows: rows,
    kernels: str = "reference",
) -> Isolated:
    """The runtime that a model file is held to: LiteRT, or package qonnx where it has QONNX's nodes, or onnxruntime.

    Args:
        path: of the file, .tflite or .onnx.
        graph: the same file as `golden.load` reads it.
        progress: takes the runtime's name and the rows, and gives the rows, as tqdm does.
        kernels: of LiteRT, see there.

    Raises:
        GoldenError: a file of another suffix, or other kernels for one that LiteRT does not run.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".tflite":
        name = "LiteRT"
    elif suffix == ".onnx":
        quantisers = any(isinstance(node.operator, QUANTISERS) for node in graph.nodes)
        name = "qonnx" if quantisers else "onnxruntime"
    else:
        raise GoldenError(f"{path} has no runtime: only .tflite and .onnx files have one")
    if name != "LiteRT" and kernels != "reference":
        raise GoldenError(f"{path}: optimised kernels are LiteRT's, but this file is run by {name}")
    options = {"kernels": kernels} if name == "LiteRT" else {}
    return Isolated(name, Path(path), graph, lambda rows: progress(name, rows), **options)


def _outline(graph: Graph) -> Graph:
    """The part of a graph that a runtime reads: tensors and the names that nodes make, without operators."""
    return Graph(
        graph.name,
        {name: replace(tensor, precision=None) for name, tensor in graph.tensors.items()},
        graph.inputs,
        tuple(name for name in graph.outputs if name not in graph.constants),
        tuple(replace(node, operator=None, inputs=()) for node in graph.nodes),
    )


@contextmanager
def _child() -> Iterator[tuple[subprocess.Popen[bytes], Any]]:
    """The process, and a file of what it writes to its standard error; it has ended when the block is left."""
    with tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "assay.golden.runtimes.isolated"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
        try:
            yield child, errors
        finally:
            child.kill()
            child.wait()
            assert child.stdout is not None  # it is a pipe
            child.stdout.close()


def _answers(stream: Any) -> Iterator[tuple[str, Any]]:
    while True:
        yield pickle.load(stream)


# The other side.


def _serve() -> None:
    """Carry out one order from standard input; the answers go to what was standard output."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a framework may print

    def answer(kind: str, content: Any) -> None:
        pickle.dump((kind, content), answers, protocol=5)
        answers.flush()

    name, model, graph, options, method, x = pickle.load(sys.stdin.buffer)

    def rows(numbers: range) -> Iterator[int]:
        for number in numbers:
            answer("row", number)
            yield number

    try:
        runtime = _CLASSES[name](model, graph, rows, **options)
        answer("done", runtime.trace(x) if method == "trace" else _seconds(runtime, graph, x))
    except GoldenError as error:
        answer("error", error)
    except MemoryError:
        answer("error", RuntimeEndedError(f"{name} needs more memory than there is"))


def _seconds(runtime: Any, graph: Graph, x: Mapping[str, np.ndarray]) -> float:
    count = len(next(iter(x.values())))
    shaped = {name: a.reshape(count, *graph.tensors[name].shape) for name, a in x.items()}
    runs = [{name: np.array(a[row]) for name, a in shaped.items()} for row in range(count)]
    runtime.run(runs[0])

    def all_rows() -> None:
        for run in runs:
            runtime.run(run)

    return best_of_rounds(all_rows) / count


def best_of_rounds(work: Callable[[], object]) -> float:
    """Processor seconds of the fastest of the calls that fit a second or two, at least two."""
    best, rounds = float("inf"), 0
    begun = time.process_time()
    while rounds < 2 or time.process_time() - begun < _SECONDS:
        started = time.process_time()
        work()
        best = min(best, time.process_time() - started)
        rounds += 1
    return best


if __name__ == "__main__":
    _serve()
