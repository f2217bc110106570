from __future__ import annotations

import hashlib
import hmac
import secrets
import stat
from pathlib import Path

import pytest

from node.identity import KEY_VARIABLE, Keys, KeyUnusableError, create_key_file, load_keys, read_key_file

GOOD = "5b0f9c7e21d84ab36ce01f92ab7745d3e8c6401b9fd2a7356e10bc84f7293ad5"


def write(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.mark.verifies("SRS-047", level="unit", technique="bad-input")
@pytest.mark.parametrize(
    "digits",
    [
        "",
        "00" * 32,
        "ab" * 31,
        GOOD[:62],
        GOOD[:32] * 2,
        bytes(range(32)).hex(),
        bytes(range(0, 224, 7)).hex(),
        "0102" * 16,
        b"correct horse battery staple okay".hex(),
        "this is no hexadecimal, it is a sentence of enough letters",
        GOOD + "zz",
    ],
)
def test_a_weak_key_is_refused_wherever_it_comes_from(tmp_path: Path, digits: str) -> None:
    with pytest.raises(KeyUnusableError, match="overread key FILE"):
        read_key_file(write(tmp_path / "key", digits))
    with pytest.raises(KeyUnusableError, match="overread key FILE"):
        load_keys(None, {KEY_VARIABLE: digits})


@pytest.mark.verifies("SRS-047", level="unit", technique="example")
def test_the_refusal_does_not_quote_the_key(tmp_path: Path) -> None:
    with pytest.raises(KeyUnusableError) as refusal:
        read_key_file(write(tmp_path / "key", GOOD[:62]))
    assert GOOD[:8] not in str(refusal.value)
    assert GOOD[:8] not in repr(Keys.derive(bytes.fromhex(GOOD)))


@pytest.mark.verifies("SRS-047", level="unit", technique="bad-input")
def test_a_missing_key_file_says_what_is_lost(tmp_path: Path) -> None:
    with pytest.raises(KeyUnusableError, match=r"missing\. Restore it from its backup"):
        read_key_file(tmp_path / "key")
    with pytest.raises(KeyUnusableError, match="cannot be read"):
        read_key_file(tmp_path)
    with pytest.raises(KeyUnusableError, match="no master key"):
        load_keys(None, {})


@pytest.mark.verifies("SRS-047", level="unit", technique="boundary")
@pytest.mark.parametrize("mode", [0o604, 0o644, 0o666, 0o620, 0o602])
def test_a_key_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(KeyUnusableError, match="chmod 600"):
        read_key_file(write(tmp_path / "key", GOOD, mode))


@pytest.mark.verifies("SRS-047", level="unit", technique="bad-input")
def test_two_keys_are_refused_rather_than_one_chosen(tmp_path: Path) -> None:
    path = write(tmp_path / "key", GOOD)
    with pytest.raises(KeyUnusableError, match="two master keys"):
        load_keys(path, {KEY_VARIABLE: GOOD})


@pytest.mark.verifies("SRS-044", "SRS-047", level="unit", technique="example")
def test_file_and_environment_give_the_same_keys(tmp_path: Path) -> None:
    from_file = load_keys(write(tmp_path / "key", f"{GOOD}\n", 0o640), {})
    assert load_keys(None, {KEY_VARIABLE: GOOD}) == from_file == Keys.derive(bytes.fromhex(GOOD))
    assert load_keys(tmp_path / "absent", {KEY_VARIABLE: GOOD}) == from_file


@pytest.mark.verifies("SRS-048", level="unit", technique="example")
def test_a_new_key_file_is_private_and_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "etc" / "overread.key"
    assert create_key_file(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    first = path.read_bytes()
    keys = read_key_file(path)
    assert not create_key_file(path)
    assert path.read_bytes() == first
    create_key_file(tmp_path / "other")
    assert read_key_file(tmp_path / "other") != keys


@pytest.mark.verifies("SRS-047", level="unit", technique="property")
def test_random_keys_are_not_taken_for_weak_ones() -> None:
    derived = {Keys.derive(secrets.token_bytes(32)).patient for _ in range(2000)}

    assert len(derived) == 2000


@pytest.mark.verifies("SRS-044", level="unit", technique="oracle")
def test_the_subkeys_are_hkdf_and_differ() -> None:
    """Against RFC 5869 written out, so that no change of library or code ever changes a site's pseudonyms."""
    master = bytes.fromhex(GOOD)
    keys = Keys.derive(master)
    extracted = hmac.digest(bytes(32), master, hashlib.sha256)
    for name, key in vars(keys).items():
        assert key == hmac.digest(extracted, f"overread/identity/1/{name}".encode() + b"\x01", hashlib.sha256)
    assert len(set(vars(keys).values())) == 7
