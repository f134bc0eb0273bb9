"""A WSGI application on another library's server that sees what it would see at the edge (PEP 3333; `http/hop.py`).

    Restored(application)(environ, start_response)

The library made its environ of a request that came over a unix socket. Put right are the facts of the client's
connection, SCRIPT_NAME and PATH_INFO by the same reading of the path that the edge's routes had, the request-target,
the fields of forwarding, and the request's id. Only what came through the edge is answered, and by the edge's rules
(`answered.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from edgestack import __version__
from edgestack.errors import ClientError
from edgestack.hosting.answered import Pages, answered
from edgestack.hosting.bounded import Bound
from edgestack.hosting.failing import FailurePages
from edgestack.hosting.order import Order
from edgestack.http.forwarding import ForwardedFacts
from edgestack.http.hop import FACTS, TARGET, Hop, place, read
from edgestack.http.messages import Exchange, Request
from edgestack.http.target import read_path

__all__ = ["Restored"]

FACTS_VARIABLE, TARGET_VARIABLE = ("HTTP_" + name.upper().replace("-", "_") for name in (FACTS, TARGET))
OF_THE_HOP = ("HTTP_X_REAL_IP", "HTTP_X_SCHEME")
"""What tornado's own applications are told by; the client sent none of it."""
PROTOCOL = "HTTP/1.1"
"""What the edge speaks to its processes; one of the libraries always says HTTP/1.0."""
ROOT = read_path("/")

Environ = dict[str, Any]
StartResponse = Callable[..., Any]


class Restored:
    """See the top of this file."""

    def __init__(self, application: Callable[..., Iterable[bytes]], order: Order, bound: Bound | None = None) -> None:
        """:param bound: of what its calls may take, where they can be ended."""
        self._application = application
        self._multiprocess = order.multiprocess
        self._bound = bound or Bound(order, None)
        self._pages = Pages(FailurePages(dev=order.dev))
        Exchange.prefix = order.request_ids

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """What the application answers; all of it was written when this returns.

        :raises Broken: that is not whole.
        """
        try:
            hop = read(environ.pop(FACTS_VARIABLE, ""))
            self._restore(environ, hop)
        except ClientError as error:
            start_response("400 Bad Request", [("Content-Type", "text/plain")])
            return [error.public.encode()]
        answered(self._application, environ, self._exchange(environ, hop), start_response, self._bound)
        return iter(())  # not of a known length: some would say that it is 0

    def _exchange(self, environ: Environ, hop: Hop) -> Exchange:
        """As far as an answer depends on it."""
        method, target = environ["REQUEST_METHOD"], environ["RAW_URI"]
        fields = {"accept": environ.get("HTTP_ACCEPT", "")}
        request = Request(method, target, PROTOCOL, [], fields, ROOT, "", environ.get("HTTP_HOST", ""), True)
        exchange = Exchange(hop.facts, request, hop.serial, 0.0)
        exchange.chain = self._pages
        return exchange

    def _restore(self, environ: Environ, hop: Hop) -> None:
        """:raises ClientError: 400, the path is none."""
        target = environ.pop(TARGET_VARIABLE, "")
        sent = _sent(environ)
        raw, _, query = sent.partition("?")
        facts, environ["QUERY_STRING"] = hop.facts, query
        if sent != "*":
            path = read_path(raw).path_info
            mount = hop.mount.encode("utf-8", "surrogateescape").decode("latin-1")
            if not path.startswith(mount) or path[len(mount) : len(mount) + 1] not in ("", "/"):
                raise ClientError("The path has two readings.", 400)
            environ["SCRIPT_NAME"], environ["PATH_INFO"] = mount, path[len(mount) :]
        environ["REQUEST_URI"] = environ["RAW_URI"] = target or sent
        environ["SERVER_SOFTWARE"] = f"edgestack/{__version__}"
        environ["SERVER_NAME"], environ["SERVER_PORT"] = place(facts)
        environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = facts.remote_addr, str(facts.remote_port)
        environ["wsgi.url_scheme"] = facts.scheme
        environ["SERVER_PROTOCOL"] = PROTOCOL
        environ["wsgi.multiprocess"] = self._multiprocess
        environ["wsgi.input_terminated"] = True
        environ["edgestack.request_id"] = f"{Exchange.prefix}{hop.serial:08x}"
        for name in OF_THE_HOP:
            environ.pop(name, None)
        if isinstance(facts, ForwardedFacts):
            environ |= {"HTTP_" + name.upper().replace("-", "_"): value for name, value in facts.told.items()}


def _sent(environ: Environ) -> str:
    """The request-target as it came over the socket."""
    for name in ("RAW_URI", "RAW_PATH_INFO", "REQUEST_URI"):
        if name in environ:
            raw = str(environ[name])
            query = environ.get("QUERY_STRING", "")
            return f"{raw}?{query}" if query and "?" not in raw else raw
    raise ClientError("The server behind this one does not tell the request-target.", 400)
