import hashlib
import json
import multiprocessing
import os
import resource
import subprocess
import threading
import time
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from node.receive.inbox import Inbox, InboxFull, Receipt, is_conflict
from tests.peers.phantoms import encoded, write_slices

CLASS, SYNTAX = str(CTImageStorage), str(ExplicitVRLittleEndian)


def accept(inbox: Inbox, uid: str, dataset: bytes | memoryview) -> Receipt:
    return inbox.accept(CLASS, uid, SYNTAX, dataset)


def files(root: Path) -> list[Path]:
    """All that lies in the inbox beside the journal."""
    return sorted(path for path in root.rglob("*") if path.is_file() and path.parent.name != "journal")


@pytest.fixture
def inbox(tmp_path):
    return Inbox(tmp_path / "inbox", low_water_bytes=0)


@pytest.mark.verifies("SRS-002", "SRS-007", level="unit", technique="example")
def test_an_object_is_a_readable_file_under_its_name(inbox, tmp_path):
    source = write_slices(tmp_path / "source", "inbox", 1)[0]
    uid = dcmread(source).SOPInstanceUID

    receipt = accept(inbox, uid, encoded(source))

    assert receipt == Receipt("new", hashlib.sha256(uid.encode()).hexdigest())
    path = inbox.path(receipt.name)
    assert path.parent == tmp_path / "inbox" / "objects" / receipt.name[:2]
    assert dcmread(path) == dcmread(source)
    assert encoded(path) == encoded(source)
    assert path.stat().st_mode & 0o077 == 0, "images are for this account only"
    assert list(inbox.scan()) == [receipt.name]


@pytest.mark.verifies("SRS-004", level="unit", technique="example")
def test_the_same_object_twice_is_one(inbox, tmp_path):
    first = accept(inbox, "1.2.3", b"bytes")
    again = accept(inbox, "1.2.3", memoryview(b"bytes"))
    padded = accept(inbox, "1.2.3\x00", b"bytes")

    assert again == padded == Receipt("duplicate", first.name)
    assert files(tmp_path / "inbox") == [inbox.path(first.name)]


@pytest.mark.verifies("SRS-004", level="unit", technique="boundary")
@pytest.mark.parametrize("other", [b"bytez", b"byte", b"bytes+", b""])
def test_other_bytes_under_a_used_uid_are_kept_apart(inbox, tmp_path, other):
    first = accept(inbox, "1.2.3", b"bytes")
    conflict = accept(inbox, "1.2.3", other)
    again = accept(inbox, "1.2.3", other)

    assert conflict.kind == "conflict"
    assert again == conflict, "the same conflict twice is one"
    assert is_conflict(conflict.name)
    assert not is_conflict(first.name)
    assert inbox.path(first.name).read_bytes().endswith(b"bytes")
    assert inbox.path(conflict.name).read_bytes().endswith(other)
    assert list(inbox.scan()) == [first.name, conflict.name]
    assert inbox.arrivals()[0] == (first.name, conflict.name, conflict.name)
    assert len(files(tmp_path / "inbox")) == 2


@pytest.mark.verifies("SRS-004", level="unit", technique="example")
def test_another_transfer_syntax_or_class_is_another_object(inbox):
    accept(inbox, "1.2.3", b"bytes")
    assert inbox.accept(CLASS, "1.2.3", "1.2.840.10008.1.2", b"bytes").kind == "conflict"
    assert inbox.accept("1.2.840.10008.5.1.4.1.1.4", "1.2.3", SYNTAX, b"bytes").kind == "conflict"


@pytest.mark.verifies("SRS-007", level="unit", technique="adversarial")
@pytest.mark.parametrize(
    "uid",
    [
        "../../../etc/passwd",
        "/etc/passwd",
        "a/b",
        ".",
        "..",
        "1.2\x003",
        "1" * 5000,
        "\udcff\udc00",
        "é",
        "-rf *",
        "\n",
    ],
)
def test_no_uid_leaves_the_inbox(inbox, tmp_path, uid):
    receipt = accept(inbox, uid, b"bytes")
    assert files(tmp_path) == [inbox.path(receipt.name)]
    assert files(tmp_path / "inbox" / "objects") == [inbox.path(receipt.name)]
    assert accept(inbox, uid, b"bytes").kind == "duplicate"


@pytest.mark.verifies("SRS-006", level="unit", technique="bad-input")
@pytest.mark.parametrize("uid", ["", " ", "\x00", "1" * 70000])
def test_a_uid_that_names_nothing_is_refused_and_leaves_nothing(inbox, tmp_path, uid):
    with pytest.raises(ValueError, match="UID"):
        accept(inbox, uid, b"bytes")
    assert files(tmp_path / "inbox") == []


