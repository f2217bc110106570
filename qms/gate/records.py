"""Checks: do the records hold together: references, wording, and that nothing hangs in the air."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import BaseModel

from qms.findings import Finding
from qms.gate.project import Project
from qms.items import (
    Hazard,
    IntendedUse,
    Item,
    Problem,
    Requirement,
    Risk,
    Status,
    UserRequirement,
)
from qms.sources import unparsable as unparsable_files

_SHALL = re.compile(r"\bshall\b")
# Words that stand where a fact should. "N/A" is refused too: whoever writes why says more.
PLACEHOLDER = re.compile(
    r"\b(TBD|TBC|TODO|FIXME|XXX+|lorem ipsum|to be (defined|determined|confirmed|done|written|added)|"
    r"fill (this )?in|placeholder|n/a|coming soon)\b|\?\?\?|<[a-z _-]+ here>",
    re.IGNORECASE,
)


def unreadable(project: Project) -> Iterator[Finding]:
    """Find files and items that cannot be read, fields that do not fit, identifiers that stand twice."""
    yield from project.records.findings


def unparsable(project: Project) -> Iterator[Finding]:
    """Find modules and tests that are not Python: nothing in them is seen."""
    for path in unparsable_files(project.root):
        yield Finding(path, "unparsable", "this is not Python", path)


def unknown_references(project: Project) -> Iterator[Finding]:
    """Find references to items, units or files of tests that do not exist."""
    records = project.records
    for item in records.items.values():
        for kind, name in _references(item):
            if records.get(kind, name) is None:
                yield Finding(item.id, "unknown-id", f"refers to {name}, which does not exist", project.place(item.id))
        for unit in (*getattr(item, "units", ()),):
            if unit not in project.units:
                text = f"names the unit {unit}, which does not exist or has no function"
                yield Finding(item.id, "unknown-unit", text, project.place(item.id))


def _references(item: Item) -> Iterator[tuple[type[Item], str]]:
    if isinstance(item, UserRequirement):
        yield from ((IntendedUse, name) for name in item.intended_use)
    elif isinstance(item, Requirement):
        yield from ((UserRequirement, name) for name in item.user_requirements)
    elif isinstance(item, Risk):
        yield Hazard, item.hazard
        yield from ((Requirement, control.requirement) for control in item.controls)
    elif isinstance(item, Problem):
        yield from ((Requirement, name) for name in item.requirements)
        yield from ((Risk, name) for name in item.risks)


def requirements_without_shall(project: Project) -> Iterator[Finding]:
    """Find requirements that demand nothing (IEC 62304:2006+A1 5.2.6: testable, unambiguous)."""
    items: Iterable[UserRequirement | Requirement] = (
        *project.records.of(UserRequirement),
        *project.records.of(Requirement),
    )
    for item in items:
        if not _SHALL.search(item.text):
            yield Finding(item.id, "no-shall", 'its text has no "shall"', project.place(item.id))


def placeholders(project: Project) -> Iterator[Finding]:
    """Find words that stand where a fact should."""
    for item in project.records.items.values():
        for text in _texts(item.model_dump()):
            found = PLACEHOLDER.search(text)
            if found:
                yield Finding(item.id, "placeholder", f'says "{found[0]}"', project.place(item.id))
    for path in sorted(path for path in (project.root / "qms/narrative").rglob("*.md") if path.is_file()):
        shown = path.relative_to(project.root).as_posix()
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            found = PLACEHOLDER.search(line)
            if found:
                yield Finding(shown, "placeholder", f'says "{found[0]}"', f"{shown}:{number}")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, BaseModel):
        yield from _texts(value.model_dump())
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)


def unrealised_needs(project: Project) -> Iterator[Finding]:
    """Find active user requirements that no active software requirement realises."""
    realised = {name for requirement in project.active for name in requirement.user_requirements}
    for need in project.records.of(UserRequirement):
        if need.status is Status.ACTIVE and need.id not in realised:
            text = "no active software requirement realises it"
            yield Finding(need.id, "unrealised-need", text, project.place(need.id))


def unused_items(project: Project) -> Iterator[Finding]:
    """Find hazards without a risk, parts of the intended use without a need."""
    used = {risk.hazard for risk in project.records.of(Risk)}
    used |= {name for need in project.records.of(UserRequirement) for name in need.intended_use}
    items: Iterable[Item] = (*project.records.of(Hazard), *project.records.of(IntendedUse))
    for item in items:
        if item.id not in used:
            yield Finding(item.id, "unused-item", "nothing refers to it", project.place(item.id))


def planned_items(project: Project) -> Iterator[Finding]:
    """Find what is only planned; a release has none of it."""
    if not project.is_release:
        return
    for item in project.records.items.values():
        if getattr(item, "status", None) is Status.PLANNED:
            yield Finding(item.id, "planned", "is planned and does not exist", project.place(item.id))


def units_without_requirement(project: Project) -> Iterator[Finding]:
    """Find units that no active requirement needs: either a requirement is missing, or the code is superfluous."""
    needed = {unit for requirement in project.active for unit in requirement.units}
    for unit in project.units.values():
        if unit.name not in needed:
            yield Finding(unit.name, "unlinked-unit", "no active requirement names this unit", unit.path)


def requirements_without_unit(project: Project) -> Iterator[Finding]:
    """Find active requirements that live nowhere."""
    for requirement in project.active:
        place = project.place(requirement.id)
        if not requirement.units and not requirement.artefacts:
            yield Finding(requirement.id, "no-unit", "it names no unit or artefact that realises it", place)
        for artefact in requirement.artefacts:
            if artefact not in project.sources:
                yield Finding(requirement.id, "missing-artefact", f"{artefact} is not there, or is no artefact", place)
