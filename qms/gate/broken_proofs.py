"""Ways to break evidence, risks, SOUP, documents and approvals, each with the finding that has to name it."""

from __future__ import annotations

import datetime as dt

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from qms.gate.changes import (
    Change,
    add_copy,
    append,
    approval,
    both,
    drop,
    edit,
    fields,
    prove,
    remove,
    remove_line,
    seal,
    seal_packages,
    seal_test,
    within,
    write,
)
from qms.gate.mutation import RELEASE, Mutation
from qms.gate.sample import DAY, Sample, fresh_key
from qms.proofs import Outcome

_SRS = "requirements.yaml"
_TEST_ID = "tests/test_thing.py::test_it_adds"
_TOMORROW = dt.datetime(DAY.year, DAY.month, DAY.day + 1, tzinfo=dt.UTC)
_LONG_AGO = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
_LOOKS = "qms/records/pccp_looks.jsonl"
_APPROVALS = "qms/records/approvals.jsonl"
_POLICY = "qms/records/risk_policy.yaml"
_PINNED = "beta==3.0 \\\n    --hash=sha256:" + "b" * 64 + "\n"


def _reversed_scale(sample: Sample) -> None:
    sample.change("risk_policy.yaml", lambda data: data["severity"].reverse())


def _unlisted(sample: Sample) -> None:
    sample.change("goldens.yaml", lambda data: data.pop(1))


def _revoked(sample: Sample) -> None:
    before = DAY.replace(day=2)
    sample.change("approval_policy.yaml", lambda data: data["signers"][0].update(revoked=before))


def _hidden_demo(sample: Sample) -> None:
    sample.change("approval_policy.yaml", lambda data: data["signers"][0].update(demo=True))


def _by_a_stranger(sample: Sample) -> None:
    sample.key = Ed25519PrivateKey.generate()
    sample.append_approval(item="SRS-001")


def _no_role_for_risks(sample: Sample) -> None:
    sample.change("approval_policy.yaml", lambda data: data["roles"][0]["kinds"].remove("risk"))


def _proofs_of(**changes: bool) -> Change:
    return lambda sample: sample.prove(record=changes)


