"""Volumes, grids and data sets come back as they were, the same bytes each time."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import ImplicitVRLittleEndian

from node.dicom.files import from_file, pack, to_file, unpack
from node.dicom.geometry import Geometry
from node.dicom.volume import LabelMap, Volume
from tests.peers.phantoms import slice_of

GRID = Geometry(
    shape=(4, 3, 2),
    origin=(-10.0, 20.0, 30.5),
    spacing=(2.5, 0.7, 0.8),
    axes=((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0)),
)


@pytest.mark.verifies("SRS-135", level="unit", technique="example")
def test_a_volume_comes_back_with_both_of_its_grids() -> None:
    hu = np.arange(-12, 12, dtype=np.int16).reshape(GRID.shape)
    volume = Volume(hu, GRID, GRID.mirrored(1))
    data = volume.to_bytes()
    back = Volume.from_bytes(data)
    assert np.array_equal(back.hu, hu)
    assert back.hu.dtype == np.int16
    assert (back.geometry, back.anatomy) == (volume.geometry, volume.anatomy)
    assert back.to_bytes() == data


@pytest.mark.verifies("SRS-135", level="unit", technique="example")
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_a_label_map_comes_back_whatever_its_order_in_memory(kind: type[np.unsignedinteger]) -> None:
    labels = np.arange(24, dtype=kind).reshape(GRID.shape)
    data = LabelMap(labels, GRID).to_bytes()
    assert LabelMap(np.asfortranarray(labels), GRID).to_bytes() == data
    back = LabelMap.from_bytes(data)
    assert np.array_equal(back.labels, labels)
    assert back.labels.dtype == kind
    assert back.geometry == GRID


@pytest.mark.verifies("SRS-135", level="unit", technique="bad-input")
@pytest.mark.parametrize("data", [b"", b"no volume", LabelMap(np.zeros(GRID.shape, np.uint8), GRID).to_bytes()])
def test_what_is_no_volume_is_none(data: bytes) -> None:
    with pytest.raises((KeyError, zipfile.BadZipFile), match=r"zip|hu"):
        Volume.from_bytes(data)


@pytest.mark.verifies("SRS-135", level="unit", technique="oracle")
def test_positions_and_volume_of_voxels() -> None:
    assert GRID.to_patient((0, 0, 0)).tolist() == [-10.0, 20.0, 30.5]
    assert GRID.to_patient((2, 1, 1)) == pytest.approx([-10.0 + 0.8, 20.0 + 0.7, 30.5 + 5.0])
    assert GRID.voxel_volume_ml == pytest.approx(2.5 * 0.7 * 0.8 / 1000)
    centre = tuple((n - 1) / 2 for n in GRID.shape)
    mirrored = GRID.mirrored(1)
    assert mirrored.to_patient(centre) == pytest.approx(GRID.to_patient(centre))
    assert mirrored.axes[1] == (0.0, -1.0, 0.0)
    assert mirrored.mirrored(1).to_patient((3, 2, 1)) == pytest.approx(GRID.to_patient((3, 2, 1)))


@pytest.mark.verifies("SRS-135", level="unit", technique="example")
def test_a_data_set_makes_the_same_file_each_time() -> None:
    dataset = slice_of("files", 1)
    data = to_file(dataset)
    assert to_file(slice_of("files", 1)) == data
    assert data[128:132] == b"DICM"
    assert from_file(data) == dataset
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    assert from_file(to_file(dataset)).file_meta.TransferSyntaxUID == ImplicitVRLittleEndian
    with pytest.raises(InvalidDicomError):
        from_file(b"no DICOM file")


@pytest.mark.verifies("SRS-135", level="unit", technique="example")
def test_headers_that_are_packed_come_back_in_their_order() -> None:
    headers = [Dataset(slice_of("pack", number)) for number in (3, 1, 2)]
    assert unpack(pack(headers)) == headers
    assert unpack(b"") == []
