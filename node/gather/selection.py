"""Which images of a study make a volume that can be read, and the named reason of every other one.

Headers only: no pixel is touched, so that a study of thousands of images is sorted in a moment. Where several stacks
would do, `node.gather.study` looks at their pixels.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom import dcmread

from node.dicom.datasets import RealDataset
from node.dicom.geometry import Geometry
from node.dicom.reasons import Note, Reason, Refused
from node.gather import stacks
from node.gather.fields import text
from node.gather.headers import is_own_result, study_key
from node.gather.images import CtImage, read_image
from node.gather.remarks import remarks

# Above 8 mm, lesions of 2 to 4 ml begin to fall between slices (docs/gather.md).
THICKEST_MM = 8.0
# No liver fits into less: the shortest stack that may hold one whole.
SHORTEST_MM = 80.0
# 2048 slices of 512 x 512: 1 GiB of Hounsfield units, and a metre of patient at 0.5 mm.
LARGEST_VOXELS = 2**29
# The networks know flips and turns by 90 degrees, not oblique sections.
_AXIAL_DEGREES = 15.0
_ORTHOGONAL_DEGREES = 30.0
_FEW = 3
_PROJECTIONS = frozenset({"MIP", "MINIP", "MAX_IP", "MIN_IP", "MAXIMUM", "MINIMUM", "AVERAGE", "AVG"})


@dataclass(frozen=True, eq=False)
class Candidate:
    """A stack of images that makes a regular axial volume.

    Attributes
    ----------
    images
        Sorted along the slice axis of `geometry`.
    geometry
        The grid, as the headers state it.
    notes
        What must be said of it: attributes that are absent or contradict each other.
    """

    images: tuple[CtImage, ...]
    geometry: Geometry
    notes: tuple[Note, ...]

    @property
    def headers(self) -> tuple[RealDataset, ...]:
        """The headers in the order of the slices."""
        return tuple(image.header for image in self.images)

    @property
    def extent_mm(self) -> float:
        """Length in mm along the slice axis, half a slice at each end included."""
        return self.geometry.shape[0] * self.geometry.spacing[0]


@dataclass(frozen=True, eq=False)
class Selection:
    """What can be read in a study, and why the rest is not.

    Attributes
    ----------
    candidates
        One or more, the one that the headers prefer first.
    rejected
        The reason of every instance that is in no candidate, by path.
    notes
        What must be said of the study whichever candidate is read.
    """

    candidates: tuple[Candidate, ...]
    rejected: dict[Path, Note]
    notes: tuple[Note, ...]

    @property
    def chosen(self) -> tuple[RealDataset, ...]:
        """The headers of the first candidate, in the order of the slices."""
        return self.candidates[0].headers

    @property
    def set_aside(self) -> dict[Path, Note]:
        """The reason of every instance that is not in the first candidate."""
        result = dict(self.rejected)
        for candidate in self.candidates[1:]:
            result |= named(candidate.headers, OTHER_PREFERRED)
        return result


OTHER_PREFERRED = Note(reason=Reason.OTHER_SERIES_PREFERRED, text="Readable, but another series is read.")


class StudyRefused(Refused):
    """A study in which nothing can be read.

    Parameters
    ----------
    reason
        That of the stack that came closest.
    text
        One sentence without identity.
    set_aside
        The reason of every instance, by path.
    """

    def __init__(self, reason: Reason, text: str, set_aside: Mapping[Path, Note] | None = None) -> None:
        super().__init__(reason, text)
        self.set_aside = dict(set_aside or {})

    def __reduce__(self) -> tuple[type[StudyRefused], tuple[Reason, str, dict[Path, Note]]]:
        """Survive the way through another process."""
        return (type(self), (self.reason, self.text, self.set_aside))


def select(headers: Sequence[RealDataset], same_pixels: stacks.SamePixels | None = None) -> Selection:
    """Sort the images of one study into stacks and keep those that make a readable volume.

    Parameters
    ----------
    headers
        All instances of the study, in any order, each with its path.
    same_pixels
        Tells whether two images at one place are copies of each other; by default, their pixel data are compared.

    Raises
    ------
    StudyRefused
        MORE_THAN_ONE_PATIENT; or, if nothing is readable, the reason of the largest axial stack, NO_SUITABLE_SERIES
        where there is none.
    ValueError
        If the headers are of several studies or one has no path.
    """
    if len({study_key(header) for header in headers}) > 1 or any(header.path is None for header in headers):
        raise ValueError("select takes the instances of one study, each with its path")
    _refuse_mixed_patients(headers)
    images, rejected = _ct_images(headers)
    candidates: list[Candidate] = []
    refusals: list[tuple[int, Note]] = []
    for members in stacks.group(images):
        verdict = _by_orientation(members)
        if verdict:
            rejected |= named((image.header for image in members), verdict)
            continue
        for stack in stacks.divide(members):
            try:
                candidate, copies = _candidate(stack, same_pixels or _same_pixel_data)
            except Refused as refusal:
                rejected |= named((image.header for image in stack), refusal.note)
                refusals.append((len(stack), refusal.note))
            else:
                candidates.append(candidate)
                rejected |= {_path(image.header): note for image, note in copies}
    refusals.sort(key=lambda refusal: -refusal[0])
    if not candidates:
        raise _nothing_readable(refusals, rejected)
    candidates.sort(key=rank)
    return Selection(tuple(candidates), rejected, tuple(_doubts(refusals, candidates[0])))


def named(headers: Iterable[RealDataset], note: Note) -> dict[Path, Note]:
    """Return the same note for each of these instances."""
    return {_path(header): note for header in headers}


def rank(candidate: Candidate) -> tuple[float, ...]:
    """Return the sort key by headers alone, smaller is better.

    A projection (MIP, thick average) is no CT slice; then: holds a whole liver, thinner down to 1.5 mm, more coverage.
    Image Type only breaks what geometry leaves open.
    """
    spacing = candidate.geometry.spacing[0]
    projection = bool(_PROJECTIONS.intersection(candidate.images[0].image_type))
    return (projection, candidate.extent_mm < 150, max(spacing, 1.5), -candidate.extent_mm)


def _refuse_mixed_patients(headers: Sequence[RealDataset]) -> None:
    """Refuse a study that names two patients: by ID and issuer where given, else by name and birth date."""
    by_id: set[tuple[str, str]] = set()
    by_name: set[tuple[str, str]] = set()
    for header in headers:
        patient_id = text(header.dataset, "PatientID")
        if patient_id:
            by_id.add((patient_id, text(header.dataset, "IssuerOfPatientID")))
        elif name := text(header.dataset, "PatientName"):
            by_name.add((name, text(header.dataset, "PatientBirthDate")))
    if len(by_id) > 1 or len(by_name) > 1:
        raise StudyRefused(
            Reason.MORE_THAN_ONE_PATIENT,
            f"The study names {max(len(by_id), len(by_name))} patients; nothing in it is read.",
            named(headers, Note(reason=Reason.MORE_THAN_ONE_PATIENT, text="Its study names more than one patient.")),
        )


def _ct_images(headers: Sequence[RealDataset]) -> tuple[list[CtImage], dict[Path, Note]]:
    images: list[CtImage] = []
    rejected: dict[Path, Note] = {}
    for header in headers:
        if is_own_result(header):
            rejected[_path(header)] = Note(reason=Reason.OWN_RESULT, text="A result that this node made.")
            continue
        try:
            images.append(read_image(header))
        except Refused as refusal:
            rejected[_path(header)] = refusal.note
    return images, rejected


def _by_orientation(images: Sequence[CtImage]) -> Note | None:
    """Return why images of one orientation are not axial sections, None if they are."""
    first = images[0]
    axes = np.abs(np.array([first.row_axis, first.column_axis, first.normal]))
    off = np.degrees(np.arccos(np.clip(axes.max(axis=1), 0, 1)))
    axial = first.normal @ [0, 0, 1]
    angle = np.degrees(np.arccos(min(abs(float(axial)), 1.0)))
    localizer = "LOCALIZER" in first.image_type
    if angle <= _AXIAL_DEGREES and off.max() <= _AXIAL_DEGREES:
        if localizer and len(images) <= _FEW:
            return Note(reason=Reason.LOCALIZER, text="A localiser: a single projection, not a stack of sections.")
        return None
    if localizer or (len(images) <= _FEW and angle > 90 - _ORTHOGONAL_DEGREES):
        return Note(reason=Reason.LOCALIZER, text=f"A localiser or single reformat, {angle:.0f} degrees off axial.")
    if angle > 90 - _ORTHOGONAL_DEGREES and off[2] <= _ORTHOGONAL_DEGREES:
        plane = "sagittal" if axes[2].argmax() == 0 else "coronal"
        return Note(reason=Reason.REFORMAT, text=f"A {plane} stack; axial sections are read.")
    return Note(
        reason=Reason.WRONG_ORIENTATION,
        text=f"Sections {angle:.0f} degrees off axial, turned by {off.max():.0f} degrees; axial sections are read.",
    )


def _candidate(
    images: Sequence[CtImage], same_pixels: stacks.SamePixels
) -> tuple[Candidate, list[tuple[CtImage, Note]]]:
    ordered, copies = stacks.without_copies(stacks.sorted_by_place(images), same_pixels)
    flaws = {image.flaw for image in ordered}
    if len(flaws) == 1 and (flaw := flaws.pop()):
        raise Refused(flaw.reason, flaw.text)
    geometry = stacks.grid(ordered)
    spacing, extent = geometry.spacing[0], geometry.shape[0] * geometry.spacing[0]
    if len(ordered) <= _FEW or extent < SHORTEST_MM:
        covered = "1 slice" if len(ordered) == 1 else f"{len(ordered)} slices, {extent:.0f} mm"
        raise Refused(Reason.COVERAGE_TOO_SMALL, f"{covered}: at least {SHORTEST_MM:.0f} mm are needed for a liver.")
    if spacing > THICKEST_MM:
        raise Refused(
            Reason.SLICE_TOO_THICK, f"One slice every {spacing:.1f} mm; more than {THICKEST_MM:.0f} mm hide lesions."
        )
    voxels = int(np.prod(geometry.shape))
    if voxels > LARGEST_VOXELS:
        raise Refused(Reason.TOO_LARGE, f"{len(ordered)} slices, {voxels} voxels; at most {LARGEST_VOXELS} are read.")
    return Candidate(tuple(ordered), geometry, tuple(remarks(ordered, geometry))), copies


def _nothing_readable(refusals: Sequence[tuple[int, Note]], rejected: Mapping[Path, Note]) -> StudyRefused:
    if refusals:
        note = refusals[0][1]
        return StudyRefused(note.reason, note.text, rejected)
    counts = Counter(note.reason.value for note in rejected.values())
    listed = ", ".join(f"{count} {reason}" for reason, count in counts.most_common())
    return StudyRefused(
        Reason.NO_SUITABLE_SERIES, f"No axial CT series among {len(rejected)} instances ({listed or 'none'}).", rejected
    )


def _doubts(refusals: Sequence[tuple[int, Note]], best: Candidate) -> Iterable[Note]:
    """Say that a stack was passed over which might have been the better one."""
    for count, note in refusals:
        if count >= 0.5 * len(best.images):
            yield Note(reason=note.reason, text=f"Another series of {count} images could not be used: {note.text}")


def _same_pixel_data(a: CtImage, b: CtImage) -> bool:
    """Compare the pixel data as they are stored; the same UID and place with other bytes is not the same image."""
    digests = [hashlib.sha256(dcmread(_path(image.header)).PixelData).digest() for image in (a, b)]
    return digests[0] == digests[1]


def _path(header: RealDataset) -> Path:
    if header.path is None:
        raise ValueError("the header was not read from a file")
    return header.path
