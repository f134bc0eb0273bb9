"""Asks a path of the same site whether a request may pass (nginx: ngx_http_auth_request_module).

    2xx -> on        401 -> 401 with its WWW-Authenticate        403 -> 403        anything else -> 500, told to the log

Whoever answers at that path sees a GET with the request's fields, cookies and credentials, without its body, and
X-Original-URI and X-Original-Method, which clients cannot forge. It is asked each time, and nothing is remembered.

    set    variables take fields of its answer, whatever its status was         nginx: auth_request_set
    copy   the request bears fields of its answer from then on, for those who come after; never what the client sent
           by these names
"""

from __future__ import annotations

from typing import NoReturn

from edgestack.config.model import AuthRequest as Section
from edgestack.errors import EdgeError, Refused
from edgestack.http.jumps import Jump
from edgestack.http.messages import Answer, AppCall, Exchange, Handler, Response, settled
from edgestack.phases.subrequest import Subrequest, Threads, ask

__all__ = ["AuthRequest", "auth_request"]


class AuthRequest:
    """The wrap."""

    __slots__ = ("_handle", "_path", "_section", "_threads")

    def __init__(self, section: Section, handle: Handler, threads: Threads) -> None:
        self._section = section
        self._path = section.path
        self._handle = handle
        self._threads = threads

    def __call__(self, handler: Handler) -> Handler:
        """The handler behind the question."""

        def asking(exchange: Exchange) -> Answer:
            return handler(exchange) if isinstance(exchange, Subrequest) else self._later(handler, exchange)

        return asking

    async def _later(self, handler: Handler, exchange: Exchange) -> Response | AppCall | Jump:
        said = await ask(exchange, self._path, self._handle, self._threads)
        if self._section.set:
            noted = {name: joined(said, field) for name, field in self._section.set}
            exchange.noted = getattr(exchange, "noted", {}) | noted
        if not 200 <= said.status < 300:
            self._refuse(said)
        if self._section.copy:
            pairs = ((name, joined(said, name)) for name in self._section.copy)
            exchange.request.replace_fields(self._section.copy, [pair for pair in pairs if pair[1]])
        return await settled(handler(exchange))

    def _refuse(self, said: Response) -> NoReturn:
        detail = f"{self._path} said {said.status}"
        if said.status == 401:
            challenges = tuple(pair for pair in said.fields if pair[0].lower() == "www-authenticate")
            raise Refused("You have to log in first.", 401, fields=challenges, detail=detail)
        if said.status == 403:
            raise Refused("You may not see this.", 403, detail=detail)
        raise EdgeError("The request could not be checked.", 500, detail=detail)

    def describe(self, exchange: Exchange) -> str:
        """Whom it would ask, and what would be taken from the answer."""
        taken = [f"${name} from {field}" for name, field in self._section.set] + list(self._section.copy)
        said = f"{self._path} would be asked; 2xx lets the request pass"
        return f"{said}, with {', '.join(taken)}" if taken else said


def joined(response: Response, name: str) -> str:
    """The values of a field; "" where it is not there.

    :param name: in lower case.
    """
    separator = "; " if name == "cookie" else ", "
    return separator.join(value for field, value in response.fields if field.lower() == name)


def auth_request(section: Section | None, handle: Handler, threads: Threads) -> AuthRequest | None:
    """The wrap for `auth_request`; None without one.

    :param handle: the site's handler; it is called at requests only, and may be bound late.
    :param threads: where application code runs.
    """
    return AuthRequest(section, handle, threads) if section is not None else None
