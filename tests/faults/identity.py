"""Controls of identity: node.identity."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset

from node.dicom.datasets import PseudonymousDataset, RealDataset
from node.identity import deidentify, keys, record, vault, verify
from node.identity.restore import _take_character_set, _Walk
from qms.faults import always, replace_everywhere, switches_off


@switches_off("SRS-040", "every attribute comes through that the allow-list does not name")
def everything_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    original = deidentify.pseudonymise

    def leaky(real: RealDataset, pseudonymiser: Any) -> PseudonymousDataset:
        dataset = Dataset(original(real, pseudonymiser).dataset)
        for tag in real.dataset.keys() - dataset.keys():
            dataset[tag] = real.dataset.get_item(tag)
        return PseudonymousDataset(dataset)

    replace_everywhere(monkeypatch, original, leaky)


@switches_off("SRS-041", "texts and numbers are kept although they hold a name or number of the patient")
def nothing_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deidentify, "_tells", always(False))


@switches_off("SRS-047", "any master key will do, however weak")
def weak_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "_refuse_weak", always(None))


@switches_off("SRS-048", "a new key is readable by all and replaces the one that is there")
def open_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    def write(path: Path, *data: bytes) -> bool:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(data))
        path.chmod(0o644)
        return True

    monkeypatch.setattr(keys, "write_durably", write)


@switches_off("SRS-049", "the vault keeps names and UIDs as they are")
def open_vault(monkeypatch: pytest.MonkeyPatch) -> None:
    class Plain:
        def __init__(self, key: bytes) -> None: ...

        def encrypt(self, _nonce: bytes, data: bytes, _place: bytes) -> bytes:
            return data

        decrypt = encrypt

    monkeypatch.setattr(vault, "AESGCM", Plain)


@switches_off("SRS-050", "rows of the vault are not bound to their place and may be exchanged")
def rows_unbound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vault.Vault, "_place", always(b"anywhere"))


@switches_off("SRS-052", "images of another patient are taken into a study")
def any_subject(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "_same_subject", always(True))
    monkeypatch.setattr(record, "_same_name", always(True))


@switches_off("SRS-053", "a reference that the vault does not know of this study is left as it is")
def references_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    def real(self: Any, uid: str, keyword: str) -> str:
        self.sources += keyword == "ReferencedSOPInstanceUID"
        return str(self.record.uids.get(uid, uid))

    monkeypatch.setattr(_Walk, "_real", real)


@switches_off("SRS-054", "the source's bytes come back without its character set")
def character_set_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_everywhere(monkeypatch, _take_character_set, always(None))


@switches_off("SRS-056", "written results leave without a last look")
def no_last_look(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_everywhere(monkeypatch, verify.check_restored, always(None))
