"""The environ of a WSGI call: CGI's variables and wsgi.*, made new for each request (PEP 3333, RFC 3875; F1-F4, F13).

    Environs(prefix, …)     one a mount: what never changes stands in templates, one for each place requests come to
    .make(exchange, …)      a copy, the request's own variables, and its fields under their HTTP_ names

Text is latin-1-decoded bytes, and os.environ is not copied in. What an application may rely on here:

- CONTENT_LENGTH is given for chunked bodies too: the body is here whole and its size is known, and many a framework
  reads nothing without it. For the same reason HTTP_TRANSFER_ENCODING is left out.
- HTTP_HOST is the authority the client asked for: an absolute target's before Host's (RFC 9112 §3.2.2), a trusted
  proxy's before both.
- Forwarded, X-Forwarded-* and X-Real-IP are left out when the peer is no trusted proxy, and otherwise hold only what
  trusted proxies wrote. `keep_forwarded` passes them on as sent.
- `edgestack.request_id` is the id in our logs and in X-Request-Id of the answer. HTTP_X_REQUEST_ID is never ours: it is
  what the client sent, if it did.
- `OPTIONS *` has PATH_INFO "/" (PEP 3333 asks for a path where SCRIPT_NAME is empty), or "" below a prefix; REQUEST_URI
  says "*".
- On a unix socket SERVER_NAME is "localhost" and REMOTE_ADDR "unix:".
"""

from __future__ import annotations

from typing import IO, Any

from edgestack import __version__
from edgestack.content.app_streams import NO_INPUT, ErrorStream, Input
from edgestack.content.file_wrapper import FileWrapper
from edgestack.http.facts import Facts
from edgestack.http.forwarding import DEFAULT_PORTS, ForwardedFacts, tells_of_forwarding
from edgestack.http.messages import Exchange

__all__ = ["Environs"]

NAMES_KEPT = 1024
"""Field names whose variable is remembered, and the longest such name in characters. Our numbers: browsers send some
hundred different names, and a flood of others costs each of them 1 µs and no memory."""
LONGEST_NAME = 64
PLACES_KEPT = 256
"""Templates kept; more places than that (addresses of this machine and its ports) only behind odd proxies."""

BLOCKS_KEPT = 256
"""Environs kept for fields that came together before (`wire/known_heads.py`): some 2 KiB each; it spares each request
the thirteen variables of a browser, 1 µs of 9."""

DROPPED = ""
"""The variable of a field that must not reach the application: all of them land on this one key, which is taken out."""


class _Variables(dict[str, str]):
    """Field name in lower case -> variable; `variables[name]` makes what it misses."""

    __slots__ = ("keep_forwarded",)

    def __init__(self, keep_forwarded: bool) -> None:
        super().__init__()
        self.keep_forwarded = keep_forwarded

    def __missing__(self, name: str) -> str:
        variable = self._of(name)
        if len(self) < NAMES_KEPT and len(name) <= LONGEST_NAME:
            self[name] = variable
        return variable

    def _of(self, name: str) -> str:
        """F2. A name with `_` could pass for another one with `-`; `Proxy` would become HTTP_PROXY (httpoxy)."""
        if "_" in name or name in ("proxy", "transfer-encoding"):
            return DROPPED
        if not self.keep_forwarded and tells_of_forwarding(name):
            return DROPPED
        variable = name.upper().replace("-", "_")
        return variable if name in ("content-type", "content-length") else "HTTP_" + variable


