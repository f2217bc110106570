"""The named states that every instance, study and result is in: "unexplained" does not exist."""

from enum import StrEnum


class InstanceState(StrEnum):
    """Where one received object stands."""

    WAITING = "waiting"
    """Received; its study is not complete or not read yet."""
    IN_RESULT = "in-result"
    """One of the images that a reading was made from."""
    SET_ASIDE = "set-aside"
    """Belongs to a study that was read or refused, and was not used; the reason says why."""
    QUARANTINED = "quarantined"
    """Cannot be used at all (broken, conflicting); kept in the inbox; the reason says why."""


class StudyState(StrEnum):
    """Where one study stands."""

    GATHERING = "gathering"
    """Images arrive, or its quiet time runs."""
    READING = "reading"
    """Being read: selected, pseudonymised, analysed, measured."""
    REPORTING = "reporting"
    """SEG and SR are made, checked and restored to the real identity."""
    DELIVERING = "delivering"
    """Results are owed to at least one destination."""
    DELIVERED = "delivered"
    """Every destination confirmed every result."""
    REFUSED = "refused"
    """Not analysed; the reason says why. Later images open it again."""
    QUARANTINED = "quarantined"
    """A result was made and failed a check, or a destination refused it for good. Nothing wrong was sent."""
    FAILED = "failed"
    """The node itself failed; the log says more. The study is kept and can be read again."""


class ResultState(StrEnum):
    """Where one result stands at one destination."""

    OWED = "owed"
    """Not confirmed yet; the node tries again by itself."""
    DELIVERED = "delivered"
    """Confirmed with status 0x0000."""
    WARNED = "warned"
    """Stored with a warning (0xBxxx): not confirmed, and sending again would change nothing."""
    REFUSED = "refused"
    """Refused for good; a person has to look."""
    SUPERSEDED = "superseded"
    """A later reading of the study took its place."""
