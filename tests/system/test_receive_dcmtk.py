"""DCMTK's tools send to our receivers, and its receiver takes what we send."""

import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydicom.uid import JPEGLossless
from pynetdicom.dsutils import split_dataset

from node.net import Answer, Destination, Failure, send
from node.receive import Inbox, ReceiverProcesses, ReceiverSettings
from tests.peers.phantoms import encoded, write_slices

pytestmark = pytest.mark.system

HOST = "127.0.0.1"
ENVIRONMENT = {**os.environ, "TCP_NODELAY": "1"}


def tool(name: str) -> str:
    """Return DCMTK's tool: by its full path, for pynetdicom installs scripts of the same names."""
    path = Path("/usr/bin") / name
    if not path.exists():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(
            f"DCMTK's {name} is not installed: apt-get install dcmtk"
        )
    return str(path)


def run(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [tool(name), *map(str, arguments)], check=False, capture_output=True, text=True, env=ENVIRONMENT, timeout=120
    )


def body(path: Path) -> tuple[str, bytes]:
    meta, offset = split_dataset(path)
    return str(meta.TransferSyntaxUID), path.read_bytes()[offset:]


@pytest.fixture
def inbox(tmp_path) -> Inbox:
    return Inbox(tmp_path / "inbox", 0)


@pytest.fixture
def port(tmp_path) -> Iterator[int]:
    with ReceiverProcesses(ReceiverSettings(root=tmp_path / "inbox", low_water_bytes=0, host=HOST, port=0), 2) as ours:
        yield ours.port


@contextmanager
def storescp(folder: Path, *options: str) -> Iterator[int]:
    """Run DCMTK's receiver, which writes data sets as they come, over whatever it has."""
    folder.mkdir()
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = int(probe.getsockname()[1])
    command = [tool("storescp"), "--bit-preserving", "--accept-all", "--unique-filenames", "-od", str(folder)]
    process = subprocess.Popen([*command, *options, str(port)], env=ENVIRONMENT)
    try:
        end = time.monotonic() + 20
        while run("echoscu", HOST, port).returncode and time.monotonic() < end:
            time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait()


@pytest.mark.verifies("SRS-008", level="system", technique="oracle")
def test_echoscu(port):
    result = run("echoscu", "-v", HOST, port)
    assert result.returncode == 0
    assert "Success" in result.stdout + result.stderr


@pytest.mark.verifies("SRS-002", "SRS-008", level="system", technique="oracle")
@pytest.mark.verifies("SRS-002", "SRS-008", level="system", technique="real-data")
@pytest.mark.data
@pytest.mark.filterwarnings("ignore:Invalid value for VR UI", "ignore:Expected explicit VR, but found implicit VR")
def test_dcmsend_leaves_with_us_what_it_leaves_with_its_own_receiver(port, inbox, tmp_path, study):
    """Bit by bit: DCMTK rewrites broken files as it sends them, so that its own receiver is the measure.

    JPEG lossless of another than the first selection value, which its receiver does not take, is left to the tests that
    send with our own client.
    """
    paths = [path for path in sorted(study("multivendor").glob("*.dcm")) if body(path)[0] != JPEGLossless]
    with storescp(tmp_path / "theirs") as their_port:
        run("dcmsend", "-v", "--no-halt", HOST, their_port, *paths)
    result = run("dcmsend", "-v", "--no-halt", HOST, port, *paths)

    successes = int(re.search(r"with status SUCCESS\s*: (\d+)", result.stdout + result.stderr)[1])
    assert successes > 200
    assert len(inbox.arrivals()[0]) == successes, "what it heard is what we did"
    ours = {body(inbox.path(name)) for name in inbox.scan()}
    theirs = {body(path) for path in (tmp_path / "theirs").iterdir()}
    assert len(theirs) > 180
    assert theirs <= ours
    assert len({syntax for syntax, _ in ours}) >= 12


@pytest.mark.verifies("SRS-001", "SRS-002", level="system", technique="example")
def test_storescu_eight_times_at_once_loses_nothing(port, inbox, tmp_path):
    folders = [tmp_path / f"source-{number}" for number in range(8)]
    paths = [path for number, folder in enumerate(folders) for path in write_slices(folder, f"dcmtk-{number}", 25)]
    senders = [
        subprocess.Popen([tool("storescu"), "--scan-directories", HOST, str(port), str(folder)], env=ENVIRONMENT)
        for folder in folders
    ]
    assert [sender.wait(timeout=120) for sender in senders] == [0] * 8
    assert sorted(encoded(inbox.path(name)) for name in inbox.scan()) == sorted(encoded(path) for path in paths)


@pytest.mark.verifies("SRS-005", "SRS-006", level="system", technique="boundary")
def test_storescu_is_told_why_it_is_refused(tmp_path):
    (path,) = write_slices(tmp_path / "source", "dcmtk", 1)
    settings = ReceiverSettings(root=tmp_path / "inbox", low_water_bytes=1 << 60, host=HOST, port=0)
    with ReceiverProcesses(settings, 1) as receivers:
        result = run("storescu", "-d", HOST, receivers.port, path)
    said = result.stdout + result.stderr
    assert result.returncode != 0
    assert "0xa700" in said.lower()
    assert "Too little disk space left" in said
    assert list(Inbox(tmp_path / "inbox", 0).scan()) == []


@pytest.mark.verifies("SRS-014", "SRS-016", level="system", technique="real-data")
@pytest.mark.data
@pytest.mark.filterwarnings("ignore:Invalid value for VR UI", "ignore:Expected explicit VR, but found implicit VR")
@pytest.mark.filterwarnings("ignore:Incorrect value for Specific Character Set")
def test_what_we_send_arrives_at_storescp_as_it_was(tmp_path, study):
    paths = sorted(study("multivendor").glob("*.dcm"))
    with storescp(tmp_path / "theirs") as their_port:
        answers = send(paths, Destination(ae_title="STORESCP", host=HOST, port=their_port))
    outcomes = dict(zip(paths, answers, strict=True))
    sent = [path for path in paths if outcomes[path] == Answer(status=0)]
    lost = [path for path in paths if outcomes[path].failure is Failure.CONNECTION_LOST]
    assert {answer.failure for answer in answers} <= {None, Failure.NO_PRESENTATION_CONTEXT, Failure.CONNECTION_LOST}
    assert all(len(body(path)[1]) % 2 for path in lost), "DCMTK hangs up at a data set of odd length"
    assert len(sent) > 200
    assert sorted(body(path) for path in (tmp_path / "theirs").iterdir()) == sorted(body(path) for path in sent)
