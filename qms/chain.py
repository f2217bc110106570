"""One item and everything that it hangs together with, as text: what an auditor samples."""

from __future__ import annotations

from collections.abc import Iterator

from qms.gate.project import Project
from qms.items import Hazard, IntendedUse, Item, Problem, Requirement, Risk, Soup, Status, UserRequirement
from qms.proofs import read as read_proofs
from qms.signatures import content_hash, context_hash, read_chain, required, valid_approvals

_TESTS_SHOWN = 8


def chain(project: Project, identifier: str) -> list[str] | None:
    """Return the lines that tell an item's chain, from the need that it answers to the evidence of the last run.

    Parameters
    ----------
    project
        As the gate reads it.
    identifier
        Of an item, as SRS-012, or the name of a unit, as node.gather.volume.

    Returns
    -------
    list of str or None
        None if there is no such item or unit.
    """
    if identifier in project.units:
        return list(_unit(project, identifier))
    item = project.records.items.get(identifier)
    if item is None:
        return None
    lines = [f"{item.id} {getattr(item, 'title', '') or getattr(item, 'name', '')}  ({project.place(item.id)})"]
    text = getattr(item, "text", "") or getattr(item, "answer", "") or getattr(item, "purpose", "")
    lines += [f"  {text}"] if text else []
    return [*lines, *_links(project, item), *_approvals(project, item)]


def _links(project: Project, item: Item) -> Iterator[str]:
    if isinstance(item, IntendedUse):
        yield from _named("needed by", (n for n in project.records.of(UserRequirement) if item.id in n.intended_use))
    elif isinstance(item, UserRequirement):
        yield from _named("from", (project.records.items.get(name) for name in item.intended_use))
        found = (r for r in project.records.of(Requirement) if item.id in r.user_requirements)
        yield from _named("realised by", found)
    elif isinstance(item, Requirement):
        yield from _requirement(project, item)
    elif isinstance(item, Hazard):
        yield from _named("risk", (r for r in project.records.of(Risk) if r.hazard == item.id))
    elif isinstance(item, Risk):
        yield from _risk(project, item)
    elif isinstance(item, Soup):
        yield from _soup(item)
    elif isinstance(item, Problem):
        yield f"  state      {item.state.value}: {item.resolution}"
        yield from _named("concerns", (project.records.items.get(n) for n in (*item.requirements, *item.risks)))
        yield from (f"  shown by   {test}" for test in item.verified_by)
    else:
        yield from (f"  artefact   {path}" for path in getattr(item, "artefacts", ()))


def _named(word: str, items: Iterator[Item | None]) -> Iterator[str]:
    for item in items:
        if item is not None:
            yield f"  {word:<10} {item.id} {getattr(item, 'title', '')}"


def _requirement(project: Project, item: Requirement) -> Iterator[str]:
    if item.status is Status.PLANNED:
        yield "  planned    it does not exist yet"
    yield f"  because    {item.rationale}  (source: {item.source})"
    yield from _named("needed by", (project.records.items.get(name) for name in item.user_requirements))
    risks = (risk for risk in project.records.of(Risk) if any(c.requirement == item.id for c in risk.controls))
    yield from _named("controls", risks)
    for unit in item.units:
        found = project.units.get(unit)
        yield f"  unit       {unit}  {found.purpose if found else 'DOES NOT EXIST'}"
    yield from (f"  artefact   {path}" for path in item.artefacts)
    yield from _evidence(project, item)
    yield from _proof(project, item.id)


def _evidence(project: Project, item: Requirement) -> Iterator[str]:
    links = project.links.get(item.id)
    if links is None:
        return
    counted = sorted(links.counted)
    yield f"  evidence   {len(counted)} tests count, {len(links.rejected)} do not"
    for test in counted[:_TESTS_SHOWN]:
        yield f"    passed   {test}  executed {', '.join(sorted(links.counted[test])) or 'no code: an artefact'}"
    if len(counted) > _TESTS_SHOWN:
        yield f"    ...      and {len(counted) - _TESTS_SHOWN} more"
    for test, reason in sorted(links.rejected.items())[:_TESTS_SHOWN]:
        yield f"    rejected {test}: {reason}"
    for run in project.evidence:
        key = "DEMO key, nobody's" if run.demo else f"key {run.public_key[:12]}"
        changed = ", on files in no commit" if run.changed else ""
        yield f"    run      {run.run}: commit {run.commit[:12]}{changed}, {run.finished.isoformat()}, {key}"


def _proof(project: Project, identifier: str) -> Iterator[str]:
    record = read_proofs(project.root)
    for proof in record.proofs if record else ():
        if proof.requirement == identifier:
            yield f"  switched off: {proof.fault}"
            yield f"    {proof.outcome.value}   {proof.failed}: {proof.failure}"


def _risk(project: Project, item: Risk) -> Iterator[str]:
    yield from _named("hazard", iter([project.records.items.get(item.hazard)]))
    yield f"  sequence   {item.sequence}"
    yield f"  situation  {item.situation}"
    yield f"  harm       {item.harm}"
    yield f"  before     severity {item.before.severity}, probability {item.before.probability}"
    for control in item.controls:
        requirement = project.records.get(Requirement, control.requirement)
        title = requirement.title if requirement else "DOES NOT EXIST"
        yield f"  control    {control.requirement} {title}  ({control.kind.value})"
        yield from _proof(project, control.requirement)
    yield f"  after      severity {item.after.severity}, probability {item.after.probability}: {item.residual}"


def _soup(item: Soup) -> Iterator[str]:
    yield f"  versions   {', '.join(item.versions)}  ({item.licence}; {item.scope.value})"
    yield f"  must       {item.required_function}"
    if item.anomalies:
        yield f"  anomalies  {item.anomalies.verdict.value} on {item.anomalies.date}: {item.anomalies.text}"
        yield from (f"    seen in  {source}" for source in item.anomalies.sources)


def _unit(project: Project, name: str) -> Iterator[str]:
    unit = project.units[name]
    yield f"{name}  {unit.purpose}  ({unit.path})"
    yield f"  sha256     {unit.sha256}"
    yield from _named("realises", (r for r in project.active if name in r.units))
    yield from _named("risk", (risk for risk in project.records.of(Risk) if name in risk.units))
    tests = {test for links in project.links.values() for test, units in links.counted.items() if name in units}
    yield f"  evidence   {len(tests)} tests that count executed it"


def _approvals(project: Project, item: Item) -> Iterator[str]:
    policy = project.records.approval_policy
    valid = valid_approvals(read_chain(project.root)[0], policy, project.today) if policy else {}
    for needed, role in required(project.records):
        if needed.id != item.id:
            continue
        approval = valid.get((item.id, role))
        if approval is None:
            yield f"  approval   none as {role}: a person has to give it"
        elif approval.content != content_hash(item):
            yield f"  approval   STALE: {approval.name} as {role}, {approval.time.isoformat()}"
        else:
            suspect = "" if approval.context == context_hash(project.records, item) else "SUSPECT: "
            demo = " (DEMO key, nobody's)" if approval.demo else ""
            yield f"  approval   {suspect}{approval.name} as {role}, {approval.time.isoformat()}{demo}"