@pytest.mark.verifies("SRS-007", level="unit", technique="adversarial")
@pytest.mark.parametrize("name", ["", "..", "../" + "a" * 64, "A" * 64, "a" * 63, "a" * 64 + ".dcm", "a" * 64 + "\n"])
def test_path_takes_only_names_of_the_inbox(inbox, name):
    with pytest.raises(ValueError, match="name"):
        inbox.path(name)


@pytest.mark.verifies("SRS-005", level="unit", technique="boundary")
def test_a_disk_below_low_water_is_refused_before_anything_is_written(tmp_path):
    disk = os.statvfs(tmp_path)
    inbox = Inbox(tmp_path / "inbox", low_water_bytes=disk.f_blocks * disk.f_frsize)
    with pytest.raises(InboxFull):
        accept(inbox, "1.2.3", b"bytes")
    assert files(tmp_path / "inbox") == []
    assert inbox.arrivals() == ((), {})


@pytest.mark.verifies("SRS-005", level="unit", technique="boundary")
def test_low_water_counts_the_object_itself(tmp_path):
    disk = os.statvfs(tmp_path)
    free = disk.f_bavail * disk.f_frsize
    inbox = Inbox(tmp_path / "inbox", low_water_bytes=free - (256 << 20))

    class Huge(bytes):
        def __len__(self) -> int:
            return 1 << 40

    with pytest.raises(InboxFull):
        accept(inbox, "1.2.3", Huge())
    assert accept(inbox, "1.2.3", b"small").kind == "new"


