"""The phantom as a DICOM study that a PACS would hold, and that says in every place that it is one."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from pydicom import Dataset
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

from node.demo.phantom.draw import Settings, drawing, fingerprint
from node.demo.truth import Truth
from node.dicom.geometry import Geometry
from node.dicom.uids import derive_uid

PATIENT_NAME, PATIENT_ID = "PHANTOM^SIMULATED", "PHANTOM-1"
DAYS_BETWEEN_VISITS = 90
_FIRST_VISIT = date(2026, 1, 5)
_MANUFACTURER = "Overread (simulated)"
_WORD, _WORD_HU, _WORD_MM = "PHANTOM", 400, 14.0
_INTERCEPT = -1024


def write_study(visit: int, folder: Path, *, cache: Path, settings: Settings | None = None) -> Truth:
    """Write one visit of the phantom as a series of CT images.

    Parameters
    ----------
    visit
        0 or 1: the same patient, `DAYS_BETWEEN_VISITS` days apart.
    folder
        Where the files go; it is made if need be.
    cache
        Folder for what was drawn before.
    settings
        What it is drawn with; None: the usual phantom.

    Returns
    -------
    Truth
        What is in the images.

    Notes
    -----
    CT Image IOD, PS3.3 A.3. UIDs derive from the settings and the drawing code: the same phantom is the same study, and
    another one never has its UIDs. QualityControlImage (0028,0300) says that it is a phantom; BurnedInAnnotation is NO,
    because the word in its pixels names nobody (PS3.3 C.7.6.1.1).
    """
    settings = settings or Settings()
    drawn = drawing(visit, settings, cache)
    folder.mkdir(parents=True, exist_ok=True)
    geometry = drawn.volume.geometry
    word = _word(geometry)
    phantom = fingerprint(settings)
    for index, hu in enumerate(drawn.volume.hu):
        image = _image(visit, index, phantom, geometry)
        stored = np.where(word, np.int16(_WORD_HU), hu) - np.int16(_INTERCEPT)
        image.PixelData = stored.astype("<u2").tobytes()
        image["PixelData"].VR = "OW"
        image.save_as(folder / f"{index + 1:04d}.dcm", enforce_file_format=True)
    return drawn.truth


def _image(visit: int, index: int, phantom: str, geometry: Geometry) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = _uid(phantom, "image", str(visit), str(index))
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    image.SOPClassUID = meta.MediaStorageSOPClassUID
    image.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    _add_patient_and_study(image, visit, phantom)
    _add_series(image, visit, phantom)
    _add_plane(image, index, geometry)
    _add_pixel_description(image, geometry)
    return image


def _add_patient_and_study(image: Dataset, visit: int, phantom: str) -> None:
    day = (_FIRST_VISIT + timedelta(days=visit * DAYS_BETWEEN_VISITS)).strftime("%Y%m%d")
    image.PatientName = PATIENT_NAME
    image.PatientID = PATIENT_ID
    image.PatientBirthDate = ""
    image.PatientSex = ""
    image.PatientComments = "Simulated: no patient. Drawn by rule."
    image.StudyInstanceUID = _uid(phantom, "study", str(visit))
    image.StudyID = f"PHANTOM{visit + 1}"
    image.StudyDescription = "PHANTOM simulated CT abdomen"
    image.AccessionNumber = ""
    image.ReferringPhysicianName = ""
    for kind in ("Study", "Series", "Acquisition", "Content"):
        setattr(image, f"{kind}Date", day)
        setattr(image, f"{kind}Time", "120000")


def _add_series(image: Dataset, visit: int, phantom: str) -> None:
    image.Modality = "CT"
    image.SeriesInstanceUID = _uid(phantom, "series", str(visit))
    image.SeriesNumber = 1
    image.SeriesDescription = "PHANTOM simulated, portal venous"
    image.PatientPosition = "HFS"
    image.BodyPartExamined = "ABDOMEN"
    image.FrameOfReferenceUID = _uid(phantom, "frame", str(visit))
    image.PositionReferenceIndicator = ""
    image.Manufacturer = _MANUFACTURER
    image.ManufacturerModelName = "Procedural phantom"
    image.AcquisitionNumber = 1
    image.KVP = None


def _add_plane(image: Dataset, index: int, geometry: Geometry) -> None:
    slice_mm, row_mm, column_mm = geometry.spacing
    image.InstanceNumber = index + 1
    image.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    image.ImageComments = "PHANTOM: simulated image"
    image.QualityControlImage = "YES"
    image.BurnedInAnnotation = "NO"
    image.PixelSpacing = [row_mm, column_mm]
    image.SliceThickness = slice_mm
    image.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    x, y, z = geometry.to_patient((index, 0, 0))
    image.ImagePositionPatient = [round(float(x), 4), round(float(y), 4), round(float(z), 4)]
    image.SliceLocation = round(float(z), 4)


def _add_pixel_description(image: Dataset, geometry: Geometry) -> None:
    image.SamplesPerPixel = 1
    image.PhotometricInterpretation = "MONOCHROME2"
    image.Rows, image.Columns = geometry.shape[1:]
    image.BitsAllocated, image.BitsStored, image.HighBit = 16, 12, 11
    image.PixelRepresentation = 0
    image.RescaleIntercept, image.RescaleSlope, image.RescaleType = _INTERCEPT, 1, "HU"
    image.WindowCenter, image.WindowWidth = 60, 400


def _word(geometry: Geometry) -> NDArray[np.bool_]:
    """Return where the word PHANTOM is written on an image: top left, outside the body."""
    mm = geometry.spacing[1]
    canvas = Image.new("1", (geometry.shape[2], geometry.shape[1]))
    ImageDraw.Draw(canvas).text((8 / mm, 8 / mm), _WORD, fill=1, font=ImageFont.load_default(size=_WORD_MM / mm))
    return np.asarray(canvas)


def _uid(phantom: str, *parts: str) -> UID:
    return derive_uid("phantom", phantom, *parts)
