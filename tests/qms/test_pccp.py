"""The change plan, applied to candidates."""

from __future__ import annotations

import argparse
import json
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from models.acceptance import check_accepted
from models.manifest import load
from qms import pccp
from qms.evidence import KEY_VARIABLE, public_key_of
from qms.pccp import LOOKS, PLAN, Decision, PlanError, evaluate, read_looks, read_plan

pytestmark = pytest.mark.verifies("SRS-195", level="integration", technique="example")

ROOT = Path(__file__).parents[2]
GOOD = {"liver_dice": 0.96, "liver_volume_error_percent": -1.0, "lesion_dice": 0.9, "false_lesions": 0}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    (root / "models/ct_liver_lesions").mkdir(parents=True)
    (root / "qms/records").mkdir(parents=True)
    shutil.copy(ROOT / "models/ct_liver_lesions/manifest.toml", root / "models/ct_liver_lesions")
    shutil.copy(ROOT / PLAN, root / PLAN)
    return root


def candidate(project: Path, old: str, new: str, **measured: float) -> Path:
    """Write a candidate that differs from the current model by one text of its manifest."""
    folder = project.parent / "candidate"
    folder.mkdir(exist_ok=True)
    text = (project / "models/ct_liver_lesions/manifest.toml").read_text()
    assert old in text
    (folder / "manifest.toml").write_text(text.replace(old, new, 1))
    results(project, folder, {**GOOD, **measured})
    return folder


def results(project: Path, folder: Path, measured: dict[str, float], **changes: Any) -> None:
    test_set = read_plan(project).test_set
    said = {
        "test_set_sha256": test_set.sha256,
        "cases": test_set.cases,
        "measured": {name: {"value": value} for name, value in measured.items()},
    }
    (folder / "results.json").write_text(json.dumps({**said, **changes}))


def weights(project: Path, **measured: float) -> Path:
    old = tomllib.loads((project / "models/ct_liver_lesions/manifest.toml").read_text())["networks"]["lesion"]["sha256"]
    return candidate(project, old, "b" * 64, **measured)


def test_weights_trained_again_that_meet_every_criterion_are_accepted(project: Path) -> None:
    folder = weights(project)

    verdict = evaluate(project, folder)

    assert (verdict.decision, verdict.modification) == (Decision.ACCEPT, "MOD-001")
    assert verdict.changes == ("networks.lesion.sha256",)
    assert verdict.acceptance is not None
    assert verdict.acceptance.demo
    assert verdict.acceptance.is_genuine()


@pytest.mark.parametrize(
    ("measured", "reason"),
    [
        ({"liver_dice": 0.949}, "value of liver_dice at least 0.95"),
        ({"liver_volume_error_percent": 5.1}, "value of liver_volume_error_percent at least -5 and at most 5"),
        ({"false_lesions": 1}, "value of false_lesions at most 0"),
    ],
)
def test_a_criterion_that_is_not_met_rejects(project: Path, measured: dict[str, float], reason: str) -> None:
    folder = weights(project, **measured)

    verdict = evaluate(project, folder)

    assert verdict.decision is Decision.REJECT
    assert verdict.reasons == (f"not met: {reason}",)
    assert not (folder / "acceptance.json").exists()


@pytest.mark.verifies("SRS-195", level="integration", technique="boundary")
def test_a_criterion_is_met_at_its_bound(project: Path) -> None:
    assert evaluate(project, weights(project, liver_dice=0.95, lesion_dice=0.85)).decision is Decision.ACCEPT


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("input_shape = [1, 1, 162", "input_shape = [1, 1, 160", "networks.liver.input_shape"),
        ("lesion inside the liver", "any lesion", "labels.1.meaning"),
        ("CT of the abdomen", "MR of the abdomen", "intended_input"),
        ("lesion_threshold = 0.2", "lesion_threshold = 0.05", "from 0.1 to 0.5 only"),
        ("liver_threshold = 0.5", "liver_threshold = 0.4", "settings.liver_threshold"),
    ],
)
def test_what_the_plan_does_not_foresee_needs_a_new_submission(project: Path, old: str, new: str, reason: str) -> None:
    verdict = evaluate(project, candidate(project, old, new))

    assert verdict.decision is Decision.NEW_SUBMISSION
    assert any(reason in text for text in verdict.reasons)
    assert read_looks(project) == [], "nothing was looked at"


