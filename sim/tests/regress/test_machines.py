# SPDX-License-Identifier: Apache-2.0
"""Regressions on clusters that somebody else has started: other machines, other tools, encrypted connections."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from assay.sim.regress.record import PASSED
from assay.sim.tests.regress.conftest import Night
from assay.sim.tests.regress.test_regressions import results

pytestmark = pytest.mark.simulation

SCHEDULER, WORKER = "distributed.cli.dask_scheduler", "distributed.cli.dask_worker"


@contextlib.contextmanager
def program(*words: str, log: Path, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process in the block."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            words,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | variables,
            cwd=log.parent,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def python(module: str, *words: str) -> list[str]:
    return [sys.executable, "-m", module, *words, "--no-dashboard"]


@contextlib.contextmanager
def scheduler(
    folder: Path, *words: str, host: str = "127.0.0.1", before: tuple[str, ...] = ()
) -> Iterator[str]:
    """A scheduler; its address."""
    log = folder / "scheduler.log"
    with program(*before, *python(SCHEDULER, "--host", host, "--port", "0", *words), log=log):
        for _ in range(600):
            found = [line.split()[-1] for line in log.read_text().splitlines() if "Scheduler at:" in line]
            if found:
                yield found[0]
                return
            time.sleep(0.1)
        raise AssertionError(log.read_text())


def worker_words(address: str, folder: Path, name: str, *words: str) -> list[str]:
    options = ["--nthreads", "1", "--memory-limit", "0", "--local-directory", str(folder), "--name", name]
    return python(WORKER, address, *options, *words)


def test_a_cluster_that_is_there_already(night: Night, tmp_path: Path) -> None:
    """Its workers unpack the project in a cache of their own, and build there; they outlive the regression."""
    cache = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    with (
        scheduler(tmp_path) as address,
        program(*worker_words(address, tmp_path, "one"), log=tmp_path / "one.log", **cache) as one,
        program(*worker_words(address, tmp_path, "two"), log=tmp_path / "two.log", **cache),
    ):
        for name in ("first", "second"):
            status, text = night.run(
                "--seeds", "8", "--filter", "counts", "--cluster", address, "--name", name
            )
            assert status == 0, text
            assert len(results(night.regression(name))) == 8
        assert one.poll() is None
    assert list((tmp_path / "cache" / "assay" / "builds").glob("tick-icarus-*"))
    assert not list((night.folder / "assay_out").glob("build/tick-*"))


def test_a_worker_with_other_tools_is_refused_by_name(night: Night, tmp_path: Path) -> None:
    """A machine with another Icarus: the regression goes on without it, or says that none is left."""
    other = tmp_path / "bin"
    other.mkdir()
    icarus = other / "iverilog"
    icarus.write_text("#!/bin/sh\necho 'Icarus Verilog version 99.0 (stable) ()'\n")
    icarus.chmod(0o755)
    path = f"{other}{os.pathsep}{os.environ['PATH']}"
    cache = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    with (
        scheduler(tmp_path) as address,
        program(*worker_words(address, tmp_path, "odd"), log=tmp_path / "odd.log", PATH=path, **cache),
    ):
        words = ["--seeds", "6", "--filter", "counts", "--cluster", address, "--name", "mixed"]
        process = night.start(*words)
        recorded_event(night, "mixed", "icarus 99.0, where the regression was begun with")
        with program(*worker_words(address, tmp_path, "good"), log=tmp_path / "good.log", **cache):
            text, _ = process.communicate(timeout=200)
    assert process.returncode == 0, text
    assert "is not used: icarus 99.0, where the regression was begun with" in text
    assert len(results(night.regression("mixed"))) == 6


def recorded_event(night: Night, name: str, text: str) -> None:
    journal = night.folder / "assay_out" / "reports" / "regress" / name / "journal.jsonl"
    for _ in range(1200):
        if journal.is_file() and text in journal.read_text():
            return
        time.sleep(0.1)
    raise AssertionError(f"{name} does not tell: {text}")


_OF_DASK = {"--tls-ca": "--tls-ca-file", "--tls-cert": "--tls-cert", "--tls-key": "--tls-key"}


def _certified(folder: Path) -> list[str]:
    """A certificate of its own authority: the options that name it."""
    folder.mkdir()
    certificate, key = folder / "cert.pem", folder / "key.pem"
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=assay"]
    subprocess.run([*words, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    return ["--tls-ca", str(certificate), "--tls-cert", str(certificate), "--tls-key", str(key)]


def test_encrypted(night: Night, tmp_path: Path) -> None:
    """Scheduler, workers and regression prove who they are; one without a certificate is turned away."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is missing")
    ours = _certified(tmp_path / "ours")
    files = [
        word for name, path in zip(ours[::2], ours[1::2], strict=True) for word in (_OF_DASK[name], path)
    ]
    cache = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    with scheduler(tmp_path, "--protocol", "tls", *files) as address:
        assert address.startswith("tls://")
        with program(*worker_words(address, tmp_path, "one", *files), log=tmp_path / "one.log", **cache):
            words = ["--seeds", "3", "--filter", "counts", "--cluster", address]
            status, text = night.run(*words, *ours, "--name", "tls")
            assert status == 0, text
            status, text = night.run(*words, "--name", "open")
            assert status == 2
            assert (
                "it needs --tls-ca, --tls-cert and --tls-key" in text or "it needs TLS_CA, TLS_CERT" in text
            )
            assert "Traceback" not in text
            # Somebody else's certificate.
            status, text = night.run(*words, *_certified(tmp_path / "other"), "--name", "stranger")
            assert status == 2, text
            assert "cannot be reached" in text
            assert "Traceback" not in text
    status, text = night.run("--cluster", address.replace("tls", "tcp"), *ours)
    assert status == 2
    assert "with files for TLS it must begin with tls://" in text


