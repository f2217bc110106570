from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from node.demo.children import Child, free_port

pytestmark = pytest.mark.verifies("SRS-168", level="integration", technique="example")

SLEEPER = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)",
]
PARENT = [
    sys.executable,
    "-c",
    (
        "import subprocess, sys, time; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
        "print(p.pid, flush=True); time.sleep(600)"
    ),
]


def wait_for(what: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not what():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


def said(log: Path) -> str:
    return log.read_text() if log.exists() else ""


def test_it_runs_until_it_is_stopped(log: Path) -> None:
    with Child(SLEEPER, log) as child:
        wait_for(lambda: "up" in said(log))
        assert child.poll() is None
        pid = child.pid

    assert gone(pid)
    assert child.poll() == -signal.SIGTERM


def test_its_exit_status_is_told(log: Path) -> None:
    with Child([sys.executable, "-c", "print('last words'); raise SystemExit(7)"], log) as child:
        wait_for(lambda: child.poll() is not None)
        assert child.poll() == 7
        assert said(log) == "last words\n"


def test_stopping_twice_does_no_harm(log: Path) -> None:
    child = Child(SLEEPER, log)
    child.stop()
    child.stop()

    assert gone(child.pid)


def test_who_does_not_listen_is_ended(log: Path) -> None:
    with Child(STUBBORN, log, grace_s=0.3) as child:
        wait_for(lambda: "up" in said(log))

    assert child.poll() == -signal.SIGKILL


def test_what_it_started_goes_with_it(log: Path) -> None:
    with Child(PARENT, log):
        wait_for(lambda: said(log).strip())

    wait_for(lambda: gone(int(said(log))))


def test_what_a_dead_one_left_is_ended_too(log: Path) -> None:
    with Child(PARENT, log) as child:
        wait_for(lambda: said(log).strip())
        os.kill(child.pid, signal.SIGKILL)
        wait_for(lambda: child.poll() is not None)

    wait_for(lambda: gone(int(said(log))))


def test_a_program_that_is_not_there_ends_at_once(log: Path) -> None:
    with Child(["/nonexistent/program"], log) as child:
        wait_for(lambda: child.poll() is not None)
        assert child.poll() != 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends the children of a process that dies")
def test_it_dies_with_its_parent_however_that_dies(tmp_path: Path) -> None:
    script = (
        "import pathlib, sys, time\n"
        "from node.demo.children import Child\n"
        f"child = Child({SLEEPER!r}, pathlib.Path({str(tmp_path / 'log')!r}))\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        wait_for(lambda: "up" in said(tmp_path / "log"))
        parent.kill()

    wait_for(lambda: gone(pid))


def test_a_free_port_can_be_listened_on() -> None:
    with socket.create_server(("127.0.0.1", free_port())) as server:
        assert server.getsockname()[1] > 0