def test_a_threshold_within_its_bounds_is_another_modification(project: Path) -> None:
    verdict = evaluate(project, candidate(project, "lesion_threshold = 0.2", "lesion_threshold = 0.3"))

    assert (verdict.decision, verdict.modification) == (Decision.ACCEPT, "MOD-002")


@pytest.mark.verifies("SRS-195", level="integration", technique="bad-input")
def test_results_of_another_set_are_refused_and_cost_no_look(project: Path) -> None:
    folder = weights(project)
    results(project, folder, GOOD, test_set_sha256="0" * 64)
    assert "not of the sealed test set" in evaluate(project, folder).reasons[0]
    results(project, folder, GOOD, cases=2)
    assert "2 cases" in evaluate(project, folder).reasons[0]
    results(project, folder, {"liver_dice": 0.99})
    verdict = evaluate(project, folder)

    assert verdict.decision is Decision.REFUSE
    assert "lack false_lesions, lesion_dice" in verdict.reasons[0]
    assert read_looks(project) == []


@pytest.mark.verifies("SRS-195", level="integration", technique="bad-input")
@pytest.mark.parametrize("dice", [97.0, -0.1, 1e999])
def test_values_that_cannot_be_are_refused_and_cost_no_look(project: Path, dice: float) -> None:
    verdict = evaluate(project, weights(project, lesion_dice=dice))

    assert verdict.decision is Decision.REFUSE
    assert "no such value is possible: lesion_dice" in verdict.reasons[0]
    assert read_looks(project) == []


def test_looks_are_used_up(project: Path) -> None:
    allowed = read_plan(project).test_set.looks
    for number in range(allowed):
        evaluate(project, weights(project, lesion_dice=0.5 + number / 1000))
    verdict = evaluate(project, weights(project, lesion_dice=0.99))

    assert verdict.decision is Decision.REFUSE
    assert "used up" in verdict.reasons[0]
    assert evaluate(project, weights(project, lesion_dice=0.5)).decision is Decision.REJECT, "the same is no new look"
    assert len(read_looks(project)) == allowed


@pytest.mark.verifies("SRS-195", level="integration", technique="fault-injection")
def test_a_ledger_of_looks_that_was_altered_is_named(project: Path) -> None:
    for dice in (0.5, 0.6, 0.7):
        evaluate(project, weights(project, lesion_dice=dice))
    lines = (project / LOOKS).read_text().splitlines(keepends=True)
    (project / LOOKS).write_text(lines[0] + lines[2])

    with pytest.raises(PlanError, match=r"pccp_looks\.jsonl:2"):
        evaluate(project, weights(project))


def test_the_same_model_is_no_candidate(project: Path) -> None:
    verdict = evaluate(project, candidate(project, 'version = "0.3"', 'version = "0.4"'))

    assert verdict.decision is Decision.REFUSE
    assert "changes nothing" in verdict.reasons[0]


@pytest.mark.verifies("SRS-195", "SRS-196", level="integration", technique="example")
def test_what_a_key_of_the_environment_accepts_a_node_that_trusts_it_loads(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    monkeypatch.setenv(KEY_VARIABLE, pem)
    folder = weights(project)

    assert evaluate(project, folder).decision is Decision.ACCEPT
    check_accepted(load(folder), folder / "acceptance.json", [public_key_of(key)])


@pytest.mark.parametrize(
    ("measured", "status", "said"), [({}, 0, "accept (MOD-001)"), ({"lesion_dice": 0.1}, 1, "reject (MOD-001)")]
)
def test_the_command(
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    measured: dict[str, float],
    status: int,
    said: str,
) -> None:
    monkeypatch.chdir(project)
    folder = weights(project, **measured)

    assert pccp.main(argparse.Namespace(candidate=folder, json=False)) == status
    assert capsys.readouterr().out.startswith(said)
    assert pccp.main(argparse.Namespace(candidate=folder, json=True)) == status
    assert json.loads(capsys.readouterr().out)["modification"] == "MOD-001"


@pytest.mark.verifies("SRS-195", level="integration", technique="bad-input")
def test_a_folder_that_is_no_candidate(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project)

    assert pccp.main(argparse.Namespace(candidate=project / "nowhere", json=False)) == 2
    assert "no model" in capsys.readouterr().err
