"""Pixels as they are stored, by every way they may be stored, to Hounsfield units; and what cannot be decoded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from node.dicom.reasons import Reason, Refused
from node.dicom.volume import Volume
from node.gather.headers import read_headers
from node.gather.images import read_image
from node.gather.pixels import PADDING, rescaled
from node.gather.selection import select
from node.gather.volume import AIR_HU, load, preview
from tests.node.gather.synthetic import dataset, trunk, with_meta, write


def loaded(paths: list[Path]) -> Volume:
    headers, refused = read_headers(paths)
    assert not refused
    return load(select(headers))[0]


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write(tmp_path_factory.mktemp("trunk"), trunk())


def one_slice(path: Path) -> NDArray[np.int16]:
    """Rescale a single file without the checks of a whole stack."""
    headers, refused = read_headers([path])
    assert not refused
    return rescaled(read_image(headers[0]), "Slice 1 of 1")


@pytest.mark.verifies("SRS-031", level="unit", technique="oracle")
def test_voxels_are_the_pixels_of_the_sorted_images(paths: list[Path]) -> None:
    volume = loaded(paths[::-1])
    assert np.array_equal(volume.hu, np.maximum(trunk(), AIR_HU))
    assert volume.hu.dtype == np.int16
    assert volume.geometry == volume.anatomy
    for number in (0, 20, 43):
        place = [float(v) for v in dcmread(paths[number]).ImagePositionPatient]
        assert volume.geometry.to_patient((number, 0, 0)).tolist() == place


@pytest.mark.verifies("SRS-031", level="unit", technique="example")
def test_the_same_bytes_in_any_order(paths: list[Path]) -> None:
    order = np.random.default_rng(3).permutation(len(paths))
    assert loaded([paths[index] for index in order]).to_bytes() == loaded(paths).to_bytes()


@pytest.mark.verifies("SRS-035", level="unit", technique="consistency")
def test_a_preview_sees_what_the_whole_shows(paths: list[Path]) -> None:
    headers, _ = read_headers(paths)
    candidate = select(headers).candidates[0]
    assert preview(candidate).notes == load(candidate)[1]


@pytest.mark.verifies("SRS-031", level="unit", technique="example")
@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless])
def test_compressed(tmp_path: Path, syntax: UID) -> None:
    path = write(tmp_path, trunk()[20:21])[0]
    ds = dcmread(path)
    ds.compress(syntax, generate_instance_uid=False)
    ds.save_as(path, enforce_file_format=True)
    assert np.array_equal(one_slice(path), trunk()[20])


@pytest.mark.verifies("SRS-031", level="unit", technique="example")
@pytest.mark.parametrize(
    ("syntax", "implicit", "little"),
    [
        (ImplicitVRLittleEndian, True, True),
        (ExplicitVRBigEndian, False, False),
        (DeflatedExplicitVRLittleEndian, False, True),
    ],
)
def test_uncompressed(tmp_path: Path, syntax: UID, implicit: bool, little: bool) -> None:
    ds = with_meta(dataset(0), syntax)
    ds.PixelData = trunk()[20].astype("<i2" if little else ">i2").tobytes()
    path = tmp_path / "slice.dcm"
    ds.save_as(path, implicit_vr=implicit, little_endian=little, enforce_file_format=True)
    assert np.array_equal(one_slice(path), trunk()[20])


@pytest.mark.verifies("SRS-031", level="unit", technique="example")
def test_unsigned_with_intercept_and_slope(tmp_path: Path) -> None:
    def half_units(ds: Dataset, number: int) -> None:
        stored = (trunk()[20].astype(np.int32) + 1024).clip(0) * 2
        ds.PixelData = stored.astype("<u2").tobytes()
        ds.PixelRepresentation = 0
        ds.RescaleSlope, ds.RescaleIntercept = "0.5", "-1024"

    path = write(tmp_path, trunk()[20:21], half_units)[0]
    assert np.array_equal(one_slice(path), trunk()[20].clip(-1024))


@pytest.mark.verifies("SRS-031", level="unit", technique="example")
def test_rescale_that_differs_from_slice_to_slice(tmp_path: Path) -> None:
    def own(ds: Dataset, number: int) -> None:
        ds.PixelData = (trunk()[number] + number).astype("<i2").tobytes()
        ds.RescaleIntercept = -number

    assert np.array_equal(loaded(write(tmp_path, trunk(), own)).hu, np.maximum(trunk(), AIR_HU))


@pytest.mark.verifies("SRS-031", "SRS-032", level="unit", technique="bad-input")
def test_a_missing_rescale_is_held_to_the_pixels(tmp_path: Path) -> None:
    def without(ds: Dataset, number: int) -> None:
        del ds.RescaleSlope, ds.RescaleIntercept

    assert np.array_equal(loaded(write(tmp_path, trunk(), without)).hu, np.maximum(trunk(), AIR_HU))


@pytest.mark.verifies("SRS-032", level="unit", technique="phantom")
def test_the_offset_is_corrected_in_the_volume(tmp_path: Path) -> None:
    paths = write(tmp_path, trunk() + np.int16(1024))
    headers, _ = read_headers(paths)
    volume, notes = load(select(headers))
    assert [note.reason for note in notes] == [Reason.HU_OFFSET_CORRECTED, Reason.PHASE_PORTAL_VENOUS]
    assert np.array_equal(volume.hu, np.maximum(trunk(), AIR_HU))


@pytest.mark.verifies("SRS-033", level="unit", technique="phantom")
def test_a_mirrored_volume_keeps_its_headers_grid(tmp_path: Path) -> None:
    volume = loaded(write(tmp_path, np.ascontiguousarray(trunk()[:, ::-1])))
    assert np.array_equal(volume.hu, np.maximum(trunk()[:, ::-1], AIR_HU))
    assert volume.anatomy == volume.geometry.mirrored(1)
    assert volume.geometry.axes[1] == (0, 1, 0)


@pytest.mark.verifies("SRS-031", level="unit", technique="example")
class TestPadding:
    @staticmethod
    def padded(value: int, stored: int | None = None) -> object:
        def change(ds: Dataset, _: int) -> None:
            pixels = trunk()[20].copy()
            pixels[:20] = value if stored is None else stored
            ds.PixelData = pixels.astype("<i2").tobytes()
            ds.add_new("PixelPaddingValue", "SS", value)

        return change

    def test_beyond_bone(self, tmp_path: Path) -> None:
        result = one_slice(write(tmp_path, trunk()[20:21], self.padded(20000))[0])  # type: ignore[arg-type]
        assert (result[:20] == PADDING).all()
        assert np.array_equal(result[20:], trunk()[20][20:])

    def test_a_value_within_tissue_erases_nothing(self, tmp_path: Path) -> None:
        result = one_slice(write(tmp_path, trunk()[20:21], self.padded(55, stored=-1000))[0])  # type: ignore[arg-type]
        assert not (result == PADDING).any()

    def test_written_with_the_other_sign(self, tmp_path: Path) -> None:
        def change(ds: Dataset, _: int) -> None:
            pixels = trunk()[20].copy()
            pixels[:20] = -2000
            ds.PixelData = pixels.astype("<i2").tobytes()
            ds.add_new("PixelPaddingValue", "US", 65536 - 2000)

        assert (one_slice(write(tmp_path, trunk()[20:21], change)[0])[:20] == PADDING).all()

    def test_range(self, tmp_path: Path) -> None:
        def change(ds: Dataset, _: int) -> None:
            pixels = trunk()[20].copy()
            pixels[:10], pixels[10:20] = 20000, 20010
            ds.PixelData = pixels.astype("<i2").tobytes()
            ds.add_new("PixelPaddingValue", "SS", 20000)
            ds.add_new("PixelPaddingRangeLimit", "SS", 20010)

        assert (one_slice(write(tmp_path, trunk()[20:21], change)[0])[:20] == PADDING).all()

    def test_becomes_air_whatever_the_offset(self, tmp_path: Path) -> None:
        def change(ds: Dataset, number: int) -> None:
            pixels = trunk()[number] + np.int16(1024)
            pixels[:6] = 20000
            ds.PixelData = pixels.astype("<i2").tobytes()
            ds.add_new("PixelPaddingValue", "SS", 20000)

        hu = loaded(write(tmp_path, trunk(), change)).hu
        assert (hu[:, :6] == AIR_HU).all()
        assert np.array_equal(hu[:, 6:], np.maximum(trunk()[:, 6:], AIR_HU))


@pytest.mark.verifies("SRS-021", level="unit", technique="fault-injection")
class TestUndecodable:
    def broken(self, folder: Path, damage: object) -> Refused:
        paths = write(folder, trunk())
        ds = dcmread(paths[7])
        damage(ds)  # type: ignore[operator]
        ds.save_as(paths[7], enforce_file_format=True)
        headers, refused = read_headers(paths)
        assert not refused
        with pytest.raises(Refused) as refusal:
            load(select(headers))
        return refusal.value

    @pytest.mark.parametrize("syntax", [JPEG2000Lossless, RLELossless])
    def test_a_stream_that_breaks_off(self, tmp_path: Path, syntax: UID) -> None:
        def cut(ds: Dataset) -> None:
            ds.compress(syntax, generate_instance_uid=False)
            frame = next(generate_frames(ds.PixelData, number_of_frames=1))
            ds.PixelData = encapsulate([frame[: len(frame) // 2]])

        refusal = self.broken(tmp_path, cut)
        assert refusal.reason is Reason.UNDECODABLE
        assert "Slice 8 of 44" in refusal.text

    def test_garbage_for_a_stream(self, tmp_path: Path) -> None:
        def garbage(ds: Dataset) -> None:
            ds.compress(JPEG2000Lossless, generate_instance_uid=False)
            ds.PixelData = encapsulate([b"PHANTOM^TEST" * 100])

        refusal = self.broken(tmp_path, garbage)
        assert refusal.reason is Reason.UNDECODABLE
        assert "PHANTOM" not in str(refusal)

    def test_a_stream_of_another_size(self, tmp_path: Path) -> None:
        def smaller(ds: Dataset) -> None:
            ds.Rows = ds.Columns = 64
            ds.PixelData = np.zeros((64, 64), "<i2").tobytes()
            ds.compress(JPEG2000Lossless, generate_instance_uid=False)
            ds.Rows = ds.Columns = 128

        assert self.broken(tmp_path, smaller).reason is Reason.UNDECODABLE

    def test_a_failing_disk_is_no_property_of_the_study(self, tmp_path: Path) -> None:
        paths = write(tmp_path, trunk())
        headers, _ = read_headers(paths)
        paths[3].unlink()
        with pytest.raises(FileNotFoundError):
            load(select(headers))
