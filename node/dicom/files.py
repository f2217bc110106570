"""Data sets to bytes and back: single DICOM files, and many headers as one artefact."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable

from pydicom import Dataset, FileDataset, dcmread, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

_LENGTH = struct.Struct("<Q")


def to_file(dataset: Dataset) -> bytes:
    """Return a data set as a DICOM file (PS3.10), the same bytes for the same data set.

    Parameters
    ----------
    dataset
        With its own file meta information, or none: then Explicit VR Little Endian is taken.
    """
    buffer = io.BytesIO()
    meta = getattr(dataset, "file_meta", None)
    if meta and "TransferSyntaxUID" in meta:
        dcmwrite(buffer, dataset, enforce_file_format=True)
    else:
        bare = FileDataset(buffer, dataset, file_meta=FileMetaDataset())
        bare.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dcmwrite(buffer, bare, enforce_file_format=True)
    return buffer.getvalue()


def from_file(data: bytes) -> FileDataset:
    """Read what `to_file` wrote.

    Raises
    ------
    pydicom.errors.InvalidDicomError
        If these bytes are no DICOM file.
    """
    return dcmread(io.BytesIO(data))


def pack(datasets: Iterable[Dataset]) -> bytes:
    """Return many data sets (headers, no pixels) as one run of length-prefixed ones, in Explicit VR Little Endian."""
    buffer = io.BytesIO()
    for dataset in datasets:
        part = io.BytesIO()
        bare = Dataset(dataset)
        dcmwrite(part, bare, implicit_vr=False, little_endian=True)
        buffer.write(_LENGTH.pack(part.tell()))
        buffer.write(part.getvalue())
    return buffer.getvalue()


def unpack(data: bytes) -> list[Dataset]:
    """Read what `pack` wrote."""
    datasets: list[Dataset] = []
    offset = 0
    while offset < len(data):
        (length,) = _LENGTH.unpack_from(data, offset)
        offset += _LENGTH.size
        part = io.BytesIO(data[offset : offset + length])
        datasets.append(Dataset(dcmread(part, force=True)))
        offset += length
    return datasets
