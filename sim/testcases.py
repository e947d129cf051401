# SPDX-License-Identifier: Apache-2.0
"""The cocotb tests of a block, listed without a simulator."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable, Mapping

from cocotb.regression import Test, TestGenerator

from assay.sim.blocks import imported
from assay.tb.block import Block
from assay.tb.errors import AssayError, unknown

FILTER_TIMEOUT_S = 5
"""A regular expression that takes longer to search some dozens of names is one that explodes."""


def list_tests(block: Block) -> dict[str, Test]:
    """The block's cocotb tests by name, in the order of definition, found as cocotb's regression finds them."""
    tests: dict[str, Test] = {}
    for module_name in block.tests:
        file = block.file.with_name(f"{module_name.rpartition('.')[2]}.py")
        if not file.is_file():
            raise AssayError(
                f"test module {file} of block {block.name} does not exist; {block.file} names it"
            )
        module = imported(module_name, str(file))
        for value in list(vars(module).values()):
            if isinstance(value, Test):
                tests[value.name] = value
            elif isinstance(value, TestGenerator):
                tests.update((test.name, test) for test in value.generate_tests())
    return tests


def select_tests(
    block: Block, testcases: Iterable[str] = (), test_filter: str | None = None
) -> tuple[str, ...]:
    """The tests of a run: those named, or those that a regular expression finds, or the block's default ones.

    The expression is searched in ``module.name``, as cocotb does with COCOTB_TEST_FILTER. A test marked
    ``skip`` runs only if it is named.
    """
    tests = list_tests(block)
    testcases = tuple(testcases)
    if testcases and test_filter:
        raise AssayError("COCOTB_TESTCASE and COCOTB_TEST_FILTER exclude each other; give one of them")
    for name in testcases or block.default_tests:
        if name not in tests:
            raise unknown(f"COCOTB_TESTCASE of {block.name}", name, tests)
    if testcases:
        return testcases
    enabled = {name: test for name, test in tests.items() if not test.skip}
    if test_filter:
        try:
            pattern = re.compile(test_filter)
        except re.error as error:
            raise AssayError(
                f"COCOTB_TEST_FILTER {test_filter!r} is not a regular expression: {error}"
            ) from None
        selected = _search(pattern, enabled)
        if not selected:
            raise AssayError(
                f"COCOTB_TEST_FILTER {test_filter!r} selects no test of {block.name}; its tests: {', '.join(enabled)}"
            )
        return selected
    return block.default_tests or tuple(enabled)


def _search(pattern: re.Pattern[str], tests: Mapping[str, Test]) -> tuple[str, ...]:
    """The names of the tests that ``pattern`` finds. Backtracking can take for ever, and nothing interrupts it in this
    process: one that could explode, as it repeats something, is searched in another, which is stopped in time."""
    if not re.search(r"[*+{]", pattern.pattern):
        return tuple(name for name, test in tests.items() if pattern.search(test.fullname))
    script = "import re, sys; print(*(int(bool(re.search(sys.argv[1], name))) for name in sys.argv[2:]))"
    words = [pattern.pattern, *(test.fullname for test in tests.values())]
    try:
        found = subprocess.run(
            [sys.executable, "-I", "-S", "-c", script, *words],
            capture_output=True,
            text=True,
            timeout=FILTER_TIMEOUT_S,
            check=True,
        ).stdout.split()
    except subprocess.TimeoutExpired:
        raise AssayError(
            f"COCOTB_TEST_FILTER {pattern.pattern!r} was searched for {FILTER_TIMEOUT_S} s without an end: it repeats "
            "what itself repeats; write it with one repetition, or name the tests with COCOTB_TESTCASE"
        ) from None
    return tuple(name for name, hit in zip(tests, found, strict=True) if hit == "1")


def cocotb_filter(tests: Iterable[str]) -> str:
    """The regular expression that makes cocotb run exactly ``tests``."""
    return r"\.(?:" + "|".join(map(re.escape, tests)) + ")$"
