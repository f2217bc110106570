"""The inbox: every object that a peer sent us, one immutable DICOM file each.

A sender deletes its copy, or at least never sends it again, once it heard "success". So success means that the file
lies whole, under its final name, on a disk that survives a power cut. Objects are told apart by SOP Instance UID: the
same bytes again are the same object; other bytes under a used UID are kept apart, for nobody here can say which are
right.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from node.receive.journal import Cursor, Journal
from node.receive.part10 import file_head
from node.store import fsync_directory, make_directory, write_durably

_OBJECT = re.compile(r"[0-9a-f]{64}")
_CONFLICT = re.compile(r"([0-9a-f]{64})\.[0-9a-f]{64}")
_COMPARE_BYTES = 1 << 20
_ABANDONED_S = 86400.0  # a part file of this age belongs to no writer that still lives
_KEEP_HINTS_S = 7 * 86400.0


class InboxFull(OSError):  # noqa: N818  the inbox does its duty here; the disk is at fault
    """There is less space than the low-water mark: nothing is accepted, what is there stays whole."""


@dataclass(frozen=True)
class Receipt:
    """What became of an object that is now on disk.

    Attributes
    ----------
    kind
        ``new``; ``duplicate``: the same bytes lay there; ``conflict``: kept apart from other bytes under the same UID.
    name
        The object's name in the inbox. A plain hash of its UID: no UID can be read from it.
    """

    kind: Literal["new", "duplicate", "conflict"]
    name: str


def is_conflict(name: str) -> bool:
    """Tell whether a name stands for an object whose SOP Instance UID was taken by other bytes."""
    return _CONFLICT.fullmatch(name) is not None


class Inbox:
    """The received objects under one folder. Any number of processes may use it at once.

    Parameters
    ----------
    root
        Folder; made if need be.
    low_water_bytes
        Bytes that must stay free after an object is accepted: the database, the artefacts and the results of what is
        here already need space too.
    """

    def __init__(self, root: Path, low_water_bytes: int) -> None:
        self._root = root
        self._low_water_bytes = low_water_bytes
        self._journal = Journal(root / "journal")
        make_directory(root / "journal")
        # All folders are made, and made durable, before the first object: else one receiver could acknowledge into a
        # folder that another one has just made and not yet synced.
        for kind in ("objects", "conflicts"):
            make_directory(root / kind)
            for shard in range(256):
                (root / kind / f"{shard:02x}").mkdir(exist_ok=True)
            fsync_directory(root / kind)

    def accept(
        self, sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str, dataset: bytes | memoryview
    ) -> Receipt:
        """Keep an object. When this returns, it is on disk.

        Parameters
        ----------
        sop_class_uid, sop_instance_uid, transfer_syntax_uid
            As negotiated and named by the sender. Any text will do: nothing of it becomes part of a path.
        dataset
            The encoded data set, not looked into.

        Returns
        -------
        Receipt
            Which file holds the object.

        Raises
        ------
        InboxFull
            If the disk is below the low-water mark.
        OSError
            If the disk refuses; the object is then not in the inbox.
        ValueError
            If the SOP Instance UID is empty or a UID is too long to be written.
        """
        uid = sop_instance_uid.rstrip(" \x00")
        if not uid:
            raise ValueError("an object without a SOP Instance UID has no name")
        content = (file_head(sop_class_uid, uid, transfer_syntax_uid), dataset)
        self._require_space(len(content[0]) + len(dataset))
        receipt = self._keep(hashlib.sha256(uid.encode("utf-8", "surrogatepass")).hexdigest(), content)
        self._journal.append(receipt.name)
        return receipt

    def path(self, name: str) -> Path:
        """Return where an object lies.

        Raises
        ------
        ValueError
            If this is no name of the inbox.
        """
        if _OBJECT.fullmatch(name):
            return self._root / "objects" / name[:2] / f"{name}.dcm"
        if is_conflict(name):
            return self._root / "conflicts" / name[:2] / f"{name}.dcm"
        raise ValueError("not a name in the inbox")

    def arrivals(self, cursor: Cursor | None = None) -> tuple[tuple[str, ...], dict[str, int]]:
        """Return the names that arrived since, duplicates and conflicts too, and the cursor to go on from.

        A hint, cheap enough to ask for every second; `scan` is the truth. Who starts takes a cursor first, scans, and
        then follows the arrivals, so that nothing falls between. A duplicate counts as an arrival because it shows that
        a study is still being sent.

        Parameters
        ----------
        cursor
            What the last call returned; None starts with the oldest hint that is kept.
        """
        lines, reached = self._journal.read(cursor or {})
        return tuple(line for line in lines if _OBJECT.fullmatch(line) or is_conflict(line)), reached

    def scan(self) -> Iterator[str]:
        """Yield the name of every object, conflicts last."""
        for kind in ("objects", "conflicts"):
            for shard in range(256):
                with os.scandir(self._root / kind / f"{shard:02x}") as entries:
                    yield from sorted(entry.name[:-4] for entry in entries if entry.name.endswith(".dcm"))

    def tidy(self) -> None:
        """Remove what dead receivers left: parts of files that were never acknowledged, and hints of long ago."""
        for part in self._root.glob("*/??/.*.part"):
            if time.time() - part.stat().st_mtime > _ABANDONED_S:
                part.unlink(missing_ok=True)
        self._journal.tidy(_KEEP_HINTS_S)

    def close(self) -> None:
        """Let go of the journal. The inbox can be used on; it then begins another one."""
        self._journal.close()

    def _require_space(self, wanted: int) -> None:
        disk = os.statvfs(self._root)
        if disk.f_bavail * disk.f_frsize - wanted < self._low_water_bytes:
            raise InboxFull(errno.ENOSPC, "below the low-water mark")

    def _keep(self, name: str, content: tuple[bytes, bytes | memoryview]) -> Receipt:
        path = self.path(name)
        if not path.exists() and write_durably(path, *content):
            return Receipt("new", name)
        if _holds(path, content):
            fsync_directory(path.parent)  # its first receiver may not have come so far yet
            return Receipt("duplicate", name)
        digest = hashlib.sha256(content[0])
        digest.update(content[1])
        conflict = f"{name}.{digest.hexdigest()}"
        write_durably(self.path(conflict), *content)  # the name is the content: if it is there, it is this
        return Receipt("conflict", conflict)


def _holds(path: Path, content: tuple[bytes, bytes | memoryview]) -> bool:
    """Tell whether a file holds exactly this, without reading a large one into memory."""
    if path.stat().st_size != sum(map(len, content)):
        return False
    with path.open("rb") as file:
        for piece in content:
            for start in range(0, len(piece), _COMPARE_BYTES):
                expected = piece[start : start + _COMPARE_BYTES]
                if file.read(len(expected)) != expected:
                    return False
    return True
