"""Crossed, duplicated and forged results: none may reach a wrong patient, whatever was exchanged in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from pydicom import Dataset

from node.dicom.datasets import PseudonymousDataset
from node.dicom.files import from_file, to_file
from node.dicom.reasons import Reason, Refused
from node.dicom.uids import derive_uid, is_derived
from node.identity import Vault, check_restored, pseudonymise_study, restore
from tests.node.identity.results import make_seg, make_sr
from tests.node.identity.studies import KEYS, Source, put

# Two studies of one patient, another patient under the same ID of another issuer, and two without an ID.
SOURCES = (
    Source(number=1),
    Source(number=2),
    Source(number=3, issuer="ANOTHER ISSUER", name="PHANTOM^OTHER"),
    Source(number=4, patient_id="", name="PHANTOM^NOID ONE"),
    Source(number=5, patient_id="", name="PHANTOM^NOID TWO"),
)


@dataclass
class World:
    vault: Vault
    jobs: list[str]
    results: list[tuple[bytes, bytes]]
    """SEG and SR of each study, as files."""
    real: list[set[str]]
    """All real UIDs of each study."""
    pool: list[str]
    """UIDs to forge with: pseudonyms, real ones, own ones of every study, and made-up ones."""

    def result(self, study: int, kind: int) -> PseudonymousDataset:
        return PseudonymousDataset(from_file(self.results[study][kind]))


@contextmanager
def quiet() -> Iterator[None]:
    with structlog.testing.capture_logs():
        yield


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    vault = Vault(tmp_path_factory.mktemp("world") / "vault.sqlite", KEYS)
    made = World(vault, [], [], [], ["1.2.3.4", derive_uid("made up"), "2.25.1", ""])
    for source in SOURCES:
        pseudonymous = pseudonymise_study(source.headers(), vault)
        seg = make_seg(pseudonymous)
        sr = make_sr(pseudonymous, seg)
        made.jobs.append(str(pseudonymous[0].dataset.StudyInstanceUID))
        made.results.append((to_file(seg.dataset), to_file(sr.dataset)))
        record = vault.study(pseudonymous[0].dataset.PatientID, made.jobs[-1])
        made.real.append(set(record.uids.values()))
        made.pool += [
            *record.uids.keys(),
            *record.uids.values(),
            seg.dataset.SOPInstanceUID,
            sr.dataset.SeriesInstanceUID,
        ]
    return made


STUDY = st.integers(0, len(SOURCES) - 1)
CHANGE = st.one_of(
    st.tuples(st.just("uid"), st.integers(0, 200), st.integers(0, 200)),
    st.tuples(st.just("patient"), STUDY, st.just(0)),
    st.tuples(st.just("name"), STUDY, st.just(0)),
    st.tuples(st.just("splice"), st.integers(0, 60), STUDY),
    st.tuples(st.just("duplicate"), st.integers(0, 60), st.just(0)),
)


def sequences(dataset: Dataset) -> list[tuple[Dataset, str]]:
    found = [(dataset, e.keyword) for e in dataset if e.VR == "SQ" and e.value]
    for holder, keyword in list(found):
        for item in holder[keyword].value:
            found += sequences(item)
    return found


def uid_places(dataset: Dataset) -> list[tuple[Dataset, str]]:
    items = [dataset, *(item for holder, keyword in sequences(dataset) for item in holder[keyword].value)]
    return [(item, e.keyword) for item in items for e in item if e.VR == "UI" and "Class" not in e.keyword]


def apply(world: World, dataset: Dataset, kind: int, change: tuple[str, int, int]) -> None:
    what, where, which = change
    if what == "uid":
        places = uid_places(dataset)
        item, keyword = places[where % len(places)]
        put(item, keyword, "UI", world.pool[which % len(world.pool)])
    elif what == "patient":
        dataset.PatientID = world.result(where, 0).dataset.PatientID
    elif what == "name":
        dataset.PatientName = world.result(where, 0).dataset.PatientName
    else:
        places = sequences(dataset)
        item, keyword = places[where % len(places)]
        if what == "splice":
            others = sequences(world.result(which, kind).dataset)
            same = [holder[key].value for holder, key in others if key == keyword]
            item[keyword].value[0] = same[0][0] if same else item[keyword].value[0]
        else:
            item[keyword].value.append(item[keyword].value[0])


def uids_of(dataset: Dataset) -> set[str]:
    return {str(uid) for e in dataset.iterall() if e.VR == "UI" for uid in (e.value if e.VM > 1 else [e.value]) if uid}


@dataclass(frozen=True)
class Case:
    """A result of `study` in a job: mostly its own, else another's; so with the SEG that an SR comes with."""

    study: int
    kind: int
    other_job: int | None
    other_companion: int | None
    changes: list[tuple[str, int, int]]

    @property
    def job(self) -> int:
        return self.study if self.other_job is None else self.other_job

    @property
    def companion(self) -> int:
        return self.study if self.other_companion is None else self.other_companion


