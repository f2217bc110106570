"""ATNA messages: of the schema of PS3.15 A.5, with what A.5.3 asks of each kind, and with nothing more of a patient."""

from __future__ import annotations

from typing import Any
from xml.etree.ElementTree import Element, fromstring

import pytest

from node.audit import Event, Record, Source, Subject
from node.audit.messages import message, needs_subject
from node.audit.records import FACTS, GENESIS
from node.dicom.uids import derive_uid
from tests.node.audit.schema import check

KEY, HASH = "sha256:" + "a" * 64, "b" * 64
STUDY = derive_uid("test", "study")
SOURCE = Source(
    ae_title="OVERREAD",
    host="node.example.org",
    process="4711",
    log="file:///data/audit.jsonl",
    destinations={"pacs": ("PACS", "192.0.2.7")},
)
SUBJECT = Subject("PHANTOM 7", "1.2.3.4", "PSN-" + "A" * 26, STUDY)
FACT: dict[str, Any] = {
    "study": STUDY,
    "patient": "PSN-" + "A" * 26,
    "reading": derive_uid("test", "reading"),
    "result": derive_uid("test", "result"),
    "job": "",
    "kind": "SR",
    "stage": "bytes",
    "destination": "pacs",
    "key": KEY,
    "volume": KEY,
    "labels": KEY,
    "images": 34,
    "lesions": 2,
    "bytes": 7,
    "record": 12,
    "fault": "changed",
    "code": "class-not-supported",
    "why": "delivery",
    "asked_by": "real-uid",
    "reason": "no-liver",
    "model": "tiny",
    "version": "1",
    "networks": {"liver": HASH},
    "engine": "onnxruntime",
    "sources": HASH,
    "digest": HASH,
    "commit": "",
    "python": "3.11.2",
    "packages": {"numpy": "2.2.0"},
    "vault_key": "1-0123456789abcdef",
}
KINDS = {
    Event.NODE_STARTED: ("110100", "E", "0"),
    Event.NODE_STOPPED: ("110100", "E", "0"),
    Event.STUDY_IDENTIFIED: ("110103", "R", "0"),
    Event.RESULT_REIDENTIFIED: ("110110", "R", "0"),
    Event.RESULT_OWED: ("110102", "E", "0"),
    Event.RESULT_SENT: ("110104", "C", "0"),
    Event.RESULT_WARNED: ("110104", "C", "4"),
    Event.RESULT_REFUSED: ("110104", "C", "8"),
    Event.LOG_BROKEN: ("110113", "E", "8"),
}
"""EventID, EventActionCode and EventOutcomeIndicator (A.5.3.1, .3, .6, .7, .10, .11)."""


def record_of(event: Event) -> Record:
    return Record.make(7, GENESIS, event, {name: FACT[name] for name in FACTS[event]})


def made(event: Event, subject: Subject = SUBJECT) -> Element:
    found = message(record_of(event), SOURCE, subject)
    assert found is not None
    return fromstring(found[0])  # noqa: S314  our own message


@pytest.mark.verifies("SRS-255", level="unit", technique="oracle")
@pytest.mark.parametrize("event", KINDS)
def test_a_message_is_of_the_schema_and_of_its_kind(event: Event) -> None:
    record = record_of(event)
    found = message(record, SOURCE, SUBJECT)
    assert found is not None
    root = fromstring(found[0])  # noqa: S314  our own message
    check(root)
    head = root[0]
    assert (head[0].get("csd-code"), head.get("EventActionCode"), head.get("EventOutcomeIndicator")) == KINDS[event]
    assert head.get("EventDateTime") == record.time
    assert found[1] == head.get("EventOutcomeIndicator")


@pytest.mark.verifies("SRS-255", level="unit", technique="consistency")
def test_the_other_events_have_no_message() -> None:
    silent = set(Event) - set(KINDS)
    assert all(message(record_of(event), SOURCE, SUBJECT) is None for event in silent)
    assert not any(needs_subject(record_of(event)) for event in silent)


@pytest.mark.verifies("SRS-255", level="unit", technique="example")
def test_a_transfer_names_both_ends_study_result_and_patient() -> None:
    root = made(Event.RESULT_SENT)
    source, destination = root.findall("ActiveParticipant")
    assert [end.get("AlternativeUserID") for end in (source, destination)] == ["AETITLES=OVERREAD", "AETITLES=PACS"]
    assert [end[0].get("csd-code") for end in (source, destination)] == ["110153", "110152"]
    assert [end.get("NetworkAccessPointTypeCode") for end in (source, destination)] == ["1", "2"]
    study, patient = root.findall("ParticipantObjectIdentification")
    assert study.get("ParticipantObjectID") == "1.2.3.4"
    assert study[0].get("csd-code") == "110180"
    (instance,) = study.iter("Instance")
    assert instance.get("UID") == FACT["result"]
    assert (patient.get("ParticipantObjectID"), patient[0].get("csd-code")) == ("PHANTOM 7", "2")
    assert patient.findtext("ParticipantObjectName") == SUBJECT.patient, "the pseudonym, and never the name"


@pytest.mark.verifies("SRS-255", level="unit", technique="example")
def test_start_stop_and_alert_say_which() -> None:
    kinds = {event: made(event)[0][1].get("csd-code") for event in (Event.NODE_STARTED, Event.NODE_STOPPED)}
    assert kinds == {Event.NODE_STARTED: "110120", Event.NODE_STOPPED: "110121"}
    alert = made(Event.LOG_BROKEN)
    assert alert[0][1].get("csd-code") == "110135"
    (detail,) = alert.iter("ParticipantObjectDetail")
    assert detail.get("type") == "Alert Description"


@pytest.mark.verifies("SRS-255", level="unit", technique="adversarial")
def test_a_patients_number_cannot_break_the_message() -> None:
    hostile = Subject('"><Alert/>\x00\x1b&\ud800', "1.2.3.4", "", STUDY)
    root = made(Event.RESULT_SENT, hostile)
    check(root)
    assert (
        root.findall("ParticipantObjectIdentification")[1].get("ParticipantObjectID") == '"><Alert/>\ufffd\ufffd&\ufffd'
    )


@pytest.mark.verifies("SRS-251", "SRS-255", level="unit", technique="consistency")
def test_without_a_subject_nothing_is_said_of_a_patient() -> None:
    for event in KINDS:
        record = record_of(event)
        assert (message(record, SOURCE, None) is None) == needs_subject(record)
    assert "PHANTOM" not in repr(SUBJECT)
