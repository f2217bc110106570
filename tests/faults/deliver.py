"""Controls of delivery: node.deliver."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from node.deliver import sending
from qms.faults import always, switches_off


@switches_off("SRS-110", "whatever the destination answers counts as delivered")
def all_delivered(monkeypatch: pytest.MonkeyPatch) -> None:
    original = sending._judge

    def delivered(path: Path, answer: Any) -> sending.ObjectDelivery:
        return original(path, answer).model_copy(update={"outcome": sending.Outcome.DELIVERED})

    monkeypatch.setattr(sending, "_judge", delivered)


@switches_off("SRS-112", "what a destination could not take is not sent again")
def nothing_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending.Delivery, "to_retry", property(always(())))


@switches_off("SRS-118", "the destination's own comment is stored and logged")
def comment_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    original = sending._judge

    def quoting(path: Path, answer: Any) -> sending.ObjectDelivery:
        judged = original(path, answer)
        return judged.model_copy(update={"text": f"{answer.comment} {judged.text}"})

    monkeypatch.setattr(sending, "_judge", quoting)
