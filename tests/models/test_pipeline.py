"""The way of a volume through the model, with plain rules in place of the two large networks.

The rules read the very batches that the networks would get, so whatever is turned, shifted or cut wrongly on the way
there or back shows in the label map.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit

from models.ct_liver_lesions.architecture import NETWORKS
from models.interface import Float, Segmentation
from models.manifest import load
from tests.models.orientations import ALL, Order, Signs, affine

MANIFEST = load("ct_liver_lesions")
#: HU of what is drawn. The lesion is the brightest, so that no voxel half at the liver's rim looks like one.
BODY, LIVER, LESION = 20, 110, 190
SPACING_MM = (3.0, 2.2, 2.6)


class Rules:
    """Answers as the networks do: the middle of the field that they see."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def __call__(self, network: str, batch: Float) -> Float:
        self.calls.append(network)
        assert batch.shape == MANIFEST.networks[network].input_shape
        assert batch.dtype == np.float32
        net = NETWORKS[network]
        margin = [(a - b) // 2 for a, b in zip(net.input_size, net.output_size, strict=True)]
        middle = batch[(..., *(slice(m, m + n) for m, n in zip(margin, net.output_size, strict=True)))] * 400
        if network == "liver":
            return expit((middle - (BODY + LIVER) / 2) / 10)
        return expit((middle - (LIVER + LESION) / 2) / 10)


def _phantom(
    shape: tuple[int, int, int], mm: tuple[float, float, float]
) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
    """Draw a liver off the middle, with one lesion, in a body in air."""
    grid = np.stack(np.meshgrid(*[(np.arange(n) + 0.5) * d for n, d in zip(shape, mm, strict=True)], indexing="ij"))
    size = np.array([n * d for n, d in zip(shape, mm, strict=True)])[:, None, None, None]

    def ball(centre: tuple[float, float, float], radius: float) -> NDArray[np.bool_]:
        at = np.array(centre)[:, None, None, None] * size
        return np.asarray((((grid - at) / (radius * size)) ** 2).sum(axis=0) <= 1)

    hu = np.full(shape, -1000, np.int16)
    labels = np.zeros(shape, np.uint8)
    hu[ball((0.5, 0.5, 0.5), 0.49)] = BODY
    for where, value, label in (
        (ball((0.42, 0.55, 0.4), 0.25), LIVER, 1),
        (ball((0.36, 0.6, 0.36), 0.11), LESION, 2),
    ):
        hu[where], labels[where] = value, label
    return hu, labels


def _quiet(step: str, done: int, total: int) -> None:
    """Nobody listens."""


def _run(hu: NDArray[np.int16], matrix: NDArray[np.float64], rules: Rules | None = None) -> Segmentation:
    return MANIFEST.segmenter()(hu, matrix, rules or Rules(), _quiet)


def _dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


def _off_mm(one: NDArray[np.bool_], other: NDArray[np.bool_], spacing: tuple[float, float, float]) -> float:
    apart = np.argwhere(one).mean(axis=0) - np.argwhere(other).mean(axis=0)
    return float(np.linalg.norm(apart * spacing))


@pytest.mark.verifies("SRS-060", "SRS-062", level="integration", technique="phantom")
@pytest.mark.parametrize(("order", "signs"), [ALL[0], ALL[13], ALL[22], ALL[31], ALL[47]])
def test_what_is_drawn_is_found_in_its_place(order: Order, signs: Signs) -> None:
    hu, truth = _phantom((64, 84, 76), SPACING_MM)
    found = _run(hu, affine(order, signs, SPACING_MM)).labels
    assert found.shape == hu.shape
    assert found.dtype == np.uint8
    assert _dice(found > 0, truth > 0) > 0.95
    assert _dice(found == 2, truth == 2) > 0.85
    assert _off_mm(found > 0, truth > 0, SPACING_MM) < 1.0
    assert _off_mm(found == 2, truth == 2, SPACING_MM) < 1.0


@pytest.mark.verifies("SRS-062", level="integration", technique="phantom")
def test_a_lesion_outside_of_the_liver_does_not_count() -> None:
    hu, truth = _phantom((64, 84, 76), SPACING_MM)
    rules = Rules()

    def all_lesion(network: str, batch: Float) -> Float:
        answer = rules(network, batch)
        return answer if network == "liver" else np.ones_like(answer)

    found = MANIFEST.segmenter()(hu, affine(*ALL[0], SPACING_MM), all_lesion, _quiet).labels
    assert _dice(found == 2, truth > 0) > 0.95
    assert not (found == 1).any()


@pytest.mark.verifies("SRS-062", level="integration", technique="example")
def test_without_a_liver_the_lesion_network_is_not_asked() -> None:
    hu, truth = _phantom((64, 84, 76), SPACING_MM)
    hu[truth > 0] = BODY
    rules = Rules()
    result = _run(hu, affine(*ALL[0], SPACING_MM), rules)
    assert not result.labels.any()
    assert rules.calls == ["liver"]
    assert result.facts == {"lesion_tiles": 0}


@pytest.mark.verifies("SRS-061", "SRS-062", level="integration", technique="bad-input")
@pytest.mark.parametrize("value", [-1024, -1000])
def test_in_air_no_network_is_asked(value: int) -> None:
    rules = Rules()
    result = _run(np.full((30, 60, 60), value, np.int16), affine(*ALL[0], (3.0, 2.0, 2.0)), rules)
    assert not result.labels.any()
    assert not rules.calls


@pytest.mark.verifies("SRS-062", level="integration", technique="boundary")
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 40, 40), (2, 3, 5), (40, 1, 40), (12, 12, 12)])
@pytest.mark.parametrize("value", [0, 120])
def test_volumes_too_small_for_anything_end_well(shape: tuple[int, int, int], value: int) -> None:
    labels = _run(np.full(shape, value, np.int16), affine(*ALL[0], (3.0, 1.0, 1.0))).labels
    assert labels.shape == shape


