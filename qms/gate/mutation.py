"""One way to break a quality record."""

from __future__ import annotations

from dataclasses import dataclass

from qms.gate.changes import Change
from qms.gate.project import Profile

DEVELOPMENT, RELEASE = Profile.DEVELOPMENT, Profile.RELEASE


@dataclass(frozen=True)
class Mutation:
    """One way to break the sample.

    Attributes
    ----------
    name
        What is done.
    code, item
        What the gate has to say, and of which item.
    apply
        Does it.
    profile
        The profile that has to name it.
    """

    name: str
    code: str
    item: str
    apply: Change
    profile: Profile = DEVELOPMENT
