"""Client side TLS: how a server behind us is spoken to, and that it is the one which is meant (criterion B18).

    ClientTls(name, authority, certificate)  --  one for a proxied target; its context is made once
        wrap(sock, peer)  ──  SNI, verification against the name, and a session of an earlier link to this peer

Verification and SNI are on (nginx: `proxy_ssl_verify off`, `proxy_ssl_server_name off`); both names are one and can be
overridden; `verify=False` is the explicit off. Sessions save the server a signature and us a check: the ticket of the
latest link to a peer is offered by the next (RFC 8446 §2.2, RFC 5077); OpenSSL takes each of TLS 1.3 once.

Standards: TLS 1.3 (RFC 8446), 1.2 (RFC 5246), SNI (RFC 6066 §3), names in certificates (RFC 9525), ALPN (RFC 7301).
This file knows no HTTP, and no socket beyond wrapping one.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgestack.config.peer_addresses import PeerAddress
from edgestack.errors import ConfigError

__all__ = ["ClientTls"]

SESSIONS = 256
"""Sessions kept for one target: more peers than a group has. A guess with room; one takes some 2 KiB."""


class _Socket(ssl.SSLSocket):
    """`recv` and `send` without what the library's own look at first: once a request each, on handshaken sockets only
    (`tls.py` has the figures)."""

    __slots__ = ()

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """The content of one TLS record, at most; b"" at the end, with a close_notify or, as often, without."""
        try:
            return self._sslobj.read(buflen)  # type: ignore[attr-defined, no-any-return]
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):  # the latter where we had said the end before
            return b""

    def send(self, data: Any, flags: int = 0) -> int:
        """All of `data`, or SSLWantWriteError."""
        return self._sslobj.write(data)  # type: ignore[attr-defined, no-any-return]


class ClientTls:
    """How TLS is spoken to the servers of one target. Compared by identity: links made by one are not another's."""

    __slots__ = ("_sessions", "context", "name")

    def __init__(
        self,
        name: str,
        *,
        verify: bool = True,
        authority: Path | None = None,
        certificate: tuple[Path, Path] | None = None,
        minimum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2,
    ) -> None:
        """
        :param name: the host name (or address) that is asked for and that the certificate must bear; "" for the address
            that is connected to.
        :param verify: whether the certificate must hold at all.
        :param authority: a PEM file with the authorities to believe; None for the system's.
        :param certificate: (chain, key), PEM files, to show when the server asks for one.
        :raises ConfigError: a file is missing, or is not what it should be.
        """
        self.name = name
        self.context = _context(verify, authority, certificate, minimum)
        self._sessions: dict[PeerAddress, ssl.SSLSession] = {}

    def named(self, name: str) -> ClientTls:
        """The same for another name, without reading the files again; for targets made of variables."""
        other = object.__new__(ClientTls)
        other.name = name
        other.context = self.context
        other._sessions = {}
        return other

    def wrap(self, sock: socket.socket, peer: PeerAddress) -> ssl.SSLSocket:
        """A TLS socket on a connected one, its handshake not begun. `sock` is an empty shell afterwards.

        :raises OSError: the server left already.
        :raises ValueError: ssl's word for the same, or for a name that is none.
        """
        return self.context.wrap_socket(
            sock,
            do_handshake_on_connect=False,
            server_hostname=self.server_name(peer),
            session=self._sessions.get(peer),
        )

    def server_name(self, peer: PeerAddress) -> str:
        """The name asked for at this peer; for an address OpenSSL leaves SNI out and compares the address."""
        return self.name or peer.host or "localhost"

    def keep_session(self, peer: PeerAddress, session: ssl.SSLSession | None) -> None:
        """Offer this session to the peer next time."""
        if session is not None and session.has_ticket:
            if len(self._sessions) >= SESSIONS and peer not in self._sessions:
                self._sessions.clear()
            self._sessions[peer] = session

    def forget_session(self, peer: PeerAddress) -> None:
        """A handshake failed: whatever the session had to do with it, the next one is a full one."""
        self._sessions.pop(peer, None)


def _context(
    verify: bool, authority: Path | None, certificate: tuple[Path, Path] | None, minimum: ssl.TLSVersion
) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = minimum
    context.options |= ssl.OP_NO_COMPRESSION
    context.set_alpn_protocols(("http/1.1",))
    context.sslsocket_class = _Socket
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if authority is not None:
        _load(lambda: context.load_verify_locations(authority), "authority", authority)
    elif verify:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    if certificate is not None:
        chain, key = certificate
        _load(lambda: context.load_cert_chain(chain, key, password=""), "client certificate", chain)
    return context


def _load(load: Callable[[], None], what: str, path: Path) -> None:
    """Let OpenSSL read files, and say what is wrong with them in the user's words."""
    try:
        load()
    except FileNotFoundError:
        raise ConfigError(f"the {what} {path} does not exist, or its key does not") from None
    except ssl.SSLError as error:
        reason = error.reason or ""
        if "MISMATCH" in reason:
            raise ConfigError(f"the {what} {path} does not belong to its key") from None
        said = reason.lower().replace("_", " ") or "nothing in it can be read"
        raise ConfigError(f"the {what} {path} is not in PEM form, or damaged: {said}") from None
    except OSError as error:
        raise ConfigError(f"the {what} {path} cannot be read: {error.strerror}") from None
