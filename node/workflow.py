"""The way of a study, a step a line. The only file that imports all the stages.

``read`` makes one immutable pseudonymous Reading of one study by one model. ``follow`` makes of it what the PACS shall
have, proves it and puts it into the outbox. ``deliver`` pays what is owed to one destination, for as long as it takes,
so that one bad destination never holds up another. DBOS records what each step returned; after a crash a workflow
goes on at the first step that has no record. So every step can be repeated, and makes the same again.

Between steps only keys and pseudonyms pass: DBOS stores them. Arrays and headers lie in the store, identities in the
vault, what goes out in the outbox.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog
from dbos import DBOS, DBOSConfiguredInstance, SetEnqueueOptions, SetWorkflowID, error

from node.audit import JobTrail, Trail
from node.deliver import Outcome, next_delay_s
from node.deliver import deliver as deliver_once
from node.dicom.datasets import PseudonymousDataset, RealDataset
from node.dicom.files import from_file, pack, to_file, unpack
from node.dicom.findings import Reading
from node.dicom.reasons import Note, Reason, Refused
from node.dicom.uids import derive_uid
from node.dicom.volume import LabelMap, Volume
from node.durable import step, step_retried_on
from node.gather.headers import read_header
from node.gather.selection import StudyRefused
from node.gather.study import gather
from node.identity import Vault, check_restored, pseudonymise_study, restore
from node.inference import InferenceService, WorkerLostError
from node.ledger import Ledger, ResultState, StudyState
from node.measure.lesions import measure
from node.measure.plausibility import check_liver
from node.net import Destination
from node.receive import Inbox
from node.report.checker import check, check_files
from node.report.equipment import Equipment
from node.report.segmentation import make_seg
from node.report.structured import make_sr
from node.store import Store

_log = structlog.get_logger(__name__)

READ, FOLLOW, DELIVER = "read", "follow", "deliver"
"""The queues, one a workflow."""

# A study that takes the whole process down is tried so often and no more; then it is named, and the next one runs.
_RECOVERIES = 5

Keys = dict[str, Any]
"""What passes between steps: store keys and pseudonyms."""
Notes = list[dict[str, str]]
"""Coded remarks, as JSON."""

_HELD_BACK = {Reason.CHECK_FAILED, Reason.IDENTITY_MISMATCH}
_RESULT_STATES = {
    Outcome.DELIVERED: ResultState.DELIVERED,
    Outcome.RETRY: ResultState.OWED,
    Outcome.WARNING: ResultState.WARNED,
    Outcome.REFUSED: ResultState.REFUSED,
}


@dataclass(frozen=True)
class Rooms:
    """Everything that the steps work with, built once by `node.serve`.

    Attributes
    ----------
    inbox, store, outbox, vault, ledger, audit
        What came; pseudonymous artefacts; what goes out; the way back; what happened, to look up and to prove.
    inference
        The resident process.
    smallest_lesion_ml
        What the model's manifest calls the smallest lesion.
    equipment
        Who makes the results.
    destinations
        By their names in the settings.
    """

    inbox: Inbox
    store: Store
    outbox: Store
    vault: Vault
    ledger: Ledger
    audit: Trail
    inference: InferenceService
    smallest_lesion_ml: float
    equipment: Equipment
    destinations: Mapping[str, Destination]


@DBOS.dbos_class()
class Workflow(DBOSConfiguredInstance):
    """The durable workflows of a node, over its rooms."""

    def __init__(self, rooms: Rooms) -> None:
        super().__init__("overread")
        self.rooms = rooms

    # ---- the story

    @DBOS.workflow(name="read", max_recovery_attempts=_RECOVERIES)
    def read(self, study: str, attempt: int, snapshot: str) -> None:
        """One study, one model: what was seen."""
        with self._named_ending(study):
            gathered = self.gather(study, snapshot)
            if self.settled(study, gathered["reading_uid"]):
                return
            source = self.identify(study, gathered["chosen"])
            labels = self.infer(study, gathered["volume"])
            tissue = self.check_tissue(study, gathered["volume"], labels)
            self.measure(study, gathered, source, labels, tissue)
            _enqueue(FOLLOW, f"follow-{study}-{attempt}", self.follow, study, attempt, gathered["reading_uid"])

    @DBOS.workflow(name="follow", max_recovery_attempts=_RECOVERIES)
    def follow(self, study: str, attempt: int, reading_uid: str) -> None:
        """One reading: what the PACS shall have of it."""
        with self._named_ending(study):
            objects = self.report(study, reading_uid)
            self.check(study, reading_uid, objects)
            restored = self.restore(study, reading_uid, objects)
            self.check_restored(study, reading_uid, objects, restored)
            self.owe(study, reading_uid, restored)
            for name in self.rooms.destinations:
                _enqueue(DELIVER, f"deliver-{study}-{attempt}-{name}", self.deliver, study, reading_uid, name, 1)

    @DBOS.workflow(name="deliver", max_recovery_attempts=_RECOVERIES)
    def deliver(self, study: str, reading_uid: str, destination: str, attempt: int) -> None:
        """One destination: pay what is owed, or come back later."""
        with self._named_ending(study):
            if not self.send(study, reading_uid, destination):
                with SetEnqueueOptions(delay_seconds=next_delay_s(attempt)):
                    DBOS.enqueue_workflow(DELIVER, self.deliver, study, reading_uid, destination, attempt + 1)

    # ---- the steps of read

    @step
    def gather(self, study: str, snapshot: str) -> Keys:
        """Choose the series and load it; name why the other images were not chosen."""
        rooms = self.rooms
        names = {rooms.inbox.path(name): name for name in json.loads(rooms.store.get(snapshot))}
        headers = [read_header(path) for path in names]
        try:
            gathered = gather(headers)
        except StudyRefused as refusal:
            reasons = {names[path]: note for path, note in refusal.set_aside.items()}
            rooms.ledger.settle([], {name: reasons.get(name, refusal.note) for name in names.values()})
            raise Refused(refusal.reason, refusal.text) from refusal
        chosen = [names[header.path] for header in gathered.chosen if header.path]
        rooms.ledger.settle(chosen, {names[path]: note for path, note in gathered.set_aside.items()})
        key = rooms.store.put(json.dumps(chosen).encode())
        model = rooms.inference.identity
        return {
            "chosen": key,
            "volume": rooms.store.put(gathered.volume.to_bytes()),
            "notes": _dump(gathered.notes),
            "reading_uid": derive_uid(
                "reading", study, key, model.name, model.version, *sorted(model.weights_sha256.values())
            ),
        }

    @step
    def settled(self, study: str, reading_uid: str) -> bool:
        """Tell whether these very images were read and reported before: late images that change nothing."""
        states = self.rooms.ledger.result_states(reading_uid)
        if not states or not set(states) <= {ResultState.OWED, ResultState.DELIVERED}:
            return False
        self._sum_up(study, reading_uid)
        return True

    @step
    def identify(self, study: str, chosen: str) -> Keys:
        """Replace the identity by pseudonyms; the vault knows the way back before anybody sees them."""
        headers = pseudonymise_study(self._headers(chosen), self.rooms.vault)
        patient = str(headers[0].dataset.PatientID)
        self._audit(study).identified(patient, len(headers), self.rooms.vault.key_id)
        return {"headers": self.rooms.store.put(pack(header.dataset for header in headers)), "patient": patient}

    @step_retried_on(WorkerLostError)
    def infer(self, study: str, volume: str) -> str:
        """Let the networks draw liver and lesions, in the inference process."""
        ledger = self.rooms.ledger
        result = self.rooms.inference.segment(
            volume, lambda at: ledger.progress(study, f"infer: {at.step}", at.done, at.total)
        )
        ledger.took(study, {f"infer: {name}": round(seconds, 3) for name, seconds in result.seconds.items()})
        return result.labels_key

    @step
    def check_tissue(self, study: str, volume: str, labels: str) -> Notes:
        """Refuse what is no liver: the networks draw one even around fat."""
        return _dump(check_liver(self._volume(volume), self._labels(labels)))

    @step
    def measure(self, study: str, gathered: Keys, source: Keys, labels: str, tissue: Notes) -> None:
        """Measure liver and lesions, and keep the Reading for good."""
        rooms = self.rooms
        measured = measure(
            self._volume(gathered["volume"]), self._labels(labels), gathered["reading_uid"], rooms.smallest_lesion_ml
        )
        headers = self._sources(source["headers"])
        notes = [Note.model_validate(note) for note in [*gathered["notes"], *tissue]]
        reading = Reading(
            reading_uid=gathered["reading_uid"],
            patient=source["patient"],
            study_uid=study,
            series_uid=str(headers[0].dataset.SeriesInstanceUID),
            sop_instance_uids=tuple(str(header.dataset.SOPInstanceUID) for header in headers),
            model=rooms.inference.identity,
            volume_key=gathered["volume"],
            labels_key=labels,
            lesions_key=rooms.store.put(measured.lesion_map.to_bytes()),
            headers_key=source["headers"],
            liver=measured.organ,
            lesions=measured.lesions,
            notes=(*notes, *measured.notes),
        )
        key = rooms.store.put(reading.model_dump_json().encode())
        rooms.ledger.add_reading(reading.reading_uid, reading.patient, study, key, gathered["chosen"])
        self._audit(study).reading_made(reading)

    # ---- the steps of follow

    @step
    def report(self, study: str, reading_uid: str) -> Keys:
        """Write SEG and SR under pseudonyms."""
        rooms = self.rooms
        reading, made_at = self._reading(reading_uid)
        liver, lesions = self._labels(reading.labels_key), self._labels(reading.lesions_key)
        sources = self._sources(reading.headers_key)
        seg = make_seg(reading, liver, lesions, sources, equipment=rooms.equipment, made_at=made_at)
        sr = make_sr(reading, seg, sources, liver=liver, lesions=lesions, equipment=rooms.equipment, made_at=made_at)
        objects = {"SEG": rooms.store.put(to_file(seg.dataset)), "SR": rooms.store.put(to_file(sr.dataset))}
        self._audit(study).made(reading_uid, objects, rooms.store)
        return objects

    @step
    def check(self, study: str, reading_uid: str, objects: Keys) -> None:
        """Decode both again and compare with the images, the label maps and the measurements."""
        reading, _ = self._reading(reading_uid)
        check(
            self._object(objects["SEG"]),
            self._object(objects["SR"]),
            self._sources(reading.headers_key),
            reading=reading,
            liver=self._labels(reading.labels_key),
            lesions=self._labels(reading.lesions_key),
        )
        self._audit(study).checked(reading_uid, objects, self.rooms.store, stage="content")

    @step
    def restore(self, study: str, reading_uid: str, objects: Keys) -> Keys:
        """Put the patient's real identity and the real references back."""
        vault, outbox = self.rooms.vault, self.rooms.outbox
        seg, sr = self._object(objects["SEG"]), self._object(objects["SR"])
        real_seg = restore(seg, vault, job_study_uid=study)
        real_sr = restore(sr, vault, job_study_uid=study, companions=[seg])
        restored = {"SEG": outbox.put(to_file(real_seg.dataset)), "SR": outbox.put(to_file(real_sr.dataset))}
        self._audit(study).reidentified(reading_uid, restored, outbox, why="delivery", vault_key=vault.key_id)
        return restored

    @step
    def check_restored(self, study: str, reading_uid: str, objects: Keys, restored: Keys) -> None:
        """Check the very bytes that will leave: the right patient, the right images, nothing else changed."""
        rooms = self.rooms
        reading, _ = self._reading(reading_uid)
        sources = self._headers(rooms.ledger.chosen(reading_uid))
        for kind, key in restored.items():
            check_restored(rooms.outbox.get(key), self._object(objects[kind]), sources[0], rooms.vault)
        with tempfile.TemporaryDirectory(prefix="overread-check-") as folder:
            paths = [Path(folder) / f"{index:05d}.dcm" for index in range(len(sources))]
            for path, source in zip(paths, sources, strict=True):
                path.write_bytes(to_file(source.dataset))
            check_files(
                rooms.outbox.path(restored["SEG"]),
                rooms.outbox.path(restored["SR"]),
                paths,
                reading=reading,
                liver=self._labels(reading.labels_key),
                lesions=self._labels(reading.lesions_key),
            )
        self._audit(study).checked(reading_uid, restored, rooms.outbox, stage="bytes")

    @step
    def owe(self, study: str, reading_uid: str, restored: Keys) -> None:
        """Record what is owed to whom."""
        self.rooms.ledger.owe(reading_uid, study, restored, self.rooms.destinations)
        self._audit(study).owed(reading_uid, restored, self.rooms.outbox, self.rooms.destinations)
        self._sum_up(study, reading_uid)

    # ---- the step of deliver

    @step
    def send(self, study: str, reading_uid: str, destination: str) -> bool:
        """Send what is still owed; tell whether nothing is left to come back for."""
        rooms = self.rooms
        owed = rooms.ledger.owed(reading_uid, destination)
        paths = [rooms.outbox.path(key) for key in owed.values()]
        delivery = deliver_once(paths, rooms.destinations[destination])
        for kind, result in zip(owed, delivery.objects, strict=True):
            answer = {"outcome": result.outcome, "destination": destination, "code": result.code}
            self._audit(study).answered(reading_uid, {kind: owed[kind]}, rooms.outbox, **answer)
            rooms.ledger.attempted(reading_uid, destination, kind, _RESULT_STATES[result.outcome], result.text)
        self._sum_up(study, reading_uid)
        return not delivery.to_retry

    # ---- how a workflow begins and ends

    def begin_read(self, study: str, attempt: int, snapshot: str) -> None:
        """Begin the reading of a study; a second call for the same attempt does nothing."""
        _enqueue(READ, f"read-{study}-{attempt}", self.read, study, attempt, snapshot)

    def name_the_poisoned(self) -> None:
        """Name the studies whose workflow took the process down too often, so that nobody waits for them."""
        for status in DBOS.list_workflows(status="MAX_RECOVERY_ATTEMPTS_EXCEEDED"):
            study = status.input["args"][0] if status.input else ""
            note = Note(reason=Reason.INTERNAL_ERROR, text="the node ended too often while it worked on this study")
            self.rooms.ledger.advance(study, StudyState.FAILED, note)
            self.rooms.audit.of(status.workflow_id, study).ended(StudyState.FAILED, note.reason)
            DBOS.cancel_workflow(status.workflow_id)  # named once: a retry is another workflow

    @contextmanager
    def _named_ending(self, study: str) -> Iterator[None]:
        """End in a named state, whatever happens: refused, quarantined or failed, with the reason."""
        try:
            yield
        except Refused as refusal:
            state = StudyState.QUARANTINED if refusal.reason in _HELD_BACK else StudyState.REFUSED
            self.end(study, state.value, refusal.reason.value, refusal.text)
        except error.DBOSMaxStepRetriesExceeded:
            text = "the inference process ended or hung on this study each time it was tried"
            self.end(study, StudyState.REFUSED.value, Reason.INFERENCE_FAILED.value, text)
        except Exception as fault:  # noqa: BLE001  whatever it is, the study gets a name and the next one runs
            text = f"the node failed ({type(fault).__name__}); its log says where"
            self.end(study, StudyState.FAILED.value, Reason.INTERNAL_ERROR.value, text)

    @step
    def end(self, study: str, state: str, reason: str, text: str) -> None:
        """Record an ending that is no delivery."""
        _log.warning("study.ended", study=study, state=state, reason=reason)
        self.rooms.ledger.advance(study, StudyState(state), Note(reason=Reason(reason), text=text))
        self._audit(study).ended(state, Reason(reason))

    def _sum_up(self, study: str, reading_uid: str) -> None:
        """Record the study's state as its results say it."""
        states = set(self.rooms.ledger.result_states(reading_uid))
        if states <= {ResultState.DELIVERED}:  # nobody to deliver to: the result lies in the outbox, and that is all
            self.rooms.ledger.advance(study, StudyState.DELIVERED)
        elif ResultState.OWED in states:
            self.rooms.ledger.advance(study, StudyState.DELIVERING)
        else:
            text = "a destination did not take a result as it is; its answer stands beside the result"
            self.rooms.ledger.advance(study, StudyState.QUARANTINED, Note(reason=Reason.DESTINATION_REFUSED, text=text))

    def _audit(self, study: str) -> JobTrail:
        return self.rooms.audit.of(DBOS.workflow_id, study)

    # ---- keys to values

    def _headers(self, chosen: str) -> list[RealDataset]:
        inbox, store = self.rooms.inbox, self.rooms.store
        return [read_header(inbox.path(name)) for name in json.loads(store.get(chosen))]

    def _sources(self, headers_key: str) -> list[PseudonymousDataset]:
        return [PseudonymousDataset(dataset) for dataset in unpack(self.rooms.store.get(headers_key))]

    def _object(self, key: str) -> PseudonymousDataset:
        return PseudonymousDataset(from_file(self.rooms.store.get(key)))

    def _volume(self, key: str) -> Volume:
        return Volume.from_bytes(self.rooms.store.get(key))

    def _labels(self, key: str) -> LabelMap:
        return LabelMap.from_bytes(self.rooms.store.get(key))

    def _reading(self, reading_uid: str) -> tuple[Reading, datetime]:
        key, made_at = self.rooms.ledger.reading(reading_uid)
        return Reading.model_validate_json(self.rooms.store.get(key)), datetime.fromtimestamp(made_at, UTC)


def _enqueue(queue: str, workflow_id: str, workflow: Callable[..., None], *arguments: str | int) -> None:
    """Start a workflow that starts but once, however often this is called."""
    with SetWorkflowID(workflow_id):
        DBOS.enqueue_workflow(queue, workflow, *arguments)


def _dump(notes: Sequence[Note]) -> Notes:
    return [note.model_dump(mode="json") for note in notes]
