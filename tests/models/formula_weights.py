"""HDF5 files built like the package's, with weights made by an exact formula: to convert, not to infer with."""

from __future__ import annotations

import io
from dataclasses import dataclass

import h5py
import numpy as np

from models.ct_liver_lesions.architecture import NETWORKS, Convolution, Size, forward


@dataclass
class _Plan:
    channels: int
    size: Size


class _Shapes:
    """Walks a network and notes the shape of each kernel in Keras' order: x, y, z, in, out."""

    def __init__(self) -> None:
        self.kernels: list[tuple[int, ...]] = []

    def convolve(self, x: _Plan, layer: Convolution, **_: bool) -> _Plan:
        self.kernels.append((*reversed(layer.kernel), x.channels, layer.channels))
        return _Plan(layer.channels, x.size)

    def concatenate(self, x: _Plan, y: _Plan) -> _Plan:
        return _Plan(x.channels + y.channels, x.size)

    def _same(self, x: _Plan, *_: object) -> _Plan:
        return x

    normalise = leaky = sigmoid = max_pool = repeat = interpolate = crop = add = _same


def kernels(network: str) -> list[tuple[int, ...]]:
    """Return the shapes of a network's kernels, in order."""
    shapes = _Shapes()
    forward(NETWORKS[network], shapes, _Plan(1, (0, 0, 0)))
    return shapes.kernels


def formula_hdf5(shapes: list[tuple[int, ...]]) -> bytes:
    """Write a file with these kernels; every value is a multiple of 1/256, the same on every machine."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for number, shape in enumerate(shapes, start=1):
            group = file.create_group(f"conv3d_{number}").create_group(f"conv3d_{number}")
            count = int(np.prod(shape))
            values = (np.arange(count, dtype=np.int64) * (40503 + number) >> 4) % 256 - 128
            group["kernel:0"] = (values / 256).astype(np.float32).reshape(shape)
            group["bias:0"] = ((np.arange(shape[-1]) % 7 - 3) / 256).astype(np.float32)
    return buffer.getvalue()
