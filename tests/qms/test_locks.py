"""Locks are read whole, and a line that is not understood is an error."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from qms.locks import LOCKS, LockError, parse, read

pytestmark = pytest.mark.verifies("SRS-184", level="unit", technique="example")

ROOT = Path(__file__).resolve().parents[2]
A, B = "a" * 64, "b" * 64

LOCK = f"""\
# a comment at the top
Foo.Bar==1.0 \\
    --hash=sha256:{A} \\
    --hash=sha256:{B}
    # via
    #   -c requirements/cpu.lock
    #   overread (pyproject.toml)
    #   Baz_qux
numpy==2.4.6 ; python_full_version < '3.12' \\
    --hash=sha256:{A}
    # via foo-bar
numpy==2.5.5 ; python_full_version >= '3.12' \\
    --hash=sha256:{B}
    # via
    #   -r requirements/build.in
    #   foo-bar

uvloop[extra]==1.0.post1 \\
    --hash=sha256:{A}
"""


def test_name_version_marker_hashes_and_who_asked_are_read() -> None:
    first, old, new, last = parse(LOCK, "cpu", "cpu.lock")
    assert (first.name, first.version, first.marker, first.lock) == ("foo-bar", "1.0", "", "cpu")
    assert first.hashes == (f"sha256:{A}", f"sha256:{B}")
    assert first.required_by == ("overread", "baz-qux"), "a constraint file asks for nothing"
    assert (last.name, last.version, last.required_by) == ("uvloop", "1.0.post1", ())
    assert old.required_by == ("foo-bar",)
    assert new.required_by == ("overread", "foo-bar")


def test_a_name_stands_twice_with_different_markers() -> None:
    _, old, new, _ = parse(LOCK, "cpu", "cpu.lock")
    assert (old.name, old.version, old.marker) == ("numpy", "2.4.6", "python_full_version < '3.12'")
    assert (new.name, new.version, new.marker) == ("numpy", "2.5.5", "python_full_version >= '3.12'")


@pytest.mark.verifies("SRS-184", level="unit", technique="bad-input")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no package stands in it"),
        ("# nothing\n", "no package stands in it"),
        ("foo>=1.0 \\\n    --hash=sha256:" + A, r"x\.lock:1: neither a package"),
        ("foo @ https://example.org/foo.whl", r"x\.lock:1: neither a package"),
        ("-e .\n", r"x\.lock:1: neither a package"),
        ("--index-url https://example.org\n", r"x\.lock:1: neither a package"),
        ("foo==1.0\n", r"x\.lock:1: foo has no hash"),
        ("foo==1.0 \\\n", "ends in the middle of a package"),
        (f"foo==1.0 \\\nbar==1.0 \\\n    --hash=sha256:{A}\n", r"x\.lock:2: a hash was expected"),
        (f"foo==1.0 \\\n\n    --hash=sha256:{A}\n", r"x\.lock:2: a hash was expected"),
        (f"    --hash=sha256:{A}\n", r"x\.lock:1: a hash that belongs to no package"),
        (
            f"foo==1.0 \\\n    --hash=sha256:{A}\n    --hash=sha256:{B}\n",
            r"x\.lock:3: a hash that belongs to no package",
        ),
        ("foo==1.0 \\\n    --hash=md5:" + "a" * 32, r"x\.lock:2: a hash was expected"),
        ("foo==1.0 \\\n    --hash=sha256:" + "a" * 63, r"x\.lock:2: a hash was expected"),
        (f"foo==1.0.x \\\n    --hash=sha256:{A}\n", r"x\.lock:1: InvalidVersion"),
        (f"foo==1.0 ; python_versjon < '3' \\\n    --hash=sha256:{A}\n", r"x\.lock:1: InvalidMarker"),
        (f"foo==1 \\\n  --hash=sha256:{A}\nFOO==2 \\\n  --hash=sha256:{A}\n", r"x\.lock:3: foo stands twice"),
    ],
)
def test_a_line_that_is_not_understood_is_an_error_that_names_it(text: str, said: str) -> None:
    with pytest.raises(LockError, match=said):
        parse(text, "cpu", "x.lock")


@pytest.mark.verifies("SRS-184", level="unit", technique="bad-input")
def test_a_lock_that_is_missing_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(LockError, match=r"requirements/cpu\.lock: cannot be read"):
        read(tmp_path)


@pytest.mark.verifies("SRS-184", level="integration", technique="oracle")
def test_of_the_projects_locks_no_package_and_no_hash_is_overlooked() -> None:
    pins = read(ROOT)
    for lock, path in LOCKS.items():
        text = (ROOT / path).read_text(encoding="utf-8")
        ours = [pin for pin in pins if pin.lock == lock]
        names = re.findall(r"^([A-Za-z0-9][\w.-]*)(?:\[[^\]]*\])?==", text, re.MULTILINE)
        assert [pin.name for pin in ours] == names
        assert sum(len(pin.hashes) for pin in ours) == text.count("--hash=")
        assert all(pin.required_by for pin in ours), "uv says for every package who asks for it"
