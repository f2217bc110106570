"""Whatever bytes arrive, reading a header ends in a header or in a named refusal."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import Dataset, Sequence, dcmread
from pydicom.uid import (
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    MediaStorageDirectoryStorage,
)

from node.dicom.reasons import Reason, Refused
from node.gather.headers import is_own_result, read_header, read_headers, study_key
from tests.node.gather.synthetic import dataset, set_raw, trunk, with_meta, write


@pytest.fixture
def slice_path(tmp_path: Path) -> Path:
    return write(tmp_path, trunk()[:1])[0]


def refused(path: Path) -> Reason:
    with pytest.raises(Refused) as refusal:
        read_header(path)
    assert "PHANTOM" not in str(refusal.value)
    return refusal.value.reason


def flaws(path: Path) -> list[Reason]:
    return [note.reason for note in read_header(path).notes]


@pytest.mark.verifies("SRS-020", level="unit", technique="example")
def test_a_whole_file_is_read_without_its_pixels(slice_path: Path) -> None:
    header = read_header(slice_path)
    assert header.path == slice_path
    assert header.notes == ()
    assert header.dataset.Rows == 128
    assert "PixelData" not in header.dataset


@pytest.mark.verifies("SRS-020", level="unit", technique="boundary")
def test_no_bytes(tmp_path: Path) -> None:
    path = tmp_path / "empty.dcm"
    path.touch()
    assert refused(path) is Reason.EMPTY_FILE


@pytest.mark.verifies("SRS-020", level="unit", technique="bad-input")
@pytest.mark.parametrize("content", [b"x", b"hello, this is no image" * 40, b"\0" * 4096, b"\0" * 128 + b"DICX"])
def test_not_dicom(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.dcm"
    path.write_bytes(content)
    assert refused(path) is Reason.NOT_DICOM


@pytest.mark.verifies("SRS-020", level="unit", technique="boundary")
def test_nothing_after_the_prefix(tmp_path: Path) -> None:
    path = tmp_path / "prefix.dcm"
    path.write_bytes(b"\0" * 128 + b"DICM")
    assert refused(path) is Reason.TRUNCATED


@pytest.mark.verifies("SRS-020", level="unit", technique="bad-input")
def test_header_cut_within_an_attribute(slice_path: Path) -> None:
    content = slice_path.read_bytes()
    slice_path.write_bytes(content[: content.index(b"PHANTOM^TEST") + 4])
    assert refused(slice_path) is Reason.TRUNCATED


@pytest.mark.verifies("SRS-021", level="unit", technique="boundary")
@pytest.mark.parametrize("lost", [1, 2, 1000, 32767])
def test_pixel_data_cut_short_are_told_and_the_study_is_known(slice_path: Path, lost: int) -> None:
    expected = study_key(read_header(slice_path))
    slice_path.write_bytes(slice_path.read_bytes()[:-lost])
    assert flaws(slice_path) == [Reason.TRUNCATED]
    assert study_key(read_header(slice_path)) == expected


@pytest.mark.verifies("SRS-021", level="unit", technique="bad-input")
def test_pixel_data_smaller_than_the_matrix(tmp_path: Path) -> None:
    def halve(ds: Dataset, _: int) -> None:
        ds.PixelData = ds.PixelData[: len(ds.PixelData) // 2]

    assert flaws(write(tmp_path, trunk()[:1], halve)[0]) == [Reason.TRUNCATED]


@pytest.mark.verifies("SRS-021", level="unit", technique="bad-input")
def test_no_pixel_data(tmp_path: Path) -> None:
    ds = dataset(0)
    path = tmp_path / "header-only.dcm"
    with_meta(ds).save_as(path, enforce_file_format=True)
    assert flaws(path) == [Reason.NO_PIXEL_DATA]
    ds.PixelData = b""
    ds.save_as(path, enforce_file_format=True)
    assert flaws(path) == [Reason.NO_PIXEL_DATA]


@pytest.mark.verifies("SRS-021", level="unit", technique="boundary")
@pytest.mark.parametrize("keep", [0.3, 0.9, 0.999])
def test_compressed_pixel_data_cut_short(slice_path: Path, keep: float) -> None:
    ds = dcmread(slice_path)
    ds.compress(JPEGLSLossless)
    ds.save_as(slice_path, enforce_file_format=True)
    assert flaws(slice_path) == []
    content = slice_path.read_bytes()
    start = content.index(b"\xe0\x7f\x10\x00OB")
    slice_path.write_bytes(content[: start + int((len(content) - 8 - start) * keep)])
    assert flaws(slice_path) == [Reason.TRUNCATED]


@pytest.mark.verifies("SRS-021", level="unit", technique="boundary")
def test_compressed_pixel_data_without_the_last_delimiter_do_no_harm(slice_path: Path) -> None:
    ds = dcmread(slice_path)
    ds.compress(JPEGLSLossless)
    ds.save_as(slice_path, enforce_file_format=True)
    slice_path.write_bytes(slice_path.read_bytes()[:-8])
    assert flaws(slice_path) == []


@pytest.mark.verifies("SRS-020", "SRS-021", level="unit", technique="example")
@pytest.mark.parametrize(
    ("syntax", "implicit", "little"),
    [(ImplicitVRLittleEndian, True, True), (ExplicitVRBigEndian, False, False)],
)
def test_other_encodings(tmp_path: Path, syntax: UID, implicit: bool, little: bool) -> None:
    path = tmp_path / "slice.dcm"
    ds = with_meta(dataset(0), syntax)
    ds.PixelData = trunk()[0].astype("<i2" if little else ">i2").tobytes()
    ds.save_as(path, implicit_vr=implicit, little_endian=little, enforce_file_format=True)
    assert flaws(path) == []
    assert study_key(read_header(path)) == ds.StudyInstanceUID
    path.write_bytes(path.read_bytes()[:-10])
    assert flaws(path) == [Reason.TRUNCATED]


@pytest.mark.verifies("SRS-020", "SRS-021", level="unit", technique="bad-input")
def test_deflated(slice_path: Path) -> None:
    ds = dcmread(slice_path)
    pixels = ds.PixelData
    for length, expected in ((len(pixels), []), (len(pixels) // 2, [Reason.TRUNCATED])):
        ds.PixelData = pixels[:length]
        ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        ds.save_as(slice_path, enforce_file_format=True)
        assert flaws(slice_path) == expected
    slice_path.write_bytes(slice_path.read_bytes()[:-100])
    assert refused(slice_path) is Reason.UNDECODABLE


@pytest.mark.verifies("SRS-020", level="unit", technique="fault-injection")
def test_a_failing_disk_is_no_property_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_header(tmp_path / "gone.dcm")


@pytest.mark.verifies("SRS-020", level="unit", technique="bad-input")
def test_elements_that_cannot_be_decoded_are_dropped_at_every_depth(tmp_path: Path) -> None:
    item = Dataset()
    item.CodeValue = "PHANTOM"
    set_raw(item, "ReferencedFrameNumber", "IS", b"1 ")

    def spoil(ds: Dataset, _: int) -> None:
        ds.ProcedureCodeSequence = Sequence([item])
        set_raw(ds, "TableHeight", "DS", b"abc ")
        ds.TableSpeed = 1.5
        set_raw(ds, "KVP", "DS", b"120 ")

    path = write(tmp_path, trunk()[:1], spoil)[0]
    # pydicom writes neither an unknown VR nor a number of a wrong length: put them into the bytes.
    content = path.read_bytes()
    for good, bad in ((b"\x08\x00\x00\x01SH", b"\x08\x00\x00\x01ZZ"), (b"FD\x08\x00\x00\x00", b"FD\x06\x00")):
        assert content.count(good) == 1
        content = content.replace(good, bad)
    path.write_bytes(content)
    ds = read_header(path).dataset
    assert "TableSpeed" not in ds
    assert ds.KVP == 120
    assert "CodeValue" not in ds.ProcedureCodeSequence[0]
    for element in ds.iterall():  # nothing is left that raises
        assert element.VR


@pytest.mark.verifies("SRS-022", level="unit", technique="bad-input")
class TestBlankUids:
    """As the public sample whose UIDs are all empty."""

    @staticmethod
    def blank(ds: Dataset, _: int) -> None:
        ds.SOPClassUID = ds.SOPInstanceUID = ds.StudyInstanceUID = ds.SeriesInstanceUID = ""

    def test_supplied_the_same_every_time(self, tmp_path: Path) -> None:
        paths = write(tmp_path, trunk()[:2], self.blank)
        first, again, other = read_header(paths[0]), read_header(paths[0]), read_header(paths[1])
        assert first.dataset.SOPClassUID == CTImageStorage
        assert first.dataset.SOPInstanceUID == dcmread(paths[0]).file_meta.MediaStorageSOPInstanceUID
        assert study_key(first).startswith("2.25.")
        assert study_key(first) == study_key(again) == study_key(other)
        assert first.dataset.SeriesInstanceUID == again.dataset.SeriesInstanceUID == other.dataset.SeriesInstanceUID
        assert first.dataset.SeriesInstanceUID != study_key(first)
        assert [note.reason for note in first.notes] == [Reason.UIDS_SUPPLIED]

    def test_the_request_knows_the_instance(self, tmp_path: Path) -> None:
        path = write(tmp_path, trunk()[:1], self.blank)[0]
        assert read_header(path, "1.2.3.4").dataset.SOPInstanceUID == "1.2.3.4"

    def test_a_stated_instance_uid_stays(self, slice_path: Path) -> None:
        assert read_header(slice_path, "1.2.3.4").dataset.SOPInstanceUID == dcmread(slice_path).SOPInstanceUID

    @pytest.mark.parametrize("keyword", ["FrameOfReferenceUID", "StudyDate", "PatientID", "AccessionNumber"])
    def test_what_differs_between_studies_makes_another_study(self, tmp_path: Path, keyword: str) -> None:
        def other(ds: Dataset, number: int) -> None:
            self.blank(ds, number)
            setattr(ds, keyword, {"FrameOfReferenceUID": "1.2.3", "StudyDate": "20000102"}.get(keyword, "OTHER"))

        one = read_header(write(tmp_path / "one", trunk()[:1], self.blank)[0])
        two = read_header(write(tmp_path / "two", trunk()[:1], other)[0])
        assert study_key(one) != study_key(two)

    def test_series_differ_by_kernel(self, tmp_path: Path) -> None:
        def sharp(ds: Dataset, number: int) -> None:
            self.blank(ds, number)
            ds.ConvolutionKernel = "Br64"

        one = read_header(write(tmp_path / "one", trunk()[:1], self.blank)[0])
        two = read_header(write(tmp_path / "two", trunk()[:1], sharp)[0])
        assert study_key(one) == study_key(two)
        assert one.dataset.SeriesInstanceUID != two.dataset.SeriesInstanceUID

    def test_nothing_to_tell_the_study_by(self, tmp_path: Path) -> None:
        def anonymous(ds: Dataset, number: int) -> None:
            self.blank(ds, number)
            ds.FrameOfReferenceUID = ds.PatientID = ds.AccessionNumber = ""

        assert refused(write(tmp_path, trunk()[:1], anonymous)[0]) is Reason.BAD_ATTRIBUTE


@pytest.mark.verifies("SRS-020", level="unit", technique="example")
def test_dicomdir(tmp_path: Path) -> None:
    ds = with_meta(dataset(0))
    del ds.SOPClassUID
    ds.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    ds.save_as(tmp_path / "DICOMDIR", enforce_file_format=True)
    assert refused(tmp_path / "DICOMDIR") is Reason.NOT_CT


@pytest.mark.verifies("SRS-024", level="unit", technique="example")
@pytest.mark.parametrize("where", ["Manufacturer", "ContributingEquipmentSequence"])
@pytest.mark.parametrize(("modality", "own"), [("SEG", True), ("SR", True), ("CT", False)])
def test_own_results(slice_path: Path, where: str, modality: str, own: bool) -> None:
    header = read_header(slice_path)
    assert not is_own_result(header)
    header.dataset.Modality = modality
    equipment = Dataset()
    equipment.Manufacturer = "Overread"
    if where == "Manufacturer":
        header.dataset.Manufacturer = "OVERREAD "
    else:
        header.dataset.ContributingEquipmentSequence = Sequence([equipment])
    assert is_own_result(header) is own


@pytest.mark.verifies("SRS-020", level="unit", technique="bad-input")
def test_many(tmp_path: Path) -> None:
    paths = write(tmp_path, trunk()[:3])
    paths[1].write_bytes(b"no image")
    headers, refusals = read_headers(paths)
    assert [header.path for header in headers] == [paths[0], paths[2]]
    assert {path: note.reason for path, note in refusals.items()} == {paths[1]: Reason.NOT_DICOM}


_CONTENT: dict[str, bytes] = {}


def _content(tmp_path_factory: pytest.TempPathFactory, compressed: bool) -> bytes:
    key = str(compressed)
    if key not in _CONTENT:
        path = write(tmp_path_factory.mktemp("content"), trunk()[:1, :32, :32])[0]
        ds = dcmread(path)
        if compressed:
            ds.compress(JPEGLSLossless)
        ds.save_as(path, enforce_file_format=True)
        _CONTENT[key] = path.read_bytes()
    return _CONTENT[key]


@pytest.mark.verifies("SRS-020", "SRS-021", level="unit", technique="property")
@pytest.mark.parametrize("compressed", [False, True])
@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_truncation_is_noticed(
    tmp_path_factory: pytest.TempPathFactory, compressed: bool, data: st.DataObject
) -> None:
    content = _content(tmp_path_factory, compressed)
    spare = 8 if compressed else 0  # the last delimiter
    path = tmp_path_factory.mktemp("cut") / "cut.dcm"
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - spare - 1))])
    try:
        header = read_header(path)
    except Refused:
        return
    assert {note.reason for note in header.notes} & {
        Reason.TRUNCATED,
        Reason.NO_PIXEL_DATA,
    } or "Rows" not in header.dataset


@pytest.mark.verifies("SRS-020", level="unit", technique="property")
@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom warns about values it finds odd, in words of its own
@given(flips=st.lists(st.tuples(st.integers(132, 1200), st.integers(1, 255)), min_size=1, max_size=8))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_flipped_bytes_end_in_a_header_or_a_refusal(
    tmp_path_factory: pytest.TempPathFactory, flips: list[tuple[int, int]]
) -> None:
    content = bytearray(_content(tmp_path_factory, compressed=False))
    for position, change in flips:
        content[position] ^= change
    path = tmp_path_factory.mktemp("flip") / "flip.dcm"
    path.write_bytes(bytes(content))
    headers, refusals = read_headers([path])  # anything but a refusal would come through
    assert [note.text for note in refusals.values()] or [study_key(header) for header in headers]


@pytest.mark.verifies("SRS-020", level="unit", technique="adversarial")
def test_an_element_of_an_impossible_length(tmp_path: Path) -> None:
    ds = with_meta(dataset(0), ExplicitVRLittleEndian)
    path = tmp_path / "long.dcm"
    ds.save_as(path, enforce_file_format=True)
    content = path.read_bytes()
    at = content.index(b"\x28\x00\x30\x00DS")
    path.write_bytes(content[: at + 6] + b"\xff\xff" + content[at + 8 :])
    assert refused(path) is Reason.TRUNCATED


@pytest.mark.verifies("SRS-020", level="unit", technique="adversarial")
def test_deflated_garbage(tmp_path: Path) -> None:
    ds = with_meta(dataset(0), DeflatedExplicitVRLittleEndian)
    path = tmp_path / "deflated.dcm"
    ds.save_as(path, enforce_file_format=True)
    content = path.read_bytes()
    raw = zlib.compressobj(wbits=-15)
    garbage = raw.compress(b"\xff" * 100) + raw.flush()
    meta_end = content.index(b"1.2.840.10008.1.2.1.99") + 22
    path.write_bytes(content[:meta_end] + garbage)
    assert refused(path) in {Reason.UNDECODABLE, Reason.TRUNCATED}
