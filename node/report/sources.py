"""The pseudonymous headers of the source images, made fit for highdicom, which asks for more than scanners write."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
from pydicom import DataElement, Dataset
from pydicom.config import RAISE
from pydicom.valuerep import DA, TM, validate_value

from node.dicom.datasets import PseudonymousDataset
from node.dicom.geometry import Geometry
from node.dicom.reasons import Reason, Refused

_TYPE_2 = (
    "AccessionNumber",
    "PatientBirthDate",
    "PatientID",
    "PatientName",
    "PatientSex",
    "ReferringPhysicianName",
    "StudyDate",
    "StudyID",
    "StudyTime",
)
_STUDY_TYPE_3 = (
    "AdmittingDiagnosesDescription",
    "NameOfPhysiciansReadingStudy",
    "PhysiciansOfRecord",
    "StudyDescription",
)
_PATIENT_GROUP = 0x0010
_REQUIRED = (
    "Columns",
    "FrameOfReferenceUID",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "Modality",
    "PixelSpacing",
    "Rows",
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "StudyInstanceUID",
)
# A millimetre tenth: what rounding in DS values and an averaged slice distance may cost, far below a pixel.
_GRID_TOLERANCE_MM = 0.1


def fit_headers(sources: Sequence[PseudonymousDataset]) -> list[Dataset]:
    """Return headers that highdicom's constructors accept, in the same order. The given ones stay as they are.

    Parameters
    ----------
    sources
        Headers of one series, sorted by slice.

    Raises
    ------
    Refused
        `Reason.BAD_ATTRIBUTE` if an image says nothing about what a result must refer to; `Reason.MIXED_FRAMES` if the
        images are not of one series in one frame of reference.

    Notes
    -----
    Attributes of type 2 that are missing become empty (PS3.5 7.4.3). A result inherits what is said of patient and
    study; what is not valid there (a birth date of ``19600000``) it leaves empty instead of repeating it.
    """
    if not sources:
        msg = "a result needs at least one source image"
        raise ValueError(msg)
    fitted = [_fit(source.dataset) for source in sources]
    if len({(h.StudyInstanceUID, h.SeriesInstanceUID, h.FrameOfReferenceUID) for h in fitted}) > 1:
        raise Refused(Reason.MIXED_FRAMES, "the source images are not of one series in one frame of reference")
    return fitted


def _fit(header: Dataset) -> Dataset:
    for keyword in _REQUIRED:
        if header.get(keyword) in (None, ""):
            raise Refused(Reason.BAD_ATTRIBUTE, f"a source image has no {keyword}")
    fitted = copy.deepcopy(header)
    inherited = [e for e in fitted if e.tag.group == _PATIENT_GROUP or e.keyword in (*_TYPE_2, *_STUDY_TYPE_3)]
    for element in inherited:
        if not _is_valid(element):
            del fitted[element.tag]
    for keyword in _TYPE_2:
        if keyword not in fitted:
            setattr(fitted, keyword, None)
    return fitted


def _is_valid(element: DataElement) -> bool:
    """Tell whether a value obeys its value representation (PS3.5 6.2) and its enumeration."""
    if element.keyword == "PatientSex":
        return element.value in (None, "", "M", "F", "O")
    values = element.value if element.VM > 1 else [element.value]
    try:
        for value in values:
            if element.VR == "DA":
                DA(value or None)
            elif element.VR == "TM":
                TM(value or None)
            elif element.VR != "SQ":
                validate_value(element.VR, value, RAISE)
    except ValueError:
        return False
    return True


def check_grid(headers: Sequence[Dataset], geometry: Geometry) -> None:
    """Make sure that the headers are the slices of this grid, in its order.

    Parameters
    ----------
    headers
        Headers sorted by slice.
    geometry
        The grid of the label map.

    Raises
    ------
    Refused
        `Reason.CHECK_FAILED` if number, size, position, spacing or orientation differ.
    """
    slices, rows, columns = geometry.shape
    if len(headers) != slices or any((h.Rows, h.Columns) != (rows, columns) for h in headers):
        raise Refused(Reason.CHECK_FAILED, "the label map and the source images differ in size")
    corners = np.array([(0, 0, 0), (0, rows - 1, 0), (0, 0, columns - 1)], dtype=float)
    for k, header in enumerate(headers):
        position = np.array(header.ImagePositionPatient, dtype=float)
        along_row, along_column = np.array(header.ImageOrientationPatient, dtype=float).reshape(2, 3)
        between_rows, between_columns = (float(v) for v in header.PixelSpacing)
        stated = [
            position,
            position + along_column * between_rows * (rows - 1),
            position + along_row * between_columns * (columns - 1),
        ]
        off = np.abs(np.array(stated) - geometry.to_patient(corners + np.array([k, 0, 0]))).max()
        if off > _GRID_TOLERANCE_MM:
            raise Refused(Reason.CHECK_FAILED, f"the label map lies {off:.2f} mm off source image {k + 1}")
