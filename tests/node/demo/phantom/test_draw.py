"""The phantom at a coarse grid: the same anatomy, drawn in a second."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from node.demo.phantom.draw import LIVER, Drawing, Settings, draw, drawing
from node.demo.phantom.lesions import LESIONS
from node.dicom.volume import LabelMap
from node.measure.lesions import measure
from node.measure.plausibility import check_liver

pytestmark = pytest.mark.verifies("SRS-164", level="integration", technique="phantom")

COARSE = Settings(pixel_mm=3.0, slice_mm=5.0)


@pytest.fixture(scope="module")
def visits() -> tuple[Drawing, Drawing]:
    return draw(0, COARSE), draw(1, COARSE)


@pytest.fixture(scope="module")
def quiet() -> tuple[Drawing, Drawing]:
    settings = dataclasses.replace(COARSE, noise_hu=0.0)
    return draw(0, settings), draw(1, settings)


def test_there_is_no_third_visit():
    with pytest.raises(ValueError, match="visits"):
        draw(2, COARSE)


def test_the_same_settings_give_the_same_voxels(visits):
    again = draw(0, COARSE)
    np.testing.assert_array_equal(again.volume.hu, visits[0].volume.hu)
    np.testing.assert_array_equal(again.labels.labels, visits[0].labels.labels)


def test_another_seed_gives_another_patient(visits):
    other = draw(0, dataclasses.replace(COARSE, seed=8))
    assert np.mean(other.labels.labels != visits[0].labels.labels) > 0.001


def test_the_visits_differ_in_lesions_and_noise_only(visits, quiet):
    first, second = visits
    np.testing.assert_array_equal(first.labels.labels > 0, second.labels.labels > 0)
    lesion = ndimage.binary_dilation((first.labels.labels > LIVER) | (second.labels.labels > LIVER), iterations=3)
    difference = second.volume.hu.astype(float) - first.volume.hu
    assert abs(difference[~lesion].mean()) < 0.2
    assert difference[~lesion].std() < 1.5 * COARSE.noise_hu
    np.testing.assert_array_equal(quiet[0].volume.hu[~lesion], quiet[1].volume.hu[~lesion])


@pytest.mark.parametrize("visit", [0, 1])
def test_every_planned_lesion_is_there_and_no_other(visits, visit):
    planned = {lesion.name: lesion.radii[visit] for lesion in LESIONS if lesion.radii[visit] > 0}
    truth = {lesion.name: lesion for lesion in visits[visit].truth.lesions}
    assert truth.keys() == planned.keys()
    assert len(truth) == 5
    for name, radius in planned.items():
        # Rough by 10 % of the radius, and a coarse grid.
        assert truth[name].volume_ml == pytest.approx(4.1 * radius**3 / 1000, rel=0.45)
        assert truth[name].long_axis_mm == pytest.approx(2 * radius, rel=0.35, abs=3)


def test_lesions_do_what_their_course_says(visits):
    first, second = ({lesion.name: lesion.volume_ml for lesion in visit.truth.lesions} for visit in visits)
    for lesion in LESIONS:
        before, after = first.get(lesion.name, 0.0), second.get(lesion.name, 0.0)
        assert {
            "grows": after > 1.5 * before > 0,
            "shrinks": 0 < after < before / 2,
            "vanishes": before > 0 == after,
            "appears": after > 0 == before,
            "stays": before == after > 0,
        }[lesion.course]


@pytest.mark.parametrize("visit", [0, 1])
def test_each_lesion_is_one_piece_apart_from_the_others(visits, visit):
    labels = visits[visit].labels.labels
    _, pieces = ndimage.label(labels > LIVER, np.ones((3, 3, 3)))
    assert pieces == len(np.unique(labels[labels > LIVER])) == 5


def test_tissues_have_their_attenuation(visits):
    hu, labels = visits[0].volume.hu, visits[0].labels.labels
    liver = ndimage.binary_erosion(labels == LIVER, iterations=1)
    assert np.median(hu[liver]) == pytest.approx(112, abs=3)
    assert 10 < hu[liver].std() < 30
    for value in range(LIVER + 1, LIVER + 1 + len(LESIONS)):
        inside = hu[labels == value]
        assert inside.size == 0 or 40 < np.median(inside) < 85  # a soft edge on a coarse grid
    around = ndimage.binary_dilation(labels > 0, iterations=2) & ~ndimage.binary_dilation(labels > 0)
    assert np.mean(hu[around] < -50) > 0.4  # fat and lung around the liver
    assert np.median(hu[:, 0]) == pytest.approx(-1000, abs=10)
    assert {-1000, -860} < set(np.round(hu[-1].ravel(), -1))  # air and lung on the uppermost image


def test_liver_is_plausible_and_measured_as_drawn(visits):
    for visit in visits:
        labels = LabelMap(np.minimum(visit.labels.labels, 2), visit.labels.geometry)
        assert check_liver(visit.volume, labels) == ()
        measured = measure(visit.volume, labels, "2.25.1", 0.0)
        assert measured.organ.volume_ml == pytest.approx(visit.truth.liver_volume_ml)
        assert sorted(lesion.volume_ml for lesion in measured.lesions) == pytest.approx(
            sorted(lesion.volume_ml for lesion in visit.truth.lesions)
        )
        assert sorted(lesion.long_axis.length_mm for lesion in measured.lesions) == pytest.approx(
            sorted(lesion.long_axis_mm for lesion in visit.truth.lesions)
        )


def test_a_finer_grid_shows_the_same_liver(visits):
    """One thick image through the liver against the images that lie in it."""
    fine = draw(0, Settings(pixel_mm=1.5, slice_mm=5.0, lowest_mm=-75.0, highest_mm=-65.0))
    coarse = draw(0, Settings(pixel_mm=3.0, slice_mm=5.0, lowest_mm=-75.0, highest_mm=-65.0))
    areas = [np.count_nonzero(d.labels.labels) * d.labels.geometry.spacing[1] ** 2 for d in (fine, coarse)]
    assert areas[1] == pytest.approx(areas[0], rel=0.01)


def test_slabs_do_not_show(quiet):
    """A grid that starts elsewhere cuts the phantom into other slabs."""
    shifted = draw(0, dataclasses.replace(COARSE, noise_hu=0.0, lowest_mm=COARSE.lowest_mm + 15))
    np.testing.assert_array_equal(shifted.labels.labels, quiet[0].labels.labels[3:])
    assert np.abs(shifted.volume.hu.astype(int) - quiet[0].volume.hu[3:]).max() <= 1


def test_what_was_drawn_is_kept(tmp_path: Path, visits):
    first = drawing(0, COARSE, tmp_path)
    files = {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    again = drawing(0, COARSE, tmp_path)
    assert {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()} == files
    for other in (again, visits[0]):
        np.testing.assert_array_equal(other.volume.hu, first.volume.hu)
        np.testing.assert_array_equal(other.labels.labels, first.labels.labels)
        assert other.truth == first.truth
    quieter = drawing(0, dataclasses.replace(COARSE, noise_hu=5.0), tmp_path)
    assert (quieter.volume.hu != first.volume.hu).any()
    assert len(list(tmp_path.iterdir())) == 4
