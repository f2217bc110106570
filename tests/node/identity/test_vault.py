from __future__ import annotations

import base64
import json
import sqlite3
import stat
import subprocess
import sys
import zlib
from contextlib import closing
from pathlib import Path

import pytest

from node.dicom.reasons import Reason, Refused
from node.identity import KeyUnusableError, Vault, pseudonymise_study
from node.identity.record import StudyRecord
from tests.node.identity.studies import KEYS, OTHER_KEYS, Source

ROOT = Path(__file__).parents[3]
SOURCE = Source(name="PHANTOM^SECRETNAME", patient_id="PHANTOM-98765")


def record_of(vault: Vault, source: Source, count: int = 3) -> StudyRecord:
    return StudyRecord.of(source.headers(count), vault.pseudonymiser)


def database(tmp_path: Path) -> Path:
    return tmp_path / "vault" / "vault.sqlite"


@pytest.mark.verifies("SRS-051", level="unit", technique="example")
def test_what_is_kept_comes_back_in_another_process(vault: Vault, tmp_path: Path) -> None:
    record = record_of(vault, SOURCE)
    vault.keep(record)
    assert Vault(database(tmp_path), KEYS).study(record.patient, record.study_uid) == record
    assert record.uids[vault.pseudonymiser.uid(f"{SOURCE.study_uid}.2.1")] == f"{SOURCE.study_uid}.2.1"
    assert record.dataset.PatientName == "PHANTOM^SECRETNAME"


@pytest.mark.verifies("SRS-049", "SRS-051", level="unit", technique="adversarial")
def test_nothing_is_readable_in_the_database_or_its_log(vault: Vault, tmp_path: Path) -> None:
    with closing(sqlite3.connect(database(tmp_path))) as reader:
        reader.execute("BEGIN")
        reader.execute(
            "SELECT count(*) FROM study"
        ).fetchone()  # holds back the checkpoint: what is new stays in the log
        pseudonymous = pseudonymise_study(SOURCE.headers(), vault)[0].dataset
        files = {path.name: path.read_bytes() for path in database(tmp_path).parent.iterdir()}
    assert set(files) == {"vault.sqlite", "vault.sqlite-wal", "vault.sqlite-shm"}
    assert len(files["vault.sqlite-wal"]) > 1000
    words = ["SECRETNAME", "98765", SOURCE.study_uid, "ACC00001", "19500607", "20240229", "Liver of"]
    words += [pseudonymous.PatientID, pseudonymous.StudyInstanceUID, pseudonymous.SOPInstanceUID, pseudonymous.StudyID]
    for data in files.values():
        for word in words:
            assert word.encode() not in data
            assert word.encode("utf-16-le") not in data


@pytest.mark.verifies("SRS-049", level="unit", technique="adversarial")
def test_nothing_is_readable_after_decompression_either(vault: Vault, tmp_path: Path) -> None:
    """Records are compressed before they are sealed: a search for words alone would pass without any seal."""
    record = record_of(vault, SOURCE)
    vault.keep(record)
    assert b"SECRETNAME" in base64.b64decode(json.loads(zlib.decompress(record.to_bytes()))["identity"])
    with closing(sqlite3.connect(database(tmp_path))) as reader:
        ((sealed,),) = reader.execute("SELECT sealed FROM study").fetchall()
    for start in range(len(sealed) - 2):
        with pytest.raises(zlib.error):
            zlib.decompress(sealed[start:])


@pytest.mark.verifies("SRS-049", level="unit", technique="example")
def test_only_the_owner_can_read_it(vault: Vault, tmp_path: Path) -> None:
    assert stat.S_IMODE(database(tmp_path).stat().st_mode) == 0o600


@pytest.mark.verifies("SRS-051", level="unit", technique="example")
def test_it_survives_a_power_cut_by_its_settings(vault: Vault, tmp_path: Path) -> None:
    with closing(vault._connect()) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL


@pytest.mark.verifies("SRS-050", level="unit", technique="bad-input")
def test_another_key_is_refused_and_nothing_is_changed(vault: Vault, tmp_path: Path) -> None:
    vault.keep(record_of(vault, SOURCE))
    before = database(tmp_path).read_bytes()
    with pytest.raises(KeyUnusableError, match="made with another master key"):
        Vault(database(tmp_path), OTHER_KEYS)
    assert database(tmp_path).read_bytes() == before
    Vault(database(tmp_path), KEYS)


