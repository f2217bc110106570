"""Checks: is the evidence there, whole, and what it says it is."""

from __future__ import annotations

from collections.abc import Iterator

from qms.findings import Finding
from qms.gate.project import Profile, Project

RUNS = {
    Profile.DEVELOPMENT: {"test": "make test"},
    Profile.RELEASE: {"test": "make test", "system": "make system-test"},
}
"""The runs that a profile asks for, and the command of each."""


def missing_runs(project: Project) -> Iterator[Finding]:
    """Find runs without evidence."""
    there = {run.run for run in project.evidence}
    for name, command in RUNS[project.profile].items():
        if name not in there:
            yield Finding(f"run {name}", "no-evidence", f"there is no evidence of it: `{command}` leaves it")


def unrun_tests(project: Project) -> Iterator[Finding]:
    """Find, for a release, tests that no run has: left out by path or by mark, or never collected."""
    if not project.is_release or not project.evidence:
        return
    ran = {test.function for run in project.evidence for test in run.tests}
    for test in project.tests:
        if test.id not in ran:
            yield Finding(test.id, "unrun-test", "it is in no run", f"{test.path}:{test.line}")


def unusable_files(project: Project) -> Iterator[Finding]:
    """Find evidence that cannot be read, or whose signature does not hold."""
    yield from project.evidence_findings


def failed_runs(project: Project) -> Iterator[Finding]:
    """Find runs that ended with a failure, or that were cut short."""
    for run in project.evidence:
        if run.exit_status != 0:
            yield Finding(f"run {run.run}", "failed-run", f"it ended with status {run.exit_status}")
        for test in run.tests:
            if test.outcome == "not-run":
                yield Finding(test.id, "failed-run", f"it was begun and never ended in the run {run.run}", test.path)


def unfit_for_release(project: Project) -> Iterator[Finding]:
    """Find evidence of a demonstration key, of an unknown key, of changed files or of left-out tests."""
    if not project.is_release:
        return
    policy = project.records.approval_policy
    trusted = policy.evidence_keys if policy else ()
    for run in project.evidence:
        name = f"run {run.run}"
        if run.demo:
            yield Finding(name, "demo-key", "its evidence is signed with a DEMO key, which is nobody's")
        elif run.public_key not in trusted:
            yield Finding(name, "unknown-key", "its evidence is signed with a key that the policy does not name")
        if run.changed or not run.commit:
            yield Finding(name, "uncommitted", "it ran on files that are in no commit")
        if run.deselected and name != "run system":
            left_out = [test for test in run.deselected if not test.startswith("tests/system/")]
            if left_out:
                yield Finding(name, "deselected", f"{len(left_out)} tests were left out")
