"""Write to the audit log as another process would; end as a crash would: ``python -m tests.node.audit.writing``."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from node.audit import AuditLog, Event
from node.dicom.uids import derive_uid


def open_log(folder: Path) -> AuditLog:
    return AuditLog(folder / "audit", folder / "head.json")


def write(log: AuditLog, count: int, name: str = "study") -> None:
    """Write some records that are different from each other."""
    for number in range(count):
        log.append(Event.STATUS_ASKED, study=derive_uid("test", name, str(number)), asked_by="real-uid")


def die_within_a_line(log: AuditLog) -> None:
    """Be killed after half of a line is written."""
    write_all = os.write

    def write_half(descriptor: int, data: bytes) -> int:
        write_all(descriptor, data[: len(data) // 2])
        os.kill(os.getpid(), signal.SIGKILL)
        return 0

    os.write = write_half
    write(log, 1, "torn")


if __name__ == "__main__":
    folder, count, name = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    write(open_log(folder), count, name)
    if name == "dying":
        die_within_a_line(open_log(folder))
