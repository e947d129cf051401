# SPDX-License-Identifier: Apache-2.0
"""JSON files that are never half written."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path


def write_json(path: Path, data: object) -> None:
    """Write a JSON file in one step: a reader finds the old file, none, or the whole new one.

    Raises:
        OSError: it cannot be written; names `path`, and what stood there is still there.
    """
    text = json.dumps(data, indent=1) + "\n"
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with open(handle, "w", encoding="utf-8") as file:
                file.write(text)
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from None
