"""Every check of the gate, and the judgement.

A check is a function that takes the `Project` and yields findings. It is listed here once; `qms.gate.mutations` breaks
a record for each, so that a check taken out of this list does not go unnoticed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from qms.findings import Finding
from qms.gate import approvals, documents, evidence, records, risks, soup, verification
from qms.gate.project import Project

Check = Callable[[Project], Iterator[Finding]]

CHECKS: tuple[Check, ...] = (
    records.unreadable,
    records.unparsable,
    records.unknown_references,
    records.requirements_without_shall,
    records.placeholders,
    records.unrealised_needs,
    records.unused_items,
    records.planned_items,
    records.units_without_requirement,
    records.requirements_without_unit,
    verification.orphan_tests,
    verification.marks,
    verification.untested_requirements,
    verification.unexecuted_units,
    verification.hollow_tests,
    verification.failed_tests,
    evidence.missing_runs,
    evidence.unrun_tests,
    evidence.unusable_files,
    evidence.failed_runs,
    evidence.unfit_for_release,
    risks.policy,
    risks.topics,
    risks.controls,
    risks.acceptability,
    risks.proofs,
    soup.locks,
    soup.environment,
    soup.weights,
    soup.evaluations,
    documents.clauses,
    documents.goldens,
    documents.unlisted_goldens,
    documents.required,
    documents.numbers,
    documents.problems,
    documents.looks,
    approvals.chain,
    approvals.policy_gaps,
    approvals.stale,
    approvals.missing,
)


def judge(project: Project) -> list[Finding]:
    """Return every gap of a project, sorted by item; an empty list if it stands."""
    return sorted({finding for check in CHECKS for finding in check(project)})
