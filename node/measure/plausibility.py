"""Is what the networks outlined a liver? Asked before anything is measured.

A network draws what it was trained to draw: around fat (-100 HU) in place of a real liver this one still outlined 1,074
ml, a tenth of it as lesion. A plausible outline therefore proves nothing; the tissue in it, its place and its size do.
Every limit below stands beside where it comes from. A study that fails is refused, with the number that failed it:
better no reading than one of something else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, binary_erosion, label, median

from node.dicom.geometry import Geometry
from node.dicom.reasons import Note, Reason, Refused
from node.dicom.volume import LabelMap, Volume
from node.measure.components import find_components

Mask = NDArray[np.bool_]

# "Real cases" below: the labels of 3D-IRCADb 01 and of a 20-slice TotalSegmentator example, and what the networks drew
# on 3D-IRCADb 01, CHAOS CT 3 and a portal venous abdomen without labels.
#
# Attenuation of the parenchyma, median, HU. Unenhanced 58.8, SD 10.8, in 3,357 adults (Boyce 2010, AJR 194:623); portal
# venous 93 to 145 in the real cases. Fat lowers it: -3 HU at 40 % fat (Starekova 2021, Radiology 301:250). Water and
# ascites are 0 to 15 HU, so a liver below 10 HU (4.5 SD) cannot be told from them. Up to 40 HU is moderate to severe
# steatosis unenhanced (Boyce) and unusual in any phase. The networks clip at 200 HU.
HU_LOWEST, HU_FATTY, HU_HIGHEST = 10.0, 40.0, 200.0
# Spread of the parenchyma, interquartile range / 1.349, HU: 17 to 26 in the real cases, of which most is noise.
# Beyond 45 a lesion of 50 HU contrast drowns in it; a mixture of tissues lies far above.
SPREAD_HIGHEST = 45.0
# Share of fat and gas inside the outline: below 0.01 % in the real cases. An ablation cavity or an abscess is small.
HU_NOT_SOLID, NOT_SOLID_SHARE = -30.0, 0.10
# Volume, ml. Adults 1,000 to 2,500; after a major resection from 400; polycystic livers beyond 6,000 are no case for
# these networks. Images may show a part: below 100 ml it is too little to judge by, below 10 ml nothing was found.
ML_NOTHING, ML_PART, ML_SMALLEST, ML_LARGEST = 10.0, 100.0, 400.0, 6000.0
# Share of the outline in its largest piece: the networks keep one piece, 1.0 in the real cases.
ONE_PIECE_SHARE = 0.8
# Share of the liver to the right of the body's midline: 0.87 to 0.95 in the real cases. Labels of mirrored images 0.05
# and 0.12; what the liver network draws on a mirrored CT (779 ml) 0.48. A large left lobe after right hepatectomy may
# fall below 0.6, and situs inversus will: both are refused.
RIGHT_SHARE = 0.6
# Air outside the body within 2 mm of the liver: 0 in the real cases, where the wall is at least 6 mm thick.
TOUCHING_SHARE = 0.005
# Share of the liver's surface with air within 20 mm: lung above 0.56 to 0.68 and bowel below 0.02 to 0.10 in the real
# cases that show the whole liver.
AIR_REACH_MM, UPSIDE_DOWN_SHARE, LUNG_SHARE = 20.0, 0.25, 0.05
# Cross-section of the body at the liver's height, cm2: 500 to 1,170 in the real cases; a head has at most 250
# (circumference 56 cm). Small and without lung above the liver is no trunk.
TRUNK_CM2 = 300.0
# Liver on the first or last image, or on an image's border, cm2: more than a rim of partial volume.
CUT_OFF_CM2 = 1.0
HU_BODY, HU_AIR = -300, -500  # between lung (-850) and fat (-100); between lung and soft tissue
HU_OUTSIDE = -930  # median of a gap: between lung, and air with table and blankets in it
GRID_MM = 2.0  # nothing here needs finer voxels, and a coarser copy is looked at in a tenth of the time


@dataclass(frozen=True, eq=False)
class _View:
    """A thinned copy, turned so that indices increase to head, posterior and left: LPS, as ``(z, y, x)``."""

    hu: NDArray[np.int16]
    labels: NDArray[np.integer]
    spacing: tuple[float, float, float]

    @property
    def liver(self) -> Mask:
        return self.labels > 0


def check_liver(volume: Volume, labels: LabelMap) -> tuple[Note, ...]:
    """Make sure that the outlined organ is a liver.

    Parameters
    ----------
    volume
        The CT volume; `Volume.anatomy` says where the patient's right, back and head are.
    labels
        1 liver parenchyma, 2 lesion, on the volume's grid.

    Returns
    -------
    tuple of Note
        What the report must say: ``LIVER_CUT_OFF``, ``LIVER_LOW_ATTENUATION``.

    Raises
    ------
    Refused
        ``NO_LIVER`` if nothing worth the name was outlined, ``LIVER_IMPLAUSIBLE`` if it is no liver by its tissue
        (attenuation, spread, fat and gas), its pieces, its place in the body or its size.
    ValueError
        If labels and volume are not on one grid.
    """
    if labels.geometry != volume.geometry or labels.labels.shape != volume.hu.shape:
        raise ValueError("The label map is not on the volume's grid.")
    ml = float(np.count_nonzero(labels.labels)) * volume.geometry.voxel_volume_ml
    if ml < ML_NOTHING:
        raise Refused(Reason.NO_LIVER, f"No liver was found: {ml:.1f} ml were outlined.")
    view = _view(volume, labels)
    attenuation = _check_tissue(view)
    _check_one_piece(view)
    body = _body(view)
    _check_inside(view, body)
    _check_place(view, body)
    cut_off = _cut_off_cm2(view)
    _check_size(ml, cut_off=bool(cut_off))
    notes = []
    if cut_off:
        ends = ", ".join(f"{name} {area:.0f} cm2" for name, area in cut_off.items())
        text = f"The images end inside the liver ({ends}): volume and burden are those of the part that was imaged."
        notes.append(Note(reason=Reason.LIVER_CUT_OFF, text=text))
    if attenuation <= HU_FATTY:
        text = f"The liver's attenuation is low (median {attenuation:.0f} HU), as in steatosis: lesions may be missed."
        notes.append(Note(reason=Reason.LIVER_LOW_ATTENUATION, text=text))
    return tuple(notes)


def _implausible(text: str) -> Refused:
    return Refused(Reason.LIVER_IMPLAUSIBLE, f"What was outlined is not a plausible liver: {text}.")


def _check_tissue(view: _View) -> float:
    """Return the parenchyma's median attenuation in HU, or refuse."""
    # One voxel of the thinned grid off the border, so that the fat around an honest outline does not count.
    interior = binary_erosion(view.liver, iterations=1)
    interior = interior if interior.any() else view.liver
    parenchyma = view.hu[interior & (view.labels == 1)]
    if parenchyma.size == 0:
        raise _implausible("all of it is marked as lesion")
    lower, middle, upper = (float(q) for q in np.percentile(parenchyma, [25, 50, 75]))
    if not HU_LOWEST <= middle <= HU_HIGHEST:
        raise _implausible(
            f"its median attenuation is {middle:.0f} HU, that of liver {HU_LOWEST:.0f} to {HU_HIGHEST:.0f} HU"
        )
    spread = (upper - lower) / 1.349
    if spread > SPREAD_HIGHEST:
        raise _implausible(
            f"its attenuation is spread by {spread:.0f} HU (at most {SPREAD_HIGHEST:.0f}): "
            "noise, or a mixture of tissues"
        )
    share = float(np.mean(view.hu[interior] < HU_NOT_SOLID))
    if share > NOT_SOLID_SHARE:
        raise _implausible(f"{share:.0%} of it is fat or gas (at most {NOT_SOLID_SHARE:.0%})")
    return middle


