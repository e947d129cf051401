# SPDX-License-Identifier: Apache-2.0
"""Coverage in the interchange format of the Unified Coverage Interoperability Standard (Accellera UCIS 1.0), by pyucis.

A source file is an instance of its module: Verilator adds the instances up. Statements are the blocks of lines,
conditions the terms of expressions. The tests are the history nodes; the format does not say which of them hit what.
pyucis 0.2 writes conditions, but reads none back.
"""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from assay.sim.coverage.code import Point
from assay.sim.coverage.merged import Merged, SourceFile


def write_ucis(merged: Merged, path: Path) -> None:
    """Write the XML file. Needs the extra ``coverage``."""
    from ucis import UCIS_TESTSTATUS_OK
    from ucis.history_node_kind import HistoryNodeKind
    from ucis.mem.mem_factory import MemFactory
    from ucis.test_data import TestData
    from ucis.xml.xml_factory import XmlFactory

    base = MemFactory.create()
    base.setWrittenBy("assay")
    now = datetime.datetime.now().strftime("%Y%m%d%H%M%S")
    for test in merged.tests:
        node = base.createHistoryNode(None, test.label, str(test.label), HistoryNodeKind.TEST)
        node.setTestData(TestData(UCIS_TESTSTATUS_OK, "UCIS:simulator", now))
    for file in merged.files.values():
        _add_file(base, file)
    _add_groups(base, merged)
    XmlFactory.write(base, str(path))


def _instance(base: Any, name: str, handle: Any) -> Any:
    from ucis.scope_type_t import ScopeTypeT
    from ucis.source_info import SourceInfo
    from ucis.source_t import SourceT

    place = SourceInfo(handle, 1, 0)
    unit = base.createScope(name, place, 1, SourceT.SV, ScopeTypeT.DU_MODULE, 0)
    return base.createInstance(name, place, 1, SourceT.SV, ScopeTypeT.INSTANCE, unit, 0)


def _add_file(base: Any, file: SourceFile) -> None:
    from ucis.cover_data import CoverData
    from ucis.cover_type_t import CoverTypeT
    from ucis.scope_type_t import ScopeTypeT
    from ucis.source_info import SourceInfo
    from ucis.source_t import SourceT

    handle = base.createFileHandle(file.name, "")
    instance = _instance(base, Path(file.name).stem, handle)
    kinds = {
        "line": (ScopeTypeT.BLOCK, CoverTypeT.STMTBIN),
        "branch": (ScopeTypeT.BRANCH, CoverTypeT.BRANCHBIN),
        "expr": (ScopeTypeT.COND, CoverTypeT.CONDBIN),
        "toggle": (ScopeTypeT.TOGGLE, CoverTypeT.TOGGLEBIN),
    }
    for (kind, name, line), points in _scopes(file.points):
        if kind not in kinds:
            continue
        scope_type, bin_type = kinds[kind]
        scope = instance.createScope(name, SourceInfo(handle, line, 0), 1, SourceT.SV, scope_type, 0)
        for point in points:
            data = CoverData(bin_type, 0)
            data.data = point.count
            what = point.what.rpartition(":")[2] if kind == "toggle" else point.what
            scope.createNextCover(what, data, SourceInfo(handle, point.line, point.column))


def _scopes(points: Iterable[Point]) -> Iterable[tuple[tuple[str, str, int], list[Point]]]:
    """Points by scope: kind, name and line. Of toggles a scope is a bit, else a line."""

    def scope(point: Point) -> tuple[str, str, int]:
        name = point.what.rpartition(":")[0] if point.kind == "toggle" else f"line {point.line}"
        return point.kind, name, point.line

    for key, group in itertools.groupby(sorted(points, key=scope), key=scope):
        yield key, list(group)


def _add_groups(base: Any, merged: Merged) -> None:
    from ucis.cover_type_t import CoverTypeT
    from ucis.source_info import SourceInfo
    from ucis.source_t import SourceT

    if not merged.functional.groups:
        return
    handle = base.createFileHandle("tb", "")
    place = SourceInfo(handle, 1, 0)
    instance = _instance(base, "tb", handle)
    for group, items in merged.functional.groups.items():
        scope = instance.createCovergroup(group, place, 1, SourceT.SV)
        for name, item in items.items():
            # A cross is a point of its own here: the format's crosses have no names of bins.
            point = scope.createCoverpoint(name, place, 1, SourceT.SV)
            for label, each in item.bins.items():
                point.createBin(label, place, item.at_least, each.hits, "", CoverTypeT.CVGBIN)
