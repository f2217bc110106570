import json
import socket
import time

import pytest
import structlog

from node.deliver import Delivery, Outcome, deliver, next_delay_s
from node.deliver.sending import _FAILURES
from node.net import Destination, Failure
from tests.peers.pacs import pacs
from tests.peers.phantoms import write_slices


def outcomes(delivery: Delivery) -> list[Outcome]:
    return [each.outcome for each in delivery.objects]


@pytest.mark.verifies("SRS-110", level="integration", technique="example")
def test_confirmed_means_that_each_was_answered_with_success(tmp_path):
    paths = write_slices(tmp_path, "deliver", 2)
    with pacs() as peer:
        delivery = deliver(paths, peer.destination)
    assert delivery.confirmed
    assert [each.path for each in delivery.objects] == paths
    assert delivery.to_retry == delivery.for_a_person == ()


@pytest.mark.verifies("SRS-118", level="integration", technique="adversarial")
@pytest.mark.verifies("SRS-110", "SRS-111", level="integration", technique="boundary")
@pytest.mark.parametrize(
    ("status", "outcome", "code"),
    [
        (0x0000, Outcome.DELIVERED, "success"),
        (0x0110, Outcome.RETRY, "processing-failure"),
        (0x0111, Outcome.REFUSED, "duplicate"),
        (0x0122, Outcome.REFUSED, "class-not-supported"),
        (0x0124, Outcome.REFUSED, "not-authorised"),
        (0x0213, Outcome.RETRY, "resource-limitation"),
        (0xA700, Outcome.RETRY, "out-of-resources"),
        (0xA7FF, Outcome.RETRY, "out-of-resources"),
        (0xA900, Outcome.REFUSED, "class-mismatch"),
        (0xB000, Outcome.WARNING, "coerced"),
        (0xB006, Outcome.WARNING, "elements-discarded"),
        (0xB007, Outcome.WARNING, "class-doubted"),
        (0xB123, Outcome.WARNING, "warning"),
        (0xC000, Outcome.REFUSED, "not-understood"),
        (0xCFFF, Outcome.REFUSED, "not-understood"),
        (0xFF00, Outcome.REFUSED, "unknown-status"),
        (0xFE00, Outcome.REFUSED, "unknown-status"),
    ],
)
def test_a_status_is_success_or_a_named_outcome(tmp_path, status, outcome, code):
    with pacs(lambda _: status) as peer, structlog.testing.capture_logs() as logs:
        delivery = deliver(write_slices(tmp_path, "deliver", 1), peer.destination)
    (each,) = delivery.objects
    assert (each.outcome, each.code, each.status) == (outcome, code, status)
    assert each.text.endswith(".")
    assert delivery.confirmed is (status == 0)
    assert "PHANTOM" not in str(logs) + delivery.model_dump_json(), "the peer's comment quotes a patient"


@pytest.mark.verifies("SRS-114", level="integration", technique="example")
def test_one_object_that_is_refused_does_not_hold_up_the_others(tmp_path):
    paths = write_slices(tmp_path, "deliver", 3)
    with pacs(lambda number: [0xC000, 0xA700, 0x0000][number]) as peer:
        delivery = deliver(paths, peer.destination)
    assert outcomes(delivery) == [Outcome.REFUSED, Outcome.RETRY, Outcome.DELIVERED]
    assert delivery.to_retry == (paths[1],)
    assert [each.path for each in delivery.for_a_person] == [paths[0]]
    assert not delivery.confirmed


@pytest.mark.verifies("SRS-112", level="integration", technique="fault-injection")
def test_repeating_what_is_left_ends_in_confirmation_and_sends_nothing_twice(tmp_path):
    paths = write_slices(tmp_path, "deliver", 6)
    answers = iter([0xA700, 0, None, 0, 0xA700, 0, 0, 0, 0])
    left = tuple(paths)
    with pacs(lambda _: next(answers)) as peer:
        for _ in range(5):
            left = deliver(left, peer.destination).to_retry
            if not left:
                break
        assert not left
        assert {len(sent) for sent in peer.received.values()} == {1}
        assert len(peer.received) == 6


@pytest.mark.verifies("SRS-111", "SRS-112", level="integration", technique="fault-injection")
def test_a_destination_that_is_down_is_tried_again_later(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    down = Destination(ae_title="PACS", host="127.0.0.1", port=port, connection_timeout_s=1)
    delivery = deliver(write_slices(tmp_path, "deliver", 2), down)
    assert outcomes(delivery) == [Outcome.RETRY] * 2
    assert {each.code for each in delivery.objects} == {"no-association"}


@pytest.mark.verifies("SRS-111", level="integration", technique="fault-injection")
def test_a_destination_that_hangs_gives_up_soon(tmp_path):
    paths = write_slices(tmp_path, "deliver", 20)

    def hang(_: int) -> int:
        time.sleep(3)
        return 0

    with pacs(hang, response_timeout_s=0.2) as peer:
        start = time.monotonic()
        delivery = deliver(paths, peer.destination)
        assert time.monotonic() - start < 8
    assert delivery.to_retry == tuple(paths)


@pytest.mark.verifies("SRS-111", level="integration", technique="example")
def test_what_needs_a_person_is_not_retried(tmp_path):
    paths = write_slices(tmp_path, "deliver", 1)
    with pacs(echo_only=True) as peer:
        delivery = deliver([*paths, tmp_path / "absent.dcm"], peer.destination)
    assert outcomes(delivery) == [Outcome.REFUSED] * 2
    assert [each.code for each in delivery.objects] == ["no-presentation-context", "unreadable"]
    assert delivery.to_retry == ()


@pytest.mark.verifies("SRS-110", level="unit", technique="boundary")
def test_nothing_owed_is_confirmed():
    nobody = Destination(ae_title="PACS", host="127.0.0.1", port=9)
    assert deliver([], nobody).confirmed


@pytest.mark.verifies("SRS-111", level="unit", technique="consistency")
def test_every_failure_has_an_outcome():
    assert set(_FAILURES) == set(Failure)


@pytest.mark.verifies("SRS-118", level="unit", technique="example")
def test_a_delivery_is_a_plain_value(tmp_path):
    with pacs(lambda number: [0, 0xB000][number]) as peer:
        delivery = deliver(write_slices(tmp_path, "deliver", 2), peer.destination)
    assert Delivery.model_validate(json.loads(delivery.model_dump_json())) == delivery


@pytest.mark.verifies("SRS-112", level="unit", technique="boundary")
def test_the_delay_doubles_up_to_a_limit():
    assert [next_delay_s(attempt) for attempt in range(1, 9)] == [10, 20, 40, 80, 160, 320, 640, 900]
    assert next_delay_s(0) == 10
    assert next_delay_s(10**9) == 900
    assert next_delay_s(3, first_s=1, longest_s=3) == 3
