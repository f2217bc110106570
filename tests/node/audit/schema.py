"""The schema of audit messages, DICOM PS3.15 A.5.1.1, as rules that a test can hold a message against.

Written from the schema (RELAX NG) and not from the code: elements in their order with how often they may stand, and
attributes with their values. What is not named here may not be there.
"""

from __future__ import annotations

import base64
import datetime as dt
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from xml.etree.ElementTree import Element

Check = Callable[[str], bool]


def _one_of(*values: str) -> Check:
    return lambda value: value in values


def _matches(pattern: str) -> Check:
    return lambda value: re.fullmatch(pattern, value) is not None


def _any(_value: str) -> bool:
    return True


def _date_time(value: str) -> bool:
    return dt.datetime.fromisoformat(value).tzinfo is not None


def _base64(value: str) -> bool:
    return base64.b64encode(base64.b64decode(value, validate=True)).decode() == value


_token = _matches(r"(\S+( \S+)*)?")
_oid = _matches(r"[0-2](\.(0|[1-9][0-9]*))*")
_numbers = [str(number) for number in range(1, 27)]


@dataclass(frozen=True)
class Rule:
    """What an element may hold.

    Attributes
    ----------
    children
        Name, least and most, in their order.
    required, optional
        Attributes and the check of their values.
    text
        The check of its text; None where it may have none.
    """

    children: Sequence[tuple[str, int, int]] = ()
    required: Mapping[str, Check] = field(default_factory=dict)
    optional: Mapping[str, Check] = field(default_factory=dict)
    text: Check | None = None


_MANY = 1 << 30
_CODE = Rule(
    required={"csd-code": _token, "codeSystemName": _token, "originalText": _token}, optional={"displayName": _token}
)
RULES = {
    "AuditMessage": Rule(
        [
            ("EventIdentification", 1, 1),
            ("ActiveParticipant", 1, _MANY),
            ("AuditSourceIdentification", 1, 1),
            ("ParticipantObjectIdentification", 0, _MANY),
        ]
    ),
    "EventIdentification": Rule(
        [("EventID", 1, 1), ("EventTypeCode", 0, _MANY), ("EventOutcomeDescription", 0, 1)],
        {"EventDateTime": _date_time, "EventOutcomeIndicator": _one_of("0", "4", "8", "12")},
        {"EventActionCode": _one_of(*"CRUDE")},
    ),
    "EventID": _CODE,
    "EventTypeCode": _CODE,
    "EventOutcomeDescription": Rule(text=_any),
    "ActiveParticipant": Rule(
        [("RoleIDCode", 0, _MANY), ("MediaIdentifier", 0, 1)],
        {"UserID": _any, "UserIsRequestor": _one_of("true", "false")},
        {
            "AlternativeUserID": _any,
            "UserName": _any,
            "NetworkAccessPointID": _token,
            "NetworkAccessPointTypeCode": _one_of(*"12345"),
        },
    ),
    "RoleIDCode": _CODE,
    "AuditSourceIdentification": Rule(
        [("AuditSourceTypeCode", 0, _MANY)], {"AuditSourceID": _token}, {"AuditEnterpriseSiteID": _token}
    ),
    "AuditSourceTypeCode": Rule(
        required={"csd-code": _one_of(*"123456789")}, optional={"codeSystemName": _token, "originalText": _token}
    ),
    "ParticipantObjectIdentification": Rule(
        [
            ("ParticipantObjectIDTypeCode", 1, 1),
            ("ParticipantObjectName", 1, 1),  # or a query, which this product never makes
            ("ParticipantObjectDetail", 0, _MANY),
            ("ParticipantObjectDescription", 0, _MANY),
        ],
        {"ParticipantObjectID": _token},
        {
            "ParticipantObjectTypeCode": _one_of(*"1234"),
            "ParticipantObjectTypeCodeRole": _one_of(*_numbers),
            "ParticipantObjectDataLifeCycle": _one_of(*_numbers[:15]),
            "ParticipantObjectSensitivity": _token,
        },
    ),
    "ParticipantObjectIDTypeCode": _CODE,
    "ParticipantObjectName": Rule(text=_token),
    "ParticipantObjectDetail": Rule(required={"type": _token, "value": _base64}),
    "ParticipantObjectDescription": Rule([("MPPS", 0, _MANY), ("Accession", 0, _MANY), ("SOPClass", 0, _MANY)]),
    "SOPClass": Rule([("Instance", 0, _MANY)], {"NumberOfInstances": _matches("[0-9]+")}, {"UID": _oid}),
    "Instance": Rule(required={"UID": _oid}),
}


def check(element: Element) -> None:
    """Hold an element and all below it against the schema."""
    rule = RULES[element.tag]
    allowed = {**rule.required, **rule.optional}
    assert set(rule.required) <= set(element.keys()) <= set(allowed), (element.tag, element.keys())
    for name, value in element.items():
        assert allowed[name](value), (element.tag, name, value)
    assert rule.text(element.text or "") if rule.text else not element.text, element.tag
    order = [name for name, _, _ in rule.children]
    names = [child.tag for child in element]
    assert names == sorted(names, key=order.index), (element.tag, names)
    for name, least, most in rule.children:
        assert least <= names.count(name) <= most, (element.tag, name)
    for child in element:
        check(child)
