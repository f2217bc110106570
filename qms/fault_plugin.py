"""A pytest plugin that runs a session with one risk control switched off: ``-p qms.fault_plugin --fault SRS-045``.

It keeps apart what looks alike from outside: a test that failed because the control was off, and a session that failed
because the fault could not be applied. The latter ends with `EXIT_NOT_APPLIED` before a single test runs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from qms.faults import EXIT_NOT_APPLIED, Fault, FaultModelError, load_faults

_LONGEST_LINE = 160
_PATH = re.compile(r"(?<![\w.])(?:/[\w.@+~-]+)+/?")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--fault``, ``--fault-models`` and ``--fault-report``."""
    group = parser.getgroup("overread faults")
    group.addoption("--fault", metavar="ITEM", default="", help="switch off this control for the whole session")
    group.addoption("--fault-models", metavar="PACKAGE", default="tests.faults", help="where the fault models lie")
    group.addoption("--fault-report", metavar="FILE", default="", help="write down, as JSON, what was seen")


def pytest_configure(config: pytest.Config) -> None:
    """Switch the control off before anything is collected, so that test modules import what has no control."""
    if config.getoption("--fault-report") or config.getoption("--fault"):
        _do_not_shrink()
        config.pluginmanager.register(_Session(config), "overread-fault")


class _Session:
    """One session with a fault, or one without for comparison."""

    def __init__(self, config: pytest.Config) -> None:
        self._report = config.getoption("--fault-report")
        self._seen: dict[str, Any] = {"applied": False, "error": "", "tests": []}
        self._monkeypatch = pytest.MonkeyPatch()
        self._fault: Fault | None = None
        wanted = config.getoption("--fault")
        try:
            if wanted:
                self._fault = self._apply(load_faults(config.getoption("--fault-models")), wanted)
        except Exception as error:  # noqa: BLE001  whatever it is, it must not look like a test that failed
            self._monkeypatch.undo()
            self._seen["error"] = f"{type(error).__name__}: {error}"
            self._write()
            pytest.exit(f"fault {wanted} not applied: {self._seen['error']}", EXIT_NOT_APPLIED)
        self._seen["applied"] = self._fault is not None

    def _apply(self, faults: dict[str, Fault], wanted: str) -> Fault:
        if wanted not in faults:
            raise FaultModelError(f"{wanted} has no fault model")
        faults[wanted].apply(self._monkeypatch)
        return faults[wanted]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Note how each phase of each test ended, and whether the fault model itself raised."""
        report = yield
        if report.when == "call" or not report.passed:
            self._seen["tests"].append(
                {
                    "id": item.nodeid,
                    "when": report.when,
                    "outcome": report.outcome,
                    "line": _first_line(call.excinfo),
                    "by_fault": self._raised_by_fault(call.excinfo),
                }
            )
        noticed = report.failed and report.when == "call" and not self._raised_by_fault(call.excinfo)
        if noticed and self._fault is not None:
            item.session.shouldstop = "a test has noticed"  # what fails in a fixture has not looked: others go on
        return report

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note what could not be collected."""
        if report.failed:
            self._seen["error"] = f"{report.nodeid or 'the session'}: cannot be collected"

    def pytest_unconfigure(self) -> None:
        """Put everything back, and write down what was seen."""
        self._monkeypatch.undo()
        self._write()

    def _raised_by_fault(self, caught: pytest.ExceptionInfo[BaseException] | None) -> bool:
        """Tell whether an error comes from the fault model's own lines, or from calling them wrongly."""
        if caught is None or self._fault is None:
            return False
        misfit = isinstance(caught.value, TypeError) and f"{self._fault.apply.__qualname__}." in str(caught.value)
        return misfit or Path(caught.traceback[-1].path) == self._fault.path

    def _write(self) -> None:
        if self._report:
            Path(self._report).write_text(json.dumps(self._seen), encoding="utf-8")


def _do_not_shrink() -> None:
    """Let hypothesis stop at the first failing example: that a control is missed is asked, not where it is simplest."""
    if find_spec("hypothesis"):
        from hypothesis import Phase, settings  # noqa: PLC0415  a development tool, not always installed

        settings.register_profile("overread-fault", phases=[Phase.explicit, Phase.generate], database=None)
        settings.load_profile("overread-fault")


def _first_line(caught: pytest.ExceptionInfo[BaseException] | None) -> str:
    """Return the kind of an error with the first words of its text, without the paths of this machine."""
    if caught is None:
        return ""
    text = next((line.strip() for line in str(caught.value).splitlines() if line.strip()), "")
    return f"{caught.typename}: {_PATH.sub('..', text)}"[:_LONGEST_LINE]
