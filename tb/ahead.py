# SPDX-License-Identifier: Apache-2.0
"""The golden model works ahead: in a process of its own, beside the simulator's.

`ahead` starts a computation and gives a `Promise`; whoever needs the result asks for it, and waits if it is not there
yet. A bench must ask at points that only simulation time decides (the first beat that the result is compared with, the
end of a job): then a run does not depend on how fast either process is.

The process is forked at the first call, so it costs no start of an interpreter, and its functions are those of the
simulator's. With one core, or ASSAY_AHEAD=0, everything is computed at once, here.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import itertools
import multiprocessing
import os
import pickle
import signal
import tempfile
import warnings
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from typing import Any, Generic, TypeVar, cast

__all__ = ["AHEAD", "Promise", "Remote", "ahead", "warm_up"]

AHEAD = "ASSAY_AHEAD"  #: environment variable: 0: no process of its own

_PR_SET_PDEATHSIG = 1  # of Linux's prctl
_SLOTS = 16  # computations that the other process may have before it

T = TypeVar("T")


class Promise(Generic[T]):
    """The result of a computation that may still go on."""

    def __init__(self, value: T | None = None, awaited: Callable[[], T] | None = None) -> None:
        self._value = value
        self._awaited = awaited

    def result(self) -> T:
        """The result.

        Raises:
            Exception: what the computation raised.
        """
        if self._awaited is not None:
            self._value = self._awaited()
            self._awaited = None
        return cast(T, self._value)  # it is there now


def ahead(function: Callable[..., T], *arguments: Any) -> Promise[T]:
    """Start ``function(*arguments)``. What the arguments hold later does not matter: they are copied now.

    Args:
        function: of a module, without effects.
    """
    worker = _worker()
    if worker is None:
        return Promise(function(*arguments))
    return Promise(awaited=worker.start(_packed((function, arguments))))


class Remote:
    """An object in the other process: its methods run there, one after the other, in the order of the calls.

    Args:
        kind: makes the object from the other arguments.
    """

    def __init__(self, kind: Callable[..., object], *arguments: Any) -> None:
        self._number = next(_numbers)
        # A finalizer runs at any time, in the middle of another call, too: it only takes a note, and none may be lost.
        dropped = [_dropped.pop() for _ in range(len(_dropped))]
        ahead(_make, self._number, kind, arguments, dropped)
        weakref.finalize(self, _dropped.append, self._number)

    def call(self, method: str, *arguments: Any) -> Promise[Any]:
        """Start ``method(*arguments)`` of the object; the arguments are copied now.

        Raises:
            Exception: by the promise: what the method raised, or what making the object raised.
        """
        return ahead(_call, self._number, method, arguments)


_numbers = itertools.count()
_dropped: list[int] = []  # objects whose `Remote` is gone
_objects: dict[int, object] = {}  # by number, in the process where the methods run


def _make(number: int, kind: Callable[..., object], arguments: Sequence[Any], dropped: Sequence[int]) -> None:
    for each in dropped:
        _objects.pop(each, None)
    try:
        _objects[number] = kind(*arguments)
    except Exception as error:
        _objects[number] = error


def _call(number: int, method: str, arguments: Sequence[Any]) -> Any:
    found = _objects[number]
    if isinstance(found, Exception):
        raise found
    return getattr(found, method)(*arguments)


def warm_up() -> None:
    """Start the process now, for who measures time."""
    _worker()


class _Worker:
    """The other process: it computes one thing after the other.

    Arguments and results go through files in memory that both hold, a pair for each computation that waits; a pipe
    carries only their sizes. So nobody waits for the other to read, and no thread takes turns with the simulation.
    """

    def __init__(self) -> None:
        self._files = [(_file(), _file()) for _ in range(_SLOTS)]
        self._free = list(range(_SLOTS))
        self._waiting: deque[tuple[int, _Parts]] = deque()  # computations that have no slot so far
        self._started: deque[tuple[int, int]] = deque()  # (computation, slot), in the order of the answers
        self._answers: dict[int, _Parts] = {}
        self._count = 0
        fork = multiprocessing.get_context("fork")
        self._pipe, other = fork.Pipe()
        self._process = fork.Process(
            target=_serve, args=(os.getpid(), other, self._pipe, self._files), daemon=True
        )
        with warnings.catch_warnings():
            # From Python 3.12 on a fork beside threads is warned of; there are none of this project's.
            warnings.simplefilter("ignore", DeprecationWarning)
            self._process.start()
        other.close()

    def start(self, packed: _Parts) -> Callable[[], Any]:
        """Begin ``packed``, a function and its arguments; what is returned waits for the result."""
        number = self._count
        self._count += 1
        self._waiting.append((number, packed))
        while self._pipe.poll():
            self._receive()
        self._send()
        if self._waiting and self._waiting[-1][0] == number:  # its arrays may change before it is sent
            self._waiting[-1] = number, list(map(bytes, packed))
        return lambda: self._result(number)

    def close(self) -> None:
        """End the process."""
        self._pipe.close()
        self._process.terminate()
        self._process.join()

    def _result(self, number: int) -> Any:
        while number not in self._answers:
            self._receive()
            self._send()
        good, value = _unpacked(self._answers.pop(number))
        if not good:
            raise value
        return value

    def _send(self) -> None:
        while self._waiting and self._free:
            number, packed = self._waiting.popleft()
            slot = self._free.pop()
            sizes = _put(self._files[slot][0], packed)
            with self._alive():
                self._pipe.send((slot, sizes))
            self._started.append((number, slot))

    def _receive(self) -> None:
        with self._alive():
            sizes = self._pipe.recv()
        number, slot = self._started.popleft()
        self._answers[number] = _get(self._files[slot][1], sizes)
        self._free.append(slot)

    @contextlib.contextmanager
    def _alive(self) -> Iterator[None]:
        try:
            yield
        except (EOFError, ConnectionError):
            self._process.join()
            raise RuntimeError(
                f"the process of the golden model ended with exit code {self._process.exitcode}; "
                f"{AHEAD}=0 computes in the simulator's"
            ) from None


def _file() -> int:
    """A descriptor of a file without a name, in memory where the system has such."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("assay")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


