"""HTTPS upstreams: connected to at a checked address, under the certificate of their name."""

import asyncio
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mcp_bridge.upstreams import outbound
from mcp_bridge.upstreams.exchange import Exchange, Watched


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with a key and a certificate for the name localhost, which signs itself."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    builder = x509.CertificateBuilder(
        issuer_name=name, subject_name=name, public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - timedelta(days=1), not_valid_after=now + timedelta(days=1),
    )  # fmt: skip
    names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    signed = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + signed.public_bytes(serialization.Encoding.PEM)
    )
    return path


class Answering(BaseHTTPRequestHandler):
    """Answers with the Host it was asked for."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        body = self.headers["host"].encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Print nothing."""


class Quiet(HTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of those who do not trust us."""


@pytest.fixture
def port(certificate: Path) -> Iterator[int]:
    """Serve HTTPS on 127.0.0.1, under a certificate for localhost."""
    server = Quiet(("127.0.0.1", 0), Answering)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def post(url: str, host: str) -> tuple[str, Exchange]:
    """Send one request, as a session would; return the answer's text and what is on record."""

    async def ask() -> tuple[str, Exchange]:
        watched, exchange = Watched(), Exchange()
        transport = outbound.UpstreamTransport(watched, host)
        async with outbound.client({}, transport) as http:
            with watched.watching(exchange) as header:
                response = await http.post(url, content=b"{}", headers=header)
        return response.text, exchange

    return asyncio.run(ask())


def test_the_certificate_asked_for_is_that_of_the_name(
    port: int, certificate: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))  # as operators trust their own authority

    text, exchange = post(f"https://localhost:{port}/mcp", "localhost")

    assert text == f"localhost:{port}"
    assert exchange.status == 200


def test_a_certificate_for_another_name_is_refused_before_anything_is_sent(
    port: int, certificate: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))

    _, exchange = post(f"https://127.0.0.1:{port}/mcp", "127.0.0.1")

    assert "CERTIFICATE_VERIFY_FAILED" in exchange.trouble
    assert not exchange.has_left


def test_an_authority_that_nobody_trusts_is_refused_before_anything_is_sent(port: int):
    _, exchange = post(f"https://localhost:{port}/mcp", "localhost")

    assert "CERTIFICATE_VERIFY_FAILED" in exchange.trouble
    assert not exchange.has_left


def test_a_proxy_of_the_environment_is_not_used(port: int, monkeypatch: pytest.MonkeyPatch):
    """It would connect to addresses that nobody here has checked."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    _, exchange = post(f"https://localhost:{port}/mcp", "localhost")

    assert "CERTIFICATE_VERIFY_FAILED" in exchange.trouble  # so the server itself was reached
