"""What is refused as no liver, tried on a drawn body and on real CT."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  the name that its own documentation uses

from node.dicom.geometry import Geometry
from node.dicom.reasons import Reason, Refused
from node.dicom.volume import LabelMap, Volume
from node.measure.plausibility import check_liver
from tests.node.measure.shapes import Body, grid, labels_on, volume_of

NOISE = np.random.default_rng(11).normal(0, 1, Body().hu.shape)


@pytest.fixture(scope="module")
def body() -> Body:
    return Body()


def refusal(volume: Volume, labels: LabelMap) -> Refused:
    with pytest.raises(Refused) as refused:
        check_liver(volume, labels)
    return refused.value


@pytest.mark.verifies("SRS-080", level="unit", technique="boundary")
def test_nothing_outlined(body):
    volume = body.volume()
    refused = refusal(volume, labels_on(volume, np.zeros(volume.hu.shape)))
    assert refused.reason is Reason.NO_LIVER


@pytest.mark.verifies("SRS-080", level="unit", technique="bad-input")
def test_labels_on_another_grid_are_an_error(body):
    volume = body.volume()
    with pytest.raises(ValueError, match="grid"):
        check_liver(volume, LabelMap(body.labels, grid(body.hu.shape)))


@pytest.mark.verifies("SRS-080", level="unit", technique="phantom")
@pytest.mark.parametrize(
    ("tissue", "evidence"),
    [
        (-100 + 12 * NOISE, "median attenuation is -100 HU"),
        (np.full(NOISE.shape, -100.0), "median attenuation is -100 HU"),
        (np.full(NOISE.shape, -1000.0), "median attenuation is -1000 HU"),
        (12 * NOISE, "median attenuation is 0 HU"),
        (np.zeros(NOISE.shape), "median attenuation is 0 HU"),
        (500 + 12 * NOISE, "median attenuation is 500 HU"),
        (110 + 80 * NOISE, "spread by 80 HU"),
        (np.random.default_rng(1).uniform(-1000, 1200, NOISE.shape), "spread by"),
        (np.where(NOISE > 0, 110, 0) + 8 * NOISE, "spread by"),
        (np.where(NOISE > 0.9, -100, 110) + 8 * NOISE, "19% of it is fat or gas"),
    ],
    ids=["fat", "even fat", "air", "water", "even water", "bone", "noise", "uniform", "mixture", "partly fat"],
)
def test_tissue_that_is_not_liver(body, tissue, evidence):
    volume = body.with_tissue(tissue)
    refused = refusal(volume, labels_on(volume, body.labels))
    assert refused.reason is Reason.LIVER_IMPLAUSIBLE
    assert evidence in refused.text


@pytest.mark.verifies("SRS-080", level="unit", technique="phantom")
def test_all_lesion_and_no_parenchyma(body):
    volume = body.volume()
    assert "all of it is marked as lesion" in refusal(volume, labels_on(volume, body.liver * 2)).text


@pytest.mark.verifies("SRS-080", "SRS-082", level="unit", technique="phantom")
@pytest.mark.parametrize(("tissue", "noted"), [(55, False), (110, False), (150, False), (25, True), (15, True)])
def test_liver_native_enhanced_and_fatty(body, tissue, noted):
    volume = body.with_tissue(tissue + 12 * NOISE)
    notes = check_liver(volume, labels_on(volume, body.labels))
    assert [note.reason for note in notes] == [Reason.LIVER_LOW_ATTENUATION] * noted


@pytest.mark.verifies("SRS-080", "SRS-081", "SRS-082", level="unit", technique="phantom")
def test_the_drawn_body_passes(body):
    volume = body.volume()
    assert check_liver(volume, labels_on(volume, body.labels)) == ()


@pytest.mark.verifies("SRS-081", level="unit", technique="phantom")
def test_mirrored_left_to_right(body):
    volume = body.volume()
    mirrored = dataclasses.replace(volume, anatomy=volume.geometry.mirrored(0))
    refused = refusal(mirrored, labels_on(volume, body.labels))
    assert refused.reason is Reason.LIVER_IMPLAUSIBLE
    assert "right of the body's midline" in refused.text


@pytest.mark.verifies("SRS-081", level="unit", technique="phantom")
def test_upside_down(body):
    volume = body.volume()
    mirrored = dataclasses.replace(volume, anatomy=volume.geometry.mirrored(2))
    assert "upside down" in refusal(mirrored, labels_on(volume, body.labels)).text


@pytest.mark.verifies("SRS-081", level="unit", technique="phantom")
@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (1, 2, 0), (2, 0, 1)])
@pytest.mark.parametrize("flips", [(), (0,), (1, 2), (0, 1, 2)])
def test_the_order_and_direction_of_the_arrays_axes_do_not_matter(body, order, flips):
    axes = np.array(grid((1, 1, 1)).axes)
    axes[list(flips)] *= -1
    hu, labels = (np.flip(array, flips).transpose(order) for array in (body.hu, body.labels))
    geometry = Geometry(
        shape=hu.shape, origin=(0, 0, 0), spacing=body.spacing, axes=tuple(tuple(axes[axis]) for axis in order)
    )
    assert check_liver(Volume(hu, geometry, geometry), LabelMap(labels, geometry)) == ()


@pytest.mark.verifies("SRS-081", level="unit", technique="phantom")
def test_outline_that_reaches_out_of_the_body(body):
    volume = body.with_tissue(60 + 12 * NOISE)
    wider = body.liver | np.roll(body.liver, -10, axis=2)
    assert "air outside the body" in refusal(volume, labels_on(volume, wider)).text


@pytest.mark.verifies("SRS-081", level="unit", technique="phantom")
def test_a_lung_cut_by_the_border_of_the_images_is_not_outside(body):
    hu, labels = body.hu[:, :, 18:], body.labels[:, :, 18:]
    assert (hu[40:, 40, 0] < -500).any()
    volume = volume_of(hu, body.spacing)
    labels = labels_on(volume, labels * (np.indices(labels.shape)[2] > 0))
    assert check_liver(volume, labels) == ()


@pytest.mark.verifies("SRS-081", level="unit", technique="phantom")
def test_fragments(body):
    volume = body.volume()
    labels = body.labels.copy()
    labels[:, 38:42] = 0
    labels[33:37] = 0
    assert "pieces" in refusal(volume, labels_on(volume, labels)).text


@pytest.mark.verifies("SRS-081", level="unit", technique="boundary")
def test_too_small_and_too_large(body):
    volume = body.volume()
    labels = body.labels * (np.indices(body.labels.shape)[0] < 30)
    assert "its volume is" in refusal(volume, labels_on(volume, labels)).text
    large = volume_of(body.hu, (8.0, 8.0, 8.0))
    assert "its volume is" in refusal(large, labels_on(large, body.labels)).text


@pytest.mark.verifies("SRS-082", level="unit", technique="phantom")
def test_cut_off_by_the_scan(body):
    volume = volume_of(body.hu[:35], body.spacing)
    (note,) = check_liver(volume, labels_on(volume, body.labels[:35]))
    assert note.reason is Reason.LIVER_CUT_OFF
    assert "at the head end" in note.text


@pytest.mark.verifies("SRS-082", level="unit", technique="phantom")
def test_cut_off_by_the_border_of_the_images(body):
    hu, labels = body.hu[:, :, 20:], body.labels[:, :, 20:]
    volume = volume_of(hu, body.spacing)
    (note,) = check_liver(volume, labels_on(volume, labels))
    assert "at the right border" in note.text


@pytest.mark.verifies("SRS-081", level="unit", technique="boundary")
def test_too_little_of_a_liver(body):
    volume = volume_of(body.hu[22:25], body.spacing)
    labels = labels_on(volume, body.labels[22:25])
    assert "a part of a liver" in refusal(volume, labels).text


@pytest.mark.verifies("SRS-081", level="unit", technique="phantom")
def test_a_head():
    """Brain is 35 HU: low for liver, but not too low."""
    z, y, x = np.meshgrid(np.arange(45) * 4.0, np.arange(64) * 4 - 128.0, np.arange(56) * 4 - 112.0, indexing="ij")
    inside = (x / 75) ** 2 + (y / 95) ** 2 + ((z - 60) / 100) ** 2
    hu = np.select([inside <= 0.84, inside <= 1], [35, 900], -1000) + 5 * np.random.default_rng(2).normal(0, 1, x.shape)
    volume = volume_of(hu, (4.0, 4.0, 4.0))
    right_half = (inside <= 0.84) & (x < 15)
    refused = refusal(volume, labels_on(volume, right_half))
    assert refused.reason is Reason.LIVER_IMPLAUSIBLE
    assert "cross-section" in refused.text


# --- real CT ---


def real_case(folder, liver_label: int | None) -> tuple[Volume, np.ndarray]:
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder / "ct")))
    image = sitk.DICOMOrient(reader.Execute(), "LPS")
    labels = sitk.GetArrayFromImage(sitk.DICOMOrient(sitk.ReadImage(str(folder / "labels.nii.gz")), "LPS"))
    column, row, slice_ = image.GetSpacing()
    volume = volume_of(sitk.GetArrayFromImage(image), (slice_, row, column))
    return volume, np.minimum(labels, 2) if liver_label is None else (labels == liver_label).astype(np.uint8)


@pytest.mark.verifies("SRS-080", "SRS-081", level="unit", technique="real-data")
@pytest.mark.data
def test_a_real_liver(study):
    volume, labels = real_case(study("ct-liver-ircadb01"), None)
    assert check_liver(volume, labels_on(volume, labels)) == ()
    for axis, evidence in ((0, "midline"), (2, "upside down")):
        mirrored = dataclasses.replace(volume, anatomy=volume.geometry.mirrored(axis))
        assert evidence in refusal(mirrored, labels_on(volume, labels)).text
    fat = volume.hu.copy()
    fat[labels > 0] = -100
    changed = dataclasses.replace(volume, hu=fat)
    assert "median attenuation is -100 HU" in refusal(changed, labels_on(volume, labels)).text


@pytest.mark.verifies("SRS-082", level="unit", technique="real-data")
@pytest.mark.data
def test_a_part_of_a_real_liver(study):
    volume, labels = real_case(study("ct-body-j2k"), 5)
    (note,) = check_liver(volume, labels_on(volume, labels))
    assert note.reason is Reason.LIVER_CUT_OFF
