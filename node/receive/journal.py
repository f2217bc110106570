"""Hints of what arrived, so that nobody has to walk the whole inbox every second.

Each receiving process appends to a file of its own, which it holds locked; readers remember how far they got in each.
A hint may be missing (the process died between the object and its hint, the disk was full): the inbox is the truth.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)

Cursor = Mapping[str, int]
"""How many bytes of each journal file are read. Plain, so that it can be kept as JSON."""

_ROTATE_BYTES = 4 << 20  # about 60,000 arrivals


class Journal:
    """The arrivals' hints in one folder.

    Parameters
    ----------
    folder
        Where the files of all writers lie; must exist.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        self._written = 0

    def append(self, name: str) -> None:
        """Leave a hint. Never fails: the object is safe already, and its sender is owed a success."""
        line = f"{name}\n".encode()
        with self._lock:
            try:
                if self._descriptor is None:
                    self._descriptor = self._new_file()
                if os.write(self._descriptor, line) != len(line):
                    raise OSError("hint cut off")  # noqa: TRY301  same consequence as a write that fails
                self._written += len(line)
            except OSError as error:
                log.warning("journal.hint-lost", errno=error.errno)
                self._close()
            if self._written >= _ROTATE_BYTES:
                self._close()

    def read(self, cursor: Cursor) -> tuple[tuple[str, ...], dict[str, int]]:
        """Return the lines added since, and the new cursor. Journals that are gone leave the cursor too."""
        lines: list[str] = []
        reached: dict[str, int] = {}
        for path in sorted(self._folder.glob("*.log")):
            offset = cursor.get(path.name, 0)
            with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
                file.seek(offset)
                whole, newline, _ = file.read().rpartition(b"\n")  # a line still being written waits for the next read
                lines += whole.decode("ascii", "replace").splitlines()
                reached[path.name] = offset + len(whole) + len(newline)
        return tuple(lines), reached

    def tidy(self, older_than_s: float) -> None:
        """Remove the journals of writers that are gone and wrote nothing for this long."""
        for path in self._folder.glob("*.log"):
            with contextlib.suppress(FileNotFoundError, BlockingIOError):
                if time.time() - path.stat().st_mtime < older_than_s:
                    continue
                descriptor = os.open(path, os.O_RDONLY)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    path.unlink()
                finally:
                    os.close(descriptor)

    def _new_file(self) -> int:
        path = self._folder / f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{secrets.token_hex(6)}.log"
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return descriptor

    def close(self) -> None:
        """End this writer's file; the next hint begins another."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor = None
        self._written = 0
