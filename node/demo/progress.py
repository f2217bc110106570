"""What the reader of the demonstration sees while it runs: live on a terminal, line by line anywhere else."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from node.ledger import InstanceState, StudyState, StudyStatus

_WORDS = {
    "gather": "choose the series",
    "identify": "pseudonymise",
    "infer: read_volume": "read the images",
    "infer: store_labels": "keep the outlines",
    "check_tissue": "check that it is liver",
    "measure": "measure",
    "report": "write SEG and SR",
    "check": "check them",
    "restore": "restore the identity",
    "check_restored": "check them again",
    "send": "send them back",
}
_INFER, _PART = "infer", "infer: "
_NETWORKS = {"lesion": "lesions"}
_BOOKKEEPING = {"settled", "owe", "end"}
_FAILURES = frozenset({StudyState.REFUSED, StudyState.QUARANTINED, StudyState.FAILED})
_ENDINGS = _FAILURES | {StudyState.DELIVERED}
_BAR_WIDTH = 28
QUIET_S = 3.0
"""Quiet time of the node that takes part."""
_SETTLED_S = QUIET_S + 3.0  # it looks at its inbox every half second


@dataclass
class Journey:
    """One study on its way, as far as it is known.

    Attributes
    ----------
    title
        What it is to the reader.
    uid
        Study Instance UID.
    objects
        How many objects were to be sent.
    status
        What the node says of it.
    arrived
        How many results are back.
    sent_at, delivered_at
        When the node had taken them all, and when it said that it delivered the results, by the monotonic clock.
    """

    title: str
    uid: str
    objects: int
    status: StudyStatus | None = None
    arrived: int = 0
    sent_at: float | None = None
    delivered_at: float | None = None

    @property
    def sent(self) -> bool:
        """Whether the node has taken every object."""
        return self.sent_at is not None

    def mark_sent(self) -> None:
        """Remember that the node has taken every object."""
        self.sent_at = time.monotonic()

    @property
    def silent_for(self) -> float:
        """Seconds since the node has taken every object."""
        return 0.0 if self.sent_at is None else time.monotonic() - self.sent_at

    @property
    def received(self) -> int:
        """How many objects the node has registered."""
        return sum(count.count for count in self.status.instances) if self.status else 0

    @property
    def settled(self) -> bool:
        """Whether what the node says is its last word: an image that it has not counted yet opens the study again."""
        return self.sent and self.status is not None and self.status.quiet_for > _SETTLED_S

    @property
    def failed(self) -> bool:
        """Whether it ended without a result."""
        return self.settled and self.status is not None and self.status.state in _FAILURES

    @property
    def delivered(self) -> bool:
        """Whether the node says that it delivered everything."""
        return self.settled and self.status is not None and self.status.state is StudyState.DELIVERED


class Display(Protocol):
    """Shows journeys while they last."""

    def __enter__(self) -> Display:
        """Begin."""

    def __exit__(self, *_: object) -> None:
        """End, leaving what was shown."""

    def update(self) -> None:
        """Show what is known now."""


def step_seconds(seconds: Mapping[str, float]) -> dict[str, float]:
    """Return the time each step took, in the reader's words and without the node's bookkeeping.

    Parameters
    ----------
    seconds
        As the node's status gives it.
    """
    parts = {step: taken for step, taken in seconds.items() if step.startswith(_PART)}
    waited = seconds.get(_INFER, 0.0) - sum(parts.values()) if parts else 0.0
    shown: dict[str, float] = {}
    for step, taken in seconds.items():
        if step == _INFER and parts:  # one study at a time: the rest of it was spent in the queue
            shown["wait its turn"] = max(waited, 0.0)
        elif step not in _BOOKKEEPING:
            shown[step_name(step)] = shown.get(step_name(step), 0.0) + taken
    return shown


def step_name(step: str) -> str:
    """Return the reader's words for a step; the parts of the inference go by the network they belong to."""
    if step in _WORDS:
        return _WORDS[step]
    if step.startswith(_PART):
        network = step.removeprefix(_PART).rpartition("_")[2]
        return f"outline the {_NETWORKS.get(network, network)}"
    return step.replace("_", " ")


def display(console: Console, journeys: Sequence[Journey]) -> Display:
    """Return the display that fits the console."""
    return LiveDisplay(console, journeys) if console.is_terminal else PlainDisplay(console, journeys)


