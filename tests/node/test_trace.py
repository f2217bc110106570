"""A small real node makes a result: the log names nobody, the result is traced back, and what is broken is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pydicom
import pytest

from node import cli
from node.audit import Event, Record
from node.audit.release import digest_of_sources
from qms.sources import ROOMS, sources
from qms.trace import digest
from tests.models.tiny import write_tiny_model
from tests.node.audit.collector import stream_collector
from tests.node.audit.schema import check
from tests.node.cases import write_case
from tests.node.running import Site, make_site, running
from tests.peers.pacs import pacs

ROOT = Path(__file__).resolve().parents[2]
PATIENT_ID = "PHANTOM-4711"


@dataclass(frozen=True)
class Done:
    """A node that has read one study, delivered it, and was stopped.

    Attributes
    ----------
    images
        What was sent to it.
    results
        SOP Instance UIDs that the PACS got.
    messages
        The event codes that the collector of audit messages got, with the bytes.
    """

    site: Site
    images: list[Path]
    results: list[str]
    messages: list[bytes]


def identify(path: Path, number: int) -> None:
    """Give an image UIDs like a scanner's: the phantom's own look like those that the node makes."""
    dataset = pydicom.dcmread(path)
    dataset.PatientID = PATIENT_ID
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.3.4711", "1.2.3.4711.1"
    dataset.FrameOfReferenceUID = "1.2.3.4711.2"
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.4711.1.{number + 1}"
    dataset.save_as(path)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("site")
    images = write_case(tmp_path_factory.mktemp("case"))
    for number, path in enumerate(images):
        identify(path, number)
    with pacs() as peer, stream_collector() as collector:
        site = make_site(folder, write_tiny_model(folder / "models"), {"pacs": peer.destination})
        address = f"tcp://127.0.0.1:{collector.port}"
        site.settings.write_text(f'{site.settings.read_text()}[audit]\nsyslog = "{address}"\nhead_file = "head.json"\n')
        with running(site):
            site.send(images)
            site.wait_for(str(pydicom.dcmread(images[0]).StudyInstanceUID), "delivered", seconds=60)
        for root in collector.wait(9):
            check(root)
        return Done(site, images, sorted(peer.received), list(collector.messages))


@pytest.fixture
def copy(done: Done, tmp_path: Path) -> Site:
    """A copy of the site, to be broken."""
    shutil.copytree(done.site.folder, tmp_path / "site")
    return Site(tmp_path / "site", tmp_path / "site" / done.site.settings.name, 0)


def log_of(site: Site) -> Path:
    return site.folder / "data" / "audit" / "audit.jsonl"


def records(site: Site) -> list[Record]:
    return [Record.parse(line) for line in log_of(site).read_bytes().splitlines()]


@pytest.mark.verifies("SRS-250", "SRS-258", level="system", technique="example")
def test_the_log_tells_the_way_of_the_study_step_by_step(done: Done) -> None:
    found = records(done.site)
    assert [(record.event, record.facts.get("kind")) for record in found] == [
        ("node-started", None),
        ("study-identified", None),
        ("reading-made", None),
        *[("result-made", kind) for kind in ("SEG", "SR")],
        *[("result-checked", kind) for kind in ("SEG", "SR")],
        *[("result-reidentified", kind) for kind in ("SEG", "SR")],
        *[("result-checked", kind) for kind in ("SEG", "SR")],
        *[("result-owed", kind) for kind in ("SEG", "SR")],
        *[("result-sent", kind) for kind in ("SEG", "SR")],
        ("node-stopped", None),
    ]
    (reading,) = [record.facts for record in found if record.event == Event.READING_MADE]
    assert (reading["model"], reading["images"]) == ("tiny", len(done.images))
    assert reading["engine"].startswith("ONNX Runtime ")
    assert reading["sources"] == found[0].facts["sources"] == digest_of_sources(ROOT)
    assert {record.facts["result"] for record in found if "result" in record.facts} == set(done.results)
    assert cli.main(["audit", "verify", "--config", str(done.site.settings)]) == 0


@pytest.mark.verifies("SRS-251", level="system", technique="adversarial")
def test_no_identity_stands_in_log_head_or_cursor(done: Done) -> None:
    identities = {PATIENT_ID.encode(), b"PHANTOM"}
    for path in done.images:
        header = pydicom.dcmread(path, stop_before_pixels=True)
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"):
            identities.add(str(header[keyword].value).encode())
        identities.add(str(header.PatientName).encode())
    written = [*(done.site.folder / "data" / "audit").iterdir(), done.site.folder / "head.json"]
    for path in written:
        data = path.read_bytes()
        assert not [identity for identity in identities if identity in data], path.name
    assert log_of(done.site) in written


@pytest.mark.verifies("SRS-255", "SRS-256", level="system", technique="example")
def test_messages_with_the_real_patient_came_out(done: Done) -> None:
    study = str(pydicom.dcmread(done.images[0], stop_before_pixels=True).StudyInstanceUID).encode()
    codes = [message.partition(b'csd-code="')[2][:6].decode() for message in done.messages]
    assert codes == ["110100", "110103", *["110110"] * 2, *["110102"] * 2, *["110104"] * 2, "110100"]
    for code, message in zip(codes, done.messages, strict=True):
        about_a_patient = code != "110100"
        assert (f'"{PATIENT_ID}"'.encode() in message) is about_a_patient
        assert (b'"' + study + b'"' in message) is (about_a_patient and code != "110110")


@pytest.mark.verifies("SRS-259", level="system", technique="example")
def test_a_delivered_result_is_traced_back(done: Done, capsys: pytest.CaptureFixture[str]) -> None:
    for uid in done.results:
        cli.main(["trace", uid, "--config", str(done.site.settings), "--record", str(ROOT), "--json"])
        links = {link["name"]: link for link in json.loads(capsys.readouterr().out)["links"]}
        own = ["audit log", "result", "reading", "images", "release", "steps", "delivery"]
        assert list(links)[:7] == own
        assert [name for name in own if links[name]["broken"]] == []
        assert links["images"]["lines"][0].endswith(f": {len(done.images)} images")
        assert links["delivery"]["lines"] == ["pacs: delivered"]
        assert f"sources {digest_of_sources(ROOT)}" in links["release"]["lines"]
        assert links["record"]["broken"] == "", "the code beside this record is what ran"
        assert links["weights"]["broken"] == "the record has no model tiny"


@pytest.mark.verifies("SRS-259", level="system", technique="bad-input")
def test_what_was_never_made_has_no_trace(done: Done, capsys: pytest.CaptureFixture[str]) -> None:
    for uid in ("1.2.3.4", str(pydicom.dcmread(done.images[0]).SOPInstanceUID)):
        assert cli.main(["trace", uid, "--config", str(done.site.settings)]) == 2
        assert "made no such result" in capsys.readouterr().err


def flip(path: Path, old: bytes, new: bytes) -> None:
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new, 1))


def spoil_a_record(site: Site, _uid: str) -> None:
    flip(log_of(site), b'"engine":"ONNX Runtime', b'"engine":"ONNX Runtimf')


def cut_the_end(site: Site, _uid: str) -> None:
    log_of(site).write_bytes(b"".join(log_of(site).read_bytes().splitlines(keepends=True)[:-3]))


def lose_the_file_that_left(site: Site, uid: str) -> None:
    (key,) = {r.facts["key"] for r in records(site) if r.event == "result-sent" and r.facts["result"] == uid}
    digest = key.removeprefix("sha256:")
    (site.folder / "data" / "outbox" / digest[:2] / digest).unlink()


def spoil_the_label_map(site: Site, _uid: str) -> None:
    (key,) = {r.facts["labels"] for r in records(site) if r.event == "reading-made"}
    digest = key.removeprefix("sha256:")
    path = site.folder / "data" / "store" / digest[:2] / digest
    path.write_bytes(path.read_bytes() + b"\0")


def lose_an_image(site: Site, _uid: str) -> None:
    next((site.folder / "data" / "inbox" / "objects").rglob("*.dcm")).unlink()


def forget_the_start(site: Site, _uid: str) -> None:
    log_of(site).write_bytes(b"".join(log_of(site).read_bytes().splitlines(keepends=True)[1:]))


def forget_the_check(site: Site, _uid: str) -> None:
    lines = log_of(site).read_bytes().splitlines(keepends=True)
    log_of(site).write_bytes(b"".join(line for line in lines if b'"stage":"bytes"' not in line))


def forget_the_result(site: Site, uid: str) -> None:
    lines = log_of(site).read_bytes().splitlines(keepends=True)
    log_of(site).write_bytes(b"".join(line for line in lines if uid.encode() not in line))


@pytest.mark.verifies("SRS-259", level="system", technique="fault-injection")
@pytest.mark.parametrize(
    ("damage", "broken"),
    [
        (spoil_a_record, {"audit log", "reading", "release"}),
        (cut_the_end, {"audit log", "delivery"}),
        (lose_the_file_that_left, {"result"}),
        (spoil_the_label_map, {"reading"}),
        (lose_an_image, {"images"}),
        (forget_the_start, {"audit log", "release"}),
        (forget_the_check, {"audit log", "steps"}),
        (forget_the_result, {"audit log", "result", "steps", "delivery"}),
    ],
)
def test_a_broken_link_is_named(
    damage: Callable[[Site, str], None],
    broken: set[str],
    copy: Site,
    done: Done,
    capsys: pytest.CaptureFixture[str],
) -> None:
    uid = done.results[0]
    damage(copy, uid)
    assert cli.main(["trace", uid, "--config", str(copy.settings), "--record", str(ROOT)]) == 1
    printed = capsys.readouterr()
    named = {line[:10].strip() for line in printed.out.splitlines() if line[11:].startswith("BROKEN: ")}
    assert named & {"audit log", "result", "reading", "images", "release", "steps", "delivery"} == broken
    assert all(name in printed.err for name in broken)


@pytest.mark.verifies("SRS-254", level="system", technique="adversarial")
def test_verify_names_what_was_done_to_the_log_and_puts_it_down(
    copy: Site, done: Done, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["audit", "verify", "--config", str(copy.settings)]
    spoil_a_record(copy, "")
    assert cli.main(command) == 1
    printed = capsys.readouterr()
    assert printed.out.splitlines() == ["record 3 (line 3): changed: its content is not that of its hash"]
    assert "16 records, 1 faults" in printed.err
    assert cli.main(command) == 1
    broken = [record.facts for record in records(copy) if record.event == Event.LOG_BROKEN]
    assert broken == [{"record": 3, "fault": "changed"}], "once, for one alert"


@pytest.mark.verifies("SRS-253", "SRS-254", level="system", technique="adversarial")
def test_verify_against_a_head_that_was_kept_elsewhere(
    copy: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["audit", "verify", "--config", str(copy.settings), "--head"]
    kept = tmp_path / "kept.json"
    shutil.copy(copy.folder / "head.json", kept)
    assert cli.main([*command, str(kept)]) == 0
    cut_the_end(copy, "")
    (copy.folder / "head.json").unlink()  # whoever cut the log took its head too
    assert cli.main(["audit", "verify", "--config", str(copy.settings)]) == 0
    assert "cannot be seen" in capsys.readouterr().err
    assert cli.main([*command, str(kept)]) == 1
    assert "cut" in capsys.readouterr().out
    assert cli.main([*command, str(tmp_path / "missing.json")]) == 1
    kept.write_text("no head")
    assert cli.main([*command, str(kept)]) == 1
    assert "no head of an audit log" in capsys.readouterr().err


@pytest.mark.verifies("SRS-251", "SRS-258", level="integration", technique="example")
def test_questions_are_put_down_without_the_uid(copy: Site, done: Done, capsys: pytest.CaptureFixture[str]) -> None:
    study = str(pydicom.dcmread(done.images[0], stop_before_pixels=True).StudyInstanceUID)
    pseudonym = next(record.facts["study"] for record in records(copy) if record.event == "study-identified")
    before = len(records(copy))
    for command, asked in (("status", study), ("status", pseudonym), ("retry", study), ("status", "1.2.3.4")):
        cli.main([command, asked, "--config", str(copy.settings)])
    assert [(r.event, r.facts["study"], r.facts["asked_by"]) for r in records(copy)[before:]] == [
        ("status-asked", pseudonym, "real-uid"),
        ("status-asked", pseudonym, "pseudonym"),
        ("retry-asked", pseudonym, "real-uid"),
        ("status-asked", "", "real-uid"),
    ]
    assert study.encode() not in log_of(copy).read_bytes()
    assert b"1.2.3.4" not in log_of(copy).read_bytes()
    assert cli.main(["audit", "verify", "--config", str(copy.settings)]) == 0


@pytest.mark.verifies("SRS-258", level="unit", technique="consistency")
def test_the_digest_of_a_release_is_that_of_its_evidence(tmp_path: Path) -> None:
    assert digest_of_sources(ROOT) == digest(sources(ROOT))
    for room in ROOMS:
        (tmp_path / room).mkdir()
        (tmp_path / room / "module.py").write_text(room)
    (tmp_path / "models" / "net").mkdir()
    (tmp_path / "models" / "net" / "manifest.toml").write_text("[settings]")
    before = digest_of_sources(tmp_path)
    assert before == digest(sources(tmp_path))
    for path in ("qms/module.py", "models/net/manifest.toml"):
        (tmp_path / path).write_text(path)
        assert digest_of_sources(tmp_path) == digest(sources(tmp_path)) != before
