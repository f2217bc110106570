import logging
import warnings

import pytest
import structlog

from node.net import codes_only

pytestmark = pytest.mark.verifies("SRS-017", level="unit", technique="example")


@pytest.fixture
def quiet():
    names = ("pynetdicom", "pydicom", "py.warnings")
    before = {
        name: (logging.getLogger(name).handlers, logging.getLogger(name).propagate, logging.getLogger(name).level)
        for name in names
    }
    show = warnings.showwarning
    codes_only()
    with structlog.testing.capture_logs() as logs:
        yield logs
    logging.captureWarnings(False)
    warnings.showwarning = show
    for name, (handlers, propagate, level) in before.items():
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


def test_a_librarys_text_is_left_out(quiet, capfd):
    logging.getLogger("pynetdicom.association").error("Affected SOP Instance UID %s", "1.2.3.4")
    logging.getLogger("pynetdicom.dul").error(ValueError("PHANTOM^TEST"))  # as pynetdicom calls it
    logging.getLogger("pynetdicom.dul").error("PHANTOM^TEST", exc_info=KeyError("PHANTOM^TEST"))
    logging.getLogger("pydicom").info("1.2.3.4")

    assert [(entry["event"], entry["log_level"], entry["error"]) for entry in quiet] == [
        ("dicom.library", "error", None),
        ("dicom.library", "error", "ValueError"),
        ("dicom.library", "error", "KeyError"),
    ]
    assert quiet[0]["where"].startswith("test_quiet:")
    assert "1.2.3.4" not in str(quiet)
    assert "PHANTOM" not in str(quiet)
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


def test_a_warning_that_quotes_a_value_is_left_out(quiet, capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        logging.captureWarnings(False)
        logging.captureWarnings(True)
        warnings.warn("Invalid value for VR UI: '1.2.3.4'", stacklevel=1)
        logging.captureWarnings(False)
    assert [entry["event"] for entry in quiet] == ["dicom.library"]
    assert "1.2.3.4" not in str(quiet)
    assert capfd.readouterr().err == ""
