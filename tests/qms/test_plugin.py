"""The witness, watched: a small project is tested under it, and its evidence is read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from qms.evidence import Evidence, read_all
from qms.gate.links import find_links
from qms.items import Requirement
from qms.load import load
from qms.seal import combine, seal
from qms.sources import sources, units

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.verifies("SRS-181", level="integration", technique="example")

PYPROJECT = """
    [tool.pytest.ini_options]
    pythonpath = ["."]
    addopts = "--import-mode=importlib -p qms.plugin"

    [tool.coverage.run]
    source = ["node"]
    branch = true
    parallel = true
    core = "ctrace"
    context = "${OVERREAD_TEST_ID-}"
    patch = ["_exit"]
    sigterm = true
"""
THING = '''
    """Adds, and is run as a process too."""
    import sys

    def add(a, b):
        return a + b

    def run():
        print(add(1, 2))

    if __name__ == "__main__":
        run()
'''
OTHER = '''
    """Multiplies."""
    def multiply(a, b):
        return a * b
'''
TESTS = """
    import os
    import subprocess
    import sys
    import pytest
    import node.thing
    from node.other import multiply

    def mark(item):
        return pytest.mark.verifies(item, level="unit", technique="example")

    @pytest.fixture(scope="module")
    def product():
        return multiply(2, 3)

    @mark("SRS-001")
    def test_counts():
        assert node.thing.add(1, 2) == 3

    @mark("SRS-001")
    def test_is_skipped():
        pytest.skip("not today")

    @mark("SRS-001")
    @pytest.mark.xfail(reason="known")
    def test_fails_as_expected():
        assert node.thing.add(1, 2) == 4

    @mark("SRS-001")
    def test_fails():
        assert node.thing.add(1, 2) == 4

    @mark("SRS-001")
    def test_is_hollow():
        node.thing.add(1, 2)

    @mark("SRS-001")
    def test_is_hollow_too():
        total = node.thing.add(1, 2)
        assert True
        assert total == total

    @mark("SRS-001")
    def test_executes_something_else():
        assert multiply(2, 3) == 6

    @mark("SRS-001")
    def test_only_imports():
        assert node.thing is not None

    @mark("SRS-001")
    def test_in_a_child(tmp_path):
        done = subprocess.run([sys.executable, "-m", "node.thing"], capture_output=True, text=True)
        assert done.stdout.strip() == "3"

    @mark("SRS-001")
    def test_in_a_child_that_ends_at_once():
        code = "import os; from node.thing import add; add(1, 2); os._exit(0)"
        assert subprocess.run([sys.executable, "-c", code]).returncode == 0

    @mark("SRS-001")
    def test_in_a_child_that_is_told_to_end():
        code = (
            "import os, signal, time; from node.thing import add; add(1, 2); "
            "os.kill(os.getpid(), signal.SIGTERM); time.sleep(30)"
        )
        assert subprocess.run([sys.executable, "-c", code]).returncode != 0

    @mark("SRS-002")
    def test_uses_what_is_shared(product):
        assert product == 6

    @mark("SRS-002")
    def test_uses_it_again(product):
        assert product > 5

    @mark("SRS-002")
    def test_does_not_use_it():
        assert node.thing.add(0, 1)

    @pytest.mark.slow
    @mark("SRS-001")
    def test_is_left_out():
        assert node.thing.add(1, 2) == 3

    def test_measures(measured):
        measured("sample-sum", node.thing.add(1, 2), "1")
        assert node.thing.add(1, 2) == 3
