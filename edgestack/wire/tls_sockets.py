"""Sockets that speak TLS, and what can be told of them: the name asked for, what was agreed on, why it came to nothing.

    calls_of(sock)            OpenSSL's own read and write        sni_of(sock)    tls_facts(sock)    after the handshake
    is_plain_http(bytes)      what came was never TLS (E9)        handshake_problem(error)           for the log

No certificates here: those and the contexts that make these sockets are `tls.py`'s.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable

from edgestack.http.facts import TlsFacts

__all__ = [
    "NamedObject", "NamedSocket", "calls_of", "handshake_problem", "is_plain_http", "sni_of", "tls_facts", "words_of",
]  # fmt: skip


class NamedSocket(ssl.SSLSocket):
    """A socket with a place for the name that the client asked for: a slot, eight bytes."""

    __slots__ = ("sni",)
    sni: str

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """The content of one TLS record, at most; b"" at the end, with a close_notify or, as often, without."""
        try:
            return self._sslobj.read(buflen)  # type: ignore[attr-defined, no-any-return]
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):  # the latter where we had said the end before
            return b""


def calls_of(sock: ssl.SSLSocket) -> tuple[Callable[[int], bytes], Callable[[bytes | memoryview], int]]:
    """What reads from and writes to a handshaken socket, called once a request each: OpenSSL's own.

    `SSLSocket.recv` makes four calls on its way there and `send` two, for cases that are not ours: 0.9 µs of a request.
    An end of the stream without close_notify is `ssl.SSLEOFError` here, and b"" with it.
    """
    made = sock._sslobj  # type: ignore[attr-defined]
    return made.read, made.write


class NamedObject(ssl.SSLObject):
    """The same over memory BIOs, for the portable driver."""

    __slots__ = ("sni",)
    sni: str


def sni_of(sock: ssl.SSLSocket | ssl.SSLObject) -> str:
    """The host name asked for in the handshake, in lower case and without a final dot; "" without one (RFC 6066 §3)."""
    name: str = getattr(sock, "sni", "")
    return name


def tls_facts(sock: ssl.SSLSocket | ssl.SSLObject) -> TlsFacts:
    """What the handshake agreed on."""
    cipher = sock.cipher()
    alpn = sock.selected_alpn_protocol() or ""
    facts = TlsFacts(sock.version() or "", cipher[0] if cipher else "", bool(sock.session_reused), alpn)
    return _agreed.setdefault(facts, facts)


_agreed: dict[TlsFacts, TlsFacts] = {}
"""As many as there are versions, ciphers and protocols that we speak."""


def words_of(reason: str) -> str:
    """OpenSSL's reason, for a sentence."""
    return reason.lower().replace("_", " ")


def is_plain_http(first_bytes: bytes) -> bool:
    """Whether what a client sent first on a TLS port is the beginning of an HTTP request (criterion E9).

    A TLS record begins with 0x16; a request line with a method, before which a client may have sent an empty line
    (RFC 9112 §2.2). Registered methods are letters and hyphens. One byte is enough to tell.
    """
    word = first_bytes.lstrip(b"\r\n").partition(b" ")[0]
    return word.replace(b"-", b"").isalpha() and len(word) <= 32


_PROBLEMS = {
    "HTTP_REQUEST": "plain HTTP on a TLS port",
    "HTTPS_PROXY_REQUEST": "a proxy request in plain HTTP on a TLS port",
    "NO_SHARED_CIPHER": "the client knows none of our ciphers",
    "UNEXPECTED_EOF_WHILE_READING": "the client left during the handshake",
    "UNSUPPORTED_PROTOCOL": "the client knows only TLS versions that are too old",
    "VERSION_TOO_LOW": "the client knows only TLS versions that are too old",
    "INAPPROPRIATE_FALLBACK": "the client fell back to a lower version than it knows",
    "WRONG_VERSION_NUMBER": "what came is not TLS",
    "UNKNOWN_PROTOCOL": "what came is not TLS",
    "BAD_RECORD_TYPE": "what came is not TLS",
    "CALLBACK_FAILED": "the client asked for a name that is not ASCII",  # CPython decodes SNI before calling us
    "TLSV1_ALERT_UNKNOWN_CA": "the client does not trust the authority of our certificate",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "the client does not accept our certificate",
    "SSLV3_ALERT_BAD_CERTIFICATE": "the client does not accept our certificate",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "the client says that our certificate has expired",
    "TLSV1_ALERT_PROTOCOL_VERSION": "the client wants another TLS version",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "the client found nothing in common with us",
}
"""By OpenSSL's reason; on alerts, SSLV3_ and TLSV1_ are about where the alert was first defined (RFC 8446 §6.2)."""


def handshake_problem(error: OSError) -> str:
    """One phrase for the log about a handshake that failed.

    :param error: the ssl.SSLError, or the OSError of the connection under it.
    """
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError | ConnectionError):
        return "the client left during the handshake"
    reason = getattr(error, "reason", None)
    if reason:
        return _PROBLEMS.get(reason) or words_of(reason)
    return error.strerror or str(error) or type(error).__name__
