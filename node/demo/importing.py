"""A DICOM folder as it lies on a disk, made ready for a PACS: what a hospital's "import from CD" does.

Folders that people have at hand hold more than images (DICOMDIR, viewers, thumbnails, empty files), and published
samples often have their UIDs blanked. C-STORE cannot carry an object without UIDs (PS3.7 9.1.1), so those are
supplied, the same on every run, and counted so that it can be said. The folder itself is only read.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.uid import (
    UID,
    CTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
)

from node.dicom.uids import derive_uid

NOT_DICOM = "not DICOM"
EMPTY = "empty"
DICOMDIR = "DICOMDIR"
BROKEN = "broken DICOM"
REPEATED = "repeated"

_TAGS = [
    *("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID", "PatientID", "PatientName"),
    *("StudyDate", "StudyTime", "StudyID", "StudyDescription", "Modality", "SeriesNumber", "SeriesDescription"),
]
# A data set without the 128-byte preamble starts with an element of group 0002 or 0008, in either byte order.
_BARE_SYNTAX = {
    (True, True): ImplicitVRLittleEndian,
    (False, True): ExplicitVRLittleEndian,
    (False, False): ExplicitVRBigEndian,
}
_BARE_STARTS = (b"\x02\x00", b"\x08\x00", b"\x00\x02", b"\x00\x08")


@dataclass(frozen=True)
class ImportedStudy:
    """One study, ready for C-STORE.

    Attributes
    ----------
    uid
        StudyInstanceUID.
    instances
        Part 10 files by SOP Instance UID, every one with all its UIDs.
    date, description
        Study Date (``YYYYMMDD``) and Study Description, "" where there are none.
    ct_images
        How many of the files are CT images.
    supplied
        In how many files a blank UID was supplied.
    """

    uid: str
    instances: Mapping[str, Path]
    date: str
    description: str
    ct_images: int
    supplied: int

    @property
    def files(self) -> tuple[Path, ...]:
        """The files."""
        return tuple(self.instances.values())


@dataclass(frozen=True)
class Imported:
    """What a folder holds.

    Attributes
    ----------
    studies
        The studies, oldest first.
    ignored
        How many files are left out, by cause.
    """

    studies: tuple[ImportedStudy, ...]
    ignored: Mapping[str, int]


@dataclass
class _File:
    path: Path
    header: Dataset
    bare: bool
    sop_class: str
    instance: str
    supplied: dict[str, str]

    def get(self, keyword: str) -> str:
        return self.supplied.get(keyword) or _text(self.header, keyword)

    def mend(self, into: Path) -> None:
        """Write the file anew under `into`, with what it lacked."""
        dataset = dcmread(self.path, force=self.bare)
        for keyword, value in self.supplied.items():
            setattr(dataset, keyword, value)
        if "TransferSyntaxUID" not in dataset.file_meta:
            implicit, little = dataset.original_encoding
            dataset.file_meta.TransferSyntaxUID = _BARE_SYNTAX[bool(implicit), bool(little)]
        # What part 10 says of the object must agree with the object itself (PS3.10 7.1).
        dataset.file_meta.MediaStorageSOPClassUID = UID(self.sop_class)
        dataset.file_meta.MediaStorageSOPInstanceUID = UID(self.instance)
        into.mkdir(parents=True, exist_ok=True)
        copy = into / f"{hashlib.sha256(self.instance.encode()).hexdigest()[:32]}.dcm"
        dataset.save_as(copy, enforce_file_format=True)
        self.path = copy


def import_folder(folder: Path, into: Path) -> Imported:
    """Find the DICOM studies under a folder.

    Parameters
    ----------
    folder
        Any folder; searched recursively.
    into
        Where the few files are written that need another form: blank UIDs supplied, or a missing file header.

    Returns
    -------
    Imported
        Files that need nothing are named where they lie.
    """
    ignored: Counter[str] = Counter()
    files: dict[str, _File] = {}
    # pydicom warns of every value that breaks the rules of its VR. Here it matters only whether C-STORE can carry the
    # object; what its values are worth is the node's to judge.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path in _walk(folder):
            found = _look_at(path)
            if isinstance(found, str):
                ignored[found] += 1
            elif files.setdefault(found.instance, found) is not found:
                ignored[REPEATED] += 1
        members = list(files.values())
        _supply(members, "SeriesInstanceUID", _series_group)
        _supply(members, "StudyInstanceUID", _study_group)
        usable = [file for file in members if _is_ready(file, into)]
    if len(usable) < len(members):
        ignored[BROKEN] += len(members) - len(usable)
    return Imported(tuple(_studies(usable)), dict(ignored))


def _walk(folder: Path) -> Iterator[Path]:
    """Yield every file in a fixed order. Links to folders are not followed: they may lead round in a circle."""
    for directory, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(directory) / name
            if path.is_file():
                yield path


def _look_at(path: Path) -> _File | str:
    """Read the header, or say why the file is left out."""
    with path.open("rb") as stream:
        head = stream.read(132)
    if not head:
        return EMPTY
    bare = head[128:] != b"DICM"
    if bare and not head.startswith(_BARE_STARTS):
        return NOT_DICOM
    try:
        header = dcmread(path, stop_before_pixels=True, specific_tags=_TAGS, force=bare)
    except Exception:  # noqa: BLE001  pydicom raises whatever broken bytes lead it to; this file is simply not usable
        return NOT_DICOM
    return _identify(path, header, bare=bare)


def _identify(path: Path, header: Dataset, *, bare: bool) -> _File | str:
    meta = header.file_meta
    sop_class = _text(header, "SOPClassUID") or _text(meta, "MediaStorageSOPClassUID")
    if sop_class == MediaStorageDirectoryStorage:
        return DICOMDIR
    if not sop_class:
        return NOT_DICOM if bare else BROKEN
    instance = _text(header, "SOPInstanceUID") or _text(meta, "MediaStorageSOPInstanceUID")
    instance = instance or derive_uid("import", "instance", _digest(path))
    supplied = {k: v for k, v in (("SOPClassUID", sop_class), ("SOPInstanceUID", instance)) if not _text(header, k)}
    return _File(path, header, bare, sop_class, instance, supplied)


def _supply(files: Sequence[_File], keyword: str, group: Callable[[_File], Hashable]) -> None:
    """Give every group of files whose UID is blank one UID, derived from the content of its files.

    The content and not, say, name and date: the UID is a plain hash, from which those could be guessed.
    """
    groups: dict[Hashable, list[_File]] = {}
    for file in files:
        if not file.get(keyword):
            groups.setdefault(group(file), []).append(file)
    for members in groups.values():
        uid = derive_uid("import", keyword, *sorted(_digest(file.path) for file in members))
        for file in members:
            file.supplied[keyword] = uid


def _study_group(file: _File) -> Hashable:
    return tuple(file.get(k) for k in ("PatientID", "PatientName", "StudyDate", "StudyTime", "StudyID"))


def _series_group(file: _File) -> Hashable:
    series = tuple(file.get(k) for k in ("StudyInstanceUID", "Modality", "SeriesNumber", "SeriesDescription"))
    return _study_group(file), series, file.path.parent


def _is_ready(file: _File, into: Path) -> bool:
    """Mend the file if it needs it; False if it cannot be written."""
    if file.supplied or file.bare:
        try:
            file.mend(into)
        except Exception:  # noqa: BLE001  as above: there is no end to the ways in which a header can be broken
            return False
    return True


def _studies(files: Sequence[_File]) -> Iterator[ImportedStudy]:
    """Put the files together by study, the oldest first."""
    studies: dict[str, list[_File]] = {}
    for file in files:
        studies.setdefault(file.get("StudyInstanceUID"), []).append(file)
    for uid, members in sorted(studies.items(), key=lambda item: (item[1][0].get("StudyDate"), item[0])):
        yield ImportedStudy(
            uid=uid,
            instances={file.instance: file.path for file in members},
            date=members[0].get("StudyDate"),
            description=next((d for file in members if (d := file.get("StudyDescription"))), ""),
            ct_images=sum(file.sop_class == CTImageStorage for file in members),
            supplied=sum(bool(file.supplied) for file in members),
        )


def _text(dataset: Dataset, keyword: str) -> str:
    value = dataset.get(keyword)
    return "" if value is None else str(value).strip()


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
