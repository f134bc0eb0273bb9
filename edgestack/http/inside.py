"""Where a request may be led inside the server: a path of the site, written with $variables, or a named route.

    Goal("/new/$1?from=$host", scope).jump(exchange)  ->  Jump(path, query)

The "?" that counts is the one in the text: one that a variable brings belongs to the path, so nobody slips a query in.
Without one the request keeps its query; with nothing behind it the query is dropped. What a client sent as %2F stays
known as such in the new path (criterion C8). Source: nginx's `rewrite`, `try_files`, `error_page`.
"""

from __future__ import annotations

from urllib.parse import quote

from edgestack.errors import EdgeError
from edgestack.http.jumps import Jump
from edgestack.http.messages import Exchange
from edgestack.http.target import Path, read_path
from edgestack.http.templates import Constant, Scope, compile_template

__all__ = ["Goal", "inner_path"]

PATH_SAFE = "/:@!$&'()*+,;=~-._"


def inner_path(text: str, *, encoded_slash: bool = False) -> Path:
    """The Path for decoded text.

    :raises ClientError: 400, when it leads above the root or has a NUL.
    """
    path = read_path(quote(text, PATH_SAFE, errors="surrogateescape"))
    if encoded_slash and not path.encoded_slash:
        return Path(path.raw, path.normal, path.path_info, path.same, True)
    return path


class Goal:
    """One target, compiled."""

    __slots__ = ("_known", "_path", "_query", "appends", "name", "text")

    def __init__(self, text: str, scope: Scope | None = None, *, appends: bool = False) -> None:
        """
        :param text: a path that begins with a slash or a variable, with a query or without; or "@name".
        :param appends: the request's own query follows the goal's (nginx: `rewrite`).
        :raises TemplateError: for variables that are none.
        """
        self.text = text
        self.name = text[1:] if text.startswith("@") else ""
        self.appends = appends
        path, mark, query = text.partition("?")
        self._path = compile_template(path, "request", scope)
        self._query = compile_template(query, "request", scope, use="query") if mark else None
        constant = type(self._path) is Constant and not self.name
        self._known = inner_path(path) if constant else None

    def path(self, exchange: Exchange) -> Path:
        """The path.

        :raises ClientError: 400, where variables make none.
        """
        if self._known is not None:
            return self._known
        return inner_path(self._path(exchange), encoded_slash=exchange.request.path.encoded_slash)

    def query(self, exchange: Exchange) -> str | None:
        """The query; None for the one that the request has."""
        if self._query is None:
            return None
        query, own = self._query(exchange), exchange.request.query
        return f"{query}&{own}" if self.appends and query and own else query

    def jump(self, exchange: Exchange, *, fresh: bool = False, error: EdgeError | None = None, status: int = 0) -> Jump:
        """The way there; see `Jump` for the rest."""
        target = self.name or self.path(exchange)
        return Jump(target, None if self.name else self.query(exchange), fresh=fresh, error=error, status=status)
