"""Draw one visit of the phantom, or take it from the cache."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import structlog
from numpy.typing import NDArray

from node.demo.phantom.anatomy import HALF_DEPTH, HALF_WIDTH, Anatomy
from node.demo.phantom.lesions import LESIONS, paint_lesion
from node.demo.phantom.noise import RampNoise
from node.demo.phantom.painting import GALLBLADDER_WALL_MM, paint_body
from node.demo.phantom.slab import Slab, Space
from node.demo.phantom.vessels import Plan
from node.demo.truth import TrueLesion, Truth
from node.dicom.geometry import Geometry
from node.dicom.volume import LabelMap, Volume
from node.measure.diameters import axial_diameters
from node.store.durable import write_durably

log = structlog.get_logger(__name__)

VISITS = (0, 1)
LIVER = 1
"""In a phantom's label map: 1 liver, 2, 3, ... its lesions, in the order of `LESIONS`."""
_SLAB_IMAGES = 8


@dataclass(frozen=True)
class Settings:
    """What a phantom is drawn with.

    Attributes
    ----------
    pixel_mm, slice_mm
        Distances between pixels and between images.
    width_mm
        Of an image, which is square.
    lowest_mm, highest_mm
        Between which heights images are drawn; 0 is under the right dome of the diaphragm.
    noise_hu
        Standard deviation of the noise in the middle of the body.
    seed
        Of everything random.
    """

    pixel_mm: float = 0.75
    slice_mm: float = 2.5
    width_mm: float = 384.0
    lowest_mm: float = -215.0
    highest_mm: float = 45.0
    noise_hu: float = 12.0
    seed: int = 7

    @property
    def geometry(self) -> Geometry:
        """The grid: first image at the feet, first row in front, first column on the patient's right."""
        images = round((self.highest_mm - self.lowest_mm) / self.slice_mm)
        pixels = round(self.width_mm / self.pixel_mm)
        first = (0.5 - pixels / 2) * self.pixel_mm
        return Geometry(
            shape=(images, pixels, pixels),
            origin=(first, first, self.lowest_mm + self.slice_mm / 2),
            spacing=(self.slice_mm, self.pixel_mm, self.pixel_mm),
            axes=((0, 0, 1), (0, 1, 0), (1, 0, 0)),
        )


@dataclass(frozen=True, eq=False)
class Drawing:
    """One visit, drawn.

    Attributes
    ----------
    volume
        The images in HU.
    labels
        The truth on the same grid: 1 liver, 2 and above its lesions.
    """

    volume: Volume
    labels: LabelMap

    @property
    def truth(self) -> Truth:
        """Volumes and diameters, measured in the label map."""
        geometry = self.labels.geometry
        lesions = []
        for value, lesion in enumerate(LESIONS, start=LIVER + 1):
            mask = self.labels.labels == value
            if mask.any():
                long_axis, _ = axial_diameters(mask, geometry.spacing)
                x, y, z = geometry.to_patient(np.argwhere(mask).mean(axis=0))
                volume_ml = float(np.count_nonzero(mask)) * geometry.voxel_volume_ml
                lesions.append(TrueLesion(lesion.name, volume_ml, long_axis.length_mm, (float(x), float(y), float(z))))
        liver_ml = float(np.count_nonzero(self.labels.labels)) * geometry.voxel_volume_ml
        return Truth(liver_ml, tuple(lesions))


def drawing(visit: int, settings: Settings, cache: Path) -> Drawing:
    """Return a visit of the phantom, drawn now or taken from the cache.

    Parameters
    ----------
    visit
        0 or 1: the same patient, but for the lesions and the noise.
    settings
        What it is drawn with.
    cache
        Folder for what was drawn before. What code drew it is part of the names in it.
    """
    name = f"phantom-{fingerprint(settings)}-{visit}"
    volume_file, labels_file = cache / f"{name}.volume", cache / f"{name}.labels"
    if volume_file.exists() and labels_file.exists():
        return Drawing(Volume.from_bytes(volume_file.read_bytes()), LabelMap.from_bytes(labels_file.read_bytes()))
    log.info("phantom.drawing", visit=visit, shape=settings.geometry.shape)
    drawn = draw(visit, settings)
    write_durably(volume_file, drawn.volume.to_bytes())
    write_durably(labels_file, drawn.labels.to_bytes())
    return drawn


