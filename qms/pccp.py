"""The predetermined change control plan, executed: whether a changed model may be used.

The plan is data (``qms/records/pccp.yaml``): which parts of a model may change, by how much, what the changed model
must reach on which sealed test set, and how often that set may be looked at. What a candidate changes is not claimed
but found by comparing its manifest with the current one. The ledger of looks is a chain: a set that was looked at too
often proves nothing any more.
"""

from __future__ import annotations

import argparse
import datetime as dt
import hashlib
import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.acceptance import Acceptance, identity_of
from models.manifest import Manifest, ManifestError
from models.manifest import load as load_manifest
from qms.evidence import EvidenceKeyError, canonical, public_key_of, signing_key

PLAN = Path("qms/records/pccp.yaml")
LOOKS = Path("qms/records/pccp_looks.jsonl")
ACCEPTANCE = "acceptance.json"
"""Written beside the candidate's manifest."""
RESULTS = "results.json"
GENESIS = "0" * 64

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class PlanError(Exception):
    """The plan, the ledger of looks or the candidate cannot be read."""


class _Part(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")


class Criterion(_Part):
    """What a changed model has to reach.

    Attributes
    ----------
    metric
        Name in the results.
    bound
        ``low`` or ``high``: that end of the confidence interval is compared, ``value``: the value itself.
    at_least, at_most
        The bound; both may be given.
    possible
        The least and the greatest value that the metric can have at all.
    """

    metric: str
    bound: Literal["value", "low", "high"]
    at_least: float | None = None
    at_most: float | None = None
    possible: tuple[float, float] | None = None

    def is_possible(self, measured: Measured) -> bool:
        """Return whether a measurement can be one: a Dice of 97 was typed in percent."""
        numbers = [n for n in (measured.value, measured.low, measured.high) if n is not None]
        least, most = self.possible or (-math.inf, math.inf)
        return all(math.isfinite(number) and least <= number <= most for number in numbers)

    def holds(self, measured: Measured) -> bool:
        """Return whether a measurement meets it. A bound that was not measured is not met."""
        number = getattr(measured, self.bound)
        if number is None:
            return False
        return (self.at_least is None or number >= self.at_least) and (self.at_most is None or number <= self.at_most)

    def __str__(self) -> str:
        bounds = [f"at least {self.at_least:g}" if self.at_least is not None else ""]
        bounds += [f"at most {self.at_most:g}" if self.at_most is not None else ""]
        return f"{self.bound} of {self.metric} {' and '.join(text for text in bounds if text)}"


class Modification(_Part):
    """A kind of change that the plan foresees.

    Attributes
    ----------
    may_change
        Fields of the manifest, as ``networks.*.sha256`` or ``settings.lesion_threshold``; ``*`` is any name.
    within
        For numeric fields, the least and the greatest value.
    criteria
        What must hold afterwards.
    """

    id: Annotated[str, Field(pattern=r"^MOD-[0-9]{3}$")]
    title: str
    rationale: str
    may_change: tuple[str, ...] = Field(min_length=1)
    within: Mapping[str, tuple[float, float]] = {}
    criteria: tuple[Criterion, ...] = Field(min_length=1)


class TestSet(_Part):
    """The sealed test set.

    Attributes
    ----------
    sha256
        Of the set, fixed before the first look.
    looks
        How often it may be used.
    """

    __test__: ClassVar[bool] = False

    name: str
    sha256: Sha256
    cases: Annotated[int, Field(gt=0)]
    looks: Annotated[int, Field(gt=0)]
    caveat: str


class Plan(_Part):
    """The whole plan for one model."""

    id: Annotated[str, Field(pattern=r"^PCCP-[0-9]{3}$")]
    title: str
    model: str
    test_set: TestSet
    modifications: tuple[Modification, ...] = Field(min_length=1)


class Measured(_Part):
    """A result with its confidence interval, where there is one."""

    value: float
    low: float | None = None
    high: float | None = None


class Results(_Part):
    """What was measured of a candidate, and on which set."""

    test_set_sha256: Sha256
    cases: int
    measured: Mapping[str, Measured]


class Look(_Part):
    """One use of the test set."""

    number: int
    time: dt.datetime
    candidate: str
    decision: str
    before: str

    def digest(self) -> str:
        """Return the hash that the next look holds."""
        return hashlib.sha256(canonical(self.model_dump(mode="json"))).hexdigest()


class Decision(StrEnum):
    """What the plan says of a candidate."""

    ACCEPT = "accept"
    REJECT = "reject"
    """A criterion is not met."""
    NEW_SUBMISSION = "new submission"
    """It changes what the plan does not foresee."""
    REFUSE = "refuse"
    """Nothing can be decided: not the sealed set, no look left, or results missing."""


EXIT_STATUS = {Decision.ACCEPT: 0, Decision.REJECT: 1, Decision.REFUSE: 2, Decision.NEW_SUBMISSION: 3}


@dataclass(frozen=True)
class Verdict:
    """A decision with its reasons."""

    decision: Decision
    reasons: tuple[str, ...]
    changes: tuple[str, ...] = ()
    modification: str = ""
    acceptance: Acceptance | None = field(default=None, repr=False)


def evaluate(root: Path, candidate: Path, *, now: dt.datetime | None = None) -> Verdict:
    """Apply the plan to a candidate, and note the look at the test set.

    Parameters
    ----------
    root
        The project's folder, with the plan and the ledger of looks.
    candidate
        A model's folder: its manifest and ``results.json``. An acceptance is written into it.
    now
        Time of the look.

    Raises
    ------
    PlanError
        If plan, ledger, current model or candidate cannot be read.
    """
    plan, current = read_plan(root), _manifest(root / "models" / read_plan(root).model)
    proposed = _manifest(candidate)
    changes = tuple(sorted(differences(current, proposed)))
    modification = _modification(plan, proposed, changes)
    if not changes:
        return Verdict(Decision.REFUSE, ("it changes nothing that the plan is about",))
    if modification is None:
        return Verdict(Decision.NEW_SUBMISSION, _unforeseen(plan, proposed, changes), changes)
    results = _results(candidate)
    refusal = _refusal(plan, modification, results)
    looks = read_looks(root)
    digest = hashlib.sha256(canonical([identity_of(proposed), results.model_dump(mode="json")])).hexdigest()
    known = any(look.candidate == digest for look in looks)
    if not refusal and not known and len(looks) >= plan.test_set.looks:
        refusal = (f"all {plan.test_set.looks} looks at {plan.test_set.name} are used up: seal a new set",)
    if refusal:
        return Verdict(Decision.REFUSE, refusal, changes, modification.id)
    failed = tuple(str(c) for c in modification.criteria if not c.holds(results.measured[c.metric]))
    decision = Decision.REJECT if failed else Decision.ACCEPT
    time = now or dt.datetime.now(dt.UTC).replace(microsecond=0)
    if not known:
        _append(
            root, looks, Look(number=len(looks) + 1, time=time, candidate=digest, decision=decision, before=GENESIS)
        )
    reasons = tuple(f"not met: {text}" for text in failed) or tuple(f"met: {c}" for c in modification.criteria)
    acceptance = None if failed else _accept(root, candidate, proposed, time)
    return Verdict(decision, reasons, changes, modification.id, acceptance)


def read_plan(root: Path) -> Plan:
    """Read the plan of a project.

    Raises
    ------
    PlanError
        If it is missing or does not fit.
    """
    try:
        return Plan.model_validate(yaml.safe_load((root / PLAN).read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise PlanError(f"{PLAN}: {' '.join(str(error).split())}") from error


def read_looks(root: Path) -> list[Look]:
    """Read the ledger of looks.

    Raises
    ------
    PlanError
        If a line was altered, moved or removed: then nobody knows how often the set was looked at.
    """
    path = root / LOOKS
    looks: list[Look] = []
    before = GENESIS
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines() if path.exists() else (), 1):
        try:
            look = Look.model_validate_json(line)
        except ValidationError as error:
            raise PlanError(f"{LOOKS}:{number}: it cannot be read") from error
        if look.number != number or look.before != before:
            raise PlanError(f"{LOOKS}:{number}: it does not follow the one before: the ledger was altered")
        looks.append(look)
        before = look.digest()
    return looks


def differences(current: Manifest, proposed: Manifest) -> Iterator[str]:
    """Yield the fields in which two manifests differ, as ``networks.liver.sha256``; the version alone is none."""
    one, other = (dict(_flat(manifest.model_dump(mode="json"))) for manifest in (current, proposed))
    for name in {*one, *other} - {"version"}:
        if one.get(name) != other.get(name):
            yield name


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _flat(inner, f"{prefix}{name}.")
    elif isinstance(value, list) and any(isinstance(inner, dict) for inner in value):
        for number, inner in enumerate(value):
            yield from _flat(inner, f"{prefix}{number}.")
    else:
        yield prefix.removesuffix("."), value


def _fits(name: str, pattern: str) -> bool:
    parts, wanted = name.split("."), pattern.split(".")
    return len(parts) == len(wanted) and all(w in ("*", p) for p, w in zip(parts, wanted, strict=True))


def _modification(plan: Plan, proposed: Manifest, changes: Sequence[str]) -> Modification | None:
    for modification in plan.modifications:
        if changes and not list(_outside(modification, proposed, changes)):
            return modification
    return None


def _outside(modification: Modification, proposed: Manifest, changes: Sequence[str]) -> Iterator[str]:
    """Yield the changes that a modification does not foresee, or that leave its bounds."""
    values = dict(_flat(proposed.model_dump(mode="json")))
    for change in changes:
        if not any(_fits(change, pattern) for pattern in modification.may_change):
            yield f"{modification.id} does not foresee a change of {change}"
        elif change in modification.within:
            low, high = modification.within[change]
            value = values.get(change)
            if not isinstance(value, int | float) or not low <= value <= high:
                yield f"{modification.id} foresees {change} from {low:g} to {high:g} only"


def _unforeseen(plan: Plan, proposed: Manifest, changes: Sequence[str]) -> tuple[str, ...]:
    return tuple(text for m in plan.modifications for text in _outside(m, proposed, changes))


def _refusal(plan: Plan, modification: Modification, results: Results) -> tuple[str, ...]:
    if results.test_set_sha256 != plan.test_set.sha256:
        return (f"its results are not of the sealed test set {plan.test_set.name}",)
    if results.cases != plan.test_set.cases:
        return (f"its results are of {results.cases} cases, the sealed test set has {plan.test_set.cases}",)
    missing = sorted({c.metric for c in modification.criteria} - results.measured.keys())
    if missing:
        return (f"its results lack {', '.join(missing)}",)
    impossible = sorted({c.metric for c in modification.criteria if not c.is_possible(results.measured[c.metric])})
    return (f"no such value is possible: {', '.join(impossible)}",) if impossible else ()


def _manifest(folder: Path) -> Manifest:
    try:
        return load_manifest(folder)
    except ManifestError as error:
        raise PlanError(str(error)) from error


def _results(candidate: Path) -> Results:
    try:
        return Results.model_validate_json((candidate / RESULTS).read_bytes())
    except (OSError, ValidationError) as error:
        raise PlanError(f"{candidate / RESULTS}: {' '.join(str(error).split())}") from error


def _append(root: Path, looks: Sequence[Look], look: Look) -> None:
    chained = look.model_copy(update={"before": looks[-1].digest() if looks else GENESIS})
    with (root / LOOKS).open("a", encoding="utf-8") as file:
        file.write(chained.model_dump_json() + "\n")


def _accept(root: Path, candidate: Path, proposed: Manifest, time: dt.datetime) -> Acceptance:
    key, demo = signing_key()
    acceptance = Acceptance(
        model=proposed.name,
        version=proposed.version,
        identity=identity_of(proposed),
        plan_sha256=hashlib.sha256((root / PLAN).read_bytes()).hexdigest(),
        results_sha256=hashlib.sha256((candidate / RESULTS).read_bytes()).hexdigest(),
        evaluated=time,
        demo=demo,
        public_key=public_key_of(key),
    ).signed(key)
    (candidate / ACCEPTANCE).write_text(acceptance.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return acceptance


def main(options: argparse.Namespace) -> int:
    """Evaluate the candidate that is named on the command line by the plan in the current directory."""
    try:
        verdict = evaluate(Path.cwd(), options.candidate)
    except (PlanError, EvidenceKeyError) as error:
        sys.stderr.write(f"overread: {error}\n")
        return EXIT_STATUS[Decision.REFUSE]
    if options.json:
        said = {"decision": verdict.decision, "reasons": verdict.reasons, "changes": verdict.changes}
        sys.stdout.write(json.dumps({**said, "modification": verdict.modification}, indent=2) + "\n")
    else:
        by = f" ({verdict.modification})" if verdict.modification else ""
        lines = [f"{verdict.decision.value}{by}", *(f"  {reason}" for reason in verdict.reasons)]
        if verdict.acceptance:
            demo = ", signed with a DEMO key, which no release accepts" if verdict.acceptance.demo else ""
            lines.append(f"  written: {options.candidate / ACCEPTANCE}{demo}")
        sys.stdout.write("\n".join(lines) + "\n")
    return EXIT_STATUS[verdict.decision]
