"""The image's steps are the Makefile's; compose, settings and routing agree. No container engine runs in CI."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from node.config import load_config

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return yaml.safe_load((DOCKER / "compose.yaml").read_text())


def instructions() -> list[tuple[str, str]]:
    text = re.sub(r"^\s*#.*\n", "", (DOCKER / "Dockerfile").read_text(), flags=re.MULTILINE)
    return [tuple(line.split(None, 1)) for line in text.replace("\\\n", " ").splitlines() if line.strip()]  # type: ignore[misc]


@pytest.mark.verifies("SRS-151", level="integration", technique="consistency")
def test_the_dockerfile_is_clean() -> None:
    result = subprocess.run(
        [Path(sys.executable).parent / "hadolint", DOCKER / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout


@pytest.mark.verifies("SRS-150", level="integration", technique="consistency")
def test_the_image_installs_as_the_makefile_does() -> None:
    runs = [text for kind, text in instructions() if kind == "RUN"]
    assert [run for run in runs if "pip" in run] == [], "pip is called by the Makefile alone"
    (make,) = [run for run in runs if run.startswith("make ")]
    plan = subprocess.run(
        [*make.replace("${ACCEL}", "cpu").split(), "--dry-run", "--always-make"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    own = subprocess.run(
        ["make", "install", "EDITABLE=", "--dry-run", "--always-make"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert plan.replace("/opt/overread", ".venv") == own
    assert "--require-hashes -r requirements/cpu.lock" in plan
    assert "overread weights" in plan


@pytest.mark.verifies("SRS-151", level="integration", technique="consistency")
def test_the_image_does_not_run_as_root() -> None:
    users = [text for kind, text in instructions() if kind == "USER"]
    assert users == ["10001"]


@pytest.mark.verifies("SRS-151", level="integration", technique="consistency")
def test_compose_publishes_on_loopback_only(compose: dict[str, Any]) -> None:
    ports = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


@pytest.mark.verifies("SRS-153", level="integration", technique="consistency")
def test_files_that_compose_mounts_are_there(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for volume in service.get("volumes", []):
            place = volume.split(":")[0]
            assert (DOCKER / place).is_file() if place.startswith("./") else place in compose["volumes"], volume
        if "build" in service:
            assert (DOCKER / service["build"]["context"] / service["build"]["dockerfile"]).is_file()


@pytest.mark.verifies("SRS-153", level="integration", technique="consistency")
def test_node_and_pacs_know_each_other(compose: dict[str, Any]) -> None:
    config = load_config(DOCKER / "overread.toml", {})
    orthanc = compose["services"]["orthanc"]
    (destination,) = config.destination
    assert destination.host in compose["services"]
    assert destination.ae_title == orthanc["environment"]["ORTHANC__DICOM_AET"] == config.receive.allowed_calling_ae[0]
    assert f"127.0.0.1:{destination.port}:{destination.port}" in orthanc["ports"]
    (name, host, port) = json.loads(orthanc["environment"]["ORTHANC__DICOM_MODALITIES"])["overread"]
    assert (name, host, port) == (config.node.ae_title, "overread", config.receive.port)
    mounts = compose["services"]["overread"]["volumes"]
    for path in (config.node.data_dir, config.node.key_file):
        assert any(str(path).startswith(volume.split(":")[1]) for volume in mounts), path


@pytest.mark.verifies("SRS-153", level="integration", technique="consistency")
def test_the_command_of_the_image_exists() -> None:
    commands = {kind: text for kind, text in instructions() if kind in {"ENTRYPOINT", "CMD"}}
    assert json.loads(commands["ENTRYPOINT"]) == ["overread"]
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert set(scripts) == {"overread"}
