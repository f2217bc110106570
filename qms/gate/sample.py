"""A small project that the gate finds nothing wrong with, for the gate to be tried on.

Everything in it is a sample: its requirements, its risk, its signer, its keys. `qms.gate.mutations` breaks it in every
way that the gate has to name.
"""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from qms.evidence import Environment, Evidence, Measured, TestRecord, public_key_of, write
from qms.items import Signer, Topic
from qms.load import load
from qms.proofs import PROOFS, Outcome, Proof, Proofs
from qms.signatures import APPROVALS, read_chain, required, sign
from qms.sources import Mark, sha256, sources, units
from qms.standards import DOCUMENTS, IEC_62304

DAY = dt.date(2026, 1, 15)
"""The day on which everything in the sample was made, and the gate is asked."""

ENVIRONMENT = Environment(python="3", system="sample", machine="sample", processors=1, packages={"alpha": "1.0"})

_TIME = dt.datetime(2026, 1, 15, 12, tzinfo=dt.UTC)
_HASH = "a" * 64
_TEST = "tests/test_thing.py::test_it_adds"

_UNIT = '"""Adds."""\n\n\ndef add(a, b):\n    """Add."""\n    return a + b\n'
_TESTS = """\
import pytest


@pytest.mark.verifies("SRS-001", level="unit", technique="example")
def test_it_adds():
    from node.thing import add

    assert add(1, 2) == 3
"""
_PLAN = "# plan\n\n## 5.1.1 The plan\n\nThe Dice is 0.97<!-- =sample-dice --> on the sample.\n"
_LOCK = """\
alpha==1.0 \\
    --hash=sha256:{hash}
"""
_MANIFEST = """\
name = "net"
version = "1"

[networks.sum]
sha256 = "{hash}"
"""


class Sample:
    """A sample project in a folder, and the means to change it."""

    def __init__(self, root: Path, key: Ed25519PrivateKey) -> None:
        self.root = root
        self.key = key

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace a text in a file; it must be there."""
        file = self.root / path
        text = file.read_text(encoding="utf-8")
        if old not in text:
            raise ValueError(f"{path}: {old!r} does not stand in it")
        file.write_text(text.replace(old, new), encoding="utf-8")

    def change(self, path: str, change: Callable[[Any], None]) -> None:
        """Change the data of a YAML file of the records."""
        file = self.root / "qms/records" / path
        data = yaml.safe_load(file.read_text(encoding="utf-8"))
        change(data)
        self.write(f"qms/records/{path}", _yaml(data))

    def write(self, path: str, text: str) -> None:
        """Write a file."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def seal(self, run: str = "test", **changes: Any) -> None:
        """Write evidence of the sample's test as the code stands now, with changes, signed with the sample's key."""
        known = tuple(units(self.root))
        evidence = Evidence(
            run=run,
            command=("-m", "pytest"),
            started=_TIME,
            finished=_TIME,
            exit_status=0,
            commit="0" * 40,
            changed=False,
            environment=ENVIRONMENT,
            sources=sources(self.root),
            units=known,
            deselected=(),
            tests=(test_record(),),
            numbers={"sample-dice": Measured(value=0.971, unit="1", test=_TEST)},
            demo=False,
            public_key=public_key_of(self.key),
        ).model_copy(update=changes)
        write(self.root, evidence.signed(self.key))

    def prove(self, record: dict[str, Any] | None = None, **changes: Any) -> None:
        """Write the signed record that the sample's control was switched off, with changes."""
        files = ("node/thing.py", "tests/test_thing.py")
        proof = Proof(
            requirement="SRS-001",
            risks=("RSK-001",),
            outcome=Outcome.PROVED,
            fault="It subtracts.",
            fault_sha256=sha256(self.root / "tests/faults.py"),
            tests=(_TEST,),
            failed=_TEST,
            failure="assert -1 == 3",
            sources={path: sha256(self.root / path) for path in files},
        ).model_copy(update=changes)
        whole = Proofs(
            started=_TIME, finished=_TIME, proofs=(proof,), demo=False, public_key=public_key_of(self.key)
        ).model_copy(update=record or {})
        self.write(str(PROOFS), whole.signed(self.key).model_dump_json())

    def append_approval(self, **changes: Any) -> None:
        """Put an approval on the end of the chain as the last one, with changes, well signed and chained."""
        approvals, _ = read_chain(self.root)
        last = approvals[-1]
        following = {"number": last.number + 1, "before": last.digest()}
        made = last.model_copy(update={**following, "public_key": public_key_of(self.key), **changes})
        signature = base64.b64encode(self.key.sign(made.body())).decode()
        with (self.root / APPROVALS).open("a", encoding="utf-8") as file:
            file.write(made.model_copy(update={"signature": signature}).model_dump_json() + "\n")

    def approve(self, *identifiers: str) -> None:
        """Sign items, or all that need it, as the sample's signer, who is nobody."""
        records = load(self.root)
        wanted = [(item.id, role) for item, role in required(records) if not identifiers or item.id in identifiers]
        signers = {
            signer.role: signer for signer in (records.approval_policy.signers if records.approval_policy else ())
        }
        for identifier, role in wanted:
            sign(self.root, records, identifier, signers[role], self.key, time=_TIME - dt.timedelta(days=2))


