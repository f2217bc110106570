"""The conformance statement is held against real associations, real results and the document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from pydicom._uid_dict import UID_dictionary
from pydicom.uid import UID, JPEGBaseline8Bit
from pynetdicom import AE, build_context, evt, sop_class

from node.conformance import collect, markdown
from node.net import Destination, send
from node.receive import ReceiverProcesses, ReceiverSettings
from tests.node.report.synthetic import as_bytes, study, with_results

ROOT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"
MOST_CONTEXTS = 128
NOT_STORAGE = (
    sop_class.PatientRootQueryRetrieveInformationModelFind,
    sop_class.StudyRootQueryRetrieveInformationModelMove,
    sop_class.ModalityPerformedProcedureStep,
    sop_class.StorageCommitmentPushModel,
    sop_class.BasicGrayscalePrintManagementMeta,
)
PRIVATE = "1.2.826.0.1.3680043.10.1234.1"
UNKNOWN = "1.2.840.10008.5.1.4.1.1.999999"


@pytest.fixture(scope="module")
def statement() -> dict[str, Any]:
    return collect()


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReceiverProcesses]:
    settings = ReceiverSettings(
        root=tmp_path_factory.mktemp("conformance") / "inbox", low_water_bytes=0, host=HOST, port=0
    )
    with ReceiverProcesses(settings, 1) as running:
        yield running


def negotiate(receiver: ReceiverProcesses, contexts: Sequence[tuple[str, str]]) -> tuple[set[tuple[str, str]], Any]:
    """Propose contexts; return those that were accepted, and what the acceptor said of itself."""
    assert len(contexts) <= MOST_CONTEXTS
    ae = AE("PEER")
    ae.acse_timeout = 60
    proposed = [build_context(abstract, [transfer]) for abstract, transfer in contexts]
    association = ae.associate(HOST, receiver.port, contexts=proposed, ae_title="ANY")
    accepted = {(str(c.abstract_syntax), str(c.transfer_syntax[0])) for c in association.accepted_contexts}
    acceptor = association.acceptor
    if association.is_established:
        association.release()
    return accepted, acceptor


@pytest.mark.verifies("SRS-193", "SRS-008", level="integration", technique="oracle")
def test_every_context_of_the_statement_is_accepted(receiver: ReceiverProcesses, statement: Mapping[str, Any]) -> None:
    stated = [(uid, syntax) for uid in statement["accepted"].values() for syntax in statement["transfer_syntaxes"]]
    stated += [(uid, statement["transfer_syntaxes"][0]) for uid in statement["taken_for_storage"].values()]
    stated += [(sop_class.Verification, syntax) for syntax in statement["verification"]]
    stated += [(PRIVATE, statement["transfer_syntaxes"][0]), (UNKNOWN, statement["transfer_syntaxes"][0])]
    for start in range(0, len(stated), MOST_CONTEXTS):
        batch = stated[start : start + MOST_CONTEXTS]
        accepted, _ = negotiate(receiver, batch)
        assert set(batch) - accepted == set()


@pytest.mark.verifies("SRS-193", level="integration", technique="bad-input")
def test_every_other_service_is_refused(receiver: ReceiverProcesses, statement: Mapping[str, Any]) -> None:
    named = {*statement["accepted"].values(), *statement["taken_for_storage"].values(), sop_class.Verification}
    outside = [
        (uid, statement["transfer_syntaxes"][0])
        for uid, (_, kind, _, retired, _) in UID_dictionary.items()
        if "SOP Class" in kind and not retired and uid not in named and not _is_storage(uid)
    ]
    assert {str(uid) for uid in NOT_STORAGE} <= {uid for uid, _ in outside}
    assert JPEGBaseline8Bit not in statement["verification"]
    outside.append((sop_class.Verification, str(JPEGBaseline8Bit)))

    accepted, _ = negotiate(receiver, [*outside, (sop_class.Verification, statement["verification"][0])])

    assert accepted == {(sop_class.Verification, statement["verification"][0])}


def _is_storage(uid: str) -> bool:
    """Other standards' and trial classes: storage, and accepted as private ones are."""
    return "Storage" in UID(uid).name and uid not in NOT_STORAGE


