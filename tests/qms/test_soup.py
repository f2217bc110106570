"""The list of SOUP equals the locks, the environment and the manifests, or a finding says where it does not."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

import pytest
from license_expression import get_spdx_licensing

from qms import locks, soup
from qms.findings import Finding
from qms.items import Anomalies, Scope, Soup, Verdict
from qms.load import load

pytestmark = pytest.mark.verifies("SRS-184", level="unit", technique="example")

ROOT = Path(__file__).resolve().parents[2]


def item(name: str, *versions: str, scope: Scope = Scope.SHIPPED, anomalies: Anomalies | None = None) -> Soup:
    versions = versions or ("1.0",)
    return Soup(
        id=f"SOUP-{name.replace('/', '-').replace('_', '-')}",
        name=name,
        scope=scope,
        versions=versions,
        manufacturer="Somebody",
        licence="MIT",
        purpose="For the test.",
        required_function="It is there.",
        platform="Any.",
        anomalies=anomalies or evaluated(*versions),
    )


def evaluated(*versions: str, verdict: Verdict = Verdict.NO_EFFECT, sources: Sequence[str] = ("a/b#1",)) -> Anomalies:
    return Anomalies(
        verdict=verdict, date=dt.date(2026, 11, 24), version=", ".join(versions), sources=tuple(sources), text="Seen."
    )


def pin(name: str, version: str = "1.0", lock: str = "cpu", marker: str = "") -> locks.Pin:
    return locks.Pin(name, version, marker, (f"sha256:{'a' * 64}",), ("overread",), lock)


def said(findings: Sequence[Finding]) -> list[tuple[str, str]]:
    return [(finding.item, finding.code) for finding in findings]


def test_a_list_that_equals_the_locks_has_no_finding() -> None:
    soups = [
        item("foo", "2.4.6", "2.5.5"),
        item("bar"),
        item("baz", scope=Scope.TOOL),
        item("torch", scope=Scope.BESIDE),
        item("make", scope=Scope.SYSTEM),
    ]
    pins = [
        pin("foo", "2.4.6", "cpu", "python_version < '3.12'"),
        pin("foo", "2.5.5", "dev", "python_version >= '3.12'"),
        pin("bar", lock="gpu"),
        pin("baz", lock="dev"),
    ]
    assert soup.compare(soups, pins) == []


def test_a_locked_package_without_an_item_is_missing() -> None:
    assert said(soup.compare([item("foo")], [pin("foo"), pin("bar")])) == [("SOUP-bar", "soup-missing")]


def test_a_system_item_of_the_same_name_is_not_about_the_package() -> None:
    assert said(soup.compare([item("make", scope=Scope.SYSTEM)], [pin("make")])) == [("SOUP-make", "soup-missing")]


@pytest.mark.parametrize("scope", [Scope.SHIPPED, Scope.TOOL])
def test_an_item_of_no_lock_is_named(scope: Scope) -> None:
    assert said(soup.compare([item("foo", scope=scope)], [])) == [("SOUP-foo", "soup-not-in-lock")]


@pytest.mark.parametrize(
    ("scope", "lock"), [(Scope.TOOL, "cpu"), (Scope.TOOL, "gpu"), (Scope.SHIPPED, "dev"), (Scope.BESIDE, "dev")]
)
def test_an_item_of_the_wrong_scope_is_named(scope: Scope, lock: str) -> None:
    assert said(soup.compare([item("foo", scope=scope)], [pin("foo", lock=lock)])) == [("SOUP-foo", "soup-not-in-lock")]


def test_what_cpu_and_dev_hold_is_shipped() -> None:
    assert soup.compare([item("foo")], [pin("foo", lock="dev"), pin("foo", lock="cpu")]) == []


@pytest.mark.parametrize(
    ("recorded", "locked"), [(["1.0"], ["1.1"]), (["1.0", "1.1"], ["1.0"]), (["1.0"], ["1.0", "1.1"])]
)
def test_another_version_is_named(recorded: list[str], locked: list[str]) -> None:
    pins = [pin("foo", version, marker=f"python_version == '3.{version[-1]}'") for version in locked]
    (finding,) = soup.compare([item("foo", *recorded)], pins)
    assert (finding.item, finding.code) == ("SOUP-foo", "soup-version")
    assert ", ".join(recorded) in finding.text
    assert ", ".join(locked) in finding.text


def test_an_item_under_another_identifier_is_named() -> None:
    named = item("foo").model_copy(update={"name": "Foo_Bar"})
    assert said(soup.compare([named], [pin("foo-bar")])) == [("SOUP-foo", "soup-id")]


def test_an_item_without_a_word_about_anomalies_is_unevaluated() -> None:
    bare = item("foo").model_copy(update={"anomalies": None})
    assert said(soup.compare([bare], [pin("foo")])) == [("SOUP-foo", "soup-unevaluated")]


def test_an_evaluation_of_another_version_does_not_count() -> None:
    old = item("foo", "1.0", "2.0", anomalies=evaluated("1.0"))
    assert said(soup.compare([old], [pin("foo"), pin("foo", "2.0", "gpu")])) == [("SOUP-foo", "soup-unevaluated")]


@pytest.mark.parametrize("verdict", [Verdict.NO_EFFECT, Verdict.CONTROLLED])
def test_a_verdict_without_a_source_does_not_count(verdict: Verdict) -> None:
    bare = item("foo", anomalies=evaluated("1.0", verdict=verdict, sources=()))
    assert said(soup.compare([bare], [pin("foo")])) == [("SOUP-foo", "soup-unevaluated")]


def test_an_unacceptable_anomaly_is_named() -> None:
    bad = item("foo", scope=Scope.SYSTEM, anomalies=evaluated("1.0", verdict=Verdict.UNACCEPTABLE))
    assert said(soup.compare([bad], [])) == [("SOUP-foo", "soup-unacceptable")]


def test_what_was_not_evaluated_is_told_apart_and_listed() -> None:
    plain = item("foo", anomalies=evaluated("1.0", verdict=Verdict.NOT_EVALUATED, sources=()))
    assert soup.compare([plain], [pin("foo")]) == [], "in development that is a fact, no gap"
    (finding,) = soup.unevaluated([plain, item("bar")])
    assert (finding.item, finding.code) == ("SOUP-foo", "soup-not-evaluated")
    assert "Seen." in finding.text


SOUPS = [item("foo"), item("torch", "2.13.0", scope=Scope.BESIDE), item("make", "4.3", scope=Scope.SYSTEM)]


@pytest.mark.parametrize(
    "installed",
    [{}, {"Foo": "1.0"}, {"foo": "1.0", "overread": "9.9", "pip": "1"}, {"torch": "2.13.0"}, {"torch": "2.13.0+cpu"}],
)
def test_what_is_locked_or_named_may_be_installed(installed: dict[str, str]) -> None:
    assert soup.compare_environment(SOUPS, [pin("foo")], installed) == []


@pytest.mark.parametrize(
    ("name", "version"), [("bar", "1.0"), ("foo", "1.1"), ("torch", "2.12.0"), ("make", "4.3"), ("foo", "1.0+local")]
)
def test_what_is_neither_locked_nor_named_is_found_installed(name: str, version: str) -> None:
    (finding,) = soup.compare_environment(SOUPS, [pin("foo")], {name: version})
    assert (finding.item, finding.code) == (f"SOUP-{name}", "soup-installed")
    assert version in finding.text


def test_the_running_environment_is_read() -> None:
    installed = soup.installed_packages()
    assert "pydantic-core" in installed, "normalised: the package calls itself pydantic_core"
    assert installed["pytest"] == pytest.__version__


NETWORK, TRAINED, WHEEL = "a" * 64, "b" * 64, "c" * 64
MANIFEST = {
    "name": "liver_ct",
    "version": "0.3",
    "package": {"wheel": "some_nets-0.4-py3-none-any.whl", "sha256": WHEEL},
    "networks": {"liver": {"sha256": NETWORK, "trained": {"sha256": TRAINED}}},
}
MANIFESTS = {"models/liver_ct/manifest.toml": MANIFEST}
HASHED = ("0.3", f"sha256:{NETWORK}", f"sha256:{TRAINED}")


def weights(*, network: Sequence[str] = HASHED, package: Sequence[str] = ("0.4", f"sha256:{WHEEL}")) -> list[Soup]:
    return [
        item("liver_ct/liver", *network, scope=Scope.WEIGHTS).model_copy(update={"anomalies": evaluated(network[0])}),
        item("some-nets", *package, scope=Scope.WEIGHTS).model_copy(update={"anomalies": evaluated(package[0])}),
    ]


def test_weights_that_equal_the_manifest_have_no_finding() -> None:
    assert soup.compare_weights(weights(), MANIFESTS) == []
    assert soup.compare(weights(), []) == [], "hashes are no versions that were to be evaluated"


@pytest.mark.parametrize("place", range(3))
def test_another_version_or_hash_of_weights_is_named(place: int) -> None:
    changed = [*HASHED]
    changed[place] = "0.4" if place == 0 else f"sha256:{'d' * 64}"
    findings = soup.compare_weights(weights(network=changed), MANIFESTS)
    assert said(findings) == [("SOUP-liver-ct-liver", "soup-weights")] * 2
    assert HASHED[place] in findings[0].text
    assert changed[place] in findings[1].text


def test_another_package_of_weights_is_named() -> None:
    findings = soup.compare_weights(weights(package=["0.4", f"sha256:{'d' * 64}"]), MANIFESTS)
    assert said(findings) == [("SOUP-some-nets", "soup-weights")] * 2


def test_weights_without_an_item_and_an_item_without_weights_are_named() -> None:
    assert said(soup.compare_weights(weights()[1:], MANIFESTS)) == [("SOUP-liver-ct-liver", "soup-weights")]
    assert said(soup.compare_weights(weights(), {})) == [
        ("SOUP-liver-ct-liver", "soup-weights"),
        ("SOUP-some-nets", "soup-weights"),
    ]


@pytest.mark.verifies("SRS-184", level="integration", technique="consistency")
def test_the_projects_list_equals_its_locks_and_manifests() -> None:
    soups = list(load(ROOT).of(Soup))
    assert soup.compare(soups, locks.read(ROOT)) == []
    manifests = soup.read_manifests(ROOT)
    assert manifests
    assert soup.compare_weights(soups, manifests) == []


@pytest.mark.verifies("SRS-184", level="integration", technique="consistency")
def test_every_licence_of_the_projects_list_is_one_that_spdx_knows_or_names_itself() -> None:
    spdx = get_spdx_licensing()
    for found in load(ROOT).of(Soup):
        unknown = [key for key in spdx.unknown_license_keys(found.licence) if not key.startswith("LicenseRef-")]
        assert not unknown, f"{found.id}: {unknown}"
