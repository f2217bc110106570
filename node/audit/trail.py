"""What the workflows put down of a study, a line a step."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydicom.filereader import read_file_meta_info

from node.audit.log import AuditLog
from node.audit.records import Event
from node.audit.release import Release
from node.dicom.findings import Reading
from node.dicom.reasons import Reason
from node.store import Store

_ENDINGS = {
    "refused": Event.STUDY_REFUSED,
    "quarantined": Event.STUDY_QUARANTINED,
    "failed": Event.STUDY_FAILED,
}
_ANSWERS = {
    "delivered": Event.RESULT_SENT,
    "warning": Event.RESULT_WARNED,
    "refused": Event.RESULT_REFUSED,
}
"""By the outcome of a delivery."""

Keys = Mapping[str, str]

_LONGEST_JOB = 200  # with each attempt to deliver, DBOS makes the id longer


class Trail:
    """The audit of a node's work.

    Parameters
    ----------
    log
        Where it is written.
    release
        Which software works.
    """

    def __init__(self, log: AuditLog, release: Release) -> None:
        self.log = log
        self.release = release

    def started(self) -> None:
        """Put down that the node starts, and which one it is."""
        self.log.append(Event.NODE_STARTED, **vars(self.release))

    def stopped(self) -> None:
        """Put down that the node was stopped in order."""
        self.log.append(Event.NODE_STOPPED)

    def of(self, job: str | None, study: str) -> JobTrail:
        """Return the trail of one workflow.

        Parameters
        ----------
        job
            Id of the workflow, None outside of one.
        study
            The study's pseudonym.
        """
        return JobTrail(self, (job or "")[:_LONGEST_JOB], study)


class JobTrail:
    """What one workflow does with one study. A step that is repeated after a crash writes nothing again."""

    def __init__(self, trail: Trail, job: str, study: str) -> None:
        self._trail = trail
        self._facts = {"job": job, "study": study}

    def identified(self, patient: str, images: int, vault_key: str) -> None:
        """Put down that the study got its pseudonyms."""
        self._append(Event.STUDY_IDENTIFIED, "", patient=patient, images=images, vault_key=vault_key)

    def reading_made(self, reading: Reading) -> None:
        """Put down what was read by which model in which release."""
        self._append(
            Event.READING_MADE,
            reading.reading_uid,
            patient=reading.patient,
            reading=reading.reading_uid,
            images=len(reading.sop_instance_uids),
            lesions=len(reading.lesions),
            volume=reading.volume_key,
            labels=reading.labels_key,
            model=reading.model.name,
            version=plain(reading.model.version),
            networks=reading.model.weights_sha256,
            engine=plain(reading.model.parameters.get("engine", "unknown")),
            sources=self._trail.release.sources,
        )

    def made(self, reading_uid: str, keys: Keys, store: Store) -> None:
        """Put down that results were written, under pseudonyms.

        Parameters
        ----------
        reading_uid
            The reading that they are of.
        keys
            Their keys in the store by their kind, ``SEG`` or ``SR``.
        store
            Where they lie; their own UIDs are read there. Those stay the same under the patient's identity.
        """
        self._results(Event.RESULT_MADE, reading_uid, keys, store)

    def checked(self, reading_uid: str, keys: Keys, store: Store, *, stage: Literal["content", "bytes"]) -> None:
        """Put down that results passed a check."""
        self._results(Event.RESULT_CHECKED, reading_uid, keys, store, stage=stage)

    def reidentified(self, reading_uid: str, keys: Keys, store: Store, *, why: str, vault_key: str) -> None:
        """Put down that the vault gave results the patient's identity: why, and with which key."""
        self._results(Event.RESULT_REIDENTIFIED, reading_uid, keys, store, why=why, vault_key=vault_key)

    def owed(self, reading_uid: str, keys: Keys, store: Store, destinations: Iterable[str]) -> None:
        """Put down what is owed to whom."""
        for name in destinations:
            self._results(Event.RESULT_OWED, reading_uid, keys, store, destination=name)

    def answered(
        self, reading_uid: str, keys: Keys, store: Store, *, outcome: str, destination: str, code: str
    ) -> None:
        """Put down what a destination answered. What will be tried again is owed still, as the log says already."""
        if outcome in _ANSWERS:
            self._results(_ANSWERS[outcome], reading_uid, keys, store, destination=destination, code=code)

    def ended(self, state: str, reason: Reason) -> None:
        """Put down an ending that is no delivery."""
        self._append(_ENDINGS[state], "", reason=reason)

    def _results(self, event: Event, reading_uid: str, keys: Keys, store: Store, **facts: str) -> None:
        for kind, key in keys.items():
            about = "/".join((reading_uid, kind, facts.get("stage", ""), facts.get("destination", "")))
            uid = result_uid(store.path(key))
            self._append(event, about, reading=reading_uid, kind=kind, key=key, result=uid, **facts)

    def _append(self, event: Event, about: str, **facts: Any) -> None:
        job = self._facts["job"]
        self._trail.log.append(event, once=f"{event}/{job}/{about}" if job else "", **self._facts, **facts)


def result_uid(path: Path) -> str:
    """Return the SOP Instance UID of a result from its file meta information (PS3.10 7.1)."""
    return str(read_file_meta_info(path).MediaStorageSOPInstanceUID)


def plain(text: str) -> str:
    """Return the name of a product or a version as a record may hold it."""
    return re.sub("[^ -~]", "?", text)[:200]
