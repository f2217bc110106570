"""What the ledger tells about one study, as plain values for the console, the CLI and the demo."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from node.ledger.states import InstanceState, ResultState, StudyState


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True)


class InstanceCount(_Value):
    """How many instances of a study are in one state for one reason.

    Attributes
    ----------
    state, reason, text
        The state, its coded reason ("" where the state needs none) and one example sentence.
    count
        Number of instances.
    """

    state: InstanceState
    reason: str
    text: str
    count: int


class ResultStatus(_Value):
    """One result at one destination.

    Attributes
    ----------
    kind
        "SEG" or "SR".
    destination
        The destination's name in the settings.
    state, attempts, text
        Where it stands, how often it was tried, and what the destination last said.
    """

    kind: str
    destination: str
    state: ResultState
    attempts: int
    text: str


class StudyStatus(_Value):
    """Everything that the node knows of one study's way.

    Attributes
    ----------
    study
        Pseudonymous study UID.
    state, reason, text
        Where it stands, and the coded reason with a sentence where the state needs one.
    step, done, total
        The step at work, and its progress (0 of 0 where the step does not count).
    quiet_for
        Seconds since the last instance arrived.
    seconds
        Time each finished step took, in seconds.
    instances, results
        Counts by state and reason; one entry a result and destination.
    """

    study: str
    state: StudyState
    reason: str
    text: str
    step: str
    done: int
    total: int
    quiet_for: float
    seconds: dict[str, float]
    instances: tuple[InstanceCount, ...]
    results: tuple[ResultStatus, ...]

    def as_text(self) -> str:
        """Return what an administrator reads in a terminal."""
        lines = [f"study      {self.study}", f"state      {self.state.value}" + _because(self.reason, self.text)]
        if self.step:
            lines.append(f"at work    {self.step}" + (f" {self.done}/{self.total}" if self.total else ""))
        lines += [f"images     {c.count:5d} {c.state.value}{_because(c.reason, c.text)}" for c in self.instances]
        lines += [
            f"result     {r.kind} to {r.destination}: {r.state.value}, {r.attempts} attempts"
            + (f" ({r.text})" if r.text else "")
            for r in self.results
        ]
        lines += [f"took       {seconds:8.2f} s {step}" for step, seconds in self.seconds.items()]
        return "\n".join(lines)


def _because(reason: str, text: str) -> str:
    return f" [{reason}] {text}" if reason else ""
