"""The median of 27, against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from models.median import median_of_27

pytestmark = pytest.mark.verifies("SRS-060", level="unit", technique="oracle")


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 2, 5), (3, 3, 3), (7, 12, 9)])
def test_it_is_the_median_to_the_last_bit(shape: tuple[int, int, int]) -> None:
    volume = np.random.default_rng(5).normal(0, 300, shape).astype(np.float32)
    before = volume.copy()
    assert np.array_equal(median_of_27(volume), ndimage.median_filter(volume, size=3))
    assert np.array_equal(volume, before)


def test_equal_values_are_no_trouble() -> None:
    volume = np.random.default_rng(6).integers(0, 3, (6, 8, 8)).astype(np.float32)
    assert np.array_equal(median_of_27(volume), ndimage.median_filter(volume, size=3))
