"""From a real header to a pseudonymous one: a new data set that takes over what `attributes` lists, and no more."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta

from pydicom import DataElement, Dataset
from pydicom.datadict import dictionary_VR
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from node.dicom.datasets import PseudonymousDataset, RealDataset
from node.dicom.reasons import Reason, Refused
from node.dicom.uids import derive_uid
from node.identity import attributes, dates
from node.identity.pseudonyms import WELL_KNOWN_ROOT, Pseudonymiser
from node.identity.values import ascii_values, number_element, tag_of, text_value

METHOD = "Overread: allow-list, keyed pseudonyms, shifted dates"

_DEVICE_TEXT = re.compile(r"[A-Za-z0-9][A-Za-z0-9 .,_+/()-]{0,63}")
_WORD = re.compile(r"[a-z0-9]{2,}")
_LONG_WORD = 4
_SEPARATOR = "\x1f"  # stands in no text of DICOM


@dataclass(frozen=True, repr=False)
class Subject:
    """Whose study a header belongs to: what every pseudonym of it derives from.

    Attributes
    ----------
    issuer, patient_id
        Who gave the patient's ID, with its universal form where stated; the ID. "" where the source has none.
    study_uid
        The real StudyInstanceUID.
    """

    issuer: str
    patient_id: str
    study_uid: str

    @classmethod
    def of(cls, real: RealDataset) -> Subject:
        """Read them from a header.

        Raises
        ------
        Refused
            ``bad-attribute`` if it has no StudyInstanceUID.
        """
        dataset = real.dataset
        issuer = [text_value(dataset, "IssuerOfPatientID")]
        for item in dataset.get("IssuerOfPatientIDQualifiersSequence") or ():
            if isinstance(item, Dataset):
                issuer += [text_value(item, "UniversalEntityID"), text_value(item, "UniversalEntityIDType")]
        patient_id, study_uid = text_value(dataset, "PatientID"), _uid(dataset, "StudyInstanceUID")
        return cls(_SEPARATOR.join(issuer).rstrip(_SEPARATOR), patient_id, study_uid)


def pseudonymise(real: RealDataset, pseudonymiser: Pseudonymiser) -> PseudonymousDataset:
    """Make the pseudonymous header of one source image.

    Parameters
    ----------
    real
        Header of an image; it is not changed. It needs its four UIDs (SOP class and instance, study, series).
    pseudonymiser
        The site's.

    Returns
    -------
    PseudonymousDataset
        Flat, without private attributes and free text, in ASCII. It has the patient and study attributes that results
        copy, pseudonymous or empty, and always a FrameOfReferenceUID: a missing one is supplied from the series'
        pseudonym, because a SEG cannot do without (PS3.3 C.7.4.1, Type 1).

    Raises
    ------
    Refused
        ``bad-attribute`` if a UID is missing, or the SOP class is not one of the standard.

    Notes
    -----
    PatientIdentityRemoved, DeidentificationMethod: PS3.3 C.7.1.1. LongitudinalTemporalInformationModified: C.12.1.
    """
    source, subject = real.dataset, Subject.of(real)
    shift = pseudonymiser.date_shift(subject.issuer, subject.patient_id, subject.study_uid)
    dataset = Dataset()
    _keep_uids(source, dataset, pseudonymiser)
    _keep_times(source, dataset, shift)
    _keep_numbers_and_terms(source, dataset)
    _stand_in_for_identity(dataset, subject, pseudonymiser)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return PseudonymousDataset(dataset)


def supplied_frame_of_reference(pseudonymous_series_uid: str) -> str:
    """Return the frame of reference of a series that has none: the same for every result of the series."""
    return derive_uid("frame-of-reference", pseudonymous_series_uid)


def _stand_in_for_identity(dataset: Dataset, subject: Subject, pseudonymiser: Pseudonymiser) -> None:
    patient = pseudonymiser.patient(subject.issuer, subject.patient_id)
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientName = f"{patient}^" if patient else ""  # with a component's end: highdicom doubts it otherwise
    dataset.PatientID = patient
    dataset.PatientBirthDate = ""
    dataset.PatientSex = ""
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = METHOD
    dataset.LongitudinalTemporalInformationModified = "MODIFIED"
    dataset.StudyID = pseudonymiser.study_key(subject.study_uid)
    dataset.AccessionNumber = ""
    dataset.ReferringPhysicianName = ""
    for keyword in ("StudyDate", "StudyTime", "Manufacturer"):  # Type 2: present, if empty
        if keyword not in dataset:
            _add(dataset, keyword, [""])


def _keep_uids(source: Dataset, dataset: Dataset, pseudonymiser: Pseudonymiser) -> None:
    sop_class = _uid(source, "SOPClassUID")
    if not sop_class.startswith(WELL_KNOWN_ROOT):
        raise Refused(Reason.BAD_ATTRIBUTE, "SOPClassUID is not a storage class of the standard")
    _add(dataset, "SOPClassUID", [sop_class])
    for keyword in attributes.UIDS:
        _add(dataset, keyword, [pseudonymiser.uid(_uid(source, keyword))])
    frame = ascii_values(source, "FrameOfReferenceUID")
    supplied = supplied_frame_of_reference(dataset.SeriesInstanceUID)
    _add(dataset, "FrameOfReferenceUID", [pseudonymiser.uid(frame[0]) if frame else supplied])


def _keep_times(source: Dataset, dataset: Dataset, shift: timedelta) -> None:
    for keyword in attributes.DATES:
        moved = [dates.move(value, shift) for value in ascii_values(source, keyword)]
        _add(dataset, keyword, [value for value in moved if value])
    for keyword in attributes.TIMES:
        _add(dataset, keyword, [value for value in ascii_values(source, keyword) if dates.is_time(value)])


def _keep_numbers_and_terms(source: Dataset, dataset: Dataset) -> None:
    words = _identifying_words(source)
    for keyword in (*attributes.NUMBERS, *attributes.FREE_NUMBERS):
        element = number_element(source, keyword)
        if element is not None and not (keyword in attributes.FREE_NUMBERS and _tells(str(element.value), words)):
            dataset.add(element)
    for keyword, terms in attributes.TERMS.items():
        _add(dataset, keyword, [value for value in ascii_values(source, keyword) if value in terms])
    for keyword in attributes.DEVICE_TEXTS:
        _add(dataset, keyword, [value for value in ascii_values(source, keyword) if _is_device_text(value, words)])


def _uid(dataset: Dataset, keyword: str) -> str:
    values = ascii_values(dataset, keyword)
    if len(values) != 1:
        raise Refused(Reason.BAD_ATTRIBUTE, f"{keyword} is missing or has several values")
    return values[0]


def _add(dataset: Dataset, keyword: str, values: list[str]) -> None:
    if values:
        tag = tag_of(keyword)
        dataset.add(DataElement(tag, dictionary_VR(tag), values[0] if len(values) == 1 else values))


def _identifying_words(source: Dataset) -> frozenset[str]:
    """Return the words of the names and numbers in a header, in lower case."""
    found: set[str] = set()
    for keyword in attributes.IDENTIFYING:
        for value in ascii_values(source, keyword):
            found.update(_WORD.findall(value.lower()))
    return frozenset(found)


def _is_device_text(value: str, identifying: frozenset[str]) -> bool:
    return _DEVICE_TEXT.fullmatch(value) is not None and not _tells(value, identifying)


def _tells(value: str, identifying: frozenset[str]) -> bool:
    """Tell whether a text has an identifying word: a short one as a word of its own, a longer one anywhere."""
    text = value.lower()
    words = set(_WORD.findall(text))
    return bool(words & identifying) or any(len(word) >= _LONG_WORD and word in text for word in identifying)
