"""The header of one received file, without its pixels: readable, whole, and with the UIDs the rest of the way needs.

Opened for every instance that arrives, so it must be cheap, must survive any bytes, and must name what is wrong.
"""

from __future__ import annotations

import hashlib
import io
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from pydicom import Dataset, dcmread
from pydicom.dataelem import RawDataElement
from pydicom.errors import InvalidDicomError
from pydicom.tag import Tag
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, MediaStorageDirectoryStorage
from pydicom.valuerep import VR

from node.dicom.datasets import RealDataset
from node.dicom.reasons import Note, Reason, Refused
from node.dicom.uids import derive_uid
from node.gather.fields import BINARY_VR, LONG_VR, harmless_number, raw, text, value_representation

OWN_MANUFACTURER = "Overread"
_UNDEFINED = 0xFFFFFFFF
_PIXEL_TAGS = (0x7FE00010, 0x7FE00008, 0x7FE00009)
_KNOWN_VR = frozenset(str(vr) for vr in VR)
_STUDY_EVIDENCE = ("FrameOfReferenceUID", "AccessionNumber", "StudyID", "StudyDate", "IssuerOfPatientID", "PatientID")
_SERIES_EVIDENCE = (
    *("Modality", "SeriesNumber", "SeriesDate", "SeriesTime", "SeriesDescription", "FrameOfReferenceUID"),
    *("AcquisitionNumber", "ConvolutionKernel", "SliceThickness", "ProtocolName"),
)


