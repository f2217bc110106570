"""Signatures: one changed word, a moved line, a cut tail, and who may sign what."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from node.cli import main
from qms.evidence import public_key_of
from qms.gate import Profile, judge, read, sample
from qms.gate.sample import DAY, Sample
from qms.items import Signer
from qms.load import load
from qms.signatures import APPROVALS, GENESIS, SignatureRefusedError, check_head, head, read_chain, sign

pytestmark = pytest.mark.verifies("SRS-190", level="integration", technique="example")

NOON = dt.datetime(2026, 1, 13, 12, tzinfo=dt.UTC)


@pytest.fixture
def project(tmp_path: Path) -> Sample:
    return sample.build(tmp_path / "project")


def _findings(project: Sample, profile: Profile = Profile.DEVELOPMENT) -> set[tuple[str, str]]:
    return {(finding.item, finding.code) for finding in judge(read(project.root, profile, DAY))}


def _signer(project: Sample) -> Signer:
    policy = load(project.root).approval_policy
    assert policy is not None
    return policy.signers[0]


def test_an_approval_says_who_what_in_which_role_and_when(project: Sample) -> None:
    approvals, findings = read_chain(project.root)

    assert not findings
    first = approvals[0]
    assert (first.item, first.name, first.role, first.meaning) == (
        "INT-001",
        "SAMPLE, nobody",
        "reviewer",
        "I have read it.",
    )
    assert first.time.utcoffset() == dt.timedelta(0)
    assert first.before == GENESIS
    assert approvals[1].before == first.digest()


def test_one_changed_word_makes_exactly_its_own_approval_stale_and_its_dependents_suspect(project: Sample) -> None:
    project.edit("qms/records/user_requirements.yaml", "Sums are needed", "Totals are needed")

    assert _findings(project) == {
        ("URS-001", "stale-approval"),
        ("SRS-001", "suspect-approval"),
        ("RSK-001", "suspect-approval"),
        ("PRB-001", "suspect-approval"),
    }


def test_what_nothing_rests_on_makes_nothing_else_suspect(project: Sample) -> None:
    project.edit("qms/records/problems.yaml", "A sign.", "A lost sign.")

    assert _findings(project) == {("PRB-001", "stale-approval")}


def test_signing_again_mends_it(project: Sample) -> None:
    project.edit("qms/records/problems.yaml", "A sign.", "A lost sign.")
    project.approve("PRB-001")

    assert _findings(project) == set()
    assert _findings(project, Profile.RELEASE) == set()


@pytest.mark.verifies("SRS-190", level="integration", technique="fault-injection")
@pytest.mark.parametrize("field", ["name", "role", "meaning", "time", "content", "context", "item", "number"])
def test_no_part_of_an_approval_can_be_altered(project: Sample, field: str) -> None:
    path = project.root / APPROVALS
    lines = path.read_text().splitlines()
    row = json.loads(lines[3])
    row[field] = {"time": "2026-01-14T12:00:00Z", "number": 9}.get(field, "0" * 64)
    lines[3] = json.dumps(row)
    path.write_text("\n".join(lines) + "\n")

    approvals, findings = read_chain(project.root)

    assert len(approvals) == 3
    assert findings[0].code in {"forged-approval", "broken-chain"}


@pytest.mark.verifies("SRS-190", level="integration", technique="fault-injection")
def test_lines_cannot_be_exchanged_or_removed(project: Sample) -> None:
    path = project.root / APPROVALS
    lines = path.read_text().splitlines(keepends=True)

    path.write_text("".join([*lines[:2], lines[3], lines[2], *lines[4:]]))
    assert [finding.code for finding in read_chain(project.root)[1]] == ["broken-chain"]
    path.write_text("".join(lines[1:]))
    assert [finding.code for finding in read_chain(project.root)[1]] == ["broken-chain"]
    path.write_text("".join([*lines[:2], "{}\n"]))
    assert [finding.code for finding in read_chain(project.root)[1]] == ["broken-chain"]


@pytest.mark.verifies("SRS-190", level="integration", technique="fault-injection")
def test_a_cut_tail_shows_against_the_head_that_is_kept_elsewhere(project: Sample) -> None:
    path = project.root / APPROVALS
    kept = head(project.root)
    lines = path.read_text().splitlines(keepends=True)

    path.write_text("".join(lines[:-1]))
    assert [finding.code for finding in check_head(project.root, kept)] == ["cut-chain"]

    path.write_text("".join(lines))
    project.approve("PRB-001")
    assert check_head(project.root, kept) == []


@pytest.mark.verifies("SRS-190", level="integration", technique="bad-input")
def test_who_may_not_sign(project: Sample) -> None:
    records, signer, key = load(project.root), _signer(project), project.key
    with pytest.raises(SignatureRefusedError, match="no such item"):
        sign(project.root, records, "SRS-999", signer, key, time=NOON)
    with pytest.raises(SignatureRefusedError, match="does not sign items of this kind"):
        sign(project.root, records, "SRS-001", signer.model_copy(update={"role": "visitor"}), key, time=NOON)
    with pytest.raises(SignatureRefusedError, match="the key is not that of"):
        sign(project.root, records, "SRS-001", signer, Ed25519PrivateKey.generate(), time=NOON)
    with pytest.raises(SignatureRefusedError, match="revoked or expired"):
        sign(project.root, records, "SRS-001", signer, key, time=NOON + dt.timedelta(days=1000))
    revoked = signer.model_copy(update={"revoked": NOON.date()})
    with pytest.raises(SignatureRefusedError, match="revoked or expired"):
        sign(project.root, records, "SRS-001", revoked, key, time=NOON)
    project.write(str(APPROVALS), "{}\n")
    with pytest.raises(SignatureRefusedError, match="broken"):
        sign(project.root, records, "SRS-001", signer, key, time=NOON)


@pytest.mark.verifies("SRS-190", level="system", technique="example")
def test_the_commands(project: Sample, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pem = project.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    key = project.root / "signer.pem"
    key.write_bytes(pem)
    monkeypatch.chdir(project.root)

    assert main(["qms", "public-key", str(key)]) == 0
    assert capsys.readouterr().out.strip() == _signer(project).public_key
    assert main(["qms", "head"]) == 0
    kept = capsys.readouterr().out.strip()
    assert kept == head(project.root)

    project.change("approval_policy.yaml", lambda data: data["signers"][0].update(expires=dt.date(2999, 1, 1)))
    assert main(["qms", "sign", "SRS-001", "--role", "reviewer", "--key", str(key)]) == 0
    assert "SRS-001: approve by SAMPLE, nobody as reviewer" in capsys.readouterr().out
    assert main(["qms", "head", "--check", kept]) == 0
    assert main(["qms", "sign", "SRS-001", "--role", "visitor", "--key", str(key)]) == 2
    assert "names nobody with this key as visitor" in capsys.readouterr().err
    key.write_text("no key")
    assert main(["qms", "sign", "SRS-001", "--role", "reviewer", "--key", str(key)]) == 2
    (project.root / APPROVALS).unlink()
    assert main(["qms", "head", "--check", kept]) == 1
    assert "cut-chain" in capsys.readouterr().out


def test_an_approval_can_be_taken_back(project: Sample) -> None:
    sign(project.root, load(project.root), "SRS-001", _signer(project), project.key, action="revoke", time=NOON)

    assert _findings(project) == set()
    assert _findings(project, Profile.RELEASE) == {("SRS-001", "missing-approval")}


@pytest.mark.verifies("SRS-190", level="integration", technique="boundary")
def test_a_signature_of_before_a_revocation_holds_and_one_of_that_day_does_not(project: Sample) -> None:
    signed_on = NOON.date()
    policy = "approval_policy.yaml"

    project.change(policy, lambda data: data["signers"][0].update(revoked=signed_on + dt.timedelta(days=1)))
    assert _findings(project, Profile.RELEASE) == {("GLD-004", "changed-golden")}, "the policy's own record"
    project.change(policy, lambda data: data["signers"][0].update(revoked=signed_on))
    assert ("SRS-001", "missing-approval") in _findings(project, Profile.RELEASE)


def test_another_key_of_the_same_name_is_no_approval(project: Sample) -> None:
    stranger = public_key_of(Ed25519PrivateKey.generate())
    project.change("approval_policy.yaml", lambda data: data["signers"][0].update(public_key=stranger))

    assert ("SRS-001", "missing-approval") in _findings(project, Profile.RELEASE)
