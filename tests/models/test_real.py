"""The converted networks on a real liver: as accurate as promised, and the same numbers as the original's layers.

3D-IRCADb, which this study is from, may be among the networks' training data: these bounds guard against regressions,
they say nothing of other patients.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import SimpleITK as sitk  # noqa: N813  the name that its own documentation uses
from numpy.typing import NDArray

from models.interface import Float, Segmentation
from models.manifest import load
from models.weights import trained_files, verify
from qms.plugin import Measure
from tests.conftest import StudyFinder
from tests.models import keras_reference

pytestmark = [pytest.mark.slow, pytest.mark.data, pytest.mark.weights, pytest.mark.timeout(1800)]

CORES = 2


@dataclass
class Recorder:
    """Runs the networks in ONNX Runtime on two cores and keeps what they saw and said."""

    networks: dict[str, bytes]
    seen: dict[str, list[tuple[Float, Float]]] = field(default_factory=lambda: {"liver": [], "lesion": []})

    def __post_init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.enable_cpu_mem_arena = False
        options.intra_op_num_threads = CORES
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._sessions = {
            name: onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
            for name, data in self.networks.items()
        }

    def __call__(self, network: str, batch: Float) -> Float:
        answer: Float = self._sessions[network].run(None, {"image": batch})[0]
        self.seen[network].append((batch, answer))
        return answer


@dataclass(frozen=True, eq=False)
class Case:
    """The labelled liver, segmented once for all tests."""

    truth: NDArray[np.uint8]
    voxel_ml: float
    result: Segmentation
    recorder: Recorder


@pytest.fixture(scope="module")
def case(study: StudyFinder, weights_dir: Path) -> Case:
    folder = study("ct-liver-ircadb01")
    image = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder / "ct")))
    truth = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "labels.nii.gz"))).astype(np.uint8)
    affine = np.eye(4)
    # ITK counts columns, rows, slices; the model slices, rows, columns.
    affine[:3, :3] = (np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing())[:, ::-1]
    affine[:3, 3] = image.GetOrigin()
    manifest = load("ct_liver_lesions")
    recorder = Recorder(verify(weights_dir, manifest))
    hu = sitk.GetArrayFromImage(image).astype(np.int16)
    result = manifest.segmenter()(hu, affine, recorder, lambda *_: None)
    return Case(truth, float(np.prod(image.GetSpacing())) / 1000, result, recorder)


def _dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


@pytest.mark.verifies("SRS-065", level="integration", technique="real-data")
def test_the_liver_is_drawn_as_promised(case: Case, measured: Measure) -> None:
    drawn, true = case.result.labels > 0, case.truth > 0
    measured("liver-dice-ircadb01", _dice(drawn, true), "1")
    measured("liver-volume-ircadb01", drawn.sum() * case.voxel_ml, "ml")
    measured("liver-volume-error-ircadb01", 100 * (drawn.sum() / true.sum() - 1), "%")
    assert _dice(drawn, true) >= 0.965
    assert drawn.sum() * case.voxel_ml == pytest.approx(true.sum() * case.voxel_ml, rel=0.02)


@pytest.mark.verifies("SRS-065", level="integration", technique="real-data")
def test_its_lesions_are_drawn_as_promised(case: Case, measured: Measure) -> None:
    drawn, true = case.result.labels == 2, case.truth == 2
    measured("lesion-dice-ircadb01", _dice(drawn, true), "1")
    measured("lesion-volume-ircadb01", drawn.sum() * case.voxel_ml, "ml")
    measured("true-lesion-volume-ircadb01", true.sum() * case.voxel_ml, "ml")
    assert _dice(drawn, true) >= 0.87
    assert drawn.sum() * case.voxel_ml == pytest.approx(92.8, rel=0.02)


def _where_lesions_are(case: Case) -> tuple[Float, Float]:
    return max(case.recorder.seen["lesion"], key=lambda seen: float((seen[1] > 0.5).sum()))


@pytest.mark.verifies("SRS-064", level="integration", technique="oracle")
@pytest.mark.parametrize("network", ["liver", "lesion"])
def test_probabilities_are_those_of_the_original(case: Case, network: str) -> None:
    batch, answer = case.recorder.seen["liver"][0] if network == "liver" else _where_lesions_are(case)
    assert (answer > 0.5).sum() > 1000
    reference = keras_reference.run(network, trained_files(load("ct_liver_lesions"))[network], batch[0, 0])
    assert np.abs(answer[0, 0] - reference).max() < 1e-3
