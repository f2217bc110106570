"""A pipeline for any small network that sees the whole volume at once, at a coarse and fixed size.

It brings the volume onto the network's grid, clipped and scaled to 0 .. 1, and takes a probability from it for each
label of the manifest: channel 0 for the first label, and so on. Each label lies inside the one before it (a lesion
inside its organ). The node's tests run it in place of the large networks; a site's own model can begin with it.
"""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from models.interface import Float, Hounsfield, Progress, Run, Segmentation
from models.manifest import Manifest, ManifestError
from models.orientation import Orientation
from models.resampling import Box, Resampling, slabs


class Settings(BaseModel):
    """What the manifest settles.

    Attributes
    ----------
    lowest_hu, highest_hu
        Become 0 and 1; what lies beyond is clipped.
    threshold
        A voxel has a label if its probability, interpolated at its centre, is greater.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    lowest_hu: float
    highest_hu: float
    threshold: float = Field(gt=0, lt=1)


def segment(
    hu: Hounsfield, affine: NDArray[np.float64], run: Run, progress: Progress, manifest: Manifest
) -> Segmentation:
    """Label a volume; see `models.interface.Pipeline`.

    Parameters
    ----------
    hu, affine, run, progress
        As every pipeline takes them.
    manifest
        Of a model with one network: input ``(1, 1, slices, rows, columns)``, axes to head, anterior and right; output
        the same with a channel a label. `Settings` says what else it must settle.

    Raises
    ------
    ManifestError
        If the network's shapes are others.
    """
    name, size = _network(manifest)
    settings = Settings.model_validate(manifest.settings)
    orientation = Orientation.of(affine)
    labels = np.zeros(hu.shape, np.uint8)
    turned, drawn = orientation.apply(hu), orientation.apply(labels)
    spacing = orientation.spacing
    coarse = tuple(mm * n / m for mm, n, m in zip(spacing, turned.shape, size, strict=True))
    resampling = Resampling(turned.shape, spacing, size, (coarse[0], coarse[1], coarse[2]))

    def scaled(part: NDArray[np.generic]) -> Float:
        clipped = np.clip(part.astype(np.float32), settings.lowest_hu, settings.highest_hu)
        return (clipped - np.float32(settings.lowest_hu)) / np.float32(settings.highest_hu - settings.lowest_hu)

    step = f"infer_{name}"
    progress(step, 0, 1)
    batch = resampling.forward(turned, transform=scaled)[None, None]
    started = time.perf_counter()
    answer = run(name, batch)
    seconds = {step: time.perf_counter() - started}
    progress(step, 1, 1)
    whole = _whole(size)
    for slab in slabs(_whole(turned.shape)):
        inside = np.ones(drawn[slab].shape, bool)
        for channel, label in enumerate(manifest.labels):
            inside &= resampling.back(answer[0, channel], whole, slab) > settings.threshold
            drawn[slab][inside] = label.value
    return Segmentation(labels, seconds, {})


def _network(manifest: Manifest) -> tuple[str, tuple[int, int, int]]:
    """Return name and grid of the only network."""
    (name, network), *others = manifest.networks.items()
    given = network.input_shape
    wanted = (1, len(manifest.labels), *given[2:])
    if others or len(given) != 5 or given[:2] != (1, 1) or network.output_shape != wanted:
        raise ManifestError(f"model {manifest.name}: it needs one network from (1, 1, n, n, n) to a channel a label")
    return name, (given[2], given[3], given[4])


def _whole(size: tuple[int, int, int]) -> Box:
    return slice(0, size[0]), slice(0, size[1]), slice(0, size[2])
