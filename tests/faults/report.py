"""Controls of what results say and of the checks behind them: node.report."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydicom.uid import generate_uid

from node.dicom import uids
from node.report import check_groups, check_report, check_segments, equipment, structured, validators
from qms.faults import always, replace_everywhere, switches_off


@switches_off("SRS-091", "results do not name the weights and settings that made them")
def parameters_unnamed(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_everywhere(monkeypatch, equipment.algorithm_parameters, always([]))


@switches_off("SRS-095", "the report does not say that it is unverified and not for clinical use")
def no_disclaimer(monkeypatch: pytest.MonkeyPatch) -> None:
    original = structured._sentences

    def without_first(reading: Any) -> Iterator[Any]:
        sentences = original(reading)
        next(sentences)
        return sentences

    monkeypatch.setattr(structured, "_sentences", without_first)


@switches_off("SRS-096", "the report leaves out the remarks and whether anything was found")
def remarks_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    original = structured._sentences
    monkeypatch.setattr(structured, "_sentences", lambda reading: iter([next(original(reading))]))


@switches_off("SRS-098", "a repeated step makes new UIDs")
def random_uids(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_everywhere(monkeypatch, uids.derive_uid, lambda *_: str(generate_uid()))


@switches_off("SRS-099", "the SEG leaves without having been looked at")
def seg_unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_everywhere(monkeypatch, check_segments.check_seg, always(None))


@switches_off("SRS-100", "the SR leaves without having been looked at")
def sr_unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_everywhere(monkeypatch, check_report.check_document, always([]))
    replace_everywhere(monkeypatch, check_groups.check_groups, always(None))


@switches_off("SRS-103", "what a validator quotes stands in the refusal")
def quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_everywhere(monkeypatch, validators.anonymous, lambda line: line)


@switches_off("SRS-104", "what the public validators find is not heard")
def validators_unheard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validators, "_run", always([]))
