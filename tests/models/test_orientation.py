"""Turning a volume to the networks' axes and back."""

from __future__ import annotations

import numpy as np
import pytest

from models.orientation import Orientation
from tests.models.orientations import ALL, Order, Signs, affine

SPACING = (1.5, 0.7, 0.9)


@pytest.mark.verifies("SRS-060", level="unit", technique="example")
@pytest.mark.parametrize(("order", "signs"), ALL)
def test_axes_lead_to_head_anterior_and_right(order: Order, signs: Signs) -> None:
    matrix = affine(order, signs, SPACING)
    shape = (3, 4, 5)
    positions = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1) @ matrix[:3, :3].T
    orientation = Orientation.of(matrix)
    turned = np.stack([orientation.apply(positions[..., axis]) for axis in range(3)], axis=-1)
    to_head, to_anterior, to_right = (np.diff(turned, axis=axis) for axis in range(3))
    for steps, axis, sign, mm in zip(
        (to_head, to_anterior, to_right), (2, 1, 0), (1, -1, -1), orientation.spacing, strict=True
    ):
        expected = np.zeros(3)
        expected[axis] = sign * mm
        assert np.allclose(steps, expected)


@pytest.mark.verifies("SRS-060", level="unit", technique="example")
@pytest.mark.parametrize(("order", "signs"), ALL)
def test_the_way_back_is_exact_and_writes_through(order: Order, signs: Signs) -> None:
    orientation = Orientation.of(affine(order, signs, SPACING))
    volume = np.random.default_rng(3).integers(-1000, 1000, (3, 4, 5), dtype=np.int16)
    assert np.array_equal(orientation.undo(orientation.apply(volume)), volume)
    orientation.apply(volume)[0, 0, 0] = 31000
    assert (volume == 31000).sum() == 1


@pytest.mark.verifies("SRS-060", level="unit", technique="example")
def test_a_tilted_gantry_is_taken_as_the_nearest_stack() -> None:
    straight = affine((2, 1, 0), (1, 1, 1), (5.0, 0.8, 0.8))
    tilted = straight.copy()
    tilted[:3, 0] = 5.0 * np.array([0.0, np.sin(np.radians(20)), np.cos(np.radians(20))])
    one, other = Orientation.of(tilted), Orientation.of(straight)
    assert (one.axes, one.flipped) == (other.axes, other.flipped)
    assert one.spacing == pytest.approx(other.spacing)


@pytest.mark.verifies("SRS-060", level="unit", technique="boundary")
def test_axes_are_never_used_twice() -> None:
    """At 45 degrees two axes of the volume are equally near to one of the patient's."""
    matrix = np.eye(4)
    half = np.sqrt(0.5)
    matrix[:3, :3] = np.array([[half, half, 0.0], [half, -half, 0.0], [0.0, 0.0, 1.0]])
    assert sorted(Orientation.of(matrix).axes) == [0, 1, 2]


@pytest.mark.verifies("SRS-060", level="unit", technique="bad-input")
@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_an_axis_without_length_is_refused(value: float) -> None:
    matrix = affine((2, 1, 0), (1, 1, 1), SPACING)
    matrix[:3, 1] = value
    with pytest.raises(ValueError, match="length"):
        Orientation.of(matrix)