@pytest.mark.verifies("SRS-062", level="integration", technique="example")
def test_progress_is_told_from_the_beginning_of_each_step_to_its_end() -> None:
    hu, _ = _phantom((64, 84, 76), SPACING_MM)
    told: list[tuple[str, int, int]] = []
    result = MANIFEST.segmenter()(hu, affine(*ALL[0], SPACING_MM), Rules(), lambda *at: told.append(at))
    steps = list(dict.fromkeys(step for step, _, _ in told))
    assert steps == [
        "prepare_liver",
        "infer_liver",
        "outline_liver",
        "prepare_lesion",
        "infer_lesion",
        "outline_lesion",
    ]
    assert list(result.seconds) == steps
    assert all(seconds >= 0 for seconds in result.seconds.values())
    for step in steps:
        parts = [(done, total) for name, done, total in told if name == step]
        assert parts == [(done, parts[0][1]) for done in range(parts[0][1] + 1)]
    assert ("infer_lesion", 0, int(result.facts["lesion_tiles"])) in told


@pytest.mark.verifies("SRS-062", level="integration", technique="bad-input")
@pytest.mark.parametrize(
    ("volume", "matrix"),
    [
        (np.zeros((4, 4, 4), np.float32), np.eye(4)),
        (np.zeros((4, 4), np.int16), np.eye(4)),
        (np.zeros((0, 4, 4), np.int16), np.eye(4)),
        (np.zeros((4, 4, 4), np.int16), np.zeros((4, 4))),
    ],
)
def test_what_is_no_volume_is_refused(volume: NDArray[np.int16], matrix: NDArray[np.float64]) -> None:
    with pytest.raises(ValueError, match=r"int16|length"):
        _run(volume, matrix)


@pytest.mark.verifies("SRS-062", level="integration", technique="fault-injection")
def test_a_fault_of_the_engine_is_passed_on() -> None:
    hu, _ = _phantom((64, 84, 76), SPACING_MM)

    def broken(network: str, batch: Float) -> Float:
        raise RuntimeError(network)

    with pytest.raises(RuntimeError, match="liver"):
        MANIFEST.segmenter()(hu, affine(*ALL[0], SPACING_MM), broken, _quiet)
