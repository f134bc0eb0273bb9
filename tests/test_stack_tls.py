"""What `[tls]` says beside certificates: the oldest version, and whose certificates clients must bring (mutual TLS)."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import trio
import trustme

from edgestack.compose import compose
from edgestack.config.load import load
from edgestack.errors import ConfigError
from edgestack.stack import Stack

PATIENCE = 20.0


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def folder(tmp_path: Path, authority: trustme.CA) -> Iterator[Path]:
    leaf = authority.issue_cert("localhost")
    leaf.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    leaf.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return tmp_path


def stack(folder: Path, more: str) -> Stack:
    path = folder / "edgestack.toml"
    path.write_text(
        '[server]\nbind = "127.0.0.1:0"\n[tls]\ncert = "cert.pem"\nkey = "key.pem"\n'
        f'{more}\n[[route]]\nrespond = "$ssl_client_verify"\n'
    )
    return Stack(compose(load(path).config))


async def ask(running: Stack, trust: ssl.SSLContext) -> str:
    """What it answers, or the error of the handshake."""

    def get(port: int) -> str:
        connection = http.client.HTTPSConnection("localhost", port, timeout=PATIENCE, context=trust)
        with closing(connection):
            try:
                connection.request("GET", "/")
                with connection.getresponse() as response:
                    return response.read().decode()
            except (ssl.SSLError, ConnectionError) as error:
                return type(error).__name__

    async with trio.open_nursery() as nursery:
        (url,) = await nursery.start(running.serve)
        answer = await trio.to_thread.run_sync(get, int(url.rpartition(":")[2]))
        nursery.cancel_scope.cancel()
    return answer


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    return trust


@pytest.mark.parametrize(
    ("issuer", "answered"), [("authority", True), ("somebody", False), ("", False)], ids=["ours", "other", "none"]
)
async def test_clients_must_bring_a_certificate(
    folder: Path, authority: trustme.CA, issuer: str, answered: bool
) -> None:
    trust = trusting(authority)
    if issuer:
        signer = authority if issuer == "authority" else trustme.CA()
        signer.issue_cert("client").configure_cert(trust)
    answer = await ask(stack(folder, 'client_ca = "ca.pem"'), trust)
    assert (answer == "SUCCESS") is answered, answer


@pytest.mark.parametrize(("minimum", "answered"), [("1.2", True), ("1.3", False)])
async def test_the_oldest_version(folder: Path, authority: trustme.CA, minimum: str, answered: bool) -> None:
    trust = trusting(authority)
    trust.maximum_version = ssl.TLSVersion.TLSv1_2
    answer = await ask(stack(folder, f'minimum = "{minimum}"'), trust)
    assert (answer == "NONE") is answered, answer


def test_a_client_authority_that_is_none(folder: Path) -> None:
    (folder / "ca.pem").write_text("nothing")
    with pytest.raises(ConfigError, match="client authority"):
        stack(folder, 'client_ca = "ca.pem"')
