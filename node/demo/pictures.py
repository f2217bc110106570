"""The key pictures of a page: the slice with the most liver, and each lesion on the slice of its long axis."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from node.demo.drawing import Colour, Picture, Point, View, body_box, middle
from node.demo.images import ImageSeries
from node.demo.results import Finding, Results

LIVER_COLOUR: Colour = (94, 214, 200)
LESION_COLOUR: Colour = (255, 181, 46)
AXIS_COLOUR: Colour = (255, 255, 255)
WINDOW_HU = 220.0
_OVERVIEW = (780, 1040)
_CLOSE_UP = (420, 420)
_CLOSE_UP_MM = (56.0, 180.0)  # narrowest and widest
_AROUND = 1.7  # a close-up's width in long axes
_BATCH = 64  # masks held at a time: a thin-slice study of the whole body would take gigabytes


@dataclass(frozen=True)
class Label:
    """A name on a picture.

    Attributes
    ----------
    text
        The name.
    x_percent, y_percent
        Where it stands, in % of the picture's width and height.
    """

    text: str
    x_percent: float
    y_percent: float


@dataclass(frozen=True)
class KeyPicture:
    """A drawn picture with what is written beside and on it.

    Attributes
    ----------
    data_uri
        The PNG.
    title, caption
        What it shows; which image it is.
    labels
        Names of lesions on it.
    top, right, bottom, left
        The patient's sides.
    is_lesion
        Whether it is the close-up of a lesion.
    scale_mm, scale_percent
        Length of the scale bar in mm, and in % of the picture's width.
    """

    data_uri: str
    title: str
    caption: str
    labels: tuple[Label, ...]
    top: str
    right: str
    bottom: str
    left: str
    is_lesion: bool
    scale_mm: int
    scale_percent: float


class KeyPictures:
    """Draws the pictures of one study.

    Parameters
    ----------
    results
        What was found.
    series
        The images that it was found in.
    """

    def __init__(self, results: Results, series: ImageSeries) -> None:
        self._results = results
        self._series = series
        self._areas = self._liver_areas()
        # The window's level is the liver's own density in these very pixels: so a picture is well exposed even if the
        # header's rescale values are wrong.
        self._level = self._liver_level()

    def overview(self) -> KeyPicture:
        """Draw the slice on which the liver is largest."""
        image = self._largest()
        view = self._around(image, body_box(self._series.pixels(image), self._level), _OVERVIEW, 1.04)
        return self._finish(self._draw(image, view), image, "Largest liver section", tuple(self._names(image, view)))

    def levels(self, count: int) -> Iterator[KeyPicture]:
        """Draw slices spread through the liver, by its volume from the feet up: what was searched.

        Parameters
        ----------
        count
            How many.
        """
        below = np.cumsum(self._areas) / self._areas.sum()
        for k in range(count):
            image = self._series.uids[int(np.searchsorted(below, (k + 0.5) / count))]
            rows, columns = np.nonzero(self._results.mask([self._results.liver.segment], [image])[0])
            box = (float(rows.min()), float(columns.min())), (float(rows.max()), float(columns.max()))
            yield self._finish(self._draw(image, self._around(image, box, _CLOSE_UP, 1.1)), image, "Liver")

    def lesion(self, lesion: Finding) -> KeyPicture | None:
        """Draw a lesion with its diameters; None if the SR gives it none."""
        axis = lesion.long_axis
        if axis is None:
            return None
        width_mm = min(max(_AROUND * axis.length_mm, _CLOSE_UP_MM[0]), _CLOSE_UP_MM[1])
        centre = middle([axis.start, axis.end])
        view = View.on(self._series.plane(axis.image), centre, _CLOSE_UP, width_mm / _CLOSE_UP[1])
        picture = self._draw(axis.image, view)
        picture.segment(axis.start, axis.end, AXIS_COLOUR, line=2.6)
        if lesion.short_axis is not None and lesion.short_axis.image == axis.image:
            picture.segment(lesion.short_axis.start, lesion.short_axis.end, AXIS_COLOUR, line=2.6, dash=8.0)
        return self._finish(picture, axis.image, lesion.tracking_id)

    def _around(self, image: str, box: tuple[Point, Point], size: tuple[int, int], margin: float) -> View:
        """Return the view that shows a part of a slice as large as it fits."""
        plane = self._series.plane(image)
        in_mm = View.on(plane, (0.0, 0.0), (1, 1), 1.0)
        high, wide = np.ptp(np.array([in_mm.place(corner) for corner in box]), axis=0)
        return View.on(plane, middle(box), size, margin * float(max(high / size[0], wide / size[1])))

    def _draw(self, image: str, view: View) -> Picture:
        picture = Picture(view, self._series.pixels(image), self._level, WINDOW_HU)
        lesions = [lesion.segment for lesion in self._results.lesions]
        liver = self._results.mask([self._results.liver.segment, *lesions], [image])[0]
        picture.outline(liver, LIVER_COLOUR, line=2.4)
        if lesions:
            picture.outline(self._results.mask(lesions, [image])[0], LESION_COLOUR, line=2.4, fill=0.12)
        return picture

    def _finish(self, picture: Picture, image: str, title: str, labels: tuple[Label, ...] = ()) -> KeyPicture:
        view = picture.view
        width_mm = view.size[1] * view.mm_per_pixel
        scale_mm = 50 if width_mm > 120 else 20
        return KeyPicture(
            data_uri="data:image/png;base64," + base64.b64encode(picture.png()).decode(),
            title=title,
            caption=f"image {self._series.number(image)}",
            labels=labels,
            top=view.top,
            right=view.right_letter,
            bottom=view.bottom,
            left=view.left,
            is_lesion=title in {lesion.tracking_id for lesion in self._results.lesions},
            scale_mm=scale_mm,
            scale_percent=100.0 * scale_mm / width_mm,
        )

    def _names(self, image: str, view: View) -> Iterator[Label]:
        """Yield the name of each lesion on a slice, above it."""
        for lesion in self._results.lesions:
            rows, columns = np.nonzero(self._results.mask([lesion.segment], [image])[0])
            if rows.size:
                corners: list[Point] = [(float(r), float(c)) for r, c in zip(rows, columns, strict=True)]
                placed = np.array([view.place(corner) for corner in corners])
                y, x = placed[:, 0].min(), placed[:, 1].mean()
                yield Label(lesion.tracking_id, 100.0 * float(x) / view.size[1], 100.0 * float(y) / view.size[0])

    def _largest(self) -> str:
        return self._series.uids[int(self._areas.argmax())]

    def _liver_areas(self) -> NDArray[np.int64]:
        """Return how many pixels of each image are liver."""
        uids = self._series.uids
        areas = [
            self._results.mask([self._results.liver.segment], uids[start : start + _BATCH]).sum(axis=(1, 2))
            for start in range(0, len(uids), _BATCH)
        ]
        return np.asarray(np.concatenate(areas), dtype=np.int64)

    def _liver_level(self) -> float:
        image = self._largest()
        liver = self._results.mask([self._results.liver.segment], [image])[0]
        return float(np.median(self._series.pixels(image)[liver]))
