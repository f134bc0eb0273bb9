"""Server side TLS: contexts from certificate files, the right one for each name, and new ones when the files change.

    listener's context ── handshake ── SNI ── exact name, else wildcard, else the first pair ── that pair's context
         (stays)                                              ^
    refresh() ── a file's stat changed ── the new pair loads ─┘      a broken pair: the old one goes on, one log line

A listener wraps its sockets with `Certificates.context` for as long as it lives: session ticket keys belong to that
context, so sessions resume across renewals too. The contexts of the pairs are swapped in by the SNI callback, which
OpenSSL calls for clients without SNI as well. Works with non-blocking `ssl.SSLSocket` and with memory BIOs.

Standards: TLS 1.3 (RFC 8446), 1.2 (RFC 5246), SNI (RFC 6066 §3), ALPN (RFC 7301), tickets (RFC 5077, RFC 8446 §4.6.1).
Ciphers: Mozilla's "intermediate" (Server Side TLS 5.7) without DHE, which wants parameters of its own and serves nobody
that ECDHE does not. CPython itself turns compression off, sets a session id context, and sets SSL_MODE_RELEASE_BUFFERS
(`_ssl__SSLContext_impl`), without which an idle connection would hold 34 KiB more.

This file must not know HTTP beyond telling that it is not TLS (criterion E9), nor who made the certificates.
"""

from __future__ import annotations

import logging
import os
import ssl
import time
from collections.abc import Callable
from pathlib import Path

from edgestack.config.model import Tls
from edgestack.errors import ConfigError
from edgestack.wire.tls_sockets import NamedObject, NamedSocket, words_of
from edgestack.wire.x509 import Certificate, read_certificate

__all__ = ["Certificates"]

log = logging.getLogger("edgestack.error")

CIPHERS = ":".join(
    (
        "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305",
    )
)  # fmt: skip
"""Of TLS 1.2. Those of TLS 1.3 are all good and stay as OpenSSL has them."""

TICKETS = 1
"""TLS 1.3 tickets a handshake. A client should use each once (RFC 8446 C.4), and one connection leaves one for its
successor, which is what a browser needs. OpenSSL's default of 2 costs 272 bytes and about 20 µs more per handshake."""

_NAME_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-._")

Adjust = Callable[[ssl.SSLContext], ssl.SSLContext]


class _Pair:
    """One certificate chain and its key: the files, and what was last loaded from them."""

    __slots__ = ("adjust", "certificate", "context", "failed", "files", "seen")

    def __init__(
        self,
        files: tuple[Path, Path],
        alpn: tuple[str, ...],
        minimum: ssl.TLSVersion,
        client_ca: Path | None,
        adjust: Adjust | None,
    ) -> None:
        self.files = files
        self.adjust = adjust
        self.failed: object = False
        """The state of the files that a reload stumbled over and that was not logged yet; False without one."""
        self.load(alpn, minimum, client_ca)

    def load(self, alpn: tuple[str, ...], minimum: ssl.TLSVersion, client_ca: Path | None) -> None:
        """Load the files as they are now; on error everything stays as it was.

        :raises ConfigError: they cannot be served.
        """
        for _ in range(3):  # whoever writes the two files while we read gets two more chances
            seen = self.look()
            try:
                certificate, context = _load(*self.files, alpn, minimum, client_ca, self.adjust)
                break
            except ConfigError:
                if seen == self.look():
                    raise
        else:
            raise ConfigError(f"the certificate {self.files[0]} changes faster than it can be read")
        self.seen, self.certificate, self.context = seen, certificate, context

    def look(self) -> object:
        """What changes when a file is replaced or written to; None when one is missing."""
        try:
            return tuple(
                (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns) for found in map(os.stat, self.files)
            )
        except OSError:
            return None


