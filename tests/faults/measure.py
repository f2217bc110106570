"""Controls of plausibility and measuring: node.measure."""

from __future__ import annotations

import pytest

from node.measure import components, diameters, lesions, plausibility
from qms.faults import always, replace_everywhere, switches_off


@switches_off("SRS-080", "any tissue is taken for a liver's")
def any_tissue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plausibility, "_check_tissue", always(100.0))


@switches_off("SRS-081", "a liver may lie in pieces, outside of the body, on the left, and have any size")
def any_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plausibility, "_check_one_piece", always(None))
    monkeypatch.setattr(plausibility, "_check_inside", always(None))
    monkeypatch.setattr(plausibility, "_check_place", always(None))
    monkeypatch.setattr(plausibility, "_check_size", always(None))


@switches_off("SRS-082", "nothing is remarked where the images end inside the liver")
def cut_off_unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plausibility, "_cut_off_cm2", always({}))


@switches_off("SRS-084", "specks of any size count as lesions")
def specks_count(monkeypatch: pytest.MonkeyPatch) -> None:
    original = components.find_components
    monkeypatch.setattr(lesions, "find_components", lambda mask, _=1: original(mask))


@switches_off("SRS-085", "diameters are counted in pixels and not in mm")
def pixels_for_mm(monkeypatch: pytest.MonkeyPatch) -> None:
    original = diameters.axial_diameters
    replace_everywhere(monkeypatch, original, lambda mask, _: original(mask, (1.0, 1.0, 1.0)))


@switches_off("SRS-087", "attenuation is stated without having been measured")
def no_attenuation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lesions, "_mean_and_sd", always((0.0, 0.0)))
