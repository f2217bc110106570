"""The record as StrictDoc documents (.sdoc): requirements, risks and their relations, for tools that exchange ReqIF.

StrictDoc is no part of the product. Installed beside it, ``strictdoc export --formats=html,reqif-sdoc FOLDER`` makes
its own pages and ReqIF 1.2 of what `export` writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from qms.items import Hazard, IntendedUse, Requirement, Risk, UserRequirement
from qms.load import Records
from qms.signatures import references

_TAGS = (
    ("INTENDED_USE", ("SOURCE",)),
    ("USER_REQUIREMENT", ("USER", "RATIONALE", "SOURCE")),
    ("REQUIREMENT", ("CATEGORY", "SAFETY_CLASS", "UNITS", "RATIONALE", "SOURCE")),
    ("HAZARD", ()),
    ("RISK", ("CAUSE", "SITUATION", "HARM", "BEFORE", "AFTER", "RESIDUAL")),
)
"""Kinds of elements, each with its fields beside UID, STATUS, TITLE and STATEMENT."""

_MULTILINE = frozenset({"RATIONALE", "SITUATION", "HARM", "RESIDUAL"})


@dataclass(frozen=True)
class _Element:
    tag: str
    uid: str
    status: str
    title: str
    statement: str
    fields: Mapping[str, str]
    parents: Sequence[str]


def export(records: Records) -> dict[str, str]:
    """Return the record as StrictDoc documents.

    Parameters
    ----------
    records
        The quality record.

    Returns
    -------
    dict
        Text by file name: ``needs.sdoc``, ``requirements.sdoc`` and ``risks.sdoc``. Relations to items that are not in
        the record are left out: StrictDoc refuses such a document, and the gate names them.
    """
    documents = {
        "needs": ("Intended use and user requirements", [*_uses(records), *_needs(records)]),
        "requirements": ("Software requirements", list(_requirements(records))),
        "risks": ("Risks", [*_hazards(records), *_risks(records)]),
    }
    known = {element.uid for _, elements in documents.values() for element in elements}
    return {
        f"{name}.sdoc": _document(f"OVERREAD-{name.upper()}", title, elements, known)
        for name, (title, elements) in documents.items()
        if elements
    }


def _uses(records: Records) -> Iterable[_Element]:
    for item in records.of(IntendedUse):
        yield _Element("INTENDED_USE", item.id, "active", item.title, item.text, {"SOURCE": item.source}, ())


def _needs(records: Records) -> Iterable[_Element]:
    for item in records.of(UserRequirement):
        fields = {"USER": item.user, "RATIONALE": item.rationale, "SOURCE": item.source}
        yield _Element("USER_REQUIREMENT", item.id, item.status.value, item.title, item.text, fields, references(item))


def _requirements(records: Records) -> Iterable[_Element]:
    for item in records.of(Requirement):
        fields = {
            "CATEGORY": item.category.value,
            "SAFETY_CLASS": item.safety_class.value,
            "UNITS": ", ".join(item.units),
            "RATIONALE": item.rationale,
            "SOURCE": item.source,
        }
        yield _Element("REQUIREMENT", item.id, item.status.value, item.title, item.text, fields, references(item))


def _hazards(records: Records) -> Iterable[_Element]:
    for item in records.of(Hazard):
        yield _Element("HAZARD", item.id, "active", item.title, item.text, {}, ())


def _risks(records: Records) -> Iterable[_Element]:
    for item in records.of(Risk):
        fields = {
            "CAUSE": item.cause.value,
            "SITUATION": item.situation,
            "HARM": item.harm,
            "BEFORE": f"severity {item.before.severity}, probability {item.before.probability}",
            "AFTER": f"severity {item.after.severity}, probability {item.after.probability}",
            "RESIDUAL": item.residual,
        }
        yield _Element("RISK", item.id, item.status.value, item.title, item.sequence, fields, references(item))


def _document(uid: str, title: str, elements: Iterable[_Element], known: set[str]) -> str:
    used = list(elements)
    parts = [
        f"[DOCUMENT]\nTITLE: {title}\nUID: {uid}\nOPTIONS:\n  MARKUP: Text",
        _grammar({element.tag for element in used}),
    ]
    parts += [_element(element, known) for element in used]
    return "\n\n".join(parts) + "\n"


def _grammar(tags: set[str]) -> str:
    lines = ["[GRAMMAR]", "ELEMENTS:"]
    for tag, fields in _TAGS:
        if tag in tags:
            lines += [f"- TAG: {tag}", "  FIELDS:"]
            for field in ("UID", "STATUS", "TITLE", "STATEMENT", *fields):
                required = field in {"UID", "STATEMENT"}
                lines += [f"  - TITLE: {field}", "    TYPE: String", f"    REQUIRED: {required}"]
            lines += ["  RELATIONS:", "  - TYPE: Parent"]
    return "\n".join(lines)


def _element(element: _Element, known: set[str]) -> str:
    lines = [f"[{element.tag}]", f"UID: {element.uid}", f"STATUS: {element.status}", f"TITLE: {_flat(element.title)}"]
    lines.append(f"STATEMENT: >>>\n{_prose(element.statement)}\n<<<")
    for name, value in element.fields.items():
        if value:
            lines.append(f"{name}: >>>\n{_prose(value)}\n<<<" if name in _MULTILINE else f"{name}: {_flat(value)}")
    parents = [parent for parent in dict.fromkeys(element.parents) if parent in known]
    if parents:
        lines.append("RELATIONS:")
        for parent in parents:
            lines += ["- TYPE: Parent", f"  VALUE: {parent}"]
    return "\n".join(lines)


def _flat(text: str) -> str:
    return " ".join(text.split())


def _prose(text: str) -> str:
    """Return text for between ``>>>`` and ``<<<``: flat, because a line of its own with ``<<<`` would end it."""
    return _flat(text).replace("<<<", "«")
