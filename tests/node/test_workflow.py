"""How a workflow ends, whatever happens in it: the study has a state and a reason."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from dbos import error

from node.audit import AuditLog, Record, Release, Trail
from node.dicom.reasons import Reason, Refused
from node.dicom.uids import derive_uid
from node.ledger import Ledger, StudyState
from node.workflow import Workflow

STUDY = str(derive_uid("test", "study"))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    ledger.register({"a": STUDY})
    yield ledger
    ledger.close()


@pytest.fixture
def workflow(ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workflow:
    """A workflow over the two rooms that an ending needs, outside of DBOS."""
    monkeypatch.setattr(Workflow, "__init__", lambda self, rooms: setattr(self, "rooms", rooms))
    audit = Trail(AuditLog(tmp_path / "audit", tmp_path / "head.json"), Release.installed())
    rooms = SimpleNamespace(ledger=ledger, audit=audit)
    return Workflow(rooms)  # type: ignore[arg-type]  # no other room is asked


@pytest.mark.verifies("SRS-120", level="unit", technique="fault-injection")
@pytest.mark.parametrize(
    ("raised", "state", "reason"),
    [
        (Refused(Reason.SLICE_MISSING, "one is missing"), StudyState.REFUSED, "slice-missing"),
        (Refused(Reason.CHECK_FAILED, "a voxel differs"), StudyState.QUARANTINED, "check-failed"),
        (Refused(Reason.IDENTITY_MISMATCH, "another patient"), StudyState.QUARANTINED, "identity-mismatch"),
        (error.DBOSMaxStepRetriesExceeded("infer", 3, []), StudyState.REFUSED, "inference-failed"),
        (ValueError("PHANTOM^TEST"), StudyState.FAILED, "internal-error"),
    ],
)
def test_whatever_is_raised_the_study_ends_in_a_named_state(
    workflow: Workflow, ledger: Ledger, raised: Exception, state: StudyState, reason: str
) -> None:
    with workflow._named_ending(STUDY):
        raise raised
    status = ledger.status(STUDY)
    assert status is not None
    assert (status.state, status.reason) == (state, reason)
    assert status.text
    assert "PHANTOM" not in status.text, "an error's own text may hold an identity"
    record = Record.parse(workflow.rooms.audit.log.path.read_bytes().rstrip())
    assert (record.event, record.facts["reason"]) == (f"study-{state.value}", reason)


@pytest.mark.verifies("SRS-120", level="unit", technique="boundary")
def test_what_ends_well_keeps_its_state(workflow: Workflow, ledger: Ledger) -> None:
    ledger.advance(STUDY, StudyState.DELIVERED)
    with workflow._named_ending(STUDY):
        pass
    status = ledger.status(STUDY)
    assert status is not None
    assert (status.state, status.reason) == (StudyState.DELIVERED, "")
