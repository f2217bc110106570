"""Logs: what libraries say stays out, for it may quote a patient."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from node.logs import configure_logs

pytestmark = pytest.mark.verifies("SRS-148", level="integration", technique="adversarial")

_PROGRAM = """
import logging, sys, warnings
import pydicom, structlog
from node.logs import configure_logs
configure_logs(sys.argv[1], "info")
structlog.get_logger("node").info("own.event", study="2.25.1")
pydicom.charset.decode_bytes(b"x", ["SECRET_CHARSET"], set())
dataset = pydicom.Dataset()
dataset.SpecificCharacterSet = "SECRET_CHARSET"
dataset.PatientName = b"SECRET^NAME"
str(dataset.PatientName), pydicom.charset.convert_encodings("SECRET_CHARSET")
warnings.warn("SECRET in a warning")
for name in ("pynetdicom.assoc", "dbos", "highdicom", "py.warnings"):
    logging.getLogger(name).error("SECRET %s", "PHANTOM^TEST")
"""


@pytest.mark.parametrize("style", ["console", "json"])
def test_what_a_library_says_is_withheld(style: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _PROGRAM, style],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).resolve().parents[2],
    )
    assert "own.event" in ended.stderr
    assert ended.stderr.count("message withheld") >= 6
    assert "SECRET" not in ended.stderr + ended.stdout
    assert "PHANTOM" not in ended.stderr


@pytest.fixture
def logging_as_it_was() -> Iterator[None]:
    """Undo what `configure_logs` does to this process."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


@pytest.mark.parametrize("style", ["console", "json"])
@pytest.mark.parametrize("name", ["pydicom", "pynetdicom.assoc", "dbos", "sqlalchemy.engine", "PIL", "py.warnings"])
@pytest.mark.usefixtures("logging_as_it_was")
def test_a_line_of_a_library_has_its_name_and_no_text(style: str, name: str) -> None:
    configure_logs(style, "info")
    (handler,) = logging.getLogger().handlers
    line = handler.format(logging.LogRecord(name, logging.ERROR, __file__, 1, "of %s", ("PHANTOM^TEST",), None))
    assert f"{name}: message withheld" in line
    assert "error" in line
    assert "PHANTOM" not in line
