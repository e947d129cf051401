# SPDX-License-Identifier: Apache-2.0
"""Simulators that stay up, with a small Python process in a simulator's place.

Whatever happens to an exchange, the next answer is the right one or a named error, in bounded time, and nothing stays.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from assay.sim import ROOT, outputs, process, run, server
from assay.sim.job import Job
from assay.sim.process import run_logged
from assay.sim.run import Outcome, TestResult
from assay.sim.server import Server
from assay.tb.errors import AssayError, MissingTool, RunFailed

pytestmark = pytest.mark.usefixtures("own_runs")

# Answers a number with its square after so many seconds; does as it is told else.
_FAKE = """
import os, time
from multiprocessing.connection import Client
with Client(os.environ["ASSAY_ENGINE_ADDRESS"], authkey=bytes.fromhex(os.environ["ASSAY_ENGINE_KEY"])) as host:
    try:
        while (request := host.recv()) is not None:
            what, value = request
            if what == "sleep":
                time.sleep(value)
            if what == "die":
                os.kill(os.getpid(), value)
            if what == "deaf":
                host.close()
                time.sleep(600)
            if what == "cut":
                os.write(host.fileno(), b"\\0\\0\\1\\0half of an answer")
                raise SystemExit(3)
            if what == "raise":
                raise RuntimeError("the engine's own fault")
            host.send((what, value * value if what == "square" else os.getpid()))
    except EOFError:
        pass
