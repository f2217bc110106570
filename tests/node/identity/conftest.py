from __future__ import annotations

from pathlib import Path

import pytest

from node.identity import Vault
from tests.node.identity.studies import KEYS


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path / "vault" / "vault.sqlite", KEYS)
