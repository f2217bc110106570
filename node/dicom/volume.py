"""Voxels with their geometry: what inference, measure and report hand to each other through the store."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from node.dicom.geometry import Geometry


@dataclass(frozen=True, eq=False)
class Volume:
    """A CT volume in Hounsfield units.

    Attributes
    ----------
    hu
        Array ``(slice, row, column)`` of int16, in the order and orientation of the sorted source images: voxel
        ``[k, r, c]`` is row ``r``, column ``c`` of source image ``k``.
    geometry
        The grid as the source's headers state it: what viewers draw by, and what SEG and SR must agree with.
    anatomy
        The grid as the pixels show the patient. Equal to `geometry` unless the headers were found wrong on evidence
        (for example A/P mirrored). Inference orients by it; nothing that leaves the node uses it.
    """

    hu: NDArray[np.int16]
    geometry: Geometry
    anatomy: Geometry

    def to_bytes(self) -> bytes:
        """Serialise, the same bytes for the same volume."""
        return _pack({"hu": self.hu}, {"geometry": self.geometry, "anatomy": self.anatomy})

    @classmethod
    def from_bytes(cls, data: bytes) -> Volume:
        """Read what `to_bytes` wrote."""
        arrays, meta = _unpack(data)
        return cls(arrays["hu"], Geometry(**meta["geometry"]), Geometry(**meta["anatomy"]))


@dataclass(frozen=True, eq=False)
class LabelMap:
    """One label a voxel, on the grid of the volume it was drawn on.

    Attributes
    ----------
    labels
        Array ``(slice, row, column)`` of unsigned integers, 0 is background. As the networks leave it:
        1 liver parenchyma, 2 lesion inside the liver. The liver as an organ is ``labels > 0``.
    geometry
        The grid, as the source's headers state it.
    """

    labels: NDArray[np.uint8] | NDArray[np.uint16]
    geometry: Geometry

    def to_bytes(self) -> bytes:
        """Serialise, the same bytes for the same label map."""
        return _pack({"labels": self.labels}, {"geometry": self.geometry})

    @classmethod
    def from_bytes(cls, data: bytes) -> LabelMap:
        """Read what `to_bytes` wrote."""
        arrays, meta = _unpack(data)
        return cls(arrays["labels"], Geometry(**meta["geometry"]))


def _pack(arrays: dict[str, NDArray[Any]], geometries: dict[str, Geometry]) -> bytes:
    """Write a zip with fixed dates, so that equal content has an equal hash; level 1, since 6 is 4 times slower."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        meta = {name: geometry.model_dump() for name, geometry in sorted(geometries.items())}
        archive.writestr(zipfile.ZipInfo("meta.json"), json.dumps(meta, sort_keys=True))
        for name, array in sorted(arrays.items()):
            part = io.BytesIO()
            np.lib.format.write_array(part, np.ascontiguousarray(array), allow_pickle=False)
            info = zipfile.ZipInfo(f"{name}.npy")
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, part.getvalue(), compresslevel=1)
    return buffer.getvalue()


def _unpack(data: bytes) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        meta = json.loads(archive.read("meta.json"))
        arrays = {
            name.removesuffix(".npy"): np.lib.format.read_array(io.BytesIO(archive.read(name)), allow_pickle=False)
            for name in archive.namelist()
            if name.endswith(".npy")
        }
    return arrays, meta
