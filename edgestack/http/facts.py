"""What is known of a connection before its first request: addresses, the scheme, what TLS agreed on. Values."""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["Facts", "TlsFacts"]


class TlsFacts(NamedTuple):
    """What a TLS handshake agreed on; one object for all connections that agreed on the same."""

    protocol: str
    """"TLSv1.3"."""
    cipher: str
    """OpenSSL's name of it."""
    reused: bool
    """Whether an earlier session was resumed."""
    alpn: str
    """The protocol above it (RFC 7301); "" where none was agreed on."""


class Facts:
    """What is known of a connection, made once when it is accepted (and again per request behind a trusted proxy)."""

    __slots__ = (
        "client_certificate", "connection", "local_addr", "local_port", "remote_addr", "remote_port", "requests",
        "scheme", "sni", "tls",
    )  # fmt: skip

    connection: int
    """The connection's number; 0 until a driver has admitted it."""
    requests: int
    """How many requests came over it so far, counted by the driver when a head was read."""

    def __init__(
        self,
        remote_addr: str = "127.0.0.1",
        remote_port: int = 0,
        local_addr: str = "127.0.0.1",
        local_port: int = 0,
        scheme: str = "http",
        sni: str = "",
        client_certificate: dict[str, Any] | None = None,
        tls: TlsFacts | None = None,
    ) -> None:
        """
        :param remote_addr: the client's address without a port; "unix:" for a unix socket.
        :param local_addr: the address it came to; the socket's path for a unix socket.
        :param scheme: "http" or "https".
        :param sni: the name asked for in the TLS handshake; "" without one (RFC 6066 §3).
        """
        self.remote_addr = remote_addr
        self.remote_port = remote_port
        self.local_addr = local_addr
        self.local_port = local_port
        self.scheme = scheme
        self.sni = sni
        self.client_certificate = client_certificate
        self.tls = tls
        self.connection = self.requests = 0