@pytest.mark.verifies("SRS-050", level="unit", technique="bad-input")
def test_a_later_vault_is_refused(vault: Vault, tmp_path: Path) -> None:
    with closing(sqlite3.connect(database(tmp_path))) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(ValueError, match="later version"):
        Vault(database(tmp_path), KEYS)


@pytest.mark.verifies("SRS-051", level="unit", technique="example")
def test_keeping_twice_changes_nothing(vault: Vault, tmp_path: Path) -> None:
    record = record_of(vault, SOURCE)
    vault.keep(record)
    with closing(sqlite3.connect(database(tmp_path))) as connection:
        first = connection.execute("SELECT * FROM study").fetchall()
        vault.keep(record)
        assert connection.execute("SELECT * FROM study").fetchall() == first


@pytest.mark.verifies("SRS-052", level="unit", technique="example")
def test_late_images_are_added_and_a_corrected_name_wins(vault: Vault) -> None:
    vault.keep(record_of(vault, SOURCE, count=2))
    corrected = Source(name="PHANTOM^CORRECTED", patient_id=SOURCE.patient_id)
    late = StudyRecord.of(corrected.headers(5)[2:], vault.pseudonymiser)
    vault.keep(late)
    joined = vault.study(late.patient, late.study_uid)
    assert joined.uids == record_of(vault, SOURCE, count=5).uids
    assert joined.dataset.PatientName == "PHANTOM^CORRECTED"


@pytest.mark.verifies("SRS-052", level="unit", technique="bad-input")
@pytest.mark.parametrize(
    "other",
    [
        Source(patient_id="PHANTOM-2"),
        Source(patient_id=""),
        Source(issuer="ANOTHER ISSUER"),
    ],
)
def test_a_study_does_not_change_its_patient(vault: Vault, other: Source) -> None:
    kept = record_of(vault, Source())
    vault.keep(kept)
    with pytest.raises(Refused) as refusal:
        vault.keep(record_of(vault, other))
    assert refusal.value.reason is Reason.IDENTITY_MISMATCH
    assert vault.study(kept.patient, kept.study_uid) == kept


@pytest.mark.verifies("SRS-052", level="unit", technique="bad-input")
def test_without_an_id_the_name_tells_patients_apart(vault: Vault) -> None:
    vault.keep(record_of(vault, Source(patient_id="", name="PHANTOM^ONE")))
    with pytest.raises(Refused) as refusal:
        vault.keep(record_of(vault, Source(patient_id="", name="PHANTOM^TWO")))
    assert refusal.value.reason is Reason.IDENTITY_MISMATCH


@pytest.mark.verifies("SRS-052", level="unit", technique="bad-input")
@pytest.mark.parametrize(
    "second",
    [
        Source(patient_id="PHANTOM-2"),
        Source(issuer=""),
        Source(number=2),
        Source(patient_id=""),
    ],
)
def test_two_patients_or_studies_at_once_are_refused(vault: Vault, second: Source) -> None:
    with pytest.raises(Refused) as refusal:
        pseudonymise_study([*Source().headers(), *second.headers()], vault)
    assert refusal.value.reason is Reason.MORE_THAN_ONE_PATIENT


@pytest.mark.verifies("SRS-052", level="unit", technique="bad-input")
def test_two_names_without_an_id_are_two_patients(vault: Vault) -> None:
    one, two = (Source(patient_id="", name=f"PHANTOM^{name}").headers() for name in ("ONE", "TWO"))
    with pytest.raises(Refused) as refusal:
        pseudonymise_study([*one, *two], vault)
    assert refusal.value.reason is Reason.MORE_THAN_ONE_PATIENT


@pytest.mark.verifies("SRS-053", level="unit", technique="adversarial")
def test_who_does_not_name_the_patient_gets_nothing(vault: Vault) -> None:
    record = record_of(vault, SOURCE)
    vault.keep(record)
    for patient, study in (("", record.study_uid), ("PSN-X", record.study_uid), (record.patient, "2.25.1")):
        with pytest.raises(Refused) as refusal:
            vault.study(patient, study)
        assert refusal.value.reason is Reason.IDENTITY_MISMATCH


