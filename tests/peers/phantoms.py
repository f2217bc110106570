"""Small synthetic objects to send: they say PHANTOM, and belong to nobody."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from node.dicom.uids import derive_uid


def slice_of(study: str, number: int, rows: int = 64) -> Dataset:
    """Return one CT slice of a phantom, different for each number."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = derive_uid("test phantom", study, str(number))
    dataset.StudyInstanceUID = derive_uid("test phantom", study)
    dataset.SeriesInstanceUID = derive_uid("test phantom", study, "series")
    dataset.PatientName = "PHANTOM^TEST"
    dataset.PatientID = "PHANTOM"
    dataset.Modality = "CT"
    dataset.InstanceNumber = number
    dataset.Rows = dataset.Columns = rows
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit = 15
    dataset.PixelRepresentation = 1
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    pixels = np.random.default_rng(number).integers(-1000, 1000, (rows, rows), dtype=np.int16)
    dataset.PixelData = pixels.tobytes()
    return dataset


def write_slices(folder: Path, study: str, count: int, rows: int = 64) -> list[Path]:
    """Write slices as DICOM files and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(count):
        path = folder / f"{number:04d}.dcm"
        slice_of(study, number, rows).save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def encoded(path: Path) -> bytes:
    """Return the encoded data set of a well-formed DICOM file, found by its group length (PS3.10 7.1)."""
    data = path.read_bytes()
    return data[144 + int.from_bytes(data[140:144], "little") :]
