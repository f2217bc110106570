"""Controls of the audit log and of the walk back: node.audit, qms.trace."""

from __future__ import annotations

import importlib
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from node.audit import AuditLog, Head, Verdict, verify
from qms.faults import replace_everywhere, switches_off
from qms.trace import Link, Ran, walk


@switches_off("SRS-251", "any text may stand in the audit log, a patient's name too")
def any_form(monkeypatch: pytest.MonkeyPatch) -> None:
    records = importlib.import_module("node.audit.records")
    monkeypatch.setattr(records, "FORMS", {name: lambda _value: True for name in records.FORMS})


@switches_off("SRS-253", "an end that was cut is not compared with the head")
def no_head(monkeypatch: pytest.MonkeyPatch) -> None:
    def as_found(_log: AuditLog, end: Any) -> Any:
        return end

    monkeypatch.setattr(AuditLog, "_compared_with_head", as_found)


@switches_off("SRS-254", "whatever was done to the audit log, it is said to hold")
def always_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    original = verify

    def blind(log: AuditLog, head: Head | None) -> Verdict:
        return replace(original(log, head), breaks=())

    replace_everywhere(monkeypatch, verify, blind)


@switches_off("SRS-259", "a link that does not hold is shown as one that does")
def nothing_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    original = walk

    def blind(root: Path, ran: Ran, today: date | None = None) -> list[Link]:
        return [replace(link, broken="") for link in original(root, ran, today)]

    replace_everywhere(monkeypatch, walk, blind)
