"""The witness: a pytest plugin that writes down what each test was, what came of it, and in whose name code ran.

``@pytest.mark.verifies("SRS-012", level="unit", technique="boundary")`` says what a test verifies. With ``--evidence
RUN`` every line that is executed is recorded under the test that was running (a context of coverage.py). Code of child
processes counts too: they inherit the test's id in ``OVERREAD_TEST_ID``, which coverage.py takes as their context. What
a shared fixture executes belongs to every test that uses it.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import coverage
import pytest

from qms.items import Technique, VerificationLevel

TEST_ID = "OVERREAD_TEST_ID"
"""The environment variable that hands the running test's id to child processes."""
CHILD = " > child"
"""Ends the context of a child process, so that what it executed can be told from what its parent did."""
EVIDENCE = Path("qms/evidence")
_WITNESS = "overread-witness"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--evidence``."""
    parser.getgroup("overread").addoption(
        "--evidence", metavar="RUN", default="", help="write down what each test executed, for the evidence of this run"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, and the witness if it is wanted."""
    config.addinivalue_line("markers", "verifies(*items, level, technique): the requirements that this test verifies")
    run = config.getoption("--evidence")
    if run:
        config.pluginmanager.register(Witness(config.rootpath, run), _WITNESS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse a marker that says less than it must, before anything runs."""
    for item in items:
        for mark in item.iter_markers("verifies"):
            _verifies(item.nodeid, mark)


def _verifies(test: str, mark: pytest.Mark) -> list[dict[str, str]]:
    level, technique = mark.kwargs.get("level"), mark.kwargs.get("technique")
    if level not in tuple(VerificationLevel) or technique not in tuple(Technique) or not mark.args:
        levels, techniques = ", ".join(VerificationLevel), ", ".join(Technique)
        raise pytest.UsageError(f"{test}: verifies needs items, level ({levels}) and technique ({techniques})")
    return [{"item": str(item), "level": str(level), "technique": str(technique)} for item in mark.args]


Measure = Callable[[str, float, str], None]
"""Records a number for documents to cite: its name, value and unit."""


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Measure:
    """Return a function that records a number for documents to cite: its name, value and unit ("1" for a ratio)."""
    witness: Witness | None = request.config.pluginmanager.get_plugin(_WITNESS)

    def record(name: str, value: float, unit: str) -> None:
        if witness is not None:
            witness.numbers[name] = {"value": float(value), "unit": unit, "test": request.node.nodeid}

    return record


@dataclass
class _Seen:
    """What was seen of one test."""

    id: str
    verifies: list[dict[str, str]]
    outcome: str = "not-run"
    seconds: float = 0.0
    contexts: list[str] = field(default_factory=list)


class Witness:
    """Watches one test run.

    Parameters
    ----------
    root
        The project's folder.
    run
        Name of the run; its notes go to ``qms/evidence/RUN.run.json`` below `root`, to be sealed by `qms.seal`.

    Attributes
    ----------
    numbers
        What tests measured for documents to cite, by name.
    """

    def __init__(self, root: Path, run: str) -> None:
        self.numbers: dict[str, dict[str, Any]] = {}
        self._root = root
        self._run = run
        self._started = dt.datetime.now(dt.UTC)
        self._seen: dict[str, _Seen] = {}
        self._deselected: list[str] = []
        self._fixtures: dict[str, tuple[str, str]] = {}
        self._coverage = coverage.Coverage.current()
        if self._coverage is None:
            raise pytest.UsageError("--evidence needs coverage: `coverage run -m pytest --evidence RUN`")
        os.environ["COVERAGE_PROCESS_START"] = str(root / "pyproject.toml")

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        """Note what was left out."""
        self._deselected += [item.nodeid for item in items]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Record under this test's name all that runs while it runs."""
        verifies = [entry for mark in item.iter_markers("verifies") for entry in _verifies(item.nodeid, mark)]
        seen = self._seen[item.nodeid] = _Seen(item.nodeid, verifies)
        self._enter(item.nodeid)
        try:
            return (yield)
        finally:
            seen.contexts = [item.nodeid, *self._shared(item)]
            self._enter("")

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any, request: Any) -> Iterator[Any]:
        """Record what a shared fixture executes under its own name."""
        if fixturedef.scope == "function":
            return (yield)
        before = os.environ.get(TEST_ID, "").removesuffix(CHILD)
        context = f"fixture:{fixturedef.baseid}::{fixturedef.argname}"
        if hasattr(request, "param"):
            context += f"[{request.param_index}]"
        self._fixtures[fixturedef.argname] = (fixturedef.baseid, context)
        self._enter(context)
        try:
            return (yield)
        finally:
            self._enter(before)

    def _shared(self, item: pytest.Item) -> list[str]:
        """Return the contexts of the shared fixtures that a test uses; one of another folder may have the same name."""
        used = (self._fixtures.get(name) for name in getattr(item, "fixturenames", ()))
        return sorted(context for found in used if found for base, context in [found] if item.nodeid.startswith(base))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note what came of a test. It passed if setup, call and teardown passed, and nothing else is a pass."""
        seen = self._seen[report.nodeid]
        seen.seconds = round(seen.seconds + report.duration, 4)
        if hasattr(report, "wasxfail"):
            seen.outcome = "xpassed" if report.passed else "xfailed"
        elif report.outcome != "passed":
            seen.outcome = report.outcome
        elif report.when == "call" and seen.outcome == "not-run":
            seen.outcome = "passed"

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Write the notes down."""
        notes = {
            "run": self._run,
            "command": sys.orig_argv[1:],
            "started": self._started.isoformat(timespec="seconds"),
            "finished": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            "exit_status": int(exitstatus),
            "deselected": self._deselected,
            "numbers": self.numbers,
            "tests": [asdict(seen) for seen in self._seen.values()],
        }
        folder = self._root / EVIDENCE
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{self._run}.run.json").write_text(json.dumps(notes, indent=1), encoding="utf-8")

    def _enter(self, context: str) -> None:
        assert self._coverage is not None  # noqa: S101  the constructor refuses without it
        self._coverage.switch_context(context)
        if context:
            os.environ[TEST_ID] = context + CHILD
        else:
            os.environ.pop(TEST_ID, None)
