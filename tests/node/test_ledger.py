"""The ledger: every instance and study in a named state."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from node.dicom.reasons import Note, Reason
from node.ledger import InstanceState, Ledger, ResultState, StudyState

STUDY = "2.25.1"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    yield ledger
    ledger.close()


def note(reason: Reason) -> Note:
    return Note(reason=reason, text="because")


@pytest.mark.verifies("SRS-123", level="unit", technique="boundary")
def test_a_study_is_quiet_only_after_its_last_image(ledger: Ledger) -> None:
    ledger.register({"a": STUDY, "b": STUDY})
    assert ledger.quiet_studies(60) == []
    assert ledger.quiet_studies(0) == [STUDY]


@pytest.mark.verifies("SRS-123", level="unit", technique="example")
def test_a_reading_begins_once_until_more_images_come(ledger: Ledger) -> None:
    ledger.register({"a": STUDY})
    assert ledger.begin(STUDY, "sha256:0", ledger.last_arrival(STUDY)) == 1
    assert ledger.quiet_studies(0) == []
    assert ledger.begun() == [(STUDY, 1, "sha256:0")]
    ledger.register({"b": STUDY})
    assert ledger.quiet_studies(0) == [], "a reading under way ends first"
    ledger.advance(STUDY, StudyState.DELIVERED)
    assert ledger.quiet_studies(0) == [STUDY]
    assert ledger.begin(STUDY, "sha256:1", ledger.last_arrival(STUDY)) == 2


@pytest.mark.verifies("SRS-125", level="unit", technique="example")
def test_a_repeated_registration_changes_nothing(ledger: Ledger) -> None:
    ledger.register({"a": STUDY})
    ledger.settle(["a"], {})
    ledger.register({"a": STUDY})
    status = ledger.status(STUDY)
    assert status is not None
    assert [(c.state, c.count) for c in status.instances] == [(InstanceState.IN_RESULT, 1)]


@pytest.mark.verifies("SRS-125", level="unit", technique="example")
def test_every_instance_is_counted_with_its_reason(ledger: Ledger) -> None:
    names = {f"n{i:04}": STUDY for i in range(1200)}
    ledger.register(names)
    ledger.quarantine_instance("broken", note(Reason.TRUNCATED), STUDY)
    ledger.settle(list(names)[:1000], dict.fromkeys(list(names)[1000:], note(Reason.LOCALIZER)))
    status = ledger.status(STUDY)
    assert status is not None
    assert {(c.state, c.reason, c.count) for c in status.instances} == {
        (InstanceState.IN_RESULT, "", 1000),
        (InstanceState.SET_ASIDE, "localizer", 200),
        (InstanceState.QUARANTINED, "truncated", 1),
    }
    assert ledger.known(["broken", "n0001", "other"]) == {"broken", "n0001"}
    assert "broken" not in ledger.instances_of(STUDY)


@pytest.mark.verifies("SRS-129", level="unit", technique="example")
def test_an_own_result_opens_no_study(ledger: Ledger) -> None:
    ledger.set_aside_instance("seg", note(Reason.OWN_RESULT))
    assert ledger.quiet_studies(0) == []
    assert ledger.known(["seg"]) == {"seg"}


@pytest.mark.verifies("SRS-130", level="unit", technique="example")
def test_a_new_reading_supersedes_what_was_owed(ledger: Ledger) -> None:
    ledger.register({"a": STUDY})
    ledger.owe("r1", STUDY, {"SEG": "k1", "SR": "k2"}, ["pacs"])
    ledger.attempted("r1", "pacs", "SEG", ResultState.DELIVERED, "0x0000")
    assert ledger.owed("r1", "pacs") == {"SR": "k2"}
    ledger.owe("r1", STUDY, {"SEG": "k1", "SR": "k2"}, ["pacs"])
    assert ledger.owed("r1", "pacs") == {"SR": "k2"}, "a retried step owes nothing twice"
    ledger.owe("r2", STUDY, {"SEG": "k3", "SR": "k4"}, ["pacs"])
    assert set(ledger.result_states("r1")) == {ResultState.SUPERSEDED}
    assert ledger.owed("r2", "pacs") == {"SEG": "k3", "SR": "k4"}


@pytest.mark.verifies("SRS-127", level="unit", technique="example")
def test_only_an_ended_study_is_opened_again(ledger: Ledger) -> None:
    assert not ledger.reopen(STUDY)
    ledger.register({"a": STUDY})
    ledger.begin(STUDY, "sha256:0", ledger.last_arrival(STUDY))
    assert not ledger.reopen(STUDY)
    ledger.advance(STUDY, StudyState.FAILED, note(Reason.INTERNAL_ERROR))
    assert ledger.reopen(STUDY)
    assert ledger.quiet_studies(0) == [STUDY]


@pytest.mark.verifies("SRS-130", level="unit", technique="example")
def test_the_first_record_of_a_reading_stands(ledger: Ledger) -> None:
    ledger.add_reading("r1", "p", STUDY, "k1", "c1")
    first = ledger.reading("r1")
    ledger.add_reading("r1", "p", STUDY, "k2", "c2")
    assert ledger.reading("r1") == first
    assert ledger.chosen("r1") == "c1"
    with pytest.raises(KeyError):
        ledger.reading("r2")


@pytest.mark.verifies("SRS-125", level="unit", technique="boundary")
def test_an_unknown_study_has_no_status(ledger: Ledger) -> None:
    assert ledger.status("2.25.404") is None


@pytest.mark.verifies("SRS-139", level="unit", technique="example")
def test_the_time_of_each_step_is_kept(ledger: Ledger) -> None:
    ledger.register({"a": STUDY})
    ledger.took(STUDY, {"gather": 1.0, "infer": 40.0})
    ledger.took(STUDY, {"infer": 42.0})
    status = ledger.status(STUDY)
    assert status is not None
    assert status.seconds == {"gather": 1.0, "infer": 42.0}
