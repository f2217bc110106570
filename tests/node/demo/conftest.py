"""The synthetic study, written once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.node.demo.objects import SyntheticStudy, write_study


@pytest.fixture(scope="session")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> SyntheticStudy:
    """The study with two lesions. Not to be changed."""
    return write_study(tmp_path_factory.mktemp("synthetic"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder beside which other folders may be made."""
    path = tmp_path / "folder"
    path.mkdir()
    return path