_Parts = list[Any]  # buffers: a pickle, and the arrays in it


def _packed(value: object) -> _Parts:
    """What `_unpacked` makes a copy of `value` from; the arrays are the value's own memory."""
    arrays: list[pickle.PickleBuffer] = []
    text = pickle.dumps(value, pickle.HIGHEST_PROTOCOL, buffer_callback=arrays.append)
    return [text, *(array.raw() for array in arrays)]


def _unpacked(parts: _Parts) -> Any:
    return pickle.loads(parts[0], buffers=parts[1:])


def _put(file: int, parts: _Parts) -> list[int]:
    """Write buffers one behind the other; gives their sizes."""
    at = 0
    for part in parts:
        view = memoryview(part)
        while view:
            written = os.pwrite(file, view, at)
            at, view = at + written, view[written:]
    return [len(part) for part in parts]


def _get(file: int, sizes: Sequence[int]) -> _Parts:
    """Buffers of these sizes, that can be written to."""
    parts: _Parts = [bytearray(size) for size in sizes]
    at = 0
    for part in parts:
        view = memoryview(part)
        while view:
            read = os.preadv(file, [view], at)
            at, view = at + read, view[read:]
    return parts


def _serve(parent: int, pipe: Connection, parents: Connection, files: list[tuple[int, int]]) -> None:
    """The child's life: it ends with its parent, however that ends, and leaves Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parents.close()  # else the pipe would never end
    with contextlib.suppress(AttributeError):  # only Linux has it
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    with contextlib.suppress(EOFError, ConnectionError):  # the pipe's end: the parent needs nothing any more
        while os.getppid() == parent:
            slot, sizes = pipe.recv()
            arguments, results = files[slot]
            pipe.send(_put(results, _answer(_get(arguments, sizes))))
    os._exit(0)


def _answer(packed: _Parts) -> _Parts:
    """Whether the computation succeeded, and its result or what it raised."""
    try:
        function, arguments = _unpacked(packed)
        return _packed((True, function(*arguments)))
    except Exception as error:
        try:
            answer = _packed((False, error))
            _unpacked(answer)  # some exceptions cannot be made again from their text
        except Exception:
            answer = _packed((False, RuntimeError(f"{type(error).__name__}: {error}")))
        return answer


_made: list[_Worker | None] = []


def _worker() -> _Worker | None:
    if not _made:
        if os.environ.get(AHEAD, "1") == "0" or len(os.sched_getaffinity(0)) < 2:
            _made.append(None)
        else:
            gc.freeze()  # else a collection in the child would copy the parent's memory, page by page
            worker = _Worker()
            atexit.register(worker.close)
            _made.append(worker)
    return _made[0]
