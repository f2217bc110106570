"""Both CPU engines on a whole real volume."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  the name that its own documentation uses

from models.manifest import load
from node.dicom.geometry import Geometry
from node.dicom.volume import LabelMap, Volume
from node.inference import InferenceService, Progress
from node.store import Store
from tests.conftest import StudyFinder


def _read(folder: Path) -> Volume:
    """Read a clean series with ITK, whose axes are the columns of its direction, in the order x, y, z."""
    image = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder)))
    hu = sitk.GetArrayFromImage(image).astype(np.int16)
    axes = np.reshape(image.GetDirection(), (3, 3)).T[::-1]
    geometry = Geometry(
        shape=hu.shape,
        origin=image.GetOrigin(),
        spacing=image.GetSpacing()[::-1],
        axes=tuple(tuple(map(float, axis)) for axis in axes),
    )
    return Volume(hu, geometry, geometry)


@pytest.mark.verifies("SRS-070", level="integration", technique="real-data")
@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.data
@pytest.mark.weights
def test_the_engines_draw_the_same_on_a_real_volume(study: StudyFinder, weights_dir: Path, tmp_path: Path) -> None:
    store = Store(tmp_path)
    key = store.put(_read(study("ct-liver-ircadb01") / "ct").to_bytes())
    maps, tiles = {}, []
    for engine in ("openvino", "onnxruntime"):
        seen: list[Progress] = []
        with InferenceService(
            store_root=tmp_path, weights_dir=weights_dir, model=load("ct_liver_lesions"), engine=engine
        ) as service:
            result = service.segment(key, seen.append)
        maps[engine] = LabelMap.from_bytes(store.get(result.labels_key)).labels
        tiles.append([(at.done, at.total) for at in seen if at.step == "infer_lesion"])
    assert tiles[0] == tiles[1] == [(done, len(tiles[0]) - 1) for done in range(len(tiles[0]))]
    assert len(tiles[0]) > 5
    assert min((maps["openvino"] == value).sum() for value in (1, 2)) > 100_000
    for value in (1, 2):
        one, other = (labels == value for labels in maps.values())
        assert (one != other).sum() < 0.001 * min(one.sum(), other.sum())
