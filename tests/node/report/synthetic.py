"""A small synthetic CT study with a liver, three lesions and their reading: PHANTOM, no patient."""

from __future__ import annotations

import copy
import io
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from pydicom import DataElement, Dataset
from pydicom.config import IGNORE
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.uid import CTImageStorage

from node.dicom.datasets import PseudonymousDataset
from node.dicom.findings import Diameter, Lesion, ModelIdentity, Organ, Reading
from node.dicom.geometry import Geometry
from node.dicom.reasons import Note, Reason
from node.dicom.uids import derive_uid
from node.dicom.volume import LabelMap
from node.report.equipment import Equipment
from node.report.segmentation import make_seg
from node.report.structured import make_sr

MADE_AT = datetime(2026, 11, 24, 9, 30, 15, 123456)
EQUIPMENT = Equipment("Overread project", "Overread", "0.1.0", "TEST-1")
SHAPE = (24, 63, 65)  # rows x columns is no multiple of 8: frames share bytes in a BINARY SEG
SPACING = (2.5, 0.8, 0.7)
MODEL = ModelIdentity(
    name="phantom reader",
    version="1.0",
    manufacturer="test",
    weights_sha256={"liver": "0" * 64, "lesion": "f" * 64},
    parameters={"threshold": "0.5", "smallest lesion": "0.1 ml"},
)


@dataclass(frozen=True, eq=False)
class Study:
    """A study with its result."""

    reading: Reading
    liver: NDArray[np.bool_]
    lesions: LabelMap
    sources: tuple[PseudonymousDataset, ...]


def axes(oblique: bool = False) -> tuple[tuple[float, float, float], ...]:
    """Axial axes, or axes turned by 20 and 10 degrees."""
    if not oblique:
        return (0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0)
    a, b = np.radians(20), np.radians(10)
    turn = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]]) @ np.array(
        [[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]]
    )
    columns = turn[:, 0], turn[:, 1], turn[:, 2]
    across, down, normal = (tuple(float(v) for v in axis) for axis in columns)
    return normal, down, across


def geometry(oblique: bool = False, descending: bool = False) -> Geometry:
    normal, down, across = axes(oblique)
    if descending:
        normal = tuple(-v for v in normal)
    return Geometry(shape=SHAPE, origin=(-20.0, -30.0, 100.0), spacing=SPACING, axes=(normal, down, across))


def headers(grid: Geometry) -> tuple[PseudonymousDataset, ...]:
    return tuple(PseudonymousDataset(_header(grid, k)) for k in range(grid.shape[0]))


def _header(grid: Geometry, k: int) -> Dataset:
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.SOPClassUID = CTImageStorage
    ds.SOPInstanceUID = derive_uid("phantom", "image", str(k))
    ds.StudyDate, ds.StudyTime = "20200203", "101112"
    ds.AccessionNumber = "PHANTOM"
    ds.Modality = "CT"
    ds.Manufacturer = "PHANTOM"
    ds.ReferringPhysicianName = ""
    ds.PatientName, ds.PatientID = "PHANTOM^TEST", "PHANTOM-1"
    ds.PatientBirthDate, ds.PatientSex = "", "O"
    ds.SliceThickness = "5"
    ds.KVP = "120"
    ds.StudyInstanceUID = derive_uid("phantom", "study")
    ds.SeriesInstanceUID = derive_uid("phantom", "series")
    ds.FrameOfReferenceUID = derive_uid("phantom", "frame")
    ds.PositionReferenceIndicator = ""
    ds.StudyID, ds.SeriesNumber, ds.InstanceNumber, ds.AcquisitionNumber = "1", "2", str(k + 1), "1"
    ds.ImagePositionPatient = [round(float(v), 6) for v in grid.to_patient((float(k), 0.0, 0.0))]
    ds.ImageOrientationPatient = [round(float(v), 8) for v in (*grid.axes[2], *grid.axes[1])]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = grid.shape[1:]
    ds.PixelSpacing = list(grid.spacing[1:])
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
    ds.RescaleIntercept, ds.RescaleSlope = "0", "1"
    return ds


def _ellipsoid(centre: tuple[float, float, float], radii_mm: tuple[float, float, float]) -> NDArray[np.bool_]:
    grid = np.indices(SHAPE).astype(float)
    scaled = [(grid[i] - centre[i]) * SPACING[i] / radii_mm[i] for i in range(3)]
    inside: NDArray[np.bool_] = sum(v**2 for v in scaled) <= 1.0
    return inside


