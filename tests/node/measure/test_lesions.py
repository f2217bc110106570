from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  the name that its own documentation uses
from scipy import ndimage
from scipy.spatial.distance import pdist

from node.dicom.geometry import Geometry
from node.dicom.reasons import Reason, Refused
from node.dicom.volume import LabelMap, Volume
from node.measure.lesions import measure
from tests.node.measure.shapes import READING, Body, grid, labels_on, volume_of


def scene() -> tuple[Volume, LabelMap]:
    """A liver of 1,000 voxels of 2x1x1 mm with lesions of 24, 8, 8 and 1 voxels."""
    labels = np.zeros((14, 14, 14), np.uint8)
    labels[2:12, 2:12, 2:12] = 1
    labels[3:5, 3:5, 3:9] = 2
    labels[9:11, 8:10, 8:10] = 2
    labels[6:8, 8:10, 8:10] = 2
    labels[11, 2, 2] = 2
    hu = np.where(labels == 1, 100, -50)
    hu[labels == 2] = 50
    hu[3, 3:5, 3:9] = 30
    volume = volume_of(hu, (2.0, 1.0, 1.0))
    return volume, labels_on(volume, labels)


@pytest.mark.verifies("SRS-087", level="unit", technique="bad-input")
def test_liver_without_parenchyma_is_refused():
    volume = volume_of(np.zeros((3, 3, 3)))
    for labels in (np.zeros((3, 3, 3)), np.full((3, 3, 3), 2)):
        with pytest.raises(Refused) as refusal:
            measure(volume, labels_on(volume, labels), READING, 0.0)
        assert refusal.value.reason is Reason.NO_LIVER


@pytest.mark.verifies("SRS-087", level="unit", technique="bad-input")
def test_labels_on_another_grid_are_an_error():
    volume = volume_of(np.zeros((3, 3, 3)))
    labels = np.ones((3, 3, 3), np.uint8)
    with pytest.raises(ValueError, match="grid"):
        measure(volume, LabelMap(labels, grid((3, 3, 3), (1.0, 1.0, 2.0))), READING, 0.0)
    with pytest.raises(ValueError, match="grid"):
        measure(volume, LabelMap(labels[:2], volume.geometry), READING, 0.0)


@pytest.mark.verifies("SRS-083", level="unit", technique="phantom")
def test_lesions_are_numbered_by_volume_then_position():
    measured = measure(*scene(), READING, 0.01)
    assert [lesion.number for lesion in measured.lesions] == [1, 2, 3]
    assert [lesion.tracking_id for lesion in measured.lesions] == ["L01", "L02", "L03"]
    assert [lesion.volume_ml for lesion in measured.lesions] == pytest.approx([0.048, 0.016, 0.016])
    assert [lesion.centroid[0] for lesion in measured.lesions] == [3.5, 6.5, 9.5]


@pytest.mark.verifies("SRS-083", level="unit", technique="phantom")
def test_the_lesion_map_holds_the_numbers():
    volume, labels = scene()
    measured = measure(volume, labels, READING, 0.01)
    values, counts = np.unique(measured.lesion_map.labels, return_counts=True)
    assert dict(zip(values.tolist(), counts.tolist(), strict=True)) == {0: 14**3 - 40, 1: 24, 2: 8, 3: 8}
    assert measured.lesion_map.geometry == volume.geometry
    assert measured.lesion_map.labels.dtype == np.uint16
    for lesion in measured.lesions:
        index = tuple(int(x) for x in lesion.centroid)
        assert measured.lesion_map.labels[index] == lesion.number


@pytest.mark.verifies("SRS-084", level="unit", technique="phantom")
def test_specks_are_ignored_and_said():
    measured = measure(*scene(), READING, 0.01)
    (note,) = measured.notes
    assert note.reason is Reason.SPECKS_IGNORED
    assert note.text.startswith("1 region marked as lesion but smaller than 0.01 ml (0.002 ml in all)")
    everything = measure(*scene(), READING, 0.0)
    assert len(everything.lesions) == 4
    assert everything.notes == ()


@pytest.mark.verifies("SRS-084", level="unit", technique="boundary")
def test_a_lesion_of_exactly_the_smallest_volume_counts():
    assert len(measure(*scene(), READING, 0.016).lesions) == 3
    assert len(measure(*scene(), READING, 0.0161).lesions) == 1


@pytest.mark.verifies("SRS-087", level="unit", technique="phantom")
def test_liver_volume_and_burden():
    measured = measure(*scene(), READING, 0.01)
    assert measured.organ.volume_ml == pytest.approx(2.0)
    assert measured.organ.burden_percent == pytest.approx(4.0)  # 40 of 1,000 voxels; the speck does not count
    assert (measured.organ.hu_mean, measured.organ.hu_sd) == (100.0, 0.0)


