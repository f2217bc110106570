"""Checks: is every third-party part known, evaluated, and the one that is locked and was tested."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator

from qms import soup as list_of_soup
from qms.findings import Finding
from qms.gate.project import Project
from qms.items import Soup
from qms.locks import LockError, Pin, read


def locks(project: Project) -> Iterator[Finding]:
    """Find the list of SOUP and the locks, compared in both directions."""
    pins, findings = _pins(project)
    yield from findings
    if pins:
        yield from _placed(project, list_of_soup.compare(project.records.of(Soup), pins))


def environment(project: Project) -> Iterator[Finding]:
    """Find what was installed where the tests ran, compared with the locks."""
    pins, _ = _pins(project)
    for run in project.evidence if pins else ():
        yield from list_of_soup.compare_environment(project.records.of(Soup), pins, run.environment.packages)


def weights(project: Project) -> Iterator[Finding]:
    """Find trained weights, compared with the manifests of the models."""
    try:
        manifests = list_of_soup.read_manifests(project.root)
        findings = list_of_soup.compare_weights(project.records.of(Soup), manifests)
    except (tomllib.TOMLDecodeError, OSError, KeyError) as error:
        yield Finding("models", "soup-weights", f"a manifest cannot be read: {type(error).__name__}: {error}")
        return
    yield from _placed(project, findings)


def evaluations(project: Project) -> Iterator[Finding]:
    """Find for a release: items whose published anomalies nobody has evaluated."""
    if project.is_release:
        yield from _placed(project, list_of_soup.unevaluated(project.records.of(Soup)))


def _pins(project: Project) -> tuple[tuple[Pin, ...], list[Finding]]:
    try:
        return read(project.root), []
    except LockError as error:
        return (), [Finding("requirements", "lock-unreadable", str(error))]


def _placed(project: Project, findings: list[Finding]) -> Iterator[Finding]:
    for finding in findings:
        yield Finding(finding.item, finding.code, finding.text, finding.place or project.place(finding.item))
