"""What the networks are shown and what becomes of their answers, piece by piece."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.ct_liver_lesions import preparation
from models.ct_liver_lesions.architecture import LESION, LIVER
from models.resampling import Resampling

TILE = LESION.output_size
WHOLE = (slice(0, 30), slice(0, 100), slice(0, 100))


@pytest.mark.verifies("SRS-060", level="unit", technique="boundary")
def test_hounsfield_units_are_clipped_and_scaled() -> None:
    hu = np.array([-1024, -200, 0, 100, 200, 3000], np.int16)
    assert np.allclose(preparation.normalise(hu), [-0.5, -0.5, 0, 0.25, 0.5, 0.5])


@pytest.mark.verifies("SRS-060", level="unit", technique="property")
@given(
    size=st.tuples(*[st.integers(1, 250)] * 3),
    network=st.sampled_from([LIVER.input_size, LIVER.output_size]),
)
def test_a_field_lies_over_the_middle(size: tuple[int, int, int], network: tuple[int, int, int]) -> None:
    part, inside = preparation.field(size, network)
    for p, i, length, wanted in zip(part, inside, size, network, strict=True):
        assert p.stop - p.start == i.stop - i.start == min(length, wanted)
        # Voxel n // 2 of the image is voxel n // 2 of the field.
        assert i.start - p.start == wanted // 2 - length // 2
        assert p.start >= 0
        assert p.stop <= length
        assert i.start >= 0
        assert i.stop <= wanted


@pytest.mark.verifies("SRS-060", level="unit", technique="example")
@pytest.mark.parametrize("size", [(1, 1, 1), (60, 77, 96), (136, 136, 163), (140, 150, 170)])
def test_the_liver_network_answers_for_what_it_was_shown(size: tuple[int, int, int]) -> None:
    image = np.random.default_rng(2).normal(size=size).astype(np.float32)
    batch = preparation.liver_batch(image)
    assert batch.shape == (1, 1, *LIVER.input_size)
    margin = [(a - b) // 2 for a, b in zip(LIVER.input_size, LIVER.output_size, strict=True)]
    answer = batch[(..., *(slice(m, m + n) for m, n in zip(margin, LIVER.output_size, strict=True)))]
    shown, part = preparation.liver_probability(answer, size)
    assert np.array_equal(shown, image[part])


@pytest.mark.verifies("SRS-060", level="unit", technique="phantom")
def test_the_trunk_comes_to_3_mm_and_back() -> None:
    hu = np.full((20, 90, 110), -1000, np.int16)
    hu[5:15, 20:60, 30:80] = 100
    image, resampling = preparation.liver_image(hu, (2.5, 0.8, 0.8))
    assert image.shape == resampling.new_size == (17, 24, 30)
    whole = (slice(0, 17), slice(0, 24), slice(0, 30))
    drawn = np.zeros(hu.shape, bool)
    for slab, mask in preparation.outline(image + 0.5, whole, resampling, 0.4):
        drawn[slab] = mask
    assert (drawn ^ (hu > 0)).mean() < 0.05


@pytest.mark.verifies("SRS-062", level="unit", technique="phantom")
def test_the_largest_piece_is_kept_and_threads_are_cut() -> None:
    probability = np.full((20, 20, 40), 0.1, np.float32)
    probability[4:14, 4:14, 4:16] = 0.9
    probability[8, 8, 16:30] = 0.8
    probability[5:11, 5:11, 30:36] = 0.9
    kept = preparation.largest_piece(probability, 0.5)
    assert (kept[4:14, 4:14, 4:16] == np.float32(0.9)).mean() > 0.9
    assert (kept[..., 18:] <= 0.1).all()
    assert kept[0, 0, 0] == np.float32(0.1)


@pytest.mark.verifies("SRS-062", level="unit", technique="boundary")
def test_without_a_piece_nothing_is_liver() -> None:
    assert not (preparation.largest_piece(np.full((5, 5, 5), 0.4, np.float32), 0.5) > 0.5).any()
    single = np.zeros((5, 5, 5), np.float32)
    single[2, 2, 2] = 1
    assert not preparation.largest_piece(single, 0.5).any()


@pytest.mark.verifies("SRS-062", level="unit", technique="boundary")
def test_a_lesion_must_be_found_to_be_outlined() -> None:
    probability = np.full((8, 12, 30), 0.05, np.float32)
    probability[2:5, 2:6, 2:6] = 0.3
    probability[3, 3, 3] = 0.6
    probability[5, 6, 6] = 0.25  # touches the first by a corner
    probability[2:5, 2:6, 20:24] = 0.45
    kept = preparation.found_pieces(probability, 0.2, 0.5)
    assert (kept[..., :10] == probability[..., :10]).all()
    assert (kept[2:5, 2:6, 20:24] == 0).all()
    assert kept[0, 0, 29] == np.float32(0.05)


# --- tiles -------------------------------------------------------------------------------------------------------


@pytest.mark.verifies("SRS-060", level="unit", technique="property")
@settings(max_examples=80, deadline=None)
@given(size=st.tuples(st.integers(1, 130), st.integers(1, 200), st.integers(1, 210)))
def test_tiles_cover_every_voxel_once(size: tuple[int, int, int]) -> None:
    seen = np.ones(size, bool)
    counted = np.zeros(size, np.uint8)
    for tile in preparation.tiles(seen):
        counted[tile.own] += 1
        for start, own, side in zip(tile.start, tile.own, TILE, strict=True):
            assert start <= own.start < own.stop <= start + side
    assert (counted == 1).all()


@pytest.mark.verifies("SRS-060", level="unit", technique="example")
def test_tiles_lie_where_the_original_lays_them_and_the_last_counts() -> None:
    tiles = preparation.tiles(np.ones((42, 84, 200), bool))
    assert [tile.start for tile in tiles] == [(0, 0, 0), (0, 0, 92), (0, 0, 108)]
    assert [tile.own[2] for tile in tiles] == [slice(0, 92), slice(92, 108), slice(108, 200)]


@pytest.mark.verifies("SRS-060", level="unit", technique="boundary")
def test_an_image_smaller_than_a_tile_lies_in_its_middle() -> None:
    (tile,) = preparation.tiles(np.ones((11, 20, 30), bool))
    assert tile.start == (5 - 21, 10 - 42, 15 - 46)


@pytest.mark.verifies("SRS-060", level="unit", technique="example")
def test_tiles_without_tissue_are_left_out() -> None:
    seen = np.zeros((42, 84, 200), bool)
    seen[3, 3, 3] = True
    assert [tile.start for tile in preparation.tiles(seen)] == [(0, 0, 0)]


@pytest.mark.verifies("SRS-060", level="unit", technique="example")
@pytest.mark.parametrize("size", [(1, 1, 1), (11, 20, 30), (56, 158, 193), (42, 84, 92), (100, 90, 250)])
def test_the_lesion_network_answers_for_what_it_was_shown(size: tuple[int, int, int]) -> None:
    """Take the middle of each input for its answer: put together, that is the image again."""
    image = np.random.default_rng(4).normal(size=size).astype(np.float32)
    margin = [(a - b) // 2 for a, b in zip(LESION.input_size, TILE, strict=True)]
    middle = tuple(slice(m, m + n) for m, n in zip(margin, TILE, strict=True))
    put_together = np.zeros(size, np.float32)
    for tile in preparation.tiles(np.ones(size, bool)):
        batch = preparation.lesion_batch(image, tile)
        assert batch.shape == (1, 1, *LESION.input_size)
        put_together[tile.own] = preparation.lesion_answer(batch[(..., *middle)], tile)
    assert np.array_equal(put_together, image)


@pytest.mark.verifies("SRS-060", level="unit", technique="boundary")
def test_the_lesion_network_sees_around_its_tile_and_zeros_beyond_the_image() -> None:
    image = np.ones((60, 120, 120), np.float32)
    first = preparation.tiles(np.ones(image.shape, bool))[0]
    batch = preparation.lesion_batch(image, first)[0, 0]
    assert (batch[22:82, 44:164, 44:164] == 1).all()
    assert batch.sum() == 60 * 120 * 120


# --- the view of a liver -----------------------------------------------------------------------------------------


@pytest.mark.verifies("SRS-060", level="unit", technique="example")
def test_outside_of_the_liver_it_is_dark() -> None:
    hu = np.full((30, 100, 100), 60, np.int16)
    liver = np.zeros(hu.shape, bool)
    liver[10:20, 30:60, 40:70] = True
    view = preparation.lesion_view(hu, liver, WHOLE, (3.0, 1.0, 1.0))
    assert view.image.shape == (14, 34, 34)
    assert view.window == (slice(8, 22), slice(28, 62), slice(38, 72))
    assert np.allclose(view.image[view.seen], 60 / 400)
    assert (view.image[~view.seen] == -0.5).all()
    # Two voxels over faces and edges: corners of the box stay dark, faces are seen.
    assert not view.seen[0, 0, 0]
    assert view.seen[0, 17, 17]


@pytest.mark.verifies("SRS-060", level="unit", technique="boundary")
@pytest.mark.parametrize("place", [(0, 0, 0), (29, 99, 99), (15, 50, 50)])
def test_a_liver_of_one_voxel_is_still_shown(place: tuple[int, int, int]) -> None:
    """A fifth of a voxel of the network's grid: nothing to find, but nothing breaks."""
    hu = np.full((30, 100, 100), 60, np.int16)
    liver = np.zeros(hu.shape, bool)
    liver[place] = True
    view = preparation.lesion_view(hu, liver, WHOLE, (1.0, 0.7, 0.7))
    assert view.seen.any()
    assert preparation.tiles(view.seen)


@pytest.mark.verifies("SRS-060", level="unit", technique="example")
def test_the_view_is_a_window_of_the_whole() -> None:
    rng = np.random.default_rng(8)
    hu = rng.integers(-300, 300, (40, 80, 90)).astype(np.int16)
    liver = np.zeros(hu.shape, bool)
    liver[12:30, 20:55, 25:66] = True
    spacing = (2.0, 0.8, 0.8)
    view = preparation.lesion_view(hu, liver, (slice(5, 33), slice(20, 80), slice(2, 70)), spacing)
    whole = Resampling.to_spacing(hu.shape, spacing, (3.0, 1.0, 1.0)).forward(preparation.normalise(hu))
    assert np.allclose(view.image[view.seen], whole[view.window][view.seen], atol=1e-5)


@pytest.mark.verifies("SRS-062", level="unit", technique="boundary")
def test_no_probability_no_outline() -> None:
    resampling = Resampling.to_spacing((10, 10, 10), (3.0, 1.0, 1.0), (3.0, 3.0, 3.0))
    window = (slice(0, 10), slice(0, 4), slice(0, 4))
    assert not list(preparation.outline(np.full((10, 4, 4), 0.5, np.float32), window, resampling, 0.5))
