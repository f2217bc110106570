"""The kinds of items in the quality record, as data.

Every item has an identifier that never changes and is never used again. Texts are sentences; whoever writes "to be
defined" is told so by the gate and not by the schema, so that all gaps of a record are named in one run.
"""

from __future__ import annotations

import datetime as dt
from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
IntendedUseId = Annotated[str, StringConstraints(pattern=r"^INT-[0-9]{3}$")]
UserRequirementId = Annotated[str, StringConstraints(pattern=r"^URS-[0-9]{3}$")]
RequirementId = Annotated[str, StringConstraints(pattern=r"^SRS-[0-9]{3}$")]
HazardId = Annotated[str, StringConstraints(pattern=r"^HAZ-[0-9]{3}$")]
RiskId = Annotated[str, StringConstraints(pattern=r"^RSK-[0-9]{3}$")]
ProblemId = Annotated[str, StringConstraints(pattern=r"^PRB-[0-9]{3}$")]
GoldenId = Annotated[str, StringConstraints(pattern=r"^GLD-[0-9]{3}$")]
SoupId = Annotated[str, StringConstraints(pattern=r"^SOUP-[a-z0-9][a-z0-9-]*$")]
ClauseId = Annotated[str, StringConstraints(pattern=r"^62304-[4-9](\.[0-9]+){1,2}$")]
ModuleName = Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)*$")]


class Item(BaseModel):
    """What all items share: they are immutable, and a misspelt field is an error."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    id: str


class Status(StrEnum):
    """Whether a requirement binds the code of today."""

    ACTIVE = "active"
    PLANNED = "planned"
    """Of a feature that does not exist yet: listed, not counted, refused by the release profile."""


class IntendedUse(Item):
    """A part of the intended use: purpose, users, patients, environment, or what it is not for."""

    id: IntendedUseId
    title: Text
    text: Text
    source: Text


class UserRequirement(Item):
    """What a user of the product needs (IEC 62304:2006+A1 5.2.1, as system requirement)."""

    id: UserRequirementId
    title: Text
    text: Text
    user: Text
    rationale: Text
    source: Text
    intended_use: tuple[IntendedUseId, ...] = Field(min_length=1)
    status: Status = Status.ACTIVE


class Category(StrEnum):
    """What a software requirement is about (IEC 62304:2006+A1 5.2.2 a to l)."""

    FUNCTION = "function"
    INTERFACE = "interface"
    ALARM = "alarm"
    SECURITY = "security"
    USABILITY = "usability"
    DATA = "data"
    INSTALLATION = "installation"
    OPERATION = "operation"
    NETWORK = "network"
    MAINTENANCE = "maintenance"
    REGULATORY = "regulatory"
    PERFORMANCE = "performance"


class SafetyClass(StrEnum):
    """Software safety class (IEC 62304:2006+A1 4.3)."""

    A = "A"
    B = "B"
    C = "C"


class Requirement(Item):
    """A software requirement, testable (IEC 62304:2006+A1 5.2).

    Attributes
    ----------
    units
        The modules in whose functions it is realised.
    artefacts
        Files that realise it where no module does: an image's recipe, a manual.
    """

    id: RequirementId
    title: Text
    text: Text
    rationale: Text
    source: Text
    category: Category
    safety_class: SafetyClass = SafetyClass.C
    user_requirements: tuple[UserRequirementId, ...] = Field(min_length=1)
    units: tuple[ModuleName, ...] = ()
    artefacts: tuple[Text, ...] = ()
    status: Status = Status.ACTIVE


class Hazard(Item):
    """A potential source of harm (ISO 14971:2019 3.4)."""

    id: HazardId
    title: Text
    text: Text


class Topic(StrEnum):
    """Causes that the risk file of an AI reader may not be without. The gate asks for each."""

    SOUP_FAILURE = "soup-failure"
    WRONG_PATIENT = "wrong-patient"
    DEIDENTIFICATION = "de-identification"
    DRIFT = "drift"
    AUTOMATION_BIAS = "automation-bias"
    SUBGROUP_BIAS = "subgroup-bias"
    CORRUPT_INPUT = "corrupt-input"
    GPU_DIFFERENCE = "gpu-difference"
    LOST_RESULT = "lost-result"
    TAMPERING = "tampering"


class Cause(StrEnum):
    """Where a sequence of events may begin (IEC 62304:2006+A1 7.1.2)."""

    SPECIFICATION = "specification"
    DEFECT = "defect"
    SOUP = "soup"
    HARDWARE_OR_OTHER_SOFTWARE = "hardware-or-other-software"
    MISUSE = "misuse"


class ControlKind(StrEnum):
    """The three kinds of risk control, in the order of their worth (ISO 14971:2019 7.1)."""

    DESIGN = "inherently-safe-design"
    PROTECTIVE = "protective-measure"
    INFORMATION = "information-for-safety"


class Control(BaseModel):
    """A risk control: a software requirement that has to be proved, with its kind."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    requirement: RequirementId
    kind: ControlKind