@pytest.mark.verifies("SRS-005", "SRS-133", level="unit", technique="fault-injection")
def test_a_write_that_fails_leaves_nothing(inbox, tmp_path):
    """The file size limit makes the disk refuse in the middle of the file, as a full one does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            accept(inbox, "1.2.3", bytes(1_000_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert files(tmp_path / "inbox") == []
    assert accept(inbox, "1.2.3", bytes(1_000_000)).kind == "new"


@pytest.mark.verifies("SRS-005", "SRS-133", level="unit", technique="fault-injection")
@pytest.mark.skipif(os.getuid() != 0, reason="only root may mount a small disk")
def test_a_full_disk_leaves_nothing(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["/usr/bin/mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        inbox = Inbox(disk / "inbox", low_water_bytes=0)
        kept = {}
        for number in range(20):
            uid, body = f"1.2.{number}", bytes([number]) * 400_000
            try:
                kept[accept(inbox, uid, body).name] = body
            except OSError:
                continue
        assert 5 < len(kept) < 20, "the disk must have filled"
        assert set(inbox.scan()) == set(kept)
        assert all(inbox.path(name).read_bytes().endswith(body) for name, body in kept.items())
        assert len(files(disk / "inbox")) == len(kept)
        inbox.close()
    finally:
        subprocess.run(["/usr/bin/umount", "--lazy", str(disk)], check=True)


@pytest.mark.verifies("SRS-004", level="unit", technique="fault-injection")
def test_threads_racing_with_one_object_make_one_file(inbox, tmp_path):
    body = os.urandom(200_000)
    start = threading.Barrier(8)
    receipts: list[Receipt] = []

    def race() -> None:
        start.wait()
        receipts.append(accept(inbox, "1.2.3", body))

    threads = [threading.Thread(target=race) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(receipt.kind for receipt in receipts) == ["duplicate"] * 7 + ["new"]
    assert files(tmp_path / "inbox") == [inbox.path(receipts[0].name)]


def _race(root: Path, start, kinds) -> None:
    """In a process of its own: the same 40 objects as everybody, and one conflict of its own for each."""
    inbox = Inbox(root, 0)
    start.wait()
    for number in range(40):
        kinds.put(accept(inbox, f"1.2.{number}", bytes([number]) * 50_000).kind)


@pytest.mark.verifies("SRS-004", "SRS-012", level="integration", technique="fault-injection")
def test_processes_racing_with_the_same_objects_make_each_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    start, kinds = context.Barrier(4), context.Queue()
    processes = [context.Process(target=_race, args=(tmp_path / "inbox", start, kinds)) for _ in range(4)]
    for process in processes:
        process.start()
    results = [kinds.get(timeout=60) for _ in range(160)]
    for process in processes:
        process.join()

    assert sorted(results) == ["duplicate"] * 120 + ["new"] * 40
    inbox = Inbox(tmp_path / "inbox", 0)
    names = list(inbox.scan())
    assert len(names) == 40
    assert len(files(tmp_path / "inbox")) == 40
    arrived, _ = inbox.arrivals()
    assert sorted(set(arrived)) == sorted(names)
    assert len(arrived) == 160, "each process left its hints"


@pytest.mark.verifies("SRS-004", level="unit", technique="fault-injection")
def test_racing_conflicts_are_all_kept(inbox):
    bodies = [bytes([number]) * 1000 for number in range(8)]
    threads = [threading.Thread(target=accept, args=(inbox, "1.2.3", body)) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kept = {inbox.path(name).read_bytes()[-1000:] for name in inbox.scan()}
    assert kept == set(bodies)


@pytest.mark.verifies("SRS-012", level="unit", technique="example")
def test_arrivals_go_on_where_the_cursor_stands(inbox, tmp_path):
    first = accept(inbox, "1.2.1", b"a").name
    names, cursor = inbox.arrivals()
    assert names == (first,)
    assert inbox.arrivals(cursor) == ((), cursor)

    second = accept(inbox, "1.2.2", b"b").name
    other = accept(Inbox(tmp_path / "inbox", 0), "1.2.3", b"c").name
    names, cursor = inbox.arrivals(json.loads(json.dumps(cursor)))
    assert set(names) == {second, other}
    assert inbox.arrivals(cursor)[0] == ()


@pytest.mark.verifies("SRS-012", level="unit", technique="bad-input")
def test_a_line_half_written_waits_and_garbage_is_passed_over(inbox, tmp_path):
    name = accept(inbox, "1.2.1", b"a").name
    stray = tmp_path / "inbox" / "journal" / "zz.log"
    stray.write_bytes(b"not a name\n\xff\xfe\n" + name.encode() + b"\n" + b"a" * 30)
    names, cursor = inbox.arrivals()
    assert names == (name, name)
    with stray.open("ab") as file:
        file.write(b"a" * 34 + b"\n")
    assert inbox.arrivals(cursor)[0] == ("a" * 64,)


@pytest.mark.verifies("SRS-012", level="unit", technique="fault-injection")
def test_a_hint_that_cannot_be_written_does_not_fail_the_object(inbox, tmp_path):
    accept(inbox, "1.2.1", b"a")
    (tmp_path / "inbox" / "journal").rename(tmp_path / "gone")
    inbox.close()
    assert accept(inbox, "1.2.2", b"b").kind == "new"
    assert len(list(inbox.scan())) == 2


@pytest.mark.verifies("SRS-012", level="unit", technique="boundary")
def test_a_journal_that_grew_long_is_followed_by_another(inbox, tmp_path, monkeypatch):
    monkeypatch.setattr("node.receive.journal._ROTATE_BYTES", 200)
    sent = [accept(inbox, f"1.2.{number}", b"a").name for number in range(10)]
    assert len(list((tmp_path / "inbox" / "journal").iterdir())) == 3
    assert sorted(inbox.arrivals()[0]) == sorted(sent)


@pytest.mark.verifies("SRS-013", level="unit", technique="boundary")
def test_tidy_removes_what_the_dead_left_and_nothing_that_lives(inbox, tmp_path):
    root = tmp_path / "inbox"
    name = accept(inbox, "1.2.1", b"a").name  # this process holds its journal open
    abandoned, young = root / "objects" / "00" / ".x.dcm.12.part", root / "conflicts" / "01" / ".y.dcm.34.part"
    dead = root / "journal" / "19990101T000000-dead.log"
    for path in (abandoned, young, dead):
        path.write_bytes(b"left\n")
    long_ago = time.time() - 30 * 86400
    for path in [abandoned, dead, *(root / "journal").glob("2*.log")]:
        os.utime(path, (long_ago, long_ago))

    inbox.tidy()

    assert not abandoned.exists()
    assert young.exists()
    assert not dead.exists()
    assert inbox.arrivals()[0] == (name,)
    assert list(inbox.scan()) == [name], "parts of files are no objects"


@pytest.mark.verifies("SRS-012", level="unit", technique="example")
def test_a_cursor_forgets_journals_that_are_gone(inbox):
    accept(inbox, "1.2.1", b"a")
    _, cursor = inbox.arrivals({"gone.log": 7})
    assert "gone.log" not in cursor


@pytest.mark.verifies("SRS-001", "SRS-133", level="unit", technique="example")
def test_everything_is_synced_before_success(inbox, monkeypatch):
    """Follow the calls: first the content, then the name, then the folder that holds it. A duplicate syncs it too."""
    calls = []

    def follow(module, name, where):
        real = getattr(module, name)

        def called(*arguments, **options):
            calls.append((name, where(arguments[0])))
            return real(*arguments, **options)

        monkeypatch.setattr(module, name, called)

    follow(os, "fsync", lambda descriptor: Path(f"/proc/self/fd/{descriptor}").readlink().suffix or "folder")
    follow(os, "link", lambda path: Path(path).suffix)

    accept(inbox, "1.2.3", b"bytes")
    assert calls == [("fsync", ".part"), ("link", ".part"), ("fsync", "folder")]
    calls.clear()
    assert accept(inbox, "1.2.3", b"bytes").kind == "duplicate"
    assert calls == [("fsync", "folder")]
