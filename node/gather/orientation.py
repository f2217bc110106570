"""Does the patient lie in the images as their orientation says? The spine and the lungs answer.

Converters that pass a volume through another axis convention write rows in reverse under an unchanged orientation. The
images then show the spine in front. Left and right cannot be told before the liver is known: the liver's outline is
held to its side later (`node.measure`); here, its side only tells a mirrored patient from a turned one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from node.dicom.reasons import Note, Reason, Refused
from node.gather.overview import Overview
from node.gather.tracks import best_track

_BONE_HU = 230.0
_RIDGE_HU = 130.0
_CENTRAL_SHARE = 0.22
_SPINE_BLUR_MM = 14.0
_LEAST_BONE_MM2 = 30.0
_LUNG_HU = (-950.0, -600.0)


@dataclass(frozen=True)
class SpineEvidence:
    """Where thin bone lies within the body, in the middle of the body's width.

    Attributes
    ----------
    slices
        Number of slices that show enough of it.
    behind, before
        Share of these slices in which 60 % or more of it lies behind the middle of the body, and before it.
    depth
        Where the bony column runs: 0 at the front of the body, 1 at the back (median over the slices).
    """

    slices: int
    behind: float
    before: float
    depth: float

    @property
    def agrees(self) -> bool:
        """True if the spine clearly lies behind."""
        return self.behind >= 0.65 and self.before <= 0.25 and self.depth >= 0.55

    @property
    def contradicts(self) -> bool:
        """True if the spine clearly lies in front."""
        return self.before >= 0.65 and self.behind <= 0.25 and self.depth <= 0.45


def thin_bone(view: Overview) -> NDArray[np.bool_]:
    """Return what is as dense as bone and thinner than 10 mm: cortex, arches and processes.

    Oral contrast in the bowel and an enhanced aorta are as dense as bone, but thick; without this, a patient who drank
    contrast seems to have a spine in front and behind.
    """
    wide = view.disc(10.0)
    dense = view.hu > _BONE_HU
    # An opening with a square leaves the rim of what is round: the rim of a wide thing is part of it.
    thick = ndimage.binary_dilation(ndimage.binary_opening(dense, wide), view.disc(8.0))
    ridge = view.hu - ndimage.grey_opening(view.hu, wide.shape)
    near_body = ndimage.binary_dilation(view.body, wide)
    result: NDArray[np.bool_] = (ridge > _RIDGE_HU) & dense & ~thick & near_body
    return result


def central(view: Overview) -> NDArray[np.bool_]:
    """Return the columns near the middle of the body's width, ``(z, x)``."""
    left, right = view.outline[:, 2], view.outline[:, 3]
    columns = np.arange(view.hu.shape[2])
    result: NDArray[np.bool_] = (
        np.abs(columns[None] - ((left + right) / 2)[:, None]) < (_CENTRAL_SHARE * (right - left))[:, None]
    )
    return result


