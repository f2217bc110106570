"""Checks: are the signatures whole, do they still hold, and which are missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from qms.findings import Finding
from qms.gate.project import Project
from qms.load import KINDS
from qms.signatures import (
    APPROVALS,
    Approval,
    content_hash,
    context_hash,
    kind_of,
    read_chain,
    required,
    valid_approvals,
    why_not,
)


def chain(project: Project) -> Iterator[Finding]:
    """Find lines of the chain that were changed, removed, moved, forged, or signed by who may not."""
    approvals, findings = read_chain(project.root)
    yield from findings
    policy = project.records.approval_policy
    for approval in approvals if policy else ():
        reason = why_not(approval, policy, project.today) if policy else ""
        if reason:
            yield Finding(approval.item, "unfit-approval", f"approval {approval.number}: {reason}", str(APPROVALS))


def policy_gaps(project: Project) -> Iterator[Finding]:
    """Find kinds of items that no role approves, and roles for kinds that do not exist."""
    policy = project.records.approval_policy
    asked = {kind for role in policy.roles for kind in role.kinds} if policy else set()
    known = {kind_of(kind) for kind in KINDS.values()}
    for kind in sorted(asked ^ known) if policy else ():
        text = "no role approves items of this kind" if kind in known else "there are no items of this kind"
        yield Finding("qms/records/approval_policy.yaml", "approval-policy", f"{kind}: {text}")


def stale(project: Project) -> Iterator[Finding]:
    """Find approvals of an item that reads otherwise now (stale), or that rests on one that does (suspect)."""
    for (identifier, role), approval in _valid(project).items():
        item = project.records.items.get(identifier)
        place = project.place(identifier)
        if item is None:
            yield Finding(identifier, "stale-approval", f"approved as {role}, and it no longer exists", place)
        elif content_hash(item) != approval.content:
            text = f"it has changed since {approval.name} approved it as {role}"
            yield Finding(identifier, "stale-approval", text, place)
        elif context_hash(project.records, item) != approval.context:
            text = f"what it refers to has changed since {approval.name} approved it as {role}"
            yield Finding(identifier, "suspect-approval", text, place)


def missing(project: Project) -> Iterator[Finding]:
    """Find for a release: items that a role has to approve and has not, with a key that is a person's."""
    if not project.is_release:
        return
    valid = _valid(project)
    for item, role in required(project.records):
        approval = valid.get((item.id, role))
        place = project.place(item.id)
        if approval is None:
            yield Finding(item.id, "missing-approval", f"a person has to approve it as {role}", place)
        elif approval.demo:
            text = f"its approval as {role} is signed with a DEMO key, which is nobody's"
            yield Finding(item.id, "missing-approval", text, place)


def _valid(project: Project) -> Mapping[tuple[str, str], Approval]:
    policy = project.records.approval_policy
    approvals, _ = read_chain(project.root)
    return valid_approvals(approvals, policy, project.today) if policy else {}
