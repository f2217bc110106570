"""From what ran into the quality record: each link holds in a sample project, and is named when it does not."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from qms.evidence import read_all
from qms.gate.sample import DAY, Sample, build
from qms.sources import sources
from qms.trace import Link, Ran, digest, walk


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    return build(tmp_path)


def ran_of(sample: Sample) -> Ran:
    return Ran(
        version="1.0",
        sources=digest(sources(sample.root)),
        commit="",
        packages={"alpha": "1.0", "beside": "2"},
        model="net",
        model_version="1",
        networks={"sum": "a" * 64},
    )


def links_of(sample: Sample, ran: Ran | None = None) -> dict[str, Link]:
    links = {link.name: link for link in walk(sample.root, ran or ran_of(sample), DAY)}
    assert list(links) == ["record", "test run", "weights", "lock", "SBOM", "approvals"]
    del links["SBOM"]  # the sample is no project that one could be made of; the test below makes a real one
    return links


def broken(links: dict[str, Link]) -> dict[str, str]:
    return {name: link.broken for name, link in links.items() if link.broken}


@pytest.mark.verifies("SRS-259", level="integration", technique="example")
def test_every_link_of_a_whole_record_holds(sample: Sample) -> None:
    links = links_of(sample)
    assert broken(links) == {}
    assert links["test run"].lines[0].startswith("system, ")
    assert "1 of 1 passed" in links["test run"].lines[1]
    assert links["weights"].lines == ("net 1 sum sha256 " + "a" * 64,)
    lock = hashlib.sha256((sample.root / "requirements/cpu.lock").read_bytes()).hexdigest()
    assert links["lock"].lines == (f"requirements/cpu.lock sha256 {lock}: 1 packages",)
    given, wanted = links["approvals"].lines[0].split(" required")[0].split(" of ")
    assert given == wanted != "0"


def change_the_code(sample: Sample) -> None:
    sample.edit("node/thing.py", "a + b", "b + a")


def change_a_word(sample: Sample) -> None:
    sample.change("requirements.yaml", lambda rows: rows[0].update(title="Another title"))


def forge_the_evidence(sample: Sample) -> None:
    path = sample.root / "qms/evidence/test.json"
    path.write_text(path.read_text().replace('"passed"', '"passed "', 1))


def cut_the_chain(sample: Sample) -> None:
    path = sample.root / "qms/records/approvals.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]))


def fail_the_run(sample: Sample) -> None:
    sample.seal(exit_status=1)


def lose_the_approvals(sample: Sample) -> None:
    (sample.root / "qms/records/approvals.jsonl").unlink()


def lose_the_lock(sample: Sample) -> None:
    (sample.root / "requirements/cpu.lock").unlink()


def raise_the_model(sample: Sample) -> None:
    sample.edit("models/net/manifest.toml", 'version = "1"', 'version = "2"')


@pytest.mark.verifies("SRS-259", level="integration", technique="fault-injection")
@pytest.mark.parametrize(
    ("damage", "name", "text"),
    [
        (change_the_code, "record", "is not that of the release"),
        (change_a_word, "approvals", "changed since: "),
        (forge_the_evidence, "test run", "evidence-forged"),
        (cut_the_chain, "approvals", "broken-chain"),
        (fail_the_run, "test run", "it failed: test"),
        (lose_the_approvals, "approvals", "not approved: "),
        (lose_the_lock, "lock", "cannot be read"),
        (raise_the_model, "weights", "has version 2 of net, and 1 ran"),
    ],
)
def test_a_link_that_the_record_lost_is_named(
    damage: Callable[[Sample], None], name: str, text: str, sample: Sample
) -> None:
    ran = ran_of(sample)
    damage(sample)
    found = broken(links_of(sample, ran))
    assert text in found[name]


@pytest.mark.verifies("SRS-259", level="integration", technique="fault-injection")
def test_what_ran_and_is_not_in_the_record_is_named(sample: Sample) -> None:
    ran = ran_of(sample)
    for other, name, text in (
        (replace(ran, sources="0" * 64), "test run", "none of 2 runs"),
        (replace(ran, model="other"), "weights", "no model other"),
        (replace(ran, networks={"sum": "b" * 64}), "weights", "network sum that ran"),
        (replace(ran, packages={"alpha": "1.1"}), "lock", "alpha 1.0 is locked, 1.1 ran"),
        (replace(ran, packages={}), "lock", "alpha 1.0 is locked, none ran"),
    ):
        assert text in broken(links_of(sample, other))[name]


@pytest.mark.verifies("SRS-259", level="integration", technique="example")
def test_the_bill_of_materials_of_this_project_is_told_by_its_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    root = Path(__file__).resolve().parents[2]
    ran = Ran("", "", "", {}, "", "", {})
    link = next(link for link in walk(root, ran, DAY) if link.name == "SBOM")
    assert link.broken == ""
    assert link.lines[0].startswith("CycloneDX, cpu: sha256 ")
    assert link.lines == next(link for link in walk(root, ran, DAY) if link.name == "SBOM").lines


@pytest.mark.verifies("SRS-259", level="unit", technique="consistency")
def test_tests_and_documents_do_not_change_the_release(sample: Sample) -> None:
    before = digest(sources(sample.root))
    sample.write("tests/test_more.py", "")
    sample.write("README.md", "more")
    assert digest(sources(sample.root)) == before
    evidence, _ = read_all(sample.root)
    assert {digest(run.sources) for run in evidence} == {before}
