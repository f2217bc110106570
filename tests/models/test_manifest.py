"""What a manifest may say, and what is said of one that is wrong."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import pytest

from models.ct_liver_lesions.architecture import NETWORKS
from models.ct_liver_lesions.pipeline import Settings
from models.manifest import Manifest, ManifestError, installed, load
from tests.models.tiny import write_tiny_model


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path)


def _change(folder: Path, old: str, new: str) -> Path:
    path = folder / "manifest.toml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    return folder


@pytest.mark.verifies("SRS-068", level="unit", technique="example")
def test_the_models_of_this_package_are_known_by_name() -> None:
    assert installed() == ("ct_liver_lesions",)
    assert load("ct_liver_lesions").name == "ct_liver_lesions"


@pytest.mark.verifies("SRS-068", level="unit", technique="example")
def test_a_folder_elsewhere_is_a_model(tiny: Path) -> None:
    assert load(tiny) == load(str(tiny))
    assert load(tiny).name == "tiny"


@pytest.mark.verifies("SRS-068", level="unit", technique="example")
def test_a_manifest_travels_as_json(tiny: Path) -> None:
    for manifest in (load(tiny), load("ct_liver_lesions")):
        assert Manifest.model_validate_json(manifest.model_dump_json()) == manifest


@pytest.mark.verifies("SRS-068", level="unit", technique="consistency")
def test_the_shipped_manifest_agrees_with_the_code() -> None:
    manifest = load("ct_liver_lesions")
    Settings.model_validate(manifest.settings)
    assert {label.value for label in manifest.labels} == {1, 2}
    assert set(manifest.networks) == set(NETWORKS)
    for name, network in manifest.networks.items():
        assert network.input_shape == (1, 1, *NETWORKS[name].input_size)
        assert network.output_shape == (1, 1, *NETWORKS[name].output_size)


@pytest.mark.verifies("SRS-068", level="unit", technique="consistency")
def test_the_lock_names_the_wheel_of_the_manifest() -> None:
    package = load("ct_liver_lesions").package
    assert package is not None
    lock = files("models").joinpath("weights.lock").read_text(encoding="utf-8")
    assert re.search(rf"^pyliverlesionseg==0\.3 --hash=sha256:{package.sha256}$", lock, re.MULTILINE)
    assert "://" not in lock


@pytest.mark.verifies("SRS-068", level="unit", technique="consistency")
def test_the_card_tells_the_hashes_and_settings_of_the_manifest() -> None:
    manifest = load("ct_liver_lesions")
    card = files("models").joinpath("ct_liver_lesions", "card.md").read_text(encoding="utf-8")
    for told in (*manifest.weights_sha256.values(), *manifest.parameters.values(), manifest.licence, manifest.version):
        assert told in card
    assert "NOT FOR CLINICAL USE" in card


@pytest.mark.verifies("SRS-068", level="unit", technique="example")
def test_a_report_can_name_what_changes_results(tiny: Path) -> None:
    assert load(tiny).parameters == {
        "highest_hu": "300",
        "lowest_hu": "-200",
        "smallest_lesion_ml": "0.05",
        "threshold": "0.5",
    }


@pytest.mark.verifies("SRS-068", level="unit", technique="bad-input")
@pytest.mark.parametrize("model", ["no_such_model", "", "..", "ct_liver_lesions/../x"])
def test_an_unknown_model_is_refused_with_the_names_of_the_known(model: str) -> None:
    with pytest.raises(ManifestError, match="ct_liver_lesions"):
        load(model)


@pytest.mark.verifies("SRS-068", level="unit", technique="bad-input")
@pytest.mark.parametrize(
    ("old", "new", "at"),
    [
        ('version = "1"', "", "version"),
        ('version = "1"', 'version = "1"\ncolour = "red"', "colour"),
        ("input_shape = [1, 1", 'input_shape = ["a", 1', "networks.tiny.input_shape"),
        ('file = "tiny.onnx"', 'file = "../tiny.onnx"', "networks.tiny.file"),
        ('sha256 = "', 'sha256 = "x', "networks.tiny.sha256"),
        ("value = 2", "value = 256", "labels.1.value"),
        ("smallest_lesion_ml = 0.05", "smallest_lesion_ml = -1", "smallest_lesion_ml"),
        ('"models.simple:segment"', '"os:system"', "pipeline"),
        ('"models.simple:segment"', '"models.simple.segment"', "pipeline"),
        ('name = "tiny"', 'name = "../tiny"', "name"),
        ('name = "tiny"', 'name = "tiny', "manifest of model"),
    ],
)
def test_a_wrong_line_is_named(tiny: Path, old: str, new: str, at: str) -> None:
    with pytest.raises(ManifestError, match=re.escape(at)):
        load(_change(tiny, old, new))


@pytest.mark.verifies("SRS-068", level="unit", technique="bad-input")
def test_a_pipeline_that_does_not_exist_is_named(tiny: Path) -> None:
    for entry in ("models.simple:no_such", "models.no_such:segment"):
        manifest = load(tiny).model_copy(update={"pipeline": entry})
        with pytest.raises(ManifestError, match=entry):
            manifest.segmenter()