class Estimate(BaseModel):
    """Severity and probability of harm, each 1 to 5 on the scales of the risk policy."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    severity: Annotated[int, Field(ge=1, le=5)]
    probability: Annotated[int, Field(ge=1, le=5)]


class Risk(Item):
    """One chain from hazard to harm, before and after its controls (ISO 14971:2019 5.4 to 7.3)."""

    id: RiskId
    title: Text
    hazard: HazardId
    topics: tuple[Topic, ...] = ()
    cause: Cause
    units: tuple[ModuleName, ...] = ()
    sequence: Text
    situation: Text
    harm: Text
    before: Estimate
    controls: tuple[Control, ...] = ()
    after: Estimate
    residual: Text
    new_risks: Text
    status: Status = Status.ACTIVE


class Level(BaseModel):
    """A step of a scale, with its meaning."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    value: Annotated[int, Field(ge=1, le=5)]
    name: Text
    meaning: Text


class RiskPolicy(BaseModel):
    """Scales and the criterion of acceptance (ISO 14971:2019 4.4).

    Attributes
    ----------
    acceptable
        For each severity 1 to 5, the highest probability that is acceptable; 0: none is.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    severity: tuple[Level, ...] = Field(min_length=5, max_length=5)
    probability: tuple[Level, ...] = Field(min_length=5, max_length=5)
    acceptable: dict[int, Annotated[int, Field(ge=0, le=5)]]
    rationale: Text

    def accepts(self, estimate: Estimate) -> bool:
        """Return whether a risk so estimated is acceptable."""
        return estimate.probability <= self.acceptable.get(estimate.severity, 0)


class Scope(StrEnum):
    """Where a SOUP item comes from and what it is held against."""

    SHIPPED = "shipped"
    """In requirements/cpu.lock or gpu.lock."""
    TOOL = "tool"
    """In requirements/dev.lock alone: builds and tests the product (IEC 62304:2006+A1 5.1.10)."""
    BESIDE = "beside-lock"
    """A named exception: installed beside the locks, never needed to infer."""
    SYSTEM = "system"
    """A system package or the interpreter; its version is the site's."""
    WEIGHTS = "weights"
    """Trained weights; version and hashes stand in the model's manifest."""


class Verdict(StrEnum):
    """What the list of published anomalies means for the version in use (IEC 62304:2006+A1 7.1.3)."""

    NO_EFFECT = "no-effect"
    CONTROLLED = "controlled"
    UNACCEPTABLE = "unacceptable"
    NOT_EVALUATED = "not-evaluated"


