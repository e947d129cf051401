# SPDX-License-Identifier: Apache-2.0
"""What several tests of benches share."""

import shutil
import subprocess

import pytest

from assay.tb.controller import library


@pytest.fixture(scope="session")
def compiled(tmp_path_factory):
    """The compiled half of the lock-step scoreboard."""
    if shutil.which("g++") is None:
        pytest.skip("g++ is not installed: there is no compiled half")
    folder = tmp_path_factory.mktemp("library")
    for name, text in library.files().items():
        (folder / name).write_text(text)
    sources = sorted(path.name for path in folder.glob("*.cpp"))
    flags = ["-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", "library.so"]
    subprocess.run(["g++", *flags, *sources], cwd=folder, check=True)
    return library.load(str(folder / "library.so"))
