from __future__ import annotations

from pathlib import Path

import pytest

from tests.node.inference.rehearsal import OVERLAY, Rehearsal


@pytest.fixture
def rehearsal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rehearsal:
    """A test model whose pipeline obeys commands. Workers find it because they import from where the tests do."""
    monkeypatch.syspath_prepend(str(OVERLAY))
    return Rehearsal(tmp_path)
