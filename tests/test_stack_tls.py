"""What `[tls]` says beside certificates: the oldest version, and whose certificates clients must bring (mutual TLS)."""

from __future__ import annotations

import http.client
import ssl
from contextlib import closing
from pathlib import Path

import pytest
import trustme

from edgestack.errors import ConfigError
from edgestack.testing import Site
from edgestack.testing.fixtures import Edges


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Whose certificates clients must bring."""
    return trustme.CA()


@pytest.fixture
def folder(tmp_path: Path, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch) -> Path:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def text(tls: str) -> str:
    return f'[tls]\n{tls}\n[[route]]\nrespond = "$ssl_client_verify"\n'


def ask(site: Site, trust: ssl.SSLContext) -> str:
    """What it answers, or the error of the handshake."""
    connection = http.client.HTTPSConnection("localhost", site.port, timeout=20, context=trust)
    with closing(connection):
        try:
            connection.request("GET", "/")
            with connection.getresponse() as response:
                return response.read().decode()
        except (ssl.SSLError, ConnectionError) as error:
            return type(error).__name__


def trusting(site: Site) -> ssl.SSLContext:
    """A context of its own: tests change it."""
    return ssl.create_default_context(cadata=site.ca_pem)


@pytest.mark.parametrize(
    ("issuer", "answered"), [("authority", True), ("somebody", False), ("", False)], ids=["ours", "other", "none"]
)
def test_clients_must_bring_a_certificate(
    edge: Edges, folder: Path, authority: trustme.CA, issuer: str, answered: bool
) -> None:
    site = edge(text=text('client_ca = "ca.pem"'))
    trust = trusting(site)
    if issuer:
        signer = authority if issuer == "authority" else trustme.CA()
        signer.issue_cert("client").configure_cert(trust)
    answer = ask(site, trust)
    assert (answer == "SUCCESS") is answered, answer


@pytest.mark.parametrize(("minimum", "answered"), [("1.2", True), ("1.3", False)])
def test_the_oldest_version(edge: Edges, minimum: str, answered: bool) -> None:
    site = edge(text=text(f'minimum = "{minimum}"'))
    trust = trusting(site)
    trust.maximum_version = ssl.TLSVersion.TLSv1_2
    answer = ask(site, trust)
    assert (answer == "NONE") is answered, answer


def test_a_client_authority_that_is_none(edge: Edges, folder: Path) -> None:
    (folder / "ca.pem").write_text("nothing")
    with pytest.raises(ConfigError, match="client authority"):
        edge(text=text('client_ca = "ca.pem"'))
