"""ATNA: what a record of the audit log says, as an audit message of DICOM PS3.15 A.5.

The patient's number and the real Study Instance UID come in here, when a message is made to be sent, and are kept
nowhere. Where the schema wants a name beside a number, it gets the pseudonym, so that a message and a record find each
other; the patient's name is not sent.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from xml.etree.ElementTree import Element, SubElement, tostring  # only writes XML

from pydicom.uid import Comprehensive3DSRStorage, CTImageStorage, SegmentationStorage

from node.audit.records import Event, Record

SUCCESS, MINOR, SERIOUS = "0", "4", "8"
"""EventOutcomeIndicator (A.5.1.1)."""

Code = tuple[str, str, str]

_APPLICATION_ACTIVITY: Code = ("110100", "DCM", "Application Activity")
_BEGIN_TRANSFERRING: Code = ("110102", "DCM", "Begin Transferring DICOM Instances")
_INSTANCES_ACCESSED: Code = ("110103", "DCM", "DICOM Instances Accessed")
_INSTANCES_TRANSFERRED: Code = ("110104", "DCM", "DICOM Instances Transferred")
_PATIENT_RECORD: Code = ("110110", "DCM", "Patient Record")
_SECURITY_ALERT: Code = ("110113", "DCM", "Security Alert")
_APPLICATION_START: Code = ("110120", "DCM", "Application Start")
_APPLICATION_STOP: Code = ("110121", "DCM", "Application Stop")
_OBJECT_CHANGED: Code = ("110135", "DCM", "Object Security Attributes Changed")
_APPLICATION: Code = ("110150", "DCM", "Application")
_DESTINATION: Code = ("110152", "DCM", "Destination Role ID")
_SOURCE: Code = ("110153", "DCM", "Source Role ID")
_STUDY: Code = ("110180", "DCM", "Study Instance UID")
_PATIENT_NUMBER: Code = ("2", "RFC-3881", "Patient Number")
_URI: Code = ("12", "RFC-3881", "URI")

# What XML 1.0 cannot hold (section 2.2); a patient's number may hold anything.
_NO_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Source:
    """Who reports.

    Attributes
    ----------
    ae_title, host, process
        The node's application entity title, its machine's name, and its process ID.
    log
        URI of the audit log, for an alert about it.
    destinations
        Application entity title and address of each destination, by its name in the settings.
    """

    ae_title: str
    host: str
    process: str
    log: str
    destinations: Mapping[str, tuple[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Subject:
    """Whom a record is about, for the time of sending.

    Attributes
    ----------
    patient_id, study_uid
        PatientID and Study Instance UID as the PACS knows them.
    patient, study
        Their pseudonyms.
    """

    patient_id: str = field(repr=False)
    study_uid: str = field(repr=False)
    patient: str
    study: str


def needs_subject(record: Record) -> bool:
    """Tell whether the record's message names a patient."""
    return record.event in _ABOUT_A_PATIENT


def message(record: Record, source: Source, subject: Subject | None) -> tuple[bytes, str] | None:
    """Return the audit message of a record.

    Parameters
    ----------
    record
        Of the log.
    source
        Who reports.
    subject
        Of the record; needed for those that `needs_subject` names.

    Returns
    -------
    tuple of bytes and str, or None
        The XML in UTF-8 and its outcome (`SUCCESS`, `MINOR`, `SERIOUS`); None for a record that has no message.
    """
    if record.event in _ABOUT_THE_NODE:
        return _ABOUT_THE_NODE[record.event](record, source)
    if record.event in _ABOUT_A_PATIENT and subject is not None:
        return _ABOUT_A_PATIENT[record.event](record, source, subject)
    return None


def _application(record: Record, source: Source) -> tuple[bytes, str]:
    """Application Activity (A.5.3.1)."""
    kind = _APPLICATION_START if record.event == Event.NODE_STARTED else _APPLICATION_STOP
    root = _begin(record, _APPLICATION_ACTIVITY, "E", kind=kind)
    _node(root, source, _APPLICATION, requestor=False)
    _audit_source(root, source)
    return _written(root), SUCCESS


def _alert(record: Record, source: Source) -> tuple[bytes, str]:
    """Security Alert (A.5.3.11): the audit log does not hold."""
    root = _begin(record, _SECURITY_ALERT, "E", SERIOUS, kind=_OBJECT_CHANGED)
    _node(root, source, _APPLICATION, requestor=True)
    _audit_source(root, source)
    log = _object(root, source.log, _URI, kind="2", role="13", name="Security Audit Log")
    text = f"the audit log does not hold at record {record.facts['record']}: {record.facts['fault']}"
    _set(SubElement(log, "ParticipantObjectDetail"), type="Alert Description", value=_base64(text))
    return _written(root), SERIOUS


def _accessed(record: Record, source: Source, subject: Subject) -> tuple[bytes, str]:
    """DICOM Instances Accessed (A.5.3.6): the images of a study were read, to be pseudonymised."""
    root = _begin(record, _INSTANCES_ACCESSED, "R")
    _node(root, source, None, requestor=True)
    _audit_source(root, source)
    _study(root, subject, CTImageStorage, record.facts["images"])
    _patient(root, subject)
    return _written(root), SUCCESS


def _patient_record(record: Record, source: Source, subject: Subject) -> tuple[bytes, str]:
    """Patient Record (A.5.3.10): the vault was asked for a patient's identity."""
    root = _begin(record, _PATIENT_RECORD, "R")
    _node(root, source, None, requestor=True)
    _audit_source(root, source)
    _patient(root, subject)
    return _written(root), SUCCESS


