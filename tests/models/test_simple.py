"""The small pipeline with the tiny network, run by a real engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from models.interface import Float, Segmentation
from models.manifest import Manifest, ManifestError, load
from models.weights import verify
from tests.models.orientations import ALL, Order, Signs, affine
from tests.models.tiny import write_tiny_model

SPACING_MM = (3.0, 1.6, 1.8)


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    return load(write_tiny_model(tmp_path))


def _segment(manifest: Manifest, weights_dir: Path, hu: NDArray[np.int16], matrix: NDArray[np.float64]) -> Segmentation:
    sessions = {
        name: onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
        for name, data in verify(weights_dir, manifest).items()
    }

    def run(network: str, batch: Float) -> Float:
        answer: Float = sessions[network].run(None, {"image": batch})[0]
        return answer

    told: list[tuple[str, int, int]] = []
    result = manifest.segmenter()(hu, matrix, run, lambda *at: told.append(at))
    assert told == [("infer_tiny", 0, 1), ("infer_tiny", 1, 1)]
    assert list(result.seconds) == ["infer_tiny"]
    return result


def _volume(shape: tuple[int, int, int]) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
    """Draw a liver with a lesion in fat, neither in the middle."""
    rng = np.random.default_rng(1)
    labels = np.zeros(shape, np.uint8)
    part = [slice(n // 6, n * 2 // 3) for n in shape]
    labels[tuple(part)] = 1
    labels[tuple(slice(n // 4, n // 4 + n // 5) for n in shape)] = 2
    hu = np.choose(labels, [-100, 120, 45]) + rng.normal(0, 8, shape)
    return hu.astype(np.int16), labels


@pytest.mark.verifies("SRS-060", level="integration", technique="phantom")
@pytest.mark.parametrize(("order", "signs"), [ALL[0], ALL[21], ALL[30], ALL[47]])
def test_liver_and_lesion_are_found_in_place(manifest: Manifest, tmp_path: Path, order: Order, signs: Signs) -> None:
    hu, truth = _volume((40, 64, 64))
    found = _segment(manifest, tmp_path, hu, affine(order, signs, SPACING_MM)).labels
    for label, least in ((1, 0.9), (2, 0.75)):
        one, other = found >= label, truth >= label
        assert 2 * (one & other).sum() / (one.sum() + other.sum()) > least


@pytest.mark.verifies("SRS-060", level="integration", technique="boundary")
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 70, 90), (150, 20, 20)])
@pytest.mark.parametrize("value", [0, -1000])
def test_any_size_and_nothing_in_it(
    manifest: Manifest, tmp_path: Path, shape: tuple[int, int, int], value: int
) -> None:
    result = _segment(manifest, tmp_path, np.full(shape, value, np.int16), affine(*ALL[5], SPACING_MM))
    assert result.labels.shape == shape
    assert not result.labels.any()


@pytest.mark.verifies("SRS-060", level="integration", technique="example")
def test_each_label_lies_inside_the_one_before(manifest: Manifest) -> None:
    def run(network: str, batch: Float) -> Float:
        answer = np.ones((1, 2, *batch.shape[2:]), np.float32)
        answer[0, 0, :, :, :16] = 0
        return answer

    labels = manifest.segmenter()(np.zeros((20, 32, 32), np.int16), affine(*ALL[0], SPACING_MM), run, lambda *_: None)
    assert 0 < (labels.labels == 2).mean() < 0.6
    assert not (labels.labels == 1).any()


@pytest.mark.verifies("SRS-060", level="integration", technique="bad-input")
def test_a_network_of_another_shape_is_refused(manifest: Manifest) -> None:
    network = manifest.networks["tiny"].model_copy(update={"output_shape": (1, 1, 20, 32, 32)})
    wrong = manifest.model_copy(update={"networks": {"tiny": network}})
    with pytest.raises(ManifestError, match="tiny"):
        wrong.segmenter()(np.zeros((4, 4, 4), np.int16), np.eye(4), _never, lambda *_: None)


def _never(network: str, batch: Float) -> Float:
    raise AssertionError("no network may be run")
