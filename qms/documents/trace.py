"""What the pages say of each item: the record, the code and the evidence brought together once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath

from pydantic import ValidationError

from qms import proofs, signatures
from qms.findings import Finding
from qms.gate import Project, judge
from qms.items import Item, Requirement, Risk, Status
from qms.proofs import Proof, Proofs
from qms.sources import Test, Unit


@dataclass(frozen=True)
class Shown:
    """A requirement with all that leads to it and from it.

    Attributes
    ----------
    item, area, place
        The requirement, the file that it stands in as a word, and file and line.
    controls
        Risks that it controls, each with the kind of control.
    counted
        Test functions that count, each with how many of its parameters do and the units that they executed.
    rejected
        Test functions that say they verify it and do not count, each with the reason.
    unexecuted
        Its units that no counted test executed.
    problems
        Problem reports about it.
    """

    item: Requirement
    area: str
    place: str
    controls: tuple[tuple[Risk, str], ...]
    counted: Mapping[str, tuple[int, frozenset[str]]]
    rejected: Mapping[str, str]
    unexecuted: tuple[str, ...]
    problems: tuple[str, ...]

    @property
    def state(self) -> str:
        """Whether it is verified, as one word."""
        if self.item.status is Status.PLANNED:
            return "planned"
        if not self.counted:
            return "unverified"
        return "partly" if self.unexecuted or self.rejected else "verified"


@dataclass
class TestShown:
    """A test function, with all its parameters and runs.

    Attributes
    ----------
    test
        As it stands in its file.
    outcomes
        How many of its parameters had which outcome, by run.
    seconds, executed
        Longest time of a run; how many units it executed.
    counts_for, rejected_for
        Requirements that it counts for, each with the units; and those that it does not, each with the reason.
    hollow
        Why it proves nothing; empty if it can fail.
    """

    __test__ = False

    test: Test
    outcomes: dict[str, dict[str, int]] = field(default_factory=dict)
    seconds: float = 0.0
    executed: int = 0
    counts_for: dict[str, frozenset[str]] = field(default_factory=dict)
    rejected_for: dict[str, str] = field(default_factory=dict)
    hollow: str = ""

    @property
    def state(self) -> str:
        """Its outcome over all runs, as one word: the worst."""
        seen = {outcome for outcomes in self.outcomes.values() for outcome in outcomes}
        for outcome in ("failed", "xfailed", "xpassed", "passed", "skipped"):
            if outcome in seen:
                return outcome
        return "not run"


@dataclass(frozen=True)
class UnitShown:
    """A unit with the requirements that it realises and the tests that executed it for them."""

    unit: Unit
    requirements: tuple[str, ...]
    risks: tuple[str, ...]
    tests: tuple[str, ...]
    others: int


@dataclass(frozen=True)
class ApprovalShown:
    """What a role has said of an item: ``signed``, ``demo``, ``stale``, ``suspect`` or ``missing``."""

    item: Item
    role: str
    state: str
    name: str = ""
    when: str = ""


class Trace:
    """Everything that the pages show of a project.

    Parameters
    ----------
    project
        As the gate reads it.
    """

    def __init__(self, project: Project) -> None:
        self.project = project
        self.findings: Sequence[Finding] = judge(project)
        self.by_item: dict[str, list[Finding]] = defaultdict(list)
        for finding in self.findings:
            self.by_item[finding.item].append(finding)

    @cached_property
    def requirements(self) -> tuple[Shown, ...]:
        """Every software requirement, by number."""
        controls: dict[str, list[tuple[Risk, str]]] = defaultdict(list)
        for risk in self.project.records.of(Risk):
            for control in risk.controls:
                controls[control.requirement].append((risk, control.kind.value))
        items = sorted(self.project.records.of(Requirement), key=lambda item: item.id)
        return tuple(self._shown(item, tuple(controls[item.id])) for item in items)

    def _shown(self, item: Requirement, controls: tuple[tuple[Risk, str], ...]) -> Shown:
        links = self.project.links.get(item.id)
        counted: dict[str, tuple[int, frozenset[str]]] = {}
        for test, units in (links.counted if links else {}).items():
            number, before = counted.get(_function(test), (0, frozenset()))
            counted[_function(test)] = (number + 1, before | units)
        rejected = {_function(test): reason for test, reason in (links.rejected if links else {}).items()}
        executed = links.executed if links else frozenset()
        place = self.project.records.places[item.id]
        active = item.status is Status.ACTIVE
        return Shown(
            item=item,
            area=PurePosixPath(place.path).stem,
            place=str(place),
            controls=controls,
            counted=counted,
            rejected={test: reason for test, reason in rejected.items() if test not in counted},
            unexecuted=tuple(unit for unit in item.units if active and unit not in executed),
            problems=tuple(self.referring.get(item.id, {}).get("Problem", ())),
        )

    @cached_property
    def risks(self) -> tuple[Risk, ...]:
        """Every risk, in the order of the files."""
        return tuple(self.project.records.of(Risk))

    @cached_property
    def by_requirement(self) -> Mapping[str, Shown]:
        """The same by identifier."""
        return {shown.item.id: shown for shown in self.requirements}

    @cached_property
    def referring(self) -> Mapping[str, Mapping[str, tuple[str, ...]]]:
        """For each item the identifiers of the items that refer to it, by their kind."""
        found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        for item in self.project.records.items.values():
            for name in dict.fromkeys(signatures.references(item)):
                found[name][type(item).__name__].append(item.id)
        return {name: {kind: tuple(ids) for kind, ids in kinds.items()} for name, kinds in found.items()}

    @cached_property
    def tests(self) -> Mapping[str, TestShown]:
        """Every test function by its id."""
        shown = {test.id: TestShown(test) for test in self.project.tests}
        for run in self.project.evidence:
            for record in run.tests:
                if record.function in shown:
                    test = shown[record.function]
                    outcomes = test.outcomes.setdefault(run.run, {})
                    outcomes[record.outcome] = outcomes.get(record.outcome, 0) + 1
                    test.seconds = max(test.seconds, record.seconds)
                    test.executed = max(test.executed, len(record.units))
                    test.hollow = test.hollow or record.hollow
        for requirement in self.requirements:
            for name, (_, units) in requirement.counted.items():
                if name in shown:
                    shown[name].counts_for[requirement.item.id] = units
            for name, reason in requirement.rejected.items():
                if name in shown:
                    shown[name].rejected_for[requirement.item.id] = reason
        return shown

    @cached_property
    def units(self) -> tuple[UnitShown, ...]:
        """Every unit of the code."""
        executed: dict[str, set[str]] = defaultdict(set)
        for run in self.project.evidence:
            for record in run.tests:
                if record.outcome == "passed":
                    for unit in run.units_of(record):
                        executed[unit].add(record.function)
        risks: dict[str, list[str]] = defaultdict(list)
        for risk in self.project.records.of(Risk):
            for unit in risk.units:
                risks[unit].append(risk.id)
        return tuple(self._unit(unit, executed[name], risks[name]) for name, unit in self.project.units.items())

    def _unit(self, unit: Unit, executed: set[str], risks: Iterable[str]) -> UnitShown:
        owners = [shown for shown in self.requirements if unit.name in shown.item.units]
        tests = sorted({test for shown in owners for test, (_, units) in shown.counted.items() if unit.name in units})
        names = tuple(shown.item.id for shown in owners)
        return UnitShown(unit, names, tuple(risks), tuple(tests), len(executed - set(tests)))

    @cached_property
    def proofs(self) -> Proofs | None:
        """The record of the controls that were switched off; None if there is none that is genuine."""
        try:
            found = proofs.read(self.project.root)
        except ValidationError:
            return None
        return found if found and found.is_genuine() else None

    @cached_property
    def proof_of(self) -> Mapping[str, Proof]:
        """The proof of each control."""
        return {each.requirement: each for each in self.proofs.proofs} if self.proofs else {}

    @cached_property
    def approvals(self) -> tuple[ApprovalShown, ...]:
        """What every role that has to approve an item has said of it."""
        records, policy = self.project.records, self.project.records.approval_policy
        chain, _ = signatures.read_chain(self.project.root)
        valid = signatures.valid_approvals(chain, policy, self.project.today) if policy else {}
        found = []
        for item, role in signatures.required(records):
            approval = valid.get((item.id, role))
            if approval is None:
                found.append(ApprovalShown(item, role, "missing"))
                continue
            state = "demo" if approval.demo else "signed"
            if signatures.content_hash(item) != approval.content:
                state = "stale"
            elif signatures.context_hash(records, item) != approval.context:
                state = "suspect"
            found.append(ApprovalShown(item, role, state, approval.name, f"{approval.time:%Y-%m-%d %H:%M} UTC"))
        return tuple(found)

    @cached_property
    def approvals_of(self) -> Mapping[str, tuple[ApprovalShown, ...]]:
        """The same by item."""
        found: dict[str, list[ApprovalShown]] = defaultdict(list)
        for each in self.approvals:
            found[each.item.id].append(each)
        return {item: tuple(shown) for item, shown in found.items()}

    @cached_property
    def runs(self) -> Mapping[str, tuple[str, ...]]:
        """For each requirement the runs in which tests that count passed."""
        found: dict[str, dict[str, None]] = defaultdict(dict)
        for shown in self.requirements:
            for name in shown.counted:
                test = self.tests.get(name)
                passed = (run for run, outcomes in (test.outcomes.items() if test else ()) if "passed" in outcomes)
                found[shown.item.id] |= dict.fromkeys(passed)
        return {item: tuple(runs) for item, runs in found.items()}

    @cached_property
    def demo(self) -> tuple[str, ...]:
        """What is signed with a demonstration key; nothing if all keys are somebody's."""
        policy = self.project.records.approval_policy
        chain, _ = signatures.read_chain(self.project.root)
        return tuple(
            what
            for what, is_demo in (
                ("evidence", any(run.demo for run in self.project.evidence)),
                ("proofs of controls", bool(self.proofs and self.proofs.demo)),
                ("approvals", any(approval.demo for approval in chain)),
                ("signers", any(signer.demo for signer in (policy.signers if policy else ()))),
            )
            if is_demo
        )


def title_of(item: Item) -> str:
    """Return what an item is called: its title, its name or its file."""
    return str(getattr(item, "title", "") or getattr(item, "name", "") or getattr(item, "path", ""))


def _function(test: str) -> str:
    return test.partition("[")[0]
