from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  the name that its own documentation uses

from node.measure.nifti import LabelFileError, measure_file


def write(path: Path, labels: np.ndarray, spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Path:
    """Write ``(slice, row, column)`` labels with spacing in the same order."""
    image = sitk.GetImageFromArray(labels)
    image.SetSpacing(spacing[::-1])
    sitk.WriteImage(image, str(path))
    return path


def bar(value: int = 2) -> np.ndarray:
    labels = np.zeros((12, 60, 60), np.uint8)
    labels[4:8, 20:30, 10:50] = value
    return labels


# --- bad input ---


@pytest.mark.verifies("SRS-089", level="unit", technique="bad-input")
@pytest.mark.parametrize("content", [b"", b"not a label map", b"\x1f\x8bnot gzip either", bytes(400)])
def test_not_nifti(tmp_path, content):
    path = tmp_path / "labels.nii.gz"
    path.write_bytes(content)
    with pytest.raises(LabelFileError, match="not a readable NIfTI file"):
        measure_file(path)


@pytest.mark.verifies("SRS-089", level="unit", technique="bad-input")
def test_missing_file(tmp_path):
    with pytest.raises(LabelFileError, match="no such file"):
        measure_file(tmp_path / "labels.nii.gz")


@pytest.mark.verifies("SRS-089", level="unit", technique="bad-input")
def test_folder(tmp_path):
    with pytest.raises(LabelFileError, match="no regular file"):
        measure_file(tmp_path)


@pytest.mark.verifies("SRS-089", level="unit", technique="fault-injection")
@pytest.mark.parametrize(("name", "message"), [("labels.nii", "ends early"), ("labels.nii.gz", "damaged")])
def test_truncated_file_is_not_read_as_zeros(tmp_path, name, message):
    path = write(tmp_path / name, np.random.default_rng(0).integers(0, 3, (12, 60, 60)).astype(np.uint8))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 3 // 4])
    with pytest.raises(LabelFileError, match=message):
        measure_file(path)


@pytest.mark.verifies("SRS-089", level="unit", technique="fault-injection")
def test_a_bit_that_flipped_is_found(tmp_path):
    path = write(tmp_path / "labels.nii.gz", bar())
    content = bytearray(path.read_bytes())
    content[-6] ^= 1  # in the checksum: the reader itself does not look at it
    path.write_bytes(content)
    with pytest.raises(LabelFileError, match=r"damaged|not a readable"):
        measure_file(path)


@pytest.mark.verifies("SRS-089", level="unit", technique="bad-input")
def test_two_dimensions(tmp_path):
    path = tmp_path / "labels.nii.gz"
    sitk.WriteImage(sitk.GetImageFromArray(bar()[5]), str(path))
    with pytest.raises(LabelFileError, match="this file has 2 dimensions"):
        measure_file(path)


@pytest.mark.verifies("SRS-089", level="unit", technique="bad-input")
def test_four_dimensions(tmp_path):
    path = tmp_path / "labels.nii.gz"
    sitk.WriteImage(sitk.JoinSeries([sitk.GetImageFromArray(bar())] * 2), str(path))
    with pytest.raises(LabelFileError, match="this file has 4 dimensions"):
        measure_file(path)


@pytest.mark.verifies("SRS-088", level="unit", technique="boundary")
def test_a_fourth_dimension_of_one_is_no_matter(tmp_path):
    path = tmp_path / "labels.nii.gz"
    sitk.WriteImage(sitk.JoinSeries([sitk.GetImageFromArray(bar())]), str(path))
    assert len(measure_file(path)) == 1


@pytest.mark.verifies("SRS-089", level="unit", technique="bad-input")
def test_colours(tmp_path):
    path = tmp_path / "labels.nii.gz"
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((4, 5, 6, 3), np.uint8), isVector=True), str(path))
    with pytest.raises(LabelFileError, match=r"3 value\(s\)"):
        measure_file(path)


@pytest.mark.verifies("SRS-089", level="unit", technique="bad-input")
def test_complex_numbers(tmp_path):
    with pytest.raises(LabelFileError, match="complex"):
        measure_file(write(tmp_path / "labels.nii.gz", np.zeros((4, 5, 6), np.complex64)))


@pytest.mark.verifies("SRS-089", level="unit", technique="bad-input")
def test_a_ct_is_not_a_label_map(tmp_path):
    with pytest.raises(LabelFileError, match="negative"):
        measure_file(write(tmp_path / "ct.nii.gz", np.full((4, 5, 6), -1000, np.int16)))


@pytest.mark.verifies("SRS-089", level="unit", technique="bad-input")
def test_values_beyond_whole_numbers(tmp_path):
    with pytest.raises(LabelFileError, match="not whole numbers"):
        measure_file(write(tmp_path / "labels.nii.gz", np.full((4, 5, 6), 1e30)))


@pytest.mark.verifies("SRS-089", level="unit", technique="bad-input")
def test_empty_label_map(tmp_path):
    with pytest.raises(LabelFileError, match="every voxel is 0"):
        measure_file(write(tmp_path / "labels.nii.gz", bar(0)))


@pytest.mark.verifies("SRS-089", level="unit", technique="bad-input")
def test_a_label_that_is_not_there_names_those_that_are(tmp_path):
    labels = bar(3)
    labels[0, 0, 0] = 7
    path = write(tmp_path / "labels.nii.gz", labels)
    with pytest.raises(LabelFileError, match=r"No voxel has label 5; the labels in this file: 3, 7\."):
        measure_file(path, 5)


