# SPDX-License-Identifier: Apache-2.0
"""A block's own library of C++, compiled once for each text and kept in the build cache."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from assay.sim import outputs, shown
from assay.sim.build import locked
from assay.sim.process import run_logged
from assay.sim.sealed import intact, seal
from assay.sim.simulators import compiler_fingerprint
from assay.tb.block import Block
from assay.tb.errors import BuildFailed

LIBRARY = "ASSAY_LIBRARY"
"""The variable in which a bench finds the path."""

_FLAGS = ("-std=c++17", "-O3", "-march=native", "-shared", "-fPIC")


def ensure_library(block: Block, announce: Callable[[str], None]) -> Path | None:
    """The compiled library of ``block``; None when it has none, or where there is no g++.

    Raises:
        BuildFailed: it does not compile.
    """
    if block.library is None or shutil.which("g++") is None:
        return None
    files = block.library()
    parts = [compiler_fingerprint(), _FLAGS, sorted(files.items())]
    key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
    # The same for all blocks that have the same files.
    folder = outputs.made(outputs.build_root(block)) / f"library-{key}"
    product = folder / "library.so"
    with locked(folder.with_name(f".{folder.name}.lock")):
        if intact(folder, announce, shown):
            return product
        partial = folder.with_name(f".{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        try:
            for name, text in files.items():
                (partial / name).write_text(text, encoding="utf-8")
            sources = [name for name in files if name.endswith(".cpp")]
            log = folder.with_name("library-failed.log")
            log.unlink(missing_ok=True)
            command = ["g++", *_FLAGS, "-o", product.name, *sources]
            if run_logged(command, partial, os.environ, log) != 0:
                raise BuildFailed(f"the library of {block.name} does not compile; see {shown(log)}")
            log.unlink(missing_ok=True)
            seal(partial)
            os.rename(partial, folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return product