BROKEN_PROOFS: tuple[Mutation, ...] = (
    # evidence
    Mutation("no evidence", "no-evidence", "run test", remove("qms/evidence/test.json")),
    Mutation(
        "no evidence of the system tests in a release",
        "no-evidence",
        "run system",
        remove("qms/evidence/system.json"),
        RELEASE,
    ),
    Mutation(
        "evidence of another shape",
        "evidence-unreadable",
        "qms/evidence/test.json",
        write("qms/evidence/test.json", "{}"),
    ),
    Mutation(
        "evidence altered by hand",
        "evidence-forged",
        "qms/evidence/test.json",
        edit("qms/evidence/test.json", '"seconds":0.1', '"seconds":0.2'),
    ),
    Mutation(
        "a test that no run has, in a release",
        "unrun-test",
        _TEST_ID,
        both(seal(tests=()), seal("system", tests=())),
        RELEASE,
    ),
    Mutation("a failed run", "failed-run", "run test", seal(exit_status=1)),
    Mutation("a run that was cut short", "failed-run", _TEST_ID, seal_test(outcome="not-run")),
    Mutation("a demonstration key in a release", "demo-key", "run test", seal(demo=True), RELEASE),
    Mutation(
        "an unknown key in a release",
        "unknown-key",
        "run test",
        fields("approval_policy.yaml", evidence_keys=[fresh_key()]),
        RELEASE,
    ),
    Mutation("uncommitted files in a release", "uncommitted", "run test", seal(changed=True), RELEASE),
    Mutation(
        "tests left out of a release",
        "deselected",
        "run test",
        seal(deselected=("tests/test_slow.py::test_a",)),
        RELEASE,
    ),
    # risks
    Mutation(
        "a scale out of order",
        "risk-policy",
        _POLICY,
        _reversed_scale,
    ),
    Mutation(
        "worse harm may be more probable",
        "risk-policy",
        _POLICY,
        fields("risk_policy.yaml", acceptable={1: 1, 2: 2, 3: 3, 4: 4, 5: 5}),
    ),
    Mutation(
        "no risk about tampering", "missing-topic", "qms/records/risks.yaml", fields("risks.yaml", topics=["drift"])
    ),
    Mutation("a risk without control", "uncontrolled-risk", "RSK-001", fields("risks.yaml", controls=[])),
    Mutation("a risk whose control is only planned", "uncontrolled-risk", "RSK-001", fields(_SRS, status="planned")),
    Mutation(
        "an unacceptable risk",
        "unacceptable-risk",
        "RSK-001",
        within("risks.yaml", "after", severity=3, probability=4),
    ),
    Mutation(
        "a control that makes it worse", "risk-estimate", "RSK-001", within("risks.yaml", "before", probability=1)
    ),
    Mutation(
        "a control that was never switched off", "unproved-control", "SRS-001", remove("qms/evidence/proofs.json")
    ),
    Mutation(
        "a control that its tests do not miss",
        "unproved-control",
        "SRS-001",
        prove(outcome=Outcome.SURVIVED),
    ),
    Mutation(
        "a control without a fault model",
        "unproved-control",
        "SRS-001",
        prove(outcome=Outcome.NO_FAULT_MODEL),
    ),
    Mutation(
        "a control that changed after its proof", "stale-proof", "SRS-001", edit("node/thing.py", "a + b", "b + a")
    ),
    Mutation(
        "a fault model that changed after the proof", "stale-proof", "SRS-001", write("tests/faults.py", "# other")
    ),
    Mutation(
        "a record of proofs altered by hand",
        "evidence-forged",
        "qms/evidence/proofs.json",
        edit("qms/evidence/proofs.json", "It subtracts.", "It multiplies."),
    ),
    Mutation(
        "a record of proofs of another shape",
        "evidence-unreadable",
        "qms/evidence/proofs.json",
        write("qms/evidence/proofs.json", "{}"),
    ),
    Mutation(
        "proofs of a demonstration key in a release",
        "demo-key",
        "qms/evidence/proofs.json",
        _proofs_of(demo=True),
        RELEASE,
    ),
    Mutation(
        "proofs of an unknown key in a release",
        "unknown-key",
        "qms/evidence/proofs.json",
        fields("approval_policy.yaml", evidence_keys=[fresh_key()]),
        RELEASE,
    ),
    # SOUP
    Mutation(
        "a locked package that nobody described", "soup-missing", "SOUP-beta", append("requirements/cpu.lock", _PINNED)
    ),
    Mutation(
        "a description of what is not locked",
        "soup-not-in-lock",
        "SOUP-gamma",
        add_copy("soup.yaml", id="SOUP-gamma", name="gamma"),
    ),
    Mutation(
        "another version than the locked one", "soup-version", "SOUP-alpha", fields("soup.yaml", versions=["1.1"])
    ),
    Mutation("SOUP under another name", "soup-id", "SOUP-other", fields("soup.yaml", id="SOUP-other")),
    Mutation("SOUP without an evaluation", "soup-unevaluated", "SOUP-alpha", fields("soup.yaml", anomalies=None)),
    Mutation(
        "SOUP evaluated in another version",
        "soup-unevaluated",
        "SOUP-alpha",
        within("soup.yaml", "anomalies", version="0.9"),
    ),
    Mutation(
        "SOUP with an unacceptable anomaly",
        "soup-unacceptable",
        "SOUP-alpha",
        within("soup.yaml", "anomalies", verdict="unacceptable"),
    ),
    Mutation(
        "a lock that cannot be read", "lock-unreadable", "requirements", write("requirements/cpu.lock", "alpha>=1\n")
    ),
    Mutation("no lock", "lock-unreadable", "requirements", remove("requirements/gpu.lock")),
    Mutation(
        "a package that was installed beside the locks",
        "soup-installed",
        "SOUP-stray",
        seal_packages(alpha="1.0", stray="1"),
    ),
    Mutation(
        "another version than the locked one was tested", "soup-installed", "SOUP-alpha", seal_packages(alpha="1.1")
    ),
    Mutation(
        "weights of another hash", "soup-weights", "SOUP-net-sum", edit("models/net/manifest.toml", "aaaa", "bbbb")
    ),
    Mutation("a manifest that cannot be read", "soup-weights", "models", write("models/net/manifest.toml", "name =")),
    Mutation(
        "SOUP not evaluated in a release",
        "soup-not-evaluated",
        "SOUP-alpha",
        within("soup.yaml", "anomalies", verdict="not-evaluated"),
        RELEASE,
    ),
    # documents
    Mutation("a clause that is missing", "missing-clause", "62304-4.1", drop("clauses.yaml")),
    Mutation("a clause that does not exist", "unknown-clause", "62304-4.9", add_copy("clauses.yaml", id="62304-4.9")),
    Mutation("an empty clause", "empty-clause", "62304-4.1", fields("clauses.yaml", answer=" ")),
    Mutation("a clause without artefact", "empty-clause", "62304-4.1", fields("clauses.yaml", artefacts=[])),
    Mutation(
        "a clause answered by a file that is not there",
        "missing-artefact",
        "62304-4.1",
        fields("clauses.yaml", artefacts=["gone.md"]),
    ),
    Mutation(
        "a clause answered by a heading that is not there",
        "missing-artefact",
        "62304-4.1",
        fields("clauses.yaml", artefacts=["qms/narrative/plan.md#9.9"]),
    ),
    Mutation("a golden that changed", "changed-golden", "GLD-001", write("golden.txt", "other\n")),
    Mutation("a reference that has no record", "unlisted-golden", "models/net/manifest.toml", _unlisted),
    Mutation("a golden that is gone", "missing-golden", "GLD-001", remove("golden.txt")),
    Mutation(
        "a number typed by hand",
        "number-without-evidence",
        "qms/narrative/plan.md",
        append("qms/narrative/plan.md", "\nIts sensitivity is 0.93.\n"),
    ),
    Mutation(
        "a number that no test measured",
        "number-without-evidence",
        "qms/narrative/plan.md",
        both(seal(numbers={}), seal(run="system", numbers={})),
    ),
    Mutation(
        "a number that the evidence contradicts",
        "number-contradicted",
        "qms/narrative/plan.md",
        edit("qms/narrative/plan.md", "0.97<", "0.99<"),
    ),
    Mutation(
        "a problem resolved without a test", "unverified-resolution", "PRB-001", fields("problems.yaml", verified_by=[])
    ),
    Mutation(
        "a problem resolved by a test that is gone",
        "unknown-test",
        "PRB-001",
        fields("problems.yaml", verified_by=["tests/test_thing.py::test_gone"]),
    ),
    Mutation(
        "an open problem of safety in a release",
        "open-problem",
        "PRB-001",
        fields("problems.yaml", state="open"),
        RELEASE,
    ),
    Mutation(
        "a problem resolved by a test that was skipped",
        "unverified-resolution",
        "PRB-001",
        seal_test(outcome="skipped"),
    ),
    Mutation("a document that is gone", "missing-document", "qms/narrative/ifu.md", remove("qms/narrative/ifu.md")),
    Mutation("an artefact outside", "missing-artefact", "62304-4.1", fields("clauses.yaml", artefacts=["/etc/passwd"])),
    Mutation("a ledger of looks altered by hand", "broken-ledger", _LOOKS, write(_LOOKS, "{}\n")),
    # approvals
    Mutation(
        "an approval altered by hand",
        "forged-approval",
        "INT-001",
        edit(_APPROVALS, '"number":1,"item":"INT-001","content":"', '"number":1,"item":"INT-001","content":"0'),
    ),
    Mutation(
        "an approval taken out of the middle",
        "broken-chain",
        "SRS-001",
        remove_line(_APPROVALS, 1),
    ),
    Mutation(
        "one word changed after approval", "stale-approval", "URS-001", fields("user_requirements.yaml", title="Sums")
    ),
    Mutation(
        "what it rests on changed after approval",
        "suspect-approval",
        "SRS-001",
        fields("user_requirements.yaml", title="Sums"),
    ),
    Mutation("an approved item that is gone", "stale-approval", "GLD-001", drop("goldens.yaml")),
    Mutation(
        "an approval under another name", "unfit-approval", "SRS-001", approval(item="SRS-001", name="Someone else")
    ),
    Mutation(
        "an approval that means something else", "unfit-approval", "SRS-001", approval(item="SRS-001", meaning="No.")
    ),
    Mutation("an approval that hides its DEMO key", "unfit-approval", "INT-001", _hidden_demo),
    Mutation("an approval by a stranger", "unfit-approval", "SRS-001", _by_a_stranger),
    Mutation("an approval of tomorrow", "unfit-approval", "SRS-001", approval(item="SRS-001", time=_TOMORROW)),
    Mutation("an approval dated back", "broken-chain", "SRS-001", approval(item="SRS-001", time=_LONG_AGO)),
    Mutation("a kind that no role approves", "approval-policy", "qms/records/approval_policy.yaml", _no_role_for_risks),
    Mutation(
        "the policy of approvals changed", "changed-golden", "GLD-004", fields("approval_policy.yaml", valid_days=9)
    ),
    Mutation("a missing approval in a release", "missing-approval", "SRS-001", remove(_APPROVALS), RELEASE),
    Mutation("an approval by a revoked signer in a release", "missing-approval", "SRS-001", _revoked, RELEASE),
    Mutation(
        "an approval that has expired in a release",
        "missing-approval",
        "SRS-001",
        fields("approval_policy.yaml", valid_days=1),
        RELEASE,
    ),
)
