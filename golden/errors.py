# SPDX-License-Identifier: Apache-2.0
"""Errors of the golden models: every message is one sentence to the user, naming the value and what is
allowed."""

import re

from assay.golden.table import short

__all__ = [
    "ChecksumError",
    "ConfigurationError",
    "DoesNotFitError",
    "GoldenError",
    "ModelFormatError",
    "NothingComputedError",
    "RuntimeEndedError",
    "UnsupportedOperatorError",
]


# Characters of a message, and of one word in it: a name in a file may have a million.
LONGEST, LONGEST_WORD = 1900, 300


class GoldenError(ValueError):
    """Base of every error raised on purpose by `golden` and `vectors`; catch this one to catch them all.

    A word, such as a name that a file gives, or a message that is too long loses its middle.
    """

    def __init__(self, message: str = "") -> None:
        text = re.sub(rf"\S{{{LONGEST_WORD + 1},}}", lambda word: short(word[0], LONGEST_WORD), str(message))
        super().__init__(short(text, LONGEST))


class ConfigurationError(GoldenError):
    """A parameter (bit width, stride, shift, rounding mode...) is outside its allowed range."""


class DoesNotFitError(GoldenError):
    """A valid network, layer or value is larger than the memory, counter or field that should hold it."""


class ModelFormatError(GoldenError):
    """A model file is damaged, or holds values that integer arithmetic cannot represent exactly."""


class RuntimeEndedError(GoldenError):
    """A framework's runtime began to run a model and ended without a result."""


class UnsupportedOperatorError(GoldenError):
    """A model file uses an operator, or an attribute of one, that the golden models do not define."""


class ChecksumError(GoldenError):
    """A committed or generated file differs from the checksum in its manifest."""


class NothingComputedError(GoldenError):
    """An engine can compute no layer of a network, so that nothing would be verified; names why, node by node."""

    exit_status = 1
