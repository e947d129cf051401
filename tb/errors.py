# SPDX-License-Identifier: Apache-2.0
"""Errors that are sentences to the user."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable


class AssayError(Exception):
    """Something a user can put right. Its text is one sentence; the command line prints it without a traceback."""

    exit_status = 2


class MissingTool(AssayError):
    """A simulator or a compiler that is not installed; the sentence holds the command that installs it."""


class MissingExtra(MissingTool):
    """Packages of an extra that are not installed. The Makefile installs them and runs the command again."""

    exit_status = 3


class BuildFailed(AssayError):
    """The HDL did not compile."""

    exit_status = 1


class RunFailed(AssayError):
    """A simulation could not be carried to its end."""

    exit_status = 1


def sentence(error: Exception) -> str:
    """An error as a user reads it: an OSError is the file and what the system says of it."""
    if isinstance(error, OSError) and error.strerror:
        names = [os.fsdecode(n) for n in (error.filename, error.filename2) if isinstance(n, (str, bytes))]
        here = os.getcwd() + os.sep
        return ": ".join([*(name.removeprefix(here) for name in names), error.strerror])
    return str(error) or type(error).__name__


def unknown(kind: str, value: str, allowed: Iterable[str]) -> AssayError:
    """The error for a name that is not in a list: names the value, the allowed ones and the nearest of them."""
    allowed = list(allowed)
    near = difflib.get_close_matches(value, allowed, n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    return AssayError(f"unknown {kind} {value!r}{hint}; allowed: {', '.join(allowed) or 'none'}")
