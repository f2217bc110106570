"""Are the values Hounsfield units? Air, fat and soft tissue say so, whatever the rescale attributes claim.

Converters write HU + 1024 as unsigned values and leave the rescale intercept at 0. Read as they stand, such images show
a patient made of bone in a room full of water, and a network still draws a liver.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from node.dicom.reasons import Note, Reason, Refused

# Whole offsets that writers forget or apply twice: 12-bit unsigned storage (1024), Philips and others (1000).
KNOWN_OFFSETS = (-1024, -1000, 1024, 1000)
_BIN_HU = 4
_FAT = (-130.0, -50.0)
_SOFT = (20.0, 170.0)
_TYPICAL_FAT = -100.0
_BODY = -300.0
_AIR = -700.0
_LOWEST = -1024.0


@dataclass(frozen=True)
class Tissue:
    """What a histogram of a CT volume shows.

    Attributes
    ----------
    air, body
        Share of values below -700 and above -300.
    usual
        Share of the body's values from -160 to 240, where fat and soft tissue lie, contrast-filled vessels included.
    fat
        Position in HU of the highest peak below 10, where only fat can make one; None if there is none.
    soft
        Highest peak from 20 to 170 HU, the most frequent value where noise leaves no peak; None if less than 15 % of
        the body lies there.
    lowest
        The value below which there is nothing but stray voxels.
    peaks
        Positions of all peaks, the highest first.
    """

    air: float
    body: float
    usual: float
    fat: float | None
    soft: float | None
    lowest: float
    peaks: tuple[float, ...]

    @property
    def is_ct(self) -> bool:
        """True if this is what a trunk looks like in HU: air around it, fat and soft tissue where they belong."""
        fat_fits = self.fat is None or _FAT[0] <= self.fat <= _FAT[1]
        return self.air > 0.005 and self.body > 0.02 and self.usual > 0.65 and fat_fits and self.soft is not None


def tissue(values: NDArray[np.float32]) -> Tissue:
    """Describe the histogram of values that may be Hounsfield units."""
    body = values[values > _BODY]
    edges = np.arange(-1200, 2001, _BIN_HU, dtype=float)
    counts = np.histogram(values, edges)[0]
    window = np.hanning(9)
    smooth = np.convolve(counts, window / window.sum(), "same")
    prominence = 8e-4 * max(len(body), 1)
    found = signal.find_peaks(smooth, prominence=prominence)[0]
    by_height = found[np.argsort(-smooth[found], kind="stable")]
    peaks = tuple(float(edges[index] + _BIN_HU / 2) for index in by_height)
    in_soft = np.flatnonzero((edges[:-1] >= _SOFT[0]) & (edges[:-1] < _SOFT[1]))
    has_soft = counts[in_soft].sum() > 0.15 * max(len(body), 1)
    most_frequent = float(edges[in_soft[smooth[in_soft].argmax()]] + _BIN_HU / 2)
    return Tissue(
        air=float(np.mean(values < _AIR)),
        body=len(body) / max(values.size, 1),
        usual=float(np.mean((body > -160) & (body < 240))) if len(body) else 0.0,
        fat=next((peak for peak in peaks if _BODY < peak < 10), None),
        soft=next((peak for peak in peaks if _SOFT[0] <= peak <= _SOFT[1]), most_frequent) if has_soft else None,
        lowest=float(np.percentile(values, 0.1)),
        peaks=peaks,
    )


def offset(values: NDArray[np.float32]) -> tuple[int, Note | None]:
    """Return what must be added to make Hounsfield units of rescaled values, and the note that says so.

    Parameters
    ----------
    values
        A sample of the volume, after rescaling by the header.

    Returns
    -------
    tuple
        0 and None if the values already are Hounsfield units.

    Raises
    ------
    Refused
        HU_IMPLAUSIBLE if no known offset makes the values look like CT; NO_BODY if there is nothing but air.
    """
    if float(np.ptp(values)) < 1:
        raise Refused(Reason.HU_IMPLAUSIBLE, f"Every voxel has the same value ({float(values.flat[0]):.0f}).")
    as_is = tissue(values)
    if as_is.is_ct:
        return 0, None
    fits = {shift: found for shift in KNOWN_OFFSETS if (found := tissue(values + np.float32(shift))).is_ct}
    if not fits:
        if as_is.air > 0.5 and as_is.body <= 0.02:
            raise Refused(Reason.NO_BODY, f"Only {100 * as_is.body:.1f} % of the volume is denser than air.")
        listed = ", ".join(f"{peak:.0f}" for peak in as_is.peaks[:4]) or "none"
        raise Refused(
            Reason.HU_IMPLAUSIBLE,
            f"The values are not Hounsfield units: peaks at {listed}; a trunk shows fat about -100 and soft tissue "
            f"from {_SOFT[0]:.0f} to {_SOFT[1]:.0f}.",
        )
    shift, *others = sorted(fits, key=lambda candidate: (_misfit(fits[candidate]), KNOWN_OFFSETS.index(candidate)))
    found = fits[shift]
    fat = "no fat peak" if found.fat is None else f"fat at {found.fat:.0f}"
    doubt = "".join(f"; {other:+d} would fit too, so values may be {abs(other - shift)} HU off" for other in others[:1])
    return shift, Note(
        reason=Reason.HU_OFFSET_CORRECTED,
        text=f"The stored values are Hounsfield units {-shift:+d} and the header does not say so; corrected by "
        f"{shift:+d}, which puts {fat} and soft tissue at {found.soft:.0f} HU{doubt}.",
    )


def _misfit(found: Tissue) -> float:
    """Return how badly an offset fits: fat off its place, and values below -1024, where scanners cut off."""
    fat = 0.0 if found.fat is None else abs(found.fat - _TYPICAL_FAT)
    return fat + max(0.0, _LOWEST - found.lowest)
