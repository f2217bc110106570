"""What a model's pipeline takes and gives. It knows no engine: whoever calls it says how a network is run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
Hounsfield = NDArray[np.int16]
Labels = NDArray[np.uint8]

#: Runs a network: its name in the manifest and a float32 batch of its input shape; returns its only output.
Run = Callable[[str, Float], Float]


#: Told how far a step has come: its name, and how many of its parts (for example tiles) are done, of how many.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class Segmentation:
    """What a pipeline found.

    Attributes
    ----------
    labels
        uint8 array, the size and orientation of the volume that was given. The manifest says what a label means.
    seconds
        Time of each step in seconds. What a network itself took stands alone, under ``infer_`` and its name.
    facts
        Numbers worth keeping with the result, by name.
    """

    labels: Labels
    seconds: dict[str, float]
    facts: dict[str, float]


class Pipeline(Protocol):
    """From a CT volume to a label map."""

    def __call__(self, hu: Hounsfield, affine: NDArray[np.float64], run: Run, progress: Progress) -> Segmentation:
        """Segment a volume.

        Parameters
        ----------
        hu
            int16 array ``(slice, row, column)`` in Hounsfield units.
        affine
            4x4 matrix that takes ``(slice, row, column, 1)`` to mm in the patient's LPS coordinates, as the pixels show
            the patient. Any orientation along the axes of the body; a tilted stack is taken as its nearest one.
        run
            Runs a network.
        progress
            Told at the beginning of a step and after each of its parts.
        """
        ...
