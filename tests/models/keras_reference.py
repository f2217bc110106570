"""The two networks run straight from the package's HDF5, by numpy and the definition of each Keras layer.

Independent of the product on purpose: no ONNX, no engine, no module of ``models``. Axes stay as Keras has them,
``(x, y, z, channel)``; a convolution is a matrix product a kernel offset; means are taken in float64; magnifying is
repeating and then pooling, as the original writes it. Slow (a minute for the liver), and literal.
"""

from __future__ import annotations

import io

import h5py
import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]

_SLAB = 6


class Weights:
    """Hands out trained kernels in the order of their numbers, which is the order in which the layers were made."""

    def __init__(self, hdf5: bytes) -> None:
        self._file = h5py.File(io.BytesIO(hdf5), "r")
        self._next = 0

    def convolve(self, x: Float, *, same: bool) -> Float:
        """Run the next convolution of the network."""
        self._next += 1
        group = self._file[f"conv3d_{self._next}/conv3d_{self._next}"]
        kernel, bias = np.asarray(group["kernel:0"]), np.asarray(group["bias:0"])
        if same:
            x = np.pad(x, [(n // 2, n // 2) for n in kernel.shape[:3]] + [(0, 0)])
        size = [n - k + 1 for n, k in zip(x.shape[:3], kernel.shape[:3], strict=True)]
        result = np.empty((*size, kernel.shape[4]), np.float32)
        for start in range(0, size[0], _SLAB):
            stop = min(start + _SLAB, size[0])
            result[start:stop] = bias
            for i, j, k in np.ndindex(kernel.shape[:3]):
                shifted = x[start + i : stop + i, j : j + size[1], k : k + size[2]]
                result[start:stop] += shifted @ kernel[i, j, k]
        return result

    def used_up(self) -> bool:
        """Return whether every convolution of the file was run."""
        return self._next == sum(1 for name in self._file if name.startswith("conv3d_"))


def run(network: str, hdf5: bytes, image: Float) -> Float:
    """Run one network.

    Parameters
    ----------
    network
        ``liver`` or ``lesion``.
    hdf5
        Its trained file.
    image
        Array ``(slice, row, column)``, what the product's network is given.

    Returns
    -------
    ndarray
        Probabilities ``(slice, row, column)``.
    """
    weights = Weights(hdf5)
    x = np.ascontiguousarray(image.transpose(2, 1, 0))[..., None]
    logits = {"liver": _liver, "lesion": _lesion}[network](weights, x)
    if not weights.used_up():
        raise AssertionError("convolutions were left over")
    return (1 / (1 + np.exp(-logits[..., 0]))).transpose(2, 1, 0)


def _liver(weights: Weights, x: Float) -> Float:
    x = weights.convolve(x, same=True)
    x = weights.convolve(_activate(x), same=True)
    skips = [x]
    for _ in range(3):
        x = _max_pool(x, 3)
        for _ in range(2):
            x = weights.convolve(_activate(x), same=True)
        skips.append(x)
    skips.pop()
    while skips:
        x = _average_pool(_repeat(x, 3), 3)
        x = np.concatenate([_crop(skips.pop(), x), x], axis=-1)
        for _ in range(2):
            x = weights.convolve(_activate(x), same=True)
    return weights.convolve(_activate(x), same=True)


def _lesion(weights: Weights, x: Float) -> Float:
    shortcut = x
    x = weights.convolve(x, same=False)
    x = weights.convolve(_activate(x), same=False)
    x = x + weights.convolve(_crop(shortcut, x), same=False)
    skips = [x]
    for level in range(3):
        shortcut = x = _max_pool(x, 2)
        for _ in range(2):
            x = weights.convolve(_activate(x), same=False)
        shortcut = _crop(shortcut, x)
        # At the bottom the channels stay as many as they were.
        x = x + (shortcut if level == 2 else weights.convolve(shortcut, same=False))
        skips.append(x)
    skips.pop()
    while skips:
        x = _repeat(x, 2)
        shortcut = x = np.concatenate([_crop(skips.pop(), x), x], axis=-1)
        for _ in range(2):
            x = weights.convolve(_activate(x), same=False)
        x = x + weights.convolve(_crop(shortcut, x), same=False)
    return weights.convolve(_activate(x), same=False)


def _activate(x: Float) -> Float:
    """Normalise each channel over space, then leak 0.01 of what is negative."""
    result = np.empty_like(x)
    for channel in range(x.shape[-1]):
        values = x[..., channel].astype(np.float64)
        values = (values - values.mean()) / (values.std() + 1e-7)
        result[..., channel] = np.where(values < 0, 0.01 * values, values)
    return result


def _max_pool(x: Float, factor: int) -> Float:
    blocks = [n // factor for n in x.shape[:3]]
    return x.reshape(blocks[0], factor, blocks[1], factor, blocks[2], factor, -1).max(axis=(1, 3, 5))


def _average_pool(x: Float, width: int) -> Float:
    for axis in range(3):
        count = x.shape[axis] - width + 1
        shifts = [np.take(x, range(i, i + count), axis=axis) for i in range(width)]
        x = sum(shifts[1:], start=shifts[0]) / np.float32(width)
    return x


def _repeat(x: Float, factor: int) -> Float:
    for axis in range(3):
        x = np.repeat(x, factor, axis=axis)
    return x


def _crop(x: Float, like: Float) -> Float:
    margins = [(n - m) // 2 for n, m in zip(x.shape[:3], like.shape[:3], strict=True)]
    return x[tuple(slice(m, m + n) for m, n in zip(margins, like.shape[:3], strict=True))]
