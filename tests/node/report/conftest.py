"""The synthetic study and its results, made once."""

from __future__ import annotations

import pytest

from node.dicom.datasets import PseudonymousDataset
from tests.node.report.synthetic import Study, study, with_results

Results = tuple[PseudonymousDataset, PseudonymousDataset]


@pytest.fixture(scope="session")
def phantom() -> Study:
    """The axial study with three lesions."""
    return study()


@pytest.fixture(scope="session")
def results(phantom: Study) -> Results:
    """Its SEG and SR. Not to be changed."""
    return with_results(phantom)
