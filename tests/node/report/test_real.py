"""Results of real CT: as valid as the synthetic ones, and small and quick enough to be used."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from numpy.typing import NDArray
from pydicom import Dataset, dcmread

from node.dicom.datasets import PseudonymousDataset
from node.dicom.findings import Reading
from node.dicom.geometry import Geometry
from node.dicom.uids import derive_uid
from node.dicom.volume import LabelMap, Volume
from node.measure.lesions import Measured, measure
from node.report.checker import check, check_files
from tests.node.report.synthetic import MODEL, Study, as_bytes, with_results

pytestmark = pytest.mark.data


def read_series(folder: Path) -> tuple[list[Path], list[Dataset]]:
    """Return files and images, sorted from the feet to the head."""
    found = [(path, dcmread(path)) for path in (folder / "ct").iterdir()]
    found.sort(key=lambda entry: float(entry[1].ImagePositionPatient[2]))
    return [path for path, _ in found], [image for _, image in found]


def grid_of(images: Sequence[Dataset]) -> Geometry:
    first, last = images[0], images[-1]
    start, end = (np.array(i.ImagePositionPatient, dtype=float) for i in (first, last))
    distance = float(np.linalg.norm(end - start))
    across, down = np.array(first.ImageOrientationPatient, dtype=float).reshape(2, 3).tolist()
    return Geometry(
        shape=(len(images), first.Rows, first.Columns),
        origin=tuple(start.tolist()),
        spacing=(distance / (len(images) - 1), *(float(v) for v in first.PixelSpacing)),
        axes=(tuple(((end - start) / distance).tolist()), tuple(down), tuple(across)),
    )


def expert_labels(folder: Path, grid: Geometry) -> NDArray[np.uint8]:
    """Return the expert's outlines on the sorted images: 1 liver and cysts, 2 tumours."""
    image = SimpleITK.ReadImage(str(folder / "labels.nii.gz"))
    steps = np.array(image.GetDirection()).reshape(3, 3)[:, ::-1]
    expert = SimpleITK.GetArrayFromImage(image)
    for axis in range(3):
        if np.dot(steps[:, axis], grid.axes[axis]) < 0:
            expert = np.flip(expert, axis)
    return np.where(expert == 2, 2, expert > 0).astype(np.uint8)


def drawn_labels(grid: Geometry) -> NDArray[np.uint8]:
    """Draw a liver with two lesions somewhere: these studies come without labels."""
    index = np.indices(grid.shape, dtype=np.float32)

    def ellipsoid(at: tuple[float, float, float], radii: tuple[float, float, float]) -> NDArray[np.bool_]:
        offsets = ((index[i] - at[i] * grid.shape[i]) * grid.spacing[i] / radii[i] for i in range(3))
        return np.asarray(sum(v**2 for v in offsets) <= 1.0)

    labels = ellipsoid((0.5, 0.5, 0.5), (50, 70, 60)).astype(np.uint8)
    labels[ellipsoid((0.5, 0.46, 0.54), (10, 15, 12)) | ellipsoid((0.55, 0.56, 0.44), (8, 9, 11))] = 2
    return labels


def measured(images: Sequence[Dataset], labels: NDArray[np.uint8]) -> Measured:
    grid = grid_of(images)
    hu = [i.pixel_array.astype(np.int32) * int(i.RescaleSlope) + int(i.RescaleIntercept) for i in images]
    return measure(Volume(np.array(hu, np.int16), grid, grid), LabelMap(labels, grid), derive_uid("test"), 0.1)


def as_study(headers: Sequence[Dataset], labels: NDArray[np.uint8], findings: Measured) -> Study:
    reading = Reading(
        reading_uid=derive_uid("test"),
        patient="",
        study_uid=headers[0].StudyInstanceUID,
        series_uid=headers[0].SeriesInstanceUID,
        sop_instance_uids=tuple(h.SOPInstanceUID for h in headers),
        acquired=None,
        model=MODEL,
        volume_key="",
        labels_key="",
        lesions_key="",
        headers_key="",
        liver=findings.organ,
        lesions=findings.lesions,
        notes=findings.notes,
        seconds={},
    )
    return Study(reading, labels > 0, findings.lesion_map, tuple(PseudonymousDataset(h) for h in headers))


def headers_of(images: Sequence[Dataset], *, pseudonymous: bool) -> list[Dataset]:
    """Return the headers, with a frame of reference if they have none, and under a pseudonym if asked for."""
    headers = []
    for image in images:
        header = copy.deepcopy(Dataset({k: v for k, v in image.items() if k.group < 0x7FE0}))
        if "FrameOfReferenceUID" not in header:
            header.FrameOfReferenceUID = derive_uid("test", header.SeriesInstanceUID, "frame")
        if pseudonymous:
            header.PatientName, header.PatientID = "PHANTOM^TEST", "PSEUDONYM-1"
            for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"):
                setattr(header, keyword, derive_uid("test", header[keyword].value))
        headers.append(header)
    return headers


@pytest.mark.verifies("SRS-101", "SRS-104", level="integration", technique="real-data")
@pytest.mark.filterwarnings("ignore:Invalid value for VR:UserWarning")
@pytest.mark.parametrize(
    ("name", "lesions"), [("ct-liver-ircadb01", 7), ("ct-liver-chaos3", 2), ("ct-abdomen-portal", 2)]
)
def test_results_of_real_ct_pass(study: Callable[[str], Path], tmp_path: Path, name: str, lesions: int) -> None:
    folder = study(name)
    paths, images = read_series(folder)
    grid = grid_of(images)
    labels = expert_labels(folder, grid) if (folder / "labels.nii.gz").exists() else drawn_labels(grid)

    findings = measured(images, labels)
    given = as_study(headers_of(images, pseudonymous=True), labels, findings)
    assert len(given.reading.lesions) == lesions
    check(*with_results(given), given.sources, reading=given.reading, liver=given.liver, lesions=given.lesions)

    # The same under the real identity, against the files as the scanner wrote them.
    given = as_study(headers_of(images, pseudonymous=False), labels, findings)
    results = with_results(given)
    for file, result in zip(("seg.dcm", "sr.dcm"), results, strict=True):
        (tmp_path / file).write_bytes(as_bytes(result))
    check_files(
        tmp_path / "seg.dcm",
        tmp_path / "sr.dcm",
        paths,
        reading=given.reading,
        liver=given.liver,
        lesions=given.lesions,
    )