MOSTLY_NONE = st.one_of(st.none(), st.none(), st.none(), STUDY)
CASES = st.builds(Case, STUDY, st.integers(0, 1), MOSTLY_NONE, MOSTLY_NONE, st.lists(CHANGE, max_size=4))


@pytest.mark.verifies("SRS-053", "SRS-054", "SRS-056", level="integration", technique="property")
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(CASES)
def test_no_result_reaches_a_wrong_patient(world: World, case: Case) -> None:
    """Any result, of any study, with anything exchanged, in any job: refused, or wholly the job's own patient's."""
    with quiet():
        result = world.result(case.study, case.kind)
        for change in case.changes:
            apply(world, result.dataset, case.kind, change)
        result = PseudonymousDataset(from_file(to_file(result.dataset)))
        companions = [world.result(case.companion, 0)] if case.kind else []
        try:
            restored = restore(result, world.vault, job_study_uid=world.jobs[case.job], companions=companions)
        except Refused as refusal:
            _assert_tells_nothing(refusal)
            event("refused")
            return
        event(f"restored, {'changed' if case.changes else 'as made'}")
        data = to_file(restored.dataset)
        _assert_wholly_of(world, data, case.job)
        check_restored(data, result, SOURCES[case.job].headers()[0], world.vault)


def _assert_tells_nothing(refusal: Refused) -> None:
    assert refusal.reason in (Reason.IDENTITY_MISMATCH, Reason.CHECK_FAILED)
    assert not any(source.name in str(refusal) or source.study_uid in str(refusal) for source in SOURCES)


def _assert_wholly_of(world: World, data: bytes, job: int) -> None:
    source, restored = SOURCES[job], from_file(data)
    whose = (restored.PatientName, restored.PatientID, restored.IssuerOfPatientID, restored.StudyInstanceUID)
    assert whose == (source.name, source.patient_id, source.issuer, source.study_uid)
    foreign = set().union(*(real for number, real in enumerate(world.real) if number != job))
    uids = uids_of(restored)
    assert not uids & foreign
    assert not any(world.vault.pseudonymiser.is_pseudonym(uid) for uid in uids)
    known = world.real[job]
    assert all(uid in known or is_derived(uid) or uid.startswith("1.2.840.10008.") for uid in uids)
    for other in SOURCES:
        assert other.name == source.name or other.name.encode() not in data


@pytest.mark.verifies("SRS-053", "SRS-054", level="integration", technique="example")
def test_the_property_is_not_empty(world: World) -> None:
    """Of each study, both results come back as made; in every other job both are refused."""
    with quiet():
        for study in range(len(SOURCES)):
            for kind in (0, 1):
                result = world.result(study, kind)
                companions = [world.result(study, 0)] if kind else []
                for job in range(len(SOURCES)):
                    if job != study:
                        with pytest.raises(Refused):
                            restore(result, world.vault, job_study_uid=world.jobs[job], companions=companions)
                    else:
                        restored = restore(result, world.vault, job_study_uid=world.jobs[job], companions=companions)
                        _assert_wholly_of(world, to_file(restored.dataset), job)


@pytest.mark.verifies("SRS-053", level="integration", technique="adversarial")
def test_every_single_foreign_uid_is_refused(world: World) -> None:
    """Exhaustively: each UID of a SEG and an SR in turn becomes each kind of another patient's."""
    other = world.result(2, 0).dataset
    foreign = (
        other.SourceImageSequence[0].ReferencedSOPInstanceUID,
        other.StudyInstanceUID,
        f"{SOURCES[2].study_uid}.2.1",
    )
    with quiet():
        for kind in (0, 1):
            companions = [world.result(0, 0)] if kind else []
            for place in range(len(uid_places(world.result(0, kind).dataset))):
                for uid in foreign:
                    result = world.result(0, kind)
                    item, keyword = uid_places(result.dataset)[place]
                    put(item, keyword, "UI", uid)
                    with pytest.raises(Refused):
                        restore(result, world.vault, job_study_uid=world.jobs[0], companions=companions)


@pytest.mark.verifies("SRS-053", level="integration", technique="fault-injection")
def test_a_vault_restored_from_an_old_backup_refuses(world: World, tmp_path: Path) -> None:
    with quiet():
        empty = Vault(tmp_path / "vault.sqlite", KEYS)
        with pytest.raises(Refused) as refusal:
            restore(world.result(0, 0), empty, job_study_uid=world.jobs[0])
    assert refusal.value.reason is Reason.IDENTITY_MISMATCH