class Environs:
    """Makes the environ of each request to one mounted application."""

    __slots__ = ("_constant", "_cut", "_known", "_prefix", "_templates", "_variables")

    def __init__(
        self,
        prefix: str = "",
        *,
        multithread: bool = True,
        multiprocess: bool = False,
        keep_forwarded: bool = False,
    ) -> None:
        """
        :param prefix: where the application is mounted, decoded, e.g. "/api"; "" or "/" for the root.
        :param multithread: other threads of this process may call the same application object.
        :param multiprocess: other processes run the same application.
        :param keep_forwarded: pass forwarding fields of untrusted peers on.
        """
        script_name = prefix.rstrip("/").encode("utf-8", "surrogateescape").decode("latin-1")
        self._cut = len(script_name)
        self._prefix = script_name
        self._variables = _Variables(keep_forwarded)
        self._templates: dict[tuple[str, int, str], dict[str, Any]] = {}
        self._known: dict[tuple[object, str, int, str], dict[str, Any]] = {}
        self._constant: dict[str, Any] = {
            "SCRIPT_NAME": script_name,
            "SERVER_SOFTWARE": f"edgestack/{__version__}",
            "GATEWAY_INTERFACE": "CGI/1.1",
            "wsgi.version": (1, 0),
            "wsgi.input": NO_INPUT,
            "wsgi.input_terminated": True,
            "wsgi.multithread": multithread,
            "wsgi.multiprocess": multiprocess,
            "wsgi.run_once": False,
            "wsgi.file_wrapper": FileWrapper,
        }

    def fits(self, path_info: str) -> bool:
        """Whether a decoded path lies below the prefix, on a segment boundary (F1)."""
        cut = self._cut
        return not cut or (path_info.startswith(self._prefix) and path_info[cut : cut + 1] in ("", "/"))

    def make(self, exchange: Exchange, spool: IO[bytes] | None, errors: ErrorStream) -> dict[str, Any]:
        """The environ of `exchange`.

        :param spool: the whole body at its start; None when there is none.
        :param errors: wsgi.errors of this request.
        """
        request, facts = exchange.request, exchange.facts
        fields = request.fields
        known = (request.block, facts.local_addr, facts.local_port, facts.scheme)
        try:
            environ = self._known[known].copy()
            if "cookie" in fields:
                environ["HTTP_COOKIE"] = fields["cookie"]
        except KeyError:
            environ = self._with_fields(exchange)
            if request.block is not None:
                self._remember(known, environ)
        environ["REQUEST_METHOD"] = request.method
        environ["REQUEST_URI"] = environ["RAW_URI"] = target = request.target
        path_info = request.path.path_info
        environ["PATH_INFO"] = path_info[self._cut :] if target != "*" else "" if self._cut else "/"
        environ["QUERY_STRING"] = request.query
        environ["SERVER_PROTOCOL"] = request.version
        environ["REMOTE_ADDR"] = facts.remote_addr
        environ["REMOTE_PORT"] = str(facts.remote_port)
        environ["wsgi.errors"] = errors
        environ["edgestack.request_id"] = exchange.request_id
        if facts.__class__ is ForwardedFacts:
            self._add_forwarded(environ, facts)
        if spool is not None:
            environ["wsgi.input"] = Input(spool)
            if "content-length" not in fields:
                environ["CONTENT_LENGTH"] = _size(spool)
        return environ

    def _with_fields(self, exchange: Exchange) -> dict[str, Any]:
        """What place and fields make of the environ."""
        request, facts = exchange.request, exchange.facts
        fields = request.fields
        template = self._templates.get((facts.local_addr, facts.local_port, facts.scheme)) or self._template(facts)
        environ = template.copy()
        environ.update(zip(map(self._variables.__getitem__, fields), fields.values()))  # noqa: B905 - same dict
        environ.pop(DROPPED, None)
        if request.host:
            environ["HTTP_HOST"] = request.host
        return environ

    def _remember(self, known: tuple[object, str, int, str], environ: dict[str, Any]) -> None:
        """Keep what the same fields will make again; the cookie is no part of it."""
        if len(self._known) >= BLOCKS_KEPT:
            self._known.clear()
        self._known[known] = kept = environ.copy()
        kept.pop("HTTP_COOKIE", None)

    def _template(self, facts: Facts) -> dict[str, Any]:
        """What is the same for all requests that come to this place."""
        name = facts.local_addr
        if ":" in name:
            name = f"[{name}]"  # RFC 3875 §4.1.14
        elif not name or name[0] in "/@\0":
            name = "localhost"
        template = {
            **self._constant,
            "SERVER_NAME": name,
            "SERVER_PORT": str(facts.local_port or DEFAULT_PORTS.get(facts.scheme, 80)),
            "wsgi.url_scheme": facts.scheme,
        }
        if len(self._templates) >= PLACES_KEPT:
            self._templates.clear()
        self._templates[facts.local_addr, facts.local_port, facts.scheme] = template
        return template

    def _add_forwarded(self, environ: dict[str, Any], facts: ForwardedFacts) -> None:
        """What trusted proxies tell (F3)."""
        if facts.host:
            environ["HTTP_HOST"] = facts.host
        if not self._variables.keep_forwarded:
            for name, value in facts.told.items():
                if "_" not in name:
                    environ["HTTP_" + name.upper().replace("-", "_")] = value


def _size(spool: IO[bytes]) -> str:
    """The size of a body that was sent in chunks."""
    size = spool.seek(0, 2)
    spool.seek(0)
    return str(size)