def spine_track(view: Overview, bone: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return the row and column of the bony column in each slice, ``(z, 2)``."""
    blur = (0.0, _SPINE_BLUR_MM / view.spacing[1], _SPINE_BLUR_MM / view.spacing[2])
    density = ndimage.gaussian_filter(bone.astype(np.float32), blur)
    return best_track(np.where(central(view)[:, None, :], density, np.float32(0)))


def spine_evidence(view: Overview) -> SpineEvidence:
    """Look where the spine lies; see `SpineEvidence`."""
    bone = thin_bone(view)
    front, back = view.outline[:, 0], view.outline[:, 1]
    height = np.maximum(back - front, 1)
    middle = (bone & central(view)[:, None, :]).sum(axis=2)
    rows = np.arange(view.hu.shape[1])
    total = middle.sum(axis=1)
    share = (middle * (rows[None] > ((front + back) / 2)[:, None])).sum(axis=1) / np.maximum(total, 1)
    enough = total * view.spacing[1] * view.spacing[2] >= _LEAST_BONE_MM2
    if not enough.any():
        return SpineEvidence(0, 0.0, 0.0, 0.5)
    depth = (spine_track(view, bone)[:, 0] - front) / height
    return SpineEvidence(
        slices=int(enough.sum()),
        behind=float(np.mean(share[enough] >= 0.6)),
        before=float(np.mean(share[enough] <= 0.4)),
        depth=float(np.median(depth[enough])),
    )


def check(view: Overview) -> tuple[Overview, Note | None]:
    """Hold the orientation of the headers to what the images show.

    Parameters
    ----------
    view
        The overview by the headers, in Hounsfield units.

    Returns
    -------
    tuple
        The overview as the patient really lies, and AP_MIRRORED_CORRECTED if that differs. A prone patient whose
        headers are right does not differ: his spine lies behind in patient coordinates.

    Raises
    ------
    Refused
        NO_BODY, or ORIENTATION_IMPLAUSIBLE if the spine is not clearly found, the patient is upside down, or the
        images show a patient that is turned rather than mirrored.
    """
    _refuse_no_body(view)
    _refuse_upside_down(view)
    spine = spine_evidence(view)
    found = (
        f"of {spine.slices} slices, {100 * spine.behind:.0f} % show the spine's bone behind the body's middle and "
        f"{100 * spine.before:.0f} % before it"
    )
    if spine.slices < max(4, 0.25 * len(view.hu)) or not (spine.agrees or spine.contradicts):
        raise Refused(
            Reason.ORIENTATION_IMPLAUSIBLE,
            f"Front and back cannot be told: {found}; its depth is {spine.depth:.2f} (0 front, 1 back).",
        )
    if spine.agrees:
        return view, None
    right = organ_on_the_right(view)
    if right < 0.6:
        raise Refused(
            Reason.ORIENTATION_IMPLAUSIBLE,
            f"The spine lies in front ({found}), and {100 * right:.0f} % of the largest organ on the right: the "
            "patient is turned round, or mirrored otherwise than by rows.",
        )
    return view.flipped(), Note(
        reason=Reason.AP_MIRRORED_CORRECTED,
        text=f"Front and back are exchanged against the headers: {found}; its depth is {spine.depth:.2f} (0 front, 1 "
        f"back), and {100 * right:.0f} % of the largest organ lie on the right. Analysed as the images show.",
    )


def organ_on_the_right(view: Overview) -> float:
    """Return the share of the largest solid organ that lies right of the body's middle: near 1 for a liver."""
    middle = (view.outline[:, 2] + view.outline[:, 3]) / 2
    columns = np.arange(view.hu.shape[2])
    right = view.organ & (columns[None] < middle[:, None])[:, None, :]
    return float(right.sum() / max(int(view.organ.sum()), 1))


def lung_shares(view: Overview) -> NDArray[np.float64]:
    """Return the share of lung in the body's cross-section of each slice."""
    lung = view.inside & (view.hu > _LUNG_HU[0]) & (view.hu < _LUNG_HU[1])
    lung = ndimage.binary_opening(lung, view.disc(10.0))
    result: NDArray[np.float64] = lung.sum(axis=(1, 2)) / np.maximum(view.inside.sum(axis=(1, 2)), 1)
    return result


def _refuse_no_body(view: Overview) -> None:
    areas = view.body.sum(axis=(1, 2)) * view.spacing[1] * view.spacing[2] / 100
    if np.median(areas) < 50:
        raise Refused(Reason.NO_BODY, f"No trunk: the cross-section of tissue is {np.median(areas):.0f} cm2.")


def _refuse_upside_down(view: Overview) -> None:
    lung = lung_shares(view)
    end = max(1, len(lung) // 10)
    lower, upper = float(lung[:end].mean()), float(lung[-end:].mean())
    if lower > 0.1 and upper < 0.3 * lower:
        raise Refused(
            Reason.ORIENTATION_IMPLAUSIBLE,
            f"Lung fills {100 * lower:.0f} % of the body at the lower end and {100 * upper:.0f} % at the upper end: "
            "head and feet are exchanged, or this is no abdomen.",
        )
