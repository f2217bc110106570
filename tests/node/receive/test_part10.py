import hashlib
from io import BytesIO

import pytest
from pydicom import dcmread
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from node.dicom.uids import derive_uid
from node.receive.part10 import IMPLEMENTATION_CLASS_UID, file_head
from tests.peers.phantoms import encoded, slice_of, write_slices


@pytest.mark.verifies("SRS-002", level="unit", technique="oracle")
def test_the_head_and_the_data_set_are_a_dicom_file():
    dataset = slice_of("part10", 1)
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    plain = buffer.getvalue()
    body = plain[144 + int.from_bytes(plain[140:144], "little") :]

    head = file_head(CTImageStorage, dataset.SOPInstanceUID, ExplicitVRLittleEndian)
    read = dcmread(BytesIO(head + body))

    assert read == dataset
    assert read.file_meta.MediaStorageSOPClassUID == CTImageStorage
    assert read.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID
    assert read.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert read.file_meta.FileMetaInformationVersion == b"\x00\x01"
    assert read.file_meta.FileMetaInformationGroupLength == len(head) - 144
    assert not read.preamble.strip(b"\x00")


@pytest.mark.verifies("SRS-004", level="unit", technique="consistency")
def test_the_head_never_changes():
    """Other bytes would make a conflict of every object that a PACS sends again after an update of ours."""
    head = file_head("1.2.840.10008.5.1.4.1.1.2", "1.2.3", "1.2.840.10008.1.2.1")
    assert hashlib.sha256(head).hexdigest() == "6bbfa48cdee9eb6474f31d969ca1eb5d3311470c206753062382f333e7155575"


@pytest.mark.verifies("SRS-002", level="unit", technique="consistency")
def test_the_implementation_class_uid_is_made_as_all_our_uids():
    assert derive_uid("overread", "implementation-class") == IMPLEMENTATION_CLASS_UID


@pytest.mark.verifies("SRS-002", level="unit", technique="boundary")
def test_a_uid_too_long_for_its_length_field_is_an_error():
    with pytest.raises(ValueError, match="65534"):
        file_head("1.2", "1" * 65535, "1.2")


@pytest.mark.verifies("SRS-002", level="unit", technique="consistency")
def test_helper_finds_the_data_set(tmp_path):
    path = write_slices(tmp_path, "part10", 1)[0]
    assert encoded(path)[:4] == b"\x08\x00\x16\x00"
