"""What a result must agree with: the source series, as its headers state it, and the reading with its outlines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from node.dicom.findings import Reading
from node.report.defects import Defect, require


@dataclass(frozen=True, eq=False)
class Series:
    """The source images, sorted by slice.

    Attributes
    ----------
    headers
        One header a slice, with the identity under which the results shall go out.
    uids
        SOP Instance UID of each slice.
    positions
        Array ``(slice, 3)``: Image Position (Patient) in mm.
    """

    headers: tuple[Dataset, ...]
    uids: tuple[str, ...]
    positions: NDArray[np.float64]

    @classmethod
    def of(cls, headers: Sequence[Dataset]) -> Series:
        """Read the headers, which are sorted by slice."""
        uids = tuple(str(h.get("SOPInstanceUID", "")) for h in headers)
        require(
            headers and len(set(uids)) == len(uids) and all(uids), Defect.UNREADABLE, "the source images have no UIDs"
        )
        positions = np.array([[float(v) for v in h.ImagePositionPatient] for h in headers])
        return cls(tuple(headers), uids, positions)

    @property
    def first(self) -> Dataset:
        """The header of the first slice."""
        return self.headers[0]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of slices, rows and columns."""
        return len(self.headers), int(self.first.Rows), int(self.first.Columns)

    @property
    def pixel_spacing(self) -> tuple[float, float]:
        """Distance in mm between rows and between columns."""
        rows, columns = self.first.PixelSpacing
        return float(rows), float(columns)


@dataclass(frozen=True, eq=False)
class Expected:
    """What a SEG and an SR must say.

    Attributes
    ----------
    reading
        The reading that they report.
    liver, lesions
        Arrays ``(slice, row, column)``: the liver with its lesions, and the lesions by number.
    series
        The source images.
    """

    reading: Reading
    liver: NDArray[np.bool_]
    lesions: NDArray[np.integer]
    series: Series


def same_values(one: object, other: object, tolerance: float) -> bool:
    """Tell whether two DICOM values, each a number or several, agree within a tolerance."""
    try:
        a, b = np.array(one, dtype=float), np.array(other, dtype=float)
    except (TypeError, ValueError):
        return False
    return a.shape == b.shape and bool(np.all(np.abs(a - b) <= tolerance))


def check_identity(result: Dataset, series: Series, what: str) -> None:
    """Check that a result is of the source's patient and study.

    Parameters
    ----------
    result
        A SEG or SR.
    series
        Its source.
    what
        "SEG" or "SR", for the refusal's text.
    """
    first = series.first
    for keyword in ("PatientID", "PatientName"):
        same = str(result.get(keyword) or "") == str(first.get(keyword) or "")
        require(same, Defect.WRONG_PATIENT, f"the {what}'s {keyword} is not the source's")
    require(
        result.get("StudyInstanceUID") == first.StudyInstanceUID, Defect.WRONG_STUDY, f"the {what} is of another study"
    )
    require(
        result.get("SeriesInstanceUID") not in (None, "", first.SeriesInstanceUID),
        Defect.WRONG_STUDY,
        f"the {what} has no series of its own",
    )
