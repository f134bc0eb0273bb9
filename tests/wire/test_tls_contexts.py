"""Server contexts in real handshakes with the standard library's client: SNI, ALPN, resumption, renewal, refusals.

Both ends are non-blocking and run in turn, for a bounded number of turns: no thread, no clock, no network.
"""

from __future__ import annotations

import datetime
import logging
import os
import shutil
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from edgestack.errors import ConfigError
from edgestack.wire.tls import Certificates
from edgestack.wire.tls_sockets import handshake_problem, is_plain_http, sni_of

AUTHORITY = trustme.CA()
DAY = datetime.timedelta(days=1)
NOW = datetime.datetime.now(datetime.UTC)


def write(folder: Path, stem: str, *names: str, days: int = 90, rsa: bool = False) -> tuple[Path, Path]:
    kind = trustme.KeyType.RSA if rsa else trustme.KeyType.ECDSA
    leaf = AUTHORITY.issue_cert(*names, not_before=NOW - 90 * DAY, not_after=NOW + days * DAY, key_type=kind)
    cert, key = folder / f"{stem}.pem", folder / f"{stem}.key"
    cert.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    key.write_bytes(leaf.private_key_pem.bytes())
    return cert, key


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    return write(tmp_path, "first", "localhost", "127.0.0.1", "::1")


