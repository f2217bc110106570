"""The way of a volume through the model: trunk, liver, its lesions, label map."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from models.ct_liver_lesions import preparation
from models.ct_liver_lesions.body import trunk
from models.interface import Float, Hounsfield, Labels, Progress, Run, Segmentation
from models.manifest import Manifest
from models.orientation import Orientation
from models.resampling import Box, Vector

LIVER, LESION = 1, 2


class Settings(BaseModel):
    """What the manifest settles.

    Attributes
    ----------
    liver_threshold, lesion_threshold
        A voxel is liver, or lesion, if its probability, interpolated at its centre, is greater.
    lesion_found
        A lesion is kept only if its probability is greater than this somewhere.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    liver_threshold: float = Field(gt=0, lt=1)
    lesion_threshold: float = Field(gt=0, lt=1)
    lesion_found: float = Field(gt=0, lt=1)


class _Steps:
    """Tells how far it is and keeps the time."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time a step of one part."""
        self._progress(name, 0, 1)
        started = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - started
        self._progress(name, 1, 1)

    def infer(self, run: Run, network: str, batches: Iterator[Float], total: int) -> Iterator[Float]:
        """Run a network on batch after batch; its own time goes by its name."""
        name = f"infer_{network}"
        self.seconds[name] = 0.0
        self._progress(name, 0, total)
        for number, batch in enumerate(batches, start=1):
            started = time.perf_counter()
            answer = run(network, batch)
            self.seconds[name] += time.perf_counter() - started
            yield answer
            self._progress(name, number, total)


def segment(
    hu: Hounsfield,
    affine: NDArray[np.float64],
    run: Run,
    progress: Progress,
    manifest: Manifest,
) -> Segmentation:
    """Draw the liver and its lesions; see `models.interface.Pipeline`.

    Parameters
    ----------
    hu, affine, run, progress
        As every pipeline takes them.
    manifest
        Of this model; `Settings` says what it must settle.

    Returns
    -------
    Segmentation
        Labels 1 (liver) and 2 (lesion, inside the liver only); all 0 if no liver is found.

    Raises
    ------
    ValueError
        If the volume or its affine is none.
    """
    if hu.ndim != 3 or hu.dtype != np.int16 or hu.size == 0:
        raise ValueError(f"a volume must be int16 with three axes, not {hu.dtype} of shape {hu.shape}")
    orientation = Orientation.of(affine)
    labels = np.zeros(hu.shape, np.uint8)
    steps = _Steps(progress)
    case = _Case(
        # Both are views: what is drawn on the turned labels is drawn on the volume's own.
        hu=orientation.apply(hu),
        labels=orientation.apply(labels),
        spacing=orientation.spacing,
        run=run,
        steps=steps,
        settings=Settings.model_validate(manifest.settings),
    )
    liver = case.draw_liver()
    tiles = 0 if liver is None else case.draw_lesions(liver)
    return Segmentation(labels, steps.seconds, {"lesion_tiles": float(tiles)})


@dataclass(frozen=True, eq=False)
class _Case:
    """One volume on its way, its axes to head, anterior and right."""

    hu: Hounsfield
    labels: Labels
    spacing: Vector
    run: Run
    steps: _Steps
    settings: Settings

    def draw_liver(self) -> Box | None:
        """Label the liver; return a box that holds it, or None if there is none."""
        threshold = self.settings.liver_threshold
        with self.steps.step("prepare_liver"):
            box = trunk(self.hu, self.spacing, preparation.LIVER_FIELD_MM)
            if box is None:
                return None
            image, resampling = preparation.liver_image(self.hu[box], self.spacing)
            batch = preparation.liver_batch(image)
        (answer,) = self.steps.infer(self.run, "liver", iter([batch]), 1)
        with self.steps.step("outline_liver"):
            probability, part = preparation.liver_probability(answer, resampling.new_size)
            probability = preparation.largest_piece(probability, threshold)
            drawn = self.labels[box]
            for slab, is_liver in preparation.outline(probability, part, resampling, threshold):
                drawn[slab][is_liver] = LIVER
        return box if drawn.any() else None

    def draw_lesions(self, within: Box) -> int:
        """Label what is lesion in the liver; return how many tiles the network saw."""
        threshold, found = self.settings.lesion_threshold, self.settings.lesion_found
        with self.steps.step("prepare_lesion"):
            view = preparation.lesion_view(self.hu, self.labels, within, self.spacing)
            tiles = preparation.tiles(view.seen)
            probability = np.zeros_like(view.image)
        batches = (preparation.lesion_batch(view.image, tile) for tile in tiles)
        for tile, answer in zip(tiles, self.steps.infer(self.run, "lesion", batches, len(tiles)), strict=True):
            probability[tile.own] = preparation.lesion_answer(answer, tile)
        with self.steps.step("outline_lesion"):
            probability = preparation.found_pieces(probability, threshold, found)
            for slab, is_lesion in preparation.outline(probability, view.window, view.resampling, threshold):
                drawn = self.labels[slab]
                drawn[is_lesion & (drawn == LIVER)] = LESION
        return len(tiles)
