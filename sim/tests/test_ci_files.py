# SPDX-License-Identifier: Apache-2.0
"""The files for users' continuous integration in docs/ci: their commands are those that .ci/run runs, in this order,
and their structure is what the services accept."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from assay.sim import ROOT

yaml = pytest.importorskip("yaml", reason="PyYAML is missing: pip install pyyaml")

GITHUB, GITLAB = (ROOT / "docs" / "ci" / f"{name}.yml" for name in ("github", "gitlab"))
JOBS = ("check", "nightly")
INSTALL = "apt-get install -y -qq --no-install-recommends "


def loaded(path: Path) -> dict[str, Any]:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


def github_commands(content: dict[str, Any], job: str) -> list[str]:
    lines = [step["run"] for step in content["jobs"][job]["steps"] if "run" in step]
    return [line.removeprefix("sudo ") for text in lines for line in text.splitlines()]


def gitlab_commands(content: dict[str, Any], job: str) -> list[str]:
    return [*content["default"]["before_script"], *content[job]["script"]]


def ours() -> list[str]:
    """What .ci/run runs: its own lines, with the packages of its list in their place."""
    text = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    packages = re.search(r"^packages=\((.*)\)$", text, re.MULTILINE)
    assert packages
    text = text.replace(
        "as_root env DEBIAN_FRONTEND=noninteractive apt-get install", "as_root apt-get install"
    )
    text = text.replace('"${packages[@]}"', packages[1])
    return [line.strip().removeprefix("as_root ") for line in text.splitlines()]


def not_run(commands: list[str], lines: list[str]) -> list[str]:
    """Commands that do not stand among the lines behind those before them."""
    missing, at = [], 0
    for command in commands:
        if command in lines[at:]:
            at += lines[at:].index(command) + 1
        else:
            missing.append(command)
    return missing


@pytest.mark.parametrize("job", JOBS)
def test_ci_runs_every_command(job: str) -> None:
    lines = ours()
    # The order is that of the services: apt first, then the copy of the example.
    for commands in (github_commands(loaded(GITHUB), job), gitlab_commands(loaded(GITLAB), job)):
        assert len(commands) == 5
        assert not_run(commands, lines) == []
        assert all(not command.startswith(INSTALL) or "iverilog" in command for command in commands)


def test_both_services_run_the_same() -> None:
    for job in JOBS:
        assert github_commands(loaded(GITHUB), job) == gitlab_commands(loaded(GITLAB), job)


def test_a_command_that_ci_does_not_run_is_found() -> None:
    lines = ours()
    commands = github_commands(loaded(GITHUB), "check")
    assert not_run([*commands, "make lunch"], lines) == ["make lunch"]
    assert not_run([commands[-1], commands[0]], lines) == [commands[0]]  # another order
    assert not_run([commands[1] + " cowsay"], lines) == [commands[1] + " cowsay"]


def test_artefacts_and_caches_are_what_runs_leave() -> None:
    github, gitlab = loaded(GITHUB), loaded(GITLAB)
    for job in JOBS:
        steps = {
            step["uses"].partition("@")[0]: step for step in github["jobs"][job]["steps"] if "uses" in step
        }
        cached = steps["actions/cache"]["with"]["path"].split()
        assert cached == gitlab[job]["cache"]["paths"] == [".venv", "assay_out/build"]
        kept = steps["actions/upload-artifact"]
        assert kept["if"] == "always()" and gitlab[job]["artifacts"]["when"] == "always"
        assert kept["with"]["path"].split() == gitlab[job]["artifacts"]["paths"]
        assert "assay_out/reports" in kept["with"]["path"].split()
    junit = gitlab["check"]["artifacts"]["reports"]["junit"]
    assert f"--junit-xml={junit}" in github_commands(github, "check")[-1]
    minutes = float(github["jobs"]["nightly"]["env"]["MINUTES"])
    assert minutes == float(gitlab["nightly"]["variables"]["MINUTES"])
    assert 1.2 * minutes < github["jobs"]["nightly"]["timeout-minutes"] <= 360


def test_extra_of_the_night_is_the_examples() -> None:
    import tomllib

    text = (ROOT / "docs" / "example" / "own_rtl" / "pyproject.toml").read_text(encoding="utf-8")
    nightly = tomllib.loads(text)["project"]["optional-dependencies"]["nightly"]
    page = (ROOT / "docs" / "howto" / "ci.md").read_text(encoding="utf-8")
    assert f"nightly = {json.dumps(nightly)}" in page


def schema(path: Path, kind: str) -> subprocess.CompletedProcess[str]:
    """Check a file against the schema that the checker carries; nothing is downloaded."""
    pytest.importorskip(
        "check_jsonschema", reason="check-jsonschema is missing: pip install check-jsonschema"
    )
    words = ["-m", "check_jsonschema", "--builtin-schema", f"vendor.{kind}"]
    more = ["--data-transform", "gitlab-ci"] if kind == "gitlab-ci" else []
    return subprocess.run([sys.executable, *words, *more, str(path)], capture_output=True, text=True)


@pytest.mark.parametrize(("path", "kind"), [(GITHUB, "github-workflows"), (GITLAB, "gitlab-ci")])
def test_structure_is_what_the_service_accepts(path: Path, kind: str, tmp_path: Path) -> None:
    done = schema(path, kind)
    assert done.returncode == 0, done.stdout + done.stderr
    wrong = copy.deepcopy(loaded(path))
    jobs = wrong["jobs"] if kind == "github-workflows" else wrong
    jobs["check"]["timeout-minutes" if kind == "github-workflows" else "script"] = {"an": "hour"}
    altered = tmp_path / path.name
    altered.write_text(
        yaml.safe_dump({("on" if key is True else key): value for key, value in wrong.items()})
    )
    assert schema(altered, kind).returncode == 1
