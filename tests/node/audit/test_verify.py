"""Whatever is done to the log afterwards is named, at its record and line, and hides nothing that follows."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from node.audit import AuditLog, Break, Event, Fault, Head, Record, read_head, verify
from node.audit.records import GENESIS
from node.dicom.uids import derive_uid
from tests.node.audit.writing import open_log, write

COUNT = 9


@pytest.fixture
def log(tmp_path: Path) -> AuditLog:
    log = open_log(tmp_path)
    write(log, COUNT)
    return log


def breaks(log: AuditLog) -> tuple[Break, ...]:
    return verify(log, read_head(log.head_file)).breaks


def lines_of(log: AuditLog) -> list[bytes]:
    return log.path.read_bytes().splitlines(keepends=True)


@pytest.mark.verifies("SRS-254", level="unit", technique="example")
def test_an_untouched_log_holds(log: AuditLog) -> None:
    verdict = verify(log, read_head(log.head_file))
    assert (verdict.records, verdict.breaks, verdict.torn, verdict.last.number) == (COUNT, (), 0, COUNT)


@pytest.mark.verifies("SRS-254", level="unit", technique="adversarial")
def test_every_flipped_byte_is_found_at_its_record(log: AuditLog) -> None:
    whole = log.path.read_bytes()
    head = read_head(log.head_file)
    rng = random.Random(7)
    for position in [*rng.sample(range(len(whole) - 1), 400), *range(600, 1100)]:
        spoiled = bytearray(whole)
        spoiled[position] ^= 1 << rng.randrange(8)
        log.path.write_bytes(spoiled)
        record = whole.count(b"\n", 0, position) + 1
        first = verify(log, head).breaks[0]
        assert (first.record, first.line) == (record, record), (position, whole[position : position + 1])


@pytest.mark.verifies("SRS-254", level="unit", technique="adversarial")
@pytest.mark.parametrize("record", range(1, COUNT + 1))
def test_a_flipped_byte_hides_no_other_one(record: int, log: AuditLog) -> None:
    lines = lines_of(log)
    lines[record - 1] = lines[record - 1].replace(b"real-uid", b"real-uie")
    log.path.write_bytes(b"".join(lines))
    assert [(found.fault, found.record, found.line) for found in breaks(log)] == [(Fault.CHANGED, record, record)]


@pytest.mark.verifies("SRS-254", level="unit", technique="adversarial")
@pytest.mark.parametrize("record", range(1, COUNT))
def test_a_removed_record_is_named(record: int, log: AuditLog) -> None:
    lines = lines_of(log)
    del lines[record - 1]
    log.path.write_bytes(b"".join(lines))
    assert [(found.fault, found.record, found.line) for found in breaks(log)] == [(Fault.REMOVED, record, record)]


@pytest.mark.verifies("SRS-253", "SRS-254", level="unit", technique="adversarial")
@pytest.mark.parametrize("left", range(COUNT))
def test_a_cut_end_is_found_against_the_head(left: int, log: AuditLog) -> None:
    log.path.write_bytes(b"".join(lines_of(log)[:left]))
    assert [(found.fault, found.record, found.line) for found in breaks(log)] == [(Fault.CUT, left + 1, left + 1)]
    assert not verify(log, None).breaks, "without a head nobody can tell"


@pytest.mark.verifies("SRS-253", level="unit", technique="adversarial")
def test_an_end_cut_within_its_last_line_is_found_against_the_head(log: AuditLog) -> None:
    log.path.write_bytes(log.path.read_bytes()[:-1])
    verdict = verify(log, read_head(log.head_file))
    assert [(found.fault, found.record) for found in verdict.breaks] == [(Fault.CUT, COUNT)]
    assert verdict.torn


def moved(lines: list[bytes]) -> None:
    lines.insert(6, lines.pop(3))


def moved_back(lines: list[bytes]) -> None:
    lines.insert(2, lines.pop(6))


def copied(lines: list[bytes]) -> None:
    lines.insert(5, lines[2])


def forged(lines: list[bytes]) -> None:
    before = Record.parse(lines[2].rstrip()).hash
    facts = {"study": derive_uid("forged"), "asked_by": "real-uid"}
    lines.insert(3, Record.make(4, before, Event.STATUS_ASKED, facts).line() + b"\n")


def no_record(lines: list[bytes]) -> None:
    lines.insert(3, b"no record\n")


def rewritten(lines: list[bytes]) -> None:
    facts = {"study": derive_uid("forged"), "asked_by": "real-uid"}
    before = Record.parse(lines[2].rstrip()).hash
    lines[3] = Record.make(4, before, Event.STATUS_ASKED, facts).line() + b"\n"


def all_rewritten(lines: list[bytes]) -> None:
    before = GENESIS
    for number in range(1, COUNT + 1):
        facts = {"study": derive_uid("forged", str(number)), "asked_by": "real-uid"}
        record = Record.make(number, before, Event.STATUS_ASKED, facts)
        lines[number - 1], before = record.line() + b"\n", record.hash


@pytest.mark.verifies("SRS-254", level="unit", technique="adversarial")
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (moved, (Fault.MOVED, 4, 7)),
        (moved_back, (Fault.MOVED, 7, 3)),
        (copied, (Fault.INSERTED, 3, 6)),
        (forged, (Fault.INSERTED, 4, 5)),
        (no_record, (Fault.INSERTED, 4, 4)),
        (rewritten, (Fault.REWRITTEN, 4, 4)),
        (all_rewritten, (Fault.REWRITTEN, COUNT, COUNT)),
    ],
)
def test_what_was_moved_put_in_or_written_anew_is_named(
    change: Callable[[list[bytes]], None], expected: tuple[Fault, int, int], log: AuditLog
) -> None:
    lines = lines_of(log)
    change(lines)
    log.path.write_bytes(b"".join(lines))
    assert expected in [(found.fault, found.record, found.line) for found in breaks(log)]


@pytest.mark.verifies("SRS-254", level="unit", technique="adversarial")
def test_several_breaks_are_all_named(log: AuditLog) -> None:
    lines = lines_of(log)
    lines[1] = lines[1].replace(b"real-uid", b"real-uie")
    del lines[4:6]
    log.path.write_bytes(b"".join(lines[:-1]))
    found = breaks(log)
    assert [(one.fault, one.record) for one in found] == [(Fault.CHANGED, 2), (Fault.REMOVED, 5), (Fault.CUT, COUNT)]
    assert str(found[1]) == "record 5 (line 5): removed: records 5 to 6 are missing"


@pytest.mark.verifies("SRS-253", level="unit", technique="boundary")
def test_an_older_head_still_vouches_for_what_it_knew(log: AuditLog) -> None:
    older = Head(5, Record.parse(lines_of(log)[4].rstrip()).hash)
    assert not verify(log, older).breaks
    wrong = verify(log, Head(5, "0" * 64)).breaks
    assert [(found.fault, found.record) for found in wrong] == [(Fault.REWRITTEN, 5)]


@pytest.mark.verifies("SRS-254", level="unit", technique="boundary")
def test_an_empty_log_holds_and_a_missing_one_is_an_error(log: AuditLog) -> None:
    log.path.write_bytes(b"")
    assert not verify(log, None).breaks
    log.path.unlink()
    with pytest.raises(FileNotFoundError):
        verify(log, None)
