"""The gate, tried on a sample that it finds nothing wrong with, and on every known way to break it."""

from __future__ import annotations

import ast
import json
import socket
import sys
from pathlib import Path

import pytest

from node.cli import main
from qms.gate import CHECKS, Profile, judge, mutations, read, sample, selftest
from qms.gate.mutations import MUTATIONS
from qms.gate.sample import DAY, Sample
from qms.gate.selftest import Caught, catches, survivors


@pytest.fixture
def project(tmp_path: Path) -> Sample:
    return sample.build(tmp_path / "project")


@pytest.fixture(scope="module")
def caught(tmp_path_factory: pytest.TempPathFactory) -> list[Caught]:
    return list(catches(tmp_path_factory.mktemp("mutations")))


@pytest.mark.verifies("SRS-187", "SRS-188", level="integration", technique="example")
@pytest.mark.parametrize("profile", list(Profile))
def test_a_whole_record_has_no_finding(project: Sample, profile: Profile) -> None:
    assert [str(finding) for finding in judge(read(project.root, profile, DAY))] == []


@pytest.mark.verifies("SRS-183", "SRS-184", "SRS-186", "SRS-187", level="integration", technique="fault-injection")
@pytest.mark.verifies("SRS-188", "SRS-189", "SRS-190", level="integration", technique="fault-injection")
def test_every_way_to_break_a_record_is_named(caught: list[Caught]) -> None:
    missed = [mutation.name for mutation, checks in caught if not checks]

    assert missed == []
    assert len(MUTATIONS) >= 40
    assert len({mutation.name for mutation in MUTATIONS}) == len(MUTATIONS)


@pytest.mark.verifies("SRS-189", level="integration", technique="fault-injection")
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: f"{check.__module__.rpartition('.')[2]}.{check.__name__}")
def test_a_check_that_is_taken_away_is_missed(caught: list[Caught], check: object) -> None:
    assert [mutation.name for mutation, checks in caught if checks == [check]]


@pytest.mark.verifies("SRS-189", level="integration", technique="fault-injection")
def test_the_self_test_names_what_is_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_few(monkeypatch)
    without_units = tuple(check for check in CHECKS if check.__name__ != "units_without_requirement")

    missed = survivors(tmp_path, without_units)

    assert missed == ["code that no requirement needs: node.more unlinked-unit was not named"]


@pytest.mark.verifies("SRS-188", level="integration", technique="example")
def test_a_release_lists_exactly_the_approvals_that_are_missing(project: Sample) -> None:
    approvals = project.root / "qms/records/approvals.jsonl"
    lines = approvals.read_text().splitlines(keepends=True)
    approvals.write_text("".join(lines[:-2]))
    gone = {json.loads(line)["item"] for line in lines[-2:]}

    findings = judge(read(project.root, Profile.RELEASE, DAY))

    assert {(finding.item, finding.code) for finding in findings} == {(item, "missing-approval") for item in gone}
    assert judge(read(project.root, Profile.DEVELOPMENT, DAY)) == []


@pytest.mark.verifies("SRS-188", level="integration", technique="example")
def test_what_a_demonstration_key_signed_is_not_an_approval(project: Sample) -> None:
    project.change("approval_policy.yaml", lambda data: data["signers"][0].update(demo=True))
    (project.root / "qms/records/approvals.jsonl").unlink()
    project.approve("SRS-001")

    findings = judge(read(project.root, Profile.RELEASE, DAY))

    said = [finding.text for finding in findings if finding.item == "SRS-001"]
    assert said == ["its approval as reviewer is signed with a DEMO key, which is nobody's"]


@pytest.mark.verifies("SRS-187", level="system", technique="example")
def test_the_command(project: Sample, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(project.root)

    assert main(["qms", "gate"]) == 0
    assert "no finding" in capsys.readouterr().err

    project.edit("qms/records/requirements.yaml", "It shall add", "It adds")
    assert main(["qms", "gate"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "PRB-001 suspect-approval",
        "RSK-001 suspect-approval",
        "SRS-001 no-shall",
        "SRS-001 stale-approval",
    ]

    assert main(["qms", "gate", "--json"]) == 1
    assert {"SRS-001", "RSK-001"} <= {finding["item"] for finding in json.loads(capsys.readouterr().out)["findings"]}


@pytest.mark.verifies("SRS-187", level="system", technique="bad-input")
def test_a_folder_without_a_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    assert main(["qms", "gate"]) == 2
    assert "no quality record here" in capsys.readouterr().err


@pytest.mark.verifies("SRS-189", level="system", technique="example")
def test_the_self_test_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    few = a_few(monkeypatch)

    assert main(["qms", "gate", "--self-test"]) == 0
    assert f"{few} of {few} ways" in capsys.readouterr().err


def a_few(monkeypatch: pytest.MonkeyPatch) -> int:
    """Take a few mutations of each kind; another test takes all of them. Return how many."""
    few = tuple(m for m in MUTATIONS if m.code in {"unlinked-unit", "no-shall", "soup-version"})
    for module in (mutations, selftest):
        monkeypatch.setattr(module, "MUTATIONS", few)
    return len(few)


@pytest.mark.verifies("SRS-192", level="integration", technique="fault-injection")
def test_it_imports_nothing_of_what_it_judges_and_uses_no_network(
    project: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    trap = "raise SystemExit('the gate ran the code that it judges')\n"
    project.write("node/trap.py", f"{trap}\n\ndef f():\n    return 1\n")
    project.write("tests/test_trap.py", f"{trap}\n\ndef test_trap():\n    assert f() == 1\n")
    monkeypatch.chdir(project.root)
    before = set(sys.modules)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the gate used the network")

    monkeypatch.setattr(socket, "socket", refuse)
    findings = judge(read(Path.cwd(), Profile.DEVELOPMENT, DAY))

    assert {("node.trap", "unlinked-unit"), ("tests/test_trap.py::test_trap", "orphan-test")} <= {
        (finding.item, finding.code) for finding in findings
    }
    assert not {name for name in set(sys.modules) - before if name.startswith(("node", "tests"))}


@pytest.mark.verifies("SRS-189", level="unit", technique="consistency")
def test_mutations_cover_every_code_of_the_gate() -> None:
    """A code that no mutation provokes is a promise that nobody has seen kept."""
    said = set()
    for path in (Path(sample.__file__).parent, Path(sample.__file__).parents[1]):
        for module in path.glob("*.py"):
            said |= _codes(module)

    assert said - {mutation.code for mutation in MUTATIONS} == UNPROVOKED


UNPROVOKED: set[str] = {"cut-chain"}  # needs the head that is kept elsewhere: tests/qms/test_signatures.py


def _codes(module: Path) -> set[str]:
    calls = [node for node in ast.walk(ast.parse(module.read_text())) if isinstance(node, ast.Call)]
    findings = [call for call in calls if ast.unparse(call.func) == "Finding" and len(call.args) > 2]
    return {call.args[1].value for call in findings if isinstance(call.args[1], ast.Constant)}
