from __future__ import annotations

import io

import pytest
from rich.console import Console

from node.demo.progress import Journey, LiveDisplay, PlainDisplay, display, step_name, step_seconds
from node.ledger import InstanceState, StudyState, StudyStatus
from node.ledger.status import InstanceCount

pytestmark = pytest.mark.verifies("SRS-169", level="unit", technique="example")


def status(state: StudyState, *, quiet_for: float = 60.0, count: int = 5, **changes: object) -> StudyStatus:
    instances = (InstanceCount(state=InstanceState.WAITING, reason="", text="", count=count),)
    values: dict[str, object] = {
        "study": "2.25.1",
        "state": state,
        "reason": "",
        "text": "",
        "step": "",
        "done": 0,
        "total": 0,
        "quiet_for": quiet_for,
        "seconds": {},
        "instances": instances,
        "results": (),
    }
    return StudyStatus.model_validate(values | changes)


@pytest.fixture
def journey() -> Journey:
    return Journey("Study", "1.2.3", 5)


def plain() -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, width=200, highlight=False), out


def lines(out: io.StringIO) -> list[str]:
    return [line.split("] ", 1)[1] for line in out.getvalue().splitlines()]


def test_an_end_counts_only_when_nothing_can_open_the_study_again(journey: Journey) -> None:
    journey.status = status(StudyState.REFUSED, reason="localizer")
    assert not journey.failed  # not everything was sent

    journey.mark_sent()
    assert journey.failed

    journey.status = status(StudyState.REFUSED, reason="localizer", quiet_for=1.0)
    assert not journey.failed  # the node may not have counted the last images yet


@pytest.mark.parametrize("state", [StudyState.REFUSED, StudyState.QUARANTINED, StudyState.FAILED])
def test_every_bad_end_is_an_end(journey: Journey, state: StudyState) -> None:
    journey.mark_sent()
    journey.status = status(state)

    assert journey.failed
    assert not journey.delivered


def test_plain_lines_say_each_thing_once(journey: Journey) -> None:
    console, out = plain()
    with PlainDisplay(console, [journey]) as shown:
        shown.update()
        journey.status = status(StudyState.GATHERING, count=3)
        shown.update()
        shown.update()
        journey.mark_sent()
        journey.status = status(StudyState.READING, step="infer: infer_lesion", done=2, total=9)
        shown.update()
        used = InstanceCount(state=InstanceState.IN_RESULT, reason="", text="", count=4)
        aside = InstanceCount(state=InstanceState.SET_ASIDE, reason="localizer", text="", count=1)
        journey.status = status(StudyState.DELIVERED, instances=(used, aside))

    assert lines(out) == [
        "Study: received 3 of 5",
        "Study: outline the lesions 2/9",
        "Study: SEG and SR are in the PACS; 4 images read, 1 set-aside (localizer)",
    ]


def test_a_refusal_is_shown_with_its_code_and_text_as_they_are(journey: Journey) -> None:
    console, out = plain()
    journey.mark_sent()
    journey.status = status(StudyState.REFUSED, reason="no-liver", text="No liver [here].")
    with PlainDisplay(console, [journey]):
        pass

    assert lines(out) == ["Study: refused [no-liver]: No liver [here]."]


def test_the_live_display_shows_every_step_with_its_time(journey: Journey) -> None:
    out = io.StringIO()
    console = Console(file=out, width=100, force_terminal=True, color_system=None)
    journey.status = status(
        StudyState.READING, step="infer: infer_lesion", done=2, total=9, seconds={"gather": 1.24, "settled": 0.1}
    )
    with LiveDisplay(console, [journey]):
        pass

    shown = out.getvalue()
    for text in ("5/5", "choose the series", "1.2 s", "outline the lesions", "2/9"):
        assert text in shown
    assert "settled" not in shown


def test_a_terminal_gets_the_live_display(journey: Journey) -> None:
    assert isinstance(display(Console(file=io.StringIO(), force_terminal=True), [journey]), LiveDisplay)
    assert isinstance(display(Console(file=io.StringIO()), [journey]), PlainDisplay)


def test_the_parts_of_the_inference_are_added_up_by_network_and_the_rest_is_waiting() -> None:
    seconds = {"infer: prepare_liver": 1.0, "infer: infer_liver": 5.0, "infer: outline_lesion": 0.5, "infer": 17.0}

    assert step_seconds(seconds) == {"outline the liver": 6.0, "outline the lesions": 0.5, "wait its turn": 10.5}


def test_inference_without_parts_is_one_step() -> None:
    assert step_seconds({"infer": 17.0, "owe": 0.1}) == {"infer": 17.0}


def test_a_step_without_words_is_named_as_it_is() -> None:
    assert step_name("brand_new") == "brand new"
