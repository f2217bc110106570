"""What the way back of one study needs: whose it is, as the source's bytes say it, and its UIDs."""

from __future__ import annotations

import base64
import io
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property
from typing import Any

from pydicom import DataElement, Dataset
from pydicom.charset import convert_encodings
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.tag import Tag

from node.dicom.datasets import RealDataset
from node.dicom.reasons import Reason, Refused
from node.identity import attributes
from node.identity.deidentify import Subject, supplied_frame_of_reference
from node.identity.pseudonyms import Pseudonymiser
from node.identity.values import ascii_values, raw_element, tag_of, text_value

IDENTITY = (*attributes.PATIENT_MODULE, *attributes.STUDY_MODULE)
_REPLACEMENT = "\ufffd"


@dataclass(frozen=True)
class StudyRecord:
    """The real side of one study. Never logged; it lies in the vault.

    Attributes
    ----------
    patient
        The patient's pseudonym, "" if the study names no patient.
    study_uid
        The study's pseudonym.
    shift_days
        By how many days the pseudonymous dates lie after the real ones (negative: before).
    identity
        Patient and study attributes of the source (`IDENTITY`) with its character set, in Explicit VR Little Endian.
    uids
        Real UIDs by their pseudonyms: study, series, instances, frames of reference. A supplied frame of reference
        stands for itself.
    """

    patient: str
    study_uid: str
    shift_days: int
    identity: bytes = field(repr=False)
    uids: dict[str, str] = field(repr=False)

    @classmethod
    def of(cls, headers: Sequence[RealDataset], pseudonymiser: Pseudonymiser) -> StudyRecord:
        """Draw up the record of a study from the headers of its images.

        Parameters
        ----------
        headers
            All of one study and one patient, at least one. The first one's identity is what results will carry.
        pseudonymiser
            The site's.

        Raises
        ------
        Refused
            ``more-than-one-patient`` if they are not; ``bad-attribute`` if a UID is missing, or a name or number of
            the identity cannot be read by the character set that the source states.
        """
        # Identity first: it wants the source's bytes, and other readers make pydicom convert them.
        identity = _encode(_identity(headers[0]))
        subject = Subject.of(headers[0])
        uids = {str(pseudonymiser.uid(subject.study_uid)): subject.study_uid}
        for header in headers:
            if not _same_subject(headers[0], header):
                raise Refused(Reason.MORE_THAN_ONE_PATIENT, "the images name more than one patient or study")
            uids.update(_uids_of(header, pseudonymiser))
        return cls(
            patient=pseudonymiser.patient(subject.issuer, subject.patient_id),
            study_uid=str(pseudonymiser.uid(subject.study_uid)),
            shift_days=pseudonymiser.date_shift(subject.issuer, subject.patient_id, subject.study_uid).days,
            identity=identity,
            uids=uids,
        )

    def with_later(self, later: StudyRecord) -> StudyRecord:
        """Return the record after more images of the study came: all UIDs, and the identity that was read last.

        A name that the PACS corrects between two deliveries is thereby corrected in the results too.

        Raises
        ------
        Refused
            ``identity-mismatch`` if the later images are another patient's.
        """
        same = (self.patient, self.study_uid, self.shift_days) == (later.patient, later.study_uid, later.shift_days)
        if not same or not (self.patient or _same_name(self.dataset, later.dataset)):
            raise Refused(Reason.IDENTITY_MISMATCH, "further images of this study name another patient")
        return replace(later, uids={**self.uids, **later.uids})

    @property
    def shift(self) -> timedelta:
        """What was added to the real dates."""
        return timedelta(days=self.shift_days)

    @cached_property
    def dataset(self) -> Dataset:
        """The identity as a data set of raw elements: shared, to be read and not to be changed."""
        return decode_identity(self.identity)

    def to_bytes(self) -> bytes:
        """Serialise, compressed: 5,000 instances take about half a megabyte."""
        fields = {**self.__dict__, "identity": base64.b64encode(self.identity).decode("ascii")}
        fields.pop("dataset", None)
        return zlib.compress(json.dumps(fields).encode("ascii"), level=1)

    @classmethod
    def from_bytes(cls, data: bytes) -> StudyRecord:
        """Read what `to_bytes` wrote."""
        fields: dict[str, Any] = json.loads(zlib.decompress(data))
        return cls(**{**fields, "identity": base64.b64decode(fields["identity"])})


def decode_identity(data: bytes) -> Dataset:
    """Return the identity of a record as a data set whose elements are still the source's bytes."""
    return read_dataset(io.BytesIO(data), is_implicit_VR=False, is_little_endian=True)


def _identity(header: RealDataset) -> Dataset:
    """Take the identity out of a header, with its bytes wherever nobody has converted them yet."""
    source, identity = header.dataset, Dataset()
    for keyword in ("SpecificCharacterSet", *IDENTITY):
        tag = Tag(tag_of(keyword))
        element = source.get_item(tag)
        if element is None:
            continue
        if dictionary_VR(tag) == "SQ":
            identity.add(source[tag])
        elif isinstance(element, RawDataElement):
            identity[tag] = raw_element(tag, element.value or b"")
        elif _REPLACEMENT not in str(element.value):
            identity.add(DataElement(tag, element.VR, element.value, already_converted=True))
        elif keyword != "StudyDescription":  # the one that no PACS files by, and the one often miscoded
            raise Refused(Reason.BAD_ATTRIBUTE, f"{keyword} is not written in the character set that the image states")
    return identity


def _encode(identity: Dataset) -> bytes:
    # Written as it was read, so that pydicom passes the raw bytes through.
    charset = ascii_values(identity, "SpecificCharacterSet")
    identity.set_original_encoding(False, True, convert_encodings(list(charset) or None))
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = False, True
    write_dataset(buffer, identity)
    return buffer.getvalue()


def _uids_of(header: RealDataset, pseudonymiser: Pseudonymiser) -> dict[str, str]:
    found = {}
    for keyword in ("SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"):
        for real in ascii_values(header.dataset, keyword)[:1]:
            found[keyword] = (str(pseudonymiser.uid(real)), real)
    if len(found.keys() & {"SeriesInstanceUID", "SOPInstanceUID"}) != 2:
        raise Refused(Reason.BAD_ATTRIBUTE, "an image lacks its SeriesInstanceUID or SOPInstanceUID")
    supplied = str(supplied_frame_of_reference(found["SeriesInstanceUID"][0]))
    found.setdefault("FrameOfReferenceUID", (supplied, supplied))
    return dict(found.values())


def _same_subject(one: RealDataset, other: RealDataset) -> bool:
    subject = Subject.of(one)
    return Subject.of(other) == subject and (bool(subject.patient_id) or _same_name(one.dataset, other.dataset))


def _same_name(one: Dataset, other: Dataset) -> bool:
    """Tell two patients without an ID apart as well as can be."""
    return all(text_value(one, key) == text_value(other, key) for key in ("PatientName", "PatientBirthDate"))