"""


def _fake_job(job: Job, announce: object) -> Outcome:
    """What `sim.run.run_job` does, with the fake."""
    with run._own_folder(job) as folder:
        environment = {**os.environ, **job.environment}
        status = run_logged([sys.executable, "-c", _FAKE], folder, environment, folder / "run.log")
        result = TestResult("serve", "failed" if status else "passed", f"status {status}", 0.0)
        return Outcome(job, folder, [result], [], {}, 0.0)


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(server, "run_job", _fake_job)
    monkeypatch.setattr(server.tempfile, "tempdir", str(tmp_path))


@pytest.fixture
def start(counter, tmp_path):
    """Starts servers; afterwards nothing of them may be there, processes and folders."""
    made: list[Server] = []
    pids: list[int] = []
    before = set(threading.enumerate())

    def start(suffix: str = "1") -> Server:
        job = Job(counter, "verilator", 1, ("serve",), name_suffix=suffix)
        made.append(Server(job, lambda line: None))
        pids.append(made[-1].ask(("pid", 0))[1])
        return made[-1]

    yield start
    for each in made:
        with contextlib.suppress(RunFailed):
            each.close()
    made.clear()
    assert not [pid for pid in pids if _runs(pid)]
    assert not list(tmp_path.glob("assay-*"))
    assert not list(outputs.run_root().glob(".*"))
    _wait(lambda: set(threading.enumerate()) <= before)


def _runs(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    return False


def _wait(condition: object, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)


def _interrupt_after(seconds: float) -> None:
    threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT)).start()


@contextlib.contextmanager
def within(seconds: float):
    started = time.monotonic()
    yield
    assert time.monotonic() - started < seconds


def test_answers_come_and_a_clean_end_leaves_no_run_folder(start):
    one = start()
    assert [one.ask(("square", n)) for n in (2, 3)] == [("square", 4), ("square", 9)]
    one.close()
    assert not list(outputs.run_root().iterdir())
    one.close()


def test_an_interrupted_request_does_not_answer_the_next(start):
    one = start()
    for number in range(3):
        _interrupt_after(0.2)
        with pytest.raises(KeyboardInterrupt):
            one.ask(("sleep", 0.6))
        assert one.ask(("square", number)) == ("square", number**2)


def test_interrupts_at_any_moment(start):
    """From before the request is sent to after its answer has come."""
    one = start()
    value = 0
    for _ in range(60):
        timer = threading.Timer(0.0005 * (value % 7), os.kill, (os.getpid(), signal.SIGINT))
        with contextlib.suppress(KeyboardInterrupt):
            timer.start()
            while timer.is_alive():
                value += 1
                assert one.ask(("square", value)) == ("square", value**2)
        with contextlib.suppress(KeyboardInterrupt):
            timer.join()
            time.sleep(0.001)
    assert one.ask(("square", 7)) == ("square", 49)


def test_a_request_that_nobody_waits_for_any_more_is_not_sent(start):
    one = start()
    slow = threading.Thread(target=one.ask, args=(("sleep", 1.0),))
    slow.start()
    time.sleep(0.1)
    _interrupt_after(0.1)
    with pytest.raises(KeyboardInterrupt):
        one.ask(("sleep", 60))
    with within(10):
        assert one.ask(("square", 5)) == ("square", 25)
    slow.join()


def test_threads_get_their_own_answers(start):
    one = start()
    right = []

    def work(first: int) -> None:
        for number in range(first, first + 200):
            if one.ask(("square", number)) == ("square", number**2):
                right.append(number)

    threads = [threading.Thread(target=work, args=(first,)) for first in (0, 1000, 2000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(right) == 600


@pytest.mark.parametrize(
    "request_", [("die", signal.SIGKILL), ("raise", 0), ("cut", 0), ("deaf", 0), ("die", signal.SIGTERM)]
)
def test_a_simulator_that_ends_is_a_named_error_and_so_is_all_that_follows(start, request_, monkeypatch):
    monkeypatch.setattr(server, "_GRACE_S", 0.5)
    one = start()
    with within(10), pytest.raises(AssayError, match=r"ended"):
        one.ask(request_)
    with within(1), pytest.raises(AssayError, match=r"ended"):
        one.ask(("square", 2))
    with within(1):
        one.close()  # it has been told
    with pytest.raises(AssayError, match="this engine is closed"):
        one.ask(("square", 2))


def test_a_log_stays_where_a_simulation_failed_and_make_waves_does_not_try_it(start):
    one = start()
    with pytest.raises(RunFailed, match=r"log +.*run\.log"):
        one.ask(("raise", 0))
    (folder,) = outputs.run_root().glob("counter*")
    assert "the engine's own fault" in (folder / "run.log").read_text()
    assert not (folder / "run.json").exists()


def test_a_failure_that_no_request_saw_is_told_at_the_end(start):
    one = start()
    os.kill(one.ask(("pid", 0))[1], signal.SIGKILL)
    with within(10), pytest.raises(RunFailed, match="ended"):
        one.close()


def test_closing_during_a_request_ends_both(start):
    one = start()
    seen = []

    def work() -> None:
        try:
            one.ask(("sleep", 60))
        except AssayError as error:
            seen.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(0.2)
    with within(8):
        one.close()
        thread.join()
    assert seen == ["this engine was ended during a request: load the network again"]


def test_what_cannot_be_sent_is_named_and_harms_nothing(start):
    one = start()
    with pytest.raises(AssayError, match="the request cannot be sent"):
        one.ask(("square", threading.Lock()))
    assert one.ask(("square", 3)) == ("square", 9)


def test_what_an_engine_gave_up_answers_nothing_more(start):
    one = start()
    pid = one.ask(("pid", 0))[1]
    assert str(one.give_up(RunFailed("hart 3 waits for ever"))) == "hart 3 waits for ever"
    assert not _runs(pid)
    for _ in range(2):
        with pytest.raises(RunFailed, match="hart 3 waits for ever"):
            one.ask(("square", 2))


def test_collected_without_close(start, counter):
    one = Server(Job(counter, "verilator", 1, ("serve",), name_suffix="lost"), lambda line: None)
    (pid,) = (one.ask(("pid", 0))[1],)
    del one
    gc.collect()
    assert not _runs(pid)
    assert not list(outputs.run_root().iterdir())


def test_a_fork_is_refused_and_disturbs_nothing(start):
    one = start()

    def child(result: object) -> None:
        try:
            result.put(one.ask(("square", 1)))
        except AssayError as error:
            result.put(str(error))
        one.close()

    context = multiprocessing.get_context("fork")
    result = context.Queue()
    forked = context.Process(target=child, args=(result,))
    forked.start()
    assert f"belongs to process {os.getpid()}" in result.get(timeout=20)
    forked.join()
    assert one.ask(("square", 4)) == ("square", 16)
    with pytest.raises(AssayError, match="cannot be copied or sent to another process"):
        pickle.dumps(one)


def test_a_fork_that_lives_on_does_not_keep_the_simulator(start):
    one = start()
    pid = one.ask(("pid", 0))[1]
    context = multiprocessing.get_context("fork")
    forked = context.Process(target=time.sleep, args=(20,))
    forked.start()
    with within(4):
        one.close()
    assert not _runs(pid)
    forked.terminate()
    forked.join()


def test_an_interrupt_while_the_simulator_comes_up(counter, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "_FAKE", "import time; time.sleep(600)")
    _interrupt_after(0.5)
    with within(8), pytest.raises(KeyboardInterrupt):
        Server(Job(counter, "verilator", 1, ("serve",)), lambda line: None)
    assert not [path for path in outputs.run_root().iterdir() if not path.name.endswith(".before")]


def test_a_simulator_that_does_not_come_up_says_why(counter, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "_FAKE", "raise SystemExit(4)")
    with within(8), pytest.raises(RunFailed, match="status 4"):
        Server(Job(counter, "verilator", 1, ("serve",)), lambda line: None)


def test_what_a_killed_process_left_goes_with_the_next_start_and_nothing_else_does(start, own_runs):
    names = (
        "pe_array-verilator-1-default-77.0",
        "pe_array-verilator-1-default-78.3",
        "mvu-verilator-1-default",
    )
    for name in names:
        (own_runs / name).mkdir(parents=True)
        (own_runs / f".{name}.lock").touch()
    with run.locked(own_runs / f".{names[1]}.lock"):
        start("1.9").close()
        assert sorted(path.name for path in own_runs.iterdir()) == sorted(
            [*names[1:], *(f".{n}.lock" for n in names[1:])]
        )
    (own_runs / f".{names[1]}.lock").unlink()
    (own_runs / f".{names[2]}.lock").unlink()


def test_why_a_run_cannot_start_reaches_the_caller(counter, monkeypatch):
    def missing(*arguments: object, **options: object) -> None:
        raise MissingTool("icarus is not installed")

    monkeypatch.setattr(server, "run_job", missing)
    with within(5), pytest.raises(MissingTool, match="icarus is not installed"):
        Server(Job(counter, "icarus", 1, ("serve",)), lambda line: None)


def test_a_long_temporary_folder(start, monkeypatch, tmp_path):
    folder = tmp_path / ("long" * 40)
    folder.mkdir()
    monkeypatch.setattr(server.tempfile, "tempdir", str(folder))
    assert start().ask(("square", 3)) == ("square", 9)


def test_no_room_for_a_socket_is_a_named_error(counter, monkeypatch):
    monkeypatch.setattr(server.tempfile, "tempdir", "/missing")
    with pytest.raises(AssayError, match="no socket for the simulator can be made: No such file"):
        Server(Job(counter, "verilator", 1, ("serve",)), lambda line: None)


def test_a_process_that_just_ends_takes_its_simulator_along(tmp_path, counter):
    """Neither close nor with: its exit ends the simulator, even in the middle of a request."""
    script = tmp_path / "user.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "import sim.tests.test_server as t, sim.server as server, sim.run as run, threading, pathlib\n"
        "import sim.outputs as outputs\n"
        "from sim.tests.counter.block import BLOCK as COUNTER\n"
        "server.run_job = t._fake_job\n"
        f"outputs.run_root = lambda block=None: pathlib.Path({str(tmp_path / 'runs')!r})\n"
        "one = server.Server(run.Job(COUNTER, 'verilator', 1, ('serve',)), print)\n"
        "print(one.ask(('pid', 0))[1], flush=True)\n"
        "threading.Thread(target=one.ask, args=(('sleep', 60),), daemon=True).start()\n"
        "import time; time.sleep(0.2)\n"
    )
    with within(20):
        done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0
    assert not _runs(int(done.stdout))
    assert not list((tmp_path / "runs").iterdir())


def test_a_stopper_ends_what_comes_after_it(tmp_path):
    stopper = process.Stopper()
    stopper.stop()
    with stopper.governs_this_thread(), within(5), pytest.raises(process.Stopped):
        run_logged(
            [sys.executable, "-c", "import time; time.sleep(60)"], tmp_path, os.environ, tmp_path / "log"
        )
    assert run_logged([sys.executable, "-c", "pass"], tmp_path, os.environ, tmp_path / "log") == 0
