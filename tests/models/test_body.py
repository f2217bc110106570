"""Where the liver network is to look, on drawn trunks."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from models.ct_liver_lesions.body import trunk
from models.ct_liver_lesions.preparation import LIVER_FIELD_MM

pytestmark = pytest.mark.verifies("SRS-061", level="unit", technique="phantom")

AIR, SOFT, LUNG, GAS, BONE = -1000, 40, -850, -1000, 900


class Scan:
    """A scan drawn in mm, axes to head, anterior and right, counted from the feet's, back's and left end."""

    def __init__(self, size_mm: tuple[float, float, float], spacing: tuple[float, float, float]) -> None:
        self.spacing = spacing
        self.hu = np.full([round(a / b) for a, b in zip(size_mm, spacing, strict=True)], AIR, np.int16)

    def put(self, hu: int, z: tuple[float, float], centre: tuple[float, float], radii: tuple[float, float]) -> Scan:
        """Draw an upright cylinder with an elliptical section."""
        y, x = np.ogrid[: self.hu.shape[1], : self.hu.shape[2]]
        inside = ((y * self.spacing[1] - centre[0]) / radii[0]) ** 2 + (
            (x * self.spacing[2] - centre[1]) / radii[1]
        ) ** 2 <= 1
        start, stop = (round(mm / self.spacing[0]) for mm in z)
        self.hu[start:stop, inside] = hu
        return self

    def trunk(self) -> list[tuple[float, float]]:
        """Return the box found, in mm."""
        box = trunk(self.hu, self.spacing, LIVER_FIELD_MM)
        assert box is not None
        return [(part.start * mm, part.stop * mm) for part, mm in zip(box, self.spacing, strict=True)]


def person(height: float, spacing: tuple[float, float, float], lungs_from: float | None) -> Scan:
    """Draw a trunk of 300 x 200 mm on a table, with a spine and, above a level, two lungs."""
    scan = Scan((height, 400, 500), spacing)
    scan.put(SOFT, (0, height), (200, 250), (100, 150)).put(BONE, (0, height), (130, 250), (15, 15))
    scan.put(SOFT, (0, height), (40, 250), (8, 240))
    if lungs_from is not None:
        for x in (180, 320):
            scan.put(LUNG, (lungs_from, height), (210, x), (70, 50))
    return scan


SPACINGS = [(3.0, 1.0, 1.0), (1.0, 0.7, 0.7), (5.0, 3.5, 3.5)]


def _near(found: tuple[float, float], expected: tuple[float, float]) -> bool:
    return all(abs(a - b) <= 10 for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("spacing", SPACINGS)
def test_an_abdomen_is_kept_whole_without_the_table(spacing: tuple[float, float, float]) -> None:
    heights, rows, columns = person(250, spacing, lungs_from=None).trunk()
    assert heights == (0, pytest.approx(250, abs=spacing[0]))
    assert _near(rows, (100, 300))
    assert _near(columns, (100, 400))


@pytest.mark.parametrize("spacing", SPACINGS)
def test_a_long_scan_is_cut_above_the_dome_and_to_the_field(spacing: tuple[float, float, float]) -> None:
    heights, _, _ = person(900, spacing, lungs_from=600).trunk()
    assert _near(heights, (670 - LIVER_FIELD_MM[0], 670))


def test_hips_are_cut_away() -> None:
    scan = person(470, (3.0, 1.0, 1.0), lungs_from=400)
    for x in (150, 350):
        scan.put(BONE, (0, 150), (200, x), (40, 20))
    heights, _, _ = scan.trunk()
    assert heights[0] == pytest.approx(130, abs=20)


def test_no_cut_goes_through_a_large_liver_whatever_the_bones_look_like() -> None:
    scan = person(470, (3.0, 1.0, 1.0), lungs_from=400)
    scan.put(BONE, (0, 350), (200, 350), (40, 30))
    heights, _, _ = scan.trunk()
    assert heights[0] == pytest.approx(150, abs=10)


@pytest.mark.parametrize("gas_from", [20, 120])
def test_gas_in_the_bowel_is_no_lung(gas_from: float) -> None:
    scan = person(400, (3.0, 1.0, 1.0), lungs_from=None).put(GAS, (gas_from, gas_from + 60), (230, 250), (60, 90))
    heights, _, _ = scan.trunk()
    assert heights == (0, pytest.approx(400, abs=3))


def test_arms_beside_the_trunk_do_not_push_it_out_of_the_field() -> None:
    scan = Scan((250, 400, 700), (3.0, 1.0, 1.0))
    scan.put(SOFT, (0, 250), (200, 330), (100, 320))
    for x in (260, 400):
        scan.put(LUNG, (180, 250), (210, x), (70, 50))
    _, _, columns = scan.trunk()
    assert columns[1] - columns[0] <= LIVER_FIELD_MM[2]
    assert columns[0] < 200
    assert columns[1] > 460


def _volumes() -> list[NDArray[np.int16]]:
    rng = np.random.default_rng(0)
    return [
        np.zeros((40, 64, 64), np.int16),
        rng.normal(0, 100, (40, 64, 64)).astype(np.int16),
        np.full((1, 1, 1), 50, np.int16),
        np.full((2, 300, 300), 50, np.int16),
        np.full((400, 3, 3), 50, np.int16),
    ]


@pytest.mark.parametrize("number", range(5))
def test_any_tissue_gives_a_box_inside_the_scan(number: int) -> None:
    hu = _volumes()[number]
    box = trunk(hu, (3.0, 1.0, 1.0), LIVER_FIELD_MM)
    assert box is not None
    assert all(0 <= part.start < part.stop <= n for part, n in zip(box, hu.shape, strict=True))


@pytest.mark.parametrize("hu", [-1024, -1000, -200])
def test_air_has_no_trunk(hu: int) -> None:
    assert trunk(np.full((30, 50, 50), hu, np.int16), (3.0, 1.0, 1.0), LIVER_FIELD_MM) is None


@pytest.mark.parametrize("spacing", [(2.9, 1.31, 1.73), (8.0, 4.1, 4.1)])
def test_no_box_is_larger_than_the_field(spacing: tuple[float, float, float]) -> None:
    size = [round(700 / mm) for mm in spacing]
    box = trunk(np.full(size, 40, np.int16), spacing, LIVER_FIELD_MM)
    assert box is not None
    for part, mm, field in zip(box, spacing, LIVER_FIELD_MM, strict=True):
        assert (part.stop - part.start) * mm <= field + 1e-6
