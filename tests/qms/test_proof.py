"""A small project with one control a case: proved, survived, and every way in which nothing is shown either way."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from qms.faults import EXIT_NOT_APPLIED, FaultModelError, always, load_faults, replace_everywhere
from qms.load import load
from qms.proof import Candidate, Limits, Prover, main
from qms.proofs import PROOFS, Outcome, Proof, Proofs, controls_of, read

pytestmark = pytest.mark.verifies("SRS-186", level="integration", technique="fault-injection")

PRODUCT = """
def check(value):
    if value < 0:
        raise ValueError("negative")
    return value

def limit(value):
    return min(value, 10)
"""

FAULTS = """
from shop import till
from qms.faults import always, switches_off

@switches_off("SRS-001", "negative values pass")
def no_check(monkeypatch):
    monkeypatch.setattr(till, "check", lambda value: value)

@switches_off("SRS-002", "values have no limit")
def no_limit(monkeypatch):
    monkeypatch.setattr(till, "limit", lambda value: value)

@switches_off("SRS-003", "nothing: the name is gone")
def gone(monkeypatch):
    monkeypatch.setattr(till, "removed", None)

@switches_off("SRS-004", "nothing: the model itself raises")
def raising(monkeypatch):
    def check(value):
        raise RuntimeError("a fault model is no test")
    monkeypatch.setattr(till, "check", check)

@switches_off("SRS-005", "nothing: the model takes other arguments")
def misfit(monkeypatch):
    monkeypatch.setattr(till, "check", lambda: None)

@switches_off("SRS-006", "negative values pass")
def no_check_again(monkeypatch):
    monkeypatch.setattr(till, "check", lambda value: value)

@switches_off("SRS-007", "negative values pass")
def no_check_unwatched(monkeypatch):
    monkeypatch.setattr(till, "check", lambda value: value)

@switches_off("SRS-009", "negative values pass")
def no_check_skipped(monkeypatch):
    monkeypatch.setattr(till, "check", lambda value: value)

@switches_off("SRS-010", "negative values pass")
def no_check_in_a_fixture(monkeypatch):
    monkeypatch.setattr(till, "check", lambda value: value)
"""

TESTS = """
import pytest
from shop import till

@pytest.fixture
def made():
    with pytest.raises(ValueError, match="negative"):
        till.check(-1)

@pytest.mark.verifies("SRS-001", level="unit", technique="example")
@pytest.mark.parametrize("value", [-1, -2])
def test_negative_is_refused(value):
    with pytest.raises(ValueError, match="negative"):
        till.check(value)

@pytest.mark.verifies("SRS-002", level="unit", technique="example")
def test_that_notices_nothing():
    assert till.limit(3) == 3

@pytest.mark.verifies("SRS-003", "SRS-004", "SRS-005", level="unit", technique="example")
def test_positive_passes():
    assert till.check(1) == 1

@pytest.mark.verifies("SRS-006", level="unit", technique="example")
def test_that_fails_anyway():
    assert till.check(1) == 2

@pytest.mark.verifies("SRS-008", level="unit", technique="example")
def test_of_a_control_without_a_model():
    assert till.limit(11) == 10

@pytest.mark.verifies("SRS-009", level="unit", technique="example")
@pytest.mark.skip(reason="not here")
def test_that_is_skipped():
    assert till.check(1) == 1

@pytest.mark.verifies("SRS-010", level="unit", technique="example")
def test_behind_a_fixture(made):
    assert till.check(1) == 1
"""

EXPECTED = {
    "SRS-001": Outcome.PROVED,
    "SRS-002": Outcome.SURVIVED,
    "SRS-003": Outcome.BROKEN,
    "SRS-004": Outcome.BROKEN,
    "SRS-005": Outcome.BROKEN,
    "SRS-006": Outcome.BROKEN,
    "SRS-007": Outcome.NO_TEST,
    "SRS-008": Outcome.NO_FAULT_MODEL,
    "SRS-009": Outcome.BROKEN,
    "SRS-010": Outcome.BROKEN,
}


def requirement(number: int, status: str = "active") -> str:
    return f"""
