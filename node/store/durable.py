"""Files that are on disk when the function returns."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def fsync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(path: Path) -> None:
    """Create a directory, and its parents, durably. Existing directories are left alone."""
    missing = []
    while not path.exists():
        missing.append(path)
        path = path.parent
    for directory in reversed(missing):
        directory.mkdir(exist_ok=True)
        fsync_directory(directory.parent)


def write_durably(path: Path, *data: bytes | memoryview) -> bool:
    """Write a file so that it is wholly there or not at all, and there after a power cut.

    Parameters
    ----------
    path
        Final name. Its directory is made if need be.
    *data
        The whole content, in one piece or several (a header before a large data set, without copying it).

    Returns
    -------
    bool
        True if the file is new; False if the name was taken, whatever its content: the caller compares.

    Raises
    ------
    OSError
        If the disk is full or fails; nothing half written is left under the final name then.
    """
    make_directory(path.parent)
    part = path.parent / f".{path.name[:100]}.{secrets.token_hex(6)}.part"
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.writelines(data)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(part, path)
        except FileExistsError:
            return False
        return True
    finally:
        part.unlink()
        fsync_directory(path.parent)
