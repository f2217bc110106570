"""The CT images of a study as the PACS holds them, for the pictures of the page."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.pixels.processing import apply_rescale

_SHOWN = 4  # characters of a PatientID that a page may show
_HIDDEN_AT_LEAST = 4
_TAGS = [
    *("SOPInstanceUID", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "InstanceNumber"),
    *("StudyDate", "StudyDescription", "SeriesInstanceUID", "SeriesDescription", "PatientID", "Modality"),
]


@dataclass(frozen=True)
class Plane:
    """Where one image lies in the patient (PS3.3 C.7.6.2): LPS mm.

    Attributes
    ----------
    origin
        Centre of the first pixel.
    along_row, along_column
        Unit vectors along which the column and the row index increase.
    between_rows, between_columns
        Distances of the pixels' centres in mm.
    """

    origin: NDArray[np.float64]
    along_row: NDArray[np.float64]
    along_column: NDArray[np.float64]
    between_rows: float
    between_columns: float

    @classmethod
    def of(cls, header: Dataset) -> Plane:
        """Read the plane of an image."""
        row, column = np.array(header.ImageOrientationPatient, dtype=float).reshape(2, 3)
        between_rows, between_columns = (float(v) for v in header.PixelSpacing)
        return cls(np.array(header.ImagePositionPatient, dtype=float), row, column, between_rows, between_columns)

    @property
    def normal(self) -> NDArray[np.float64]:
        """Unit vector out of the plane."""
        return np.cross(self.along_row, self.along_column)

    def position(self, row: float, column: float) -> NDArray[np.float64]:
        """Return the LPS position of a pixel in mm."""
        down, right = self.along_column * self.between_rows, self.along_row * self.between_columns
        return np.asarray(self.origin + down * row + right * column)


class ImageSeries:
    """The images of one series, sorted along their normal.

    Parameters
    ----------
    headers
        Header and file of each image, one series.
    """

    def __init__(self, headers: Sequence[tuple[Dataset, Path]]) -> None:
        planes = {str(header.SOPInstanceUID): Plane.of(header) for header, _ in headers}
        normal = next(iter(planes.values())).normal
        ordered = sorted(headers, key=lambda item: float(planes[str(item[0].SOPInstanceUID)].origin @ normal))
        self._files = {str(header.SOPInstanceUID): path for header, path in ordered}
        self._numbers = {str(header.SOPInstanceUID): _text(header, "InstanceNumber") for header, _ in ordered}
        self._planes = planes
        self._first = ordered[0][0]

    @property
    def uids(self) -> tuple[str, ...]:
        """SOP Instance UIDs in the order of the slices."""
        return tuple(self._files)

    @property
    def study_date(self) -> str:
        """Study Date, ``YYYY-MM-DD``, or ""."""
        date = _text(self._first, "StudyDate")
        return f"{date[:4]}-{date[4:6]}-{date[6:8]}" if len(date) == 8 and date.isdigit() else ""

    @property
    def description(self) -> str:
        """Series Description, else Study Description, else ""."""
        return _text(self._first, "SeriesDescription") or _text(self._first, "StudyDescription")

    @property
    def masked_patient_id(self) -> str:
        """The last characters of the PatientID, enough to tell two printed pages apart; "" if there is none."""
        patient_id = _text(self._first, "PatientID")
        shown = patient_id[-_SHOWN:] if len(patient_id) >= _SHOWN + _HIDDEN_AT_LEAST else ""
        return f"••••{shown}" if patient_id else ""

    def number(self, uid: str) -> str:
        """Return the Instance Number of an image, or its place in the series if it has none."""
        return self._numbers[uid] or str(self.uids.index(uid) + 1)

    def plane(self, uid: str) -> Plane:
        """Return where an image lies."""
        return self._planes[uid]

    def pixels(self, uid: str) -> NDArray[np.float64]:
        """Return an image's values, rescaled as its header says: Hounsfield units, unless the header is wrong."""
        dataset = dcmread(self._files[uid])
        return np.asarray(apply_rescale(dataset.pixel_array, dataset), dtype=float)


def read_series(files: Iterable[Path], images: Collection[str]) -> ImageSeries:
    """Find the images that results were made from.

    Parameters
    ----------
    files
        DICOM files of the study.
    images
        Their SOP Instance UIDs.

    Raises
    ------
    LookupError
        If one of them is not among the files.
    """
    wanted = set(images)
    headers = [(dcmread(path, stop_before_pixels=True, specific_tags=_TAGS), path) for path in files]
    found = [(header, path) for header, path in headers if str(header.get("SOPInstanceUID")) in wanted]
    if len(found) < len(wanted) or not found:
        raise LookupError(f"{len(wanted) - len(found)} of the images that the results refer to are not there")
    return ImageSeries(found)


def _text(header: Dataset, keyword: str) -> str:
    value = header.get(keyword)
    return "" if value is None else str(value).strip()
