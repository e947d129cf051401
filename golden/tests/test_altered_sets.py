# SPDX-License-Identifier: Apache-2.0
"""Manifests of real sets (MVU, PE array, accelerator) with any one value replaced: what can still be read is read, and
anything else is one sentence, in bounded time and memory."""

from __future__ import annotations

import copy
import json
import math
import time
import tracemalloc

import numpy as np
import pytest

from assay import golden
from assay.golden import vector_sets
from assay.golden.codegen import files
from assay.golden.errors import GoldenError
from assay.golden.mvu import vectors as mvu_vectors
from assay.golden.pe_array import vectors as pe_array_vectors
from assay.golden.tests.codegen.networks import accelerator, random_network
from assay.golden.tests.mvu import test_vectors as mvu
from assay.golden.tests.pe_array import test_vectors as pe_array

WEIRD = (
    *(None, True, -1, 0, 2**63, 10**30, 1.5, math.nan, math.inf, "", "x", "a\0b", "\udcff", "line\nbreak", "y" * 10**6),
    *([], {}, [[]], [None], [-1, 2**40], {"a": 1}),
)  # fmt: skip


def accelerator_set(folder):
    network = random_network(4, layers=3)
    plan = golden.codegen.plan(network, accelerator(3, weight_depth=64), "distributed")
    files.write(plan, np.zeros(network.input_shape, np.int64) + network.input_format.min, folder, "random")


SETS = {
    "mvu": (
        lambda folder: mvu_vectors.write(mvu.network(), mvu.image(), mvu.PARAMS, folder),
        mvu_vectors.read,
    ),
    "pe_array": (
        lambda folder: pe_array_vectors.write(
            pe_array.graph(), pe_array.image(), pe_array.PARAMETERS, folder
        ),
        pe_array_vectors.read,
    ),
    "accelerator": (accelerator_set, files.read),
}


def places(value, path=()):
    """Every place of a JSON value."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


def replaced(value, path, new):
    if not path:
        return new
    value = copy.deepcopy(value)
    at = value
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = new
    return value


@pytest.mark.parametrize("name", list(SETS))
def test_any_value_replaced(name, tmp_path):
    write, read = SETS[name]
    folder = tmp_path / "set"
    write(folder)
    read(folder)
    path = folder / vector_sets.MANIFEST
    manifest = json.loads(path.read_text())
    where = [place for place in places(manifest) if place]
    rng = np.random.default_rng(0)
    rejected = 0
    for number in rng.choice(len(where), min(len(where), 150), replace=False).tolist():
        new = WEIRD[int(rng.integers(len(WEIRD)))]
        path.write_text(json.dumps(replaced(manifest, where[number], new)))
        started = time.monotonic()
        tracemalloc.start()
        try:
            read(folder)
        except GoldenError as error:
            text = str(error)
            rejected += 1
            assert text.isprintable() and len(text) < 2_000, (where[number], new, text[:500])
        finally:
            most = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert time.monotonic() - started < 20 and most < 300 << 20, (where[number], new)
    assert rejected > 5
