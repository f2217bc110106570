"""Checks: is every requirement verified by tests that count, and does every test verify something."""

from __future__ import annotations

from collections.abc import Iterator

from qms.findings import Finding
from qms.gate.links import Links
from qms.gate.project import Project
from qms.items import Requirement, Status, Technique, VerificationLevel


def orphan_tests(project: Project) -> Iterator[Finding]:
    """Find tests that say nothing of what they verify."""
    for test in project.tests:
        if not test.marks:
            yield Finding(test.id, "orphan-test", "verifies no requirement", f"{test.path}:{test.line}")


def marks(project: Project) -> Iterator[Finding]:
    """Find marks that name a requirement which does not exist or is only planned, or an unknown level or technique."""
    for test in project.tests:
        for mark in test.marks:
            place = f"{test.path}:{test.line}"
            requirement = project.records.get(Requirement, mark.item)
            if requirement is None:
                yield Finding(mark.item, "unknown-id", f"{test.name} verifies it, and it does not exist", place)
            elif requirement.status is Status.PLANNED:
                yield Finding(mark.item, "verifies-planned", f"{test.name} verifies it, and it is planned", place)
            if mark.level not in tuple(VerificationLevel) or mark.technique not in tuple(Technique):
                yield Finding(test.id, "bad-mark", f"unknown level or technique: {mark.level}, {mark.technique}", place)


def untested_requirements(project: Project) -> Iterator[Finding]:
    """Find active requirements without a test that counts, with the reason why those there are do not."""
    for identifier, links in project.links.items():
        if not links.counted:
            code = "stale-evidence" if _only_stale(links) else "untested-requirement"
            yield Finding(identifier, code, _reasons(links), project.place(identifier))


def _only_stale(links: Links) -> bool:
    return bool(links.rejected) and all(reason.endswith("since the run") for reason in links.rejected.values())


def _reasons(links: Links) -> str:
    if not links.rejected:
        return "no test that was run verifies it"
    test, reason = min(links.rejected.items(), key=lambda found: (found[1], found[0]))
    more = f"; {len(links.rejected) - 1} more do not" if len(links.rejected) > 1 else ""
    return f"no test counts: {test}: {reason}{more}"


def unexecuted_units(project: Project) -> Iterator[Finding]:
    """Find units that a requirement names and none of its tests executes."""
    for requirement in project.active:
        links = project.links[requirement.id]
        if links.counted:
            for unit in sorted(set(requirement.units) - links.executed):
                text = f"none of its tests that count executes {unit}"
                yield Finding(requirement.id, "unexecuted-unit", text, project.place(requirement.id))


def hollow_tests(project: Project) -> Iterator[Finding]:
    """Find tests that cannot fail."""
    for run in project.evidence:
        for test in run.tests:
            if test.hollow and test.verifies:
                yield Finding(test.function, "hollow-test", f"it {test.hollow}", test.path)


def failed_tests(project: Project) -> Iterator[Finding]:
    """Find tests that failed, or that passed though they are marked to fail."""
    for run in project.evidence:
        for test in run.tests:
            if test.outcome in {"failed", "xpassed"}:
                yield Finding(test.id, "failed-test", f"it {test.outcome} in the run {run.run}", test.path)