def _begins(record: Record, source: Source, subject: Subject) -> tuple[bytes, str]:
    """Begin Transferring DICOM Instances (A.5.3.3)."""
    return _transfer(record, source, subject, _begin(record, _BEGIN_TRANSFERRING, "E"), SUCCESS)


def _transferred(record: Record, source: Source, subject: Subject) -> tuple[bytes, str]:
    """DICOM Instances Transferred (A.5.3.7)."""
    outcome = {Event.RESULT_WARNED.value: MINOR, Event.RESULT_REFUSED.value: SERIOUS}.get(record.event, SUCCESS)
    root = _begin(record, _INSTANCES_TRANSFERRED, "C", outcome, text=record.facts["code"])
    return _transfer(record, source, subject, root, outcome)


def _transfer(record: Record, source: Source, subject: Subject, root: Element, outcome: str) -> tuple[bytes, str]:
    facts = record.facts
    _node(root, source, _SOURCE, requestor=True)
    ae_title, address = source.destinations.get(facts["destination"], ("", ""))
    _participant(root, facts["destination"], ae_title, address, _DESTINATION, requestor=False)
    _audit_source(root, source)
    sop_class = SegmentationStorage if facts["kind"] == "SEG" else Comprehensive3DSRStorage
    _study(root, subject, sop_class, 1, facts["result"])
    _patient(root, subject)
    return _written(root), outcome


_ABOUT_THE_NODE: Mapping[str, Callable[[Record, Source], tuple[bytes, str]]] = {
    Event.NODE_STARTED: _application,
    Event.NODE_STOPPED: _application,
    Event.LOG_BROKEN: _alert,
}
_ABOUT_A_PATIENT: Mapping[str, Callable[[Record, Source, Subject], tuple[bytes, str]]] = {
    Event.STUDY_IDENTIFIED: _accessed,
    Event.RESULT_REIDENTIFIED: _patient_record,
    Event.RESULT_OWED: _begins,
    Event.RESULT_SENT: _transferred,
    Event.RESULT_WARNED: _transferred,
    Event.RESULT_REFUSED: _transferred,
}


# ---- the parts of a message, in the order of the schema (A.5.1.1)


def _begin(
    record: Record, event: Code, action: str, outcome: str = SUCCESS, *, kind: Code | None = None, text: str = ""
) -> Element:
    root = Element("AuditMessage")
    found = SubElement(root, "EventIdentification")
    _set(found, EventActionCode=action, EventDateTime=record.time, EventOutcomeIndicator=outcome)
    _coded(found, "EventID", event)
    if kind is not None:
        _coded(found, "EventTypeCode", kind)
    if text:
        SubElement(found, "EventOutcomeDescription").text = text
    return root


def _node(root: Element, source: Source, role: Code | None, *, requestor: bool) -> None:
    _participant(root, source.process, source.ae_title, source.host, role, requestor=requestor)


def _participant(root: Element, user: str, ae_title: str, address: str, role: Code | None, *, requestor: bool) -> None:
    """Write who takes part. UserID: A.5.2.1; AlternativeUserID: A.5.2.2."""
    found = SubElement(root, "ActiveParticipant")
    _set(found, UserID=user, UserIsRequestor="true" if requestor else "false")
    if ae_title:
        _set(found, AlternativeUserID=f"AETITLES={ae_title}")
    if address:
        is_ip = re.fullmatch(r"[0-9.]+|[0-9a-fA-F:]*:[0-9a-fA-F:.]*", address) is not None
        _set(found, NetworkAccessPointID=address, NetworkAccessPointTypeCode="2" if is_ip else "1")
    if role is not None:
        _coded(found, "RoleIDCode", role)


def _audit_source(root: Element, source: Source) -> None:
    found = SubElement(root, "AuditSourceIdentification")
    _set(found, AuditSourceID=source.ae_title)
    _set(SubElement(found, "AuditSourceTypeCode"), **{"csd-code": "4"})  # application server process


def _written(root: Element) -> bytes:
    text: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return text


def _study(root: Element, subject: Subject, sop_class: str, instances: int, instance: str = "") -> None:
    found = _object(root, subject.study_uid, _STUDY, kind="2", role="3", name=subject.study)
    described = SubElement(SubElement(found, "ParticipantObjectDescription"), "SOPClass")
    _set(described, UID=sop_class, NumberOfInstances=str(instances))
    if instance:
        _set(SubElement(described, "Instance"), UID=instance)


def _patient(root: Element, subject: Subject) -> None:
    _object(root, subject.patient_id, _PATIENT_NUMBER, kind="1", role="1", name=subject.patient)


def _object(root: Element, identifier: str, id_type: Code, *, kind: str, role: str, name: str) -> Element:
    found = SubElement(root, "ParticipantObjectIdentification")
    _set(found, ParticipantObjectID=identifier, ParticipantObjectTypeCode=kind, ParticipantObjectTypeCodeRole=role)
    _coded(found, "ParticipantObjectIDTypeCode", id_type)
    SubElement(found, "ParticipantObjectName").text = _NO_XML.sub("\ufffd", name)
    return found


def _coded(parent: Element, name: str, code: Code) -> None:
    value, system, text = code
    _set(SubElement(parent, name), **{"csd-code": value, "codeSystemName": system, "originalText": text})


def _set(element: Element, **attributes: str) -> None:
    for name, value in attributes.items():
        element.set(name, _NO_XML.sub("\ufffd", value))


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode("ascii")
