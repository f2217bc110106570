"""One master key a site, and the keys derived from it: without it no pseudonym is made and no result finds its patient.

The key lies outside the data folder, so that a stolen data folder or backup tells nothing. It is 32 random bytes or
more, written as hexadecimal digits: what ``overread key`` writes. A weak or missing key stops the node at its
start, because pseudonyms made with it could be reversed by trying every patient number.
"""

from __future__ import annotations

import itertools
import secrets
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from node.store import write_durably

KEY_VARIABLE = "OVERREAD_MASTER_KEY"
"""Environment variable that may hold the key's digits instead of a file."""

_LEAST_BYTES = 32
# 32 random bytes have about 30 different values; fewer than 16 happens once in 10^17 keys.
_LEAST_DIFFERENT_BYTES = 16
_ADVICE = "make one with `overread key FILE`"


class KeyUnusableError(ValueError):
    """The master key is missing, weak, open to others, or not the one that the vault was made with."""


@dataclass(frozen=True, repr=False)
class Keys:
    """The keys of one site, each for one purpose (HKDF-SHA256, RFC 5869, one ``info`` a purpose).

    Attributes
    ----------
    patient, uid, mark, date, study
        For the pseudonyms: see `node.identity.pseudonyms`.
    vault, index
        For the vault: AES-256-GCM of its rows, and the blind index they are found by.
    """

    patient: bytes
    uid: bytes
    mark: bytes
    date: bytes
    study: bytes
    vault: bytes
    index: bytes

    @classmethod
    def derive(cls, master: bytes) -> Keys:
        """Derive the keys.

        Parameters
        ----------
        master
            The master key, at least 32 random bytes.

        Raises
        ------
        KeyUnusableError
            If it is short or does not look random.
        """
        _refuse_weak(master)
        names = ("patient", "uid", "mark", "date", "study", "vault", "index")
        return cls(**{name: _subkey(master, name) for name in names})


def load_keys(path: Path | None, environment: Mapping[str, str]) -> Keys:
    """Read the master key from its file or from the environment, and derive the keys.

    Parameters
    ----------
    path
        File that holds the key's hexadecimal digits; None to take the environment.
    environment
        Environment variables; `KEY_VARIABLE` may hold the digits.

    Raises
    ------
    KeyUnusableError
        If there is no key, or one in both places, or it is weak, or others may read its file.
    """
    digits = environment.get(KEY_VARIABLE, "").strip()
    if digits and path is not None and path.exists():
        raise KeyUnusableError(f"there are two master keys, one in {KEY_VARIABLE} and one in {path}: keep one of them")
    if digits:
        return Keys.derive(_parse(digits, f"environment variable {KEY_VARIABLE}"))
    if path is None:
        raise KeyUnusableError(f"there is no master key: set {KEY_VARIABLE} or name a key file; {_ADVICE}")
    return read_key_file(path)


def read_key_file(path: Path) -> Keys:
    """Read the master key from its file and derive the keys.

    Raises
    ------
    KeyUnusableError
        If the file is missing or unreadable, others may read or change it, or the key is weak.
    """
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="ascii")
    except FileNotFoundError as error:
        raise KeyUnusableError(
            f"{path}: the master key is missing. Restore it from its backup: results of studies read with it find no "
            f"patient without it. For a new site, {_ADVICE}"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise KeyUnusableError(f"{path}: the master key cannot be read ({type(error).__name__})") from error
    # Group may read: secrets that Kubernetes mounts are owned by root and read through the group.
    if mode & (stat.S_IWGRP | stat.S_IXGRP | stat.S_IRWXO):
        raise KeyUnusableError(f"{path}: others may read or change the master key: chmod 600 {path}")
    return Keys.derive(_parse(text.strip(), str(path)))


def create_key_file(path: Path) -> bool:
    """Write a new random master key of 32 bytes, readable by its owner alone (mode 0600). Never overwrites one.

    Returns
    -------
    bool
        True if the key is new, False if there was a file already.
    """
    return write_durably(path, f"{secrets.token_hex(_LEAST_BYTES)}\n".encode("ascii"))


def _subkey(master: bytes, name: str) -> bytes:
    info = f"overread/identity/1/{name}".encode("ascii")
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(master)


def _parse(digits: str, where: str) -> bytes:
    try:
        master = bytes.fromhex(digits)
    except ValueError as error:
        raise KeyUnusableError(f"{where}: a master key is hexadecimal digits and nothing else; {_ADVICE}") from error
    try:
        _refuse_weak(master)
    except KeyUnusableError as error:
        raise KeyUnusableError(f"{where}: {error}") from error
    return master


def _refuse_weak(master: bytes) -> None:
    """Refuse what no random generator makes: short, few values, patterns, counting up, a sentence in hexadecimal."""
    if len(master) < _LEAST_BYTES:
        raise KeyUnusableError(f"the master key has {len(master)} bytes; it needs {_LEAST_BYTES} or more; {_ADVICE}")
    steps = {(b - a) % 256 for a, b in itertools.pairwise(master)}
    repeats = any(master[period:] == master[:-period] for period in range(1, len(master) // 2 + 1))
    printable = all(0x20 <= byte < 0x7F for byte in master)
    if repeats or printable or min(len(set(master)), len(steps)) < _LEAST_DIFFERENT_BYTES:
        raise KeyUnusableError(f"the master key is not random; {_ADVICE}")