class LiveDisplay:
    """A picture that changes in place.

    Parameters
    ----------
    console
        A terminal.
    journeys
        What to show; read whenever the picture is drawn.
    """

    def __init__(self, console: Console, journeys: Sequence[Journey]) -> None:
        self._journeys = journeys
        self._spinner = Spinner("dots", style="cyan")
        self._live = Live(console=console, get_renderable=self._draw, refresh_per_second=10)

    def __enter__(self) -> LiveDisplay:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def update(self) -> None:
        """Do nothing: the picture is drawn ten times a second anyway."""

    def _draw(self) -> RenderableType:
        return Group(*(self._study(journey) for journey in self._journeys))

    def _study(self, journey: Journey) -> RenderableType:
        grid = Table.grid(padding=(0, 2))
        grid.add_column(width=1)
        grid.add_column(width=24)
        grid.add_column(width=_BAR_WIDTH)
        grid.add_column(justify="right", width=10)
        status = journey.status
        received = min(journey.received, journey.objects)
        grid.add_row(
            self._mark(done=journey.sent),
            "receive",
            ProgressBar(total=max(journey.objects, 1), completed=received, width=_BAR_WIDTH),
            f"{received}/{journey.objects}",
        )
        if status is not None:
            for step, seconds in step_seconds(status.seconds).items():
                grid.add_row(self._mark(done=True), step, "", f"{seconds:.1f} s")
            self._at_work(grid, journey, status)
        return Group(Text(f"\n{journey.title}", style="bold"), grid, *_ending(journey))

    def _at_work(self, grid: Table, journey: Journey, status: StudyStatus) -> None:
        if status.state is StudyState.GATHERING and journey.sent:
            grid.add_row(self._spinner, "wait for more images", "", f"{status.quiet_for:.0f} s")
        elif _is_at_work(status):
            bar = ProgressBar(
                total=status.total or None, completed=status.done, width=_BAR_WIDTH, pulse=not status.total
            )
            count = f"{status.done}/{status.total}" if status.total else ""
            grid.add_row(self._spinner, step_name(status.step), bar, count)

    def _mark(self, *, done: bool) -> RenderableType:
        return Text("✓", style="green") if done else self._spinner


class PlainDisplay:
    """A line whenever something has changed, for logs and pipes.

    Parameters
    ----------
    console
        Where to.
    journeys
        What to show.
    """

    def __init__(self, console: Console, journeys: Sequence[Journey]) -> None:
        self._console = console
        self._journeys = journeys
        self._said: dict[str, str] = {}
        self._begun = time.monotonic()
        self._lock = threading.Lock()

    def __enter__(self) -> PlainDisplay:
        return self

    def __exit__(self, *_: object) -> None:
        self.update()

    def update(self) -> None:
        """Say what is new."""
        for journey in self._journeys:
            line = self._line(journey)
            if line and self._said.get(journey.uid) != line:
                self._said[journey.uid] = line
                elapsed = time.monotonic() - self._begun
                self._console.print(f"[{elapsed:5.1f} s] {journey.title}: {line}", markup=False, soft_wrap=True)

    @staticmethod
    def _line(journey: Journey) -> str:
        status = journey.status
        if status is None:
            return ""
        if ending := _ending(journey):
            return "; ".join(text.plain for text in ending)
        if status.state is StudyState.GATHERING:
            return f"received {journey.received} of {journey.objects}"
        if not _is_at_work(status):
            return ""
        return step_name(status.step) + (f" {status.done}/{status.total}" if status.total else "")


def _is_at_work(status: StudyStatus) -> bool:
    return bool(status.step) and status.step not in _BOOKKEEPING and status.state not in _ENDINGS


def _ending(journey: Journey) -> list[Text]:
    """Return what is to be said of a study that came to its end, nothing before."""
    status = journey.status
    if status is None:
        return []
    if journey.failed:
        return [Text(f"{status.state.value} [{status.reason}]: {status.text}", style="bold red")]
    if not journey.delivered:
        return []
    aside = [count for count in status.instances if count.state is not InstanceState.IN_RESULT]
    used = sum(count.count for count in status.instances) - sum(count.count for count in aside)
    said = [f"{used} images read", *(f"{c.count} {c.state.value} ({c.reason or 'no reason'})" for c in aside)]
    return [Text("SEG and SR are in the PACS; " + ", ".join(said), style="green")]
