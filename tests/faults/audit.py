"""Controls of the audit log: node.audit."""

from __future__ import annotations

from dataclasses import replace

import pytest

from node.audit import AuditLog, Head, Verdict, verify
from qms.faults import replace_everywhere, switches_off


@switches_off("SRS-254", "whatever was done to the audit log, it is said to hold")
def always_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    original = verify

    def blind(log: AuditLog, head: Head | None) -> Verdict:
        return replace(original(log, head), breaks=())

    replace_everywhere(monkeypatch, verify, blind)
