from __future__ import annotations

import numpy as np
import pytest

from node.demo.phantom.fields import Fields, SmoothField
from node.demo.phantom.noise import RampNoise

pytestmark = pytest.mark.verifies("SRS-164", level="unit", technique="oracle")


@pytest.mark.parametrize("length_mm", [4.0, 14.0, 40.0])
def test_field_has_unit_variance_and_its_length(length_mm):
    field = SmoothField(7, 1, length_mm)
    axis = np.arange(-200, 200, 4, dtype=np.float32)
    values = field.on((axis, axis, axis))
    assert values.dtype == np.float32
    assert np.std(values) == pytest.approx(1, abs=0.35)
    near, far = max(1, round(length_mm / 16)), round(1.5 * length_mm / 4) + 2
    assert np.corrcoef(values[:, :, near:].ravel(), values[:, :, :-near].ravel())[0, 1] > (0.7 if near > 1 else 0)
    assert abs(np.corrcoef(values[:, :, far:].ravel(), values[:, :, :-far].ravel())[0, 1]) < 0.25


def test_a_place_has_one_value_on_every_grid():
    field = SmoothField(7, 3, 28.0)
    fine = np.arange(-30, 30, 0.5, dtype=np.float32)
    coarse = fine[::4]
    np.testing.assert_allclose(field.on((coarse,) * 3), field.on((fine,) * 3)[::4, ::4, ::4], atol=1e-5)
    points = np.array([[1.5, -20.0, 7.0], [-30.0, 0.0, 29.5]])
    for point in points:
        grid = field.on(tuple(np.array([mm], np.float32) for mm in point))
        assert field.at(point[None])[0] == pytest.approx(float(grid[0, 0, 0]), abs=1e-4)


def test_fields_differ_by_seed_and_key_and_are_made_once():
    fields = Fields(7)
    assert fields.get(1, 10.0) is fields.get(1, 10.0)
    axis = np.arange(20, dtype=np.float32)
    values = [f.on((axis,) * 3) for f in (fields.get(1, 10.0), fields.get(2, 10.0), Fields(8).get(1, 10.0))]
    for i in range(3):
        assert abs(np.corrcoef(values[i].ravel(), values[i - 1].ravel())[0, 1]) < 0.6
    np.testing.assert_array_equal(values[0], Fields(7).get(1, 10.0).on((axis,) * 3))


@pytest.mark.parametrize("shape", [(128, 128), (96, 129)])
def test_noise_has_unit_variance_and_grows_with_frequency(shape):
    noise = RampNoise(shape, 0.75, (1, 2))
    images = np.stack([noise.image(i) for i in range(20)])
    assert images.std() == pytest.approx(1, abs=0.02)
    assert abs(images.mean()) < 0.02
    power = np.mean(np.abs(np.fft.fft2(images)) ** 2, axis=0)
    frequency = np.hypot(*np.meshgrid(*(np.fft.fftfreq(n, 0.75) for n in shape), indexing="ij"))
    slow, middle, fast = (
        power[(frequency >= a) & (frequency < b)].mean() for a, b in ((0, 0.05), (0.15, 0.3), (0.6, 1))
    )
    assert middle > 2 * slow
    assert middle > 2 * fast


def test_each_image_has_its_own_noise():
    noise = RampNoise((64, 64), 1.0, (1,))
    np.testing.assert_array_equal(noise.image(3), RampNoise((64, 64), 1.0, (1,)).image(3))
    assert abs(np.corrcoef(noise.image(3).ravel(), noise.image(4).ravel())[0, 1]) < 0.1
