"""Send objects to a DICOM node and hear, object by object, what it answered.

Objects travel as they lie on disk, undecoded. Every call answers for every object: nothing raises because a peer is
down, slow or wrong, for the caller has to file an outcome for each object either way.

Responses do not come through `Association.send_c_store`: in pynetdicom 3.0.4 the association's reactor thread can take
a response off the queue before the sending thread has paused it, and drops it; the sender then waits for nothing and
reports an empty status. Here the reactor is never paused, and hands every response on (`_Requestor`).
"""

from __future__ import annotations

import queue
import socket
import struct
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from io import BytesIO
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, build_context, evt
from pynetdicom.dimse_primitives import C_ECHO, C_STORE
from pynetdicom.dsutils import encode, split_dataset
from pynetdicom.sop_class import Verification

from node.net.peers import Destination
from node.net.quiet import unlogged

_MAXIMUM_CONTEXTS = 128  # context IDs are the odd numbers below 256: PS3.8 9.3.2.2
_LONGEST_UID = 64  # PS3.5 9.1; pynetdicom sends no longer one
_UNREADABLE = (  # what pydicom raises on files that are no DICOM, cut off or damaged, found by damaging real ones
    OSError,
    InvalidDicomError,
    BytesLengthException,
    ValueError,
    KeyError,
    EOFError,
    NotImplementedError,
    struct.error,
    zlib.error,
)
_SETBACKS_ALLOWED = 2  # objects in a row that cost us the association, before we leave the destination alone


class Failure(StrEnum):
    """Why an object has no status from the peer."""

    UNREADABLE = "unreadable"
    NO_ASSOCIATION = "no-association"
    ASSOCIATION_REJECTED = "association-rejected"
    NO_PRESENTATION_CONTEXT = "no-presentation-context"
    NO_RESPONSE = "no-response"
    CONNECTION_LOST = "connection-lost"
    NOT_TRIED = "not-tried"


@dataclass(frozen=True)
class Answer:
    """What came of one request.

    Attributes
    ----------
    status
        The peer's DIMSE status (PS3.7 Annex C), or None if none came.
    failure
        Why none came, or None.
    comment
        The peer's Error Comment (0000,0902), or why it rejected the association. May quote identities: not for logs.
    """

    status: int | None = None
    failure: Failure | None = None
    comment: str = field(default="", repr=False)

    @property
    def succeeded(self) -> bool:
        """True for status 0x0000 only."""
        return self.status == 0x0000


@dataclass(frozen=True)
class _Outgoing:
    """An object on disk: what it is, and where in its file the encoded data set begins."""

    path: Path
    offset: int
    sop_class_uid: str = field(repr=False)
    sop_instance_uid: str = field(repr=False)
    transfer_syntax_uid: str

    @classmethod
    def read(cls, path: Path) -> _Outgoing | None:
        """Read what has to be negotiated; None if this is no DICOM file, or names no usable class, instance or syntax.

        The data set's own UIDs go before those of the file meta information, which not every writer keeps in step.
        """
        try:
            meta, offset = split_dataset(path)
            own = dcmread(path, specific_tags=["SOPClassUID", "SOPInstanceUID"], stop_before_pixels=True)
            sop_class = own.get("SOPClassUID") or meta.get("MediaStorageSOPClassUID")
            sop_instance = own.get("SOPInstanceUID") or meta.get("MediaStorageSOPInstanceUID")
            syntax = meta.get("TransferSyntaxUID")
        except _UNREADABLE:
            return None
        uids = (sop_class, sop_instance, syntax)
        if not all(uid and str(uid).isascii() and len(str(uid)) <= _LONGEST_UID for uid in uids):
            return None
        return cls(path, offset, str(sop_class), str(sop_instance), str(syntax))

    @property
    def contexts(self) -> tuple[tuple[str, str], ...]:
        """The (SOP class, transfer syntax) pairs to propose: as it is, and the default syntax if that costs no pixel.

        The default syntax is owed by every SCU and taken by every SCP: PS3.5 10.1.
        """
        as_it_is = (self.sop_class_uid, self.transfer_syntax_uid)
        if self.transfer_syntax_uid == ExplicitVRLittleEndian:
            return as_it_is, (self.sop_class_uid, str(ImplicitVRLittleEndian))
        return (as_it_is,)

    def encoded(self, context: tuple[str, str]) -> bytes:
        """Return the data set as the accepted context wants it."""
        if context[1] == self.transfer_syntax_uid:
            with self.path.open("rb") as file:
                file.seek(self.offset)
                return file.read()
        data = encode(dcmread(self.path), is_implicit_vr=True, is_little_endian=True)
        if data is None:
            raise ValueError("the data set cannot be encoded in the default transfer syntax")
        return bytes(data)


