"""Dialing: every kind of address, TLS that is meant, and what the log says of servers that cannot be reached."""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trustme

from edgestack.config.peer_addresses import PeerAddress
from edgestack.errors import ConfigError, UpstreamError
from edgestack.wire.dialing import SocketDialer
from edgestack.wire.link import Link
from edgestack.wire.tls_client import ClientTls

PATIENCE = 10.0
NAME = "backend.example"


class Server:
    """Answers what it gets in capitals, on any number of listeners; notes what it saw."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self.names: list[str | None] = []
        self.prefaces: list[bytes] = []
        self.refusals = 0

    def _listen(self, family: int, address: object, tls: ssl.SSLContext | None, preface: int) -> socket.socket:
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.bind(address)  # type: ignore[arg-type] # as the family wants it
        sock.listen()
        self._nursery.start_soon(self._run, sock, tls, preface)
        return sock

    def tcp(self, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None, preface: int = 0) -> PeerAddress:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return PeerAddress(host, self._listen(family, (host, 0), tls, preface).getsockname()[1])

    def unix(self, path: Path, tls: ssl.SSLContext | None = None) -> PeerAddress:
        self._listen(socket.AF_UNIX, str(path), tls, 0)
        return PeerAddress(path=str(path))

    async def _run(self, sock: socket.socket, tls: ssl.SSLContext | None, preface: int) -> None:
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(sock))
        await trio.serve_listeners(lambda stream: self._serve(stream, tls, preface), [listener])

    async def _serve(self, stream: trio.abc.Stream, tls: ssl.SSLContext | None, preface: int) -> None:
        try:
            if preface:
                self.prefaces.append(bytes(await stream.receive_some(preface)))
            if tls is not None:
                stream = trio.SSLStream(stream, tls, server_side=True, https_compatible=True)
            async for data in stream:
                await stream.send_all(data.upper())
        except (trio.BrokenResourceError, ssl.SSLError):
            self.refusals += 1
        await trio.aclose_forcefully(stream)


@asynccontextmanager
async def open_server() -> AsyncIterator[Server]:
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            yield Server(nursery)
            nursery.cancel_scope.cancel()


async def dial(peer: PeerAddress, tls: ClientTls | None = None, preface: bytes = b"") -> Link:
    return await SocketDialer().dial(peer, tls, preface)


async def talk(link: Link, data: bytes = b"hello") -> bytes:
    await link.send(data)
    received = b""
    while len(received) < len(data) and (piece := await link.receive()):
        received += piece
    return received


# --- addresses --------------------------------------------------------------------------------------------------------


async def test_ipv4_ipv6_and_unix_sockets(tmp_path: Path) -> None:
    """B19, with and without TLS further below."""
    async with open_server() as server:
        for peer in (server.tcp(), server.tcp("::1"), server.unix(tmp_path / "a.sock")):
            link = await dial(peer)
            assert await talk(link) == b"HELLO"
            assert not link.tls
            link.close()
            link.close()  # harmless


async def test_large_pieces_pass_with_backpressure() -> None:
    async with open_server() as server:
        link = await dial(server.tcp())
        data = b"x" * (4 << 20)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(link.send, data)
            size = 0
            while size < len(data):
                size += len(await link.receive())
        link.close()


async def test_the_nonblocking_face() -> None:
    async with open_server() as server:
        link = await dial(server.tcp())
        assert link.receive_nowait() is None
        assert link.send_nowait(b"hello") == 5
        await link.stirred()
        assert link.receive_nowait() == b"HELLO"
        link.shut()
        assert link.receive_nowait() == b""
        with pytest.raises(UpstreamError, match="sending: the server had closed already"):
            link.send_nowait(b"x")
        link.close()


async def test_servers_that_cannot_be_reached(tmp_path: Path) -> None:
    """A22: 502 and not retried as a bad head; the address and the reason are for the log, not for the client."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        gone = PeerAddress("127.0.0.1", bound.getsockname()[1])
        for peer, said in [
            (gone, f"{gone}: connecting: refused: nobody listens there"),
            (PeerAddress(path=str(tmp_path / "none")), "connecting: there is no such socket"),
            (PeerAddress("backend.example", 80), "backend.example:80: connecting: this is no address"),
            (PeerAddress(path=str(tmp_path / ("a" * 200))), "too long"),
        ]:
            with pytest.raises(UpstreamError, match=said) as caught:
                await dial(peer)
            assert (caught.value.status, caught.value.condition) == (502, "error")
            assert caught.value.public == "The server behind this one cannot be reached."


