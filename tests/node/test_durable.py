"""What DBOS keeps: JSON, refusals as values, and no text of an error."""

import numpy as np
import pytest

from node.dicom.reasons import Reason, Refused
from node.durable import JsonSerializer, StepFailedError


def test_a_refusal_comes_back_as_it_was() -> None:
    serializer = JsonSerializer()
    refusal = serializer.deserialize(serializer.serialize(Refused(Reason.NO_LIVER, "no liver")))
    assert isinstance(refusal, Refused)
    assert (refusal.reason, refusal.text) == (Reason.NO_LIVER, "no liver")


def test_the_text_of_an_error_is_not_kept() -> None:
    serializer = JsonSerializer()
    kept = serializer.serialize(ValueError("PHANTOM^TEST"))
    assert "PHANTOM" not in kept
    assert isinstance(serializer.deserialize(kept), StepFailedError)


def test_arrays_cannot_pass_between_steps() -> None:
    with pytest.raises(TypeError, match="steps pass keys"):
        JsonSerializer().serialize({"volume": np.zeros(3)})


def test_arguments_come_back_as_dbos_wants_them() -> None:
    serializer = JsonSerializer()
    assert serializer.deserialize(serializer.serialize({"args": ("a", 1), "kwargs": {}})) == {
        "args": ("a", 1),
        "kwargs": {},
    }
