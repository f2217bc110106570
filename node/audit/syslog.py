"""Syslog as DICOM asks for it (PS3.15 A.6, A.7): RFC 5424 messages over TLS (RFC 5425), TCP or UDP (RFC 5426).

Syslog has no answer: what TCP took may still be lost where the collector dies with it. An end that the collector has
closed is noticed after each message; then the message counts as not sent.
"""

from __future__ import annotations

import re
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

_TIMEOUT_S = 10.0
_FACILITY = 10  # security and authorization (A.6.2)
_SEVERITY = {"0": 5, "4": 4, "8": 3}
_BOM = b"\xef\xbb\xbf"  # says that the text is UTF-8 (RFC 5424 6.4)


@dataclass(frozen=True)
class Collector:
    """Where audit messages go.

    Attributes
    ----------
    scheme, host, port
        ``tls``, ``tcp`` or ``udp``, and the address.
    ca_file
        PEM file of who vouches for the collector; None for the authorities that the system trusts.
    client_file
        PEM file with the node's own certificate and private key, where the collector asks for one.
    """

    scheme: Literal["tls", "tcp", "udp"]
    host: str
    port: int
    ca_file: Path | None = None
    client_file: Path | None = None


def syslog_message(text: bytes, *, outcome: str, time: str, host: str, process: str) -> bytes:
    """Return an RFC 5424 message.

    Parameters
    ----------
    text
        The audit message, XML in UTF-8.
    outcome
        Its EventOutcomeIndicator: decides the severity.
    time
        Time of the event, as RFC 3339 has it.
    host, process
        Machine and process ID.
    """
    priority = _FACILITY * 8 + _SEVERITY[outcome]
    header = f"<{priority}>1 {time} {_printable(host, 255)} overread {_printable(process, 128)} DICOM+RFC3881 - "
    return header.encode("ascii") + _BOM + text


def _printable(text: str, longest: int) -> str:
    return re.sub("[^!-~]", "?", text)[:longest] or "-"


class Connection:
    """The way to a collector, opened when it is needed and again after a failure. For one thread."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self._socket: socket.socket | None = None

    def send(self, message: bytes) -> None:
        """Send a message.

        Raises
        ------
        OSError
            If it could not be sent. It may have arrived all the same: who sends again may send twice.
        """
        try:
            if self._socket is None:
                self._socket = self._open()
            if self._collector.scheme == "udp":
                self._socket.send(message)
                return
            self._socket.sendall(b"%d %s" % (len(message), message))  # octet counting: RFC 5425 4.3, RFC 6587 3.4.1
            if self._closed_by_collector():
                raise ConnectionAbortedError("the collector closed the connection")
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Let the connection go."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _open(self) -> socket.socket:
        to = self._collector
        if to.scheme == "udp":
            family, kind, protocol, _, address = socket.getaddrinfo(to.host, to.port, type=socket.SOCK_DGRAM)[0]
            datagrams = socket.socket(family, kind, protocol)
            datagrams.settimeout(_TIMEOUT_S)
            datagrams.connect(address)
            return datagrams
        plain = socket.create_connection((to.host, to.port), timeout=_TIMEOUT_S)
        if to.scheme == "tcp":
            return plain
        try:
            return _tls(to).wrap_socket(plain, server_hostname=to.host)
        except BaseException:
            plain.close()
            raise

    def _closed_by_collector(self) -> bool:
        """Tell whether the other end is gone. A collector says nothing, so whatever comes is its end or TLS's own."""
        if self._socket is None or self._collector.scheme == "udp":
            return False
        self._socket.settimeout(0)
        try:
            return not self._socket.recv(4096)
        except (BlockingIOError, ssl.SSLWantReadError):
            return False
        finally:
            self._socket.settimeout(_TIMEOUT_S)


def _tls(collector: Collector) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=collector.ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if collector.client_file is not None:
        context.load_cert_chain(collector.client_file)
    return context