@pytest.mark.verifies("SRS-087", level="unit", technique="phantom")
def test_hounsfield_units_are_of_the_lesions_own_voxels():
    measured = measure(*scene(), READING, 0.01)
    assert (measured.lesions[0].hu_mean, measured.lesions[0].hu_sd) == (40.0, 10.0)
    assert (measured.lesions[1].hu_mean, measured.lesions[1].hu_sd) == (50.0, 0.0)


@pytest.mark.verifies("SRS-085", level="unit", technique="phantom")
def test_diameters_are_in_indices_of_the_volume():
    lesion = measure(*scene(), READING, 0.01).lesions[0]
    assert lesion.long_axis.length_mm == pytest.approx(np.hypot(6, 1))
    for point in (lesion.long_axis.start, lesion.long_axis.end, lesion.short_axis.start, lesion.short_axis.end):
        assert point[0] in {3.0, 4.0}
        assert 2.5 <= point[1] <= 4.5
        assert 2.5 <= point[2] <= 8.5


@pytest.mark.verifies("SRS-085", "SRS-087", level="unit", technique="phantom")
def test_a_necrotic_core_is_left_out_of_the_volume_but_not_of_the_diameters():
    labels = np.ones((3, 20, 20), np.uint8)
    labels[1, 5:15, 5:15] = 2
    volume = volume_of(np.full((3, 20, 20), 100))
    solid = measure(volume, labels_on(volume, labels), READING, 0.0).lesions[0]
    labels[1, 8:12, 8:12] = 1
    hollow = measure(volume, labels_on(volume, labels), READING, 0.0).lesions[0]
    assert hollow.volume_ml == pytest.approx(0.084)
    assert solid.volume_ml == pytest.approx(0.100)
    assert (hollow.long_axis, hollow.short_axis) == (solid.long_axis, solid.short_axis)


@pytest.mark.verifies("SRS-098", level="unit", technique="example")
def test_a_repeated_step_makes_the_same_findings_and_another_reading_others():
    first, again = measure(*scene(), READING, 0.01), measure(*scene(), READING, 0.01)
    assert first.lesions == again.lesions
    assert first.organ == again.organ
    other = measure(*scene(), READING + "1", 0.01)
    uids = {found.tracking_uid for m in (first, other) for found in (m.organ, *m.lesions)}
    assert len(uids) == 8


@pytest.mark.verifies("SRS-087", level="unit", technique="boundary")
def test_a_liver_without_lesions_is_a_result():
    body = Body()
    volume = body.volume()
    measured = measure(volume, labels_on(volume, body.liver), READING, 0.05)
    assert measured.lesions == ()
    assert measured.organ.burden_percent == 0.0
    assert not measured.lesion_map.labels.any()


def longest_on_any_image(mask: np.ndarray, pixel: np.ndarray) -> float:
    """All pairs of all border points of all parts on all images."""
    best = 0.0
    for image in mask[mask.any(axis=(1, 2))]:
        parts, count = ndimage.label(image, np.ones((3, 3)))
        for part in range(1, count + 1):
            inside = parts == part
            border = np.argwhere(inside & ~ndimage.binary_erosion(inside))
            steps = np.array([(0.5, 0), (-0.5, 0), (0, 0.5), (0, -0.5)])
            best = max(best, float(pdist((border[:, None] + steps).reshape(-1, 2) * pixel).max()))
    return best


@pytest.mark.verifies("SRS-085", "SRS-087", level="unit", technique="real-data")
@pytest.mark.data
def test_lesions_of_a_real_case(study):
    image = sitk.DICOMOrient(sitk.ReadImage(str(study("ct-liver-ircadb01") / "labels.nii.gz")), "LPS")
    labels = np.minimum(sitk.GetArrayFromImage(image), 2)  # 3 is a cyst, the networks' 2 is any lesion
    column, row, slice_ = image.GetSpacing()
    geometry = Geometry(
        shape=labels.shape, origin=(0, 0, 0), spacing=(slice_, row, column), axes=((0, 0, 1), (0, 1, 0), (1, 0, 0))
    )
    volume = Volume(np.zeros(labels.shape, np.int16), geometry, geometry)
    measured = measure(volume, LabelMap(labels, geometry), READING, 0.2)
    assert measured.organ.volume_ml == pytest.approx(1489.4, abs=0.1)
    assert [lesion.volume_ml for lesion in measured.lesions] == pytest.approx(
        [84.39, 10.10, 7.52, 3.74, 2.72, 2.53, 0.40], abs=0.01
    )
    for lesion in measured.lesions:
        expected = longest_on_any_image(measured.lesion_map.labels == lesion.number, np.array([row, column]))
        assert lesion.long_axis.length_mm == pytest.approx(expected)
        assert 0.3 * lesion.long_axis.length_mm < lesion.short_axis.length_mm <= lesion.long_axis.length_mm