def test_record(**changes: Any) -> TestRecord:
    """Return what the evidence says of the sample's one test, with changes."""
    record = TestRecord(
        id=_TEST,
        outcome="passed",
        seconds=0.1,
        verifies=(Mark("SRS-001", "unit", "example"),),
        units=(0,),
    )
    return record.model_copy(update=changes)


test_record.__test__ = False  # type: ignore[attr-defined]  # not a test


def build(root: Path) -> Sample:
    """Write the sample project into an empty folder."""
    sample = Sample(root, Ed25519PrivateKey.generate())
    sample.write("node/__init__.py", '"""Sample."""\n')
    sample.write("node/thing.py", _UNIT)
    sample.write("tests/test_thing.py", _TESTS)
    sample.write("qms/narrative/plan.md", _PLAN)
    for name in DOCUMENTS:
        sample.write(f"qms/narrative/{name}.md", "# sample\n")
    sample.write("tests/faults.py", "# the fault model of SRS-001\n")
    sample.write("golden.txt", "reference\n")
    sample.write("models/net/manifest.toml", _MANIFEST.format(hash=_HASH))
    for lock in ("cpu", "gpu", "dev"):
        sample.write(f"requirements/{lock}.lock", _LOCK.format(hash=_HASH))
    for name, data in _records(sample).items():
        sample.write(f"qms/records/{name}.yaml", _yaml(data))
    policies = [_golden(sample, n, f"qms/records/{p}_policy.yaml") for n, p in ((3, "risk"), (4, "approval"))]
    sample.change("goldens.yaml", lambda goldens: goldens.extend(policies))
    sample.seal()
    sample.seal("system")
    sample.prove()
    sample.approve()
    return sample


def _yaml(data: Any) -> str:
    # Items begin at the left margin, as in the records: the loader finds their lines by that.
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True)


