"""Which models a node loads: in the release profile, only accepted ones."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from models.acceptance import Acceptance
from models.manifest import load
from qms.evidence import public_key_of
from tests.models.test_acceptance import KEY, acceptance
from tests.models.tiny import write_tiny_model
from tests.node.running import Site, make_site, running

pytestmark = pytest.mark.verifies("SRS-196", level="system", technique="example")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return make_site(tmp_path, write_tiny_model(tmp_path / "models"), {})


def _set(site: Site, **values: object) -> None:
    lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items())
    text = site.settings.read_text()
    assert "[inference]\n" in text
    site.settings.write_text(text.replace("[inference]\n", f"[inference]\n{lines}", 1))


def _model(site: Site) -> Path:
    return next(path.parent for path in site.folder.rglob("manifest.toml"))


def test_a_node_in_the_release_profile_refuses_what_nobody_accepted(site: Site) -> None:
    _set(site, profile="release")

    done = subprocess.run(
        [sys.executable, "-m", "node.cli", "serve", "--config", str(site.settings)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert "cannot start: model " in done.stderr
    assert "was not accepted under the change plan" in done.stderr


def test_it_loads_what_a_trusted_key_accepted(site: Site) -> None:
    manifest = load(_model(site))
    file = acceptance(site.folder / "acceptance.json", manifest)
    assert Acceptance.model_validate_json(file.read_bytes()).model == manifest.name
    _set(site, profile="release", acceptance_file="acceptance.json", trusted_keys=[public_key_of(KEY)])

    with running(site):
        assert "not-accepted" not in site.log.read_text()


def test_in_development_it_says_that_they_were_not(site: Site) -> None:
    with running(site):
        assert "node.model-not-accepted" in site.log.read_text()