def client_context(version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context


class Talk:
    """A client and a server socket after their handshake."""

    def __init__(
        self,
        certificates: Certificates,
        name: str | None = "localhost",
        context: ssl.SSLContext | None = None,
        session: ssl.SSLSession | None = None,
    ) -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        context = context or client_context()
        self.server = certificates.context.wrap_socket(ours, server_side=True, do_handshake_on_connect=False)
        self.client = context.wrap_socket(theirs, server_hostname=name, do_handshake_on_connect=False, session=session)

    def shake(self) -> None:
        waiting = [self.client, self.server]
        for _ in range(20):
            for end in tuple(waiting):
                try:
                    end.do_handshake()
                    waiting.remove(end)
                except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                    pass
            if not waiting:
                return
        raise AssertionError("no end of the handshake")

    def exchange(self) -> bytes:
        """The client says hello and hears an answer, and with it a TLS 1.3 ticket."""
        self.client.send(b"hello")
        assert self.server.recv(100) == b"hello"
        self.server.send(b"welcome")
        return self.client.recv(100)

    def names(self) -> list[str]:
        certificate = self.client.getpeercert()
        assert certificate is not None
        return [str(value) for _kind, value in certificate["subjectAltName"]]  # type: ignore[misc]

    def __enter__(self) -> Talk:
        try:
            self.shake()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.server.close()


@pytest.fixture
def several(tmp_path: Path) -> Certificates:
    return Certificates(
        (
            write(tmp_path, "a", "first.example", "localhost"),
            write(tmp_path, "b", "*.wild.example", "Shop.Example"),
            write(tmp_path, "c", "exact.wild.example", rsa=True),
        )
    )


@pytest.mark.parametrize(
    ("asked", "borne"),
    [
        ("first.example", "first.example"),
        ("shop.example", "*.wild.example"),
        ("SHOP.example", "*.wild.example"),
        ("any.wild.example", "*.wild.example"),
        ("exact.wild.example", "exact.wild.example"),
    ],
)
def test_sni_chooses(several: Certificates, asked: str, borne: str) -> None:
    """Issue 2 §5, RFC 6066 §3: exact name, then wildcard; case does not matter. The RSA one is served as well."""
    with Talk(several, asked) as talk:
        assert talk.names()[0] == borne
        assert sni_of(talk.server) == asked.lower()
        assert talk.exchange() == b"welcome"


@pytest.mark.parametrize("asked", ["unknown.example", "wild.example", "two.labels.wild.example", "127.0.0.1", None])
def test_an_unknown_name_gets_the_first_certificate(several: Certificates, asked: str | None) -> None:
    """RFC 6066 §3: no unrecognized_name alert; a client that checks will see for itself."""
    context = client_context()
    context.check_hostname = False
    with Talk(several, asked, context) as talk:
        assert talk.names()[0] == "first.example"
        assert sni_of(talk.server) == (asked if asked and not asked[0].isdigit() else "")


def test_sni_of_a_memory_bio_and_before_the_handshake(pair: tuple[Path, Path]) -> None:
    """The portable driver wraps memory BIOs; a name that is not known yet is ""."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = Certificates((pair,)).context.wrap_bio(to_server, to_client, server_side=True)
    client = client_context().wrap_bio(to_client, to_server, server_hostname="localhost")
    assert sni_of(server) == ""
    for end in (client, server, client, server):
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            pass
    assert sni_of(server) == "localhost"


def test_a_name_with_odd_bytes_is_not_kept(pair: tuple[Path, Path]) -> None:
    """What goes into logs has no control bytes: neither the client's library nor ours need have looked."""
    certificates = Certificates((pair,))
    with Talk(certificates) as talk:
        certificates._choose(talk.server, "bad\r\nname", certificates.context)  # type: ignore[arg-type]
        assert sni_of(talk.server) == ""


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_sessions_resume(several: Certificates, version: ssl.TLSVersion) -> None:
    """Issue 2 §5: tickets work in TLS 1.2 (RFC 5077) and 1.3 (RFC 8446 §4.6.1), under a swapped-in certificate too."""
    context = client_context(version)
    for name in ("first.example", "shop.example"):
        with Talk(several, name, context) as talk:
            assert talk.exchange() == b"welcome"
            assert not talk.client.session_reused
            session = talk.client.session
        with Talk(several, name, context, session) as talk:
            assert talk.exchange() == b"welcome"
            assert talk.client.session_reused
            assert talk.server.session_reused
            assert sni_of(talk.server) == name


def test_sessions_resume_across_a_renewal(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    certificates, context = Certificates((pair,)), client_context()
    with Talk(certificates, context=context) as talk:
        talk.exchange()
        session = talk.client.session
    write(tmp_path, "first", "localhost", "renewed.example")
    assert certificates.refresh()
    with Talk(certificates, context=context, session=session) as talk:
        assert talk.client.session_reused


def test_versions_ciphers_and_switches(pair: tuple[Path, Path]) -> None:
    """Mozilla's intermediate profile: TLS 1.2 with ECDHE and AEAD only, 1.3; no compression, no renegotiation."""
    context = Certificates((pair,)).context
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    older = [cipher for cipher in context.get_ciphers() if cipher["protocol"] != "TLSv1.3"]
    assert len(older) == 6
    assert all(cipher["aead"] and cipher["name"].startswith("ECDHE-") for cipher in older)  # type: ignore[typeddict-item]
    assert context.options & ssl.OP_NO_COMPRESSION
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert not context.options & ssl.OP_NO_TICKET
    assert context.num_tickets == 1


@pytest.mark.parametrize(
    ("offered", "chosen"), [(["h2", "http/1.1"], "http/1.1"), (["http/1.1"], "http/1.1"), (["h2"], None), ([], None)]
)
def test_alpn(pair: tuple[Path, Path], offered: list[str], chosen: str | None) -> None:
    """RFC 7301: http/1.1 where the client offers it; a client without it is served all the same."""
    context = client_context()
    if offered:
        context.set_alpn_protocols(offered)
    with Talk(Certificates((pair,)), context=context) as talk:
        assert talk.server.selected_alpn_protocol() == chosen


def test_a_renewed_certificate_is_taken_up(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    """Issue 2 §5: renewal of the files without restart; the listener's context stays the same object."""
    certificates = Certificates((pair,))
    context = certificates.context
    assert not certificates.refresh()
    with Talk(certificates) as old:
        write(tmp_path, "first", "localhost", "renewed.example", rsa=True)
        assert certificates.refresh()
        assert not certificates.refresh()
        assert certificates.context is context
        assert certificates.names() == ("localhost", "renewed.example")
        with Talk(certificates, "renewed.example") as new:
            assert "renewed.example" in new.names()
        with Talk(certificates, None, _unchecked()) as nameless:
            assert "renewed.example" in nameless.names()
        assert old.exchange() == b"welcome"


def _unchecked() -> ssl.SSLContext:
    context = client_context()
    context.check_hostname = False
    return context


def test_a_swapped_symlink_is_taken_up(tmp_path: Path) -> None:
    """certbot's `live/` is made of symlinks that are turned over."""
    for stem in ("one", "two"):
        write(tmp_path, stem, "localhost", f"{stem}.example")
    files = tmp_path / "live.pem", tmp_path / "live.key"
    for file in files:
        file.symlink_to(tmp_path / f"one{file.suffix}")
    certificates = Certificates((files,))
    for file in files:
        file.unlink()
        file.symlink_to(tmp_path / f"two{file.suffix}")
    assert certificates.refresh()
    assert certificates.names() == ("localhost", "two.example")


@pytest.mark.parametrize("damage", ["half", "other key", "gone", "empty"])
def test_a_broken_pair_keeps_the_old_one(
    tmp_path: Path, pair: tuple[Path, Path], damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Issue 2 §5: what is served goes on; one line, at the second sight of the same broken state; then recovery."""
    caplog.set_level(logging.INFO, "edgestack.error")
    certificates = Certificates((pair,))
    cert, key = pair
    whole = cert.read_bytes()
    if damage == "gone":
        cert.unlink()
    elif damage == "other key":
        key.write_bytes(write(tmp_path, "other", "localhost")[1].read_bytes() + b"\n")
    else:
        cert.write_bytes(whole[: len(whole) // 2] if damage == "half" else b"")
    assert not certificates.refresh()
    assert not caplog.records
    for _ in range(3):
        assert not certificates.refresh()
        with Talk(certificates) as talk:
            assert talk.names() == ["localhost", "127.0.0.1", "0:0:0:0:0:0:0:1"]
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "still serving" in caplog.text
    write(tmp_path, "first", "localhost", "back.example")
    assert certificates.refresh()
    assert certificates.names() == ("localhost", "back.example")


def test_a_renewal_seen_half_way_is_quiet(
    tmp_path: Path, pair: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    certificates = Certificates((pair,))
    cert, key = write(tmp_path, "next", "localhost", "next.example")
    shutil.copy(cert, pair[0])
    assert not certificates.refresh()
    shutil.copy(key, pair[1])
    assert certificates.refresh()
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


ENCRYPTED = b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"
OLD_ENCRYPTED = b"-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END EC PRIVATE KEY-----\n"
DAMAGED = b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
BAD_DER = b"-----BEGIN CERTIFICATE-----\nMAAA\n-----END CERTIFICATE-----\n"


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("first.pem", None, "the certificate {} does not exist"),
        ("first.key", None, "the key {} does not exist"),
        ("first.pem", b"hello", "the certificate {} is not in PEM form"),
        ("first.pem", BAD_DER, "the certificate {} is not in PEM form: damaged"),
        ("first.pem", DAMAGED, "are certificate and key swapped?"),
        ("first.key", b"hello", "the key {} is not in PEM form"),
        ("first.key", ENCRYPTED, "the key {} is encrypted"),
        ("first.key", OLD_ENCRYPTED, "the key {} is encrypted"),
        ("first.key", DAMAGED, "its key {} is damaged"),
    ],
)
def test_what_cannot_be_served(pair: tuple[Path, Path], file: str, content: bytes | None, said: str) -> None:
    """Issue 2 §6: one clear line that names the file."""
    path = pair[0].with_name(file)
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        Certificates((pair,))
    assert said.format(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_key_of_another_certificate(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    """Issue 2 §6: a certificate that does not match its key; of the same kind and of another."""
    for rsa in (False, True):
        other = write(tmp_path, "other", "localhost", rsa=rsa)[1]
        with pytest.raises(ConfigError, match="does not belong to the certificate") as caught:
            Certificates(((pair[0], other),))
        assert str(other) in str(caught.value)
        assert str(pair[0]) in str(caught.value)


def test_a_folder_for_a_file_and_no_pair_at_all(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        Certificates(((tmp_path, pair[1]),))
    with pytest.raises(ConfigError, match="needs a certificate"):
        Certificates(())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_key(pair: tuple[Path, Path]) -> None:
    pair[1].chmod(0)
    with pytest.raises(ConfigError, match="cannot be read: Permission denied"):
        Certificates((pair,))


def test_one_file_for_both(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(pair[1].read_bytes() + pair[0].read_bytes())
    with Talk(Certificates(((both, both),))) as talk:
        assert talk.exchange() == b"welcome"


def test_an_expired_certificate_is_served_with_a_warning(tmp_path: Path) -> None:
    files = write(tmp_path, "old", "localhost", days=-1)
    certificates = Certificates((files,))
    assert certificates.not_after() == int((NOW - DAY).timestamp())
    assert [line.partition(" expired on ")[0] for line in certificates.warnings()] == [f"the certificate {files[0]}"]
    assert certificates.warnings(certificates.not_after()) == []
    assert "holds only from" in certificates.warnings(0)[0]


def test_unknown_names_can_be_learnt(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    """The hook for development: asked once for a name that is borne by no certificate word for word."""
    asked = []

    def unknown(name: str) -> bool:
        asked.append(name)
        if name == "foo.localhost":
            write(tmp_path, "first", "localhost", "foo.localhost")
        return name == "foo.localhost"

    certificates = Certificates((pair,), unknown=unknown)
    for _ in range(2):
        with Talk(certificates, "foo.localhost") as talk:
            assert talk.names() == ["localhost", "foo.localhost"]
    with Talk(certificates, "bar.example", _unchecked()) as talk:
        assert talk.names() == ["localhost", "foo.localhost"]
    assert asked == ["foo.localhost", "bar.example"]


@pytest.mark.parametrize(
    ("first", "plain"),
    [
        (b"GET / HTTP/1.1\r\n", True),
        (b"G", True),
        (b"OPTIONS", True),
        (b"\r\nPOST / HTTP/1.0", True),
        (b"VERSION-CONTROL /", True),
        (b"\x16\x03\x01\x02\x00\x01", False),
        (b"\x16", False),
        (b"\x80\x2e\x01", False),
        (b"SSH-2.0-OpenSSH_9.2\r\n", False),
        (b"", False),
        (b"\r\n", False),
        (b"A" * 32, True),
        (b"A" * 33, False),
    ],
)
def test_plain_http_is_told_from_tls(first: bytes, plain: bool) -> None:
    """E9: a readable 400 on the TLS port needs to know that it is HTTP."""
    assert is_plain_http(first) is plain


@pytest.fixture
def two_ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    yield ours, theirs
    ours.close()
    theirs.close()


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "plain HTTP on a TLS port"),
        (b"\x00" * 64, "what came is not TLS"),
        (b"", "the client left during the handshake"),
    ],
)
def test_handshake_problems(
    pair: tuple[Path, Path], two_ends: tuple[socket.socket, socket.socket], sent: bytes, said: str
) -> None:
    """One phrase for the log, from real failures."""
    ours, theirs = two_ends
    theirs.sendall(sent)
    theirs.shutdown(socket.SHUT_WR)
    server = Certificates((pair,)).context.wrap_socket(ours, server_side=True, do_handshake_on_connect=False)
    with server, pytest.raises(OSError) as caught:
        server.do_handshake()
    assert handshake_problem(caught.value) == said


def test_a_client_that_does_not_trust_us(pair: tuple[Path, Path]) -> None:
    talk = Talk(Certificates((pair,)), context=ssl.create_default_context())
    with pytest.raises(ssl.SSLCertVerificationError):
        talk.shake()
    with pytest.raises(ssl.SSLError) as caught:
        talk.server.do_handshake()
    talk.__exit__()
    assert handshake_problem(caught.value) == "the client does not trust the authority of our certificate"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ConnectionResetError(104, "Connection reset by peer"), "the client left during the handshake"),
        (OSError(5, "Input/output error"), "Input/output error"),
        (ssl.SSLError(1, "odd"), "odd"),
    ],
)
def test_other_problems(error: OSError, said: str) -> None:
    assert handshake_problem(error) == said


def test_a_name_that_is_not_ascii(pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 6066 §3 wants A-labels. CPython refuses others before our callback, and tells its unraisable hook."""
    told = []
    monkeypatch.setattr("sys.unraisablehook", lambda unraisable: told.append(unraisable.exc_type))
    to_server, from_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context().wrap_bio(ssl.MemoryBIO(), from_client, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    to_server.write(from_client.read().replace(b"localhost", b"\xffocalhost"))
    server = Certificates((pair,)).context.wrap_bio(to_server, ssl.MemoryBIO(), server_side=True)
    with pytest.raises(ssl.SSLError) as caught:
        server.do_handshake()
    assert handshake_problem(caught.value) == "the client asked for a name that is not ASCII"
    assert told == [UnicodeDecodeError]