class Certificates:
    """The server certificates of one or more listeners, kept across reloads of their files."""

    __slots__ = ("_alpn", "_client_ca", "_exact", "_minimum", "_pairs", "_unknown", "_wild", "adjust", "context")

    def __init__(
        self,
        pairs: tuple[tuple[Path, Path], ...],
        alpn: tuple[str, ...] = ("http/1.1",),
        minimum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2,
        unknown: Callable[[str], bool] | None = None,
        client_ca: Path | None = None,
        adjust: Adjust | None = None,
    ) -> None:
        """
        :param pairs: (certificate chain, key), PEM files; the first serves clients that name no known host.
        :param alpn: protocols offered, the preferred one first (RFC 7301).
        :param unknown: called, during the handshake, with a host name that no certificate bears word for word;
            True means that the files were changed to bear it. For development: clients refuse `*.localhost`.
        :param client_ca: whose certificates clients must bring (mutual TLS); None when they need none.
        :param adjust: has the last word on each context; it may give another one.
        :raises ConfigError: a file is missing or unreadable, is not PEM, a key is encrypted or belongs to another
            certificate. An expired certificate is served; `warnings` tells.
        """
        if not pairs:
            raise ConfigError("TLS needs a certificate and its key", hint="--cert FILE --key FILE")
        self._alpn = alpn
        self._minimum = minimum
        self._unknown = unknown
        self._client_ca = client_ca
        self.adjust = adjust
        self._pairs = tuple(_Pair(files, alpn, minimum, client_ca, adjust) for files in pairs)
        self.context = self._pairs[0].context
        """The context to wrap sockets with; the same object for good."""
        self.context.sni_callback = self._choose  # type: ignore[assignment]
        self._index()

    @classmethod
    def of(
        cls, tls: Tls, unknown: Callable[[str], bool] | None = None, adjust: Adjust | None = None
    ) -> Certificates | None:
        """Those of a section; None where it names none.

        :raises ConfigError: as `Certificates` does.
        """
        if not tls.certificates:
            return None
        minimum = ssl.TLSVersion.TLSv1_3 if tls.minimum == "1.3" else ssl.TLSVersion.TLSv1_2
        return cls(tls.certificates, minimum=minimum, unknown=unknown, client_ca=tls.client_ca, adjust=adjust)

    def refresh(self) -> bool:
        """Take up files that changed: one stat for each, so call it as often as once a second.

        A pair that does not load leaves the old one in place. That is logged when the same broken state is met a second
        time, and once: a renewal caught between its two files is not worth a line. Returns whether anything changed.
        """
        changed = False
        for pair in self._pairs:
            seen = pair.look()
            if seen != pair.seen and self._reload(pair, seen):
                changed = True
        if changed:
            self._index()
        return changed

    def names(self) -> tuple[str, ...]:
        """Every name and address that the certificates bear, in order."""
        return tuple(dict.fromkeys(name for pair in self._pairs for name in pair.certificate.names))

    def not_after(self) -> int:
        """Seconds since the epoch at which the first of them expires."""
        return min(pair.certificate.not_after for pair in self._pairs)

    def warnings(self, now: float | None = None) -> list[str]:
        """What is odd but does not stop us: certificates that expired, hold only later, or bear no name.

        :param now: seconds since the epoch; the clock's when left out.
        """
        now = time.time() if now is None else now
        return [line for pair in self._pairs for line in _warnings(pair.files[0], pair.certificate, now)]

    def _reload(self, pair: _Pair, seen: object) -> bool:
        try:
            pair.load(self._alpn, self._minimum, self._client_ca)
        except ConfigError as error:
            if pair.failed == seen:
                log.error("%s; still serving the certificate loaded before", error)
                pair.seen = seen
                pair.failed = False
            else:
                pair.failed = seen
            return False
        pair.failed = False
        log.info("took up the new certificate %s, good until %s", pair.files[0], _day(pair.certificate.not_after))
        for line in _warnings(pair.files[0], pair.certificate, time.time()):
            log.warning("%s", line)
        return True

    def _index(self) -> None:
        self._exact: dict[str, ssl.SSLContext] = {}
        self._wild: dict[str, ssl.SSLContext] = {}
        for pair in self._pairs:
            for name in pair.certificate.names:
                if name.startswith("*."):
                    self._wild.setdefault(name[2:], pair.context)
                else:
                    self._exact.setdefault(name, pair.context)

    def _choose(self, sock: NamedSocket | NamedObject, server_name: str | None, context: ssl.SSLContext) -> None:
        """The SNI callback. It never refuses: an unknown name gets the first certificate (RFC 6066 §3 allows both)."""
        name = "" if server_name is None else server_name.rstrip(".").lower()
        if not _NAME_LETTERS.issuperset(name):
            name = ""  # goes into logs and variables: no control bytes
        sock.sni = name
        found = self._exact.get(name)
        if found is None and name:
            if self._unknown is not None and self._unknown(name):
                self.refresh()
                found = self._exact.get(name)
            if found is None:
                found = self._wild.get(name.partition(".")[2])
        sock.context = found or self._pairs[0].context


