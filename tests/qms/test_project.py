"""This project's own record, as far as it can be judged before its tests have run. The gate does the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from qms.gate import judge, read

ROOT = Path(__file__).parents[2]

# What only a finished run can answer.
AFTER_THE_RUN = {
    "no-evidence",
    "untested-requirement",
    "stale-evidence",
    "unexecuted-unit",
    "unproved-control",
    "stale-proof",
    "number-without-evidence",
    "number-contradicted",
    "failed-run",
    "failed-test",
    "soup-installed",
}


@pytest.mark.verifies("SRS-180", "SRS-187", "SRS-192", level="integration", technique="consistency")
def test_nothing_in_the_record_hangs_in_the_air() -> None:
    findings = judge(read(ROOT))

    assert [str(finding) for finding in findings if finding.code not in AFTER_THE_RUN] == []


@pytest.mark.verifies("SRS-191", level="integration", technique="consistency")
def test_no_number_of_performance_is_typed_by_hand() -> None:
    findings = judge(read(ROOT))

    assert [str(finding) for finding in findings if "typed by hand" in finding.text] == []
