"""Lesions of a label map that somebody else drew: `overread measure LABELS.nii.gz`."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813  the name that its own documentation uses
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from node.measure.components import find_components
from node.measure.diameters import axial_diameters
from node.measure.lesions import LESION, lesion_name

_LARGEST = 2**31 - 1  # floats beyond it, and NaN, are no labels
_MOST_NAMED = 10  # labels listed in an error message
# pixdim[1..3] by the header's length: NIfTI-1 has floats at byte 80, NIfTI-2 doubles at byte 112.
_PIXDIM = {348: ("3f", 80), 540: ("3d", 112)}


class LabelFileError(ValueError):
    """A file that cannot be measured. The text says why, for the person who gave it; it does not name the file."""


class FileLesion(BaseModel):
    """One lesion of a label map file.

    Attributes
    ----------
    id
        ``L01``, ``L02``, ...: by volume, largest first.
    volume_ml
        Volume in ml.
    long_axis_mm, short_axis_mm
        Longest axial diameter and the longest chord inside the lesion perpendicular to it, in mm.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    volume_ml: float
    long_axis_mm: float
    short_axis_mm: float


def measure_file(path: Path, label: int | None = None) -> list[FileLesion]:
    """Measure every lesion of a label map in a NIfTI file.

    Parameters
    ----------
    path
        A three-dimensional NIfTI-1 or NIfTI-2 label map (``.nii``, ``.nii.gz``), in any orientation: its axial slices
        are those nearest to the patient's axial plane. Floating-point labels must be whole numbers.
    label
        The value that marks a lesion. None: 2 if the file has it, else its only label, else 1.

    Returns
    -------
    list of FileLesion
        The 26-connected components of that label, largest first, however small.

    Raises
    ------
    LabelFileError
        If the file is no such label map, or has no voxel of the label.
    """
    values, spacing = _read(path)
    labels = sorted({int(value) for value in np.unique(values)} - {0})
    chosen = _choose(labels) if label is None else label
    if chosen not in labels:
        raise LabelFileError(f"No voxel has label {chosen}; the labels in this file: {_named(labels)}.")
    components, _ = find_components(values == chosen)
    voxel_ml = float(np.prod(spacing)) / 1000.0
    rows = []
    for component in components:
        long_axis, short_axis = axial_diameters(component.mask, spacing)
        rows.append(
            FileLesion(
                id=lesion_name(component.number),
                volume_ml=component.voxels * voxel_ml,
                long_axis_mm=long_axis.length_mm,
                short_axis_mm=short_axis.length_mm,
            )
        )
    return rows


def _read(path: Path) -> tuple[NDArray[np.integer], tuple[float, float, float]]:
    """Return labels as ``(slice, row, column)`` with axial slices, and the spacing in mm."""
    if not path.is_file():
        raise LabelFileError("It is no regular file." if path.exists() else "There is no such file.")
    reader = sitk.ImageFileReader()
    reader.SetImageIO("NiftiImageIO")
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        _check_complete(path, reader)
        _check_spacing(path)
        image = reader.Execute()
    except RuntimeError as error:
        detail = (
            "its axes are not at right angles" if "orthonormal" in str(error) else "it is not a readable NIfTI file"
        )
        raise LabelFileError(f"The label map cannot be read: {detail}.") from error
    if image.GetDimension() == 4 and image.GetSize()[3] == 1:
        image = image[:, :, :, 0]
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise LabelFileError(
            f"A label map has three dimensions and one value a voxel; this file has {image.GetDimension()} "
            f"dimensions and {image.GetNumberOfComponentsPerPixel()} value(s)."
        )
    if "complex" in image.GetPixelIDTypeAsString():
        raise LabelFileError("The file holds complex numbers: it is no label map.")
    image = sitk.DICOMOrient(image, "LPS")
    values = sitk.GetArrayFromImage(image)
    if (
        values.dtype.kind == "f"
        and np.all(np.abs(values) < _LARGEST)
        and np.allclose(values, np.rint(values), atol=0.01)
    ):
        values = np.rint(values).astype(np.int32)
    if values.dtype.kind not in "iu":
        raise LabelFileError("The file holds values that are not whole numbers: it is no label map.")
    labels: NDArray[np.integer] = values
    if labels.min() < 0:
        raise LabelFileError(f"The file holds negative values (to {labels.min()}): an image, not a label map?")
    column, row, slice_ = image.GetSpacing()
    return labels, (slice_, row, column)


def _check_spacing(path: Path) -> None:
    """Refuse a file without voxel sizes: the NIfTI reader itself takes 1 mm for them."""
    with path.open("rb") as raw:
        compressed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        with gzip.GzipFile(fileobj=raw) if compressed else raw as content:
            header = content.read(192)
    for order in "<>":
        (length,) = struct.unpack_from(f"{order}i", header)
        if length in _PIXDIM:
            sizes = struct.unpack_from(f"{order}{_PIXDIM[length][0]}", header, _PIXDIM[length][1])
            if not all(math.isfinite(size) and size != 0 for size in sizes):
                raise LabelFileError("The file does not say how large its voxels are.")


def _check_complete(path: Path, reader: sitk.ImageFileReader) -> None:
    """Refuse a file that ends early: the NIfTI reader itself would return zeros for what is missing."""
    sizes = [int(reader.GetMetaData(f"dim[{i}]")) for i in range(1, int(reader.GetMetaData("dim[0]")) + 1)]
    bits = int(reader.GetMetaData("bitpix")) * int(np.prod(sizes, dtype=np.int64))
    expected = int(float(reader.GetMetaData("vox_offset"))) + bits // 8
    found = 0
    with path.open("rb") as raw:
        compressed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        try:
            with gzip.GzipFile(fileobj=raw) if compressed else raw as content:
                while block := content.read(1 << 20):
                    found += len(block)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise LabelFileError("The file is damaged: its compressed data end early or do not fit.") from error
    if found < expected:
        raise LabelFileError(f"The file ends early: {found} of {expected} bytes are there.")


def _choose(labels: list[int]) -> int:
    if not labels:
        raise LabelFileError("The label map is empty: every voxel is 0.")
    if LESION in labels:
        return LESION
    return labels[0] if len(labels) == 1 else 1


def _named(labels: Iterable[int]) -> str:
    names = [str(label) for label in labels]
    if not names:
        return "none"
    return ", ".join(names[:_MOST_NAMED]) + (", ..." if len(names) > _MOST_NAMED else "")
