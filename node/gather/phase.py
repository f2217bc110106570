"""Which contrast phase do the images show? Aorta and liver answer, as far as two numbers can.

The portal venous phase shows most liver metastases best. Series descriptions name phases as each site likes; what can
be measured without a network is the attenuation of the aorta, a tube before the spine, and of the largest solid organ.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from node.dicom.reasons import Note, Reason
from node.gather.orientation import spine_track, thin_bone
from node.gather.overview import Overview, odd
from node.gather.tracks import best_track

_AORTA_MM = 10.0
_SURROUNDINGS_MM = 30.0
# Where the aorta runs, in mm from the bony column: forwards, and from 18 mm right of it to 40 mm left of it.
_BEFORE_SPINE_MM = (12.0, 95.0)
_BESIDE_SPINE_MM = (-18.0, 40.0)
_SCORE_SEEN = 0.3


class Phase(Enum):
    """A guess; only PORTAL_VENOUS is ever stated as found, the others explain why the phase is called unknown."""

    PORTAL_VENOUS = "portal venous"
    DELAYED = "perhaps delayed"
    ARTERIAL = "perhaps arterial"
    UNENHANCED = "perhaps without contrast medium"
    UNKNOWN = "the values fit no single phase"


@dataclass(frozen=True)
class Enhancement:
    """Attenuation of the aorta and of the largest solid organ.

    Attributes
    ----------
    aorta
        Median HU along the aorta, None if it was not followed over most of the organ's height.
    organ
        Most frequent HU within the largest solid organ, None if there is none of at least 300 ml.
    """

    aorta: float | None
    organ: float | None

    @property
    def phase(self) -> Phase:
        """The phase, UNKNOWN wherever the two values do not say it clearly.

        Our own bounds, set around what is usual at 100 to 120 kV: in the portal venous phase the liver is enhanced (85
        HU or more) and the aorta, past its peak, has 140 to 230 HU and lies above it by 20 to 110 HU.
        """
        if self.aorta is None or self.organ is None:
            return Phase.UNKNOWN
        above = self.aorta - self.organ
        if self.aorta < 70:
            return Phase.UNENHANCED
        if self.aorta >= 230 and above > 110:
            return Phase.ARTERIAL
        if self.organ >= 85 and 140 <= self.aorta <= 230 and 20 <= above <= 110:
            return Phase.PORTAL_VENOUS
        if self.organ >= 75 and self.aorta < 140 and -10 <= above < 50:
            return Phase.DELAYED
        return Phase.UNKNOWN

    @property
    def preference(self) -> tuple[float, float]:
        """Sort key among series of a study, the best first: portal venous, delayed, then the liver in 15 HU steps."""
        order = {Phase.PORTAL_VENOUS: 0, Phase.DELAYED: 1}.get(self.phase, 2)
        return (order, 0.0 if order == 0 else -round((self.organ or 0.0) / 15))

    @property
    def note(self) -> Note:
        """What the report says of the phase."""
        aorta = "aorta not followed" if self.aorta is None else f"aorta {self.aorta:.0f} HU"
        organ = "no large organ found" if self.organ is None else f"largest solid organ {self.organ:.0f} HU"
        if self.phase is Phase.PORTAL_VENOUS:
            return Note(reason=Reason.PHASE_PORTAL_VENOUS, text=f"Portal venous phase by the images: {aorta}, {organ}.")
        return Note(reason=Reason.PHASE_UNKNOWN, text=f"Phase unknown: {aorta}, {organ}; {self.phase.value}.")


def enhancement(view: Overview) -> Enhancement:
    """Measure aorta and liver on an overview that lies as the patient does."""
    organ = view.organ
    if organ.sum() * float(np.prod(view.spacing)) < 3e5:
        return Enhancement(None, None)
    core = ndimage.binary_erosion(organ, view.disc(20.0))
    values = view.hu[core if core.any() else organ]
    counts, edges = np.histogram(values, np.arange(-20, 260, 4))
    smooth = np.convolve(counts, [1, 2, 3, 2, 1], "same")
    mode = float(edges[smooth.argmax()] + 2)
    heights = np.flatnonzero(organ.any(axis=(1, 2)))
    return Enhancement(_aorta(view, slice(int(heights[0]), int(heights[-1]) + 1)), mode)


def _aorta(view: Overview, heights: slice) -> float | None:
    bone = thin_bone(view)
    spine = spine_track(view, bone)[heights]
    part = Overview(view.hu[heights], view.spacing)
    mean, score = _tubes(part, bone[heights])
    score *= _before_spine(part, spine)
    track = best_track(score)
    layers = np.arange(len(track))
    seen = score[layers, track[:, 0], track[:, 1]] > _SCORE_SEEN
    if seen.sum() < max(3, 0.6 * len(track)):
        return None
    return float(np.median(mean[layers, track[:, 0], track[:, 1]][seen]))


def _tubes(view: Overview, bone: NDArray[np.bool_]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the mean HU over 10 mm, and from 0 to 1 how much a place looks like the inside of a vessel cut across.

    That is: as dense as blood, even, denser than what lies around it, and not bone nor enclosed by bone.
    """
    clipped = np.clip(view.hu, -150, 450)

    def mean_over(values: NDArray[np.float32], width_mm: float) -> NDArray[np.float32]:
        size = odd(width_mm / view.spacing[1])
        return ndimage.uniform_filter(values, (1, size, size))

    mean = mean_over(clipped, _AORTA_MM)
    spread = np.sqrt(np.maximum(mean_over(clipped * clipped, _AORTA_MM) - mean * mean, 0))
    contrast = mean - mean_over(clipped, _SURROUNDINGS_MM)
    # Dense marrow counts as bone by touching its cortex; an aorta in the arterial phase is as dense, but apart.
    in_slice = ndimage.generate_binary_structure(2, 1)[None]
    marrow = ndimage.binary_propagation(bone, in_slice, mask=bone | (view.hu > 300))
    closed = ndimage.binary_closing(marrow, view.disc(_AORTA_MM))
    filled = np.stack([ndimage.binary_fill_holes(layer) for layer in closed])
    solid = ndimage.binary_dilation(ndimage.binary_opening(filled, view.disc(6.0)), view.disc(6.0))
    score = np.clip(contrast / 120, 0, 1) * np.clip((45 - spread) / 25, 0, 1)
    return mean, np.where(solid | (mean <= 0), 0, score).astype(np.float32)


def _before_spine(view: Overview, spine: NDArray[np.intp]) -> NDArray[np.bool_]:
    rows = np.arange(view.hu.shape[1])[None]
    columns = np.arange(view.hu.shape[2])[None]
    before = (spine[:, :1] - rows) * view.spacing[1]
    beside = (columns - spine[:, 1:]) * view.spacing[2]
    within_rows = (before > _BEFORE_SPINE_MM[0]) & (before < _BEFORE_SPINE_MM[1])
    within_columns = (beside > _BESIDE_SPINE_MM[0]) & (beside < _BESIDE_SPINE_MM[1])
    result: NDArray[np.bool_] = within_rows[:, :, None] & within_columns[:, None, :]
    return result