def draw(visit: int, settings: Settings) -> Drawing:
    """Draw a visit of the phantom. The same settings give the same voxels.

    Parameters
    ----------
    visit
        0 or 1.
    settings
        What it is drawn with.
    """
    if visit not in VISITS:
        raise ValueError(f"The phantom has visits {VISITS}, not {visit}.")
    geometry = settings.geometry
    space = Space(settings.seed)
    plan = Plan(space)
    noise = RampNoise(geometry.shape[1:], settings.pixel_mm, (settings.seed, visit, 17))

    def images(first: int) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
        slab = _slab(range(first, min(first + _SLAB_IMAGES, geometry.shape[0])), settings, space)
        labels = _paint(slab, plan, visit)
        _add_noise(slab, noise, settings.noise_hu, first)
        return np.clip(np.rint(slab.hu), -1024, 3071).astype(np.int16), labels

    # numpy lets go of the interpreter while it computes: threads use the cores without copying anything.
    with ThreadPoolExecutor() as threads:
        parts = list(threads.map(images, range(0, geometry.shape[0], _SLAB_IMAGES)))
    hu, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return Drawing(Volume(hu, geometry, geometry), LabelMap(labels, geometry))


def _slab(images: range, settings: Settings, space: Space) -> Slab:
    geometry = settings.geometry
    steps = (np.array(images), np.arange(geometry.shape[1]), np.arange(geometry.shape[2]))
    z, y, x = (
        (first + step * mm).astype(np.float32)
        for first, step, mm in zip(geometry.origin[::-1], steps, geometry.spacing, strict=True)
    )
    return Slab(space, (z, y, x), float(np.prod(geometry.spacing) ** (1 / 3)))


def _paint(slab: Slab, plan: Plan, visit: int) -> NDArray[np.uint8]:
    """Paint body and lesions, and return the labels."""
    anatomy = Anatomy(slab, plan)
    paint_body(anatomy)
    labels = np.zeros(slab.hu.shape, np.uint8)
    labels[anatomy.liver.window] = np.where(_is_liver(anatomy), LIVER, 0)
    for value, lesion in enumerate(LESIONS, start=LIVER + 1):
        solid = paint_lesion(anatomy, lesion, visit)
        if solid is not None:
            part = labels[solid.window]
            part[(solid.distance < 0) & (part == LIVER)] = value
    return labels


def _is_liver(anatomy: Anatomy) -> NDArray[np.bool_]:
    """Return which voxels of the liver's box are liver: what is painted over it later is not."""
    liver = anatomy.liver
    gallbladder, vena_cava = (solid.on(liver.window) for solid in (anatomy.gallbladder, anatomy.vena_cava))
    result: NDArray[np.bool_] = (liver.distance < 0) & (gallbladder >= GALLBLADDER_WALL_MM) & (vena_cava >= 0)
    return result


def _add_noise(slab: Slab, noise: RampNoise, hu: float, first: int) -> None:
    """Add noise: more in the middle of the body, where the rays are long, and little in the air around it."""
    _, y, x = slab.axes
    strength = np.clip(1.08 - 0.25 * np.hypot(x[None] / HALF_WIDTH, y[:, None] / HALF_DEPTH), 0.6, 1.1)
    grain = np.stack([noise.image(first + i) for i in range(len(slab.hu))]) * (hu * strength).astype(np.float32)
    grain[slab.hu < -900] *= np.float32(0.5)
    slab.hu += grain


def fingerprint(settings: Settings) -> str:
    """Return what tells phantoms apart: a hash of the settings and of the code that draws."""
    digest = hashlib.sha256(json.dumps(asdict(settings), sort_keys=True).encode())
    for file in sorted(resources.files(__package__).iterdir(), key=lambda entry: entry.name):
        if file.name.endswith(".py"):
            digest.update(file.read_bytes())
    return digest.hexdigest()[:24]
