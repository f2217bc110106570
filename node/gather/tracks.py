"""The best continuous path through a stack of slices: how the spine and the aorta are followed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


def best_track(score: NDArray[np.float32], reach: int = 1) -> NDArray[np.intp]:
    """Return the path of one pixel a slice that collects the highest score (dynamic programming).

    Parameters
    ----------
    score
        Array ``(z, y, x)``.
    reach
        How many pixels the path may move along y and along x from one slice to the next.

    Returns
    -------
    numpy.ndarray
        ``(z, 2)`` rows and columns.
    """
    totals = [score[0]]
    for layer in score[1:]:
        totals.append(layer + ndimage.maximum_filter(totals[-1], size=2 * reach + 1, mode="constant", cval=-np.inf))
    y, x = np.unravel_index(int(totals[-1].argmax()), score.shape[1:])
    track = [(int(y), int(x))]
    for total in totals[-2::-1]:
        top, left = max(0, track[-1][0] - reach), max(0, track[-1][1] - reach)
        window = total[top : track[-1][0] + reach + 1, left : track[-1][1] + reach + 1]
        dy, dx = np.unravel_index(int(window.argmax()), window.shape)
        track.append((top + int(dy), left + int(dx)))
    return np.array(track[::-1], dtype=np.intp)
