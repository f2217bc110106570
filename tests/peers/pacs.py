"""A small PACS: a real Storage SCP on a loopback port that can be told to refuse, to be slow, to hang up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pydicom import Dataset
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, evt
from pynetdicom.sop_class import Verification

from node.net import Destination

Answerer = Callable[[int], int | None]
"""The number of the C-STORE request, from 0, to its status; None hangs up instead."""


class Pacs:
    """What the peer does and what it got.

    Attributes
    ----------
    answer
        Decides about each C-STORE; may sleep.
    received
        The data sets' bytes that it answered 0x0000 or a warning for, by SOP Instance UID, in the order of arrival.
    requests
        How many C-STORE requests came.
    destination
        Its address, for our client.
    """

    def __init__(self, answer: Answerer, destination: Destination) -> None:
        self.answer = answer
        self.destination = destination
        self.received: dict[str, list[bytes]] = {}
        self.requests = 0
        self._lock = threading.Lock()

    def on_store(self, event: Any) -> Dataset:
        with self._lock:
            number = self.requests
            self.requests += 1
        status = self.answer(number)
        reply = Dataset()
        if status is None:
            event.assoc.abort()
            reply.Status = 0x0110
            return reply
        if status == 0 or 0xB000 <= status <= 0xBFFF:
            with self._lock:
                uid = str(event.request.AffectedSOPInstanceUID)
                self.received.setdefault(uid, []).append(event.request.DataSet.getvalue())
        reply.Status = status
        if status:
            reply.ErrorComment = "PHANTOM^TEST is not wanted"
        return reply


@contextmanager
def pacs(
    answer: Answerer = lambda _: 0x0000,
    *,
    transfer_syntaxes: Sequence[str] = ALL_TRANSFER_SYNTAXES,
    echo_only: bool = False,
    calling: Sequence[str] = (),
    response_timeout_s: float = 10.0,
) -> Iterator[Pacs]:
    """Run a PACS while the block runs."""
    ae = AE(ae_title="PACS")
    ae.maximum_pdu_size = 131072
    ae.require_calling_aet = list(calling)
    ae.add_supported_context(Verification)
    if not echo_only:
        for context in AllStoragePresentationContexts:
            ae.add_supported_context(context.abstract_syntax, list(transfer_syntaxes))
    peer: Pacs | None = None

    def on_store(event: Any) -> Dataset:
        assert peer is not None
        return peer.on_store(event)

    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, on_store)])
    port = server.server_address[1]
    peer = Pacs(
        answer, Destination(ae_title="PACS", host="127.0.0.1", port=port, response_timeout_s=response_timeout_s)
    )
    try:
        yield peer
    finally:
        server.shutdown()
        end = time.monotonic() + 5
        while server.active_associations and time.monotonic() < end:
            time.sleep(0.02)
