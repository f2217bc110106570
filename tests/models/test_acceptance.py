"""Which weights a node in the release profile may load."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from models.acceptance import Acceptance, NotAcceptedError, check_accepted, identity_of
from models.manifest import Manifest, load
from qms.evidence import public_key_of

pytestmark = pytest.mark.verifies("SRS-196", level="unit", technique="bad-input")

KEY = Ed25519PrivateKey.generate()
MANIFEST = load("ct_liver_lesions")


def acceptance(path: Path, manifest: Manifest = MANIFEST, **changes: Any) -> Path:
    made = Acceptance(
        model=manifest.name,
        version=manifest.version,
        identity=identity_of(manifest),
        plan_sha256="0" * 64,
        results_sha256="0" * 64,
        evaluated=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        demo=False,
        public_key=public_key_of(KEY),
    ).model_copy(update=changes)
    path.write_text(made.signed(KEY).model_dump_json())
    return path


def test_what_was_accepted_by_a_trusted_key_may_be_loaded(tmp_path: Path) -> None:
    check_accepted(MANIFEST, acceptance(tmp_path / "a.json"), [public_key_of(KEY)])

    with pytest.raises(NotAcceptedError, match="no acceptance is named"):
        check_accepted(MANIFEST, None, [public_key_of(KEY)])


def test_anything_else_may_not(tmp_path: Path) -> None:
    path, trusted = tmp_path / "a.json", [public_key_of(KEY)]
    with pytest.raises(NotAcceptedError, match="FileNotFoundError"):
        check_accepted(MANIFEST, tmp_path / "gone.json", trusted)
    path.write_text("{}")
    with pytest.raises(NotAcceptedError, match="is no acceptance"):
        check_accepted(MANIFEST, path, trusted)
    with pytest.raises(NotAcceptedError, match="not trusted here"):
        check_accepted(MANIFEST, acceptance(path), [])
    with pytest.raises(NotAcceptedError, match="DEMO"):
        check_accepted(MANIFEST, acceptance(path, demo=True), trusted)
    altered = acceptance(path).read_text().replace('"demo":false', '"demo":true')
    path.write_text(altered)
    with pytest.raises(NotAcceptedError, match="does not hold"):
        check_accepted(MANIFEST, path, trusted)


@pytest.mark.parametrize(
    "change",
    [
        {"settings": {**MANIFEST.settings, "lesion_threshold": 0.3}},
        {"version": "0.4"},
        {"smallest_lesion_ml": 0.1},
        {"networks": {"liver": MANIFEST.networks["liver"].model_copy(update={"sha256": "0" * 64})}},
    ],
)
def test_other_weights_or_settings_are_another_model(tmp_path: Path, change: dict[str, Any]) -> None:
    path = acceptance(tmp_path / "a.json")

    with pytest.raises(NotAcceptedError, match="other weights or settings"):
        check_accepted(MANIFEST.model_copy(update=change), path, [public_key_of(KEY)])