def _check_one_piece(view: _View) -> None:
    pieces, _ = find_components(view.liver)
    share = pieces[0].voxels / sum(piece.voxels for piece in pieces)
    if share < ONE_PIECE_SHARE:
        raise _implausible(f"it lies in {len(pieces)} pieces, the largest {share:.0%} (at least {ONE_PIECE_SHARE:.0%})")


def _check_inside(view: _View, body: Mask) -> None:
    liver = view.liver
    grown = binary_dilation(liver, np.ones((1, 3, 3), bool))
    share = float(np.count_nonzero(grown & ~body) / np.count_nonzero(liver))
    if share > TOUCHING_SHARE:
        raise _implausible(f"{share:.1%} of it lies in or against the air outside the body")


def _check_place(view: _View, body: Mask) -> None:
    liver = view.liver
    images = np.flatnonzero(liver.any(axis=(1, 2)))
    middle = float(np.median(np.nonzero(body[images])[2]))
    right = float(np.mean(np.nonzero(liver)[2] < middle))
    if right < RIGHT_SHARE:
        raise _implausible(
            f"{right:.0%} of it lies to the right of the body's midline (at least {RIGHT_SHARE:.0%}): "
            "mirrored images, situs inversus, or another organ"
        )
    air = body & (view.hu < HU_AIR)
    above = _air_beyond(liver, air, view.spacing[0])
    below = _air_beyond(liver[::-1], air[::-1], view.spacing[0])
    if below > UPSIDE_DOWN_SHARE and below > 2 * above:
        raise _implausible(f"air lies below {below:.0%} of it and above {above:.0%}: the images may be upside down")
    area = float(np.median(body[images].sum(axis=(1, 2)))) * view.spacing[1] * view.spacing[2] / 100.0
    if area < TRUNK_CM2 and above < LUNG_SHARE:
        raise _implausible(
            f"the body's cross-section there is {area:.0f} cm2 (a trunk's at least {TRUNK_CM2:.0f}) with no lung above"
        )


