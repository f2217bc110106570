"""Reading the records: places, and what is wrong, without giving up on the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from qms import sources
from qms.evidence import KEY_VARIABLE, EvidenceKeyError, Measured, signing_key
from qms.gate import sample
from qms.gate.sample import Sample
from qms.hollow import hollow
from qms.items import Estimate, Requirement, RiskPolicy
from qms.load import load
from qms.numbers import check_claims

NEEDS = "qms/records/requirements.yaml"


@pytest.fixture
def project(tmp_path: Path) -> Sample:
    return sample.build(tmp_path / "project")


@pytest.mark.verifies("SRS-180", level="unit", technique="bad-input")
def test_what_does_not_fit_is_named_with_its_place_and_the_rest_is_read(project: Sample) -> None:
    text = (project.root / NEEDS).read_text()
    project.write(NEEDS, text + text.replace("SRS-001", "SRS-002").replace("category: function", "category: art"))

    records = load(project.root)

    assert [(f.item, f.code, f.place) for f in records.findings] == [
        ("SRS-002", "schema", f"{NEEDS}:{_lines(text) + 1}")
    ]
    assert "category" in records.findings[0].text
    assert [requirement.id for requirement in records.of(Requirement)] == ["SRS-001"]


@pytest.mark.verifies("SRS-180", level="unit", technique="example")
def test_records_are_read_from_folders_too(project: Sample) -> None:
    text = (project.root / NEEDS).read_text()
    project.write("qms/records/requirements/more.yaml", text.replace("SRS-001", "SRS-002"))

    records = load(project.root)

    assert not records.findings
    assert str(records.places["SRS-002"]) == "qms/records/requirements/more.yaml:1"


@pytest.mark.verifies("SRS-180", level="unit", technique="boundary")
def test_the_bound_of_acceptance() -> None:
    level = {"name": "n", "meaning": "m"}
    scale = [{**level, "value": value} for value in range(1, 6)]
    policy = RiskPolicy.model_validate(
        {"severity": scale, "probability": scale, "acceptable": {3: 2}, "rationale": "r"}
    )

    assert policy.accepts(Estimate(severity=3, probability=2))
    assert not policy.accepts(Estimate(severity=3, probability=3))
    assert not policy.accepts(Estimate(severity=4, probability=1))


@pytest.mark.verifies("SRS-181", level="unit", technique="example")
def test_only_what_runs_in_use_is_the_body_of_a_unit(tmp_path: Path) -> None:
    (tmp_path / "node").mkdir()
    (tmp_path / "node/thing.py").write_text(
        '"""Purpose.\n\nMore.\n"""\nX = 1\n\n\n'
        'def f(\n    a=X,\n):\n    """Say."""\n    def g():\n        return a\n    return g\n'
    )
    (tmp_path / "node/constants.py").write_text("X = 1\n")

    found = sources.units(tmp_path)

    assert list(found) == ["node.thing"]
    assert found["node.thing"].purpose == "Purpose."
    assert sorted(found["node.thing"].lines) == [13, 14]


@pytest.mark.verifies("SRS-181", level="unit", technique="example")
def test_marks_are_read_from_function_class_and_module(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/test_a.py").write_text(
        "import pytest\n"
        'pytestmark = [pytest.mark.slow, pytest.mark.verifies("SRS-001", level="unit", technique="example")]\n'
        '@pytest.mark.verifies("SRS-002", level="unit", technique="example")\n'
        "class TestA:\n"
        '    @pytest.mark.verifies("SRS-003", "SRS-004", level="system", technique="boundary")\n'
        "    def test_b(self): assert self\n"
        "    def helper(self): pass\n"
    )

    (found,) = sources.tests(tmp_path)

    assert found.id == "tests/test_a.py::TestA::test_b"
    assert {mark.item for mark in found.marks} == {"SRS-001", "SRS-002", "SRS-003", "SRS-004"}
    assert found.marks[-1].level == "system"


@pytest.mark.verifies("SRS-181", level="unit", technique="boundary")
@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("assert f() == 1", ""),
        ("with pytest.raises(ValueError): f()", ""),
        ("np.testing.assert_allclose(f(), 1)", ""),
        ("check(f())", ""),
        ("_state(f())", ""),
        ("raise AssertionError('no')", ""),
        ("for x in f(): assert x", ""),
        ("f()", "asserts nothing"),
        ("assert True", "asserts only what is always true"),
        ("assert 1", "asserts only what is always true"),
        ("x = f(); assert x == x", "asserts only what is always true"),
        ("assert (f() == 2, 'never looked at')", "asserts only what is always true"),
        ("assert f() == 1 or True", "asserts only what is always true"),
        ("assert f() == f()", ""),
        ("nothing(f())", "asserts nothing"),
        ("if False: assert f()", "asserts nothing"),
        ("return\n    assert f()", "asserts nothing"),
        ("with suppress(AssertionError): assert f()", "asserts nothing"),
        ("try: assert f()\n    except AssertionError: pass", "asserts nothing"),
        ("try: assert f()\n    except Exception: pytest.fail('no')", ""),
        ("with pytest.raises(ValueError): raise ValueError", "asserts nothing"),
        ("def inner(): assert f()", "asserts nothing"),
        ("def inner(): assert f()\n    inner()", ""),
        ("assert 1 < 2", "asserts only what is always true"),
        ("assert not False", "asserts only what is always true"),
        ("assert 1 == 1 == 1", "asserts only what is always true"),
        ("assert [1]", "asserts only what is always true"),
        ("assert f'{f()}'", "asserts only what is always true"),
        ("assert lambda: False", "asserts only what is always true"),
        ("assert True and True", "asserts only what is always true"),
    ],
)
def test_what_is_hollow(tmp_path: Path, body: str, reason: str) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/helpers.py").write_text("def check(x):\n    assert x\n")
    (tmp_path / "tests/test_a.py").write_text(
        "import pytest\nfrom tests.helpers import check\n"
        "def _state(x):\n    _deeper(x)\n"
        "def _deeper(x):\n    assert x\n"
        "def nothing(x):\n    print(x)\n"
        f"def test_a():\n    {body}\n"
    )

    assert hollow(tmp_path, "tests/test_a.py", "test_a") == reason


@pytest.mark.verifies("SRS-181", level="unit", technique="adversarial")
def test_a_method_is_judged_by_its_own_class(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/test_a.py").write_text(
        "class TestA:\n    def test_same(self): assert f()\nclass TestB:\n    def test_same(self): f()\n"
    )

    assert hollow(tmp_path, "tests/test_a.py", "TestA::test_same") == ""
    assert hollow(tmp_path, "tests/test_a.py", "TestB::test_same") == "asserts nothing"


@pytest.mark.verifies("SRS-191", level="unit", technique="boundary")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Dice 0.97<!-- =d -->", []),
        ("Dice 0.971<!-- =d -->", []),
        ("Dice 0.98<!-- =d -->", ["number-contradicted"]),
        ("Dice 0.9705<!-- =d -->", ["number-contradicted"]),
        ("Dice 0.97<!-- =other -->", ["number-without-evidence"]),
        ("Dice 0.97", ["number-without-evidence"]),
        ("A sensitivity of 93 %.", ["number-without-evidence"]),
        ("Recall: 5 of 7.", ["number-without-evidence"]),
        ("Dice 0.97<!-- =d --> here and a recall of 0.5 there", ["number-without-evidence"]),
        ("Dice 0.97 in the paper. <!-- source: a paper, 2020 -->", []),
        ("Dice 0.97 <!-- source: x -->", ["number-without-evidence"]),
        ("Dice is a measure of overlap. Version 1.2.3 of it.", []),
        ("The port is 104, the section 7.1.", []),
        ("```\nDice 0.97\n```", []),
    ],
)
def test_numbers_of_performance(tmp_path: Path, text: str, said: list[str]) -> None:
    (tmp_path / "README.md").write_text(f"# A\n\n{text}\n")
    numbers = {"d": Measured(value=0.9714, unit="1", test="tests/test_a.py::test_a")}

    found = list(check_claims(tmp_path, numbers))

    assert [finding.code for finding in found] == said
    assert all(finding.place == "README.md:3" for finding in found)


@pytest.mark.verifies("SRS-183", level="unit", technique="bad-input")
def test_a_key_that_cannot_sign_is_an_error_and_not_a_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    assert signing_key()[1]

    monkeypatch.setenv(KEY_VARIABLE, str(tmp_path / "gone.pem"))
    with pytest.raises(EvidenceKeyError):
        signing_key()
    (tmp_path / "bad.pem").write_text("no key")
    monkeypatch.setenv(KEY_VARIABLE, str(tmp_path / "bad.pem"))
    with pytest.raises(EvidenceKeyError):
        signing_key()


def _lines(text: str) -> int:
    return text.count("\n")
