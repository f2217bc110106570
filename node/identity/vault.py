"""The sealed vault: what brings results back to their patients, unreadable without the site's key.

One SQLite file. A row holds one study's `StudyRecord`, sealed with AES-256-GCM and found by a blind index (an HMAC of
the study's pseudonym): neither names nor UIDs, real or pseudonymous, stand in the database or its write-ahead log. The
seal binds a row to its place, its patient and its study, so that whoever can write the file cannot exchange them.

Connections are opened for each call: SQLite's must not be carried into a forked process or another thread.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.constant_time import bytes_eq
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from node.dicom.reasons import Reason, Refused
from node.identity.keys import Keys, KeyUnusableError
from node.identity.pseudonyms import Pseudonymiser
from node.identity.record import StudyRecord
from node.store import fsync_directory, make_directory

_log = structlog.get_logger(__name__)

_VERSION = 1
_NONCE_BYTES = 12
_BUSY_SECONDS = 60.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS seal (id INTEGER PRIMARY KEY CHECK (id = 1), nonce BLOB NOT NULL, sealed BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS study (
    study_index BLOB PRIMARY KEY,
    patient_index BLOB NOT NULL,
    nonce BLOB NOT NULL,
    sealed BLOB NOT NULL
) WITHOUT ROWID;
"""


class Vault:
    """The vault of one site. May be used by many processes and threads at once.

    Parameters
    ----------
    path
        The SQLite file; made, readable by its owner alone, if there is none.
    keys
        The site's keys.

    Raises
    ------
    KeyUnusableError
        If the vault was made with another key.
    ValueError
        If the file was written by a later version.
    """

    def __init__(self, path: Path, keys: Keys) -> None:
        self._path = path
        self._cipher = AESGCM(keys.vault)
        self._index_key = keys.index
        self.pseudonymiser = Pseudonymiser(keys)
        _create_private(path)
        with self._transaction() as database:
            self._prepare(database)

    @property
    def key_id(self) -> str:
        """Which key seals this vault: the version of its format, and a fingerprint that tells nothing of the key."""
        return f"{_VERSION}-{self._index('key', '')[:8].hex()}"

    def keep(self, record: StudyRecord) -> None:
        """Keep a study's record durably, joined with what is kept of the study already. Repeating it changes nothing.

        Raises
        ------
        Refused
            ``identity-mismatch`` if the vault knows the study as another patient's.
        """
        with self._transaction() as database:
            known = self._load(database, record.patient, record.study_uid)
            joined = known.with_later(record) if known else record
            if joined == known:
                return
            nonce, sealed = self._seal(joined.to_bytes(), self._place(record.patient, record.study_uid))
            database.execute(
                "INSERT OR REPLACE INTO study (study_index, patient_index, nonce, sealed) VALUES (?, ?, ?, ?)",
                (self._index("study", record.study_uid), self._index("patient", record.patient), nonce, sealed),
            )
        _log.info("vault.kept", study=record.study_uid, uids=len(joined.uids))

    def study(self, patient: str, study_uid: str) -> StudyRecord:
        """Return the record of a study.

        Parameters
        ----------
        patient, study_uid
            Pseudonyms of both: a study is given out only to who names its patient too.

        Raises
        ------
        Refused
            ``identity-mismatch`` if the vault does not know the study, or knows it as another patient's;
            ``internal-error`` if its row is damaged.
        """
        with closing(self._connect()) as database:
            record = self._load(database, patient, study_uid)
        if record is None:
            raise Refused(Reason.IDENTITY_MISMATCH, "the vault does not know this study")
        return record

    def _load(self, database: sqlite3.Connection, patient: str, study_uid: str) -> StudyRecord | None:
        row = database.execute(
            "SELECT patient_index, nonce, sealed FROM study WHERE study_index = ?", (self._index("study", study_uid),)
        ).fetchone()
        if row is None:
            return None
        patient_index, nonce, sealed = row
        if not bytes_eq(patient_index, self._index("patient", patient)):
            raise Refused(Reason.IDENTITY_MISMATCH, "the vault knows this study as another patient's")
        try:
            return StudyRecord.from_bytes(self._cipher.decrypt(nonce, sealed, self._place(patient, study_uid)))
        except InvalidTag as error:
            raise Refused(Reason.INTERNAL_ERROR, "the vault's row of this study is damaged") from error

    def _prepare(self, database: sqlite3.Connection) -> None:
        """Make the tables of a new vault, or prove that this is the key of an old one."""
        version = database.execute("PRAGMA user_version").fetchone()[0]
        if version > _VERSION:
            raise ValueError(f"{self._path}: this vault was written by a later version of Overread")
        for statement in filter(str.strip, _SCHEMA.split(";")):
            database.execute(statement)
        database.execute(f"PRAGMA user_version = {_VERSION}")
        row = database.execute("SELECT nonce, sealed FROM seal").fetchone()
        place = b"overread/vault/1/seal"
        if row is None:
            database.execute("INSERT INTO seal VALUES (1, ?, ?)", self._seal(b"overread", place))
            return
        try:
            self._cipher.decrypt(row[0], row[1], place)
        except InvalidTag as error:
            raise KeyUnusableError(
                f"{self._path}: this vault was made with another master key. Restore the key that belongs to it; with "
                "this one no result would find its patient"
            ) from error

    def _seal(self, data: bytes, place: bytes) -> tuple[bytes, bytes]:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce, self._cipher.encrypt(nonce, data, place)

    def _place(self, patient: str, study_uid: str) -> bytes:
        return b"overread/vault/1/study" + self._index("patient", patient) + self._index("study", study_uid)

    def _index(self, kind: str, pseudonym: str) -> bytes:
        mac = HMAC(self._index_key, SHA256())
        mac.update(f"{kind}\x1f{pseudonym}".encode())
        return mac.finalize()

    def _connect(self) -> sqlite3.Connection:
        database = sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None)
        database.execute("PRAGMA journal_mode = WAL")
        # NORMAL may lose the last commits in a power cut, and with them the way back of what was already read.
        database.execute("PRAGMA synchronous = FULL")
        return database

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Write as the only writer, from the first look on: what was read stays true until it is written."""
        with closing(self._connect()) as database:
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
            except BaseException:
                database.execute("ROLLBACK")
                raise
            database.execute("COMMIT")


def _create_private(path: Path) -> None:
    make_directory(path.parent)
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        return
    fsync_directory(path.parent)