def _check_size(ml: float, *, cut_off: bool) -> None:
    smallest = ML_PART if cut_off else ML_SMALLEST
    if not smallest <= ml <= ML_LARGEST:
        whole = "a part of a liver" if cut_off else "a whole liver"
        raise _implausible(f"its volume is {ml:.0f} ml, that of {whole} {smallest:.0f} to {ML_LARGEST:.0f} ml")


def _view(volume: Volume, labels: LabelMap) -> _View:
    order, signs = _orientation(volume.anatomy)
    spacing = [volume.anatomy.spacing[axis] for axis in order]
    steps = [max(1, round(GRID_MM / mm)) for mm in spacing]
    thin = tuple(slice(None, None, sign * step) for sign, step in zip(signs, steps, strict=True))
    z, y, x = (mm * step for mm, step in zip(spacing, steps, strict=True))
    return _View(
        hu=np.ascontiguousarray(volume.hu.transpose(order)[thin]),
        labels=np.ascontiguousarray(labels.labels.transpose(order)[thin]),
        spacing=(z, y, x),
    )


def _orientation(geometry: Geometry) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Return which array axes run along head, posterior and left, and in which direction (1 or -1)."""
    cosines = np.asarray(geometry.axes)  # [array axis, patient axis]
    z = int(np.argmax(np.abs(cosines[:, 2])))
    y, x = (axis for axis in range(3) if axis != z)
    if abs(cosines[y, 0]) > abs(cosines[x, 0]):
        y, x = x, y
    order = (z, y, x)
    z_sign, y_sign, x_sign = (
        1 if cosines[axis, patient] > 0 else -1 for axis, patient in zip(order, (2, 1, 0), strict=True)
    )
    return order, (z_sign, y_sign, x_sign)


def _body(view: _View) -> Mask:
    """Return the body (the largest piece that is not air), with everything that it encloses on an image."""
    pieces, _ = find_components(view.hu > HU_BODY)
    body = np.zeros(view.hu.shape, bool)
    if pieces:
        body[pieces[0].box] = pieces[0].mask
    return np.stack([image | ~_outside(hu, image) for hu, image in zip(view.hu, body, strict=True)])


def _outside(hu: NDArray[np.int16], body: Mask) -> Mask:
    """Return the air around the body on one image: the gaps at the border, but not a lung that the border cuts."""
    gaps, count = label(~body)
    border = np.unique(np.concatenate([gaps[0], gaps[-1], gaps[:, 0], gaps[:, -1]]))
    medians = np.atleast_1d(median(hu, gaps, np.arange(1, count + 1)))
    return np.isin(gaps, [gap for gap in border.tolist() if gap and medians[gap - 1] < HU_OUTSIDE])


def _air_beyond(liver: Mask, air: Mask, mm: float) -> float:
    """Return the share of the liver's surface, seen from the end of the first axis, with air within reach beyond it."""
    covered = liver.any(axis=0)
    height = liver.shape[0]
    top = height - 1 - liver[::-1].argmax(axis=0)
    found = np.zeros(covered.shape, bool)
    for step in range(1, max(1, round(AIR_REACH_MM / mm)) + 1):
        level = np.minimum(top + step, height - 1)
        found |= np.take_along_axis(air, level[None], axis=0)[0]
    return float(np.count_nonzero(found & covered) / np.count_nonzero(covered))


def _cut_off_cm2(view: _View) -> dict[str, float]:
    """Return where the images end inside the liver, with the liver's area there in cm2."""
    z, y, x = view.spacing
    liver = view.liver
    faces = {
        "at the head end": (liver[-1], y * x),
        "at the foot end": (liver[0], y * x),
        "at the right border": (liver[:, :, 0], z * y),
        "at the left border": (liver[:, :, -1], z * y),
        "at the front border": (liver[:, 0], z * x),
        "at the back border": (liver[:, -1], z * x),
    }
    areas = {name: float(np.count_nonzero(face)) * mm2 / 100.0 for name, (face, mm2) in faces.items()}
    return {name: area for name, area in areas.items() if area >= CUT_OFF_CM2}
