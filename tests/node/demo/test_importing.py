from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    MediaStorageDirectoryStorage,
    generate_uid,
)

from node.demo import importing
from node.demo.importing import Imported, import_folder
from tests.conftest import StudyFinder
from tests.node.demo.objects import SyntheticStudy


def imported(folder: Path) -> Imported:
    return import_folder(folder, folder.parent / "into")


def put(synthetic: SyntheticStudy, target: Path, number: int = 0, **changes: object) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    dataset = dcmread(synthetic.images[number])
    for keyword, value in changes.items():
        setattr(dataset, keyword, value)
    dataset.save_as(target)
    return target


@pytest.mark.verifies("SRS-167", level="unit", technique="boundary")
def test_an_empty_folder_holds_nothing(folder: Path) -> None:
    assert imported(folder) == Imported((), {})


@pytest.mark.verifies("SRS-167", level="unit", technique="bad-input")
def test_what_is_no_dicom_is_left_out_and_counted(synthetic: SyntheticStudy, folder: Path) -> None:
    (folder / "readme.txt").write_text("not an image, but long enough to hold a preamble" * 10)
    (folder / "zeros.bin").write_bytes(bytes(4096))
    (folder / "short").write_bytes(b"ab")
    (folder / "empty.dcm").touch()
    (folder / "prefix only").write_bytes(bytes(128) + b"DICM")
    (folder / "lies.dcm").write_bytes(bytes(128) + b"DICM" + b"\xff" * 300)
    (folder / "looks bare").write_bytes(b"\x08\x00\x05\x00" + b"\x7f" * 300)
    put(synthetic, folder / "image")

    found = imported(folder)

    assert [study.files for study in found.studies] == [(folder / "image",)]
    assert found.ignored[importing.EMPTY] == 1
    assert sum(found.ignored.values()) == 7


@pytest.mark.verifies("SRS-167", level="unit", technique="example")
def test_nested_folders_are_searched(synthetic: SyntheticStudy, folder: Path) -> None:
    for number in range(3):
        put(synthetic, folder / "A" / f"B{number}" / "IM0001", number)

    (study,) = imported(folder).studies

    assert study.ct_images == 3
    assert set(study.instances) == {header.SOPInstanceUID for header in synthetic.headers[:3]}
    assert study.supplied == 0
    assert study.date == "20240131"


@pytest.mark.verifies("SRS-167", level="unit", technique="adversarial")
def test_a_link_that_leads_back_ends_the_search(synthetic: SyntheticStudy, folder: Path) -> None:
    put(synthetic, folder / "image")
    (folder / "round").symlink_to(folder, target_is_directory=True)
    (folder / "nowhere").symlink_to(folder / "missing")

    assert len(imported(folder).studies[0].files) == 1


@pytest.mark.verifies("SRS-167", level="unit", technique="example")
def test_a_dicomdir_is_left_out(synthetic: SyntheticStudy, folder: Path) -> None:
    directory = Dataset()
    directory.file_meta = FileMetaDataset()
    directory.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    directory.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    directory.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    directory.FileSetID = "PHANTOM"
    directory.save_as(folder / "DICOMDIR", enforce_file_format=True)
    put(synthetic, folder / "IMAGES" / "1")

    assert imported(folder).ignored == {importing.DICOMDIR: 1}


@pytest.mark.verifies("SRS-167", level="unit", technique="example")
def test_the_same_object_twice_is_one(synthetic: SyntheticStudy, folder: Path) -> None:
    put(synthetic, folder / "1")
    put(synthetic, folder / "copy")

    found = imported(folder)

    assert len(found.studies[0].files) == 1
    assert found.ignored == {importing.REPEATED: 1}


@pytest.mark.verifies("SRS-167", level="unit", technique="example")
def test_two_studies_are_told_apart_and_come_in_the_order_of_their_dates(
    synthetic: SyntheticStudy, folder: Path
) -> None:
    later = put(synthetic, folder / "a", 0)
    uids = {"StudyInstanceUID": generate_uid(), "SOPInstanceUID": generate_uid()}
    earlier = put(synthetic, folder / "b", 1, StudyDate="20200101", **uids)

    assert [study.files for study in imported(folder).studies] == [(earlier,), (later,)]


@pytest.mark.verifies("SRS-167", level="unit", technique="example")
def test_what_is_complete_is_not_touched(synthetic: SyntheticStudy, folder: Path) -> None:
    path = put(synthetic, folder / "image")
    before = path.read_bytes()

    (study,) = imported(folder).studies

    assert study.files == (path,)
    assert path.read_bytes() == before
    assert not (folder.parent / "into").exists()


