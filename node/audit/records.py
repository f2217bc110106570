"""What a record of the audit log is: a small vocabulary of events, the facts of each, and the chain of hashes.

A record states nothing that names a person. That is not left to the callers: each fact has one form, and what does not
have it is refused. A patient's number, a name and a real UID have none of the forms.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from node.dicom.reasons import Reason
from node.dicom.uids import is_derived

GENESIS = "0" * 64
"""What the first record has before it."""

Facts = Mapping[str, Any]


class Event(StrEnum):
    """What can have happened."""

    NODE_STARTED = "node-started"
    NODE_STOPPED = "node-stopped"
    STUDY_IDENTIFIED = "study-identified"
    """A study got its pseudonyms; the vault knows the way back."""
    READING_MADE = "reading-made"
    RESULT_MADE = "result-made"
    RESULT_CHECKED = "result-checked"
    """Stage ``content``: against images and measurements. Stage ``bytes``: the very file that will leave."""
    RESULT_REIDENTIFIED = "result-reidentified"
    """The vault was asked, and a result got the patient's identity."""
    RESULT_OWED = "result-owed"
    RESULT_SENT = "result-sent"
    """The destination confirmed it with 0x0000."""
    RESULT_WARNED = "result-warned"
    """The destination stored it with a warning."""
    RESULT_REFUSED = "result-refused"
    STUDY_REFUSED = "study-refused"
    STUDY_QUARANTINED = "study-quarantined"
    STUDY_FAILED = "study-failed"
    RETRY_ASKED = "retry-asked"
    STATUS_ASKED = "status-asked"
    LOG_RECOVERED = "log-recovered"
    """A line that a crash had cut short was set aside; it had not been acknowledged."""
    LOG_BROKEN = "log-broken"
    """The log does not hold: see `node.audit.verify`."""


def _matches(pattern: str) -> Callable[[Any], bool]:
    compiled = re.compile(pattern)
    return lambda value: isinstance(value, str) and compiled.fullmatch(value) is not None


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_our_uid(value: Any) -> bool:
    """Tell a pseudonym or a UID of our own. One that the standard registers has no pseudonym and names no instance."""
    return isinstance(value, str) and (value.startswith("1.2.840.10008.") or is_derived(value))


def _is_job(value: Any) -> bool:
    """Tell the id of a workflow: ours, whose study is a pseudonym and whose retries add to it, or a random one."""
    if not isinstance(value, str):
        return False
    ours = re.fullmatch(r"(?:read|follow|deliver)-([0-9.]+)-[0-9]+(?:-[A-Za-z0-9_-]{1,200})?", value)
    return _is_our_uid(ours[1]) if ours else re.fullmatch(r"[0-9a-f-]{36}|", value) is not None