"""


def _write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("project")
    _write(
        root,
        {
            "pyproject.toml": PYPROJECT,
            "node/__init__.py": "",
            "node/thing.py": THING,
            "node/other.py": OTHER,
            "tests/test_thing.py": TESTS,
        },
    )
    return root


def _environment(root: Path, **more: str) -> dict[str, str]:
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("COVERAGE", "OVERREAD", "PYTEST"))
    }
    return {**kept, "PYTHONPATH": f"{root}:{ROOT}", "COVERAGE_FILE": str(root / ".coverage"), **more}


@pytest.fixture(scope="module")
def evidence(project: Path) -> Evidence:
    command = ["coverage", "run", "-m", "pytest", "-q", "-m", "not slow", "-W", "ignore", "--evidence", "test"]
    subprocess.run(
        [sys.executable, "-m", *command], cwd=project, env=_environment(project), capture_output=True, check=False
    )
    (project / ".coverage.damaged").write_bytes(b"SQLite format 3\0 and then the power went")
    assert combine(project / ".coverage") == [project / "damaged-coverage.damaged"]
    seal(project, "test", project / ".coverage")
    found, findings = read_all(project)
    assert not findings
    return found[0]


def _links(project: Path, evidence: Evidence, item: str, unit: str) -> tuple[set[str], dict[str, str]]:
    requirement = Requirement.model_validate(
        {
            "id": item,
            "title": "t",
            "text": "It shall.",
            "rationale": "r",
            "source": "s",
            "category": "function",
            "user_requirements": ["URS-001"],
            "units": [unit],
        }
    )
    links = find_links([requirement], [evidence], units(project), sources(project))[item]
    short = {test.rpartition("::")[2]: reason for test, reason in links.rejected.items()}
    return {test.rpartition("::")[2] for test in links.counted}, short


def test_only_what_passed_and_executed_the_unit_counts(project: Path, evidence: Evidence) -> None:
    counted, rejected = _links(project, evidence, "SRS-001", "node.thing")

    assert "test_counts" in counted
    assert rejected == {
        "test_is_skipped": "it was skipped",
        "test_fails_as_expected": "it was xfailed",
        "test_fails": "it was failed",
        "test_is_hollow": "it asserts nothing",
        "test_is_hollow_too": "it asserts only what is always true",
        "test_executes_something_else": "it executes no unit of the requirement",
        "test_only_imports": "it executes no unit of the requirement",
    }


@pytest.mark.verifies("SRS-182", level="integration", technique="example")
@pytest.mark.parametrize("test", ["in_a_child", "in_a_child_that_ends_at_once", "in_a_child_that_is_told_to_end"])
def test_a_child_process_counts_for_its_test(project: Path, evidence: Evidence, test: str) -> None:
    counted, _ = _links(project, evidence, "SRS-001", "node.thing")

    assert f"test_{test}" in counted


@pytest.mark.verifies("SRS-182", level="integration", technique="example")
def test_a_shared_fixture_counts_for_every_test_that_uses_it(project: Path, evidence: Evidence) -> None:
    counted, rejected = _links(project, evidence, "SRS-002", "node.other")

    assert counted == {"test_uses_what_is_shared", "test_uses_it_again"}
    assert rejected == {"test_does_not_use_it": "it executes no unit of the requirement"}


def test_what_was_left_out_is_named_and_does_not_count(project: Path, evidence: Evidence) -> None:
    counted, rejected = _links(project, evidence, "SRS-001", "node.thing")

    assert evidence.deselected == ("tests/test_thing.py::test_is_left_out",)
    assert "test_is_left_out" not in counted | rejected.keys()


@pytest.mark.verifies("SRS-191", level="integration", technique="example")
def test_a_number_is_kept_with_the_test_that_measured_it(evidence: Evidence) -> None:
    assert evidence.numbers["sample-sum"].value == 3.0
    assert evidence.numbers["sample-sum"].test == "tests/test_thing.py::test_measures"


@pytest.mark.verifies("SRS-183", level="integration", technique="example")
def test_evidence_says_where_it_comes_from(project: Path, evidence: Evidence) -> None:
    assert evidence.exit_status == 1
    assert "pytest" in " ".join(evidence.command)
    assert evidence.environment.packages["pytest"]
    assert evidence.sources == sources(project)
    assert evidence.demo
    assert not (project / "qms/evidence/test.run.json").exists()


@pytest.mark.verifies("SRS-183", level="integration", technique="fault-injection")
@pytest.mark.parametrize(
    ("path", "still_counts"),
    [("node/thing.py", False), ("tests/test_thing.py", False), ("tests/conftest.py", False), ("node/other.py", True)],
)
def test_evidence_goes_stale_with_what_it_rests_on(
    project: Path, evidence: Evidence, path: str, still_counts: bool
) -> None:
    file = project / path
    before = file.read_text() if file.exists() else None
    try:
        file.write_text(f"{before or ''}\n# changed\n")
        counted, rejected = _links(project, evidence, "SRS-001", "node.thing")
    finally:
        if before is None:
            file.unlink()
        else:
            file.write_text(before)

    assert ("test_counts" in counted) == still_counts
    assert still_counts or rejected["test_counts"] == f"{path} has changed since the run"


@pytest.mark.verifies("SRS-182", level="integration", technique="example")
def test_the_notes_of_a_run(project: Path, tmp_path: Path) -> None:
    """The plugin itself is measured here: it runs in a child process of this test, under the outer coverage."""
    environment = _environment(project, PYTHONDONTWRITEBYTECODE="1")
    config = os.environ.get("COVERAGE_PROCESS_START", str(project / "pyproject.toml"))
    outer = {name: os.environ[name] for name in ("COVERAGE_FILE", "OVERREAD_TEST_ID") if name in os.environ}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "ignore", "--evidence", "notes"]
    done = subprocess.run(
        [*command, "-k", "counts or shared"],
        cwd=project,
        env={**environment, "COVERAGE_FILE": str(tmp_path / ".c"), **outer, "COVERAGE_PROCESS_START": config},
        capture_output=True,
        text=True,
        check=False,
    )
    path = project / "qms/evidence/notes.run.json"
    notes = json.loads(path.read_text())
    path.unlink()

    assert done.returncode == 0, done.stdout + done.stderr
    assert [(test["id"].rpartition("::")[2], test["outcome"]) for test in notes["tests"]] == [
        ("test_counts", "passed"),
        ("test_uses_what_is_shared", "passed"),
    ]
    assert notes["tests"][1]["contexts"][1:] == ["fixture:tests/test_thing.py::product"]


@pytest.mark.verifies("SRS-187", level="unit", technique="bad-input")
@pytest.mark.parametrize(
    "mark",
    [
        '"SRS-001", level="unit"',
        '"SRS-001", technique="example"',
        '"SRS-001", level="moon", technique="example"',
        '"SRS-001", level="unit", technique="luck"',
        'level="unit", technique="example"',
    ],
)
def test_a_mark_that_says_too_little_is_refused(pytester: pytest.Pytester, mark: str) -> None:
    pytester.makepyfile(f"import pytest\n@pytest.mark.verifies({mark})\ndef test_a():\n    assert 1 + 1 == 2\n")

    result = pytester.runpytest_subprocess("-p", "qms.plugin")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*verifies needs items, level * and technique *"])


@pytest.mark.verifies("SRS-181", level="unit", technique="bad-input")
def test_evidence_without_coverage_is_refused(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COVERAGE_PROCESS_START", raising=False)
    pytester.makepyfile("def test_a():\n    assert 1 + 1 == 2\n")

    result = pytester.runpytest_subprocess("-p", "qms.plugin", "--evidence", "test")

    assert result.ret != 0
    assert "needs coverage" in result.stderr.str() + result.stdout.str()


@pytest.mark.verifies("SRS-180", level="integration", technique="consistency")
def test_the_records_of_this_project_can_be_read() -> None:
    records = load(ROOT)

    assert not [str(finding) for finding in records.findings]
    assert len(list(records.of(Requirement))) >= 60
