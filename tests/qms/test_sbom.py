"""The bill of materials is complete, valid by the official schema, and the same for the same tree."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from qms import locks, sbom
from qms.items import Scope, Soup
from qms.load import load

pytestmark = pytest.mark.verifies("SRS-185", level="integration", technique="consistency")

ROOT = Path(__file__).resolve().parents[2]
EPOCH = "1800000000"
ACCELERATORS: tuple[sbom.Accelerator, ...] = ("cpu", "gpu")


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of what a bill is made of, outside any repository, with a fixed time."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", EPOCH)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    root = tmp_path / "tree"
    for folder in ("requirements", "qms/records", "models/ct_liver_lesions"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", root)
    return root


def built(root: Path, accel: sbom.Accelerator) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(sbom.build(root, accel))
    return found


def properties(component: dict[str, Any]) -> dict[str, str]:
    return {found["name"]: found["value"] for found in component.get("properties", [])}


@pytest.mark.parametrize("accel", ACCELERATORS)
def test_it_is_valid_by_the_official_schema(tree: Path, accel: sbom.Accelerator) -> None:
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    text = sbom.build(tree, accel)
    assert validator.validate_str(text) is None
    assert validator.validate_str(text.replace('"required"', '"perhaps"')) is not None, "the validator does look"
    assert json.loads(text)["specVersion"] == "1.6"


@pytest.mark.parametrize("accel", ACCELERATORS)
def test_it_holds_every_locked_package_with_all_hashes_and_its_licence(tree: Path, accel: sbom.Accelerator) -> None:
    packages = {component["purl"]: component for component in built(tree, accel)["components"] if "purl" in component}
    pins = [pin for pin in locks.read(tree) if pin.lock == accel]
    assert packages.keys() == {f"pkg:pypi/{pin.name}@{pin.version}" for pin in pins}
    licences = {soup.id: soup.licence for soup in load(tree).of(Soup)}
    for pin in pins:
        component = packages[f"pkg:pypi/{pin.name}@{pin.version}"]
        assert sorted(f"sha256:{found['content']}" for found in component["hashes"]) == sorted(pin.hashes)
        assert {found["alg"] for found in component["hashes"]} == {"SHA-256"}
        (licence,) = component["licenses"]
        assert licences[f"SOUP-{pin.name}"] == licence.get("expression", licence.get("license", {}).get("id"))
        assert properties(component)["overread:soup"] == f"SOUP-{pin.name}"
        assert properties(component).get("overread:marker", "") == pin.marker


def test_each_accelerator_has_its_own_runtime(tree: Path) -> None:
    names = {accel: {found["name"] for found in built(tree, accel)["components"]} for accel in ACCELERATORS}
    assert {"onnxruntime", "openvino"} <= names["cpu"]
    assert {"onnxruntime-gpu", "nvidia-cudnn-cu13"} <= names["gpu"]
    assert names["cpu"].isdisjoint({"onnxruntime-gpu"})
    assert names["gpu"].isdisjoint({"onnxruntime", "openvino"})
    assert "pytest" not in names["cpu"] | names["gpu"], "tools are no part of the product"


@pytest.mark.parametrize("accel", ACCELERATORS)
def test_it_holds_the_system_and_says_what_of_it_runs(tree: Path, accel: sbom.Accelerator) -> None:
    by_soup = {properties(component)["overread:soup"]: component for component in built(tree, accel)["components"]}
    system = {soup.id: soup for soup in load(tree).of(Soup) if soup.scope is Scope.SYSTEM}
    assert system.keys() <= by_soup.keys()
    assert all(by_soup[identifier]["version"] in soup.versions for identifier, soup in system.items())
    assert all(by_soup[identifier]["licenses"] for identifier in system)
    required = {identifier for identifier in system if by_soup[identifier]["scope"] == "required"}
    assert {"SOUP-cpython", "SOUP-sqlite", "SOUP-glibc"} <= required
    assert ("SOUP-nvidia-driver" in required) is (accel == "gpu")
    assert {by_soup[peer]["scope"] for peer in ("SOUP-orthanc", "SOUP-dcmtk")} == {"excluded"}


def test_it_holds_the_networks_and_what_they_descend_from(tree: Path) -> None:
    manifest = tomllib.loads((tree / "models/ct_liver_lesions/manifest.toml").read_text(encoding="utf-8"))
    networks = {
        component["name"]: component
        for component in built(tree, "cpu")["components"]
        if component["type"] == "machine-learning-model"
    }
    assert networks.keys() == {f"ct_liver_lesions/{name}" for name in manifest["networks"]}
    for name, network in manifest["networks"].items():
        component = networks[f"ct_liver_lesions/{name}"]
        assert component["hashes"] == [{"alg": "SHA-256", "content": network["sha256"]}]
        assert component["licenses"] == [{"license": {"id": manifest["licence"]}}]
        assert component["version"] == manifest["version"]
        ancestors = {found["hashes"][0]["content"] for found in component["pedigree"]["ancestors"]}
        assert ancestors == {network["trained"]["sha256"], manifest["package"]["sha256"]}


def test_the_product_is_the_root_and_everything_is_reached_from_it(tree: Path) -> None:
    bill = built(tree, "cpu")
    product = bill["metadata"]["component"]
    project = tomllib.loads((tree / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert (product["name"], product["version"]) == (project["name"], project["version"])
    needs = {entry["ref"]: entry.get("dependsOn", []) for entry in bill["dependencies"]}
    refs = {component["name"]: component["bom-ref"] for component in bill["components"]}
    assert refs["pydicom"] in needs[product["bom-ref"]]
    assert refs["cffi"] not in needs[product["bom-ref"]], "that is asked for by cryptography"
    assert refs["cffi"] in needs[refs["cryptography"]]
    reached, waiting = set(), [product["bom-ref"]]
    while waiting:
        ref = waiting.pop()
        if ref not in reached:
            reached.add(ref)
            waiting.extend(needs[ref])
    expected = {component["bom-ref"] for component in bill["components"] if component["scope"] != "excluded"}
    assert expected <= reached


def test_the_same_tree_gives_the_same_bytes_and_another_tree_another_serial_number(tree: Path) -> None:
    first = sbom.build(tree, "cpu")
    assert first == sbom.build(tree, "cpu")
    record = tree / "qms/records/soup/shipped.yaml"
    record.write_text(record.read_text(encoding="utf-8").replace("licence: MIT-0", "licence: MIT"), encoding="utf-8")
    second = sbom.build(tree, "cpu")
    assert json.loads(first)["serialNumber"] != json.loads(second)["serialNumber"]
    assert json.loads(first)["metadata"]["timestamp"] == "2027-01-15T08:00:00+00:00"


def test_of_a_repository_it_names_the_commit_and_its_time(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    monkeypatch.setenv("GIT_COMMITTER_DATE", f"{EPOCH} +0000")
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    for command in (["init", "-q"], ["add", "."], [*identity, "commit", "-q", "--no-gpg-sign", "-m", "all"]):
        subprocess.run(["git", "-C", str(tree), *command], check=True)
    head = subprocess.run(["git", "-C", str(tree), "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    bill = built(tree, "cpu")
    assert properties(bill["metadata"]["component"])["overread:commit"] == head.stdout.strip()
    assert bill["metadata"]["timestamp"] == "2027-01-15T08:00:00+00:00"


@pytest.mark.verifies("SRS-185", level="integration", technique="bad-input")
@pytest.mark.parametrize(
    ("path", "change", "said"),
    [
        (
            "qms/records/soup/shipped.yaml",
            ("- id: SOUP-pydicom\n", "- id: SOUP-pydicom-old\n"),
            "SOUP-pydicom: locked",
        ),
        ("qms/records/soup/system.yaml", ("- id: SOUP-sqlite\n", "- id: SOUP-sqlite-old\n"), "SOUP-sqlite: the node"),
        (
            "qms/records/soup/weights.yaml",
            ("name: ct_liver_lesions/liver\n", "name: other\n"),
            "scope weights is about ct_liver_lesions/liver",
        ),
        ("requirements/cpu.lock", ("pydicom==", "pydicom>="), r"requirements/cpu\.lock:\d+: neither"),
        ("pyproject.toml", ("[project]", "[project"), "cannot be read"),
    ],
)
def test_what_is_missing_is_named_and_no_bill_is_written(
    tree: Path, capsys: pytest.CaptureFixture[str], path: str, change: tuple[str, str], said: str
) -> None:
    text = (tree / path).read_text(encoding="utf-8")
    assert change[0] in text
    (tree / path).write_text(text.replace(*change, 1), encoding="utf-8")
    out = tree / "out" / "sbom.json"
    assert sbom.main(["--root", str(tree), "--out", str(out)]) == 1
    with pytest.raises((sbom.SbomError, locks.LockError), match=said):
        sbom.build(tree, "cpu")
    assert capsys.readouterr().err.count("\n") == 1
    assert not out.exists()


@pytest.mark.verifies("SRS-185", level="integration", technique="bad-input")
def test_without_a_time_no_bill_is_written(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    with pytest.raises(sbom.SbomError, match="SOURCE_DATE_EPOCH"):
        sbom.build(tree, "cpu")


def test_as_a_command_it_writes_the_file(tree: Path) -> None:
    out = tree / "out" / "sbom-gpu.cdx.json"
    command = [sys.executable, "-m", "qms.sbom", "--accel", "gpu", "--root", str(tree), "--out", str(out)]
    subprocess.run(command, check=True, cwd=ROOT)
    assert out.read_text(encoding="utf-8") == sbom.build(tree, "gpu")
