# SPDX-License-Identifier: Apache-2.0
"""JSON files that are written completely or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path


def write_json(path: Path, data: object) -> None:
    """Write a JSON file in one step: a reader finds the old file, none, or the whole new one.

    Raises:
        OSError: it cannot be written; names `path`, and what stood there is still there.
    """
    text = json.dumps(data, indent=1) + "\n"
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        try:
            partial.write_text(text, encoding="utf-8")
            os.replace(partial, path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise OSError(error.errno, os.strerror(error.errno or 0), str(path)) from None
