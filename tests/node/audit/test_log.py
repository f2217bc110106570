"""The log: nothing acknowledged is lost, whoever writes and however they end; nothing of an identity can be written."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from node.audit import AuditLog, Event, Fault, Head, Record, read_head, verify
from node.audit.records import FACTS
from node.dicom.uids import derive_uid
from tests.node.audit.writing import open_log, write

STUDY = derive_uid("test", "study")


def records(log: AuditLog) -> list[Record]:
    return [Record.parse(line) for line in log.path.read_bytes().splitlines()]


def write_elsewhere(folder: Path, count: int, name: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "tests.node.audit.writing", str(folder), str(count), name])


def is_whole(log: AuditLog) -> bool:
    return not verify(log, read_head(log.head_file)).breaks


@pytest.mark.verifies("SRS-250", level="unit", technique="example")
def test_records_are_numbered_chained_and_private(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    write(log, 3)
    found = records(log)
    assert [record.number for record in found] == [1, 2, 3]
    assert [record.before for record in found[1:]] == [record.hash for record in found[:2]]
    assert all(record.holds and record.event == "status-asked" and record.time.endswith("Z") for record in found)
    assert read_head(log.head_file) == Head(3, found[2].hash)
    assert stat.S_IMODE(log.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(log.folder.stat().st_mode) == 0o700


@pytest.mark.verifies("SRS-250", level="integration", technique="fault-injection")
def test_processes_and_threads_write_one_chain(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    others = [write_elsewhere(tmp_path, 40, name) for name in ("one", "two")]
    threads = [threading.Thread(target=write, args=(log, 40, f"thread {n}")) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [other.wait(60) for other in others] == [0, 0]
    found = records(log)
    assert [record.number for record in found] == list(range(1, 161))
    assert len({record.facts["study"] for record in found}) == 160
    assert is_whole(log)


@pytest.mark.verifies("SRS-252", level="integration", technique="fault-injection")
def test_a_line_torn_by_kill_9_is_set_aside_and_said(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    assert write_elsewhere(tmp_path, 5, "dying").wait(60) == -9
    torn = log.path.read_bytes().rpartition(b"\n")[2]
    assert torn, "the process was killed within a line"
    verdict = verify(log, read_head(log.head_file))
    assert (verdict.records, verdict.breaks, verdict.torn) == (5, (), len(torn))
    write(log, 1)
    found = records(log)
    assert [record.event for record in found] == ["status-asked"] * 5 + ["log-recovered", "status-asked"]
    assert found[5].facts["bytes"] == len(torn)
    (kept,) = log.folder.glob("torn-*")
    assert kept.read_bytes() == torn
    assert is_whole(log)


@pytest.mark.verifies("SRS-252", level="unit", technique="fault-injection")
@pytest.mark.parametrize("failing", ["write", "fsync"])
def test_a_record_that_cannot_be_written_is_not_half_there(
    failing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = open_log(tmp_path)
    write(log, 2)
    before = log.path.read_bytes()
    write_all = os.write

    def full(descriptor: int, data: bytes = b"") -> int:
        if data:
            write_all(descriptor, data[:10])
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patched:
        patched.setattr(os, failing, full)
        with pytest.raises(OSError, match="full"):
            write(log, 1)
    assert log.path.read_bytes() == before
    write(log, 1)
    assert is_whole(log)


@pytest.mark.verifies("SRS-252", level="unit", technique="fault-injection")
def test_a_repeated_step_writes_no_second_record(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    for _ in range(2):
        log.append(Event.RETRY_ASKED, once="read/1", study=STUDY, asked_by="pseudonym")
        write(log, 2)
    log.append(Event.RETRY_ASKED, once="read/2", study=STUDY, asked_by="pseudonym")
    assert [record.once for record in records(log) if record.once] == ["read/1", "read/2"]


@pytest.mark.verifies("SRS-253", level="unit", technique="fault-injection")
def test_a_head_that_cannot_be_written_does_not_stop_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    log = AuditLog(tmp_path / "audit", tmp_path / "file" / "head.json")
    write(log, 3)
    events = [record.event for record in records(log)]
    assert events.count("status-asked") == 3
    assert not verify(log, None).breaks


@pytest.mark.verifies("SRS-253", level="unit", technique="adversarial")
def test_an_end_that_was_cut_while_nobody_looked_shows_for_good(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    write(log, 6)
    lines = log.path.read_bytes().splitlines(keepends=True)
    log.path.write_bytes(b"".join(lines[:4]))
    write(log, 2)
    found = records(log)
    assert [(record.number, record.event) for record in found[4:]] == [
        (7, "log-broken"),
        (8, "status-asked"),
        (9, "status-asked"),
    ]
    (cut,) = verify(log, read_head(log.head_file)).breaks
    assert (cut.fault, cut.record, cut.line) == (Fault.CUT, 5, 5)
    assert "records 5 to 6 are missing" in cut.text


@pytest.mark.verifies("SRS-253", level="unit", technique="adversarial")
def test_a_log_that_was_deleted_shows_for_good(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    write(log, 3)
    log.path.unlink()
    write(log, 1)
    assert [record.number for record in records(log)] == [4, 5]
    (cut,) = verify(log, read_head(log.head_file)).breaks
    assert (cut.fault, cut.record) == (Fault.CUT, 1)


@pytest.mark.verifies("SRS-253", level="unit", technique="adversarial")
def test_a_last_record_that_was_written_anew_shows_for_good(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    write(log, 3)
    lines = log.path.read_bytes().splitlines(keepends=True)
    before = Record.parse(lines[1].rstrip()).hash
    forged = Record.make(3, before, Event.STATUS_ASKED, {"study": "", "asked_by": "pseudonym"})
    log.path.write_bytes(b"".join(lines[:2]) + forged.line() + b"\n")
    write(log, 1)
    assert [record.event for record in records(log)[3:]] == ["log-broken", "status-asked"]
    (found,) = verify(log, read_head(log.head_file)).breaks
    assert (found.fault, found.record) == (Fault.REWRITTEN, 3)


@pytest.mark.verifies("SRS-253", level="unit", technique="adversarial")
@pytest.mark.parametrize(
    ("head", "fault"), [("", "head-missing"), ("{}", "head-unreadable"), ("[1]", "head-unreadable")]
)
def test_a_head_that_was_taken_away_or_spoiled_is_put_down_once(head: str, fault: str, tmp_path: Path) -> None:
    log = open_log(tmp_path)
    write(log, 2)
    log.head_file.unlink()
    if head:
        log.head_file.write_text(head)
    write(log, 2)
    assert [record.facts.get("fault") for record in records(log)] == [None, None, fault, None, None]
    assert is_whole(log)


@pytest.mark.verifies("SRS-251", level="unit", technique="adversarial")
@pytest.mark.parametrize(
    ("event", "facts"),
    [
        (Event.STATUS_ASKED, {"study": "1.2.840.113619.2.55.3.1234", "asked_by": "real-uid"}),
        (Event.STATUS_ASKED, {"study": STUDY, "asked_by": "PHANTOM^TEST"}),
        (Event.STATUS_ASKED, {"study": STUDY, "asked_by": "real-uid", "name": "PHANTOM^TEST"}),
        (Event.STATUS_ASKED, {"study": STUDY}),
        (Event.STUDY_REFUSED, {"job": "", "study": STUDY, "reason": "PHANTOM^TEST"}),
        (Event.STUDY_REFUSED, {"job": "read-1.2.3.4-1", "study": STUDY, "reason": "no-liver"}),
        (
            Event.STUDY_IDENTIFIED,
            {"job": "", "study": STUDY, "patient": "PHANTOM", "images": 1, "vault_key": "1-0123456789abcdef"},
        ),
    ],
)
def test_what_could_name_a_person_is_refused_without_being_quoted(
    event: Event, facts: dict[str, object], tmp_path: Path
) -> None:
    log = open_log(tmp_path)
    with pytest.raises(ValueError, match=r"facts|form") as refused:
        log.append(event, **facts)
    assert "PHANTOM" not in str(refused.value)
    assert "1.2.840" not in str(refused.value)
    assert not log.path.exists()


@pytest.mark.verifies("SRS-251", level="unit", technique="consistency")
def test_every_event_has_its_facts() -> None:
    assert set(FACTS) == set(Event)


@pytest.mark.verifies("SRS-250", level="unit", technique="bad-input")
@pytest.mark.parametrize(
    "line",
    [b"", b"{}", b"[]", b"1", b"null", b'{"number":1}', b"\xff\xfe", b"[" * 5000, b'{"number":' + b"9" * 9999],
    ids=["empty", "object", "list", "number", "null", "part", "bytes", "deep", "huge"],
)
def test_what_is_no_record_is_no_record(line: bytes) -> None:
    with pytest.raises(ValueError, match="not a record"):
        Record.parse(line)


@pytest.mark.verifies("SRS-250", level="unit", technique="adversarial")
def test_a_record_written_another_way_is_no_record(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    write(log, 1)
    line = log.path.read_bytes().rstrip(b"\n")
    assert Record.parse(line).holds
    with pytest.raises(ValueError, match="written"):
        Record.parse(json.dumps(json.loads(line)).encode())
    with pytest.raises(ValueError, match="written"):
        Record.parse(line[:-1] + b',"hash":"' + b"0" * 64 + b'"}')
