"""What DBOS keeps: JSON, refusals as values, and no text of an error."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from structlog.testing import capture_logs

from node.dicom.reasons import Reason, Refused
from node.durable import JsonSerializer, StepFailedError, step
from node.ledger import Ledger

STUDY = "2.25.1"


@pytest.mark.verifies("SRS-131", level="unit", technique="example")
def test_a_refusal_comes_back_as_it_was() -> None:
    serializer = JsonSerializer()
    refusal = serializer.deserialize(serializer.serialize(Refused(Reason.NO_LIVER, "no liver")))
    assert isinstance(refusal, Refused)
    assert (refusal.reason, refusal.text) == (Reason.NO_LIVER, "no liver")


@pytest.mark.verifies("SRS-131", level="unit", technique="adversarial")
def test_the_text_of_an_error_is_not_kept() -> None:
    serializer = JsonSerializer()
    kept = serializer.serialize(ValueError("PHANTOM^TEST"))
    assert "PHANTOM" not in kept
    assert isinstance(serializer.deserialize(kept), StepFailedError)


@pytest.mark.verifies("SRS-131", level="unit", technique="bad-input")
def test_arrays_cannot_pass_between_steps() -> None:
    with pytest.raises(TypeError, match="steps pass keys"):
        JsonSerializer().serialize({"volume": np.zeros(3)})


@pytest.mark.verifies("SRS-131", level="unit", technique="example")
def test_arguments_come_back_as_dbos_wants_them() -> None:
    serializer = JsonSerializer()
    assert serializer.deserialize(serializer.serialize({"args": ("a", 1), "kwargs": {}})) == {
        "args": ("a", 1),
        "kwargs": {},
    }


class Worker:
    """Has one step, and the real ledger that steps are watched in."""

    def __init__(self, ledger: Ledger) -> None:
        self.rooms = SimpleNamespace(ledger=ledger)

    @step
    def work(self, study: str, fault: str) -> str:
        """Succeed, or fail with a text that quotes a patient."""
        if fault:
            raise ValueError(fault)
        return study


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    ledger.register({"image": STUDY})
    yield ledger
    ledger.close()


@pytest.mark.verifies("SRS-139", level="integration", technique="example")
def test_a_step_is_seen_and_timed(ledger: Ledger) -> None:
    assert Worker(ledger).work(STUDY, "") == STUDY
    status = ledger.status(STUDY)
    assert status is not None
    assert status.step == "work"
    assert list(status.seconds) == ["work"]


@pytest.mark.verifies("SRS-131", level="integration", technique="adversarial")
def test_a_step_that_fails_is_logged_without_the_text_of_its_error(ledger: Ledger) -> None:
    with capture_logs() as logs, pytest.raises(ValueError, match="PHANTOM"):
        Worker(ledger).work(STUDY, "PHANTOM^TEST")
    (line,) = logs
    assert (line["event"], line["study"], line["step"], line["error"]) == ("step.failed", STUDY, "work", "ValueError")
    assert line["at"][-1].startswith("test_durable:")
    assert "PHANTOM" not in str(logs)
