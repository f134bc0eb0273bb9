"""One place where connections are accepted, as a value. How it is written stands in `addresses.py` and `server.py`."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgestack.config.positions import Origin

__all__ = ["Listener"]


@dataclass(frozen=True, slots=True)
class Listener:
    """One place where connections are accepted.

    Exactly one of the kinds: a TCP address (`host`, `port`), a unix socket (`path`), an inherited descriptor (`fd`).
    """

    host: str = ""
    """Address or name to bind; "" for every address of the machine."""
    port: int = 0
    """TCP port; 0 lets the system pick one."""
    path: str = ""
    """Path of a unix socket."""
    fd: int = -1
    """An inherited listening descriptor (`fd://N`, systemd's LISTEN_FDS)."""
    tls: bool = False
    """Whether connections speak TLS."""
    redirect: bool = False
    """Answer everything with a redirect to https (`--redirect-http`)."""
    redirect_plain: bool = False
    """On a TLS listener: redirect plain HTTP to https (`--redirect-plain`), where others get a 400 (E9)."""
    redirect_port: int = 443
    """The port that such redirects name."""
    max_connections: int = 0
    """Open connections of this listener; beyond it 503. 0 means no limit but the server's."""
    proxy_protocol: tuple[str, ...] = ()
    """Who is believed to say, in the PROXY protocol, who the client is (networks, `unix:`); then every connection must
    begin with its header. Empty where none is read."""
    origin: Origin | None = field(default=None, compare=False, repr=False)
    """Where it was asked for."""

    def __str__(self) -> str:
        """As it is written."""
        if self.path:
            return f"unix:{self.path}"
        if self.fd >= 0:
            return f"fd://{self.fd}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
