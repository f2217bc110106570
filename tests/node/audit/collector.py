"""A real syslog collector on a loopback port: TLS, TCP or UDP, that can go down and come back."""

from __future__ import annotations

import datetime as dt
import ipaddress
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree.ElementTree import Element, fromstring

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

BOM = b"\xef\xbb\xbf"


@dataclass
class Received:
    """What a collector got: whole syslog messages, in the order of arrival."""

    port: int = 0
    messages: list[bytes] = field(default_factory=list)

    def wait(self, count: int, seconds: float = 30.0) -> list[Element]:
        """Wait for so many messages and return them as XML."""
        deadline = time.monotonic() + seconds
        while len(self.messages) < count:
            assert time.monotonic() < deadline, f"{len(self.messages)} of {count} messages came"
            time.sleep(0.02)
        return [fromstring(message.partition(BOM)[2]) for message in self.messages]  # noqa: S314  our own messages

    def kinds(self, count: int) -> list[str | None]:
        """Wait for so many messages and return their event codes."""
        return [root[0][0].get("csd-code") for root in self.wait(count)]


@contextmanager
def stream_collector(port: int = 0, context: ssl.SSLContext | None = None) -> Iterator[Received]:
    """Run a TCP collector, or a TLS one, while the block runs. Messages are framed by their length (RFC 5425 4.3)."""
    received = Received()
    open_now: list[socket.socket] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            open_now.append(self.request)
            try:
                while length := _length(self):
                    received.messages.append(_exactly(self, length))
            except OSError:
                return

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True

        def get_request(self) -> tuple[socket.socket, object]:
            connection, address = super().get_request()
            return (context.wrap_socket(connection, server_side=True) if context else connection), address

        def handle_error(self, *_: object) -> None:
            return

    with Server(("127.0.0.1", port), Handler) as server:
        received.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield received
        finally:
            server.shutdown()
            thread.join()
            for connection in open_now:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)  # its handler still holds it: to close it here ends nothing


def _length(handler: socketserver.StreamRequestHandler) -> int:
    digits = b""
    while (byte := handler.rfile.read(1)) != b" ":
        if not byte:
            return 0
        assert byte.isdigit()
        digits += byte
    return int(digits)


def _exactly(handler: socketserver.StreamRequestHandler, length: int) -> bytes:
    message = handler.rfile.read(length)
    assert len(message) == length
    return message


@contextmanager
def datagram_collector() -> Iterator[Received]:
    """Run a UDP collector: a message a datagram (RFC 5426 3.1)."""
    received = Received()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            received.messages.append(self.request[0])

    with socketserver.UDPServer(("127.0.0.1", 0), Handler) as server:
        server.max_packet_size = 65507
        received.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield received
        finally:
            server.shutdown()
            thread.join()


def write_certificate(folder: Path, name: str) -> Path:
    """Write a certificate of a loopback address that vouches for itself, with its key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"PHANTOM {name}")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    path = folder / f"{name}.pem"
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(certificate.public_bytes(encoding) + private)
    return path


def server_context(certificate: Path, client: Path) -> ssl.SSLContext:
    """Return what a collector needs that asks for the node's certificate too, as ATNA does."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.load_verify_locations(client)
    context.verify_mode = ssl.CERT_REQUIRED
    return context
