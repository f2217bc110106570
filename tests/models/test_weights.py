"""The chain of hashes from wheel to network, on wheels made here."""

from __future__ import annotations

import hashlib
import sys
import zipfile
from pathlib import Path

import pytest

from models import weights
from models.ct_liver_lesions.convert import convert
from models.manifest import Manifest, Network, Package, TrainedFile, load
from models.weights import WeightsError, default_directory, fetch, trained_files, verify
from tests.models.formula_weights import formula_hdf5, kernels
from tests.models.tiny import write_tiny_model


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """Make a wheel with a trained file a network."""
    path = tmp_path / "made_here-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("liver", "lesion"):
            archive.writestr(f"made_here/{name}.hdf5", formula_hdf5(kernels(name)))
    return path


@pytest.fixture
def manifest(wheel: Path) -> Manifest:
    """Return the shipped manifest with the hashes of the made wheel."""
    shipped = load("ct_liver_lesions")
    networks = {}
    for name, network in shipped.networks.items():
        trained = formula_hdf5(kernels(name))
        networks[name] = network.model_copy(
            update={
                "sha256": _sha(convert(name, trained)),
                "trained": TrainedFile(member=f"made_here/{name}.hdf5", sha256=_sha(trained)),
            }
        )
    package = Package(
        wheel=wheel.name, sha256=_sha(wheel.read_bytes()), converter="models.ct_liver_lesions.convert:convert"
    )
    return shipped.model_copy(update={"networks": networks, "package": package})


@pytest.fixture
def known(manifest: Manifest, monkeypatch: pytest.MonkeyPatch) -> Manifest:
    """Let the package hold this model only."""
    monkeypatch.setattr(weights, "installed", lambda: (manifest.name,))
    monkeypatch.setattr(weights, "load", {manifest.name: manifest}.__getitem__)
    return manifest


def _with(manifest: Manifest, name: str, **changed: object) -> Manifest:
    network = manifest.networks[name].model_copy(update=changed)
    return manifest.model_copy(update={"networks": {**manifest.networks, name: network}})


@pytest.mark.verifies("SRS-066", level="integration", technique="example")
def test_a_wheel_becomes_checked_networks(known: Manifest, wheel: Path, tmp_path: Path) -> None:
    folder = tmp_path / "a" / "weights"
    fetch(folder, wheel)
    networks = verify(folder, known)
    assert {name: _sha(data) for name, data in networks.items()} == known.weights_sha256
    assert sorted(path.name for path in (folder / known.name).iterdir()) == ["lesion.onnx", "liver.onnx"]


@pytest.mark.verifies("SRS-066", level="integration", technique="example")
def test_what_is_there_is_left_alone(known: Manifest, wheel: Path, tmp_path: Path) -> None:
    fetch(tmp_path, wheel)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / known.name).iterdir()}
    fetch(tmp_path, tmp_path / "there-is-no-such-wheel.whl")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / known.name).iterdir()} == before


@pytest.mark.verifies("SRS-066", level="integration", technique="fault-injection")
def test_a_damaged_network_is_made_again(known: Manifest, wheel: Path, tmp_path: Path) -> None:
    fetch(tmp_path, wheel)
    (tmp_path / known.name / "liver.onnx").write_bytes(b"damaged")
    fetch(tmp_path, wheel)
    assert _sha(verify(tmp_path, known)["liver"]) == known.networks["liver"].sha256


@pytest.mark.verifies("SRS-066", level="unit", technique="adversarial")
def test_a_wrong_network_is_refused_with_both_hashes(tmp_path: Path) -> None:
    manifest = load(write_tiny_model(tmp_path))
    assert verify(tmp_path, manifest)
    path = tmp_path / "tiny" / "tiny.onnx"
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(WeightsError) as caught:
        verify(tmp_path, manifest)
    for told in (str(path), _sha(path.read_bytes()), manifest.networks["tiny"].sha256):
        assert told in str(caught.value)


@pytest.mark.verifies("SRS-066", level="unit", technique="bad-input")
def test_a_missing_network_is_named_with_what_to_do(tmp_path: Path) -> None:
    manifest = load(write_tiny_model(tmp_path))
    with pytest.raises(WeightsError, match=r"tiny\.onnx.*overread weights"):
        verify(tmp_path / "elsewhere", manifest)


@pytest.mark.verifies("SRS-066", level="integration", technique="adversarial")
def test_another_wheel_is_refused(known: Manifest, wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("more.txt", "more")
    with pytest.raises(WeightsError, match=_sha(wheel.read_bytes())):
        fetch(tmp_path / "weights", wheel)
    assert not (tmp_path / "weights").exists()


@pytest.mark.verifies("SRS-066", level="integration", technique="adversarial")
def test_another_trained_file_is_refused(manifest: Manifest, wheel: Path) -> None:
    other = TrainedFile(member="made_here/liver.hdf5", sha256="0" * 64)
    with pytest.raises(WeightsError, match=r"liver\.hdf5"):
        trained_files(_with(manifest, "liver", trained=other), wheel)


@pytest.mark.verifies("SRS-066", level="integration", technique="fault-injection")
def test_a_conversion_that_gives_other_bytes_is_refused_and_leaves_nothing(
    manifest: Manifest, wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = _with(manifest, "liver", sha256="0" * 64)
    monkeypatch.setattr(weights, "installed", lambda: (wrong.name,))
    monkeypatch.setattr(weights, "load", {wrong.name: wrong}.__getitem__)
    with pytest.raises(WeightsError, match="liver as converted here"):
        fetch(tmp_path / "weights", wheel)
    assert not list((tmp_path / "weights").rglob("liver*"))


@pytest.mark.verifies("SRS-066", level="unit", technique="bad-input")
@pytest.mark.parametrize("content", [None, b"", b"no zip"])
def test_what_is_no_wheel_is_refused(manifest: Manifest, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "broken.whl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"broken\.whl"):
        trained_files(manifest, path)


@pytest.mark.verifies("SRS-066", level="unit", technique="bad-input")
def test_a_model_without_a_source_says_so(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="tiny"):
        trained_files(load(write_tiny_model(tmp_path)))


@pytest.mark.verifies("SRS-066", level="integration", technique="fault-injection")
def test_when_pip_fails_its_reason_is_told(known: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(WeightsError, match=r"pip could not get made_here.*ERROR: "):
        fetch(tmp_path / "weights")


@pytest.mark.verifies("SRS-066", level="unit", technique="example")
def test_the_directory_is_the_environments_unless_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OVERREAD_WEIGHTS", raising=False)
    assert default_directory() == Path(sys.prefix) / "share" / "overread" / "weights"
    monkeypatch.setenv("OVERREAD_WEIGHTS", "/somewhere/else")
    assert default_directory() == Path("/somewhere/else")


@pytest.mark.verifies("SRS-068", level="unit", technique="adversarial")
def test_a_networks_file_stays_in_its_folder() -> None:
    with pytest.raises(ValueError, match="pattern"):
        Network(file="../../x.onnx", sha256="0" * 64, input_shape=(1,), output_shape=(1,))
