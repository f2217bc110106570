"""The node as one process: alone on its data, known to itself after a start, and able to say where a study stands."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from node.config import Config, NodeSettings, ReceiveSettings
from node.dicom.reasons import Note, Reason
from node.durable import dbos_config
from node.ledger import Ledger, ResultState, StudyState
from node.serve import AlreadyRunningError, _sole_user, serve

STUDY = "2.25.1"


@pytest.mark.verifies("SRS-138", level="unit", technique="fault-injection")
def test_a_second_node_on_the_same_data_is_refused_until_the_first_ends(tmp_path: Path) -> None:
    with _sole_user(tmp_path):
        with pytest.raises(AlreadyRunningError, match="another node works on"), _sole_user(tmp_path):
            pass
        (tmp_path / "other").mkdir()
        with _sole_user(tmp_path / "other"):
            pass
    with _sole_user(tmp_path):
        pass


@pytest.mark.verifies("SRS-138", level="integration", technique="bad-input")
def test_a_port_in_use_is_told_before_anything_is_loaded(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        receive = ReceiveSettings(port=other.getsockname()[1])
        config = Config(node=NodeSettings(data_dir=tmp_path, key_file=tmp_path / "no.key"), receive=receive)

        with pytest.raises(OSError, match="in use"):  # and not that there is no key
            serve(config)


@pytest.mark.verifies("SRS-121", level="unit", technique="consistency")
def test_a_node_that_starts_again_is_the_one_that_its_work_belongs_to(tmp_path: Path) -> None:
    config = Config(node=NodeSettings(data_dir=tmp_path))
    first, again = dbos_config(config), dbos_config(config)
    for name in ("name", "executor_id", "application_version", "system_database_url"):
        assert first[name] == again[name], "DBOS takes up only what has the same executor and version"
        assert first[name]


@pytest.mark.verifies("SRS-126", level="unit", technique="example")
def test_the_status_tells_state_reason_step_images_and_results(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    ledger.register({"a": STUDY, "b": STUDY, "c": STUDY})
    ledger.settle(["a", "b"], {"c": Note(reason=Reason.LOCALIZER, text="A localiser.")})
    ledger.owe("r", STUDY, {"SEG": "k"}, ["pacs"])
    ledger.attempted("r", "pacs", "SEG", ResultState.REFUSED, "It does not store this SOP class.")
    ledger.advance(STUDY, StudyState.QUARANTINED, Note(reason=Reason.DESTINATION_REFUSED, text="Look at the results."))
    ledger.progress(STUDY, "send", 1, 2)
    status = ledger.status(STUDY)
    ledger.close()
    assert status is not None
    lines = status.as_text().splitlines()
    assert lines == [
        f"study      {STUDY}",
        "state      quarantined [destination-refused] Look at the results.",
        "at work    send 1/2",
        "images         2 in-result",
        "images         1 set-aside [localizer] A localiser.",
        "result     SEG to pacs: refused, 1 attempts (It does not store this SOP class.)",
    ]
