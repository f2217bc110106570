"""A small PACS for the demonstration: it keeps studies, routes one to the node, and keeps what comes back.

Orthanc where the machine has it (`node.demo.orthanc`), because a real peer is the better witness; else the one here, on
pynetdicom. Both know one peer, the node, and are gone when they are stopped.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, Self

from pydicom import dcmread
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, evt
from pynetdicom.sop_class import Verification

from node.net import Destination, send

AE_TITLE = "DEMOPACS"
RESULT_MODALITIES = ("SEG", "SR")
_SUCCESS, _OUT_OF_RESOURCES, _CANNOT_UNDERSTAND = 0x0000, 0xA700, 0xC000  # PS3.4 B.2.3


class NotRoutedError(RuntimeError):
    """The node took no object of a study."""


class Pacs(Protocol):
    """What the demonstration asks of a PACS."""

    @property
    def name(self) -> str:
        """What it is, for the reader."""

    @property
    def address(self) -> Destination:
        """Where results are to be sent."""

    def store(self, files: Sequence[Path]) -> None:
        """Take files in, as from a CD."""

    def route(self, study_uid: str) -> str:
        """Send a study to the node.

        Returns
        -------
        str
            "", or a sentence that says how many objects the node did not take.

        Raises
        ------
        NotRoutedError
            If it took none.
        """

    def results(self, study_uid: str) -> tuple[Path, ...]:
        """Return the SEGs and SRs of a study that came from the node, as files."""

    def stop(self) -> None:
        """End it."""


def account(refused: int, count: int, why: str = "") -> str:
    """Say what `Pacs.route` has to say.

    Parameters
    ----------
    refused, count
        How many objects were not taken, and of how many.
    why
        The reasons.
    """
    text = f"{refused} of {count} objects were not taken" + (f" ({why})" if why else "")
    if refused == count:
        raise NotRoutedError(text)
    return text + "." if refused else ""


class BuiltInPacs:
    """A PACS in this process, listening on a free port of the loopback interface.

    Parameters
    ----------
    folder
        Where it keeps its objects.
    node
        The node, to which studies go and from which alone it takes objects.
    """

    name = "the built-in PACS"

    def __init__(self, folder: Path, node: Destination) -> None:
        self._stored = folder / "stored"
        self._received = folder / "received"
        for directory in (self._stored, self._received):
            directory.mkdir(parents=True)
        self._node = node
        self._studies: dict[str, list[Path]] = {}
        self._results: dict[str, dict[str, Path]] = {}
        self._lock = threading.Lock()
        self._server = self._listen(node.ae_title)
        host, port = self._server.socket.getsockname()
        self._address = Destination(ae_title=AE_TITLE, host=host, port=port)

    def _listen(self, peer: str) -> Any:
        ae = AE(ae_title=AE_TITLE)
        ae.add_supported_context(Verification)
        for context in AllStoragePresentationContexts:
            ae.add_supported_context(context.abstract_syntax, ALL_TRANSFER_SYNTAXES)
        ae.require_called_aet = True
        ae.require_calling_aet = [peer]
        handlers = [(evt.EVT_C_STORE, self._receive), (evt.EVT_C_ECHO, lambda _event: _SUCCESS)]
        return ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)

    @property
    def address(self) -> Destination:
        """Where results are to be sent."""
        return self._address

    def store(self, files: Sequence[Path]) -> None:
        """Take files in, as from a CD."""
        for number, file in enumerate(files):
            study = str(dcmread(file, stop_before_pixels=True, specific_tags=["StudyInstanceUID"]).StudyInstanceUID)
            kept = self._studies.setdefault(study, [])
            copy = self._stored / f"{len(self._studies):03}-{number:06}.dcm"
            kept.append(Path(shutil.copyfile(file, copy)))

    def route(self, study_uid: str) -> str:
        """Send a study to the node. See `Pacs.route`."""
        peer = self._node.model_copy(update={"calling_ae_title": AE_TITLE})
        answers = send(self._studies[study_uid], peer)
        refused = [answer for answer in answers if not answer.succeeded]
        reasons = {str(a.failure) if a.status is None else f"status 0x{a.status:04X}" for a in refused}
        return account(len(refused), len(answers), ", ".join(sorted(reasons)))

    def results(self, study_uid: str) -> tuple[Path, ...]:
        """Return the SEGs and SRs of a study that came from the node, as files."""
        with self._lock:
            return tuple(self._results.get(study_uid, {}).values())

    def _receive(self, event: Any) -> int:
        """Keep an object that the node sends (C-STORE)."""
        instance = str(event.request.AffectedSOPInstanceUID)
        with self._lock:
            part = self._received / "object.part"
            try:
                part.write_bytes(event.encoded_dataset())
            except OSError:
                return _OUT_OF_RESOURCES
            try:
                header = dcmread(part, stop_before_pixels=True, specific_tags=["StudyInstanceUID", "Modality"])
                study, modality = str(header.StudyInstanceUID), str(header.Modality)
            except Exception:  # noqa: BLE001  a PACS refuses what it cannot read, whatever pydicom raises
                return _CANNOT_UNDERSTAND
            if modality in RESULT_MODALITIES:
                number = sum(len(results) for results in self._results.values()) + 1
                file = self._results.setdefault(study, {}).setdefault(
                    instance, self._received / f"{number:03}-{modality}.dcm"
                )
                part.replace(file)
            return _SUCCESS

    def stop(self) -> None:
        """End it: its port is free again when this returns."""
        with self._lock:
            server, self._server = self._server, None
        if server is not None:
            server.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
