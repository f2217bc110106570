"""Unique identifiers that derive from their cause, so that a retried step makes the same object again."""

from __future__ import annotations

import hashlib
import re

from pydicom.uid import UID


def derive_uid(*parts: str) -> UID:
    """Return the UID ``2.25.<128 bit>`` that stands for these parts, the same on every call.

    Parameters
    ----------
    *parts
        What the object derives from: a job, a kind, a revision. Pseudonymous values only: this is a plain hash.

    Notes
    -----
    UUID-derived UIDs: PS3.5 B.2. The hash takes the place of the UUID's bits, of version 8 (RFC 9562 5.8).
    """
    digest = bytearray(hashlib.sha256("\x1f".join(parts).encode()).digest()[:16])
    digest[6] = (digest[6] & 0x0F) | 0x80
    digest[8] = (digest[8] & 0x3F) | 0x80
    return UID(f"2.25.{int.from_bytes(digest, 'big')}")


_UUID_DERIVED = re.compile(r"2\.25\.[1-9][0-9]{0,38}")


def is_derived(uid: str) -> bool:
    """Tell whether a UID has the form that `derive_uid` gives: no scanner, PACS or toolkit makes UUIDs of version 8."""
    number = int(uid.removeprefix("2.25.")) if _UUID_DERIVED.fullmatch(uid) else 0
    return (number >> 76) & 0xF == 8 and (number >> 62) & 0b11 == 0b10 and number < 1 << 128
