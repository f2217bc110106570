"""Synthetic CT for the tests of gather: PHANTOM, no patient. A trunk coarse enough to write and read in a moment."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, FileMetaDataset
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from node.dicom.datasets import RealDataset
from node.dicom.uids import derive_uid

PIXEL_MM = 3.0
SLICE_MM = 5.0
SIZE = 128
SLICES = 44
AXIAL = [1, 0, 0, 0, 1, 0]

Change = Callable[[Dataset, int], None]
Triple = tuple[float, float, float]


@cache
def trunk(*, liver: int = 112, aorta: int = 165, oral_contrast: bool = False) -> NDArray[np.int16]:
    """Return HU ``(z, y, x)``: feet to head, front to back, right to left of a PHANTOM trunk that says nothing of
    performance: fat, muscle, spine with arches, aorta, a liver on the right, a spleen, lungs at the head end.
    """
    z = (np.arange(SLICES, dtype=np.float32) * SLICE_MM)[:, None, None]
    y = ((np.arange(SIZE, dtype=np.float32) - SIZE / 2 + 0.5) * PIXEL_MM)[None, :, None]
    x = ((np.arange(SIZE, dtype=np.float32) - SIZE / 2 + 0.5) * PIXEL_MM)[None, None, :]
    hu = np.full((SLICES, SIZE, SIZE), -1000, dtype=np.float32)

    def paint(where: NDArray[np.bool_], value: float) -> None:
        hu[np.broadcast_to(where, hu.shape)] = value

    def ellipse(cx: float, cy: float, rx: float, ry: float) -> NDArray[np.bool_]:
        return ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 <= 1

    def ellipsoid(centre: Triple, radius: Triple) -> NDArray[np.bool_]:
        terms = zip((x, y, z), centre, radius, strict=True)
        return sum(((axis - place) / size) ** 2 for axis, place, size in terms) <= 1

    paint(ellipse(0, 0, 160, 112), -100)
    paint(ellipse(0, 0, 146, 98), 55)
    paint(ellipse(0, -8, 132, 82), -100)
    head = float(z.max())
    for side in (-1, 1):
        paint(ellipsoid((side * 68, -5, head), (55, 70, 60)), -850)
    paint(ellipsoid((-62, -10, head - 95), (68, 66, 80)), liver)
    paint(ellipsoid((85, 20, head - 75), (28, 34, 40)), liver + 5)
    paint(ellipse(14, 12, 12, 12), aorta)
    paint(ellipse(0, 50, 22, 20), 500)
    paint(ellipse(0, 50, 18, 16), 190)
    paint((np.abs(x) < 12) & (y > 62) & (y < 76), 450)
    paint((np.abs(x) < 8) & (y > 64) & (y < 73), 20)
    paint((np.abs(x) < 4) & (y > 76) & (y < 98), 450)
    paint((np.abs(x) < 40) & (np.abs(y - 66) < 3) & (np.abs(x) > 12), 400)
    if oral_contrast:
        for cx, cz in ((-40, 40), (10, 30), (60, 60), (25, 90), (75, 110)):
            paint(ellipsoid((cx, -50, cz), (22, 20, 25)), 420)
    noise = np.random.default_rng(7).normal(0, 12, hu.shape)
    return np.rint(hu + noise).astype(np.int16)


def dataset(number: int, *, series: str = "axial", study: str = "study", size: int = SIZE) -> Dataset:
    """Return the header of slice `number` of a PHANTOM series; the first one lies at z = 0."""
    ds = Dataset()
    ds.SOPClassUID = CTImageStorage
    ds.SOPInstanceUID = derive_uid("gather phantom", study, series, str(number))
    ds.StudyDate = "20000101"
    ds.Modality = "CT"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.Manufacturer = "PHANTOM"
    ds.PatientName = "PHANTOM^TEST"
    ds.PatientID = "PHANTOM"
    ds.PatientBirthDate = ""
    ds.SliceThickness = SLICE_MM
    ds.StudyInstanceUID = derive_uid("gather phantom", study)
    ds.SeriesInstanceUID = derive_uid("gather phantom", study, series)
    ds.FrameOfReferenceUID = derive_uid("gather phantom", study, "frame")
    ds.InstanceNumber = number + 1
    ds.AcquisitionNumber = 1
    ds.ImagePositionPatient = [-SIZE / 2 * PIXEL_MM, -SIZE / 2 * PIXEL_MM, number * SLICE_MM]
    ds.ImageOrientationPatient = AXIAL
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows = ds.Columns = size
    ds.PixelSpacing = [PIXEL_MM, PIXEL_MM]
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit = 15
    ds.PixelRepresentation = 1
    ds.RescaleIntercept = 0
    ds.RescaleSlope = 1
    return ds


def with_meta(ds: Dataset, transfer_syntax: str = ExplicitVRLittleEndian) -> Dataset:
    """Give a data set the file meta information that a received file has."""
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = transfer_syntax
    ds.file_meta.MediaStorageSOPClassUID = ds.get("SOPClassUID") or CTImageStorage
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID or derive_uid("gather phantom", "blank")
    return ds


def headers(count: int = SLICES, change: Change | None = None, **kwargs: str) -> list[RealDataset]:
    """Return headers of a PHANTOM series that was never written: for what is decided by headers alone."""
    result = []
    for number in range(count):
        ds = dataset(number, **kwargs)
        if change:
            change(ds, number)
        name = f"{kwargs.get('series', 'axial')}-{number:05}.dcm"
        result.append(RealDataset(ds, Path(name)))
    return result


def write(folder: Path, hu: NDArray[np.int16], change: Change | None = None, **kwargs: str) -> list[Path]:
    """Write a volume as a PHANTOM series, one file a slice, and return the paths in the order of the slices."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, pixels in enumerate(hu):
        ds = dataset(number, **kwargs)
        ds.PixelData = np.ascontiguousarray(pixels).astype("<i2").tobytes()
        ds.Rows, ds.Columns = pixels.shape
        if change:
            change(ds, number)
        path = folder / f"{kwargs.get('series', 'axial')}-{number:03}.dcm"
        with_meta(ds).save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def set_raw(ds: Dataset, keyword: str, vr: str, value: bytes) -> None:
    """Put bytes into an element as a careless writer would."""
    ds[Tag(keyword)] = RawDataElement(Tag(keyword), vr, len(value), value, 0, False, True)


def reasons(notes: Iterable[object]) -> list[str]:
    """Return the codes of notes, sorted."""
    return sorted(note.reason.value for note in notes)  # type: ignore[attr-defined]


def shuffled(items: Sequence[RealDataset], seed: int) -> list[RealDataset]:
    """Return the items in another order."""
    order = np.random.default_rng(seed).permutation(len(items))
    return [items[index] for index in order]
