"""Checks: is every risk controlled, acceptable, and each control proved."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import ValidationError

from qms.findings import Finding
from qms.gate.project import Project
from qms.items import Requirement, Risk, Status, Topic
from qms.proofs import PROOFS, Outcome, Proof, controls_of
from qms.proofs import read as read_proofs


def policy(project: Project) -> Iterator[Finding]:
    """Find scales that are not 1 to 5 in order, or a severity without a bound."""
    found = project.records.risk_policy
    if found is None:
        return  # the loader has said so
    for name, scale in (("severity", found.severity), ("probability", found.probability)):
        if [level.value for level in scale] != [1, 2, 3, 4, 5]:
            yield Finding("qms/records/risk_policy.yaml", "risk-policy", f"the scale of {name} is not 1 to 5 in order")
    bounds = [found.acceptable.get(severity) for severity in range(1, 6)]
    if None in bounds or bounds != sorted(bounds, key=lambda bound: -(bound or 0)):
        text = "a severity has no bound, or a more severe harm may be more probable"
        yield Finding("qms/records/risk_policy.yaml", "risk-policy", text)


def topics(project: Project) -> Iterator[Finding]:
    """Find causes that the risk file of an AI reader may not be without."""
    there = {topic for risk in project.records.of(Risk) for topic in risk.topics}
    for topic in Topic:
        if topic not in there:
            yield Finding("qms/records/risks.yaml", "missing-topic", f"no risk is about {topic.value}")


def controls(project: Project) -> Iterator[Finding]:
    """Find risks that nothing which exists controls."""
    for risk in project.records.of(Risk):
        if risk.status is Status.PLANNED:
            continue
        found = [project.records.get(Requirement, control.requirement) for control in risk.controls]
        if not any(requirement and requirement.status is Status.ACTIVE for requirement in found):
            text = "no active requirement controls it" if found else "it has no control"
            yield Finding(risk.id, "uncontrolled-risk", text, project.place(risk.id))


def acceptability(project: Project) -> Iterator[Finding]:
    """Find risks that stay unacceptable, or that their controls are said to make worse."""
    accepts = project.records.risk_policy
    for risk in project.records.of(Risk):
        if accepts is not None and not accepts.accepts(risk.after):
            text = (
                f"severity {risk.after.severity}, probability {risk.after.probability} after control is not acceptable"
            )
            yield Finding(risk.id, "unacceptable-risk", text, project.place(risk.id))
        if risk.after.severity > risk.before.severity or risk.after.probability > risk.before.probability:
            yield Finding(risk.id, "risk-estimate", "it is greater after control than before", project.place(risk.id))


def proofs(project: Project) -> Iterator[Finding]:
    """Find controls of which no test has been seen to fail when they are switched off."""
    try:
        record = read_proofs(project.root)
    except ValidationError as error:
        yield Finding(str(PROOFS), "evidence-unreadable", f"it is no record of proofs: {error.error_count()} errors")
        return
    if record is not None and not record.is_genuine():
        yield Finding(str(PROOFS), "evidence-forged", "the signature does not hold: prove the controls again")
        return
    if record is not None and project.is_release:
        policy = project.records.approval_policy
        if record.demo:
            yield Finding(str(PROOFS), "demo-key", "the proofs are signed with a DEMO key, which is nobody's")
        elif policy and record.public_key not in policy.evidence_keys:
            yield Finding(str(PROOFS), "unknown-key", "the proofs are signed with a key that the policy does not name")
    known = {proof.requirement: proof for proof in record.proofs} if record else {}
    for identifier, risks in controls_of(project.records).items():
        place = project.place(identifier)
        controlled = f"it controls {', '.join(risks)}"
        proof = known.get(identifier)
        if proof is None:
            yield Finding(identifier, "unproved-control", f"{controlled}, and was never switched off", place)
        elif proof.outcome is not Outcome.PROVED:
            yield Finding(identifier, "unproved-control", f"{controlled}; switched off: {proof.outcome.value}", place)
        elif _is_stale(proof, project):
            yield Finding(identifier, "stale-proof", "its code, test or fault model has changed since the proof", place)


def _is_stale(proof: Proof, project: Project) -> bool:
    changed = any(project.sources.get(path) != then for path, then in proof.sources.items())
    return changed or proof.fault_sha256 not in project.sources.values()
