"""Bring objects to a destination and say of each what came of it.

"Sent" is not "stored": an object counts as delivered only when the destination answered 0x0000 for it. Everything else
is sorted into what another attempt may mend and what only a person can, so that nothing is retried for ever and nothing
is given up because a PACS was restarting. Sending again is harmless: objects are immutable and keep their UIDs.

One call, one destination, no state: a destination that hangs holds up nobody else's queue.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

import structlog
from pydantic import BaseModel, ConfigDict

from node.net import Answer, Destination, Failure, send

log = structlog.get_logger(__name__)


class Outcome(StrEnum):
    """What came of one object."""

    DELIVERED = "delivered"
    """The destination answered 0x0000."""
    WARNING = "warning"
    """It answered with a warning: stored, but changed or in doubt. Not confirmed, and sending again changes nothing."""
    RETRY = "retry"
    """Not stored now; another attempt may succeed."""
    REFUSED = "refused"
    """Not stored, and the same object will be refused again: a person has to look."""


class ObjectDelivery(BaseModel):
    """What came of one object, in words that may be stored and logged: it holds no identity.

    Attributes
    ----------
    path
        The object's file.
    outcome
        What came of it.
    status
        The DIMSE status, or None if none came.
    code
        The cause as a code: a failure's name, or the class of the status.
    text
        One sentence for the administrator.
    """

    model_config = ConfigDict(frozen=True)

    path: Path
    outcome: Outcome
    status: int | None
    code: str
    text: str


class Delivery(BaseModel):
    """What came of all objects for one destination.

    Attributes
    ----------
    objects
        In the order in which they were given.
    """

    model_config = ConfigDict(frozen=True)

    objects: tuple[ObjectDelivery, ...]

    @property
    def confirmed(self) -> bool:
        """True if the destination confirmed every object with 0x0000."""
        return all(each.outcome is Outcome.DELIVERED for each in self.objects)

    @property
    def to_retry(self) -> tuple[Path, ...]:
        """The objects to try again, later."""
        return tuple(each.path for each in self.objects if each.outcome is Outcome.RETRY)

    @property
    def for_a_person(self) -> tuple[ObjectDelivery, ...]:
        """The objects that are neither confirmed nor worth another attempt."""
        return tuple(each for each in self.objects if each.outcome in {Outcome.WARNING, Outcome.REFUSED})


_FAILURES = {
    Failure.NO_ASSOCIATION: (Outcome.RETRY, "The destination cannot be reached."),
    Failure.ASSOCIATION_REJECTED: (
        Outcome.RETRY,
        "The destination rejects the association: does it know our AE title and address, and do we call it by its own?",
    ),
    Failure.NO_RESPONSE: (Outcome.RETRY, "The destination did not answer in time; it may or may not have stored it."),
    Failure.CONNECTION_LOST: (Outcome.RETRY, "The connection ended before the answer; it may or may not be stored."),
    Failure.NOT_TRIED: (Outcome.RETRY, "Not sent: the destination failed on the objects before it."),
    Failure.NO_PRESENTATION_CONTEXT: (
        Outcome.REFUSED,
        "The destination does not accept this SOP class in this transfer syntax.",
    ),
    Failure.UNREADABLE: (Outcome.REFUSED, "The object cannot be read from our own disk."),
}

# Statuses of the Storage Service Class (PS3.4 Table B.2-1) and of every DIMSE service (PS3.7 Annex C), by range.
_STATUSES = (
    (0x0000, 0x0000, Outcome.DELIVERED, "success", "Stored."),
    (0x0001, 0x0001, Outcome.WARNING, "warning", "Stored with a warning."),
    (0x0107, 0x0107, Outcome.WARNING, "warning", "Stored with a warning about its attributes."),
    (0x0110, 0x0110, Outcome.RETRY, "processing-failure", "The destination failed while processing it."),
    (0x0111, 0x0111, Outcome.REFUSED, "duplicate", "The destination holds an object with this UID and wants no other."),
    (0x0116, 0x0116, Outcome.WARNING, "warning", "Stored with a value out of range."),
    (0x0117, 0x0117, Outcome.REFUSED, "invalid-instance", "The destination finds the SOP Instance UID invalid."),
    (0x0122, 0x0122, Outcome.REFUSED, "class-not-supported", "The destination does not store this SOP class."),
    (0x0124, 0x0124, Outcome.REFUSED, "not-authorised", "The destination does not let us store."),
    (0x0210, 0x0212, Outcome.REFUSED, "not-understood", "The destination cannot understand the request."),
    (0x0213, 0x0213, Outcome.RETRY, "resource-limitation", "The destination is short of resources."),
    (0xA700, 0xA7FF, Outcome.RETRY, "out-of-resources", "The destination is out of resources."),
    (
        0xA900,
        0xA9FF,
        Outcome.REFUSED,
        "class-mismatch",
        "The destination finds that the data set contradicts its class.",
    ),
    (0xB000, 0xB000, Outcome.WARNING, "coerced", "Stored, but the destination changed attributes."),
    (0xB006, 0xB006, Outcome.WARNING, "elements-discarded", "Stored, but the destination discarded attributes."),
    (0xB007, 0xB007, Outcome.WARNING, "class-doubted", "Stored, though the destination doubts data set and class."),
    (0xB000, 0xBFFF, Outcome.WARNING, "warning", "Stored with a warning."),
    (0xC000, 0xCFFF, Outcome.REFUSED, "not-understood", "The destination cannot understand the data set."),
)
_UNKNOWN_STATUS = (
    Outcome.REFUSED,
    "unknown-status",
    "The destination answered with a status that C-STORE does not know.",
)


def deliver(objects: Sequence[Path], destination: Destination) -> Delivery:
    """Send objects to one destination, once.

    Parameters
    ----------
    objects
        DICOM files (PS3.10), already checked.
    destination
        Where to.

    Returns
    -------
    Delivery
        What came of each; repeat the call with its `to_retry`, after `next_delay_s`.
    """
    delivery = Delivery(
        objects=tuple(_judge(path, answer) for path, answer in zip(objects, send(objects, destination), strict=True))
    )
    for each in delivery.objects:
        say = log.info if each.outcome is Outcome.DELIVERED else log.warning
        say(
            "deliver.object",
            destination=destination.ae_title,
            outcome=each.outcome.value,
            code=each.code,
            status=None if each.status is None else f"0x{each.status:04X}",
        )
    return delivery


def next_delay_s(attempt: int, first_s: float = 10.0, longest_s: float = 900.0) -> float:
    """Return how many seconds to wait before another attempt: doubled each time, up to a limit.

    Parameters
    ----------
    attempt
        How many attempts failed so far, from 1.
    first_s, longest_s
        The first and the longest delay in seconds.

    Returns
    -------
    float
        Seconds; the same for the same attempt, so that a repeated workflow step waits as long.
    """
    doublings = min(max(attempt, 1) - 1, 64)
    return min(longest_s, first_s * 2.0**doublings)


def _judge(path: Path, answer: Answer) -> ObjectDelivery:
    """Sort an answer. The peer's own comment stays out: it may quote a patient."""
    if answer.failure is not None:
        outcome, text = _FAILURES[answer.failure]
        return ObjectDelivery(path=path, outcome=outcome, status=None, code=answer.failure.value, text=text)
    status = answer.status if answer.status is not None else -1
    outcome, code, text = next(
        ((outcome, code, text) for low, high, outcome, code, text in _STATUSES if low <= status <= high),
        _UNKNOWN_STATUS,
    )
    return ObjectDelivery(path=path, outcome=outcome, status=answer.status, code=code, text=text)
