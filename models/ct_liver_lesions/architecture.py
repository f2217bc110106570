"""The two networks of the model, as data and as one walk through a U-Net.

The trained package describes its networks in Keras 2.2; nothing can run that any more. This module says the same in
plain terms, once, without an engine: `forward` walks the graph and asks an `Operations` for every layer, so the same
walk can write ONNX, count multiplications or print the network. The weights are consumed in the order in which Keras
numbered them, which is the order of creation: the convolutions of a block first, then its shortcut.

All sizes are in the order ``(slice, row, column)``; the original counts them ``(x, y, z)``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeVar

Size = tuple[int, int, int]

#: Each channel is normalised over the whole volume: (x - mean) / (standard deviation + EPSILON); no scale, no shift.
EPSILON = 1e-7
LEAK = 0.01

_IN_PLANE: Size = (1, 3, 3)
_CUBE: Size = (3, 3, 3)


@dataclass(frozen=True)
class Convolution:
    """One convolution: kernel size in voxels and number of channels it makes."""

    kernel: Size
    channels: int


@dataclass(frozen=True)
class Level:
    """What happens at one resolution: convolutions on the way down and, but for the deepest level, on the way up."""

    down: tuple[Convolution, ...]
    up: tuple[Convolution, ...] = ()


@dataclass(frozen=True)
class UNet:
    """A 3D U-Net of the DeepVoxNet family (Robben et al. 2018).

    Attributes
    ----------
    input_size, output_size
        Voxels of the field seen and of the field answered; both are centred on the same point.
    levels
        From full resolution to the coarsest.
    factor
        Both the max-pooling on the way down and the magnification on the way up.
    padded
        Whether convolutions keep the size (zeros outside) or lose their margin.
    smooth
        Whether the way up interpolates linearly instead of repeating voxels. (The original repeats each voxel and then
        averages ``factor`` neighbours wherever they all exist, which gives the same ``factor * (n - 1) + 1`` numbers.)
    residual
        Whether a block's input is added to its output.
    """

    input_size: Size
    output_size: Size
    levels: tuple[Level, ...]
    factor: int
    padded: bool
    smooth: bool
    residual: bool


def _levels(deepest: tuple[Convolution, ...]) -> tuple[Level, ...]:
    widths = ((20, 40), (40, 80), (80, 160))
    levels = [
        Level(
            down=(Convolution(_IN_PLANE, narrow), Convolution(_CUBE, wide)),
            up=(Convolution(_CUBE, wide), Convolution(_IN_PLANE, narrow)),
        )
        for narrow, wide in widths
    ]
    return (*levels, Level(down=deepest))


LIVER = UNet(
    input_size=(162, 162, 189),
    output_size=(136, 136, 163),
    levels=_levels((Convolution(_CUBE, 160), Convolution(_CUBE, 160))),
    factor=3,
    padded=True,
    smooth=True,
    residual=False,
)

LESION = UNet(
    input_size=(86, 172, 180),
    output_size=(42, 84, 92),
    levels=_levels((Convolution(_IN_PLANE, 160), Convolution(_CUBE, 160))),
    factor=2,
    padded=False,
    smooth=False,
    residual=True,
)

NETWORKS = {"liver": LIVER, "lesion": LESION}


class Tensor(Protocol):
    """What a walk needs to know of a value: its channels and its size."""

    @property
    def channels(self) -> int:
        """Number of channels."""
        ...

    @property
    def size(self) -> Size:
        """Voxels along slice, row and column."""
        ...


T = TypeVar("T", bound=Tensor)


class Operations(Protocol[T]):
    """The layers a U-Net is made of. `convolve` takes the next kernel and bias of the trained network."""

    def convolve(self, x: T, layer: Convolution, *, padded: bool) -> T:
        """Correlate with the next trained kernel and add its bias."""
        ...

    def normalise(self, x: T) -> T:
        """Subtract each channel's mean and divide by its population standard deviation plus `EPSILON`."""
        ...

    def leaky(self, x: T) -> T:
        """Multiply what is negative by `LEAK`."""
        ...

    def max_pool(self, x: T, factor: int) -> T:
        """Take the maximum of each block of ``factor`` voxels a side."""
        ...

    def repeat(self, x: T, factor: int) -> T:
        """Repeat each voxel ``factor`` times along each axis."""
        ...

    def interpolate(self, x: T, factor: int) -> T:
        """Put ``factor - 1`` voxels between each two neighbours, on the straight line between their values."""
        ...

    def crop(self, x: T, size: Size) -> T:
        """Cut the centre out."""
        ...

    def concatenate(self, x: T, y: T) -> T:
        """Put the channels of ``y`` after those of ``x``."""
        ...

    def add(self, x: T, y: T) -> T:
        """Add voxel by voxel."""
        ...

    def sigmoid(self, x: T) -> T:
        """Make probabilities of logits."""
        ...


def _block(net: UNet, ops: Operations[T], x: T, layers: tuple[Convolution, ...], *, bare_first: bool = False) -> T:
    """Run the convolutions of a level, each after normalisation and activation, and add the shortcut around them."""
    shortcut = x
    for number, layer in enumerate(layers):
        # The very first convolution sees the image as it is.
        if not (bare_first and number == 0):
            x = ops.leaky(ops.normalise(x))
        x = ops.convolve(x, layer, padded=net.padded)
    if not net.residual:
        return x
    shortcut = ops.crop(shortcut, x.size)
    if shortcut.channels != x.channels:
        shortcut = ops.convolve(shortcut, Convolution((1, 1, 1), x.channels), padded=net.padded)
    return ops.add(x, shortcut)


def forward(net: UNet, ops: Operations[T], image: T) -> T:
    """Walk through the network.

    Parameters
    ----------
    net
        Which network.
    ops
        What carries out, or writes down, each layer.
    image
        One channel of ``net.input_size`` voxels.

    Returns
    -------
    T
        One channel of ``net.output_size`` probabilities.
    """
    x = image
    skips: list[T] = []
    for depth, level in enumerate(net.levels):
        if depth:
            x = ops.max_pool(x, net.factor)
        x = _block(net, ops, x, level.down, bare_first=depth == 0)
        skips.append(x)
    for level, skip in reversed(list(zip(net.levels[:-1], skips[:-1], strict=True))):
        x = ops.interpolate(x, net.factor) if net.smooth else ops.repeat(x, net.factor)
        x = ops.concatenate(ops.crop(skip, x.size), x)
        x = _block(net, ops, x, level.up)
    x = ops.leaky(ops.normalise(x))
    x = ops.convolve(x, Convolution((1, 1, 1), 1), padded=net.padded)
    return ops.sigmoid(x)