class _ClosingAE(AE):  # type: ignore[misc]  # pynetdicom is not typed for us
    """An AE that asks for one association, and can close its socket.

    pynetdicom shuts a socket down before it closes it; on one that never connected, or that the peer has reset, the
    first raises, and the second does not happen.
    """

    def _create_socket(self, *args: Any) -> Any:
        created = super()._create_socket(*args)
        self._created: socket.socket = created.socket
        self._created.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else each C-STORE waits for a delayed ACK
        return created

    def close_socket(self) -> None:
        """Close the socket, whatever came of it."""
        self._created.close()


class _Requestor:
    """An association that we asked for.

    Parameters
    ----------
    destination
        Whom to ask.
    contexts
        The (abstract syntax, transfer syntax) pairs to propose, at most 128.
    """

    def __init__(self, destination: Destination, contexts: Sequence[tuple[str, str]]) -> None:
        self._responses: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._timeout_s = destination.response_timeout_s
        self._message_id = 0
        ae = self._ae = _ClosingAE(ae_title=destination.calling_ae_title)
        ae.connection_timeout = destination.connection_timeout_s
        ae.acse_timeout = destination.association_timeout_s
        ae.dimse_timeout = destination.response_timeout_s
        # The idle timer must not abort an association whose peer is still within its time to answer.
        ae.network_timeout = destination.response_timeout_s + destination.association_timeout_s
        self._association = ae.associate(
            destination.host,
            destination.port,
            ae_title=destination.ae_title,
            contexts=[build_context(abstract, [transfer]) for abstract, transfer in contexts],
            max_pdu=destination.maximum_pdu,
            # A connection that ends is an abort by the provider to pynetdicom (A-P-ABORT), and announced as one.
            evt_handlers=[(evt.EVT_CONN_OPEN, unlogged), (evt.EVT_ABORTED, self._lost)],
        )
        # The reactor thread calls this with each message that it finds. See the module's head.
        self._association._serve_request = self._hand_on  # noqa: SLF001  no public seam; test_scu notices if it moves

    def _hand_on(self, message: Any, _context_id: int) -> None:
        """Take a message from the reactor. We offered no service: a request can only be answered by an abort."""
        if message.MessageIDBeingRespondedTo is None:
            self._association.abort()
        else:
            self._responses.put(message)

    def _lost(self, _event: Any) -> None:
        self._responses.put(None)

    @property
    def refusal(self) -> Answer | None:
        """None if the association stands, else why it does not."""
        if self._association.is_established:
            return None
        if self._association.is_rejected:
            reply = self._association.acceptor.primitive
            return Answer(failure=Failure.ASSOCIATION_REJECTED, comment=f"{reply.result_str}: {reply.reason_str}")
        if self._association.rejected_contexts:  # it stood, but pynetdicom ends it if the peer accepts no context
            return Answer(failure=Failure.NO_PRESENTATION_CONTEXT)
        return Answer(failure=Failure.NO_ASSOCIATION)

    def store(self, outgoing: _Outgoing) -> Answer:
        """Send one object (C-STORE, PS3.7 9.1.1) and wait for its response."""
        accepted = {
            (str(context.abstract_syntax), str(context.transfer_syntax[0])): context.context_id
            for context in self._association.accepted_contexts
        }
        context = next((proposed for proposed in outgoing.contexts if proposed in accepted), None)
        if context is None:
            return Answer(failure=Failure.NO_PRESENTATION_CONTEXT)
        request = C_STORE()
        try:
            request.AffectedSOPClassUID = outgoing.sop_class_uid
            request.AffectedSOPInstanceUID = outgoing.sop_instance_uid
            request.DataSet = BytesIO(outgoing.encoded(context))
        except _UNREADABLE:
            return Answer(failure=Failure.UNREADABLE)
        return self._ask(request, accepted[context])

    def echo(self) -> Answer:
        """Ask whether the peer is there (C-ECHO, PS3.7 9.1.5)."""
        request = C_ECHO()
        request.AffectedSOPClassUID = Verification
        return self._ask(request, self._association.accepted_contexts[0].context_id)

    def _ask(self, request: Any, context_id: int) -> Answer:
        self._message_id = self._message_id % 0xFFFF + 1
        request.MessageID = self._message_id
        if not self._association.is_established:
            return Answer(failure=Failure.CONNECTION_LOST)
        self._association.dimse.send_msg(request, context_id)
        end = time.monotonic() + self._timeout_s
        while True:
            try:
                response = self._responses.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                return Answer(failure=Failure.NO_RESPONSE)
            if response is None:
                return Answer(failure=Failure.CONNECTION_LOST)
            if response.MessageIDBeingRespondedTo == request.MessageID:
                break
        if response.Status is None:
            return Answer(failure=Failure.NO_RESPONSE)
        return Answer(status=int(response.Status), comment=str(response.ErrorComment or ""))

    def close(self) -> None:
        """End the association, released if it stands, and see to it that its thread and its socket end too."""
        if self._association.is_established:
            self._association.release()
        if self._association.is_alive():
            self._association.join(self._timeout_s)
        self._ae.close_socket()

    def abort(self) -> None:
        """End an association whose peer owes a response that we no longer wait for."""
        if self._association.is_established:
            self._association.abort()