class Anomalies(BaseModel):
    """An evaluation of published anomalies, or the plain word that there was none."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    verdict: Verdict
    date: dt.date
    version: Text
    sources: tuple[Text, ...] = ()
    text: Text


class Soup(Item):
    """Software of unknown provenance (IEC 62304:2006+A1 5.3.3, 5.3.4, 7.1.3, 8.1.2)."""

    id: SoupId
    name: Text
    scope: Scope
    versions: tuple[Text, ...] = Field(min_length=1)
    manufacturer: Text
    licence: Text
    purpose: Text
    required_function: Text
    platform: Text
    anomalies: Anomalies | None = None


class Clause(Item):
    """A clause of IEC 62304, and where the product answers it."""

    id: ClauseId
    edition: Text
    classes: tuple[SafetyClass, ...] = Field(min_length=1)
    title: Text
    output: Text
    artefacts: tuple[Text, ...] = ()
    answer: str = ""


class ProblemState(StrEnum):
    """Where a problem report stands (IEC 62304:2006+A1 clause 9)."""

    OPEN = "open"
    RESIDUAL = "residual"
    """Known, evaluated, and released with (5.8.2, 5.8.3)."""
    RESOLVED = "resolved"


class Problem(Item):
    """A problem report with its investigation and resolution (IEC 62304:2006+A1 9.1 to 9.8)."""

    id: ProblemId
    title: Text
    state: ProblemState
    kind: Literal["corrective", "preventive", "adaptive"]
    scope: Text
    criticality: Literal["safety", "security", "performance", "minor"]
    reported: dt.date
    found_in: Text
    cause: Text
    safety: Text
    resolution: Text
    requirements: tuple[RequirementId, ...] = ()
    risks: tuple[RiskId, ...] = ()
    verified_by: tuple[Text, ...] = ()


class Golden(Item):
    """A file whose content is a reference: it may change only with its reason and its date."""

    id: GoldenId
    path: Text
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    reason: Text
    reviewed: dt.date


class Role(BaseModel):
    """Who has to approve items of a kind, and what the signature means."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    role: Text
    meaning: Text
    kinds: tuple[Text, ...] = Field(min_length=1)


class Signer(BaseModel):
    """Someone who may sign, in one role, with one key."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    name: Text
    role: Text
    public_key: Text
    demo: bool = False
    """A demonstration key is nobody's: the release profile refuses what it signed."""
    valid_from: dt.date
    expires: dt.date
    revoked: dt.date | None = None

    def is_valid(self, day: dt.date) -> bool:
        """Return whether a signature of this day holds: within the key's time, and before it was revoked."""
        return self.valid_from <= day <= self.expires and (self.revoked is None or day < self.revoked)


class ApprovalPolicy(BaseModel):
    """The approvals that a release needs, who may give them, and how long one holds.

    Attributes
    ----------
    roles
        Who has to sign what.
    valid_days
        How long an approval holds.
    signers
        Who may sign. Empty until a manufacturer names people: nobody here is one.
    evidence_keys
        Public keys whose evidence a release accepts, in base64.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    roles: tuple[Role, ...] = Field(min_length=1)
    valid_days: Annotated[int, Field(gt=0)]
    signers: tuple[Signer, ...] = ()
    evidence_keys: tuple[Text, ...] = ()


class VerificationLevel(StrEnum):
    """The level a test works at (IEC 62304:2006+A1 5.5, 5.6, 5.7)."""

    UNIT = "unit"
    INTEGRATION = "integration"
    SYSTEM = "system"


class Technique(StrEnum):
    """How a test looks for a fault."""

    EXAMPLE = "example"
    BOUNDARY = "boundary"
    PROPERTY = "property"
    BAD_INPUT = "bad-input"
    FAULT_INJECTION = "fault-injection"
    ORACLE = "oracle"
    """Compared with an independent implementation or a value computed by hand."""
    REAL_DATA = "real-data"
    PHANTOM = "phantom"
    ADVERSARIAL = "adversarial"
    CONSISTENCY = "consistency"
    """Documents, tables or settings compared with the code."""
