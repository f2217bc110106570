"""A folder of immutable files, each named by the SHA-256 of its content."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from node.store.durable import write_durably

_KEY = re.compile(r"sha256:[0-9a-f]{64}")


class ArtefactMissingError(KeyError):
    """No artefact has this key, or what lies there is not what the key says."""


class Store:
    """Content-addressed artefacts under one root.

    Parameters
    ----------
    root
        Folder; made when the first artefact is put.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, data: bytes) -> str:
        """Keep bytes durably and return their key, ``sha256:<hex>``. Putting the same bytes again changes nothing."""
        digest = hashlib.sha256(data).hexdigest()
        write_durably(self._path(digest), data)
        return f"sha256:{digest}"

    def get(self, key: str) -> bytes:
        """Return the bytes of a key.

        Raises
        ------
        ArtefactMissingError
            If there is no such artefact, or the disk returned other bytes than were put.
        """
        path = self.path(key)
        try:
            data = path.read_bytes()
        except FileNotFoundError as error:
            raise ArtefactMissingError(key) from error
        if hashlib.sha256(data).hexdigest() != key.removeprefix("sha256:"):
            raise ArtefactMissingError(f"{key}: content damaged on disk")
        return data

    def path(self, key: str) -> Path:
        """Return where the artefact of a key lies.

        Raises
        ------
        ValueError
            If this is no key.
        """
        if not _KEY.fullmatch(key):
            raise ValueError(f"not a store key: {key!r}")
        return self._path(key.removeprefix("sha256:"))

    def __contains__(self, key: str) -> bool:
        return self.path(key).exists()

    def _path(self, digest: str) -> Path:
        return self._root / digest[:2] / digest
