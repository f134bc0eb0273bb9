"""The one place where what fails between us and a server behind us becomes an `UpstreamError`.

    OSError, ssl.SSLError, trio's resource errors  ->  502, with the address, what was being done, and why, for the log

The client is told nothing of it: neither address nor reason leave (criterion B11). Timeouts are not translated here:
who set the time knows that it was up, and makes the 504 (A22).
"""

from __future__ import annotations

import errno
import os
import ssl

import trio

from edgestack.config.peer_addresses import PeerAddress
from edgestack.errors import UpstreamError

__all__ = ["BROKEN", "UNREACHABLE", "about", "upstream_error"]

BROKEN = (OSError, trio.BrokenResourceError, trio.ClosedResourceError)
"""What a socket or a stream raises when it does not go on; `ssl.SSLError` is an OSError."""

UNREACHABLE = "The server behind this one cannot be reached."
BROKE_OFF = "The server behind this one broke off."

_WORDS = {
    errno.ECONNREFUSED: "refused: nobody listens there",
    errno.ENOENT: "there is no such socket",
    errno.EACCES: "not allowed to connect to this socket",
    errno.EPERM: "not allowed to connect: a firewall of this machine, perhaps",
    errno.EHOSTUNREACH: "no route to the host",
    errno.ENETUNREACH: "no route to its network",
    errno.ETIMEDOUT: "the host does not answer",
    errno.ECONNRESET: "reset by the server",
    errno.EPIPE: "the server had closed already",
    errno.EMFILE: "too many open files here",
    errno.EADDRNOTAVAIL: "no local port is free",
}
"""What an errno means for a connection to a server; others say what the system says."""

_TLS_WORDS = {
    "WRONG_VERSION_NUMBER": "what came is not TLS: is https meant here?",
    "HTTP_REQUEST": "the server speaks plain HTTP there",
    "UNEXPECTED_EOF_WHILE_READING": "the server closed during the TLS handshake",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "the server wants a client certificate",
    "TLSV1_ALERT_UNKNOWN_CA": "the server does not trust our certificate",
    "SSLV3_ALERT_BAD_CERTIFICATE": "the server does not accept our certificate",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "the server does not accept our certificate",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "the server found nothing in common with us, or wants a client certificate",
    "TLSV1_UNRECOGNIZED_NAME": "the server does not know the name asked for",
    "TLSV1_ALERT_PROTOCOL_VERSION": "the server wants another TLS version",
    "NO_APPLICATION_PROTOCOL": "the server does not speak HTTP/1.1",
    "TLSV1_ALERT_NO_APPLICATION_PROTOCOL": "the server does not speak HTTP/1.1",
    "UNSUPPORTED_PROTOCOL": "the server knows only TLS versions that are too old",
}
"""By OpenSSL's reason, on the client's side (RFC 8446 §6.2 has the alerts)."""


def upstream_error(error: BaseException, peer: PeerAddress, doing: str) -> UpstreamError:
    """What to raise instead of `error`.

    :param error: one of `BROKEN`; of trio's, the cause behind it tells more.
    :param doing: "connecting", "shaking hands", "sending" or "receiving".
    """
    cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
    public = UNREACHABLE if doing in ("connecting", "shaking hands") else BROKE_OFF
    return UpstreamError(public, detail=f"{peer}: {doing}: {_reason(cause)}")


def about(peer: object, error: UpstreamError) -> UpstreamError:
    """The same error, once its detail begins with the server that it is about: who reads bytes knows no address."""
    if str(peer) not in str(error):
        error.args = (f"{peer}: {error}",)
    return error


def _reason(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate does not hold: {error.verify_message.rstrip('.')}"
    if isinstance(error, ssl.SSLEOFError):
        return _TLS_WORDS["UNEXPECTED_EOF_WHILE_READING"]
    if isinstance(error, ssl.SSLError):
        reason = error.reason or ""
        return _TLS_WORDS.get(reason) or reason.lower().replace("_", " ") or str(error)
    if isinstance(error, OSError) and error.errno:
        return _WORDS.get(error.errno) or os.strerror(error.errno)
    return str(error) or type(error).__name__
