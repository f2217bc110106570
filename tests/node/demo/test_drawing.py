from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from node.demo.drawing import Picture, View, body_box
from node.demo.images import Plane

pytestmark = pytest.mark.verifies("SRS-162", level="unit", technique="phantom")

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
RED = (255, 0, 0)


def plane(orientation: tuple[float, ...] = AXIAL, rows: float = 1.0, columns: float = 1.0) -> Plane:
    cosines = np.array(orientation).reshape(2, 3)
    return Plane(np.zeros(3), cosines[0], cosines[1], rows, columns)


def pixels(picture: Picture) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(picture.png())))


def redness(image: NDArray[np.uint8]) -> NDArray[np.int_]:
    return image[..., 0].astype(int) - image[..., 1]


def test_pixels_that_are_not_square_come_out_in_true_proportion() -> None:
    image = np.zeros((20, 40))
    image[5:15, 10:30] = 1000.0  # 40 mm high, 20 mm wide
    view = View.on(plane(rows=4.0, columns=1.0), (9.5, 19.5), (120, 120), 0.5)

    shown = view.sample(image, 0) > 500

    assert (shown.any(axis=1).sum(), shown.any(axis=0).sum()) == (80, 40)


@pytest.mark.parametrize(
    ("orientation", "corner"),
    [
        ((1, 0, 0, 0, 1, 0), "top left"),
        ((-1, 0, 0, 0, 1, 0), "top right"),
        ((1, 0, 0, 0, -1, 0), "bottom left"),
        ((-1, 0, 0, 0, -1, 0), "bottom right"),
        ((0, 1, 0, 1, 0, 0), "top left"),
        ((0, -1, 0, 1, 0, 0), "bottom left"),
    ],
)
def test_the_patient_stands_upright_whichever_way_the_image_was_stored(
    orientation: tuple[float, ...], corner: str
) -> None:
    """The first pixel lies where the directions of rows and columns begin; the screen's top left is anterior right."""
    image = np.zeros((31, 31))
    image[:8, :8] = 1.0
    view = View.on(plane(orientation), (15.0, 15.0), (31, 31), 1.0)

    rows, columns = np.nonzero(view.sample(image, 0))

    assert f"{'top' if rows.mean() < 15 else 'bottom'} {'left' if columns.mean() < 15 else 'right'}" == corner
    assert (view.top, view.bottom, view.left, view.right_letter) == ("A", "P", "R", "L")


def test_a_coronal_image_has_the_head_above() -> None:
    view = View.on(plane((1, 0, 0, 0, 0, -1)), (0.0, 0.0), (3, 3), 1.0)

    assert (view.top, view.bottom, view.left, view.right_letter) == ("H", "F", "R", "L")


def test_a_point_is_placed_on_the_tissue_under_it() -> None:
    image = np.zeros((40, 30))
    image[27, 11] = 1.0
    view = View.on(plane((-1, 0, 0, 0, 1, 0), rows=3.0, columns=1.5), (20.0, 15.0), (301, 201), 0.5)

    y, x = view.place((27.0, 11.0))

    shown = np.argwhere(view.sample(image, 0) > 0.5)
    assert shown.mean(axis=0) == pytest.approx([y, x], abs=0.51)


def test_an_outline_runs_round_the_mask_and_nowhere_else() -> None:
    mask = np.zeros((40, 40), bool)
    mask[10:20, 24:34] = True
    view = View.on(plane(), (19.5, 19.5), (400, 400), 0.1)
    picture = Picture(view, np.zeros((40, 40)), 0.0, 100.0)

    picture.outline(mask, RED, line=4.0)

    drawn = redness(pixels(picture)) > 128
    rows, columns = np.nonzero(drawn)
    # The mask's outer edges lie at 100 and 200, 240 and 340 in picture pixels.
    assert (rows.min(), rows.max()) == pytest.approx((100, 200), abs=4)
    assert (columns.min(), columns.max()) == pytest.approx((240, 340), abs=4)
    assert not drawn[115:185, 255:325].any()
    assert drawn[110:190, 236:246].any(axis=1).all()


def test_a_fill_colours_the_inside_only() -> None:
    mask = np.zeros((20, 20), bool)
    mask[5:15, 5:15] = True
    picture = Picture(View.on(plane(), (9.5, 9.5), (200, 200), 0.1), np.zeros((20, 20)), 0.0, 100.0)

    picture.outline(mask, RED, fill=0.5)

    tint = redness(pixels(picture))
    assert tint[100, 100] == pytest.approx(128, abs=2)  # half of the way from grey to red
    assert tint[20, 20] == 0


def test_an_empty_mask_draws_nothing() -> None:
    picture = Picture(View.on(plane(), (9.5, 9.5), (50, 50), 1.0), np.zeros((20, 20)), 0.0, 100.0)

    picture.outline(np.zeros((20, 20), bool), RED, fill=1.0)

    assert not redness(pixels(picture)).any()


def test_a_line_goes_from_end_to_end() -> None:
    picture = Picture(View.on(plane(), (9.5, 9.5), (200, 200), 0.1), np.zeros((20, 20)), 0.0, 100.0)

    picture.segment((4.0, 3.0), (4.0, 16.0), RED, line=2.0)

    rows, columns = np.nonzero(redness(pixels(picture)) > 128)
    assert (columns.min(), columns.max()) == pytest.approx((34.5, 164.5), abs=2)
    assert rows.mean() == pytest.approx(44.5, abs=1)


def test_a_dashed_line_has_gaps() -> None:
    picture = Picture(View.on(plane(), (9.5, 9.5), (200, 200), 0.1), np.zeros((20, 20)), 0.0, 100.0)

    picture.segment((10.0, 2.0), (10.0, 17.0), RED, dash=10.0)

    row = redness(pixels(picture))[104, 40:150] > 128
    assert 0.3 < row.mean() < 0.7


def test_the_window_is_black_below_and_white_above() -> None:
    image = np.repeat([[-1000.0, 0.0, 100.0, 3000.0]], 4, axis=0)
    picture = Picture(View.on(plane(), (1.5, 1.5), (4, 4), 1.0), image, 50.0, 200.0)

    grey = pixels(picture)[2, :, 0]

    assert (grey[0], grey[3]) == (0, 255)
    assert grey[1] < 128 < grey[2]


@pytest.mark.parametrize("offset", [0.0, 1024.0])
def test_the_body_is_found_whatever_the_offset_of_its_values(offset: float) -> None:
    image = np.full((50, 60), -1000.0)
    image[10:40, 5:55] = 40.0
    image[45:47, 20:40] = -100.0  # the table
    image[20:30, 20:40] = -800.0  # lung

    assert body_box(image + offset, 40.0 + offset) == ((10.0, 5.0), (39.0, 54.0))


def test_without_a_body_the_whole_image_is_shown() -> None:
    assert body_box(np.full((5, 7), -1000.0), 40.0) == ((0.0, 0.0), (4.0, 6.0))
