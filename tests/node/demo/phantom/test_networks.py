"""The phantom serves its purpose only while the real networks take it for a patient."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.manifest import load
from node.demo.phantom.draw import LIVER, Settings, drawing
from node.dicom.reasons import Reason, Refused
from node.dicom.volume import LabelMap, Volume
from node.inference import InferenceService
from node.measure.lesions import measure
from node.measure.plausibility import check_liver
from node.store import Store


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("phantom")


def segment(volume: Volume, folder: Path, weights_dir: Path) -> LabelMap:
    store = Store(folder)
    key = store.put(volume.to_bytes())
    with InferenceService(
        store_root=folder, weights_dir=weights_dir, model=load("ct_liver_lesions"), engine="openvino"
    ) as service:
        return LabelMap.from_bytes(store.get(service.segment(key, lambda _: None).labels_key))


@pytest.mark.verifies("SRS-164", level="integration", technique="phantom")
@pytest.mark.verifies("SRS-083", "SRS-087", level="integration", technique="phantom")
@pytest.mark.slow
@pytest.mark.weights
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("visit", [0, 1])
def test_the_networks_find_what_was_drawn(visit, cache, tmp_path, weights_dir):
    drawn = drawing(visit, Settings(), cache)
    labels = segment(drawn.volume, tmp_path, weights_dir)
    assert check_liver(drawn.volume, labels) == ()
    found, true = labels.labels > 0, drawn.labels.labels > 0
    assert 2 * np.count_nonzero(found & true) / (np.count_nonzero(found) + np.count_nonzero(true)) > 0.95
    measured = measure(drawn.volume, labels, "2.25.1", 0.1)
    best = {}
    for lesion in measured.lesions:
        here = measured.lesion_map.labels == lesion.number
        overlaps = {}
        for value in range(LIVER + 1, int(drawn.labels.labels.max()) + 1):
            there = drawn.labels.labels == value
            overlaps[value] = np.count_nonzero(here & there) / np.count_nonzero(here | there)
        best[lesion.number] = max(overlaps, key=overlaps.__getitem__)
        assert overlaps[best[lesion.number]] > 0.5  # no false one
    assert sorted(best.values()) == [value for value in range(2, 8) if (drawn.labels.labels == value).any()]


@pytest.mark.verifies("SRS-080", level="integration", technique="adversarial")
@pytest.mark.slow
@pytest.mark.weights
@pytest.mark.timeout(1800)
def test_fat_in_place_of_the_liver_is_refused(cache, tmp_path, weights_dir):
    drawn = drawing(0, Settings(), cache)
    hu = drawn.volume.hu.copy()
    liver = drawn.labels.labels > 0
    hu[liver] = -100 + np.random.default_rng(0).normal(0, 12, np.count_nonzero(liver)).astype(np.int16)
    volume = Volume(hu, drawn.volume.geometry, drawn.volume.anatomy)
    labels = segment(volume, tmp_path, weights_dir)
    with pytest.raises(Refused) as refused:
        check_liver(volume, labels)
    assert refused.value.reason in {Reason.LIVER_IMPLAUSIBLE, Reason.NO_LIVER}
