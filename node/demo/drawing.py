"""Pictures of CT slices with outlines and diameters drawn on them, upright and in true proportion.

Everything goes through one `View`: a square grid of millimetres laid over the image. Cropping, enlarging, turning the
patient upright and pixels that are not square are then one and the same operation, and an outline or a line cannot end
up anywhere else than the tissue under it.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from node.demo.images import Plane

Colour = tuple[int, int, int]
Point = tuple[float, float]

# By the patient axis that an image looks along: LPS directions to the right and down on the screen.
# Axial images are seen from the feet, so that the patient's right is on the left.
_UPRIGHT = {
    0: (np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, -1.0])),
    1: (np.array([1.0, 0.0, 0.0]), np.array([0.0, 0.0, -1.0])),
    2: (np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0])),
}
_LETTERS = (("R", "L"), ("A", "P"), ("F", "H"))
_AIR_HU = -400.0


@dataclass(frozen=True)
class View:
    """A window on one image: square pixels of a given size in mm, the patient upright.

    Attributes
    ----------
    centre
        ``(row, column)`` of the image at the middle of the picture.
    size
        Height and width of the picture in pixels.
    mm_per_pixel
        Size of a picture's pixel in mm.
    down, right
        ``(rows, columns)`` of the image that one picture pixel down, or right, stands for.
    top, left
        The letters of the patient's sides there (A, P, R, L, H, F).
    """

    centre: Point
    size: tuple[int, int]
    mm_per_pixel: float
    down: Point
    right: Point
    top: str
    left: str

    @classmethod
    def on(cls, plane: Plane, centre: Point, size: tuple[int, int], mm_per_pixel: float) -> View:
        """Lay a window over an image.

        Parameters
        ----------
        plane
            Where the image lies in the patient.
        centre, size, mm_per_pixel
            As the attributes.
        """
        right, down = _UPRIGHT[int(np.abs(plane.normal).argmax())]
        steps = {
            (0.0, mm_per_pixel / plane.between_columns): plane.along_row,
            (mm_per_pixel / plane.between_rows, 0.0): plane.along_column,
        }
        across = max(steps, key=lambda step: abs(float(steps[step] @ right)))
        along = next(step for step in steps if step != across)
        return cls(
            centre,
            size,
            mm_per_pixel,
            down=_towards(along, steps[along], down),
            right=_towards(across, steps[across], right),
            top=_letter(-down),
            left=_letter(-right),
        )

    @property
    def bottom(self) -> str:
        """The letter opposite `top`."""
        return _opposite(self.top)

    @property
    def right_letter(self) -> str:
        """The letter opposite `left`."""
        return _opposite(self.left)

    def sample(self, image: NDArray[np.float64], order: Literal[0, 1, 3]) -> NDArray[np.float64]:
        """Return the picture of an image, interpolated with splines of this order; its edge value outside.

        Parameters
        ----------
        image
            Array ``(row, column)``.
        order
            0 nearest, 1 linear, 3 cubic.
        """
        matrix = np.array([self.down, self.right]).T
        middle = (np.array(self.size) - 1) / 2
        offset = np.array(self.centre) - matrix @ middle
        picture = ndimage.affine_transform(
            image, matrix, offset, output_shape=self.size, order=order, mode="constant", cval=float(image.min())
        )
        return np.asarray(picture, dtype=float)

    def place(self, point: Point) -> Point:
        """Return where in the picture ``(y, x)`` an image's ``(row, column)`` lies, in pixels."""
        matrix = np.array([self.down, self.right]).T
        y, x = np.linalg.solve(matrix, np.array(point) - np.array(self.centre)) + (np.array(self.size) - 1) / 2
        return float(y), float(x)