async def test_a_unix_socket_whose_queue_is_full_is_waited_for(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """connect(2) says EAGAIN there, which is no refusal."""
    path = str(tmp_path / "full.sock")
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as first:
        listening.bind(path)
        listening.listen(0)
        first.connect(path)
        with trio.move_on_after(1) as scope:
            await dial(PeerAddress(path=path))
        assert scope.cancelled_caught
        listening.accept()[0].close()
        (await dial(PeerAddress(path=path))).close()


async def test_a_dialing_that_is_given_up_closes_its_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connect timeout is the caller's scope: here it ends a handshake that never comes."""
    made: list[ssl.SSLSocket] = []
    wrap = ClientTls.wrap

    def noting(self: ClientTls, sock: socket.socket, peer: PeerAddress) -> ssl.SSLSocket:
        made.append(wrap(self, sock, peer))
        return made[-1]

    monkeypatch.setattr(ClientTls, "wrap", noting)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with trio.move_on_after(0.05) as scope:
            await dial(PeerAddress("127.0.0.1", silent.getsockname()[1]), ClientTls("x", verify=False))
        assert scope.cancelled_caught
    assert [sock.fileno() for sock in made] == [-1]


async def test_a_reset_while_receiving() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        link = await dial(PeerAddress("127.0.0.1", listening.getsockname()[1]))
        client, _ = listening.accept()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        with pytest.raises(UpstreamError, match="receiving: reset by the server") as caught:
            await link.receive()
        assert caught.value.public == "The server behind this one broke off."
        assert isinstance(caught.value.__cause__, OSError)
        assert caught.value.__cause__.errno == errno.ECONNRESET
        link.close()


# --- TLS --------------------------------------------------------------------------------------------------------------


class Authority:
    """A private authority, its file, and contexts of servers that it vouches for."""

    def __init__(self, room: Path) -> None:
        self.ca = trustme.CA()
        self.file = room / "ca.pem"
        self.ca.cert_pem.write_to_path(self.file)
        self.room = room

    def context(self, server: Server | None, *names: str, clients: bool = False) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.ca.issue_cert(*names).configure_cert(context)
        if server is not None:
            context.sni_callback = lambda sock, name, context: server.names.append(name)
        if clients:
            self.ca.configure_trust(context)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def pair(self, name: str) -> tuple[Path, Path]:
        issued = self.ca.issue_cert(name)
        chain, key = self.room / f"{name}.pem", self.room / f"{name}.key"
        chain.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(key)
        return chain, key


@pytest.fixture
def authority(tmp_path: Path) -> Iterator[Authority]:
    return Authority(tmp_path)  # type: ignore[return-value]


async def test_verified_by_default_with_sni(authority: Authority) -> None:
    """B18: the certificate must bear the name that is asked for, from an authority that is believed."""
    async with open_server() as server:
        peer = server.tcp(tls=authority.context(server, NAME))
        link = await dial(peer, ClientTls(NAME, authority=authority.file))
        assert await talk(link) == b"HELLO"
        assert link.tls
        assert link.sock.selected_alpn_protocol() is None  # type: ignore[attr-defined] # this server does without
        link.close()
        assert server.names == [NAME]
        for name, file, said in [
            ("other.example", authority.file, "its certificate does not hold: Hostname mismatch"),
            (NAME, None, "its certificate does not hold: .*issuer certificate"),
        ]:
            with pytest.raises(UpstreamError, match=f"{peer}: shaking hands: {said}") as caught:
                await dial(peer, ClientTls(name, authority=file))
            assert (caught.value.status, caught.value.condition) == (502, "error")


async def test_the_explicit_off_still_sends_sni(authority: Authority) -> None:
    """B18."""
    async with open_server() as server:
        link = await dial(server.tcp(tls=authority.context(server, NAME)), ClientTls("other.example", verify=False))
        assert await talk(link) == b"HELLO"
        assert server.names == ["other.example"]
        link.close()


async def test_an_address_is_verified_as_one(authority: Authority) -> None:
    """B18: without a name the address stands in, and SNI is left out (RFC 6066 §3)."""
    async with open_server() as server:
        tls = ClientTls("", authority=authority.file)
        link = await dial(server.tcp(tls=authority.context(server, "127.0.0.1")), tls)
        assert await talk(link) == b"HELLO"
        assert server.names == [None]
        link.close()
        with pytest.raises(UpstreamError, match="IP address mismatch"):
            await dial(server.tcp(tls=authority.context(None, NAME)), tls)


async def test_tls_over_a_unix_socket_and_another_name(authority: Authority, tmp_path: Path) -> None:
    """B18, B19."""
    async with open_server() as server:
        peer = server.unix(tmp_path / "tls.sock", authority.context(server, NAME))
        link = await dial(peer, ClientTls("x", authority=authority.file).named(NAME))
        assert await talk(link, b"a" * 300_000) == b"A" * 300_000
        link.close()


async def test_client_certificates(authority: Authority) -> None:
    async with open_server() as server:
        peer = server.tcp(tls=authority.context(server, NAME, clients=True))
        shown = ClientTls(NAME, authority=authority.file, certificate=authority.pair("us.example"))
        link = await dial(peer, shown)
        assert await talk(link) == b"HELLO"
        link.close()


async def test_a_client_certificate_that_is_missing(authority: Authority) -> None:
    """With TLS 1.3 the server refuses after our side of the handshake is done: the first read tells."""
    context = authority.context(None, NAME, clients=True)

    async def refuse(listening: socket.socket) -> None:
        """trio.SSLStream would keep the alert to itself."""
        await trio.lowlevel.wait_readable(listening)
        client = listening.accept()[0]
        client.setblocking(False)
        with context.wrap_socket(client, server_side=True, do_handshake_on_connect=False) as sock:
            while True:
                try:
                    sock.do_handshake()
                except ssl.SSLWantReadError:
                    await trio.lowlevel.wait_readable(sock)
                except ssl.SSLError:
                    break

    with socket.create_server(("127.0.0.1", 0)) as listening:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(refuse, listening)
            peer = PeerAddress("127.0.0.1", listening.getsockname()[1])
            link = await dial(peer, ClientTls(NAME, authority=authority.file))
            said = "not raised"
            try:
                await link.receive()
            except UpstreamError as error:
                said = str(error)
            assert said == f"{peer}: receiving: the server wants a client certificate"
            link.close()


async def test_sessions_are_resumed(authority: Authority) -> None:
    """The second link to a peer, and no link to another one, resumes the session of the first."""
    async with open_server() as server:
        peer, other = (server.tcp(tls=authority.context(server, NAME)) for _ in range(2))
        tls = ClientTls(NAME, authority=authority.file)
        resumed = []
        for to in (peer, peer, other):
            link = await dial(to, tls)
            assert await talk(link) == b"HELLO"
            resumed.append(link.sock.session_reused)  # type: ignore[attr-defined]
            link.close()
        assert resumed == [False, True, False]


async def test_a_server_that_does_not_speak_tls() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        peer = PeerAddress("127.0.0.1", listening.getsockname()[1])

        async def answer() -> None:
            await trio.lowlevel.wait_readable(listening)
            with listening.accept()[0] as client:
                client.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        said = "not raised"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer)
            try:
                await dial(peer, ClientTls(NAME, verify=False))
            except UpstreamError as error:
                said = str(error)
        assert said == f"{peer}: shaking hands: what came is not TLS: is https meant here?"


