from __future__ import annotations

from pathlib import Path

import pytest

from node.identity import Vault
from tests.node.identity.results import Made
from tests.node.identity.studies import KEYS, Source


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path / "vault" / "vault.sqlite", KEYS)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A study with its results, made once: no test changes it."""
    return Made(Vault(tmp_path_factory.mktemp("made") / "vault.sqlite", KEYS))


@pytest.fixture(scope="session")
def other(made: Made) -> Made:
    """Another patient's study in the same vault."""
    return Made(made.vault, Source(number=2, name="PHANTOM^OTHER", patient_id="PHANTOM-2"))
