"""Evidence: what one test run showed, about which code, in which environment, signed.

A link between a requirement and its test is not believed from the record. It counts where the evidence shows that the
test passed and executed the requirement's code, and where neither has changed since (`Evidence.sources`).
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pydantic import BaseModel, ConfigDict, ValidationError

from qms.findings import Finding
from qms.sources import Mark

EVIDENCE = Path("qms/evidence")
KEY_VARIABLE = "OVERREAD_EVIDENCE_KEY"
"""A PEM private key (Ed25519), or the path of a file with one."""

_FORMAT = 1


class EvidenceKeyError(Exception):
    """The key from the environment cannot sign evidence."""


class _Frozen(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")


class TestRecord(_Frozen):
    """What became of one test.

    Attributes
    ----------
    id
        As pytest names it, with parameters.
    outcome
        ``passed`` only if setup, call and teardown passed; else ``failed``, ``skipped``, ``xfailed``, ``xpassed``.
    seconds
        Setup, call and teardown together.
    verifies
        What the test says it verifies.
    units
        The units whose functions it executed, by their place in `Evidence.units`.
    hollow
        Why it proves nothing; empty if it can fail.
    """

    __test__: ClassVar[bool] = False

    id: str
    outcome: str
    seconds: float
    verifies: tuple[Mark, ...]
    units: tuple[int, ...]
    hollow: str = ""

    @property
    def function(self) -> str:
        """The test's id without parameters."""
        return self.id.partition("[")[0]

    @property
    def path(self) -> str:
        """The test's file."""
        return self.id.partition("::")[0]


class Measured(_Frozen):
    """A number that a test measured in this run, for documents to cite."""

    value: float
    unit: str
    test: str


class Environment(_Frozen):
    """Where a run took place."""

    python: str
    system: str
    machine: str
    processors: int
    packages: Mapping[str, str]


class Evidence(_Frozen):
    """One sealed run. The signature covers everything but itself."""

    format: int = _FORMAT
    run: str
    command: tuple[str, ...]
    started: dt.datetime
    finished: dt.datetime
    exit_status: int
    commit: str
    changed: bool
    environment: Environment
    sources: Mapping[str, str]
    units: tuple[str, ...]
    deselected: tuple[str, ...]
    tests: tuple[TestRecord, ...]
    numbers: Mapping[str, Measured] = {}
    demo: bool
    public_key: str
    signature: str = ""

    def units_of(self, test: TestRecord) -> frozenset[str]:
        """Return the names of the units that a test executed."""
        return frozenset(self.units[index] for index in test.units)

    def signed(self, key: Ed25519PrivateKey) -> Evidence:
        """Return this evidence with its signature."""
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


def canonical(value: Any) -> bytes:
    """Return JSON that is the same for the same value: keys sorted, no white space, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def signing_key() -> tuple[Ed25519PrivateKey, bool]:
    """Return the key to sign evidence with, and whether it is a DEMO key.

    Returns
    -------
    tuple of Ed25519PrivateKey and bool
        The key that `KEY_VARIABLE` names; without it a fresh one, which proves integrity and nobody's name.

    Raises
    ------
    EvidenceKeyError
        If the variable is set and no Ed25519 key is to be had from it.
    """
    given = os.environ.get(KEY_VARIABLE, "")
    if not given:
        return Ed25519PrivateKey.generate(), True
    try:
        return private_key(given.encode() if given.startswith("-----BEGIN") else Path(given).read_bytes()), False
    except (OSError, EvidenceKeyError) as error:
        raise EvidenceKeyError(f"{KEY_VARIABLE}: {error}") from error


def private_key(pem: bytes) -> Ed25519PrivateKey:
    """Read an Ed25519 private key.

    Raises
    ------
    EvidenceKeyError
        If it is none, or locked with a password.
    """
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise EvidenceKeyError("this is no private key in PEM, or it is locked with a password") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise EvidenceKeyError("an Ed25519 key is needed")
    return key


def public_key_of(key: Ed25519PrivateKey) -> str:
    """Return the public half of a key, in base64."""
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


def write(root: Path, evidence: Evidence) -> Path:
    """Write evidence below a project's folder, and return its file."""
    folder = root / EVIDENCE
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{evidence.run}.json"
    path.write_text(evidence.model_dump_json(), encoding="utf-8")
    return path


def read_all(root: Path) -> tuple[list[Evidence], list[Finding]]:
    """Read the evidence of every run, with a finding for each file that is not evidence or not genuine.

    A file that is not genuine is not used.
    """
    evidence, findings = [], []
    for path in _files(root):
        shown = path.relative_to(root).as_posix()
        try:
            found = Evidence.model_validate_json(path.read_bytes())
        except ValidationError as error:
            problem = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in problem["loc"])
            findings.append(Finding(shown, "evidence-unreadable", f"{where} {problem['msg']}".strip(), shown))
            continue
        if found.is_genuine():
            evidence.append(found)
        else:
            findings.append(Finding(shown, "evidence-forged", "the signature does not hold: run the tests again"))
    return evidence, findings


def _files(root: Path) -> Iterator[Path]:
    for path in sorted((root / EVIDENCE).glob("*.json")):
        if path.is_file() and not path.name.endswith((".run.json", "proofs.json")):
            yield path
