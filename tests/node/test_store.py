"""Artefacts by hash: durable, immutable, damage noticed."""

from pathlib import Path

import pytest

from node.store import ArtefactMissingError, Store, write_durably


@pytest.mark.verifies("SRS-133", level="unit", technique="example")
def test_equal_bytes_are_one_artefact(tmp_path: Path) -> None:
    store = Store(tmp_path)
    key = store.put(b"bytes")
    assert store.put(b"bytes") == key
    assert store.get(key) == b"bytes"
    assert key in store
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 1


@pytest.mark.verifies("SRS-133", level="unit", technique="fault-injection")
def test_damage_is_noticed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    key = store.put(b"bytes")
    store.path(key).write_bytes(b"other")
    with pytest.raises(ArtefactMissingError, match="damaged"):
        store.get(key)


@pytest.mark.verifies("SRS-133", level="unit", technique="bad-input")
def test_what_is_no_key_is_refused(tmp_path: Path) -> None:
    for key in ("../etc/passwd", "sha256:12", "sha256:" + "G" * 64):
        with pytest.raises(ValueError, match="not a store key"):
            Store(tmp_path).get(key)
    with pytest.raises(ArtefactMissingError):
        Store(tmp_path).get("sha256:" + "0" * 64)


@pytest.mark.verifies("SRS-133", level="unit", technique="example")
def test_a_taken_name_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "name"
    assert write_durably(path, b"one")
    assert not write_durably(path, b"two")
    assert path.read_bytes() == b"one"
    assert [entry.name for entry in path.parent.iterdir()] == ["name"]


@pytest.mark.verifies("SRS-133", level="unit", technique="fault-injection")
def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        write_durably(tmp_path / "name", "text")  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
