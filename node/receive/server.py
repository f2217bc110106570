"""The Storage SCP: takes the bytes of each C-STORE to the inbox and answers when they are on disk.

pynetdicom does the protocol. What is ours: a refused object is told why, a disk that refuses is "out of resources" (so
that the sender tries again) and never success, a load balancer's probe costs nothing, and a peer that falls silent in
the middle of a PDU does not hold its threads for ever.
"""

from __future__ import annotations

import functools
import socket
import socketserver
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import structlog
from pydicom import Dataset
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, _config, evt, sop_class
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.transport import ThreadedAssociationServer

from node.net import AETitle, unlogged
from node.net.peers import LARGE_PDU
from node.receive.inbox import Inbox, InboxFull

log = structlog.get_logger(__name__)

_YIELD_S = 0.01
_LONGEST_YIELD_S = 0.2

_SUCCESS = 0x0000
_OUT_OF_RESOURCES = 0xA700  # PS3.4 B.2.3: the sender may try again
_CANNOT_UNDERSTAND = 0xC000
_STORED_WITHOUT_PATIENT = (  # PS3.4 GG: storage too, though pynetdicom lists it apart
    sop_class.ColorPaletteStorage,
    sop_class.HangingProtocolStorage,
    sop_class.GenericImplantTemplateStorage,
    sop_class.ImplantAssemblyTemplateStorage,
    sop_class.ImplantTemplateGroupStorage,
    sop_class.InventoryStorage,
    sop_class.ProtocolApprovalStorage,
    sop_class.CTDefinedProcedureProtocolStorage,
    sop_class.XADefinedProcedureProtocolStorage,
)


class _Server(ThreadedAssociationServer):  # type: ignore[misc]  # pynetdicom is not typed for us
    """Listens, and gives pynetdicom only connections on which a peer speaks.

    Parameters
    ----------
    *args, **kwargs
        As `AE.make_server` hands them over.
    listener
        A socket that listens already, shared with other processes; None binds the address.
    """

    request_queue_size = 128
    daemon_threads = True

    def __init__(self, *args: Any, listener: socket.socket | None = None, **kwargs: Any) -> None:
        self.socket: socket.socket
        self._listener = listener
        self._accepted: deque[float] = deque(maxlen=64)
        super().__init__(*args, **kwargs)

    def server_bind(self) -> None:
        if self._listener is None:
            super().server_bind()
        else:
            self.socket.close()
            self.socket = self._listener
            self.server_address = self._listener.getsockname()
        self.socket.setblocking(False)  # another process may have taken the connection that woke us

    def get_request(self) -> tuple[socket.socket, Any]:
        if self._listener is not None:
            # The process with the fewest associations is the first to accept; the others then find nothing.
            time.sleep(min(_YIELD_S * self._load(), _LONGEST_YIELD_S))
        connection, address = self.socket.accept()
        self._accepted.append(time.monotonic())
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return connection, address

    def _load(self) -> int:
        """Count the associations, with those accepted in the last second, which pynetdicom may not count yet."""
        while self._accepted and time.monotonic() - self._accepted[0] > 1.0:
            self._accepted.popleft()
        return max(len(self.active_associations), len(self._accepted))

    def finish_request(self, request: socket.socket, client_address: Any) -> None:
        """Start an association at the peer's first byte.

        A probe that connects and closes would otherwise cost two threads and one of the association's places until
        the ACSE time-out.
        """
        try:
            request.settimeout(self.ae.acse_timeout)
            speaks = bool(request.recv(1, socket.MSG_PEEK))
            request.settimeout(self.ae.network_timeout)
        except OSError:
            speaks = False
        if speaks:
            super().finish_request(request, client_address)
        else:
            self.shutdown_request(request)

    def server_close(self) -> None:
        self.socket.close()  # without pynetdicom's shutdown(), which would silence the processes that share the socket

    def shutdown(self) -> None:
        socketserver.BaseServer.shutdown(self)
        self.server_close()