@contextmanager
def _association(destination: Destination, contexts: Sequence[tuple[str, str]]) -> Iterator[_Requestor | Answer]:
    """Open an association, or give the reason why there is none."""
    try:
        requestor = _Requestor(destination, contexts)
    except OSError as error:  # the host's name does not resolve
        yield Answer(failure=Failure.NO_ASSOCIATION, comment=type(error).__name__)
        return
    try:
        yield requestor.refusal or requestor
    finally:
        requestor.close()


def echo(destination: Destination) -> Answer:
    """Ask a destination whether it is there.

    Parameters
    ----------
    destination
        Whom to ask.

    Returns
    -------
    Answer
        Its status, or why there is none.
    """
    with _association(destination, [(str(Verification), str(ImplicitVRLittleEndian))]) as opened:
        return opened if isinstance(opened, Answer) else opened.echo()


def send(objects: Sequence[Path], destination: Destination) -> tuple[Answer, ...]:
    """Send DICOM files, over as many associations as their SOP classes and transfer syntaxes need.

    An object that costs the association (the peer aborts, or never answers) does not take the others with it: they
    go over a new one, until two in a row failed so.

    Parameters
    ----------
    objects
        DICOM files (PS3.10). Sent as they are encoded; only an uncompressed little endian one is converted, to the
        default transfer syntax, if the peer takes nothing else.
    destination
        Whom to send to.

    Returns
    -------
    tuple of Answer
        One an object, in the order of `objects`.
    """
    answers: dict[int, Answer] = {}
    pending: list[tuple[int, _Outgoing]] = []
    for index, path in enumerate(objects):
        outgoing = _Outgoing.read(path)
        if outgoing is None:
            answers[index] = Answer(failure=Failure.UNREADABLE)
        else:
            pending.append((index, outgoing))
    setbacks = 0
    while pending and setbacks < _SETBACKS_ALLOWED:
        batch = _batch(pending)
        answered, lost = _send_batch(batch, destination)
        setbacks = (setbacks if len(answered) == 1 else 0) + 1 if lost else 0
        for (index, _), answer in zip(batch, answered, strict=False):
            answers[index] = answer
        pending = pending[len(answered) :]
    answers |= {index: Answer(failure=Failure.NOT_TRIED) for index, _ in pending}
    return tuple(answers[index] for index in range(len(objects)))


def _batch(pending: Sequence[tuple[int, _Outgoing]]) -> list[tuple[int, _Outgoing]]:
    """Return the leading objects whose contexts fit into one association."""
    contexts: set[tuple[str, str]] = set()
    batch = []
    for index, outgoing in pending:
        contexts |= set(outgoing.contexts)
        if len(contexts) > _MAXIMUM_CONTEXTS:
            break
        batch.append((index, outgoing))
    return batch


def _send_batch(batch: Sequence[tuple[int, _Outgoing]], destination: Destination) -> tuple[list[Answer], bool]:
    """Send until the batch is through or the association is gone: the answers so far, and whether it was lost."""
    contexts = list(dict.fromkeys(context for _, outgoing in batch for context in outgoing.contexts))
    answers: list[Answer] = []
    with _association(destination, contexts) as opened:
        if isinstance(opened, Answer):
            return [opened] * len(batch), False
        for _, outgoing in batch:
            answer = opened.store(outgoing)
            answers.append(answer)
            if answer.failure in {Failure.NO_RESPONSE, Failure.CONNECTION_LOST}:
                opened.abort()
                return answers, True
    return answers, False
