"""The head of the log: number and hash of its last record, kept in a file elsewhere, so that a cut end is seen."""

from __future__ import annotations

import json
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from node.store import fsync_directory, make_directory

_LONGEST = 1000


class HeadUnreadableError(ValueError):
    """What lies in the file of the head is no head."""


@dataclass(frozen=True)
class Head:
    """The last record, as somebody else remembers it."""

    number: int
    hash: str


def read_head(path: Path) -> Head | None:
    """Return the head that a file holds, None if there is no such file.

    Raises
    ------
    HeadUnreadableError
        If the file holds something else.
    OSError
        If it cannot be read.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_LONGEST)
    except FileNotFoundError:
        return None
    try:
        head = Head(**json.loads(text))
    except (ValueError, TypeError) as error:
        raise HeadUnreadableError(f"{path}: no head of an audit log") from error
    if type(head.number) is not int or type(head.hash) is not str or not re.fullmatch("[0-9a-f]{64}", head.hash):
        raise HeadUnreadableError(f"{path}: no head of an audit log")
    return head


def write_head(path: Path, head: Head) -> None:
    """Put a head in the place of the one before, wholly or not at all, and durably.

    Raises
    ------
    OSError
        If it cannot be written; the one before stays.
    """
    replace_durably(path, json.dumps(vars(head)).encode("ascii") + b"\n")


def replace_durably(path: Path, data: bytes) -> None:
    """Write a small file in the place of the one before, wholly or not at all. `node.store` replaces nothing."""
    make_directory(path.parent)
    part = path.parent / f".{path.name}.{secrets.token_hex(6)}.part"
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    fsync_directory(path.parent)