@pytest.mark.verifies("SRS-050", level="unit", technique="adversarial")
def test_rows_cannot_be_exchanged(vault: Vault, tmp_path: Path) -> None:
    """Whoever can write the file swaps two patients' sealed rows: both are refused."""
    records = [record_of(vault, Source(patient_id=f"PHANTOM-{n}", number=n)) for n in (1, 2)]
    for record in records:
        vault.keep(record)
    with closing(sqlite3.connect(database(tmp_path))) as connection:
        rows = connection.execute("SELECT study_index, nonce, sealed FROM study").fetchall()
        for (index, _, _), (_, nonce, sealed) in zip(rows, reversed(rows), strict=True):
            connection.execute("UPDATE study SET nonce = ?, sealed = ? WHERE study_index = ?", (nonce, sealed, index))
        connection.commit()
    for record in records:
        with pytest.raises(Refused, match="damaged"):
            vault.study(record.patient, record.study_uid)


@pytest.mark.verifies("SRS-051", level="unit", technique="boundary")
def test_five_thousand_instances(vault: Vault) -> None:
    record = record_of(vault, SOURCE)
    many = {vault.pseudonymiser.uid(f"1.2.3.{n}"): f"1.2.3.{n}" for n in range(5000)}
    big = StudyRecord(record.patient, record.study_uid, record.shift_days, record.identity, {**record.uids, **many})
    vault.keep(big)
    assert vault.study(record.patient, record.study_uid) == big


WRITER = """
import sys
from pathlib import Path
from node.identity import Vault, pseudonymise_study
from tests.node.identity.studies import KEYS, Source
import structlog; structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
vault = Vault(Path(sys.argv[1]), KEYS)
for number in range(int(sys.argv[2]), int(sys.argv[3])):
    pseudonymise_study(Source(number=number, patient_id=f"PHANTOM-{number}").headers(), vault)
    shared = Source(number=999, patient_id="PHANTOM-999").headers(number + 1)[number:]
    pseudonymise_study(shared, vault)
    print(number, flush=True)
"""


def writer(path: Path, first: int, last: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(first), str(last)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
    )


def studies_in(vault: Vault, numbers: range) -> int:
    found = 0
    for number in numbers:
        expected = record_of(vault, Source(number=number, patient_id=f"PHANTOM-{number}"))
        found += vault.study(expected.patient, expected.study_uid) == expected
    return found


@pytest.mark.verifies("SRS-051", level="integration", technique="fault-injection")
def test_several_processes_at_once_lose_nothing(tmp_path: Path) -> None:
    """From the making of the file on, and on one study that all add images to."""
    path = database(tmp_path)
    writers = [writer(path, first, first + 8) for first in (10, 20, 30)]
    for process in writers:
        process.communicate(timeout=120)
        assert process.returncode == 0
    vault = Vault(path, KEYS)
    assert sum(studies_in(vault, range(first, first + 8)) for first in (10, 20, 30)) == 24
    shared = record_of(vault, Source(number=999, patient_id="PHANTOM-999"))
    instances = {f"{Source(number=999).study_uid}.2.{n + 1}" for first in (10, 20, 30) for n in range(first, first + 8)}
    assert instances <= set(vault.study(shared.patient, shared.study_uid).uids.values())


@pytest.mark.verifies("SRS-051", level="integration", technique="fault-injection")
@pytest.mark.parametrize("written", [1, 3, 7])
def test_killed_while_writing_it_stays_readable(tmp_path: Path, written: int) -> None:
    path = database(tmp_path)
    process = writer(path, 10, 1000)
    assert process.stdout is not None
    for _ in range(written):
        process.stdout.readline()
    process.kill()
    rest, _ = process.communicate(timeout=60)
    done = written + rest.count("\n")
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    vault = Vault(path, KEYS)
    assert studies_in(vault, range(10, 10 + done)) == done
    vault.keep(record_of(vault, Source(number=5)))