def blanked(synthetic: SyntheticStudy, folder: Path) -> None:
    for number in range(4):
        path = put(
            synthetic,
            folder / f"{number}",
            number,
            SOPClassUID="",
            SOPInstanceUID="",
            StudyInstanceUID="",
            SeriesInstanceUID="",
        )
        dataset = dcmread(path)
        del dataset.file_meta.MediaStorageSOPInstanceUID
        dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
        dataset.save_as(path, enforce_file_format=False)


@pytest.mark.verifies("SRS-167", level="unit", technique="bad-input")
def test_blank_uids_are_supplied_the_same_on_every_run(synthetic: SyntheticStudy, folder: Path) -> None:
    blanked(synthetic, folder)

    (study,) = import_folder(folder, folder.parent / "once").studies
    (again,) = import_folder(folder, folder.parent / "twice").studies

    assert study.supplied == 4
    assert study.ct_images == 4
    assert list(study.instances) == list(again.instances)
    assert study.uid == again.uid
    for uid, path in study.instances.items():
        dataset = dcmread(path)
        assert dataset.SOPInstanceUID == dataset.file_meta.MediaStorageSOPInstanceUID == uid
        assert dataset.SOPClassUID == dataset.file_meta.MediaStorageSOPClassUID == CTImageStorage
        assert dataset.StudyInstanceUID == study.uid
    assert len({dcmread(path).SeriesInstanceUID for path in study.files}) == 1
    assert len(set(study.instances)) == 4


@pytest.mark.verifies("SRS-167", level="unit", technique="bad-input")
def test_blank_uids_do_not_join_the_studies_of_two_patients(synthetic: SyntheticStudy, folder: Path) -> None:
    for number, patient in enumerate(("PHANTOM-1", "PHANTOM-2")):
        put(synthetic, folder / patient, number, StudyInstanceUID="", PatientID=patient)

    assert len(imported(folder).studies) == 2


@pytest.mark.verifies("SRS-167", level="unit", technique="example")
def test_other_content_gets_another_uid(synthetic: SyntheticStudy, folder: Path) -> None:
    """The UID must not be one that name and date could be guessed from: equal headers, other pixels."""
    first = put(synthetic, folder / "a", 0, StudyInstanceUID="")
    uid = imported(folder).studies[0].uid
    dataset = dcmread(first)
    dataset.PixelData = bytes(len(dataset.PixelData))
    dataset.save_as(first)

    assert imported(folder).studies[0].uid != uid


@pytest.mark.verifies("SRS-167", level="unit", technique="bad-input")
@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_a_data_set_without_file_header_gets_one(synthetic: SyntheticStudy, folder: Path, syntax: str) -> None:
    dataset = dcmread(synthetic.images[0])
    bare = Dataset(dataset)
    with (folder / "bare").open("wb") as stream:
        implicit = syntax == ImplicitVRLittleEndian
        bare.save_as(stream, implicit_vr=implicit, little_endian=True, enforce_file_format=False)
    assert not (folder / "bare").read_bytes().startswith(bytes(128))

    (study,) = imported(folder).studies

    mended = dcmread(study.files[0])
    assert mended.file_meta.TransferSyntaxUID == syntax
    assert (mended.pixel_array == dataset.pixel_array).all()
    assert study.supplied == 0


@pytest.mark.verifies("SRS-167", level="unit", technique="real-data")
@pytest.mark.data
def test_a_published_sample_with_blank_uids_keeps_its_compressed_pixels(study: StudyFinder, tmp_path: Path) -> None:
    source = study("ct-body-j2k")

    found = import_folder(source, tmp_path)

    (only,) = found.studies
    assert (only.ct_images, only.supplied) == (20, 20)
    assert found.ignored == {importing.NOT_DICOM: 1}
    mended = dcmread(only.files[0])
    assert mended.file_meta.TransferSyntaxUID == JPEG2000Lossless
    original = dcmread(min((source / "ct").iterdir()))
    assert mended.PixelData == original.PixelData


@pytest.mark.verifies("SRS-167", level="unit", technique="real-data")
@pytest.mark.data
def test_a_folder_of_every_kind_of_file_is_sorted_without_falling(study: StudyFinder, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    shutil.copytree(study("multivendor"), folder)

    found = import_folder(folder, tmp_path / "into")

    files = sum(len(one.files) for one in found.studies) + sum(found.ignored.values())
    assert files == sum(path.is_file() for path in folder.rglob("*"))
    for one in found.studies:
        for uid, path in one.instances.items():
            assert uid
            assert path.is_file()
