"""The noise of filtered back projection: its power grows with frequency, then the reconstruction kernel cuts it off.

Its spectrum matters to a network. Blobs of 20 HU, as low-pass noise makes them, hid lesions from the networks that this
phantom was tried with; fine-grained noise of the same strength did not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft

Array = NDArray[np.float32]

_KERNEL_MM = 0.5  # of a soft-tissue kernel
_FLOOR = 0.03  # what remains at frequency 0


class RampNoise:
    """White noise through a square-root ramp and a Gaussian, of unit variance.

    Parameters
    ----------
    shape
        Rows and columns of an image.
    pixel_mm
        Distance between pixels, in mm.
    seed
        Numbers that say which noise it is; each image adds its own.
    """

    def __init__(self, shape: tuple[int, int], pixel_mm: float, seed: tuple[int, ...]) -> None:
        self._shape = shape
        self._seed = seed
        frequency = np.hypot(fft.fftfreq(shape[0], pixel_mm)[:, None], fft.rfftfreq(shape[1], pixel_mm)[None])
        response = (np.sqrt(frequency) + _FLOOR) * np.exp(-((2 * np.pi * _KERNEL_MM * frequency) ** 2) / 2)
        # The half of the spectrum that a real transform leaves out counts as well (Parseval).
        twice = np.full(response.shape[1], 2.0)
        twice[0] = 1.0
        if shape[1] % 2 == 0:
            twice[-1] = 1.0
        power = float((response**2 * twice).sum()) / (shape[0] * shape[1])
        self._response: Array = (response / np.sqrt(power)).astype(np.float32)

    def image(self, number: int) -> Array:
        """Return the noise of one image."""
        white = np.random.default_rng([*self._seed, number]).standard_normal(self._shape, np.float32)
        result: Array = fft.irfft2(fft.rfft2(white) * self._response, s=self._shape)
        return result
