"""The append-only log: a JSON record a line, on disk before the call returns, chained by hashes.

Many threads and processes may write: each takes the lock of the file, reads the last record from the file and adds its
own. A process that is killed leaves at most one line without its end. That line was never acknowledged; whoever writes
next sets it aside, keeps its bytes and says so in a record.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from node.audit.head import Head, HeadUnreadableError, read_head, write_head
from node.audit.records import GENESIS, Event, Record
from node.store import fsync_directory, make_directory, write_durably

_log = structlog.get_logger(__name__)

FILE_NAME = "audit.jsonl"

# How far back a repeated step is looked for: some 2,000 records. After a crash the step's first record is near the end.
_LOOK_BACK = 1 << 20


@dataclass(frozen=True)
class _End:
    """The end of the file: the last record, the bytes of an unfinished line, and why the log does not hold."""

    number: int
    hash: str
    torn: bytes = b""
    fault: str = ""


class AuditLog:
    """The audit log of one node.

    Parameters
    ----------
    folder
        Where the log lies; made if need be, for its owner alone.
    head_file
        File that number and hash of the last record are written to, after each record. Better on another machine: who
        can cut the log should not be able to change it.
    """

    def __init__(self, folder: Path, head_file: Path) -> None:
        self.folder = folder
        self.path = folder / FILE_NAME
        self.head_file = head_file
        make_directory(folder)
        folder.chmod(0o700)

    def append(self, event: Event, *, once: str = "", **facts: Any) -> Record | None:
        """Add a record. When this returns, it is on disk.

        Parameters
        ----------
        event, **facts
            What happened.
        once
            Name of this happening. A record of that name near the end means that a step is repeated after a crash:
            nothing is written then.

        Returns
        -------
        Record or None
            What was written.

        Raises
        ------
        ValueError
            If a fact has not its form (`node.audit.records`).
        OSError
            If the log cannot be written; nothing of the record stays then.
        """
        Record.make(1, GENESIS, event, facts, once)  # what is wrong is refused before the file is touched
        with self.locked(), self._opened() as descriptor:
            end = self._mended(descriptor, self._end(descriptor))
            if once and self._was_said(descriptor, once):
                return None
            record = Record.make(end.number + 1, end.hash, event, facts, once)
            self._write(descriptor, record)
            return record

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep every writer out, in this process and in others."""
        with (self.folder / "lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # goes with the file, however this ends
            yield

    @contextmanager
    def _opened(self) -> Iterator[int]:
        new = not self.path.exists()
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            if new:
                fsync_directory(self.folder)
            yield descriptor
        finally:
            os.close(descriptor)

    def _write(self, descriptor: int, record: Record) -> _End:
        size = os.fstat(descriptor).st_size
        data = record.line() + b"\n"
        try:
            while data:
                data = data[os.write(descriptor, data) :]
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, size)
            raise
        try:
            write_head(self.head_file, Head(record.number, record.hash))
        except OSError as error:
            # The record is safe. A disk of somebody else that is away must not stop the reading of studies.
            _log.error("audit.head_not_written", error=type(error).__name__)
        return _End(record.number, record.hash)

    def _end(self, descriptor: int) -> _End:
        """Return the last record, or what the head knows of it where the file knows less."""
        data, start = _tail(descriptor)
        whole, _, torn = data.rpartition(b"\n")
        end = _End(0, GENESIS, torn)
        if whole or start:
            line = whole.rpartition(b"\n")[2]
            try:
                record = Record.parse(line)
            except ValueError:
                record = None
            if record is not None and record.holds:
                end = _End(record.number, record.hash, torn)
            else:
                # Whatever it was: what follows is chained to its bytes.
                count = record.number if record is not None else _count_lines(descriptor)
                end = _End(count, hashlib.sha256(line).hexdigest(), torn, "changed")
        return self._compared_with_head(end)

    def _compared_with_head(self, end: _End) -> _End:
        """Chain on to the head where the file's end is not what the head knew: so the break shows for good."""
        try:
            head = read_head(self.head_file)
        except HeadUnreadableError:
            return _End(end.number, end.hash, end.torn, end.fault or "head-unreadable")
        except OSError:
            return end
        if head is None:
            return _End(end.number, end.hash, end.torn, end.fault or ("head-missing" if end.number else ""))
        if head.number > end.number:
            return _End(head.number, head.hash, end.torn, "cut")
        if head.number == end.number and head.hash != end.hash:
            return _End(head.number, head.hash, end.torn, end.fault or "rewritten")
        return end

    def _mended(self, descriptor: int, end: _End) -> _End:
        """Put into records what is wrong with the end of the log, so that the chain can go on from there."""
        found = end.number
        if end.torn:
            end = self._set_aside(descriptor, end)
        # A head that cannot be had is said once, and not with every record until its disk is back.
        once = f"log-broken/{end.fault}" + ("" if end.fault.startswith("head-") else f"/{found}")
        if end.fault and not self._was_said(descriptor, once):
            _log.error("audit.broken", fault=end.fault, record=found)
            facts = {"record": found, "fault": end.fault}
            end = self._write(descriptor, Record.make(end.number + 1, end.hash, Event.LOG_BROKEN, facts, once))
        return end

    def _set_aside(self, descriptor: int, end: _End) -> _End:
        """Take an unfinished line off the end, keep its bytes beside the log, and say so in a record."""
        write_durably(self.folder / f"torn-{end.number + 1}-{hashlib.sha256(end.torn).hexdigest()[:16]}", end.torn)
        os.ftruncate(descriptor, os.fstat(descriptor).st_size - len(end.torn))
        facts = {"bytes": len(end.torn), "digest": hashlib.sha256(end.torn).hexdigest()}
        _log.warning("audit.recovered", bytes=len(end.torn), record=end.number + 1)
        written = self._write(descriptor, Record.make(end.number + 1, end.hash, Event.LOG_RECOVERED, facts))
        return _End(written.number, written.hash, b"", end.fault)

    def _was_said(self, descriptor: int, once: str) -> bool:
        size = os.fstat(descriptor).st_size
        recent = os.pread(descriptor, _LOOK_BACK, max(0, size - _LOOK_BACK))
        return f',"once":"{once}",'.encode("ascii") in recent


def _tail(descriptor: int) -> tuple[bytes, int]:
    """Return the end of the file from the start of its last whole line, and where that starts."""
    size = os.fstat(descriptor).st_size
    block = 1 << 16
    while True:
        start = max(0, size - block)
        data = os.pread(descriptor, size - start, start)
        if not start or data.count(b"\n") > 1:
            return data, start
        block *= 4


def _count_lines(descriptor: int) -> int:
    count, offset = 0, 0
    while data := os.pread(descriptor, 1 << 20, offset):
        count += data.count(b"\n")
        offset += len(data)
    return count
