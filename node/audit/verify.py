"""Does the log hold? Every byte of it, in its order, from the first record to the head that was kept elsewhere.

A hash in each record shows a changed byte; the hash of the record before shows a removed, moved or inserted one; the
head shows a cut end. Each is named by its record and line, and one break hides none that follow.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from node.audit.head import Head
from node.audit.log import AuditLog
from node.audit.records import GENESIS, Event, Record


class Fault(StrEnum):
    """How a log can fail to hold."""

    CHANGED = "changed"
    """A line is not what was written."""
    REMOVED = "removed"
    MOVED = "moved"
    INSERTED = "inserted"
    REWRITTEN = "rewritten"
    """A record holds by itself and is another one than the records after it, or the head, knew."""
    CUT = "cut"
    """The end is missing."""


@dataclass(frozen=True)
class Break:
    """One place where the log does not hold.

    Attributes
    ----------
    fault
        How.
    record, line
        Number of the record, and of the line in the file where it stands or should stand.
    text
        One sentence for the administrator.
    """

    fault: Fault
    record: int
    line: int
    text: str

    def __str__(self) -> str:
        return f"record {self.record} (line {self.line}): {self.fault}: {self.text}"


@dataclass(frozen=True)
class Verdict:
    """What came of it.

    Attributes
    ----------
    records
        How many lines were read.
    breaks
        Where the log does not hold, in the order of the file.
    torn
        Bytes of an unfinished last line: what a crash leaves until the next record is written. No break by itself.
    last
        The last record that stands in its place; the head of the log as it is.
    """

    records: int
    breaks: tuple[Break, ...]
    torn: int
    last: Head


def verify(log: AuditLog, head: Head | None) -> Verdict:
    """Check a log.

    Parameters
    ----------
    log
        It may be written to meanwhile: what stands in it when the call begins is checked.
    head
        As it was kept elsewhere; None to check without one, when a cut end cannot be seen.

    Raises
    ------
    OSError
        If the log is missing or cannot be read.
    """
    with log.locked():  # so that no line is half written
        size = log.path.stat().st_size
    walk, torn = _Walk(head), 0
    for line in _lines(log.path, size):
        if line.endswith(b"\n"):
            walk.take(line[:-1])
        else:
            torn = len(line)
    walk.end()
    breaks = sorted(walk.breaks, key=lambda found: found.line)
    return Verdict(walk.line, tuple(breaks), torn, Head(walk.number, walk.hash))


def _lines(path: Path, size: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        while size > 0 and (line := file.readline()):
            yield line[:size]
            size -= len(line)


@dataclass
class _Read:
    """A line with what it says, None where it is no record."""

    line: int
    record: Record | None


@dataclass
class _Walk:
    """The way through the lines, one line ahead: whether a line is out of its place shows by the next one.

    Attributes
    ----------
    number, hash
        Of the last record that stands in its place.
    known
        What the next record may have before it; None where a line that cannot be read hides it.
    """

    head: Head | None
    number: int = 0
    hash: str = GENESIS
    line: int = 0
    known: frozenset[str] | None = frozenset({GENESIS})
    breaks: list[Break] = field(default_factory=list)
    _pending: _Read | None = None
    _strays: list[tuple[int, int]] = field(default_factory=list)
    _gaps: list[tuple[int, int, int, bool]] = field(default_factory=list)
    _at_head: frozenset[str] | None = None

    def take(self, line: bytes) -> None:
        """Go on by a line."""
        self.line += 1
        try:
            record = Record.parse(line)
        except ValueError:
            record = None
        read = _Read(self.line, record)
        if self._pending is not None:
            self._judge(self._pending, read)
        self._pending = read

    def end(self) -> None:
        """Judge the last line, what was found out of its place, what is missing, and the head."""
        if self._pending is not None:
            self._judge(self._pending, None)
        for number, line in self._strays:
            home = next((gap for gap in self._gaps if gap[0] <= number <= gap[1]), None)
            if home is None:
                self._say(Fault.INSERTED, number, line, "it was put in here")
                continue
            self._say(Fault.MOVED, number, line, f"its place is before line {home[2]}")
            self._gaps.remove(home)
            parts = ((home[0], number - 1, *home[2:]), (number + 1, home[1], *home[2:]))
            self._gaps += [part for part in parts if part[0] <= part[1]]
        for first, last, line, found_by_node in self._gaps:
            missing = f"records {first} to {last} are missing" if first < last else "it is missing"
            if found_by_node:
                self._say(Fault.CUT, first, line, f"{missing}: the end was cut here; the node saw it and went on")
            else:
                self._say(Fault.REMOVED, first, line, missing)
        self._compare_with_head()

    def _judge(self, read: _Read, after: _Read | None) -> None:
        record = read.record
        if record is not None and self._fits(record):
            if not record.holds:
                self._say(Fault.CHANGED, record.number, read.line, "its content is not that of its hash")
            self._advance(record.number, record)
        elif after is not None and after.record is not None and self._fits(after.record):
            if record is None:
                self._say(Fault.INSERTED, self.number + 1, read.line, "a line that is no record stands before it")
            else:
                self._strays.append((record.number, read.line))
        elif record is None:
            self._say(Fault.CHANGED, self.number + 1, read.line, "it cannot be read")
            self._advance(self.number + 1, None)
        elif not record.holds:
            self._say(Fault.CHANGED, self.number + 1, read.line, "its content is not that of its hash")
            self._advance(self.number + 1, record)
        else:
            self._misplaced(read.line, record)

    def _misplaced(self, line: int, record: Record) -> None:
        """Judge a record that holds by itself and does not follow the one before."""
        if record.number <= self.number:
            self._strays.append((record.number, line))
            return
        if record.number > self.number + 1:
            self._gaps.append((self.number + 1, record.number - 1, line, record.event == Event.LOG_BROKEN))
        else:
            text = "the record after it was chained to another one"
            self._say(Fault.REWRITTEN, max(self.number, 1), max(line - 1, 1), text)
        self._advance(record.number, record)

    def _fits(self, record: Record) -> bool:
        return record.number == self.number + 1 and (self.known is None or record.before in self.known)

    def _advance(self, number: int, record: Record | None) -> None:
        self.number = number
        # Of a changed record nobody can tell whether the byte lies in its content or in its hash: both may be right.
        self.known = frozenset({record.hash, record.digest()}) if record is not None else None
        self.hash = record.hash if record is not None else GENESIS
        if self.head is not None and number == self.head.number:
            self._at_head = self.known

    def _compare_with_head(self) -> None:
        head = self.head
        if head is None or not head.number:
            return
        if head.number > self.number:
            first = self.number + 1
            missing = f"records {first} to {head.number} are" if first < head.number else f"record {first} is"
            self._say(Fault.CUT, first, self.line + 1, f"the head knows more: {missing} missing at the end")
        elif self._at_head is not None and head.hash not in self._at_head:
            self._say(Fault.REWRITTEN, head.number, self.line, "it is not the record that the head names")

    def _say(self, fault: Fault, record: int, line: int, text: str) -> None:
        self.breaks.append(Break(fault, record, line, text))