@pytest.mark.verifies("SRS-089", level="unit", technique="bad-input")
def test_no_error_names_the_file(tmp_path):
    path = tmp_path / "PHANTOM^TEST.nii.gz"
    path.write_bytes(b"no label map")
    with pytest.raises(LabelFileError) as error:
        measure_file(path)
    assert "PHANTOM" not in str(error.value)


# --- which label ---


@pytest.mark.verifies("SRS-088", level="unit", technique="example")
def test_label_2_unless_another_is_asked_for(tmp_path):
    labels = bar()
    labels[0, 0, :3] = 1
    path = write(tmp_path / "labels.nii.gz", labels)
    assert measure_file(path)[0].volume_ml == pytest.approx(1.6)
    assert measure_file(path, 1)[0].volume_ml == pytest.approx(0.003)


@pytest.mark.verifies("SRS-088", level="unit", technique="example")
def test_the_only_label_if_there_is_no_2(tmp_path):
    assert measure_file(write(tmp_path / "labels.nii.gz", bar(5)))[0].volume_ml == pytest.approx(1.6)


@pytest.mark.verifies("SRS-088", level="unit", technique="example")
def test_label_1_if_there_are_several_but_no_2(tmp_path):
    labels = bar(1)
    labels[0, 0, 0] = 4
    assert measure_file(write(tmp_path / "labels.nii.gz", labels))[0].volume_ml == pytest.approx(1.6)


@pytest.mark.verifies("SRS-088", level="unit", technique="example")
def test_floating_labels_are_rounded(tmp_path):
    (lesion,) = measure_file(write(tmp_path / "labels.nii.gz", bar().astype(np.float32) * 0.9999))
    assert lesion.volume_ml == pytest.approx(1.6)


# --- the measurements ---


@pytest.mark.verifies("SRS-088", level="unit", technique="phantom")
@pytest.mark.parametrize("name", ["labels.nii", "labels.nii.gz"])
def test_bar(tmp_path, name):
    (lesion,) = measure_file(write(tmp_path / name, bar(), (2.5, 1.0, 1.0)))
    assert lesion.id == "L01"
    assert lesion.volume_ml == pytest.approx(4.0)
    assert lesion.long_axis_mm == pytest.approx(41.0)
    assert lesion.short_axis_mm == pytest.approx(10.25)


@pytest.mark.verifies("SRS-088", level="unit", technique="phantom")
def test_every_component_counts_largest_first(tmp_path):
    labels = bar()
    labels[0, 0, 0] = 2
    assert [lesion.id for lesion in measure_file(write(tmp_path / "labels.nii.gz", labels))] == ["L01", "L02"]


ORIENTATIONS = ["LPS", "RAS", "LAI", "PIR", "SLA", "ASR", "IPL"]


@pytest.mark.verifies("SRS-088", level="unit", technique="phantom")
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_axial_slices_are_found_in_any_orientation(tmp_path, orientation):
    """The bar lies in the axial plane, 24 mm thick, whatever the file's axes are."""
    image = sitk.GetImageFromArray(bar())
    image.SetSpacing((0.5, 1.0, 6.0))
    path = tmp_path / "labels.nii.gz"
    sitk.WriteImage(sitk.DICOMOrient(image, orientation), str(path))
    (lesion,) = measure_file(path)
    assert lesion.volume_ml == pytest.approx(4.8)
    assert lesion.long_axis_mm == pytest.approx(np.hypot(20, 9))
    assert lesion.short_axis_mm < 12


@pytest.mark.verifies("SRS-088", level="unit", technique="phantom")
def test_a_tilted_grid_is_measured_on_the_slices_nearest_to_axial(tmp_path):
    image = sitk.GetImageFromArray(bar())
    image.SetSpacing((1.0, 1.0, 6.0))
    c, s = np.cos(np.deg2rad(20)), np.sin(np.deg2rad(20))
    image.SetDirection((1, 0, 0, 0, c, -s, 0, s, c))
    path = tmp_path / "labels.nii.gz"
    sitk.WriteImage(sitk.DICOMOrient(image, "SLA"), str(path))
    (lesion,) = measure_file(path)
    assert lesion.long_axis_mm == pytest.approx(41.0)


@pytest.mark.verifies("SRS-088", level="unit", technique="real-data")
@pytest.mark.data
def test_real_label_map(study):
    lesions = measure_file(study("ct-liver-ircadb01") / "labels.nii.gz")
    assert [lesion.id for lesion in lesions] == [f"L{n:02d}" for n in range(1, 8)]
    assert lesions[0].volume_ml == pytest.approx(84.4, abs=0.1)
    assert lesions[-1].volume_ml == pytest.approx(0.4, abs=0.01)


@pytest.mark.verifies("SRS-089", level="unit", technique="bad-input")
def test_values_between_whole_numbers_are_no_labels(tmp_path):
    path = tmp_path / "labels.nii.gz"
    sitk.WriteImage(sitk.GetImageFromArray(np.full((3, 4, 5), 0.5, np.float32)), str(path))
    with pytest.raises(LabelFileError, match="not whole numbers"):
        measure_file(path)


@pytest.mark.verifies("SRS-089", level="unit", technique="bad-input")
def test_a_file_without_voxel_sizes_is_refused(tmp_path):
    path = tmp_path / "labels.nii"
    sitk.WriteImage(sitk.GetImageFromArray(np.ones((3, 4, 5), np.uint8)), str(path))
    data = bytearray(path.read_bytes())
    data[80:84] = bytes(4)  # pixdim[1]: NIfTI-1, byte 76 and on
    path.write_bytes(data)
    with pytest.raises(LabelFileError, match="how large its voxels are"):
        measure_file(path)