def _context(alpn: tuple[str, ...], minimum: ssl.TLSVersion) -> ssl.SSLContext:
    """A server context without a certificate yet."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = minimum
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE  # all are good; a phone without AES takes ChaCha20 (Mozilla)
    context.num_tickets = TICKETS
    context.set_alpn_protocols(alpn)
    return _ours(context)


def _ours(context: ssl.SSLContext) -> ssl.SSLContext:
    """A context whose sockets remember what they were asked for."""
    context.sslsocket_class = NamedSocket
    context.sslobject_class = NamedObject
    return context


def _adjusted(context: ssl.SSLContext, adjust: Adjust) -> ssl.SSLContext:
    """What the user makes of a context.

    :raises ConfigError: nothing that can be used.
    """
    try:
        made = adjust(context)
    except Exception as error:
        raise ConfigError(f"ssl_context failed: {type(error).__name__}: {error}") from error
    if not isinstance(made, ssl.SSLContext):
        raise ConfigError(f"ssl_context gave {made!r}, which is no SSLContext")
    return _ours(made)


def _load(
    cert: Path,
    key: Path,
    alpn: tuple[str, ...],
    minimum: ssl.TLSVersion,
    client_ca: Path | None,
    adjust: Adjust | None,
) -> tuple[Certificate, ssl.SSLContext]:
    """Read both files, look at them ourselves for errors that OpenSSL would name badly, then let it load them."""
    text, secret = _bytes(cert, "certificate"), _bytes(key, "key")
    try:
        certificate = read_certificate(text)
    except ValueError as error:
        swapped = b"PRIVATE KEY-----" in text and cert != key
        hint = "it holds a private key: are certificate and key swapped?" if swapped else ""
        raise ConfigError(f"the certificate {cert} is not in PEM form: {error}", hint=hint, key="cert") from None
    if b"-----BEGIN ENCRYPTED" in secret or b"Proc-Type: 4,ENCRYPTED" in secret:
        hint = f"decrypt it: openssl pkey -in {key} -out plain.key"
        raise ConfigError(f"the key {key} is encrypted", hint=hint, key="key")
    if b"PRIVATE KEY-----" not in secret:
        raise ConfigError(f"the key {key} is not in PEM form: no BEGIN PRIVATE KEY in it", key="key")
    context = _context(alpn, minimum)
    try:
        context.load_cert_chain(cert, key, password="")  # a password, so that OpenSSL never asks on the terminal
    except (ssl.SSLError, OSError) as error:
        raise _refusal(cert, key, error) from None
    if client_ca is not None:
        _ask_clients(context, client_ca)
    return certificate, context if adjust is None else _adjusted(context, adjust)


def _ask_clients(context: ssl.SSLContext, authority: Path) -> None:
    """Clients must bring a certificate of this authority (mutual TLS, RFC 8446 §4.3.2)."""
    text = _bytes(authority, "client authority")
    try:
        context.load_verify_locations(cadata=text.decode("ascii", "replace"))
    except (ssl.SSLError, ValueError):
        raise ConfigError(f"the client authority {authority} is no certificate in PEM form", key="client_ca") from None
    context.verify_mode = ssl.CERT_REQUIRED


def _bytes(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ConfigError(f"the {what} {path} does not exist") from None
    except OSError as error:
        raise ConfigError(f"the {what} {path} cannot be read: {error.strerror}") from None


def _refusal(cert: Path, key: Path, error: OSError) -> ConfigError:
    reason = getattr(error, "reason", None) or ""
    if "MISMATCH" in reason or reason == "NO_CERTIFICATE_ASSIGNED":  # the latter: a key of another kind
        return ConfigError(
            f"the key {key} does not belong to the certificate {cert}",
            hint="in a chain, the server's own certificate comes first",
            key="key",
        )
    if "TOO_SMALL" in reason or "TOO_WEAK" in reason:
        return ConfigError(f"the certificate {cert} is too weak for today's OpenSSL: {words_of(reason)}", key="cert")
    return ConfigError(f"the certificate {cert} or its key {key} is damaged: {words_of(reason) or error}", key="cert")


def _warnings(path: Path, certificate: Certificate, now: float) -> list[str]:
    lines = []
    if certificate.not_after < now:
        lines.append(f"the certificate {path} expired on {_day(certificate.not_after)}")
    if certificate.not_before > now:
        lines.append(f"the certificate {path} holds only from {_day(certificate.not_before)} on")
    if not certificate.names:
        lines.append(f"the certificate {path} names no host (subjectAltName): clients will refuse it")
    return lines


def _day(epoch: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(epoch))
