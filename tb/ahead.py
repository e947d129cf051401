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
import ctypes
import gc
import multiprocessing
import os
import pickle
import signal
import warnings
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any, Generic, TypeVar

__all__ = ["AHEAD", "Promise", "ahead", "warm_up"]

AHEAD = "ASSAY_AHEAD"  #: environment variable: 0: no process of its own

_PR_SET_PDEATHSIG = 1  # of Linux's prctl

T = TypeVar("T")


class Promise(Generic[T]):
    """The result of a computation that may still go on."""

    def __init__(self, value: T | None = None, future: Future[bytes] | None = None) -> None:
        self._value = value
        self._future = future

    def result(self) -> T:
        """The result.

        Raises:
            Exception: what the computation raised.
        """
        if self._future is not None:
            self._value = pickle.loads(self._future.result())
            self._future = None
        return self._value  # type: ignore[return-value]  # it is there now


def ahead(function: Callable[..., T], *arguments: Any) -> Promise[T]:
    """Start ``function(*arguments)``. What the arguments hold later does not matter: they are copied now.

    Args:
        function: of a module, without effects.
    """
    pool = _pool()
    if pool is None:
        return Promise(function(*arguments))
    return Promise(future=pool.submit(_call, pickle.dumps((function, arguments), pickle.HIGHEST_PROTOCOL)))


def warm_up() -> None:
    """Start the process now, for who measures time."""
    _pool()


def _call(packed: bytes) -> bytes:
    function, arguments = pickle.loads(packed)
    return pickle.dumps(function(*arguments), pickle.HIGHEST_PROTOCOL)


_made: list[ProcessPoolExecutor | None] = []


def _pool() -> ProcessPoolExecutor | None:
    if not _made:
        if os.environ.get(AHEAD, "1") == "0" or len(os.sched_getaffinity(0)) < 2:
            _made.append(None)
        else:
            gc.freeze()  # else a collection in the child would copy the parent's memory, page by page
            pool = ProcessPoolExecutor(
                1, multiprocessing.get_context("fork"), initializer=_begin, initargs=(os.getpid(),)
            )
            with warnings.catch_warnings():
                # From Python 3.12 on a fork beside threads is warned of; there are none of this project's.
                warnings.simplefilter("ignore", DeprecationWarning)
                pool.submit(int).result()
            atexit.register(pool.shutdown, cancel_futures=True)
            _made.append(pool)
    return _made[0]


def _begin(parent: int) -> None:
    """The child's life: it ends with its parent, however that ends, and leaves Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