def _all(form: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Tell a mapping of short names to values of one form."""
    name = _matches(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
    return lambda value: isinstance(value, Mapping) and all(name(key) and form(each) for key, each in value.items())


_HASH = _matches("[0-9a-f]{64}")
_KEY = _matches("sha256:[0-9a-f]{64}")
_WORD = _matches("[a-z0-9-]{1,64}")
_TEXT = _matches(r"[ -~]{0,200}")  # names of products and their versions: nothing that a study can bring

FORMS: Mapping[str, Callable[[Any], bool]] = {
    "study": lambda value: value == "" or _is_our_uid(value),
    "patient": _matches("(PSN-[A-Z2-7]{26})?"),
    "reading": _is_our_uid,
    "result": _is_our_uid,
    "job": _is_job,
    "kind": _matches("SEG|SR"),
    "stage": _matches("content|bytes"),
    "destination": _matches("[A-Za-z0-9_-]{1,64}"),
    "key": _KEY,
    "volume": _KEY,
    "labels": _KEY,
    "images": _is_count,
    "lesions": _is_count,
    "bytes": _is_count,
    "record": _is_count,
    "fault": _WORD,
    "code": _WORD,
    "why": _WORD,
    "asked_by": _matches("real-uid|pseudonym"),
    "reason": lambda value: value in set(Reason),
    "model": _matches("[a-z][a-z0-9_]{0,63}"),
    "version": _TEXT,
    "networks": _all(_HASH),
    "engine": _TEXT,
    "sources": _HASH,
    "digest": _HASH,
    "commit": _matches("([0-9a-f]{40})?"),
    "python": _TEXT,
    "packages": _all(_TEXT),
    "vault_key": _matches("[0-9]+-[0-9a-f]{16}"),
}
"""What a fact may look like, by its name."""

_RESULT = ("job", "study", "reading", "kind", "result", "key")

FACTS: Mapping[Event, frozenset[str]] = {
    event: frozenset(names)
    for event, names in {
        Event.NODE_STARTED: ("version", "sources", "commit", "python", "packages"),
        Event.NODE_STOPPED: (),
        Event.STUDY_IDENTIFIED: ("job", "study", "patient", "images", "vault_key"),
        Event.READING_MADE: (
            *("job", "study", "patient", "reading", "images", "lesions", "volume", "labels"),
            *("model", "version", "networks", "engine", "sources"),
        ),
        Event.RESULT_MADE: _RESULT,
        Event.RESULT_CHECKED: (*_RESULT, "stage"),
        Event.RESULT_REIDENTIFIED: (*_RESULT, "why", "vault_key"),
        Event.RESULT_OWED: (*_RESULT, "destination"),
        Event.RESULT_SENT: (*_RESULT, "destination", "code"),
        Event.RESULT_WARNED: (*_RESULT, "destination", "code"),
        Event.RESULT_REFUSED: (*_RESULT, "destination", "code"),
        Event.STUDY_REFUSED: ("job", "study", "reason"),
        Event.STUDY_QUARANTINED: ("job", "study", "reason"),
        Event.STUDY_FAILED: ("job", "study", "reason"),
        Event.RETRY_ASKED: ("study", "asked_by"),
        Event.STATUS_ASKED: ("study", "asked_by"),
        Event.LOG_RECOVERED: ("bytes", "digest"),
        Event.LOG_BROKEN: ("record", "fault"),
    }.items()
}
"""Which facts an event has: all of these and no other."""


@dataclass(frozen=True)
class Record:
    """One line of the log.

    Attributes
    ----------
    number
        Its place, from 1.
    time
        When it was written, in UTC.
    event, facts
        What happened.
    once
        Name of this happening, the same when a step is repeated after a crash; "" for what cannot be repeated.
    before
        Hash of the record before.
    hash
        SHA-256 of all of the above.
    """

    number: int
    time: str
    event: str
    facts: Facts
    once: str
    before: str
    hash: str

    @classmethod
    def make(cls, number: int, before: str, event: Event, facts: Facts, once: str = "") -> Record:
        """Return a record of now.

        Raises
        ------
        ValueError
            If the event has other facts, or a fact another form; the text quotes no value.
        """
        if facts.keys() != FACTS[event]:
            raise ValueError(f"{event}: other facts than {sorted(FACTS[event])}")
        wrong = sorted(name for name, value in facts.items() if not FORMS[name](value))
        if wrong:
            raise ValueError(f"{event}: not of their form: {', '.join(wrong)}")
        time = dt.datetime.now(dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        bare = cls(number, time, event.value, facts, once, before, "")
        return cls(number, time, event.value, facts, once, before, bare.digest())

    @classmethod
    def parse(cls, line: bytes) -> Record:
        """Read a line, without its end.

        Raises
        ------
        ValueError
            If it is not a record as `line` writes it, byte for byte. Its hash may be wrong: see `holds`.
        """
        try:
            record = cls(**json.loads(line))
        except (ValueError, TypeError, RecursionError) as error:
            raise ValueError("not a record") from error
        texts = (record.time, record.event, record.once, record.before, record.hash)
        if not (_is_count(record.number) and isinstance(record.facts, dict) and all(type(t) is str for t in texts)):
            raise ValueError("not a record")
        if record.line() != line:
            raise ValueError("not written as a record is")
        return record

    def line(self) -> bytes:
        """Return the record as a line without its end: JSON, keys sorted, ASCII."""
        return _canonical(vars(self))

    def digest(self) -> str:
        """Return the hash that the record should have."""
        return hashlib.sha256(_canonical({**vars(self), "hash": ""})).hexdigest()

    @property
    def holds(self) -> bool:
        """Whether the record's hash is that of its content."""
        return self.hash == self.digest()


def _canonical(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii")