def read_header(path: Path, sop_instance_uid: str | None = None) -> RealDataset:
    """Read the attributes of a DICOM file up to its pixel data, and look whether those are all there.

    Parameters
    ----------
    path
        The file.
    sop_instance_uid
        The Affected SOP Instance UID of the C-STORE request, for an instance that says none itself. The file meta
        information of a received file says it too.

    Returns
    -------
    RealDataset
        With all UIDs present, none of its elements undecodable, and notes: NO_PIXEL_DATA or TRUNCATED if the pixels
        are absent or cut short, UIDS_SUPPLIED if UIDs were blank. A file with such pixels is returned rather than
        refused, because the study that it belongs to must know of the hole.

    Raises
    ------
    Refused
        EMPTY_FILE, NOT_DICOM, TRUNCATED (within the header), UNDECODABLE, NOT_CT (a DICOMDIR), or BAD_ATTRIBUTE if no
        study can be told. A failing disk is an OSError.
    """
    if path.stat().st_size == 0:
        raise Refused(Reason.EMPTY_FILE, "The file holds no bytes.")
    with path.open("rb") as file:
        dataset = _parse(file)
        if text(dataset.file_meta, "MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
            raise Refused(Reason.NOT_CT, "The file is a DICOMDIR, the directory of a medium, not an image.")
        _refuse_cut_header(dataset)
        _drop_undecodable(dataset)
        flaw = _pixel_flaw(file, dataset) if "Rows" in dataset else None
    supplied = _supply_uids(dataset, path, sop_instance_uid)
    return RealDataset(dataset, path, tuple(note for note in (flaw, supplied) if note is not None))


def read_headers(paths: Iterable[Path]) -> tuple[list[RealDataset], dict[Path, Note]]:
    """Read many headers; return those that can be read, and why each of the others cannot."""
    headers: list[RealDataset] = []
    refused: dict[Path, Note] = {}
    for path in paths:
        try:
            headers.append(read_header(path))
        except Refused as refusal:
            refused[path] = refusal.note
    return headers, refused


def study_key(header: RealDataset) -> str:
    """Return the Study Instance UID, real or supplied: instances with the same one are gathered together."""
    return text(header.dataset, "StudyInstanceUID")


def is_own_result(header: RealDataset) -> bool:
    """Return True for what this node made itself, so that a result that comes back never triggers it again.

    CT images never count: the demonstration's phantom names the same manufacturer and must be read.
    """
    if text(header.dataset, "Modality") == "CT":
        return False
    equipment = header.dataset.get("ContributingEquipmentSequence") or ()
    return any(
        text(item, "Manufacturer").casefold() == OWN_MANUFACTURER.casefold() for item in (header.dataset, *equipment)
    )


def _parse(file: BinaryIO) -> Dataset:
    try:
        dataset = dcmread(file, stop_before_pixels=True)
    except InvalidDicomError:
        raise Refused(Reason.NOT_DICOM, "The file does not start as a DICOM file does (PS3.10 7.1).") from None
    except OSError as error:
        if error.errno is not None:
            raise
        raise Refused(Reason.UNDECODABLE, "The header breaks off within a sequence.") from None
    except Exception as error:  # noqa: BLE001  whatever bytes a parser meets, its failure is a property of the file
        raise Refused(Reason.UNDECODABLE, f"The header cannot be parsed ({type(error).__name__}).") from None
    if len(dataset) == 0:
        raise Refused(Reason.TRUNCATED, "The file ends before its first attribute.")
    return dataset


def _refuse_cut_header(dataset: Dataset) -> None:
    """Refuse a header whose last attribute is shorter than it says: the parser takes what is left without a word."""
    for tag in dataset.keys():  # noqa: SIM118  iterating a Dataset converts every element
        element = dataset.get_item(tag, keep_deferred=True)
        if isinstance(element, RawDataElement) and _is_cut(element):
            raise Refused(Reason.TRUNCATED, f"The file ends within the attribute {Tag(tag)}.")


def _is_cut(element: RawDataElement) -> bool:
    return element.length != _UNDEFINED and len(element.value or b"") < element.length


def _drop_undecodable(dataset: Dataset) -> None:
    """Remove elements that would raise when touched, at every depth, so that no later room meets them."""
    for tag in list(dataset.keys()):
        element = dataset.get_item(tag, keep_deferred=True)
        vr = value_representation(element)
        if isinstance(element, RawDataElement) and not _is_decodable(dataset, element, vr):
            del dataset[tag]
        elif vr == "SQ":
            for item in dataset[tag].value:
                _drop_undecodable(item)


def _is_decodable(dataset: Dataset, element: RawDataElement, vr: str) -> bool:
    if vr == "SQ":
        try:
            return dataset[element.tag].VR == "SQ"
        except Exception:  # noqa: BLE001  as in _parse: hostile bytes
            return False
    size = BINARY_VR.get(vr, 1)
    known = not element.VR or element.VR in _KNOWN_VR
    return known and not _is_cut(element) and len(element.value or b"") % size == 0


def _pixel_flaw(file: BinaryIO, dataset: Dataset) -> Note | None:
    """Say what is wrong with the pixel data at the file's position, where the parser stopped; None if nothing."""
    if text(dataset.file_meta, "TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        file.seek(0)
        element = raw(dcmread(file), "PixelData")
        held = 0 if element is None else len(element.value or b"")
        return _native_flaw(dataset, held, held)
    start = file.tell()
    end = file.seek(0, io.SEEK_END)
    file.seek(start)
    implicit, little = dataset.original_encoding
    order = "<" if little else ">"
    head = file.read(12).ljust(12, b"\0")
    group, element_number = struct.unpack(f"{order}HH", head[:4])
    if (group << 16 | element_number) not in _PIXEL_TAGS:
        return _native_flaw(dataset, 0, 0)
    short = not implicit and head[4:6].decode("latin-1") not in LONG_VR
    if implicit or short:
        length = struct.unpack(f"{order}L", head[4:8])[0] if implicit else struct.unpack(f"{order}H", head[6:8])[0]
        value = start + 8
    else:
        length, value = struct.unpack(f"{order}L", head[8:12])[0], start + 12
    if length == _UNDEFINED:
        file.seek(value)
        return _fragments_flaw(file, end)
    return _native_flaw(dataset, min(length, end - value), length)


def _native_flaw(dataset: Dataset, held: int, declared: int) -> Note | None:
    """Compare the bytes that are there with what the element and the image's size ask for (PS3.5 8.1.1)."""
    if held == 0:
        return Note(reason=Reason.NO_PIXEL_DATA, text="The image holds no pixel data.")
    factors = [harmless_number(dataset, keyword) for keyword in ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated")]
    needed = declared
    if all(factor is not None for factor in factors) and "422" not in text(dataset, "PhotometricInterpretation"):
        rows, columns, samples, bits = (factor or 0.0 for factor in factors)
        frames = harmless_number(dataset, "NumberOfFrames") or 1.0
        needed = max(declared, int(rows * columns * samples * frames * bits / 8))
    if held < needed:
        return Note(reason=Reason.TRUNCATED, text=f"The pixel data are cut short: {held} of {needed} bytes.")
    return None


def _fragments_flaw(file: BinaryIO, end: int) -> Note | None:
    """Walk the fragments of encapsulated pixel data (PS3.5 A.4). A missing delimiter at the very end does no harm."""
    fragments = 0
    while head := file.read(8):
        group, element, length = struct.unpack("<HHL", head.ljust(8, b"\xff"))
        if (group, element) == (0xFFFE, 0xE0DD):
            break
        if (group, element) != (0xFFFE, 0xE000) or file.tell() + length > end:
            return Note(reason=Reason.TRUNCATED, text="The compressed pixel data break off within a fragment.")
        fragments += 1 if length else 0
        file.seek(length, io.SEEK_CUR)
    if not fragments:
        return Note(reason=Reason.NO_PIXEL_DATA, text="The image holds no pixel data.")
    return None


def _supply_uids(dataset: Dataset, path: Path, sop_instance_uid: str | None) -> Note | None:
    """Fill in blank UIDs, the same ones on every call; PS3.3 C.7.2.1, C.7.3.1 and C.12.1 ask for all of them."""
    known = {
        "SOPClassUID": text(dataset.file_meta, "MediaStorageSOPClassUID"),
        "SOPInstanceUID": sop_instance_uid or text(dataset.file_meta, "MediaStorageSOPInstanceUID"),
    }
    supplied = [keyword for keyword in known if not text(dataset, keyword) and known[keyword]]
    for keyword in supplied:
        setattr(dataset, keyword, UID(known[keyword]))
    if not text(dataset, "SOPInstanceUID"):
        dataset.SOPInstanceUID = derive_uid("instance", hashlib.sha256(path.read_bytes()).hexdigest())
        supplied.append("SOPInstanceUID")
    if not text(dataset, "StudyInstanceUID"):
        dataset.StudyInstanceUID = _derived_study(dataset)
        supplied.append("StudyInstanceUID")
    if not text(dataset, "SeriesInstanceUID"):
        evidence = [text(dataset, keyword) for keyword in ("StudyInstanceUID", *_SERIES_EVIDENCE)]
        dataset.SeriesInstanceUID = derive_uid("series", *evidence)
        supplied.append("SeriesInstanceUID")
    if not supplied:
        return None
    missing = ", ".join(supplied)
    return Note(
        reason=Reason.UIDS_SUPPLIED,
        text=f"The images came without {missing}; taken from the transfer or derived from other attributes.",
    )


def _derived_study(dataset: Dataset) -> UID:
    """Derive a Study Instance UID from what only images of one study share."""
    if not any(text(dataset, keyword) for keyword in ("FrameOfReferenceUID", "AccessionNumber")) and not (
        text(dataset, "PatientID") and text(dataset, "StudyDate")
    ):
        raise Refused(
            Reason.BAD_ATTRIBUTE,
            "No Study Instance UID, and neither frame of reference, accession number, nor patient ID with date.",
        )
    return derive_uid("study", *(text(dataset, keyword) for keyword in _STUDY_EVIDENCE))