@pytest.mark.verifies("SRS-193", level="integration", technique="oracle")
def test_no_storage_class_of_the_standard_is_missing(statement: Mapping[str, Any]) -> None:
    # The directory of media is a file and never sent; the others are a service of their own, which is not storage.
    elsewhere = ("Media", "Storage Commitment")
    known = {uid for uid in vars(sop_class).values() if isinstance(uid, UID) and uid.name.endswith(" Storage")}
    missing = {uid.name for uid in known - set(statement["accepted"].values()) if not uid.name.startswith(elsewhere)}
    assert len(known) > 150
    assert missing == set()


@pytest.mark.verifies("SRS-193", level="integration", technique="oracle")
def test_association_parameters_are_those_on_the_wire(
    receiver: ReceiverProcesses, statement: Mapping[str, Any]
) -> None:
    _, acceptor = negotiate(receiver, [(sop_class.Verification, statement["verification"][0])])
    items = {type(item).__name__: item for item in acceptor.user_information}

    assert acceptor.maximum_length == statement["maximum_pdu"]
    assert [
        items["ImplementationClassUIDNotification"].implementation_class_uid,
        items["ImplementationVersionNameNotification"].implementation_version_name,
    ] == statement["implementation"]
    assert set(items) == {
        "MaximumLengthNotification",
        "ImplementationClassUIDNotification",
        "ImplementationVersionNameNotification",
    }


@pytest.fixture(scope="module")
def results() -> tuple[Dataset, Dataset]:
    seg, sr = with_results(study())
    return seg.dataset, sr.dataset


@pytest.mark.verifies("SRS-193", level="integration", technique="oracle")
def test_proposed_is_what_the_statement_says(tmp_path: Path, statement: Mapping[str, Any]) -> None:
    files = [tmp_path / "seg.dcm", tmp_path / "sr.dcm"]
    for path, result in zip(files, with_results(study()), strict=True):
        path.write_bytes(as_bytes(result))
    seen: list[tuple[str, str]] = []
    roles: list[Any] = []

    def requested(event: evt.Event) -> None:
        requestor = event.assoc.requestor
        seen.extend((str(c.abstract_syntax), str(s)) for c in requestor.requested_contexts for s in c.transfer_syntax)
        roles.extend(requestor.role_selection)

    peer = AE("PACS")
    for uid, syntax in statement["proposed"]:
        peer.add_supported_context(uid, syntax)
    handlers = [(evt.EVT_REQUESTED, requested), (evt.EVT_C_STORE, lambda _: 0x0000)]
    server = peer.start_server((HOST, 0), block=False, evt_handlers=handlers)
    try:
        answers = send(files, Destination(ae_title="PACS", host=HOST, port=server.server_address[1]))
    finally:
        server.shutdown()

    assert all(answer.succeeded for answer in answers)
    assert sorted(seen) == sorted(map(tuple, statement["proposed"]))
    assert not roles


@pytest.mark.verifies("SRS-193", level="integration", technique="oracle")
def test_written_is_what_the_statement_says(results: tuple[Dataset, Dataset], statement: Mapping[str, Any]) -> None:
    assert {str(result.SOPClassUID) for result in results} == set(statement["written"])
    for result in results:
        stated = statement["written"][str(result.SOPClassUID)]
        assert {keyword: str(result.get(keyword)) for keyword in stated} == stated
        assert (str(result.SOPClassUID), str(result.file_meta.TransferSyntaxUID)) in {
            tuple(pair) for pair in statement["proposed"]
        }


@pytest.mark.verifies("SRS-193", level="integration", technique="oracle")
def test_templates_are_those_that_the_report_names(
    results: tuple[Dataset, Dataset], statement: Mapping[str, Any]
) -> None:
    named = {
        str(item.ContentTemplateSequence[0].TemplateIdentifier)
        for item in [results[1], *_content(results[1])]
        if "ContentTemplateSequence" in item
    }
    assert named == set(statement["templates"])


def _content(item: Dataset) -> Iterator[Dataset]:
    for child in item.get("ContentSequence", []):
        yield child
        yield from _content(child)


@pytest.mark.verifies("SRS-193", level="integration", technique="consistency")
def test_the_document_is_that_of_the_code(statement: Mapping[str, Any]) -> None:
    assert (ROOT / "docs/conformance.md").read_text(encoding="utf-8") == markdown(statement), (
        "run: python -m node.conformance > docs/conformance.md"
    )