class Picture:
    """A grey image in a window, on which outlines and lines are drawn.

    Parameters
    ----------
    view
        The window.
    image
        Array ``(row, column)``.
    level, width
        Values shown: from ``level - width / 2``, black, to ``level + width / 2``, white.
    """

    def __init__(self, view: View, image: NDArray[np.float64], level: float, width: float) -> None:
        self.view = view
        # Shown values only go into the splines: metal would ring far into the tissue.
        shown = np.clip((image - level) / width + 0.5, -0.5, 1.5)
        grey = np.clip(view.sample(shown, 3), 0.0, 1.0)
        self._rgb = np.repeat(grey[..., None], 3, axis=2) * 255.0

    def outline(self, mask: NDArray[np.bool_], colour: Colour, *, line: float = 1.6, fill: float = 0.0) -> None:
        """Draw the border of a mask.

        Parameters
        ----------
        mask
            Array ``(row, column)``.
        colour
            Red, green, blue, 0 to 255.
        line
            Width of the line in pixels.
        fill
            How much of the colour is laid over the inside, 0 to 1.
        """
        if not mask.any():
            return
        share = self.view.sample(mask.astype(float), 1)
        inside = share > 0.5
        # Signed distance to the border, in pixels, zero halfway between the last pixel inside and the first outside.
        distance = np.asarray(
            np.where(
                inside, ndimage.distance_transform_edt(inside) - 0.5, 0.5 - ndimage.distance_transform_edt(~inside)
            )
        )
        distance = ndimage.gaussian_filter(distance, 0.8)  # rounds the steps of enlarged pixels, not the shape
        self._blend(np.where(inside, fill, 0.0), colour)
        self._blend(np.clip(line / 2 + 0.5 - np.abs(distance), 0.0, 1.0), colour)

    def segment(self, start: Point, end: Point, colour: Colour, *, line: float = 1.4, dash: float = 0.0) -> None:
        """Draw a straight line with small bars at its ends.

        Parameters
        ----------
        start, end
            ``(row, column)`` of the image.
        colour
            Red, green, blue, 0 to 255.
        line
            Width in pixels.
        dash
            Length of dashes and gaps in pixels; 0 for a full line.
        """
        a, b = np.array(self.view.place(start)), np.array(self.view.place(end))
        length = float(np.linalg.norm(b - a))
        if length == 0.0:
            return
        along = (b - a) / length
        across = np.array([-along[1], along[0]])
        cover = self._cover(a, b, line, dash)
        for tip in (a, b):
            cover = np.maximum(cover, self._cover(tip - across * 4, tip + across * 4, line, 0.0))
        # A dark seam keeps a white line readable on bright tissue.
        self._blend(0.5 * np.clip(ndimage.grey_dilation(cover, size=(3, 3)) - cover, 0.0, 1.0), (0, 0, 0))
        self._blend(cover, colour)

    def _cover(self, a: NDArray[np.float64], b: NDArray[np.float64], line: float, dash: float) -> NDArray[np.float64]:
        """Return how much of each pixel the line from `a` to `b` covers, 0 to 1."""
        y, x = np.indices(self.view.size, dtype=float)
        length = float(np.linalg.norm(b - a))
        along = ((y - a[0]) * (b - a)[0] + (x - a[1]) * (b - a)[1]) / length
        nearest = np.clip(along, 0.0, length) / length
        distance = np.hypot(y - a[0] - nearest * (b - a)[0], x - a[1] - nearest * (b - a)[1])
        cover = np.clip(line / 2 + 0.5 - distance, 0.0, 1.0)
        return np.where(np.floor(along / dash) % 2 == 0, cover, 0.0) if dash else cover

    def _blend(self, alpha: NDArray[np.float64], colour: Colour) -> None:
        self._rgb += alpha[..., None] * (np.array(colour, dtype=float) - self._rgb)

    def png(self) -> bytes:
        """Return the picture as a PNG file."""
        buffer = io.BytesIO()
        Image.fromarray(np.round(self._rgb).astype(np.uint8), "RGB").save(buffer, "PNG")
        return buffer.getvalue()


def body_box(image: NDArray[np.float64], soft_tissue: float) -> tuple[Point, Point]:
    """Return the box around the body: ``(row, column)`` of its first and last pixel.

    Parameters
    ----------
    image
        Array ``(row, column)`` in Hounsfield units, or shifted by an unknown offset.
    soft_tissue
        What soft tissue measures there: the threshold counts from it, so that a wrong offset does no harm.
    """
    parts, count = ndimage.label(image > soft_tissue + _AIR_HU)
    if not count:
        return (0.0, 0.0), (image.shape[0] - 1.0, image.shape[1] - 1.0)
    sizes = np.bincount(parts.ravel())[1:]
    rows, columns = ndimage.find_objects(parts)[int(sizes.argmax())]
    return (float(rows.start), float(columns.start)), (rows.stop - 1.0, columns.stop - 1.0)


def middle(points: Sequence[Point]) -> Point:
    """Return the point halfway between the extremes."""
    array = np.array(points)
    row, column = (array.min(axis=0) + array.max(axis=0)) / 2
    return float(row), float(column)


def _towards(step: Point, axis: NDArray[np.float64], wanted: NDArray[np.float64]) -> Point:
    """Turn a step along an axis of the image round if it leads away from where it should."""
    return step if float(axis @ wanted) > 0 else (-step[0], -step[1])


def _letter(direction: NDArray[np.float64]) -> str:
    axis = int(np.abs(direction).argmax())
    return _LETTERS[axis][int(direction[axis] > 0)]


def _opposite(letter: str) -> str:
    return next(pair[1 - pair.index(letter)] for pair in _LETTERS if letter in pair)
