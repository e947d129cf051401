# SPDX-License-Identifier: Apache-2.0
"""Runs in the simulator's process, between the start of cocotb and that of its tests: here tests fork.

cocotb calls `serve` as one of its entry points (``PYGPI_USERS``) before the first time step. The process then holds the
elaborated design in its initial state and has imported the bench; it stays so, and forks a child for each test that
:mod:`sim.forking` asks for. The child goes on as cocotb would have gone on, so that it runs as it would run alone.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import logging
import os
import random
import socket
import sys
import warnings
from pathlib import Path

import cocotb._init
from cocotb.regression import RegressionManager

SOCKET = "ASSAY_FORK_SOCKET"
"""Environment variable: descriptor of the socket on which the requests come."""

ENTRY_POINTS = (
    "cocotb_tools._coverage:start_cocotb_library_coverage",
    "cocotb.logging:_configure",
    f"{__name__}:initialise",
    f"{__name__}:serve",
    "cocotb.regression:_run_regression",
)
"""cocotb's own, with `serve` among them."""

_UNSEEDED = 0
"""Seed of Python's random module before the fork."""

LARGEST_REQUEST = 1 << 20
"""Bytes."""


SEED = "@seed@"
"""Stands for the child's seed in what the process prints before it forks."""

_draw = cocotb._init._setup_random_seed


def initialise() -> None:
    """As cocotb initialises itself, but for the seed, which is the child's: nothing before the fork may depend on it.

    A test module that asks for ``cocotb.RANDOM_SEED`` when it is imported fails here, so that its tests are not forked.
    """
    cocotb._init._setup_random_seed = lambda: cocotb._init.log.info(
        "Seeding Python random module with %s", SEED
    )
    cocotb._init.init_package_from_simulation()
    random.seed(_UNSEEDED)


def _take_seed() -> None:
    """Seed the child as cocotb would have done, without a word: that was said before the fork."""
    logging.disable(logging.INFO)
    _draw()
    logging.disable(logging.NOTSET)


def serve() -> None:
    """Import the test modules, then fork for each request. Returns in the children only.

    A request is a JSON dictionary with the child's ``environment`` and working ``folder``; with it comes the descriptor
    that becomes the child's output. The answers are the child's process number and, at its end, its wait status. The
    process ends when there are no more requests, or at once where it cannot be forked.
    """
    connection = socket.socket(fileno=int(os.environ.pop(SOCKET)))
    connection.set_inheritable(False)
    if not sys.warnoptions:
        warnings.simplefilter("default")  # as cocotb does before it imports them
    RegressionManager.setup_pytest_assertion_rewriting()
    for module in os.environ["COCOTB_TEST_MODULES"].split(","):
        importlib.import_module(module)
    if _threads() > 1:
        os._exit(0)  # a lock that a thread holds would stay locked in a child
    if random.getstate() != random.Random(_UNSEEDED).getstate():
        os._exit(0)  # what was drawn at import would be the same for every seed
    gc.freeze()  # else a collection touches, and so copies, every page in each child
    connection.send(b"ready")
    while True:
        request, descriptors, _, _ = socket.recv_fds(connection, LARGEST_REQUEST, 1)
        if not request:
            os._exit(0)
        _flush()
        child = os.fork()
        with contextlib.suppress(OSError):  # whichever of the two comes second
            os.setpgid(child, child)  # to be ended with all that it starts
        if child == 0:
            connection.close()
            asked = json.loads(request)
            os.environ.update(asked["environment"])
            os.environ["COCOTB_REWRITE_ASSERTION_FILES"] = ""  # has been done
            os.chdir(asked["folder"])
            _take_seed()
            for standard in (1, 2):
                os.dup2(descriptors[0], standard)
            os.close(descriptors[0])
            return
        os.close(descriptors[0])
        connection.send(str(child).encode())
        _, status = os.waitpid(child, 0)
        connection.send(str(status).encode())


def _flush() -> None:
    """What the process has printed so far is not to be printed again by each child."""
    sys.stdout.flush()
    sys.stderr.flush()
    ctypes.CDLL(None).fflush(None)


def _threads() -> int:
    tasks = Path("/proc/self/task")
    return len(list(tasks.iterdir())) if tasks.is_dir() else 1
