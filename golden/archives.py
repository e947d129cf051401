# SPDX-License-Identifier: Apache-2.0
"""Arrays by name, written as .npz files; `golden.user_files` reads them."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from assay.golden.errors import GoldenError

__all__ = ["check_npz", "write_npz"]


def write_npz(path: Path, tensors: Mapping[str, np.ndarray], option: str = "--output") -> None:
    """Write tensors by name; an .npz is a zip file, in whose names a slash is a folder as in the names themselves.

    Args:
        option: of the command line that named the file, for the message.

    Raises:
        GoldenError: the name does not end in .npz, or the file cannot be written.
    """
    check_npz(path, option)
    try:
        with zipfile.ZipFile(path, "w") as archive:
            for name, values in tensors.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, np.ascontiguousarray(values), allow_pickle=False)
    except OSError as error:
        raise GoldenError(f"{path} cannot be written: {error.strerror}") from None


def check_npz(path: Path, option: str = "--output") -> None:
    """Refuse a name that does not end in .npz; errors as for `write_npz`."""
    if path.suffix != ".npz":
        raise GoldenError(f"{option} is {path}, but several tensors need a name that ends in .npz")