class _Reception:
    """What happens to each message. One for all associations of a server."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._lock = threading.Lock()
        self._counts: dict[Any, Counter[str]] = {}

    def on_established(self, event: Any) -> None:
        with self._lock:
            self._counts[event.assoc] = Counter()

    def on_store(self, event: Any) -> int | Dataset:
        """Answer a C-STORE request (PS3.4 B.2.3)."""
        request = event.request
        try:
            with request.DataSet.getbuffer() as dataset:
                if not dataset:
                    return self._refuse(event.assoc, _CANNOT_UNDERSTAND, "The data set is empty")
                receipt = self._inbox.accept(
                    str(request.AffectedSOPClassUID),
                    str(request.AffectedSOPInstanceUID),
                    str(event.context.transfer_syntax),
                    dataset,
                )
        except InboxFull:
            return self._refuse(event.assoc, _OUT_OF_RESOURCES, "Too little disk space left")
        except OSError as error:
            return self._refuse(event.assoc, _OUT_OF_RESOURCES, "The disk cannot be written", errno=error.errno)
        except ValueError:
            return self._refuse(event.assoc, _CANNOT_UNDERSTAND, "Invalid Affected SOP Instance UID")
        self._count(event.assoc, receipt.kind)
        if receipt.kind == "conflict":
            log.warning("receive.conflict", name=receipt.name, peer=_peer(event.assoc))
        return _SUCCESS

    def on_message(self, event: Any) -> None:
        """Answer the C-STORE requests that pynetdicom drops without a word, so that their sender need not time out."""
        message = event.message
        if type(message).__name__ != "C_STORE_RQ":
            return
        command = message.command_set
        if command.get("AffectedSOPClassUID") and command.get("AffectedSOPInstanceUID"):
            return
        if command.get("MessageID") is None:
            event.assoc.abort()
            return
        response = C_STORE()
        response.MessageIDBeingRespondedTo = command.MessageID
        refusal = self._refuse(event.assoc, _CANNOT_UNDERSTAND, "Affected SOP Class or Instance UID missing")
        response.Status, response.ErrorComment = refusal.Status, refusal.ErrorComment
        event.assoc.dimse.send_msg(response, message.context_id)

    def on_closed(self, event: Any) -> None:
        with self._lock:
            counts = self._counts.pop(event.assoc, None)
        if counts is not None:
            log.info("receive.association-closed", peer=_peer(event.assoc), **counts)

    def on_rejected(self, event: Any) -> None:
        log.warning("receive.association-rejected", peer=_peer(event.assoc))

    def _refuse(self, association: Any, status: int, comment: str, **facts: Any) -> Dataset:
        self._count(association, "refused")
        log.error("receive.refused", status=f"0x{status:04X}", why=comment, peer=_peer(association), **facts)
        answer = Dataset()
        answer.Status = status
        answer.ErrorComment = comment
        return answer

    def _count(self, association: Any, kind: str) -> None:
        with self._lock:
            if association in self._counts:
                self._counts[association][kind] += 1


def _peer(association: Any) -> str:
    """Name a peer for the log: AE title and address, no patient's identity."""
    requestor = association.requestor
    return f"{requestor.ae_title.strip()}@{requestor.address_info.address}"


class Receiver:
    """A running Storage SCP.

    Parameters
    ----------
    server
        The server, not yet serving.
    """

    def __init__(self, server: _Server) -> None:
        self._server = server
        self._thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.2}, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._server.server_address[1])

    def stop(self, grace_s: float = 5.0) -> None:
        """Take no more associations, give those that stand time to end, then abort them.

        Parameters
        ----------
        grace_s
            Seconds that they may still take.
        """
        self._server.shutdown()
        self._thread.join()
        end = time.monotonic() + grace_s
        while self._server.active_associations and time.monotonic() < end:
            time.sleep(0.05)
        for association in self._server.active_associations:
            association.abort()

    def __enter__(self) -> Receiver:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def serve(
    inbox: Inbox,
    *,
    ae_title: AETitle,
    host: str,
    port: int,
    calling_ae_titles: Sequence[AETitle] = (),
    require_called_ae_title: bool = False,
    maximum_associations: int = 64,
    association_timeout_s: float = 30.0,
    network_timeout_s: float = 60.0,
    maximum_pdu: int = LARGE_PDU,
    listener: socket.socket | None = None,
) -> Receiver:
    """Receive objects into an inbox, in threads of this process.

    Takes C-ECHO and, of every storage class that pynetdicom knows, C-STORE in every transfer syntax. Private and
    unknown storage classes need pynetdicom's process-wide unrestricted mode: `node.receive.process` runs receivers so.

    Parameters
    ----------
    inbox
        Where the objects go.
    ae_title
        Our AE title.
    host, port
        Address to listen on; port 0 takes a free one.
    calling_ae_titles
        The peers that may associate; none named: all.
    require_called_ae_title
        Reject peers that call us by another title.
    maximum_associations
        More at once are rejected (local limit exceeded, transient).
    association_timeout_s
        Seconds that a peer may take to begin and to ask for its association.
    network_timeout_s
        Seconds of silence after which an association is aborted.
    maximum_pdu
        The longest PDU in bytes that we offer.
    listener
        A listening socket to take connections from instead of `host` and `port`.

    Returns
    -------
    Receiver
        The running server; stop it, or use it as a context manager.

    Raises
    ------
    OSError
        If the address cannot be listened on.
    """
    ae = AE(ae_title=ae_title)
    ae.require_calling_aet = list(calling_ae_titles)
    ae.require_called_aet = require_called_ae_title
    ae.maximum_associations = maximum_associations
    ae.maximum_pdu_size = maximum_pdu
    ae.acse_timeout = association_timeout_s
    ae.dimse_timeout = network_timeout_s
    ae.network_timeout = network_timeout_s
    ae.add_supported_context(sop_class.Verification)
    # In unrestricted mode pynetdicom ignores these, but would still copy 10,000 UIDs for each association.
    known = () if _config.UNRESTRICTED_STORAGE_SERVICE else AllStoragePresentationContexts
    for abstract_syntax in (*(context.abstract_syntax for context in known), *_STORED_WITHOUT_PATIENT):
        ae.add_supported_context(abstract_syntax, ALL_TRANSFER_SYNTAXES)
    reception = _Reception(inbox)
    server = ae.make_server(
        (host, port),
        evt_handlers=[
            (evt.EVT_CONN_OPEN, unlogged),
            (evt.EVT_ESTABLISHED, reception.on_established),
            (evt.EVT_C_STORE, reception.on_store),
            (evt.EVT_DIMSE_RECV, reception.on_message),
            (evt.EVT_CONN_CLOSE, reception.on_closed),
            (evt.EVT_REJECTED, reception.on_rejected),
        ],
        server_class=functools.partial(_Server, listener=listener),
    )
    return Receiver(server)
