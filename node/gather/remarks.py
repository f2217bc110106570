"""What must be said of a stack whose headers leave something out or contradict what its images show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from node.dicom.geometry import Geometry
from node.dicom.reasons import Note, Reason
from node.gather.images import CtImage

_RECIST_SLICE_MM = 5.0
_SAME_MM = 0.05


def remarks(images: Sequence[CtImage], geometry: Geometry) -> Iterator[Note]:
    """Yield the notes of a stack, in a stable order.

    Parameters
    ----------
    images
        Sorted images of one stack.
    geometry
        Their grid.
    """
    first = images[0]
    of_headers = (note for image in images for note in image.header.notes)
    yield from {note.text: note for note in of_headers if note.reason is Reason.UIDS_SUPPLIED}.values()
    if not first.said("PatientID"):
        yield Note(reason=Reason.NO_PATIENT_ID, text="No Patient ID: the study is read but linked to no other study.")
    if not first.said("FrameOfReferenceUID"):
        yield Note(
            reason=Reason.NO_FRAME_OF_REFERENCE,
            text="No Frame of Reference UID: positions hold within this series only.",
        )
    if not first.said("Manufacturer"):
        yield Note(reason=Reason.NO_MANUFACTURER, text="The images do not name the manufacturer of the scanner.")
    if any(image.is_lossy for image in images):
        yield Note(
            reason=Reason.LOSSY_COMPRESSED, text="The images went through lossy compression; CT values may be altered."
        )
    yield from _thickness(images, geometry.spacing[0])


def _thickness(images: Sequence[CtImage], spacing: float) -> Iterator[Note]:
    if spacing > _RECIST_SLICE_MM + _SAME_MM:
        yield Note(
            reason=Reason.THICK_SLICES,
            text=f"One slice every {spacing:.1f} mm: lesions below {2 * spacing:.0f} mm may be missed (RECIST 1.1 asks "
            "for slices of 5 mm or less).",
        )
    thicknesses = {image.thickness for image in images}
    stated = next(iter(thicknesses))
    if None in thicknesses or stated is None:
        yield Note(
            reason=Reason.THICKNESS_MISSING,
            text=f"Slice thickness is not stated; the slices lie {spacing:.2f} mm apart by their positions.",
        )
        return
    between = images[0].spacing_between
    contradictions = []
    if len(thicknesses) > 1:
        contradictions.append("the slices state different thicknesses")
    elif abs(stated - spacing) > _SAME_MM:
        kind = "overlapping slices" if stated > spacing else "gaps between slices"
        contradictions.append(f"the stated slice thickness is {stated:.2f} mm ({kind})")
    if between is not None and abs(abs(between) - spacing) > _SAME_MM:
        contradictions.append(f"the stated spacing between slices is {abs(between):.2f} mm")
    if contradictions:
        yield Note(
            reason=Reason.THICKNESS_CONTRADICTED,
            text=f"The slices lie {spacing:.2f} mm apart by their positions, which are used; "
            f"{'; '.join(contradictions)}.",
        )
