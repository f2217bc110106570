"""Images into stacks: slices that make one regular volume, or the reason why they do not.

A series is no promise of a volume: scanners, converters and de-identifiers put localisers, phases, reconstructions and
copies of images under one Series Instance UID. What counts here is where the images lie.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from node.dicom.geometry import Geometry
from node.dicom.reasons import Note, Reason, Refused
from node.gather.images import CtImage

SamePixels = Callable[[CtImage, CtImage], bool]

SAME_PLACE_MM = 0.01
# A gap this much larger than the usual one is a missing slice, not a rounded position.
MISSING_GAP = 1.5
# Positions are often rounded to 0.1 mm, so single gaps scatter; what must hold is the place of each slice on the grid.
GRID_TOLERANCE = 0.1
_DIRECTION_TOLERANCE = 0.01
_TILT_DEGREES = 1.0


def group(images: Iterable[CtImage]) -> list[list[CtImage]]:
    """Split images by what one volume cannot mix: series, patient, matrix, orientation and pixel spacing."""
    by_series: dict[Hashable, list[list[CtImage]]] = defaultdict(list)
    for image in images:
        patient = image.said("PatientID"), image.said("IssuerOfPatientID")
        alike = by_series[image.series_uid, patient, image.rows, image.columns]
        for members in alike:
            if _same_plane(members[0], image):
                members.append(image)
                break
        else:
            alike.append([image])
    return [members for alike in by_series.values() for members in alike]


def _same_plane(a: CtImage, b: CtImage) -> bool:
    turned = max(np.abs(a.row_axis - b.row_axis).max(), np.abs(a.column_axis - b.column_axis).max())
    scaled = max(abs(p - q) / p for p, q in zip(a.pixel_spacing, b.pixel_spacing, strict=True))
    return bool(turned < _DIRECTION_TOLERANCE and scaled < _DIRECTION_TOLERANCE)


# What tells two passes over the same place apart, most telling first.
_DISCRIMINATORS: tuple[Callable[[CtImage], Hashable], ...] = (
    lambda image: image.said("FrameOfReferenceUID"),
    lambda image: image.said("AcquisitionNumber"),
    lambda image: image.said("TemporalPositionIdentifier"),
    lambda image: image.said("ConvolutionKernel"),
    lambda image: image.thickness,
    lambda image: image.image_type,
    lambda image: image.said("KVP"),
    lambda image: image.said("ContrastBolusAgent"),
)


def divide(images: Sequence[CtImage]) -> list[list[CtImage]]:
    """Split images that cover the same place more than once into passes, if their headers or numbering tell how.

    A set that already lies on a regular grid is left whole: scanners number rotations of one acquisition differently.

    Returns
    -------
    list
        The passes; the one set unchanged where no split makes sense.
    """
    positions = _along_normal(images)
    multiplicity = _multiplicity(positions)
    if len(images) < 2 or (multiplicity == 1 and _irregularity(np.sort(positions)) is None):
        return [list(images)]
    for discriminator in _DISCRIMINATORS:
        parts: dict[Hashable, list[CtImage]] = defaultdict(list)
        for image in images:
            parts[discriminator(image)].append(image)
        if len(parts) > 1 and _are_passes(list(parts.values()), positions, multiplicity):
            return [stack for part in parts.values() for stack in divide(part)]
    runs = _runs(images)
    if len(runs) > 1 and _overlap(runs, positions) and _are_passes(runs, positions, multiplicity):
        return runs
    return [list(images)]


def _are_passes(parts: list[list[CtImage]], positions: NDArray[np.float64], multiplicity: int) -> bool:
    """Tell passes over the same place from pieces of one pass: a split must not be how a missing slice goes unseen."""
    longest = max(float(np.ptp(_along_normal(part))) for part in parts)
    if len(parts) > 2 * max(multiplicity, 2) or longest < 0.9 * float(np.ptp(positions)):
        return False
    return _overlap(parts, positions) or max(_multiplicity(_along_normal(part)) for part in parts) < multiplicity


def _overlap(parts: list[list[CtImage]], positions: NDArray[np.float64]) -> bool:
    """Return True if the parts together are clearly longer than what they cover."""
    return sum(float(np.ptp(_along_normal(part))) for part in parts) > 1.5 * float(np.ptp(positions))


def _runs(images: Sequence[CtImage]) -> list[list[CtImage]]:
    """Cut at each place where, in the order of Instance Number, the scan starts again."""
    if any(image.instance_number is None for image in images):
        return [list(images)]
    ordered = sorted(images, key=lambda image: image.instance_number or 0.0)
    steps = np.diff(_along_normal(ordered))
    forward = np.sign(np.median(steps))
    runs = [[ordered[0]]]
    for image, step in zip(ordered[1:], steps, strict=True):
        if np.sign(step) == forward:
            runs[-1].append(image)
        else:
            runs.append([image])
    return runs


def sorted_by_place(images: Sequence[CtImage]) -> list[CtImage]:
    """Return the images in the order of their place along the normal; ties by instance number, then UID."""
    places = _along_normal(images)
    keys = [
        (round(float(place) / SAME_PLACE_MM), image.instance_number or 0.0, image.sop_instance_uid, index)
        for index, (place, image) in enumerate(zip(places, images, strict=True))
    ]
    return [images[key[-1]] for key in sorted(keys)]


def without_copies(
    images: Sequence[CtImage], same_pixels: SamePixels
) -> tuple[list[CtImage], list[tuple[CtImage, Note]]]:
    """Keep one image a place; set copies aside.

    Parameters
    ----------
    images
        Sorted by place.
    same_pixels
        Tells whether two images at one place hold the same pixels. Only asked where there are two.

    Raises
    ------
    Refused
        DUPLICATE_POSITION if two different images lie at one place and nothing tells which one belongs to the volume.
    """
    kept: list[CtImage] = []
    copies: list[tuple[CtImage, Note]] = []
    places = _along_normal(images)
    last = -np.inf
    for image, place in zip(images, places, strict=True):
        if place - last >= SAME_PLACE_MM:
            kept.append(image)
            last = place
            continue
        first = kept[-1]
        spare, better = (first, image) if first.flaw and not image.flaw else (image, first)
        if not spare.flaw and not same_pixels(better, spare):
            raise Refused(
                Reason.DUPLICATE_POSITION,
                f"Two different images lie at the place of slice {len(kept)}, and nothing tells them apart.",
            )
        kept[-1] = better
        copies.append((spare, spare.flaw or Note(reason=Reason.DUPLICATE_POSITION, text="A copy of another image.")))
    return kept, copies


def grid(images: Sequence[CtImage]) -> Geometry:
    """Return the regular grid on which sorted single images lie.

    Raises
    ------
    Refused
        The images' own flaw, MIXED_FRAMES, GANTRY_TILT, SLICE_MISSING or UNEVEN_SPACING.
    """
    count = len(images)
    for number, image in enumerate(images, start=1):
        if image.flaw:
            raise Refused(image.flaw.reason, f"Slice {number} of {count}: {image.flaw.text}")
    if len({image.said("FrameOfReferenceUID") for image in images}) > 1:
        raise Refused(Reason.MIXED_FRAMES, f"The {count} slices do not share one frame of reference.")
    first = images[0]
    positions = np.array([image.position for image in images])
    along = positions @ first.normal
    if count > 1:
        irregularity = _irregularity(along)
        if irregularity is not None:
            raise Refused(irregularity.reason, irregularity.text)
    _refuse_tilt(first, positions, along)
    spacing = float(np.ptp(along)) / max(count - 1, 1) or 1.0
    return Geometry(
        shape=(count, first.rows, first.columns),
        origin=_vector(first.position),
        spacing=(spacing, *first.pixel_spacing),
        axes=(_vector(first.normal), _vector(first.column_axis), _vector(first.row_axis)),
    )


def _refuse_tilt(first: CtImage, positions: NDArray[np.float64], along: NDArray[np.float64]) -> None:
    """Refuse slices that are stacked askew: up to half a pixel over the whole stack does no harm."""
    sideways = positions - positions[0] - np.outer(along - along[0], first.normal)
    shift = float(np.linalg.norm(sideways, axis=1).max())
    if shift > 0.5 * min(first.pixel_spacing):
        angle = np.degrees(np.arctan2(shift, max(float(np.ptp(along)), SAME_PLACE_MM)))
        raise Refused(
            Reason.GANTRY_TILT,
            f"The slices are shifted sideways against each other by up to {shift:.1f} mm ({angle:.1f} degrees).",
        )
    tilt = first.tilt or 0.0
    if abs(tilt) > _TILT_DEGREES and abs(first.normal[2]) > np.cos(np.radians(_TILT_DEGREES)):
        raise Refused(
            Reason.GANTRY_TILT,
            f"The gantry is said to be tilted by {tilt:.1f} degrees, but the orientation of the images shows no tilt.",
        )


def _irregularity(along: NDArray[np.float64]) -> Note | None:
    """Return why ascending positions are not a regular grid, None if they are."""
    gaps = np.diff(along)
    if not len(gaps):
        return None
    usual = float(np.median(gaps))
    if usual < SAME_PLACE_MM:
        return Note(reason=Reason.UNEVEN_SPACING, text="Most slices lie at the place of another one.")
    steps = gaps / usual
    wide = np.flatnonzero(steps > MISSING_GAP)
    if len(wide) and (len(wide) <= 0.1 * len(gaps) or np.abs(steps - np.rint(steps)).max() < 2 * GRID_TOLERANCE):
        absent = max(int(np.rint(steps[wide] - 1).sum()), 1)
        return Note(
            reason=Reason.SLICE_MISSING,
            text=f"{absent} of {len(along) + absent} slices missing, the first one after slice {int(wide[0]) + 1}: "
            f"a gap of {gaps[wide[0]]:.2f} mm where {usual:.2f} mm is usual.",
        )
    even = np.linspace(along[0], along[-1], len(along))
    if np.abs(along - even).max() > GRID_TOLERANCE * usual:
        return Note(
            reason=Reason.UNEVEN_SPACING,
            text=f"The distance between slices varies from {gaps.min():.2f} to {gaps.max():.2f} mm.",
        )
    return None


def _along_normal(images: Sequence[CtImage]) -> NDArray[np.float64]:
    positions = np.array([image.position for image in images])
    along: NDArray[np.float64] = positions @ images[0].normal
    return along


def _multiplicity(positions: NDArray[np.float64]) -> int:
    """Return the largest number of images at one place."""
    ordered = np.sort(positions)
    breaks = np.flatnonzero(np.diff(ordered) >= SAME_PLACE_MM)
    edges = np.concatenate([[-1], breaks, [len(ordered) - 1]])
    return int(np.diff(edges).max())


def _vector(values: NDArray[np.float64]) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in values)
    return (x, y, z)
