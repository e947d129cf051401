# SPDX-License-Identifier: Apache-2.0
"""A design as slang elaborates it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyslang
from pyslang import ast, driver

from assay.tb.errors import AssayError

_SHOWN_ERRORS = 8
"""Errors that a message quotes."""


@dataclass(frozen=True)
class Elaborated:
    """A design, or what slang could make of it: see `errors`."""

    slang: driver.Driver
    """It owns the texts of the sources."""
    compilation: ast.Compilation

    def errors(self) -> str:
        """slang's errors, each with file, line and the text it is about; empty if there are none."""
        engine = pyslang.DiagnosticEngine(self.slang.sourceManager)
        client = pyslang.TextDiagnosticClient()
        client.showColors(False)
        client.showAbsPaths(True)
        engine.addClient(client)
        severe = (pyslang.DiagnosticSeverity.Error, pyslang.DiagnosticSeverity.Fatal)
        found = [
            d
            for d in self.compilation.getAllDiagnostics()
            if self.slang.diagEngine.getSeverity(d.code, d.location) in severe
        ]
        for diagnostic in found[:_SHOWN_ERRORS]:
            engine.issue(diagnostic)
        more = f"\nand {len(found) - _SHOWN_ERRORS} more errors" if len(found) > _SHOWN_ERRORS else ""
        return client.getString().rstrip().replace(os.getcwd() + os.sep, "") + more


def elaborate(
    top: str,
    sources: Iterable[Path],
    includes: Iterable[Path] = (),
    defines: Mapping[str, str] | None = None,
    parameters: Mapping[str, str] | None = None,
    options: Iterable[str] = (),
) -> Elaborated:
    """Elaborate a module.

    Args:
        sources: in compile order.
        includes: folders of `` `include``.
        defines: macros -> text.
        parameters: of the top -> SystemVerilog text.
        options: more of slang's.
    """
    slang = driver.Driver()
    slang.addStandardArgs()
    words = ["slang", "--top", top, "--timescale", "1ns/1ps", "--single-unit", *options]
    for name, value in (parameters or {}).items():
        words += ["-G", f"{name}={value}"]
    for name, value in (defines or {}).items():
        words += ["-D", f"{name}={value}"]
    for folder in includes:
        words += ["-I", str(folder)]
    words += map(str, sources)
    if not (slang.parseCommandLine(" ".join(map(_quoted, words))) and slang.processOptions()):
        raise AssayError(f"slang does not understand its command line: {' '.join(words)}")
    slang.parseAllSources()
    return Elaborated(slang, slang.createCompilation())


def _quoted(word: str) -> str:
    return '"' + re.sub(r'(["\\])', r"\\\1", word) + '"'
