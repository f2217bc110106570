"""The record of proofs: what came of switching off each risk control."""

from __future__ import annotations

import base64
import datetime as dt
from collections import defaultdict
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import ClassVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import BaseModel, ConfigDict

from qms.evidence import EVIDENCE, canonical
from qms.items import Requirement, Risk, Status
from qms.load import Records

PROOFS = EVIDENCE / "proofs.json"


class Outcome(StrEnum):
    """What came of switching off one control."""

    PROVED = "proved"
    SURVIVED = "survived"
    """All its tests passed: they do not notice that the control is off."""
    NO_FAULT_MODEL = "no-fault-model"
    NO_TEST = "no-test"
    BROKEN = "broken"
    """Nothing is shown either way: the fault could not be applied, or a test failed for another reason."""


class Proof(BaseModel):
    """One control and what came of switching it off.

    Attributes
    ----------
    requirement, risks
        The control, and the risks that it controls.
    outcome
        Whether its tests noticed.
    fault, fault_sha256
        What the product did without it; SHA-256 of the fault model's file.
    tests
        What was run, in order. The session ends at the first failure.
    failed, failure
        The test that noticed, and the first line of its failure.
    sources
        SHA-256 of the control's units and of the test that noticed, by path: if one changes, the proof is stale.
    text
        Why it is broken, or what to do.
    seconds
        How long the session took.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    requirement: str
    risks: tuple[str, ...]
    outcome: Outcome
    fault: str = ""
    fault_sha256: str = ""
    tests: tuple[str, ...] = ()
    failed: str = ""
    failure: str = ""
    sources: Mapping[str, str] = {}
    text: str = ""
    seconds: float = 0.0

    def __str__(self) -> str:
        said = {
            Outcome.PROVED: f"{self.failed}: {self.failure}",
            Outcome.SURVIVED: f"{len(self.tests)} tests pass without it; without it {self.fault}",
        }.get(self.outcome, self.text)
        return f"{self.requirement} {self.outcome.value}: {said}"


class Proofs(BaseModel):
    """The record of one run over all controls. The signature covers everything but itself."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    started: dt.datetime
    finished: dt.datetime
    proofs: tuple[Proof, ...]
    demo: bool
    public_key: str
    signature: str = ""

    def signed(self, key: Ed25519PrivateKey) -> Proofs:
        """Return this record with its signature."""
        return self.model_copy(update={"signature": base64.b64encode(key.sign(self._body())).decode()})

    def is_genuine(self) -> bool:
        """Return whether the signature is that of the key it names, over this very content."""
        try:
            public = Ed25519PublicKey.from_public_bytes(base64.b64decode(self.public_key))
            public.verify(base64.b64decode(self.signature), self._body())
        except (InvalidSignature, ValueError):
            return False
        return True

    def _body(self) -> bytes:
        return canonical(self.model_dump(mode="json", exclude={"signature"}))


def controls_of(records: Records) -> dict[str, tuple[str, ...]]:
    """Return the active requirements that control an active risk, each with those risks, in the order of the record."""
    controls: dict[str, list[str]] = defaultdict(list)
    for risk in records.of(Risk):
        for control in risk.controls if risk.status is Status.ACTIVE else ():
            requirement = records.get(Requirement, control.requirement)
            if requirement is not None and requirement.status is Status.ACTIVE:
                controls[control.requirement].append(risk.id)
    return {item: tuple(risks) for item, risks in sorted(controls.items())}


def read(root: Path) -> Proofs | None:
    """Return the record of the last run in a project's folder; None if there is none.

    Raises
    ------
    pydantic.ValidationError
        If the file is no such record.
    """
    path = root / PROOFS
    return Proofs.model_validate_json(path.read_bytes()) if path.exists() else None