def _lesion(number: int, mask: NDArray[np.bool_]) -> Lesion:
    """Measure plainly: the row and the column through the middle of the largest slice."""
    k = int(mask.sum(axis=(1, 2)).argmax())
    row = int(mask[k].sum(axis=1).argmax())
    across = np.flatnonzero(mask[k, row])
    column = int(across[len(across) // 2])
    down = np.flatnonzero(mask[k, :, column])
    long = Diameter(
        length_mm=float((across[-1] - across[0] + 1) * SPACING[2]),
        start=(k, row, across[0] - 0.5),
        end=(k, row, across[-1] + 0.5),
    )
    short = Diameter(
        length_mm=float((down[-1] - down[0] + 1) * SPACING[1]),
        start=(k, down[0] - 0.5, column),
        end=(k, down[-1] + 0.5, column),
    )
    centroid = tuple(float(v) for v in np.argwhere(mask).mean(axis=0))
    return Lesion(
        number=number,
        tracking_id=f"L{number:02d}",
        tracking_uid=derive_uid("phantom", "lesion", str(number)),
        volume_ml=float(mask.sum() * np.prod(SPACING) / 1000),
        long_axis=long,
        short_axis=short,
        hu_mean=40.0 + number + 0.123,
        hu_sd=12.5,
        centroid=centroid,
    )


def study(*, lesions: int = 3, oblique: bool = False, descending: bool = False) -> Study:
    """Draw the study. The second lesion has a hole, the third is one voxel."""
    grid = geometry(oblique, descending)
    liver = _ellipsoid((11.0, 30.0, 32.0), (22.0, 20.0, 19.0))
    masks = [_ellipsoid((10.0, 25.0, 26.0), (7.0, 5.0, 6.0)), _ellipsoid((14.0, 36.0, 40.0), (6.0, 4.0, 5.0))]
    masks[1] &= ~_ellipsoid((14.0, 36.0, 40.0), (2.0, 1.0, 1.6))
    speck = np.zeros(SHAPE, bool)
    speck[12, 20, 40] = True
    masks.append(speck)
    labels = np.zeros(SHAPE, np.uint16)
    for number, mask in enumerate(masks[:lesions], start=1):
        labels[mask] = number
    sources = headers(grid)
    organ = Organ(
        volume_ml=float(liver.sum() * np.prod(SPACING) / 1000),
        hu_mean=101.5,
        hu_sd=11.25,
        burden_percent=float(100 * (labels > 0).sum() / liver.sum()),
        tracking_uid=derive_uid("phantom", "liver"),
    )
    reading = Reading(
        reading_uid=derive_uid("phantom", "reading"),
        patient="PHANTOM-1",
        study_uid=sources[0].dataset.StudyInstanceUID,
        series_uid=sources[0].dataset.SeriesInstanceUID,
        sop_instance_uids=tuple(s.dataset.SOPInstanceUID for s in sources),
        acquired=None,
        model=MODEL,
        volume_key="",
        labels_key="",
        lesions_key="",
        headers_key="",
        liver=organ,
        lesions=tuple(_lesion(n, labels == n) for n in range(1, lesions + 1)),
        notes=(Note(reason=Reason.PHASE_UNKNOWN, text="The contrast phase could not be told – HU 101 ± 11."),),
        seconds={},
    )
    return Study(reading, liver, LabelMap(labels, grid), sources)


def with_results(given: Study) -> tuple[PseudonymousDataset, PseudonymousDataset]:
    """Return SEG and SR of the study."""
    seg = make_seg(given.reading, given.liver, given.lesions, given.sources, equipment=EQUIPMENT, made_at=MADE_AT)
    sr = make_sr(
        given.reading,
        seg,
        given.sources,
        liver=given.liver,
        lesions=given.lesions,
        equipment=EQUIPMENT,
        made_at=MADE_AT,
    )
    return seg, sr


def as_bytes(result: PseudonymousDataset) -> bytes:
    """Return the file that a result is written as."""
    buffer = io.BytesIO()
    result.dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def with_header(given: Study, k: int | None = None, **changes: object) -> Study:
    """Return the study with attributes of one header (or of all) set, valid or not; deleted where the value is None."""
    new = []
    for i, source in enumerate(given.sources):
        ds = copy.deepcopy(source.dataset)
        for keyword, value in changes.items() if k in (None, i) else ():
            tag = tag_for_keyword(keyword)
            if value is None:
                ds.pop(tag, None)
            else:
                ds[tag] = DataElement(tag, dictionary_VR(tag), value, validation_mode=IGNORE)
        new.append(PseudonymousDataset(ds))
    return replace(given, sources=tuple(new))