def _records(sample: Sample) -> dict[str, Any]:
    return {
        "intended_use": [{"id": "INT-001", "title": "Purpose", "text": "It adds.", "source": "sample"}],
        "user_requirements": [
            {
                "id": "URS-001",
                "title": "Adds",
                "text": "It shall add.",
                "user": "all",
                "rationale": "Sums are needed.",
                "source": "sample",
                "intended_use": ["INT-001"],
            }
        ],
        "requirements": [
            {
                "id": "SRS-001",
                "title": "Adds two",
                "text": "It shall add two numbers.",
                "rationale": "Two are enough.",
                "source": "URS-001",
                "category": "function",
                "user_requirements": ["URS-001"],
                "units": ["node.thing"],
            }
        ],
        "hazards": [{"id": "HAZ-001", "title": "Wrong sum", "text": "A sum that is wrong."}],
        "risks": [_risk()],
        "risk_policy": {
            "severity": [{"value": n, "name": f"s{n}", "meaning": "sample"} for n in range(1, 6)],
            "probability": [{"value": n, "name": f"p{n}", "meaning": "sample"} for n in range(1, 6)],
            "acceptable": {1: 5, 2: 4, 3: 3, 4: 2, 5: 1},
            "rationale": "sample",
        },
        "approval_policy": _approval_policy(sample),
        "soup": [
            _soup("SOUP-alpha", "alpha", "shipped", ["1.0"]),
            _soup("SOUP-beside", "beside", "beside-lock", ["2.0"]),
            _soup("SOUP-net-sum", "net/sum", "weights", _weights_versions()),
        ],
        "clauses": [
            {
                "id": f"62304-{number}",
                "edition": "2006+A1:2015",
                "classes": list(classes),
                "title": f"Clause {number}",
                "output": "sample",
                "artefacts": ["qms/narrative/plan.md#5.1.1"],
                "answer": "In the plan.",
            }
            for number, classes in IEC_62304.items()
        ],
        "goldens": [_golden(sample, 1, "golden.txt"), _golden(sample, 2, "models/net/manifest.toml")],
        "problems": [_problem()],
    }


def _golden(sample: Sample, number: int, path: str) -> dict[str, Any]:
    hashed = sha256(sample.root / path)
    return {"id": f"GLD-{number:03}", "path": path, "sha256": hashed, "reason": "sample", "reviewed": DAY}


def _risk() -> dict[str, Any]:
    return {
        "id": "RSK-001",
        "title": "Wrong sum believed",
        "hazard": "HAZ-001",
        "topics": [topic.value for topic in Topic],
        "cause": "defect",
        "units": ["node.thing"],
        "sequence": "The sum is wrong.",
        "situation": "It is read.",
        "harm": "A wrong decision.",
        "before": {"severity": 3, "probability": 4},
        "controls": [{"requirement": "SRS-001", "kind": "protective-measure"}],
        "after": {"severity": 3, "probability": 2},
        "residual": "Acceptable by the policy.",
        "new_risks": "None found.",
    }


def _soup(identifier: str, name: str, scope: str, versions: list[str]) -> dict[str, Any]:
    return {
        "id": identifier,
        "name": name,
        "scope": scope,
        "versions": versions,
        "manufacturer": "sample",
        "licence": "MIT",
        "purpose": "sample",
        "required_function": "sample",
        "platform": "any",
        "anomalies": {
            "verdict": "no-effect",
            "date": DAY,
            "version": versions[0],
            "sources": ["sample"],
            "text": "None matters.",
        },
    }


def _weights_versions() -> list[str]:
    return ["1", f"sha256:{_HASH}"]


def _problem() -> dict[str, Any]:
    return {
        "id": "PRB-001",
        "title": "Added wrongly",
        "state": "resolved",
        "kind": "corrective",
        "scope": "node.thing",
        "criticality": "safety",
        "reported": DAY,
        "found_in": "sample",
        "cause": "A sign.",
        "safety": "A wrong sum.",
        "resolution": "The sign is right.",
        "requirements": ["SRS-001"],
        "risks": ["RSK-001"],
        "verified_by": [_TEST],
    }


def _approval_policy(sample: Sample) -> dict[str, Any]:
    public = public_key_of(sample.key)
    kinds = ["intended-use", "user-requirement", "requirement", "hazard", "risk", "soup", "clause", "golden", "problem"]
    signer = Signer(
        name="SAMPLE, nobody",
        role="reviewer",
        public_key=public,
        valid_from=DAY.replace(day=1),
        expires=DAY.replace(year=DAY.year + 1),
    )
    return {
        "roles": [{"role": "reviewer", "meaning": "I have read it.", "kinds": kinds}],
        "valid_days": 36500,
        "signers": [signer.model_dump()],
        "evidence_keys": [public],
    }


def fresh_key() -> str:
    """Return the public half of a key that nobody knows, in base64."""
    return base64.b64encode(Ed25519PrivateKey.generate().public_key().public_bytes_raw()).decode()
