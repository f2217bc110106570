"""The worker's side of the conversation, without a process of its own around it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

import models
from node.inference import EngineKind
from node.inference.messages import ANSWER, Answer, Done, Fault, Job, Progress, Ready, Refusal, Setup
from node.inference.worker import serve
from tests.node.inference.overlay.models.rehearsal import Command
from tests.node.inference.rehearsal import OVERLAY, Rehearsal


class Talk:
    """The node's end of a conversation with a worker in another thread."""

    def __init__(self, rehearsal: Rehearsal) -> None:
        self.rehearsal = rehearsal
        self.connection, theirs = Pipe()
        self.status: list[int] = []
        self.thread = threading.Thread(target=self._serve, args=(theirs,))
        self.thread.start()

    def _serve(self, theirs: Connection) -> None:
        with theirs:
            self.status.append(serve(theirs, ("nothing",)))

    def begin(self) -> list[Answer]:
        setup = Setup(
            store_root=self.rehearsal.root / "store",
            weights_dir=self.rehearsal.root / "weights",
            model=self.rehearsal.manifest,
            engine=EngineKind.ONNXRUNTIME,
            threads=1,
        )
        self.connection.send_bytes(setup.model_dump_json().encode())
        return self.hear()

    def ask(self, volume_key: str) -> list[Answer]:
        self.connection.send_bytes(Job(volume_key=volume_key).model_dump_json().encode())
        return self.hear()

    def hear(self) -> list[Answer]:
        heard: list[Answer] = []
        while not heard or isinstance(heard[-1], Progress):
            assert self.connection.poll(60)
            heard.append(ANSWER.validate_json(self.connection.recv_bytes()))
        return heard

    def end(self) -> int:
        self.connection.close()
        self.thread.join(60)
        return self.status[0]


@pytest.fixture
def talk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Talk]:
    monkeypatch.setattr(models, "__path__", [*models.__path__, str(OVERLAY / "models")])
    talk = Talk(Rehearsal(tmp_path))
    yield talk
    talk.connection.close()
    talk.thread.join(60)


@pytest.mark.verifies("SRS-079", level="unit", technique="boundary")
def test_a_conversation_that_ends_before_it_begins(talk: Talk) -> None:
    assert talk.end() == 0


@pytest.mark.verifies("SRS-078", level="unit", technique="example")
def test_a_conversation_from_setup_to_end(talk: Talk) -> None:
    *loading, ready = talk.begin()
    assert loading == [Progress(step="load_networks", done=done, total=2) for done in range(3)]
    assert isinstance(ready, Ready)
    assert ready.confinement == ("nothing",)
    volumes = [talk.rehearsal.volume(seed=seed) for seed in (1, 2)]
    for volume in volumes:
        *tiles, done = talk.ask(volume)
        assert [tile for tile in tiles if isinstance(tile, Progress)] == tiles
        assert isinstance(done, Done)
        assert done.volume_key == volume
        assert done.labels_key in talk.rehearsal.store
    assert talk.end() == 0


@pytest.mark.verifies("SRS-076", level="unit", technique="fault-injection")
@pytest.mark.parametrize(
    ("command", "kind", "at"),
    [
        (Command.RAISE, Refusal, None),
        (Command.WRONG_SIZE, Refusal, None),
        (Command.EXHAUST_MEMORY, Fault, "engine"),
        (Command.BREAK_ENGINE, Fault, "engine"),
    ],
)
def test_a_failure_is_told_with_its_place_and_the_next_job_is_done(
    talk: Talk, command: Command, kind: type[Answer], at: str | None
) -> None:
    talk.begin()
    answer = talk.ask(talk.rehearsal.volume(command))[-1]
    assert isinstance(answer, kind)
    assert getattr(answer, "at", None) == at
    assert "Traceback" in answer.traceback
    assert isinstance(talk.ask(talk.rehearsal.volume())[-1], Done)


@pytest.mark.verifies("SRS-076", level="unit", technique="fault-injection")
def test_a_store_that_fails_is_told_as_such(talk: Talk) -> None:
    talk.begin()
    answer = talk.ask("sha256:" + 64 * "0")[-1]
    assert isinstance(answer, Fault)
    assert answer.at == "storage"


@pytest.mark.verifies("SRS-066", level="unit", technique="adversarial")
def test_a_worker_whose_networks_are_not_right_says_so_and_ends(talk: Talk) -> None:
    talk.rehearsal.file.write_bytes(b"another network")
    answer = talk.begin()[-1]
    assert isinstance(answer, Fault)
    assert answer.at == "weights"
    assert talk.end() == 1


@pytest.mark.verifies("SRS-079", level="unit", technique="fault-injection")
def test_a_node_that_goes_in_the_middle_of_a_job_ends_the_worker(talk: Talk) -> None:
    talk.begin()
    job = Job(volume_key=talk.rehearsal.volume(Command.CRAWL))
    talk.connection.send_bytes(job.model_dump_json().encode())
    assert talk.connection.poll(60)
    assert talk.end() == 0