# -------------------------------------------------------------------------------------------------
# Two machines: network namespaces, which share neither addresses nor caches
# -------------------------------------------------------------------------------------------------
@pytest.fixture
def machines() -> Iterator[tuple[str, str]]:
    """Two namespaces with a cable between them: 10.77.0.1 and 10.77.0.2."""
    names = (f"assay{os.getpid()}a", f"assay{os.getpid()}b")

    def ip(*words: str) -> bool:
        return subprocess.run(["ip", *words], capture_output=True).returncode == 0

    if shutil.which("ip") is None or os.geteuid() != 0 or not ip("netns", "add", names[0]):
        pytest.skip("network namespaces cannot be made here")
    try:
        assert ip("netns", "add", names[1])
        assert ip(
            "link", "add", "ca", "netns", names[0], "type", "veth", "peer", "name", "cb", "netns", names[1]
        )
        for name, end, number in ((names[0], "ca", 1), (names[1], "cb", 2)):
            assert ip("-n", name, "addr", "add", f"10.77.0.{number}/24", "dev", end)
            assert ip("-n", name, "link", "set", end, "up")
            assert ip("-n", name, "link", "set", "lo", "up")
        yield names
    finally:
        for name in names:
            ip("netns", "delete", name)


def test_two_machines_and_a_cable_that_is_pulled(
    night: Night, tmp_path: Path, machines: tuple[str, str]
) -> None:
    here, there = (("ip", "netns", "exec", name) for name in machines)
    quick = {"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "5s"}
    with scheduler(
        tmp_path, host="10.77.0.1", before=("env", *(f"{n}={v}" for n, v in quick.items()), *here)
    ) as address:
        mine = program(
            *here,
            *worker_words(address, tmp_path, "here"),
            log=tmp_path / "here.log",
            XDG_CACHE_HOME=str(tmp_path / "c1"),
        )
        other = program(
            *there,
            *worker_words(address, tmp_path, "there"),
            log=tmp_path / "there.log",
            XDG_CACHE_HOME=str(tmp_path / "c2"),
        )
        with mine, other:
            words = [
                "--seeds",
                "40",
                "--seed",
                "1",
                "--filter",
                "counts",
                "--cluster",
                address,
                "--name",
                "two",
            ]
            process = night.start(*words, before=list(here))
            for _ in range(600):
                time.sleep(0.1)
                journal = night.folder / "assay_out" / "reports" / "regress" / "two" / "journal.jsonl"
                if journal.is_file() and "10.77.0.2:" in journal.read_text():
                    break
            subprocess.run(["ip", "-n", machines[0], "link", "set", "ca", "down"], check=True)
            text, _ = process.communicate(timeout=300)
    assert process.returncode == 0, text
    assert results(night.regression("two")) == {("counts", seed): PASSED for seed in range(1, 41)}
    workers = {result.worker.rpartition(":")[0] for result in night.regression("two").results()}
    assert workers == {"tcp://10.77.0.1", "tcp://10.77.0.2"}
    # Each has unpacked and built for itself.
    for cache in ("c1", "c2"):
        assert list((tmp_path / cache / "assay" / "builds").glob("tick-icarus-*"))
