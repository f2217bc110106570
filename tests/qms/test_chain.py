"""An auditor samples a chain, from any of its ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.cli import main
from qms.chain import chain
from qms.gate import Profile, read, sample
from qms.gate.sample import DAY, Sample

pytestmark = pytest.mark.verifies("SRS-198", level="integration", technique="example")

TEST = "tests/test_thing.py::test_it_adds"


@pytest.fixture
def project(tmp_path: Path) -> Sample:
    return sample.build(tmp_path / "project")


def told(project: Sample, identifier: str) -> str:
    lines = chain(read(project.root, Profile.DEVELOPMENT, DAY), identifier)
    assert lines is not None
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("identifier", "parts"),
    [
        ("INT-001", ["needed by  URS-001 Adds"]),
        ("URS-001", ["from       INT-001", "realised by SRS-001 Adds two"]),
        (
            "SRS-001",
            [
                "It shall add two numbers.",
                "needed by  URS-001",
                "controls   RSK-001",
                "unit       node.thing  Adds.",
                f"passed   {TEST}  executed node.thing",
                "run      test: commit 000000000000",
                "switched off: It subtracts.",
                f"proved   {TEST}: assert -1 == 3",
                "approval   SAMPLE, nobody as reviewer, 2026-01-13",
            ],
        ),
        ("HAZ-001", ["risk       RSK-001 Wrong sum believed"]),
        ("RSK-001", ["hazard     HAZ-001", "control    SRS-001 Adds two", "after      severity 3, probability 2"]),
        ("SOUP-alpha", ["versions   1.0  (MIT; shipped)", "anomalies  no-effect on 2026-01-15"]),
        ("PRB-001", ["state      resolved", "concerns   SRS-001", f"shown by   {TEST}"]),
        ("62304-4.1", ["artefact   qms/narrative/plan.md#5.1.1"]),
        ("node.thing", ["realises   SRS-001", "risk       RSK-001", "evidence   1 tests"]),
    ],
)
def test_everything_that_an_item_hangs_together_with_is_told(
    project: Sample, identifier: str, parts: list[str]
) -> None:
    text = told(project, identifier)

    for part in parts:
        assert part in text, text


def test_what_does_not_count_is_told_with_its_reason(project: Sample) -> None:
    project.edit("node/thing.py", "a + b", "b + a")
    project.edit("qms/records/user_requirements.yaml", "Sums are", "Totals are")
    text = told(project, "SRS-001")

    assert f"rejected {TEST}: node/thing.py has changed since the run" in text
    assert "approval   SUSPECT: SAMPLE, nobody" in text
    assert "approval   STALE: SAMPLE, nobody" in told(project, "URS-001")
    (project.root / "qms/records/approvals.jsonl").unlink()
    assert "approval   none as reviewer: a person has to give it" in told(project, "SRS-001")


def test_the_command(project: Sample, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(project.root)

    assert main(["qms", "show", "SRS-001", "node.thing"]) == 0
    assert "SRS-001 Adds two  (qms/records/requirements.yaml:1)" in capsys.readouterr().out
    assert main(["qms", "show", "SRS-404"]) == 2
    assert "there is no SRS-404" in capsys.readouterr().err
