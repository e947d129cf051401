# SPDX-License-Identifier: Apache-2.0
"""ap_fixed against AMD's own C++ headers, compiled: every mode, from fixed point and from double.

The headers are those that the PyPI package hls4ml carries for its own C++ simulation; nothing else of it is used.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import itertools
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from assay.golden.schemes.ap_fixed import OVERFLOWS, QUANTISATIONS, ApFixed

# What is assigned to each type: all values of the first two, many of the others. The headers refuse (assert) a source
# whose every bit lies more than one place below the target.
SOURCES = (ApFixed(8, 4), ApFixed(8, 4, False), ApFixed(44, 10), ApFixed(12, 20), ApFixed(22, 2))
# (width, integer): one bit, no fraction, no integer bits, more integer bits than bits, and a common one.
SHAPES = ((1, 1), (4, 3), (3, 3), (6, -1), (5, 7), (16, 6))
MANY = 1500

PROGRAM = """
#include <cstdio>
#include <vector>
#include "ap_fixed.h"
#include "ap_int.h"

static std::vector<long long> raw[{sources}];
static std::vector<double> reals;

template <typename T, typename R> static void print(T y) {{
  R bits;
  bits.range() = y.range();
  std::printf("%lld ", bits.to_int64());
}}

template <typename T, typename R, typename S, typename B> static void fixed(int which) {{
  for (long long value : raw[which]) {{
    S x;
    B bits = value;
    x.range() = bits.range();
    T y = x;
    print<T, R>(y);
  }}
  std::printf("\\n");
}}

template <typename T, typename R> static void type() {{
{calls}
  for (double value : reals) {{
    T y = value;
    print<T, R>(y);
  }}
  std::printf("\\n");
}}

int main() {{
  int count;
  for (auto& values : raw) {{
    if (std::scanf("%d", &count) != 1) return 1;
    for (values.resize(count); auto& value : values)
      if (std::scanf("%lld", &value) != 1) return 1;
  }}
  if (std::scanf("%d", &count) != 1) return 1;
  for (reals.resize(count); auto& value : reals)
    if (std::scanf("%lf", &value) != 1) return 1;
{types}
}}
"""


@pytest.fixture(scope="module")
def headers() -> Path:
    found = importlib.util.find_spec("hls4ml")
    if found is None:
        pytest.skip("AMD's ap_types headers are missing: pip install --no-deps hls4ml")
    if shutil.which("g++") is None:
        pytest.skip("g++ is missing: apt-get install g++")
    return Path(found.submodule_search_locations[0]) / "templates" / "vivado" / "ap_types"


def cpp(t: ApFixed) -> str:
    modes = f"AP_{t.quantisation}, AP_{t.overflow}, {t.saturated}"
    return f"ap_{'' if t.signed else 'u'}fixed<{t.width}, {t.integer}, {modes}>"


def integer(t: ApFixed) -> str:
    return f"ap_{'' if t.signed else 'u'}int<{t.width}>"


def source_values() -> list[np.ndarray]:
    rng = np.random.default_rng(7)
    values = []
    for t in SOURCES:
        if t.width <= 8:
            values.append(np.arange(t.min, t.max + 1))
            continue
        # All magnitudes, and what lies around multiples of large powers of two: ties and ends.
        wide = rng.integers(t.min, t.max, MANY, endpoint=True) >> rng.integers(0, t.width, MANY)
        near = (rng.integers(-40, 40, MANY) << rng.integers(0, t.width, MANY)) + rng.integers(-1, 2, MANY)
        values.append(np.clip(np.concatenate([wide, near, [t.min, t.max, 0]]), t.min, t.max))
    return values


def real_values() -> np.ndarray:
    rng = np.random.default_rng(8)
    ties = np.arange(-600, 600) / 16
    return np.concatenate([ties, rng.standard_normal(MANY) * 2.0 ** rng.integers(-12, 12, MANY), [0.0, -0.0]])


@pytest.mark.parametrize("quantisation", QUANTISATIONS)
def test_every_overflow_mode(headers, tmp_path, quantisation):
    types = [
        ApFixed(width, whole, signed, quantisation, overflow)
        for (width, whole), signed, overflow in itertools.product(SHAPES, (True, False), OVERFLOWS)
    ]
    types += [
        dataclasses.replace(t, saturated=n)
        for t in types
        if t.overflow == "WRAP"
        for n in sorted({1, 2, t.width})
        if n <= t.width
    ]
    calls = "\n".join(f"  fixed<T, R, {cpp(t)}, {integer(t)}>({i});" for i, t in enumerate(SOURCES))
    listed = "\n".join(f"  type<{cpp(t)}, {integer(t)}>();" for t in types)
    source = tmp_path / "oracle.cpp"
    source.write_text(PROGRAM.format(sources=len(SOURCES), calls=calls, types=listed))
    program = tmp_path / "oracle"
    # The compiler takes a quarter less time for the older language and without what the program has no use for.
    command = ["g++", "-std=c++14", "-O0", "-w", "-fno-exceptions", "-fno-rtti"]
    command += ["-fno-asynchronous-unwind-tables", f"-I{headers}", str(source), "-o", str(program)]
    subprocess.run(command, check=True)
    raws, reals = source_values(), real_values()
    given = [f"{len(values)} {' '.join(map(str, values))}" for values in raws]
    given.append(f"{len(reals)} {' '.join(map(float.hex, map(float, reals)))}")
    output = subprocess.run(
        [str(program)], input="\n".join(given), capture_output=True, text=True, check=True
    )
    lines = iter(output.stdout.splitlines())
    for t in types:
        for s, values in zip(SOURCES, raws, strict=True):
            expected = np.array(next(lines).split(), np.int64)
            np.testing.assert_array_equal(t.convert(values, s.fraction), expected, err_msg=f"{s} to {t}")
        expected = np.array(next(lines).split(), np.int64)
        np.testing.assert_array_equal(t.from_float(reals), expected, err_msg=f"double to {t}")
    assert next(lines, None) is None