async def test_a_preface_goes_before_the_handshake(authority: Authority) -> None:
    """The link speaks for one client then, and is not to be reused."""
    async with open_server() as server:
        said = b"PROXY UNKNOWN\r\n"
        peer = server.tcp(tls=authority.context(server, NAME), preface=len(said))
        link = await dial(peer, ClientTls(NAME, authority=authority.file), said)
        assert await talk(link) == b"HELLO"
        assert (server.prefaces, link.lasting) == ([said], False)
        link.close()


def test_files_that_are_not_what_they_should_be(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    (chain, key), (_, other) = authority.pair("a.example"), authority.pair("b.example")
    broken = tmp_path / "broken.pem"
    broken.write_text("nothing")
    for said, given in [
        ("the authority .*none.pem does not exist", {"authority": tmp_path / "none.pem"}),
        ("the authority .*broken.pem is not in PEM form", {"authority": broken}),
        ("the client certificate .*a.example.pem does not belong to its key", {"certificate": (chain, other)}),
        ("the client certificate .*broken.pem is not in PEM form", {"certificate": (broken, key)}),
        ("the authority .* cannot be read", {"authority": tmp_path}),
    ]:
        with pytest.raises(ConfigError, match=said):
            ClientTls("x", **given)  # type: ignore[arg-type]
