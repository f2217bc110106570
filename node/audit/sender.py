"""Send the log on, record by record, for as long as it takes. A collector that is down holds up nothing but itself."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import structlog

from node.audit.head import replace_durably
from node.audit.log import AuditLog
from node.audit.messages import Source, Subject, message, needs_subject
from node.audit.records import Record
from node.audit.syslog import Collector, Connection, syslog_message

_log = structlog.get_logger(__name__)
_POLL_S = 0.5
_LONGEST_WAIT_S = 60.0
_LONGEST_LINE = 1 << 17  # the packages of a start take a few thousand bytes


class Sender:
    """A thread that makes messages of the log's records and sends them.

    How far it came is kept on disk: what is not sent when the node stops is sent after its next start.

    Parameters
    ----------
    log
        What is sent on. Of a log without a cursor only what is written from now on.
    cursor_file
        Where it keeps how far it came.
    collector
        Where to.
    source
        Who reports.
    subject_of
        Tells whom a record is about, in real identities; called when the message is made, and kept by nobody.
    """

    def __init__(
        self,
        log: AuditLog,
        cursor_file: Path,
        collector: Collector,
        source: Source,
        subject_of: Callable[[Record], Subject],
    ) -> None:
        self._log = log
        self._cursor_file = cursor_file
        self._connection = Connection(collector)
        self._source = source
        self._subject_of = subject_of
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="audit-sender", daemon=True)
        self._seen = -1
        self._offset, self._number = self._read_cursor()

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self, timeout_s: float = 3.0) -> None:
        """Try once more to send what is left, and end."""
        self._stop.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        wait, down = _POLL_S, False
        while True:
            last = self._stop.is_set()
            try:
                self._send_new()
                wait, down = _POLL_S, False
            except OSError as error:
                if not down:
                    _log.warning("audit.collector_down", error=type(error).__name__)
                wait, down = min(2 * wait, _LONGEST_WAIT_S), True
            except Exception as error:  # noqa: BLE001  one record that cannot be sent must not end the thread
                _log.error("audit.sender_failed", error=type(error).__name__)
                wait = _LONGEST_WAIT_S
            if last:
                self._connection.close()
                return
            self._stop.wait(wait)

    def _send_new(self) -> None:
        try:
            file = self._log.path.open("rb")
        except FileNotFoundError:
            return
        with file:
            size = file.seek(0, 2)
            if size == self._seen:
                return
            if self._number_before(file, self._offset) != self._number:
                self._begin_anew(file, size)
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._send(line[:-1])
                self._offset += len(line)
                self._keep_cursor()
            self._seen = self._offset

    def _begin_anew(self, file: BinaryIO, size: int) -> None:
        """Go through a log of which something was cut: what was sent is known by its number, unless it counts anew."""
        self._offset = 0
        if self._number_before(file, size) < self._number:
            self._number = 0

    @staticmethod
    def _number_before(file: BinaryIO, offset: int) -> int:
        """Return the number of the record that ends at an offset, 0 if none does."""
        start = max(0, offset - _LONGEST_LINE)
        file.seek(start)
        whole, end, rest = file.read(offset - start).rpartition(b"\n")
        try:
            return Record.parse(whole.rpartition(b"\n")[2]).number if end and not rest else 0
        except ValueError:
            return 0

    def _send(self, line: bytes) -> None:
        try:
            record = Record.parse(line)
        except ValueError:
            return  # `verify` names it, and its alert is a record of its own
        if record.number <= self._number:
            return
        subject = self._subject_of(record) if needs_subject(record) else None
        made = message(record, self._source, subject)
        if made is not None:
            text, outcome = made
            source = self._source
            self._connection.send(
                syslog_message(text, outcome=outcome, time=record.time, host=source.host, process=source.process)
            )
        self._number = record.number

    def _read_cursor(self) -> tuple[int, int]:
        try:
            cursor = json.loads(self._cursor_file.read_bytes())
            return int(cursor["offset"]), int(cursor["number"])
        except FileNotFoundError:
            self._offset, self._number = 0, 0
            if self._log.path.exists():
                with self._log.path.open("rb") as file:
                    self._offset = file.seek(0, 2)
                    self._number = self._number_before(file, self._offset)
            self._keep_cursor()
            return self._offset, self._number

    def _keep_cursor(self) -> None:
        cursor = {"offset": self._offset, "number": self._number}
        replace_durably(self._cursor_file, json.dumps(cursor).encode("ascii"))
