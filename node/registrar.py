"""Between the inbox and the workflows: register what arrived, and begin a reading when a study is quiet.

The inbox is the truth: it is walked at the start and every few minutes; between, the receivers' journal says what is
new. The quiet time is a column of the ledger, so a restart neither forgets it nor starts it anew. (DBOS's debouncer
takes no methods and no priority: docs/decisions/0001.)
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence

import structlog

from node.dicom.reasons import Note, Reason, Refused
from node.gather.headers import is_own_result, read_header, study_key
from node.receive import is_conflict
from node.workflow import Rooms, Workflow

_log = structlog.get_logger(__name__)
_POLL_SECONDS = 0.5
_WALK_SECONDS = 300.0
_POISON_SECONDS = 5.0
"""How often to look for studies that DBOS gives up: it does so after the start, while it recovers."""
_BATCH = 200


class Registrar:
    """A thread that keeps the ledger up with the inbox.

    Parameters
    ----------
    rooms
        What the node works with.
    workflow
        Where readings begin.
    quiet_seconds
        Seconds without a new image after which a study counts as complete.
    """

    def __init__(self, rooms: Rooms, workflow: Workflow, quiet_seconds: float) -> None:
        self._rooms = rooms
        self._workflow = workflow
        self._quiet_seconds = quiet_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="registrar", daemon=True)

    def start(self) -> None:
        """Begin again what was begun and has no end; then follow the inbox."""
        for study, attempt, snapshot in self._rooms.ledger.begun():
            self._workflow.begin_read(study, attempt, snapshot)
        self._thread.start()

    def stop(self) -> None:
        """End the thread after the batch at work."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        cursor, walked, looked = None, 0.0, 0.0
        while not self._stop.is_set():
            try:
                if time.monotonic() - walked > _WALK_SECONDS or not walked:
                    walked = time.monotonic()
                    self.register(list(self._rooms.inbox.scan()), hint=False)
                names, cursor = self._rooms.inbox.arrivals(cursor)
                self.register(names)
                self.begin_quiet_studies()
                if time.monotonic() - looked > _POISON_SECONDS:
                    looked = time.monotonic()
                    self._workflow.name_the_poisoned()
            except Exception as error:  # noqa: BLE001  a full disk must not end the registrar: it tries again
                _log.error("registrar.failed", error=type(error).__name__)
            self._stop.wait(_POLL_SECONDS)

    def register(self, names: Sequence[str], *, hint: bool = True) -> None:
        """Record new inbox names in the ledger: their study, or why they have none.

        Parameters
        ----------
        names
            Inbox names, known ones too.
        hint
            Whether they just arrived: then a known one is a duplicate, and shows that its study is still being sent.
        """
        ledger = self._rooms.ledger
        known = ledger.known(names)
        if hint:
            ledger.touch(known)
        new = sorted(set(names) - known)
        for start in range(0, len(new), _BATCH):
            arrived: dict[str, str] = {}
            for name in new[start : start + _BATCH]:
                study = self._study_of(name)
                if study:
                    arrived[name] = study
            ledger.register(arrived)

    def _study_of(self, name: str) -> str:
        """Return the pseudonym of an instance's study; record the instance and return "" if it has to stay out."""
        rooms = self._rooms
        try:
            header = read_header(rooms.inbox.path(name))
        except Refused as refusal:
            return self._quarantine(name, refusal.note)
        study = str(rooms.vault.pseudonymiser.uid(study_key(header)))
        if is_conflict(name):
            text = "another object came before under the same SOP Instance UID; both are kept"
            return self._quarantine(name, Note(reason=Reason.UID_CONFLICT, text=text), study)
        if is_own_result(header):
            note = Note(reason=Reason.OWN_RESULT, text="the node's own result came back")
            rooms.ledger.set_aside_instance(name, note, study)
            return ""
        return study

    def _quarantine(self, name: str, note: Note, study: str = "") -> str:
        self._rooms.ledger.quarantine_instance(name, note, study)
        _log.warning("instance.quarantined", name=name, reason=note.reason.value)
        return ""

    def begin_quiet_studies(self) -> None:
        """Begin a reading of every study that grew and is quiet."""
        ledger = self._rooms.ledger
        for study in ledger.quiet_studies(self._quiet_seconds):
            last_arrival = ledger.last_arrival(study)
            names = ledger.instances_of(study)
            snapshot = self._rooms.store.put(json.dumps(names).encode())
            attempt = ledger.begin(study, snapshot, last_arrival)
            _log.info("study.complete", study=study, instances=len(names), attempt=attempt)
            self._workflow.begin_read(study, attempt, snapshot)
