"""Controls of the choice and the loading of a series: node.gather."""

from __future__ import annotations

import math
from typing import Any

import pytest
from pydicom import dcmread

from node.gather import headers, hounsfield, images, orientation, phase, selection, stacks, study
from qms.faults import always, replace_everywhere, switches_off


@switches_off("SRS-020", "what a parser raises at broken bytes is raised on, and what is no DICOM is taken for it")
def parser_unguarded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headers, "_parse", lambda file: dcmread(file, stop_before_pixels=True, force=True))


@switches_off("SRS-021", "an image whose pixels are missing or cut short is stacked as if it were whole")
def flaws_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "_PIXEL_FLAWS", frozenset())


@switches_off("SRS-024", "the node's own results count as images to be read")
def own_results_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_everywhere(monkeypatch, headers.is_own_result, always(False))


@switches_off("SRS-026", "localisers, reformats and oblique sections are taken for axial ones")
def every_plane(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "_by_orientation", always(None))


@switches_off("SRS-027", "a study that names two patients is read")
def mixed_patients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "_refuse_mixed_patients", always(None))


@switches_off("SRS-028", "a stack with missing or uneven slices is taken for a regular grid")
def any_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacks, "_irregularity", always(None))


@switches_off("SRS-029", "of different images at one place one is taken without a word")
def any_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    original = stacks.without_copies
    replace_everywhere(monkeypatch, original, lambda images, _: original(images, always(True)))


@switches_off("SRS-030", "stacks too short, too thick or too large are read")
def no_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "THICKEST_MM", math.inf)
    monkeypatch.setattr(selection, "SHORTEST_MM", 0.0)
    monkeypatch.setattr(selection, "LARGEST_VOXELS", math.inf)


@switches_off("SRS-032", "rescaled values are taken for Hounsfield units whatever they show")
def any_values(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_everywhere(monkeypatch, hounsfield.offset, always((0, None)))


@switches_off("SRS-033", "the stated orientation is believed whatever the images show")
def any_orientation(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_everywhere(monkeypatch, orientation.check, lambda view: (view, None))


@switches_off("SRS-034", "every study is said to be in the portal venous phase")
def one_phase(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phase.Enhancement, "phase", property(always(phase.Phase.PORTAL_VENOUS)))


@switches_off("SRS-035", "of several series any one is read")
def any_series(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_everywhere(monkeypatch, selection.rank, always((0.0, 0.0)))
    monkeypatch.setattr(study, "_by_pixels", lambda candidates, _: list(candidates))


@switches_off("SRS-036", "only the preferred series is tried, and the study refused if its pixels do not hold")
def one_try(monkeypatch: pytest.MonkeyPatch) -> None:
    original = study._by_pixels

    def first_alone(candidates: Any, refusals: Any) -> Any:
        return original(candidates[:1], refusals)

    monkeypatch.setattr(study, "_by_pixels", first_alone)


@switches_off("SRS-037", "nothing is remarked of what the headers leave out or contradict")
def no_remarks(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_everywhere(monkeypatch, selection.remarks, always(()))
