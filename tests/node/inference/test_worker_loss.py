from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from node.dicom.reasons import Reason, Refused
from node.inference import (
    InferenceError,
    InferenceService,
    Progress,
    ServiceStoppedError,
    WorkerCrashedError,
    WorkerHungError,
)
from tests.node.inference.overlay.models.rehearsal import Command
from tests.node.inference.rehearsal import SHAPE, Rehearsal, gone


def until(true: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)


class Job(threading.Thread):
    """A job in a thread of its own."""

    def __init__(self, service: InferenceService, volume_key: str) -> None:
        super().__init__(daemon=True)
        self.service, self.volume_key = service, volume_key
        self.progress: list[Progress] = []
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self.service.segment(self.volume_key, self.progress.append)
        except BaseException as error:  # noqa: BLE001  the test looks at it
            self.error = error


# ---- a worker that hangs or dies


@pytest.mark.verifies("SRS-074", level="integration", technique="fault-injection")
def test_a_worker_without_progress_is_killed_and_replaced(rehearsal: Rehearsal) -> None:
    with rehearsal.service(stall_seconds=3.0) as service:
        pid = service.pid
        assert pid is not None
        with pytest.raises(WorkerHungError, match="no sign of life for 3 s"):
            service.segment(rehearsal.volume(Command.HANG))
        assert gone(pid)
        service.segment(rehearsal.volume())
        assert service.pid not in (None, pid)


@pytest.mark.verifies("SRS-074", level="integration", technique="fault-injection")
def test_a_job_that_never_ends_is_ended_in_spite_of_its_progress(rehearsal: Rehearsal) -> None:
    with rehearsal.service(hard_limit_seconds=2.0) as service:
        seen: list[Progress] = []
        started = time.monotonic()
        with pytest.raises(WorkerHungError, match="took longer than 2 s"):
            service.segment(rehearsal.volume(Command.CRAWL), seen.append)
        assert time.monotonic() - started < 30
        assert len(seen) > 5


@pytest.mark.verifies("SRS-074", level="integration", technique="fault-injection")
def test_a_worker_killed_in_the_middle_of_a_job_is_replaced(rehearsal: Rehearsal) -> None:
    with rehearsal.service() as service:
        pid = service.pid
        assert pid is not None
        job = Job(service, rehearsal.volume(Command.HANG))
        until(lambda: len(job.progress) == 2)
        os.kill(pid, signal.SIGKILL)
        job.join(30)
        assert isinstance(job.error, WorkerCrashedError)
        assert "SIGKILL" in str(job.error)
        service.segment(rehearsal.volume())
        assert service.pid not in (None, pid)


@pytest.mark.verifies("SRS-074", level="integration", technique="fault-injection")
@pytest.mark.parametrize(
    ("command", "said"),
    [
        (Command.BE_KILLED, "SIGKILL"),
        (Command.FAULT, "SIGSEGV"),
        (Command.EXHAUST_MEMORY, "allocate"),
        (Command.BREAK_ENGINE, "failed in network table"),
    ],
)
def test_a_worker_that_is_not_to_be_trusted_any_more_is_replaced(
    rehearsal: Rehearsal, command: Command, said: str
) -> None:
    with rehearsal.service() as service:
        pid = service.pid
        assert pid is not None
        with pytest.raises(WorkerCrashedError, match=said):
            service.segment(rehearsal.volume(command))
        assert gone(pid)
        assert service.segment(rehearsal.volume()).facts == {"slices": SHAPE[0]}
        assert service.pid not in (None, pid)


@pytest.mark.verifies("SRS-074", level="integration", technique="fault-injection")
def test_a_worker_that_died_while_it_waited_is_replaced_unnoticed(rehearsal: Rehearsal) -> None:
    with rehearsal.service() as service:
        pid = service.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        until(lambda: service.pid is None)
        service.segment(rehearsal.volume())
        assert service.pid not in (None, pid)


@pytest.mark.verifies("SRS-074", level="integration", technique="fault-injection")
def test_a_job_that_its_caller_gives_up_leaves_no_answer_for_the_next(rehearsal: Rehearsal) -> None:
    def give_up(_: Progress) -> None:
        raise Refused(Reason.TOO_LARGE, "a refusal that is not the worker's")

    with rehearsal.service() as service:
        expected = service.segment(rehearsal.volume(seed=8)).labels_key
        pid = service.pid
        with pytest.raises(Refused, match="not the worker's"):
            service.segment(rehearsal.volume(seed=9), give_up)
        assert service.segment(rehearsal.volume(seed=8)).labels_key == expected
        assert service.pid != pid


# ---- the end


@pytest.mark.verifies("SRS-079", level="integration", technique="example")
def test_a_stopped_service_takes_no_jobs(rehearsal: Rehearsal) -> None:
    service = rehearsal.service()
    with pytest.raises(InferenceError, match="not started"):
        _ = service.identity
    service.start()
    service.stop()
    service.stop()
    with pytest.raises(ServiceStoppedError):
        service.segment(rehearsal.volume())


@pytest.mark.verifies("SRS-079", level="integration", technique="example")
def test_stopping_ends_the_job_at_work_and_the_one_that_waits(rehearsal: Rehearsal) -> None:
    service = rehearsal.service()
    service.start()
    pid = service.pid
    assert pid is not None
    job = Job(service, rehearsal.volume(Command.HANG))
    until(lambda: len(job.progress) == 2)
    waiting = Job(service, rehearsal.volume())
    started = time.monotonic()
    service.stop()
    assert time.monotonic() - started < 10
    for each in (job, waiting):
        each.join(10)
        assert isinstance(each.error, ServiceStoppedError)
    assert gone(pid)


PARENT = """
import sys
from pathlib import Path
import structlog
structlog.configure(logger_factory=structlog.WriteLoggerFactory(sys.stderr))
from tests.node.inference.rehearsal import Command, Rehearsal
rehearsal = Rehearsal(Path(sys.argv[1]))
service = rehearsal.service()
service.start()
print(service.pid, flush=True)
if sys.argv[2] == "busy":
    service.segment(rehearsal.volume(Command.HANG), lambda at: print(at.done, flush=True))
sys.stdin.read()
"""


@pytest.mark.verifies("SRS-079", level="integration", technique="fault-injection")
@pytest.mark.parametrize("state", ["idle", "busy"])
def test_a_worker_dies_with_its_node(rehearsal: Rehearsal, tmp_path: Path, state: str) -> None:
    environment = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path / "node"), state],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as node:
        assert node.stdout is not None
        pid = int(node.stdout.readline())
        if state == "busy":
            assert [node.stdout.readline() for _ in range(2)] == ["0\n", "1\n"]
        assert not gone(pid)
        node.kill()
    until(lambda: gone(pid), 10)
