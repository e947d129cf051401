# SPDX-License-Identifier: Apache-2.0
"""``make bench-cycle``: the time from an edit of one line of HDL to the verdict.

It edits a copy of the repository, never a user's files, and runs the command that a user types: what it measures is
the start of Python, the build and the run.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from assay.sim import ROOT
from assay.sim.bench import ROUNDS
from assay.sim.checkout import copied, environment_of
from assay.tb.block import Block
from assay.tb.errors import AssayError, RunFailed

Announce = Callable[[str], None]

VERDICT = ("assay: PASS", "assay: FAIL")


def measure(block: Block, announce: Announce) -> int:
    """Edit, run, revert, several times; print a table. Returns the exit status.

    Raises:
        AssayError: the block is not one of Assay's checkout, or its HDL has no line to edit.
        RunFailed: a run did not pass.
    """
    if not block.file.is_relative_to(ROOT) or not (ROOT / "Makefile").is_file():
        raise AssayError(f"{block.name} is not a block of Assay's checkout, which bench-cycle copies")
    name = _edited_file(block)
    with copied("bench-cycle") as root:
        announce(f"building {block.name} in a copy of the checkout, before the edits")
        _to_verdict(root, block)
        original = (root / name).read_text(encoding="utf-8")
        rows = []
        for number in range(1, ROUNDS + 1):
            announce(f"edit {number} of {ROUNDS}: {name}")
            body, _, rest = original.rpartition("endmodule")
            (root / name).write_text(
                f'{body}initial $display("edit {number}");\nendmodule{rest}', encoding="utf-8"
            )
            rows.append(_to_verdict(root, block))
    print(f"\nfrom an edit of {name} to the verdict of {block.name}\n")
    print(f"{'edit':<8}{'seconds':>9}{'CPU seconds':>13}")
    for number, (seconds, cpu) in enumerate(rows, 1):
        print(f"{number:<8}{seconds:>9.1f}{cpu:>13.1f}")
    print(f"{'best':<8}{min(s for s, _ in rows):>9.1f}{min(c for _, c in rows):>13.1f}")
    return 0


def _edited_file(block: Block) -> Path:
    """The file of the design's top, or the last one of the bench's that holds a module; relative to the repository."""
    top = block.lint.top if block.lint else block.hdl_top
    files = [path for path in block.source_files() if "\nendmodule" in path.read_text(encoding="utf-8")]
    if not files:
        raise AssayError(f"no source of {block.name} holds a module")
    named = [path for path in files if path.stem == top]
    return [*files, *named][-1].relative_to(block.root)


def _to_verdict(root: Path, block: Block) -> tuple[float, float]:
    """Seconds until the command prints its verdict, and the CPU seconds of the whole command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started, seconds, lines = time.monotonic(), 0.0, []
    command = ["make", f"PYTHON={sys.executable}", f"TOPLEVEL={block.name}", "SEED=1"]
    with subprocess.Popen(
        command,
        cwd=root,
        env=environment_of(root),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None  # for it is a pipe
        for line in process.stdout:
            lines.append(line)
            if line.startswith(VERDICT):
                seconds = time.monotonic() - started
    if process.returncode != 0 or not seconds:
        raise RunFailed(f"{' '.join(command)} did not pass:\n{''.join(lines[-20:])}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
