# SPDX-License-Identifier: Apache-2.0
"""Text files and settings that people write: what cannot be read is one message with the file's name."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from assay.tb.errors import AssayError


def read_text(path: Path, name: str = "") -> str:
    """The text of a file in UTF-8.

    Args:
        name: of the file, for messages; by default its path.

    Raises:
        AssayError: it cannot be read, is no UTF-8, or holds a NUL, which no name of a file can hold.
    """
    name = name or str(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise AssayError(f"{name}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise AssayError(f"{name}: must be UTF-8 text, but byte {error.start} of it is not") from None
    if "\0" in text:
        raise AssayError(f"{name}: must be text, but character {text.index(chr(0))} of it is NUL")
    return text


def toml_in(text: str, name: str) -> dict[str, Any]:
    """The values of a TOML text; `name` of its file is for messages.

    Raises:
        AssayError: it is none, or is nested too deeply.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise AssayError(f"{name}: not valid TOML: {error}") from None
    except RecursionError:
        raise AssayError(f"{name}: its TOML is nested too deeply") from None


def read_toml(path: Path, name: str = "") -> dict[str, Any]:
    """The values in a TOML file; arguments and errors as of `read_text` and `toml_in`."""
    return toml_in(read_text(path, name), name or str(path))
