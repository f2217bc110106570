"""Checks: clauses, goldens, numbers and problem reports: does what is written have something behind it."""

from __future__ import annotations

from collections.abc import Iterator

from qms.findings import Finding
from qms.gate.project import Project
from qms.items import Clause, Golden, Problem, ProblemState
from qms.numbers import check_claims
from qms.pccp import LOOKS, PlanError, read_looks
from qms.sources import sha256
from qms.standards import DOCUMENTS, IEC_62304

_MADE_BY_RUNS = {f"qms/evidence/{name}.json" for name in ("test", "system", "proofs")}


def required(project: Project) -> Iterator[Finding]:
    """Find documents that are not there, or empty."""
    for name in DOCUMENTS:
        shown = f"qms/narrative/{name}.md"
        path = project.root / shown
        if not path.is_file() or not path.read_bytes().strip():
            yield Finding(shown, "missing-document", "it is not there, or empty")


def clauses(project: Project) -> Iterator[Finding]:
    """Find clauses of IEC 62304 that are missing, unanswered, or answered by something that is not there."""
    there = {clause.id.removeprefix("62304-"): clause for clause in project.records.of(Clause)}
    for number in IEC_62304:
        if number not in there:
            yield Finding(f"62304-{number}", "missing-clause", "the clause map has no such clause")
    for number, clause in there.items():
        place = project.place(clause.id)
        if number not in IEC_62304:
            yield Finding(clause.id, "unknown-clause", "IEC 62304 has no such clause", place)
        if not clause.artefacts or not clause.answer.strip():
            yield Finding(clause.id, "empty-clause", "it has no answer or no artefact", place)
        for artefact in clause.artefacts:
            if not _exists(project, artefact):
                yield Finding(clause.id, "missing-artefact", f"{artefact} is not there", place)


def _exists(project: Project, artefact: str) -> bool:
    """Tell whether a file, or a heading of a Markdown file (``plan.md#5.1.1``), is there; evidence is made by runs."""
    name, _, anchor = artefact.partition("#")
    path = project.root / name
    if name in _MADE_BY_RUNS:
        return True
    if not path.exists() or not path.resolve().is_relative_to(project.root.resolve()):
        return False
    if not anchor:
        return True
    if path.suffix != ".md" or not path.is_file():
        return False
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    headings = (line.lstrip("#").split() for line in lines if line[:1] == "#")
    return any(words and words[0] == anchor for words in headings)


# What decides what is acceptable must not change in silence.
_MUST_BE_GOLDEN = (
    "models/*/manifest.toml",
    "qms/records/pccp.yaml",
    "qms/records/risk_policy.yaml",
    "qms/records/approval_policy.yaml",
)


def unlisted_goldens(project: Project) -> Iterator[Finding]:
    """Find references that have no record: they could change in silence."""
    listed = {golden.path for golden in project.records.of(Golden)}
    for pattern in _MUST_BE_GOLDEN:
        for path in sorted(project.root.glob(pattern)):
            shown = path.relative_to(project.root).as_posix()
            if shown not in listed:
                yield Finding(shown, "unlisted-golden", "qms/records/goldens.yaml has no record of it", shown)


def goldens(project: Project) -> Iterator[Finding]:
    """Find references that have changed, or gone, without their record."""
    for golden in project.records.of(Golden):
        path = project.root / golden.path
        place = project.place(golden.id)
        if not path.is_file():
            yield Finding(golden.id, "missing-golden", f"{golden.path} is not there", place)
        elif sha256(path) != golden.sha256:
            text = f"{golden.path} is not the file that was reviewed on {golden.reviewed}"
            yield Finding(golden.id, "changed-golden", text, place)


def numbers(project: Project) -> Iterator[Finding]:
    """Find numbers of performance without evidence, or that the evidence contradicts."""
    yield from check_claims(project.root, project.numbers)


def problems(project: Project) -> Iterator[Finding]:
    """Find problem reports closed without a test, and, for a release, those of safety or security still open."""
    functions = {test.id for test in project.tests}
    passed = {test.function for run in project.evidence for test in run.tests if test.outcome == "passed"}
    for problem in project.records.of(Problem):
        place = project.place(problem.id)
        if problem.state is ProblemState.RESOLVED and not problem.verified_by:
            yield Finding(problem.id, "unverified-resolution", "it is resolved, and no test shows it", place)
        for test in problem.verified_by:
            if test not in functions:
                yield Finding(problem.id, "unknown-test", f"{test} does not exist", place)
            elif problem.state is ProblemState.RESOLVED and project.evidence and test not in passed:
                yield Finding(problem.id, "unverified-resolution", f"{test} did not pass in any run", place)
        if project.is_release and problem.state is ProblemState.OPEN and problem.criticality in {"safety", "security"}:
            yield Finding(problem.id, "open-problem", f"a problem of {problem.criticality} is open", place)


def looks(project: Project) -> Iterator[Finding]:
    """Find a ledger of looks at the sealed test set that was altered."""
    try:
        read_looks(project.root)
    except PlanError as error:
        yield Finding(str(LOOKS), "broken-ledger", str(error))
