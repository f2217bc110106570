"""Controls of the way in: node.receive and node.net."""

from __future__ import annotations

import os
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from pynetdicom import AE

from node.net import scu
from node.receive import inbox, server
from node.store import durable
from qms.faults import always, replace_everywhere, switches_off


@switches_off("SRS-001", "success is answered before anything is synced to the disk")
def no_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    lazy = SimpleNamespace(**vars(os))
    lazy.fsync = always(None)
    monkeypatch.setattr(durable, "os", lazy)


@switches_off("SRS-004", "other bytes under a used UID count as the same object and are thrown away")
def no_conflict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "_holds", always(True))


@switches_off("SRS-005", "objects are taken however little space is left")
def no_low_water(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox.Inbox, "_require_space", always(None))


@switches_off("SRS-009", "every caller may associate, by whatever title")
def no_named_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    class Open(AE):  # type: ignore[misc]  # pynetdicom is not typed for us
        require_calling_aet = property(always([]), always(None))
        require_called_aet = property(always(False), always(None))

    monkeypatch.setattr(server, "AE", Open)


@switches_off("SRS-010", "a peer may open as many associations as it likes")
def no_maximum(monkeypatch: pytest.MonkeyPatch) -> None:
    class Boundless(AE):  # type: ignore[misc]  # pynetdicom is not typed for us
        maximum_associations = property(always(10_000), always(None))

    monkeypatch.setattr(server, "AE", Boundless)


@switches_off("SRS-015", "the answers of an association are given to its objects in another order")
def answers_exchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    original = scu._send_batch

    def exchanged(batch: Sequence[Any], destination: Any) -> tuple[list[scu.Answer], bool]:
        answers, lost = original(batch, destination)
        return answers[::-1], lost

    replace_everywhere(monkeypatch, original, exchanged)
