"""All that the gate looks at, read once from the directory that it judges."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path

from qms.evidence import Evidence, Measured, read_all
from qms.findings import Finding
from qms.gate.links import Links, find_links
from qms.items import Requirement, Status
from qms.load import RECORDS, Records, load
from qms.sources import Test, Unit, sources, tests, units


class Profile(StrEnum):
    """How strictly the gate judges."""

    DEVELOPMENT = "development"
    RELEASE = "release"
    """Also asks for what only people can give, and for nothing that is planned or of a demonstration key."""


class NotAProjectError(Exception):
    """The directory holds no quality record."""


@dataclass(frozen=True)
class Project:
    """One project's records, code and evidence.

    Attributes
    ----------
    root
        Its folder.
    profile, today
        How to judge, and the day on which signatures and evaluations are judged.
    records
        The quality record, with what was wrong with reading it.
    units, tests, sources
        The code as it stands: units by name, test functions, SHA-256 by path.
    evidence, evidence_findings
        Every genuine evidence file, and what was wrong with others.
    """

    root: Path
    profile: Profile
    today: dt.date
    records: Records
    units: Mapping[str, Unit]
    tests: tuple[Test, ...]
    sources: Mapping[str, str]
    evidence: tuple[Evidence, ...]
    evidence_findings: tuple[Finding, ...]

    @property
    def is_release(self) -> bool:
        """Whether the release profile is asked for."""
        return self.profile is Profile.RELEASE

    @cached_property
    def active(self) -> tuple[Requirement, ...]:
        """The software requirements that bind the code of today."""
        return tuple(r for r in self.records.of(Requirement) if r.status is Status.ACTIVE)

    @cached_property
    def links(self) -> Mapping[str, Links]:
        """What the evidence shows for each software requirement, by its identifier."""
        return find_links(self.active, self.evidence, self.units, self.sources)

    @cached_property
    def numbers(self) -> Mapping[str, Measured]:
        """The numbers that tests measured, of all runs."""
        return {name: number for run in self.evidence for name, number in run.numbers.items()}

    def place(self, identifier: str) -> str:
        """Return where an item stands, or an empty text."""
        found = self.records.places.get(identifier)
        return str(found) if found else ""


def read(root: Path, profile: Profile = Profile.DEVELOPMENT, today: dt.date | None = None) -> Project:
    """Read a project's folder.

    Parameters
    ----------
    root
        The folder with ``qms/records`` and the code.
    profile, today
        See `Project`.

    Raises
    ------
    NotAProjectError
        If there is no quality record in it.
    """
    if not (root / RECORDS).is_dir():
        raise NotAProjectError(f"no quality record here: {RECORDS} is missing")
    evidence, evidence_findings = read_all(root)
    return Project(
        root=root,
        profile=profile,
        today=today or dt.datetime.now(dt.UTC).date(),
        records=load(root),
        units=units(root),
        tests=tuple(tests(root)),
        sources=sources(root),
        evidence=tuple(evidence),
        evidence_findings=tuple(evidence_findings),
    )