- id: SRS-{number:03}
  title: t
  text: The till shall be right.
  rationale: r
  source: s
  category: function
  user_requirements: [URS-001]
  units: [shop.till]
  status: {status}
"""


def risk(number: int, controls: list[int], status: str = "active") -> str:
    listed = ", ".join(f"{{requirement: SRS-{one:03}, kind: protective-measure}}" for one in controls)
    return f"""
- id: RSK-{number:03}
  title: t
  hazard: HAZ-001
  cause: defect
  sequence: s
  situation: s
  harm: h
  before: {{severity: 3, probability: 3}}
  controls: [{listed}]
  after: {{severity: 3, probability: 1}}
  residual: r
  new_risks: n
  status: {status}
"""


ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("project")
    files = {
        "pyproject.toml": '[tool.pytest.ini_options]\naddopts = "-p qms.plugin"\npythonpath = ["."]\n',
        "shop/__init__.py": "",
        "shop/till.py": PRODUCT,
        "tests/faults/__init__.py": "",
        "tests/faults/till.py": FAULTS,
        "tests/test_till.py": TESTS,
        "qms/records/requirements.yaml": "".join(requirement(n) for n in range(1, 11)) + requirement(11, "planned"),
        "qms/records/risks.yaml": risk(1, [*range(1, 12)]) + risk(2, [1]) + risk(3, [20], "planned"),
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("PYTHONPATH", str(ROOT))  # where qms lies; the project's own folder goes before it
        yield root


@pytest.fixture(scope="module")
def whole_run(project: Path) -> tuple[int, str, Proofs]:
    """Exit status, output and record of the command over all controls."""
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as monkeypatch, contextlib.redirect_stdout(said):
        monkeypatch.chdir(project)
        code = main([])
    record = read(project)
    assert record is not None
    return code, said.getvalue(), record


@pytest.fixture(scope="module")
def proofs(whole_run: tuple[int, str, Proofs]) -> dict[str, Proof]:
    return {proof.requirement: proof for proof in whole_run[2].proofs}


@pytest.mark.parametrize(("item", "outcome"), EXPECTED.items())
def test_every_outcome_is_told_apart(proofs: dict[str, Proof], item: str, outcome: Outcome) -> None:
    assert proofs[item].outcome is outcome, str(proofs[item])


def test_only_active_controls_of_active_risks_are_asked_for(project: Path, proofs: dict[str, Proof]) -> None:
    assert set(proofs) == set(EXPECTED)
    assert controls_of(load(project))["SRS-001"] == ("RSK-001", "RSK-002")


def test_a_proof_names_the_test_that_noticed_and_what_it_was_made_with(project: Path, proofs: dict[str, Proof]) -> None:
    proof = proofs["SRS-001"]
    assert proof.failed == "tests/test_till.py::test_negative_is_refused[-1]"
    assert proof.failure == "Failed: DID NOT RAISE ValueError"
    assert proof.fault == "negative values pass"
    assert proof.risks == ("RSK-001", "RSK-002")
    assert len(proof.fault_sha256) == 64
    assert set(proof.sources) == {"tests/test_till.py", "shop/till.py"}
    assert proof.seconds > 0


@pytest.mark.parametrize(
    ("item", "text"),
    [
        ("SRS-003", "AttributeError"),
        ("SRS-004", "the fault model itself raised"),
        ("SRS-005", "the fault model itself raised"),
        ("SRS-006", "does not pass with the control in place either"),
        ("SRS-009", "no test ran"),
        ("SRS-010", "setup failed before anything was tested"),
    ],
)
def test_what_is_broken_says_why(proofs: dict[str, Proof], item: str, text: str) -> None:
    assert text in proofs[item].text
    assert proofs[item].outcome is Outcome.BROKEN


def session(project: Path, *arguments: str) -> tuple[int, dict[str, object]]:
    report = project / "report.json"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "qms.fault_plugin"]
    done = subprocess.run(
        [*command, f"--fault-report={report}", *arguments], cwd=project, capture_output=True, check=False
    )
    return done.returncode, json.loads(report.read_text())


def test_a_session_whose_fault_cannot_be_applied_ends_with_a_status_of_its_own(project: Path) -> None:
    for item, said in (("SRS-003", "AttributeError"), ("SRS-099", "has no fault model")):
        code, seen = session(project, f"--fault={item}", "tests/test_till.py::test_positive_passes")
        assert code == EXIT_NOT_APPLIED
        assert not seen["applied"]
        assert said in str(seen["error"])
        assert seen["tests"] == [], "no test may run without the fault that was asked for"


def test_a_session_that_cannot_be_collected_is_no_proof(project: Path) -> None:
    broken = project / "tests" / "test_broken.py"
    broken.write_text("import nothing_of_that_name\n", encoding="utf-8")
    try:
        code, seen = session(project, "--fault=SRS-001", "tests/test_broken.py")
    finally:
        broken.unlink()
    assert code == 2
    assert "cannot be collected" in str(seen["error"])


def test_the_command_keeps_a_signed_record_and_fails_while_a_control_is_not_proved(
    whole_run: tuple[int, str, Proofs],
) -> None:
    code, said, record = whole_run
    assert code == 1
    assert "SRS-002 survived: 1 tests pass without it; without it values have no limit" in said
    assert said.endswith("1 of 10 controls proved\n")
    assert record.is_genuine()
    forged = record.proofs[1].model_copy(update={"outcome": Outcome.PROVED})
    assert not record.model_copy(update={"proofs": (record.proofs[0], forged)}).is_genuine()


def test_a_part_of_the_controls_makes_no_record(
    project: Path, whole_run: tuple[int, str, Proofs], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (project / PROOFS).read_bytes()
    monkeypatch.chdir(project)
    assert main(["SRS-001"]) == 0
    assert (project / PROOFS).read_bytes() == before


def test_fault_models_that_cannot_be_imported_break_every_proof(project: Path) -> None:
    proofs = Prover(project, "tests.no_such_package").prove(["SRS-001"])
    assert [proof.outcome for proof in proofs] == [Outcome.BROKEN]
    assert "no_such_package" in proofs[0].text


def test_unit_tests_come_first_and_of_these_the_fastest(project: Path) -> None:
    tests = [
        Candidate("system", "system", 0.1),
        Candidate("slow", "unit", 50.0),
        Candidate("fast", "unit", 0.1),
        Candidate("integration", "integration", 5.0),
    ]
    assert Prover(project)._picked(tests) == ["fast", "slow", "integration", "system"]
    assert Prover(project, limits=Limits(tests_s=10))._picked(tests) == ["fast", "integration", "system"]
    assert Prover(project, limits=Limits(tests_s=0.01))._picked(tests) == ["fast"], "one is always run"


def test_a_name_is_replaced_wherever_it_was_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    from node import store  # noqa: PLC0415  any package of the product that passes a name on will do
    from node.store import artefacts, durable  # noqa: PLC0415

    nothing = always(False)
    with monkeypatch.context() as context:
        replace_everywhere(context, durable.write_durably, nothing)
        assert store.write_durably is artefacts.write_durably is durable.write_durably is nothing
    assert store.write_durably is artefacts.write_durably is durable.write_durably is not nothing
    with pytest.raises(FaultModelError, match="stands in no module"):
        replace_everywhere(monkeypatch, object(), nothing)


def test_every_fault_model_of_the_product_can_be_applied() -> None:
    """Each in turn, in this process: a control that was renamed must not leave a model behind that does nothing."""
    faults = load_faults("tests.faults")
    assert len(faults) > 60
    for item, fault in faults.items():
        assert fault.path.is_file(), item
        with pytest.MonkeyPatch.context() as monkeypatch:
            fault.apply(monkeypatch)


def test_the_gate_needs_no_pytest() -> None:
    """The product is installed without its test tools; the commands of the record must be there all the same."""
    program = "import sys; sys.modules['pytest'] = None; import qms.proof, qms.faults, qms.gate"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
