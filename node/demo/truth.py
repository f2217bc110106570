"""Measured beside true, where the truth is known: in the phantom, and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from node.demo.images import ImageSeries
from node.demo.results import Finding, Results

Position = tuple[float, float, float]


@dataclass(frozen=True)
class TrueLesion:
    """A lesion as it was drawn.

    Attributes
    ----------
    name
        Its name in the phantom.
    volume_ml, long_axis_mm
        Its volume in ml and its longest axial diameter in mm.
    centre
        LPS position of its centre in mm.
    """

    name: str
    volume_ml: float
    long_axis_mm: float
    centre: Position


@dataclass(frozen=True)
class Truth:
    """What a phantom's visit really holds.

    Attributes
    ----------
    liver_volume_ml
        Volume of the liver, lesions included, in ml.
    lesions
        Its lesions.
    """

    liver_volume_ml: float
    lesions: tuple[TrueLesion, ...]


@dataclass(frozen=True)
class Comparison:
    """Measured beside true.

    Attributes
    ----------
    truth
        The truth.
    found
        The true lesion that each measured one is, by tracking UID.
    missed
        True lesions that nothing was measured for.
    false
        Measured lesions where there is none.
    """

    truth: Truth
    found: dict[str, TrueLesion]
    missed: tuple[TrueLesion, ...]
    false: tuple[Finding, ...]


def compare(results: Results, series: ImageSeries, truth: Truth) -> Comparison:
    """Say which measured lesion is which true one.

    Parameters
    ----------
    results, series
        What was measured, and the images that it was measured on.
    truth
        What is there.

    Notes
    -----
    A pair may stand if the middle of the measured long axis lies within half the true long axis of the true centre;
    of all one-to-one matchings the one with the smallest sum of distances is taken.
    """
    measured = [lesion for lesion in results.lesions if lesion.long_axis]
    distance = np.array(
        [[_distance(true.centre, _middle(lesion, series)) for lesion in measured] for true in truth.lesions]
    ).reshape(len(truth.lesions), len(measured))
    reach = np.array([[true.long_axis_mm / 2] for true in truth.lesions]).reshape(-1, 1)
    beyond = distance > reach
    pairs = zip(*linear_sum_assignment(np.where(beyond, 1e6, distance)), strict=True)
    found = {measured[j].tracking_uid: truth.lesions[i] for i, j in pairs if not beyond[i, j]}
    return Comparison(
        truth=truth,
        found=found,
        missed=tuple(true for true in truth.lesions if true not in found.values()),
        false=tuple(lesion for lesion in results.lesions if lesion.tracking_uid not in found),
    )


def table(name: str, results: Results, comparison: Comparison) -> list[Sequence[str]]:
    """Return the comparison as rows of text: what, true and measured volume, error, true and measured long axis.

    Parameters
    ----------
    name
        Of the visit.
    results, comparison
        What was measured, and what it is.
    """
    liver = results.liver.volume_ml
    rows: list[Sequence[str]] = [
        (name, "liver", *_beside(comparison.truth.liver_volume_ml, liver), "", ""),
    ]
    for lesion in results.lesions:
        true = comparison.found.get(lesion.tracking_uid)
        axis = f"{lesion.long_axis.length_mm:.1f}" if lesion.long_axis else ""
        if true is None:
            rows.append((name, lesion.tracking_id, "none", f"{lesion.volume_ml or 0.0:.1f}", "not there", "", axis))
        else:
            volumes = _beside(true.volume_ml, lesion.volume_ml)
            rows.append((name, lesion.tracking_id, *volumes, f"{true.long_axis_mm:.1f}", axis))
    rows.extend(
        (name, lesion.name, f"{lesion.volume_ml:.1f}", "none", "missed", f"{lesion.long_axis_mm:.1f}", "")
        for lesion in comparison.missed
    )
    return rows


def error_percent(true: float, measured: float) -> float:
    """Return by how much a measured value is off, in % of the true one."""
    return 100.0 * (measured - true) / true


def _beside(true: float, measured: float | None) -> tuple[str, str, str]:
    if measured is None:
        return f"{true:.1f}", "", ""
    return f"{true:.1f}", f"{measured:.1f}", f"{error_percent(true, measured):+.0f} %"


def _middle(lesion: Finding, series: ImageSeries) -> NDArray[np.float64]:
    """Return the LPS position of the middle of a lesion's long axis."""
    axis = lesion.long_axis
    if axis is None:
        raise ValueError("a lesion without a long axis has no middle")
    plane = series.plane(axis.image)
    row, column = (np.array(axis.start) + np.array(axis.end)) / 2
    return plane.position(float(row), float(column))


def _distance(a: Position, b: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(np.array(a) - b))
