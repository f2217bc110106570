"""Smooth random fields, fixed in the phantom's millimetres: the same place has the same value on every grid.

They bend the anatomy, roughen its surfaces and mottle its tissue. Each is a periodic lattice of normal random numbers,
smoothed, of unit variance, read by trilinear interpolation.
"""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

Array = NDArray[np.float32]
Axes = tuple[Array, Array, Array]

_NODES = 64  # a side: bends come back after 427 mm, the grain of bone after 128
_FINEST_MM = 2.0


class SmoothField:
    """One field.

    Parameters
    ----------
    seed, key
        Which field it is.
    length_mm
        How far apart values are about independent, in mm.
    """

    def __init__(self, seed: int, key: int, length_mm: float) -> None:
        # Three nodes a standard deviation where the field bends shapes: linear interpolation would show as creases.
        self._step = max(length_mm / (6 if length_mm >= 20 else 2), _FINEST_MM)
        lattice = np.random.default_rng([seed, key]).standard_normal((_NODES,) * 3, np.float32)
        smooth = gaussian_filter(lattice, length_mm / 2 / self._step, mode="wrap", truncate=3)
        self._lattice: Array = smooth / smooth.std()

    def on(self, axes: Axes) -> Array:
        """Return the values on a grid.

        Parameters
        ----------
        axes
            Positions along z, y and x, in mm.

        Returns
        -------
        ndarray
            Array ``(z, y, x)``.
        """
        values = self._lattice
        for axis, positions in enumerate(axes):
            node, share = self._nodes(positions)
            share = share.reshape([-1 if i == axis else 1 for i in range(3)])
            lower = np.take(values, node, axis=axis, mode="wrap")
            upper = np.take(values, node + 1, axis=axis, mode="wrap")
            upper -= lower
            upper *= share
            upper += lower
            values = upper
        return values

    def at(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the values at points ``(n, 3)`` of z, y and x in mm."""
        values: NDArray[np.float64] = map_coordinates(
            self._lattice, points.T / self._step, output=np.float64, order=1, mode="grid-wrap"
        )
        return values

    def _nodes(self, positions: NDArray[np.floating]) -> tuple[NDArray[np.intp], Array]:
        place = positions / self._step
        node = np.floor(place)
        return node.astype(np.intp), (place - node).astype(np.float32)


class Fields:
    """The fields of one phantom, made when first asked for. Safe to share between threads.

    Parameters
    ----------
    seed
        Of the phantom.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._made: dict[tuple[int, float], SmoothField] = {}
        self._lock = threading.Lock()

    def get(self, key: int, length_mm: float) -> SmoothField:
        """Return the field of that number and correlation length in mm."""
        with self._lock:
            if (key, length_mm) not in self._made:
                self._made[key, length_mm] = SmoothField(self.seed, key, length_mm)
            return self._made[key, length_mm]
