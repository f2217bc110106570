import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError
from pydicom import dcmread
from pydicom.filereader import read_file_meta_info
from pynetdicom.dsutils import split_dataset

from node.net import Answer, Destination, echo, send
from node.receive import Inbox, ReceiverProcesses, ReceiverSettings, is_conflict
from tests.peers.phantoms import encoded, slice_of, write_slices

HOST = "127.0.0.1"
ROOT = Path(__file__).parents[3]


def settings(tmp_path: Path, **changes) -> ReceiverSettings:
    return ReceiverSettings(**{"root": tmp_path / "inbox", "low_water_bytes": 0, "host": HOST, "port": 0} | changes)


def destination(receivers: ReceiverProcesses) -> Destination:
    return Destination(ae_title="OVERREAD", host=HOST, port=receivers.port, response_timeout_s=20)


def eventually(condition: Callable[[], object], within_s: float = 20.0) -> bool:
    end = time.monotonic() + within_s
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return bool(condition())


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.verifies("SRS-001", "SRS-012", level="integration", technique="fault-injection")
def test_eight_associations_at_once_lose_nothing(tmp_path):
    senders = [write_slices(tmp_path / str(number), f"process-{number}", 100, rows=16) for number in range(8)]
    answers: list[Answer] = []
    with ReceiverProcesses(settings(tmp_path), 2) as receivers:
        threads = [
            threading.Thread(target=lambda paths=paths: answers.extend(send(paths, destination(receivers))))
            for paths in senders
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    inbox = Inbox(tmp_path / "inbox", 0)
    assert answers == [Answer(status=0)] * 800
    kept = sorted(encoded(inbox.path(name)) for name in inbox.scan())
    assert kept == sorted(encoded(path) for paths in senders for path in paths)
    assert sorted(inbox.arrivals()[0]) == sorted(inbox.scan())


@pytest.mark.verifies("SRS-001", "SRS-004", "SRS-011", level="integration", technique="fault-injection")
def test_what_was_acknowledged_survives_a_kill(tmp_path):
    """The receivers are killed in the middle of the stream; the sender repeats what was not acknowledged."""
    paths = write_slices(tmp_path / "source", "kill", 200, rows=128)
    uids = {path: dcmread(path, stop_before_pixels=True).SOPInstanceUID for path in paths}
    inbox = Inbox(tmp_path / "inbox", 0)
    acknowledged: set[Path] = set()
    rounds_lost = 0

    def kept() -> dict[str, bytes]:
        found = [inbox.path(name) for name in inbox.scan()]
        return {read_file_meta_info(path).MediaStorageSOPInstanceUID: encoded(path) for path in found}

    with ReceiverProcesses(settings(tmp_path), 2) as receivers:
        assert echo(destination(receivers)).succeeded

        def kill() -> None:
            for limit in (40, 90):
                eventually(lambda limit=limit: sum(1 for _ in inbox.scan()) >= limit)
                for pid in receivers.pids:
                    os.kill(pid, signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        while len(acknowledged) < len(paths):
            left = [path for path in paths if path not in acknowledged]
            answers = send(left, destination(receivers))
            acknowledged |= {path for path, answer in zip(left, answers, strict=True) if answer.succeeded}
            rounds_lost += any(not answer.succeeded for answer in answers)
            on_disk = kept()
            assert all(on_disk[uids[path]] == encoded(path) for path in acknowledged)
        killer.join()

    assert rounds_lost, "the kills must have hit"
    assert len(list(inbox.scan())) == len(paths), "each once, no conflict, nothing half written"


@pytest.mark.verifies("SRS-011", level="integration", technique="fault-injection")
def test_a_receiver_that_died_is_started_again_and_nobody_is_turned_away(tmp_path):
    with ReceiverProcesses(settings(tmp_path), 1) as receivers:
        assert echo(destination(receivers)).succeeded
        (first,) = receivers.pids
        os.kill(first, signal.SIGKILL)
        assert eventually(lambda: not alive(first))
        assert echo(destination(receivers)).succeeded, "the connection waits for the next receiver"
        (second,) = receivers.pids
        assert second != first


@pytest.mark.verifies("SRS-011", level="integration", technique="fault-injection")
def test_receivers_end_with_their_parent_however_it_ends(tmp_path):
    code = (
        "import sys, time\n"
        "from node.receive import ReceiverProcesses, ReceiverSettings\n"
        "receivers = ReceiverProcesses(ReceiverSettings.model_validate_json(sys.argv[1]), 2)\n"
        "print(receivers.port, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, settings(tmp_path).model_dump_json()], cwd=ROOT, stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    with parent.stdout:
        port = int(parent.stdout.readline())
    assert echo(Destination(ae_title="OVERREAD", host=HOST, port=port)).succeeded
    children = Path(f"/proc/{parent.pid}/task")
    pids = [int(pid) for task in children.iterdir() for pid in (task / "children").read_text().split()]
    assert len(pids) == 2
    parent.kill()
    parent.wait()
    assert eventually(lambda: not any(alive(pid) for pid in pids))


@pytest.mark.verifies("SRS-011", level="integration", technique="example")
def test_stopping_ends_them_all(tmp_path):
    receivers = ReceiverProcesses(settings(tmp_path), 2)
    assert echo(destination(receivers)).succeeded
    pids = receivers.pids
    receivers.stop()
    assert not any(alive(pid) for pid in pids)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, receivers.port))


@pytest.mark.verifies("SRS-018", level="integration", technique="bad-input")
def test_a_taken_port_is_an_error_at_once(tmp_path):
    with socket.create_server((HOST, 0)) as taken, pytest.raises(OSError, match="in use"):
        ReceiverProcesses(settings(tmp_path, port=taken.getsockname()[1]), 1)


@pytest.mark.verifies("SRS-005", level="integration", technique="fault-injection")
def test_a_disk_that_refuses_is_never_a_success(tmp_path, monkeypatch):
    """A file size limit, inherited by the receiver, stands for a full disk; a small object still goes through."""
    large, small = tmp_path / "large.dcm", tmp_path / "small.dcm"
    slice_of("process", 1, rows=256).save_as(large, enforce_file_format=True)
    slice_of("process", 2, rows=64).save_as(small, enforce_file_format=True)
    monkeypatch.delenv("COVERAGE_PROCESS_START", raising=False)  # its data file would be cut off too
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        receivers = ReceiverProcesses(settings(tmp_path), 1)
        assert echo(destination(receivers)).succeeded
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    with receivers:
        answers = send([large, small], destination(receivers))
        assert [answer.status for answer in answers] == [0xA700, 0x0000]
    (name,) = Inbox(tmp_path / "inbox", 0).scan()
    assert encoded(Inbox(tmp_path / "inbox", 0).path(name)) == encoded(small)


@pytest.mark.verifies("SRS-018", level="unit", technique="bad-input")
def test_settings_say_what_is_wrong(tmp_path):
    with pytest.raises(ValidationError, match="port"):
        settings(tmp_path, port=70000)
    with pytest.raises(ValidationError, match="calling_ae_titles"):
        settings(tmp_path, calling_ae_titles=["SEVENTEEN LETTERS"])


@pytest.mark.verifies("SRS-002", "SRS-004", "SRS-008", "SRS-017", level="integration", technique="real-data")
@pytest.mark.data
@pytest.mark.filterwarnings("ignore:Invalid value for VR UI", "ignore:Incorrect value for Specific Character Set")
@pytest.mark.filterwarnings("ignore:Expected explicit VR, but found implicit VR")
def test_every_object_of_many_vendors_arrives_as_it_was(tmp_path, study, capfd):
    """222 files: private classes, retired syntaxes, broken headers; 30 share a SOP Instance UID with other bytes."""
    paths = sorted(study("multivendor").glob("*.dcm"))
    assert len(paths) == 222

    def body(path: Path) -> tuple[str, bytes]:
        meta, offset = split_dataset(path)
        return str(meta.TransferSyntaxUID), path.read_bytes()[offset:]

    with ReceiverProcesses(settings(tmp_path), 2) as receivers:
        assert send(paths, destination(receivers)) == (Answer(status=0),) * 222
        assert send(paths, destination(receivers)) == (Answer(status=0),) * 222
    inbox = Inbox(tmp_path / "inbox", 0)
    names = list(inbox.scan())
    assert sorted(body(inbox.path(name)) for name in names) == sorted(body(path) for path in paths)
    assert sum(map(is_conflict, names)) == 30

    log = capfd.readouterr().err
    assert log.count("receive.conflict") == 60
    for path in paths:
        dataset = dcmread(path, stop_before_pixels=True)
        for keyword in ("PatientName", "PatientID", "SOPInstanceUID", "StudyInstanceUID"):
            value = str(dataset.get(keyword) or "")
            assert len(value) < 8 or value not in log, f"{keyword} in the log"  # shorter ones are in some number
