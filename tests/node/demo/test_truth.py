from __future__ import annotations

from pathlib import Path

import pytest

from node.demo.images import ImageSeries, read_series
from node.demo.results import Results, read_results
from node.demo.truth import TrueLesion, Truth, compare, table
from tests.node.demo import objects
from tests.node.demo.objects import SyntheticStudy

pytestmark = pytest.mark.verifies("SRS-166", level="unit", technique="phantom")

# Middles of the measured long axes: column * 2 mm, row * 4 mm, slice * 5 mm.
L01, L02 = (28.0, 98.0, 10.0), (65.0, 56.0, 20.0)


@pytest.fixture(scope="module")
def measured(synthetic: SyntheticStudy) -> tuple[Results, ImageSeries]:
    results = read_results([synthetic.seg, synthetic.sr])
    return results, read_series(synthetic.images, results.images)


def test_each_lesion_meets_the_one_at_its_place(measured: tuple[Results, ImageSeries]) -> None:
    truth = Truth(100.0, (TrueLesion("small", 1.0, 10.0, L02), TrueLesion("large", 9.0, 36.0, L01)))

    comparison = compare(*measured, truth)

    names = {lesion.tracking_id: comparison.found[lesion.tracking_uid].name for lesion in measured[0].lesions}
    assert names == {"L01": "large", "L02": "small"}
    assert comparison.missed == ()
    assert comparison.false == ()


def test_half_a_long_axis_is_as_far_as_it_goes(measured: tuple[Results, ImageSeries]) -> None:
    x, y, z = L01
    near, far = TrueLesion("near", 9.0, 36.0, (x + 17.9, y, z)), TrueLesion("far", 9.0, 36.0, (x + 18.1, y, z))

    assert compare(*measured, Truth(100.0, (near,))).missed == ()
    assert compare(*measured, Truth(100.0, (far,))).missed == (far,)


def test_two_true_lesions_do_not_share_a_measured_one(measured: tuple[Results, ImageSeries]) -> None:
    x, y, z = L01
    close, closer = TrueLesion("close", 9.0, 36.0, (x + 8, y, z)), TrueLesion("closer", 9.0, 36.0, (x, y + 1, z))

    comparison = compare(*measured, Truth(100.0, (close, closer)))

    assert list(comparison.found.values()) == [closer]
    assert comparison.missed == (close,)
    assert [lesion.tracking_id for lesion in comparison.false] == ["L02"]


def test_a_healthy_phantom_makes_every_lesion_a_false_one(measured: tuple[Results, ImageSeries]) -> None:
    comparison = compare(*measured, Truth(100.0, ()))

    assert [lesion.tracking_id for lesion in comparison.false] == ["L01", "L02"]


def test_nothing_measured_leaves_everything_missed(tmp_path: Path) -> None:
    study = objects.write_study(tmp_path, lesions=0)
    results = read_results([study.seg, study.sr])
    lesion = TrueLesion("A", 1.0, 10.0, L01)

    comparison = compare(results, read_series(study.images, results.images), Truth(100.0, (lesion,)))

    assert comparison.missed == (lesion,)


def test_the_table_says_all_of_it(measured: tuple[Results, ImageSeries]) -> None:
    gone = TrueLesion("gone", 3.0, 12.0, (500.0, 0.0, 0.0))
    truth = Truth(objects.box_ml(objects.LIVER) / 1.25, (TrueLesion("large", 2.4, 30.0, L01), gone))

    rows = table("Visit 1", measured[0], compare(*measured, truth))

    assert rows == [
        ("Visit 1", "liver", "207.4", "259.2", "+25 %", "", ""),
        ("Visit 1", "L01", "2.4", "4.8", "+100 %", "30.0", "36.0"),
        ("Visit 1", "L02", "none", "0.5", "not there", "", "10.0"),
        ("Visit 1", "gone", "3.0", "none", "missed", "12.0", ""),
    ]
