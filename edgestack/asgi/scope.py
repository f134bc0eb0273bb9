"""What an application is told of a request: the scope of ASGI's HTTP and WebSocket protocols.

- `path` is the whole path, decoded once as UTF-8, and begins with `root_path`, the place where the application is
  mounted. `raw_path` is the path as it was sent, without the query.
- `headers` are as received, names in lower case. Left out is what an environ leaves out too (`content/environ.py`):
  names with `_`, `Proxy`, and fields of forwarding from peers nobody vouches for. What trusted proxies wrote stands in
  their place, and `client`, `scheme` and Host follow from it.
- `server` and `client` of a unix socket are (path, None) and None.
- `extensions` has what is there: a handshake may be answered with a response of HTTP's. `state` is a copy of what the
  lifespan made.

Pure.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from edgestack.http.facts import Facts
from edgestack.http.forwarding import ForwardedFacts, tells_of_forwarding
from edgestack.http.messages import Exchange

__all__ = ["ASGI", "Scope", "Scopes"]

ASGI = {"version": "3.0", "spec_version": "2.5"}

Scope: TypeAlias = "dict[str, Any]"


class Scopes:
    """Makes the scope of each request to one mounted application."""

    __slots__ = ("_root",)

    def __init__(self, prefix: str = "") -> None:
        """:param prefix: where it is mounted, decoded, e.g. "/api"; "" or "/" for the root."""
        self._root = prefix.rstrip("/")

    def fits(self, path_info: str) -> bool:
        """Whether a decoded path lies below the prefix, on a segment boundary (F1)."""
        root = self._root.encode("utf-8", "surrogateescape").decode("latin-1")
        return not root or (path_info.startswith(root) and path_info[len(root) : len(root) + 1] in ("", "/"))

    def http(self, exchange: Exchange, state: dict[str, Any] | None) -> Scope:
        """The scope of a request.

        :param state: what the lifespan made; None where the application has none.
        """
        scope = self._shared(exchange, state)
        scope |= {"type": "http", "method": exchange.request.method, "scheme": exchange.facts.scheme}
        return scope

    def websocket(self, exchange: Exchange, state: dict[str, Any] | None, subprotocols: list[str]) -> Scope:
        """The scope of a handshake.

        :param subprotocols: those that the client offers, in its order.
        """
        scope = self._shared(exchange, state)
        scheme = "wss" if exchange.facts.scheme == "https" else "ws"
        scope |= {"type": "websocket", "scheme": scheme, "subprotocols": subprotocols}
        scope["extensions"] = {"websocket.http.response": {}}
        return scope

    def _shared(self, exchange: Exchange, state: dict[str, Any] | None) -> Scope:
        request = exchange.request
        path = request.path.path_info.encode("latin-1").decode("utf-8", "replace")
        scope: Scope = {
            "asgi": ASGI.copy(),
            "http_version": request.version.partition("/")[2],
            "path": "/" if request.target == "*" else path,
            "raw_path": request.path.raw.encode("latin-1"),
            "query_string": request.query.encode("latin-1"),
            "root_path": self._root,
            "headers": _headers(exchange),
            "client": _client(exchange.facts),
            "server": _server(exchange.facts),
            "extensions": {},
            "edgestack.request_id": exchange.request_id,
        }
        if state is not None:
            scope["state"] = state.copy()
        return scope


def _headers(exchange: Exchange) -> list[tuple[bytes, bytes]]:
    request, facts = exchange.request, exchange.facts
    host = request.host
    told: dict[str, str] = {}
    if type(facts) is ForwardedFacts:
        host, told = facts.host or host, facts.told
    pairs = [(name, value) for name, value in request.pairs if _passes(name)]
    if host:
        pairs = [("host", host), *pairs]
    pairs += [(name, value) for name, value in told.items() if "_" not in name]
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs]


def _passes(name: str) -> bool:
    """`Proxy` would become HTTP_PROXY in a framework that makes an environ of it (httpoxy)."""
    return name not in ("host", "proxy", "transfer-encoding") and "_" not in name and not tells_of_forwarding(name)


def _client(facts: Facts) -> tuple[str, int] | None:
    return None if facts.remote_addr.startswith("unix:") else (facts.remote_addr, facts.remote_port)


def _server(facts: Facts) -> tuple[str, int | None]:
    if facts.local_addr[:1] in ("/", "@", "\0"):
        return facts.local_addr, None
    return facts.local_addr, facts.local_port
